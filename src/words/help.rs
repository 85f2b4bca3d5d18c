//! Words of `--help`: what each verb does, what each argument means, headings, and examples.

use super::catalogue;

catalogue! {
    /// The short texts of verbs and the frame of a help page.
    HelpWords {
        About => "Brings a containerised service up on a machine that nobody prepared",
            "在没有做过任何准备的机器上把容器化服务跑起来";
        QuickStart => "Look, plan, confirm, change, launch, verify: the wizard (alias: up)",
            "向导：查看、规划、确认、修改、启动、验证（别名 up）";
        Check => "Judge the ports of a project and change nothing", "只检查项目的端口，不做任何修改";
        Scan => "List listening sockets with their owners, and free ports", "列出监听中的端口及其占用者，并可列出空闲端口";
        Why => "Tell who has a port, who wants it, and the ways out", "说明谁占用端口、谁需要它，以及解决办法";
        Doctor => "Look for everything that is wrong here, and say what mends it", "查找此处的所有问题，并说明如何解决";
        DoctorOnly => "Make only this check; can be repeated", "只做这项检查；可重复";
        DoctorSkip => "Leave out this check; can be repeated", "略过这项检查；可重复";
        DoctorAccept => "A failure of this check does not change the exit code; can be repeated", "这项检查失败时不影响退出码；可重复";
        DoctorStrict => "End with 3 also when something should be looked at", "有需留意的项目时也以退出码 3 结束";
        DoctorFacts => "Print what was seen as JSON, and judge nothing", "以 JSON 打印所观察到的事实，不做判断";
        DoctorFix => "Mend what can be mended, asking before each", "解决可自动解决的问题，逐项询问";
        DoctorBundle => "Write an archive for a report of a fault, without secrets", "写出用于报告故障的归档，不含机密";
        DoctorBundleFile => "The archive [default: portwright-doctor-TIME.tar here]", "归档文件 [默认：当前目录中的 portwright-doctor-时间.tar]";
        DoctorServer => "Go a client's way to this tunnel server, step by step", "逐步检查客户端到该隧道服务端的连接";
        DoctorFromFacts => "Judge facts that `--facts` printed, in the place of this machine", "判断由 `--facts` 打印的事实，而不是本机";
        DoctorExamples => "  portwright doctor                                everything that is wrong, and what mends it
  portwright doctor --only engine --only ports --json  two checks, for scripts
  portwright doctor --fix                          mend what can be mended
  portwright doctor --join CODE                    also the way to a tunnel server
  portwright doctor bundle report.tar              everything for a report of a fault",
            "  portwright doctor                                列出所有问题及解决办法
  portwright doctor --only engine --only ports --json  只做两项检查，供脚本使用
  portwright doctor --fix                          解决可自动解决的问题
  portwright doctor --join CODE                    同时检查到隧道服务端的连接
  portwright doctor bundle report.tar              报告故障所需的全部信息";
        Completions => "Print a script that completes the command line in a shell", "打印 shell 的命令行补全脚本";
        Man => "Print a page for man, or write all of them", "打印 man 手册页，或写出全部手册页";
        Undo => "Put back what the last run changed", "还原上一次运行所做的修改";
        Status => "Show the launched service", "查看已启动的服务";
        Logs => "Print the output of the launched service", "查看已启动服务的输出";
        Down => "Stop and remove the launched service", "停止并移除已启动的服务";
        Tunnel => "The tunnel", "隧道";
        TunnelServer => "Run the tunnel server until it is stopped", "运行隧道服务端，直到被停止";
        TunnelClient => "Connect this machine to a tunnel server, and stay connected", "把本机接入隧道服务端，并保持连接";
        TunnelToken => "Make, list and revoke the tokens of clients", "新建、列出和吊销客户端令牌";
        TokenCreate => "Make a token and print it, this once, with its join code", "新建令牌，并一次性打印令牌及其加入码";
        TokenList => "List the tokens, also the revoked ones", "列出令牌，包括已吊销的";
        TunnelStatus => "How a running tunnel server is, and who is connected", "查看运行中的隧道服务端及已连接的客户端";
        Mapping => "Make, change and list the mappings of a running tunnel server", "新建、修改和列出运行中隧道服务端的映射";
        MappingCreate => "Open a mapping and keep it", "新建映射并保存";
        MappingRemove => "Close a mapping; its visitors have 5 s to finish", "删除映射；其访客有 5 秒时间完成";
        MappingUpdate => "Change what is named and leave the rest", "只修改所指定的内容，其余保持不变";
        MappingReload => "Close the listener of one mapping and open it anew", "关闭并重新打开一个映射的监听端口";
        MappingImport => "Make mappings from the predecessor's, frp's or rathole's files", "从前身、frp 或 rathole 的文件导入映射";
        ImportFile => "A database, a configuration or a TOML file; both halves of rathole's", "数据库、配置或 TOML 文件；rathole 需要两端的文件";
        ImportClient => "The client that reaches the targets [default: the usual one]", "到达目标的客户端 [默认：常用客户端]";
        ImportExamples => "  portwright mapping import mappings.db            show what would be made, and ask
  portwright mapping import frpc.toml --client nas --yes",
            "  portwright mapping import mappings.db            显示将创建的映射并询问
  portwright mapping import frpc.toml --client nas --yes";
        MappingList => "List all mappings with their state", "列出所有映射及其状态";
        TokenRevoke => "Take a token back; its clients are cut off at once", "吊销令牌；其客户端立即断开";
        TunnelHealth => "Ask a running tunnel server whether it is well", "询问运行中的隧道服务端是否正常";
        Bench => "Load test of any TCP service, through a tunnel or not", "对任意 TCP 服务进行负载测试，无论是否经过隧道";
        BenchServe => "Run a target for the load test until it is stopped", "运行负载测试的目标，直到被停止";
        Pool => "Port leases: ports for programs that must not collide", "端口租约：为不得冲突的程序分配端口";
        PoolAlloc => "Lease ports and print them, one a line", "租用端口并逐行打印";
        PoolRelease => "Give leases back", "归还租约";
        PoolRenew => "Let leases begin anew", "续租";
        PoolList => "List the leases", "列出租约";
        PoolUsage => "Count the ports of each WAN", "统计每个 WAN 的端口";
        PoolGc => "Give back what is over and not in use", "回收已结束且未被使用的租约";
        PoolRun => "Run a program with ports that are its own until it ends", "运行一个程序，其端口在结束前为其独占";
        Tune => "Settings of the system's network: show, change, put back", "系统网络设置：查看、修改、还原";
        TuneShow => "Show each setting, what is known of it, and what this host needs", "查看每项设置、其已知信息以及本机的需要";
        TuneApply => "Change what this host needs, with a record of what was there", "修改本机需要的设置，并记录原有的值";
        TuneRevert => "Put back every value that was changed", "还原所有修改过的值";
        ServiceVerbs => "Run the tunnel server or client as a service of the system", "把隧道服务端或客户端作为系统服务运行";
        ServiceInstall => "Write a unit for the service manager, and let it start with the system", "为服务管理器写入单元文件，并随系统启动";
        ServiceInstallServer => "Install the tunnel server as a service", "把隧道服务端安装为服务";
        ServiceInstallClient => "Install the tunnel client as a service", "把隧道客户端安装为服务";
        ServiceUninstall => "Stop a service and remove what its installation wrote", "停止服务并删除安装时写入的文件";
        ServiceStart => "Start an installed service", "启动已安装的服务";
        ServiceStop => "Stop a service until the system starts again", "停止服务，直到系统下次启动";
        ServiceStatus => "Tell how the services are: exit code 0 running, 6 not running, 3 not installed", "查看服务状态：退出码 0 运行中，6 未运行，3 未安装";
        ServiceHost => "Run below the service manager of Windows (internal)", "在 Windows 服务管理器下运行（内部使用）";
        ServiceExamples => "  sudo portwright service install server --config /etc/portwright/config.yaml
  portwright service install client --join pwj_… --user
  portwright service status",
            "  sudo portwright service install server --config /etc/portwright/config.yaml
  portwright service install client --join pwj_… --user
  portwright service status";
        RoleValue => "server|client", "server|client";
        UserValue => "USER", "用户";
        ServiceDryRun => "Print the unit and change nothing", "只打印单元文件，不做任何修改";
        ServiceUser => "A service of this user, not of the machine", "当前用户的服务，而不是本机的服务";
        ServiceForce => "Also touch a unit that was edited by hand or that Portwright did not write", "即使单元文件被手工修改过或不是 Portwright 写入的，也予以替换或删除";
        ServiceName => "The name of the service [default: portwright-server or portwright-client]", "服务名称 [默认：portwright-server 或 portwright-client]";
        ServiceRole => "Which one: server or client [default: both]", "server 或 client [默认：两者]";
        ServiceRunAs => "The user that it runs as [default: one that exists only while it runs]", "运行服务的用户 [默认：仅在运行期间存在的用户]";
        ServiceJoin => "A join code: its token goes into a file that only the service reads", "加入码；其中的令牌会写入只有该服务能读取的文件";
        Become => "Become a program that was given sockets (internal)", "变为已获得套接字的程序（内部使用）";
        Supervise => "Keep a native service running (internal)", "看护本机服务进程（内部使用）";

        QuickStartTune => "Also change the network settings of the system that this host needs (`portwright tune`)",
            "同时修改本机需要的系统网络设置（`portwright tune`）";
        TuneProfile => "What for: default, wan, load-test or legacy [default: default]", "用途：default、wan、load-test 或 legacy [默认：default]";
        TunePort => "Ports of services to keep from outgoing connections, beside the project's; may be repeated",
            "除项目端口外，不让外出连接取得的服务端口；可重复";
        TuneExamples => "  portwright tune                                  what is set, what it does, and what this host needs
  portwright tune --profile wan --json
  portwright tune apply --port 40000 --yes         change it, and keep port 40000 from outgoing connections
  portwright tune revert                           put back what was there",
            "  portwright tune                                  查看当前设置、其作用以及本机的需要
  portwright tune --profile wan --json
  portwright tune apply --port 40000 --yes         修改，并不让外出连接取得端口 40000
  portwright tune revert                           还原";

        UsageHeading => "Usage: ", "用法：";
        OptionsMark => "[OPTIONS]", "[选项]";
        CommandMark => "<COMMAND>", "<命令>";
        CommandsHeading => "Commands", "命令";
        ArgumentsHeading => "Arguments", "参数";
        OptionsHeading => "Options", "选项";
        GlobalHeading => "Global options", "全局选项";
        ExamplesHeading => "Examples:", "示例：";

        DirValue => "DIR", "目录";
        FileValue => "FILE", "文件";
        WhenValue => "WHEN", "时机";
        LangValue => "LANG", "语言";
        NameValue => "NAME", "名称";
        WishValue => "NAME=PORT", "名称=端口";
        RangeValue => "A-B", "起-止";
        SecondsValue => "SECS", "秒";
        AddressValue => "ADDR", "地址";
        CountValue => "N", "数量";
        ChoiceValue => "CHOICE", "选择";
        RuntimeValue => "RUNTIME", "运行方式";
        ProfileValue => "PROFILE", "配置";
        FormatValue => "FORMAT", "格式";
        ListenValue => "tcp|udp|both", "tcp|udp|both";
        ProtocolValue => "PROTOCOL", "协议";
        ReportValue => "KIND=FILE", "类型=文件";
        ServerValue => "HOST:PORT", "主机:端口";
        CodeValue => "CODE", "加入码";
        PinValue => "SHA256", "指纹";
        TargetValue => "TARGET", "目标";
        TestValue => "TEST", "测试";
        BytesValue => "BYTES", "字节数";
        HostPortValue => "HOST:PORT", "主机:端口";
        ServiceValue => "SERVICE", "服务";
        NameOrIdValue => "NAME|ID", "名称|标识";

        PortValue => "PORT", "端口";
        IndexValue => "INDEX", "编号";
        LifetimeValue => "TIME", "时长";
        TextValue => "TEXT", "文字";
        PidValue => "PID", "进程号";
        IdValue => "ID", "标识";
        ProgramValue => "PROGRAM", "程序";
        ShellValue => "SHELL", "shell";
        VerbValue => "VERB", "命令";

        WhyPort => "The port", "端口号";
        Shell => "The shell: bash, elvish, fish, powershell, zsh", "shell 名称：bash、elvish、fish、powershell、zsh";
        ManVerb => "The verb whose page to print [default: the program's own]", "要打印手册页的命令 [默认：程序本身]";
        ManTo => "Write all pages into this folder", "把全部手册页写入该目录";
        Directory => "The project directory [default: the current one]", "项目目录 [默认：当前目录]";
        Json => "Print one JSON document on stdout", "在标准输出打印一份 JSON 文档";
        Quiet => "Print only data and errors", "只打印数据和错误";
        Verbose => "Say more; twice for everything", "输出更多信息；写两次则输出全部";
        Color => "Use colour: auto, always, never [default: auto]", "是否使用颜色：auto、always、never [默认：auto]";
        Lang => "Speak this language: en, zh-CN [default: the locale's]", "使用的语言：en、zh-CN [默认：随系统区域设置]";
        Help => "Print help", "显示帮助";
        Version => "Print the version", "显示版本号";

        Files => "A compose file; repeat it to merge several [default: the usual names]",
            "compose 文件；可重复以合并多个 [默认：按惯用文件名查找]";
        EnvFile => "The file to use in place of .env", "用来代替 .env 的文件";
        Profiles => "Activate a compose profile; can be repeated", "启用一个 compose profile；可重复";
        Instance => "Work on a separate copy of the project under this name", "使用该名称的独立项目副本";
        Yes => "Ask nothing", "不提问，直接执行";
        QuickStartYes => "Ask nothing and resolve conflicts automatically", "不提问，自动解决冲突";
        OnConflict => "What to do about a conflict: ask, auto, keep, fail [default: ask on a terminal, else fail]",
            "遇到冲突时：ask 询问、auto 自动、keep 保留、fail 失败 [默认：终端上为 ask，否则为 fail]";
        Ports => "Use this port; NAME is a variable of .env, a service, or `service:container_port`; can be repeated",
            "指定端口；名称可以是 .env 变量、服务名或 `服务:容器端口`；可重复";
        Range => "Where to look for a free port [default: from the wanted port to the end of its hundred, then on]",
            "在此范围内查找空闲端口 [默认：从所需端口到其所在的整百末尾，然后继续向后]";
        DryRun => "Show the plan and change nothing", "只显示计划，不做任何修改";
        NoLaunch => "Change the files and launch nothing", "只修改文件，不启动服务";
        Wait => "How long verification may take", "验证最多等待的时间";
        Runtime => "What runs the bundled server: auto, docker, podman, native, none [default: auto]",
            "内置服务端的运行方式：auto、docker、podman、native、none [默认：auto]";
        Bind => "The address on which generated services listen [default: 127.0.0.1]",
            "生成的服务所监听的地址 [默认：127.0.0.1]";
        Strict => "Treat warnings as conflicts", "把警告当作冲突";
        Override => "Write ports to compose.override.yaml and leave the compose file alone",
            "把端口写入 compose.override.yaml，不改动 compose 文件";
        Ripple => "Also change the other places that name a moved port", "同时修改其他提到该端口的地方";
        FollowLink => "Follow a symbolic link that leaves the project", "允许跟随指向项目之外的符号链接";
        Format => "The form of the answer: text, json, github, junit, sarif [default: text]",
            "输出格式：text、json、github、junit、sarif [默认：text]";
        Report => "Also write a report, such as junit=FILE; separate several with commas",
            "另外写出报告，如 junit=文件；多个之间用逗号分隔";
        ScanRange => "Look only at these ports", "只查看这些端口";
        Free => "Name this many free ports", "列出这么多个空闲端口";
        Protocol => "Look at tcp, udp or all [default: all]", "查看的协议：tcp、udp 或 all [默认：all]";
        Process => "Only sockets of processes with this name", "只看该名称进程的端口";
        Watch => "Look again and again until interrupted", "反复查看，直到被中断";
        Interval => "How long to wait between two looks [default: 2]", "两次查看之间的间隔 [默认：2]";
        Service => "Only this service", "只看该服务";
        FollowOutput => "Keep printing until interrupted", "持续输出，直到被中断";
        Tail => "Print only the last lines", "只打印最后若干行";
        BenchTarget => "The address to test", "要测试的地址";
        BenchTests => "Run only these tests: upload, download, bandwidth, ping-pong, latency, connect, idle, reliability, sizes, concurrency, all; separate several with commas [default: all but sizes and concurrency]",
            "只运行这些测试：upload、download、bandwidth、ping-pong、latency、connect、idle、reliability、sizes、concurrency、all；多个之间用逗号分隔 [默认：除 sizes 和 concurrency 之外的全部]";
        BenchConnections => "Connections at a time, up to 10000 [default: what suits each test]", "同时的连接数，最多 10000 [默认：视测试而定]";
        BenchSize => "Bytes of a message or of a write, such as 64, 8K or 1M [default: 1K, and 128K in bulk]",
            "每条消息或每次写入的字节数，例如 64、8K 或 1M [默认：1K，批量传输为 128K]";
        BenchDuration => "How long each test is measured [default: 2, and 1 for each of sizes and concurrency]",
            "每项测试的时长 [默认：2，sizes 和 concurrency 的每一步为 1]";
        BenchRounds => "How often everything is measured; the median counts [default: 1]", "重复测量的次数，取中位数 [默认：1]";
        BenchDirect => "Measure this address in the same run, and say how the two compare", "在同一次运行中也测量该地址，并给出两者之比";
        BenchEcho => "The target is a plain echo server: run only tests that it can answer", "目标是普通的回显服务器：只运行它能应答的测试";
        BenchReport => "Also write a report with plots (.html, .svg), or the JSON document (.json)",
            "另外写出带图表的报告（.html、.svg）或 JSON 文档（.json）";
        BenchNoData => "Send nothing: run only connect and idle, which any service can take", "不发送数据：只运行任何服务都能承受的 connect 和 idle";
        BenchListen => "Where to listen; port 0 takes any free one [default: 127.0.0.1:0]", "监听的地址；端口 0 表示任意空闲端口 [默认：127.0.0.1:0]";
        PoolState => "The file of the pool [default: pool.json among the user's state]", "端口池文件 [默认：用户状态目录中的 pool.json]";
        PoolStore => "A store that several machines share, in place of the file: postgres://…, etcd://HOST:PORT or etcds://… [env: PORTWRIGHT_POOL_STORE]",
            "多台机器共享的存储，代替文件：postgres://…、etcd://主机:端口 或 etcds://… [环境变量：PORTWRIGHT_POOL_STORE]";
        PoolStoreFile => "The file that holds the URL of the store, so that its password is not on the command line [env: PORTWRIGHT_POOL_STORE_FILE]",
            "保存共享存储 URL 的文件，使密码不出现在命令行中 [环境变量：PORTWRIGHT_POOL_STORE_FILE]";
        PoolGroup => "The group of hosts in the store, whose ports are theirs alone [default: default] [env: PORTWRIGHT_POOL_GROUP]",
            "共享存储中的主机组，各组的端口互不相干 [默认：default] [环境变量：PORTWRIGHT_POOL_GROUP]";
        PoolConfig => "The file that names the WANs [default: pool.toml of the project, else of the user]",
            "定义 WAN 的文件 [默认：项目目录或用户配置目录中的 pool.toml]";
        PoolWait => "How long to wait for the lock of the pool, or for each answer of the store [default: 10]", "等待端口池锁或共享存储应答的时间 [默认：10]";
        WeakDisk => "Accept a pool on NFS, SMB or 9p, where its lock may not hold between machines", "允许端口池位于 NFS、SMB 或 9p 上（锁在机器之间可能无效）";
        LeaseWan => "The WAN [default: the one with the lowest index]", "WAN 编号 [默认：编号最小者]";
        WhichWan => "The WAN of the ports, where they are leased on several", "端口所属的 WAN（在多个 WAN 上均有租约时）";
        LeaseCount => "How many ports; all of them or none [default: 1]", "端口数量，要么全部分配，要么都不分配 [默认：1]";
        Contiguous => "The ports must follow one another", "端口必须连续";
        LeaseRange => "Where to look for ports [default: the range of the WAN]", "查找端口的范围 [默认：该 WAN 的范围]";
        LeaseTtl => "How long the lease lasts unless it is renewed, such as 90s, 15m, 12h [default: 1d; in a store 1h, and 5m for `pool run`, which renews]", "租约时长（除非续租），例如 90s、15m、12h [默认：1d；共享存储中为 1h，`pool run` 自动续租，为 5m]";
        RenewTtl => "How long the leases last from now [default: as long as before]", "自现在起的租约时长 [默认：与之前相同]";
        LeasePurpose => "What the ports are for; shown by `pool list`", "端口的用途，由 `pool list` 显示";
        LeasePid => "The process that holds the lease; it ends with it [default: the one that called]", "持有租约的进程；进程结束则租约结束 [默认：调用者]";
        WhichPid => "All leases of this process", "该进程的全部租约";
        WhichId => "The lease with this id", "该标识的租约";
        WhichPorts => "The ports", "端口";
        PoolHold => "Keep a socket bound to each port meanwhile; the program has to set SO_REUSEADDR", "期间为每个端口保持一个已绑定的套接字；程序须设置 SO_REUSEADDR";
        PoolListen => "Listen on each port and pass the sockets on as LISTEN_FDS, from file descriptor 3 on; alone: tcp",
            "监听每个端口，并以 LISTEN_FDS 方式把套接字（自文件描述符 3 起）交给程序；不带值时为 tcp";
        RunCommand => "The program and its arguments; {{port}} and {{port1}} in them stand for ports", "程序及其参数；其中的 {{port}}、{{port1}} 代表端口";
        MappingPort => "The public port", "公网端口";
        MappingTarget => "What it leads to: PORT, HOST or HOST:PORT [default: 127.0.0.1 behind the tunnel]", "映射的目标：端口、主机 或 主机:端口 [默认：隧道后的 127.0.0.1]";
        MappingClient => "The client that reaches the target", "访问目标的客户端名称";
        MappingTunnel => "A client reaches the target, also where a target is named", "由客户端访问目标，即使已指定目标";
        MappingDirect => "The server itself reaches the target", "由服务器自己访问目标";
        MappingProtocol => "tcp or udp [default: tcp]", "tcp 或 udp [默认：tcp]";
        MappingProxy => "Tell the target who the visitor is: v1 or v2", "用 PROXY 协议告知目标访客地址：v1 或 v2";
        MappingLimit => "Bytes a second in each direction, such as 64K or 1M; 0 is no limit", "每个方向每秒字节数，例如 64K 或 1M；0 表示不限";
        MappingAllow => "Let in only these addresses or networks; separate several with commas", "只允许这些地址或网段；多个之间用逗号分隔";
        MappingDeny => "Let in everyone but these addresses or networks", "拒绝这些地址或网段，其余允许";
        MappingOpen => "Let everyone in again", "重新允许所有访客";
        MappingName => "What people call it", "映射名称";
        Api => "The API of the server [default: as .env of the directory says, else http://127.0.0.1:8080]",
            "服务器的 API 网址 [默认：按目录中的 .env，否则为 http://127.0.0.1:8080]";
        ApiKeyFile => "The file that holds the API key [default: PORTWRIGHT_API_API_KEY, else .env of the directory]",
            "保存 API 密钥的文件 [默认：PORTWRIGHT_API_API_KEY，否则取目录中的 .env]";
        ApiCa => "The authority that has certified the proxy of an API at https:// [default: PORTWRIGHT_CA]",
            "为 https:// 的 API 代理签发证书的机构证书 [默认：PORTWRIGHT_CA]";
        UrlValue => "URL", "网址";
        NetworkValue => "NET", "网段";
        VersionValue => "VERSION", "版本";
        Config => "The configuration file", "配置文件";
        TokenConfig => "The server's configuration file [default: the server that quick-start launched]", "服务器的配置文件 [默认：quick-start 启动的服务器]";
        TokenName => "What to call it: at most 31 letters, digits and the signs - _ .", "令牌名称：最多 31 个字符，可用字母、数字和 - _ .";
        TokenPorts => "Public ports that its clients may serve; can be repeated [default: all of the server]",
            "其客户端可使用的公网端口；可重复 [默认：服务器的全部端口]";
        TokenToRevoke => "The token, by its name or its id", "令牌的名称或标识";
        ConfigEnvFile => "A file of variables that complete the configuration", "补充配置的变量文件";
        Server => "The tunnel server, with the port of its tunnel.listen_port", "隧道服务端的地址，端口为其 tunnel.listen_port";
        Join => "A join code of the server, which holds its address, a token and its fingerprint", "服务端给出的加入码，包含地址、令牌和指纹";
        TokenFile => "The file that holds the token; - reads it from standard input", "保存令牌的文件；- 表示从标准输入读取";
        Pin => "The fingerprint of the server's key, as its log shows it after `pin=`", "服务端密钥的指纹，即其日志中 `pin=` 之后的内容";
        Ca => "The certificate of the authority that has certified the server", "为服务端签发证书的机构证书";
        Cert => "This client's certificate, where the server asks for one", "本客户端的证书（服务端要求时）";
        CertKey => "The private key of that certificate", "该证书的私钥";
        ServeInsecure => "Accept clients without TLS where other machines can reach the tunnel", "在其他机器可访问时，也接受不使用 TLS 的客户端";
        LegacyV1 => "Speak version 1, the predecessor's protocol, which has neither token nor encryption", "使用前身的版本 1 协议，既无令牌也无加密";
        NoFirstToken => "Make no token at the first start, and so print no join code: `tunnel token create` makes one",
            "首次启动时不新建令牌，也不打印加入码：可用 `tunnel token create` 新建";
        Insecure => "Do without TLS, also towards another machine", "不使用 TLS，即使连接其他机器";
        ClientName => "What to be called below the token's name, where several machines share a token", "多台机器共用一个令牌时，本机在令牌名下的名称";
        Expose => "What the server may reach: PORT, or HOST:PORT with a range or * for ports; repeat it [default: this machine's loopback]",
            "允许服务端访问的目标：端口，或 主机:端口，端口可为范围或 *；可重复 [默认：本机回环地址]";
        State => "The folder for the state of the service", "存放服务状态的目录";
        Spec => "The file that describes the service", "描述该服务的文件";

        QuickStartExamples => "  portwright quick-start                          look, ask, launch
  portwright quick-start --yes --range 8000-8099  ask nothing, move ports within a range
  portwright quick-start --port web=8081 --dry-run  show what a chosen port would change",
            "  portwright quick-start                          查看、询问并启动
  portwright quick-start --yes --range 8000-8099  不提问，在指定范围内换端口
  portwright quick-start --port web=8081 --dry-run  只显示改用该端口会修改什么";
        CheckExamples => "  portwright check                                judge the project in this directory
  portwright check --json -C ./service            the same as JSON, for another directory
  portwright check --report junit=ports.xml       for continuous integration",
            "  portwright check                                检查当前目录中的项目
  portwright check --json -C ./service            检查其他目录，并输出 JSON
  portwright check --report junit=ports.xml       用于持续集成";
        ScanExamples => "  portwright scan                                 everything that listens
  portwright scan --range 8000-8099 --free 3      three free ports of a range
  portwright scan --process nginx --protocol tcp  the ports of one program",
            "  portwright scan                                 所有监听中的端口
  portwright scan --range 8000-8099 --free 3      列出范围内三个空闲端口
  portwright scan --process nginx --protocol tcp  某个程序的端口";
        WhyExamples => "  portwright why 8000                              who has port 8000, and what helps
  portwright why 8000 --json | jq .advice          the ways out, for scripts",
            "  portwright why 8000                              谁占用端口 8000，以及解决办法
  portwright why 8000 --json | jq .advice          供脚本使用的解决办法";
        CompletionsExamples => "  portwright completions bash > /etc/bash_completion.d/portwright
  portwright completions zsh > ~/.zfunc/_portwright
  portwright completions fish > ~/.config/fish/completions/portwright.fish",
            "  portwright completions bash > /etc/bash_completion.d/portwright
  portwright completions zsh > ~/.zfunc/_portwright
  portwright completions fish > ~/.config/fish/completions/portwright.fish";
        ManExamples => "  portwright man | man -l -                        read the program's page
  portwright man tunnel client | man -l -          the page of a verb
  portwright man --to /usr/local/share/man/man1    write all pages",
            "  portwright man | man -l -                        阅读程序的手册页
  portwright man tunnel client | man -l -          某个命令的手册页
  portwright man --to /usr/local/share/man/man1    写出全部手册页";
        UndoExamples => "  portwright undo                                 show what would be put back, and ask
  portwright undo --yes                           put it back
  portwright undo --yes -C ./service              the same for another directory",
            "  portwright undo                                 显示将还原的内容并询问
  portwright undo --yes                           直接还原
  portwright undo --yes -C ./service              还原其他目录中的项目";
        StatusExamples => "  portwright status                               the service of this directory
  portwright status --json                        the same as JSON
  portwright status --instance ci-7               one of several copies",
            "  portwright status                               当前目录的服务
  portwright status --json                        以 JSON 输出
  portwright status --instance ci-7               多个副本中的一个";
        LogsExamples => "  portwright logs                                 what was printed so far
  portwright logs --follow --tail 20              the last lines, and what follows
  portwright logs web                             of one service",
            "  portwright logs                                 到目前为止的输出
  portwright logs --follow --tail 20              最后若干行以及后续输出
  portwright logs web                             只看一个服务";
        DownExamples => "  portwright down                                 ask, then stop
  portwright down --yes                           stop without asking
  portwright down --yes --instance ci-7           stop one of several copies",
            "  portwright down                                 询问后停止
  portwright down --yes                           不提问，直接停止
  portwright down --yes --instance ci-7           停止多个副本中的一个";
        TunnelClientExamples => "  portwright tunnel client --join CODE             everything in one code
  portwright tunnel client --server tunnel.example.org:9000 --token-file token --pin sha256:…
  portwright tunnel client --join CODE --expose 22 --expose 10.0.0.5:80  these targets and no other",
            "  portwright tunnel client --join CODE             一个加入码包含全部信息
  portwright tunnel client --server tunnel.example.org:9000 --token-file token --pin sha256:…
  portwright tunnel client --join CODE --expose 22 --expose 10.0.0.5:80  只开放这些目标";
        MappingExamples => "  portwright mapping create 10022                  port 22 of the client's machine
  portwright mapping create 10080 --target 10.0.0.5:80 --direct  a target that the server reaches
  portwright mapping update 10022 --allow 192.0.2.0/24 --limit 1M
  portwright mapping list -C ./server              of the server in another directory",
            "  portwright mapping create 10022                  客户端机器的 22 端口
  portwright mapping create 10080 --target 10.0.0.5:80 --direct  服务器可直接访问的目标
  portwright mapping update 10022 --allow 192.0.2.0/24 --limit 1M
  portwright mapping list -C ./server              其他目录中的服务器";
        TunnelStatusExamples => "  portwright tunnel status                         of the server in this directory, or the bundled one
  portwright tunnel status --json                  as JSON
  portwright tunnel status --api http://127.0.0.1:8081 --api-key-file key",
            "  portwright tunnel status                         当前目录或内置的服务器
  portwright tunnel status --json                  以 JSON 输出
  portwright tunnel status --api http://127.0.0.1:8081 --api-key-file key";
        TokenExamples => "  portwright tunnel token create --name home       of the server that quick-start launched
  portwright tunnel token create --config config.yaml --name ci --ports 10000-10009
  portwright tunnel token list --config config.yaml
  portwright tunnel token revoke home --config config.yaml",
            "  portwright tunnel token create --name home       针对 quick-start 启动的服务器
  portwright tunnel token create --config config.yaml --name ci --ports 10000-10009
  portwright tunnel token list --config config.yaml
  portwright tunnel token revoke home --config config.yaml";
        PoolExamples => "  portwright pool alloc                           one port, as long as the calling process lives
  portwright pool alloc -n 3 --contiguous --pid 4711  three in a row for another process
  portwright pool release 20000                   give it back",
            "  portwright pool alloc                           租用一个端口，直到调用进程结束
  portwright pool alloc -n 3 --contiguous --pid 4711  为另一进程租用三个连续端口
  portwright pool release 20000                   归还端口";
        PoolRunExamples => "  portwright pool run -- python3 -m http.server {{port}}
  portwright pool run -n 2 -- sh -c 'serve --http $PORT1 --admin $PORT2'
  portwright pool run --wan 1 -- ./worker         with PORT in its environment
  portwright pool run --listen -- ./server        with a socket that listens already, as LISTEN_FDS",
            "  portwright pool run -- python3 -m http.server {{port}}
  portwright pool run -n 2 -- sh -c 'serve --http $PORT1 --admin $PORT2'
  portwright pool run --wan 1 -- ./worker         端口在环境变量 PORT 中
  portwright pool run --listen -- ./server        以 LISTEN_FDS 方式获得已在监听的套接字";
        BenchExamples => "  portwright bench serve --listen 127.0.0.1:9000  a target, for the far side of what is tested
  portwright bench 127.0.0.1:8000 --direct 127.0.0.1:9000  through a tunnel, and how that compares
  portwright bench 127.0.0.1:7 --echo --test ping-pong,connect  any echo server",
            "  portwright bench serve --listen 127.0.0.1:9000  启动目标，放在被测对象的另一端
  portwright bench 127.0.0.1:8000 --direct 127.0.0.1:9000  经过隧道测试，并与直连比较
  portwright bench 127.0.0.1:7 --echo --test ping-pong,connect  任意回显服务器";
        BenchServeExamples => "  portwright bench serve                          on any free port, which is printed
  portwright bench serve --listen 0.0.0.0:9000    for other machines
  portwright bench serve --json                   print the address as JSON",
            "  portwright bench serve                          使用任意空闲端口并打印地址
  portwright bench serve --listen 0.0.0.0:9000    供其他机器使用
  portwright bench serve --json                   以 JSON 打印地址";
        TunnelServerExamples => "  portwright tunnel server --config config.yaml   run in the foreground
  portwright tunnel server --config config.yaml --env-file .env
  portwright tunnel server --config config.yaml -v  say more",
            "  portwright tunnel server --config config.yaml   在前台运行
  portwright tunnel server --config config.yaml --env-file .env
  portwright tunnel server --config config.yaml -v  输出更多信息";
    }
}
