//! Words of the room `tunnel`: its configuration, its database and the answers of its API.

use super::{Message, catalogue};

catalogue! {
    /// Messages of the tunnel server.
    TunnelWords {
        UnknownKey { key: String, line: usize, nearest: String } =>
            "unknown key `{key}` in line {line}; the nearest known one is `{nearest}`", "第 {line} 行的配置项 `{key}` 无法识别；最接近的是 `{nearest}`";
        KeyTwice { key: String, line: usize } => "key `{key}` is given twice (line {line})", "配置项 `{key}` 重复（第 {line} 行）";
        KeyShape { key: String, line: usize } => "`{key}` holds a value of the wrong kind (near line {line})", "`{key}` 的值类型不对（第 {line} 行附近）";
        YamlBroken { line: usize, detail: String } => "this is not YAML (line {line}): {detail}", "YAML 格式错误（第 {line} 行）：{detail}";
        UnknownVariable { name: String, nearest: String } =>
            "unknown variable {name}; the nearest known one is {nearest}", "环境变量 {name} 无法识别；最接近的是 {nearest}";
        WrongValue { key: &'static str, wanted: Wanting, variable: String } =>
            "`{key}` (or {variable}) must be {wanted}", "`{key}`（或 {variable}）的值无效，应为：{wanted}";
        KeyMissing => "there is no API key, and without one everybody could change mappings", "没有设置 API 密钥；没有密钥，任何人都能修改映射";
        KeyExample => "the API key is one that stands in examples", "API 密钥是示例中的密钥";
        KeyWeak { minimum: usize } => "the API key is too easy to guess; it needs {minimum} random characters or more", "API 密钥太容易被猜到，至少需要 {minimum} 个随机字符";
        KeyUnsendable => "the API key holds a character that no header can carry; use letters, digits and signs without spaces", "API 密钥含有请求头无法携带的字符，请只用字母、数字和符号，不含空格";
        MakeKey { variable: String } => "make one with `openssl rand -hex 32` and set it as api.api_key or {variable}", "用 `openssl rand -hex 32` 生成一个，写入 api.api_key 或 {variable}";
        KeyFileUnreadable => "cannot read the file of api.api_key_file", "无法读取 api.api_key_file 指定的文件";
        KeyFileOpen { path: std::path::PathBuf } => "{path} holds the API key and can be read by others", "{path} 保存着 API 密钥，但其他用户也能读取";
        CloseKeyFile { path: std::path::PathBuf } => "close it with `chmod 600 {path}`", "运行 `chmod 600 {path}` 收紧权限";
        ConfigUnreadable => "cannot read the configuration", "无法读取配置文件";
        EnvFileUnreadable => "cannot read the environment file", "无法读取环境变量文件";
        EnvFileBroken => "a line is not NAME=value", "有一行不是 名称=值 的格式";
        InFile { path: std::path::PathBuf } => "in {path}", "位于 {path}";
        BecauseOf { path: std::path::PathBuf, reason: String } => "{path}: {reason}", "{path}：{reason}";
        NoRuntime { reason: String } => "cannot start the server: {reason}", "无法启动服务器：{reason}";

        DatabaseUrlWrong => "database.url cannot be used: it must be postgres://USER:PASSWORD@HOST:PORT/NAME, with ?sslmode=disable, prefer, require or verify-full behind it if you like", "database.url 无法使用：应为 postgres://用户:密码@主机:端口/库名，末尾可加 ?sslmode=disable、prefer、require 或 verify-full";
        DatabaseRootsMissing => "sslmode=verify-full needs sslrootcert=FILE, the certificate of the authority that issued the database's", "sslmode=verify-full 还需要 sslrootcert=文件，即签发数据库证书的机构的证书";
        UrlFileUnreadable => "cannot read the file of database.url_file", "无法读取 database.url_file 指定的文件";
        UrlFileOpen { path: std::path::PathBuf } => "{path} holds the password of the database and can be read by others", "{path} 保存着数据库密码，但其他用户也能读取";
        NoPostgres => "database.url is set, and this program was built without PostgreSQL", "设置了 database.url，但本程序构建时未包含 PostgreSQL";
        BuildWithPostgres => "take a released program, build one with `cargo build --release --features postgres`, or remove database.url", "请使用发布版程序，或用 `cargo build --release --features postgres` 重新构建，或删除 database.url";
        InPostgres { address: String } => "PostgreSQL at {address}", "位于 {address} 的 PostgreSQL";
        PostgresUnusable { reason: String } => "cannot use the database: {reason}", "无法使用数据库：{reason}";
        PostgresRefused => "the database refused; the log says why", "数据库拒绝了操作，原因见日志";
        CheckPostgres => "check that it runs, that database.url names it and its user, and that this user may create a schema there; a database on another machine needs TLS, unless the URL ends in ?sslmode=disable", "请确认数据库正在运行、database.url 中的地址和用户正确，且该用户可在其中创建 schema；位于其他机器的数据库需要 TLS，除非 URL 以 ?sslmode=disable 结尾";
        StorageUnavailable => "the database does not answer; what is served goes on, and nothing can be changed until it is back", "数据库没有响应；现有服务继续运行，数据库恢复前无法更改";
        InDatabase { path: std::path::PathBuf } => "database {path}", "数据库 {path}";
        DatabaseInUse => "another server uses this database", "另一个服务器正在使用该数据库";
        OtherDatabase => "stop that server, or give this one a file of its own with database.path", "请停止那个服务器，或用 database.path 为本服务器另设文件";
        DatabaseUnreadable { reason: String } => "cannot open the database: {reason}", "无法打开数据库：{reason}";
        CheckDatabaseAccess => "check that its folder exists and that this user may write there, or set database.path", "请确认其目录存在且当前用户可写，或另设 database.path";
        DatabaseDamaged => "the database is damaged, or the file is something else", "数据库已损坏，或该文件不是数据库";
        MoveDatabase { path: std::path::PathBuf, aside: std::path::PathBuf } =>
            "put a backup in its place, or start empty after `mv {path} {aside}`", "请用备份替换，或运行 `mv {path} {aside}` 后从空数据库启动";
        DatabaseNewer => "the database was written by a later version of Portwright", "该数据库由更新版本的 Portwright 写入";
        NewerProgram => "run that version, or restore the copy that it made beside the database", "请运行该版本，或恢复它在数据库旁留下的副本";
        TooManyCopies => "there are a hundred copies beside the database already", "数据库旁已有一百份副本";

        ApiPortTaken { address: String } => "cannot open the API: {address} is in use", "无法打开 API：{address} 已被占用";
        OtherApiPort { port: u16 } => "`portwright scan --range {port}` names the holder; api.listen_port chooses another port", "`portwright scan --range {port}` 可查占用者；api.listen_port 可另选端口";
        ApiUnavailable { address: String, reason: String } => "cannot open the API at {address}: {reason}", "无法在 {address} 打开 API：{reason}";
        CheckApiAddress => "api.listen must be an address of this machine, and ports below 1024 may need a privilege", "api.listen 必须是本机地址；1024 以下的端口可能需要权限";
        NoAnswer { address: String, reason: String } => "no answer from {address}: {reason}", "{address} 没有响应：{reason}";
        ForeignAnswer { address: String } => "what answers at {address} is not a tunnel server", "在 {address} 响应的不是隧道服务器";

        ApiUrlTls => "nothing says whose certificate the API's proxy must show", "未指定 API 前的代理应出示哪个机构签发的证书";
        GiveApiCa => "name the authority with `--ca FILE` or PORTWRIGHT_CA; Debian keeps those of the internet in /etc/ssl/certs/ca-certificates.crt", "请用 `--ca 文件` 或 PORTWRIGHT_CA 指定机构证书；Debian 把互联网上的机构证书放在 /etc/ssl/certs/ca-certificates.crt";
        CaWithoutTls => "`--ca` is for an API at https://, and nothing is encrypted at http://", "`--ca` 用于 https:// 的 API；http:// 不加密";
        CompareApiCa => "compare the URL's name and the file of `--ca` with what the proxy is set up with", "请把网址中的名称和 `--ca` 的文件与代理的设置对照";
        ApiWithoutTls => "is there a proxy with TLS 1.3 at that port? the API itself speaks http:// alone", "该端口上有支持 TLS 1.3 的代理吗？API 本身只支持 http://";
        ApiUrlBroken => "a URL such as http://127.0.0.1:8080 or https://tunnel.example.org, without a path", "形如 http://127.0.0.1:8080 或 https://tunnel.example.org 的网址，不含路径";
        ApiUnreachable { url: String, reason: String } => "the API at {url} cannot be reached: {reason}", "无法访问 {url} 的 API：{reason}";
        NameApi => "start the server, or name its API with `--api URL` or its directory with `-C DIR`", "请启动服务器，或用 `--api 网址` 指定其 API，或用 `-C 目录` 指定其目录";
        ApiRefused { message: String, code: String } => "{message} ({code})", "{message}（{code}）";
        AnswerLost { url: String, reason: String } => "the answer of {url} got lost, and the change may have been made: {reason}", "未收到 {url} 的答复，更改可能已经生效：{reason}";
        LookAtMappings => "`portwright mapping list` shows how it is now", "可用 `portwright mapping list` 查看当前状态";
        NoApiKey => "there is no API key to show to the server", "没有可出示给服务器的 API 密钥";
        GiveApiKey => "name the server's directory with `-C DIR`, or its key with `--api-key-file FILE` or PORTWRIGHT_API_API_KEY",
            "请用 `-C 目录` 指定服务器目录，或用 `--api-key-file 文件` 或 PORTWRIGHT_API_API_KEY 提供密钥";
        MappingCreated { port: crate::model::Port } => "mapping of port {port} created", "端口映射创建成功：{port}";
        MappingUpdated { port: crate::model::Port } => "mapping of port {port} updated", "映射更新成功：{port}";
        MappingReloaded { port: crate::model::Port } => "mapping of port {port} reloaded", "映射已重新加载：{port}";
        MappingRemoved { port: crate::model::Port } => "mapping of port {port} removed", "端口映射已删除：{port}";
        ClientsListed => "clients listed", "已列出客户端";
        TrafficListed => "traffic listed", "已列出流量";
        HistoryListed => "history listed", "已列出历史记录";
        ConnectionsListed => "connections listed", "已列出连接";
        AuditListed => "changes listed", "已列出变更记录";
        LogsListed => "log lines listed", "已列出日志";
        TokensListed => "tokens listed", "已列出令牌";
        TokenMade { name: String } => "token {name} created; it is shown this once", "令牌 {name} 已创建，仅显示这一次";
        TokenTakenBack { name: String } => "token {name} revoked", "令牌 {name} 已吊销";
        MappingsListed => "mappings listed", "已列出端口映射";

        InvalidField { field: &'static str, wanted: Wanting } => "`{field}` must be {wanted}", "`{field}` 无效，应为：{wanted}";
        UnknownField { field: String } => "unknown field `{field}`", "未知字段 `{field}`";
        FieldTwice { field: String } => "duplicate field `{field}`", "字段 `{field}` 重复";
        Because { reason: Box<Message> } => "{reason}", "{reason}";
        Reloading => "its listener is being opened", "正在打开监听端口";
        StatsDisabled => "this server records no traffic; stats.enabled turns it on", "此服务器未记录流量；可用 stats.enabled 开启";
        BadJson { detail: String } => "the body cannot be understood: {detail}", "无法理解请求内容：{detail}";
        NotAnObject => "the body must be a JSON object", "请求内容必须是 JSON 对象";
        UdpUnsupported => "a direct mapping forwards TCP alone; UDP goes through the tunnel, with `use_tunnel`: true", "直接映射只能转发 TCP；UDP 须经由隧道，请设 `use_tunnel` 为 true";
        PortForbidden { port: crate::model::Port } => "port {port} is on the server's blacklist", "端口 {port} 在服务器的黑名单中";
        PortOutOfRange { port: crate::model::Port, range: crate::model::PortRange } => "port {port} is outside the server's range {range}", "端口 {port} 不在服务器的范围 {range} 内";
        PortInUse { port: crate::model::Port } => "port {port} is in use on the server", "系统内端口 {port} 已被占用";
        PortPrivileged { port: crate::model::Port } => "the server may not open port {port}", "服务器无权打开端口 {port}";
        PortUnavailable { port: crate::model::Port, reason: String } => "the server cannot open port {port}: {reason}", "服务器无法打开端口 {port}：{reason}";
        MappingExists { port: crate::model::Port } => "port {port} already is a mapping", "已经存在端口 {port} 的映射";
        MappingExistsAs { port: crate::model::Port, protocol: String } =>
            "port {port} already is a mapping of {protocol}, and a port number is one mapping, whatever its protocol", "端口 {port} 已有 {protocol} 映射；一个端口号只能有一个映射，不论协议";
        MappingNotFound { port: crate::model::Port } => "port {port} is no mapping", "端口 {port} 没有映射";
        TooManyMappings { limit: usize } => "the server has its {limit} mappings", "映射数量已达上限 {limit}";
        NoClient => "no client is connected that may serve it", "没有可为其服务的客户端连接";
        ControlPortTaken { address: String } => "cannot open the tunnel: {address} is in use", "无法打开隧道：{address} 已被占用";
        OtherControlPort { port: u16 } => "`portwright scan --range {port}` names the holder; tunnel.listen_port chooses another port", "`portwright scan --range {port}` 可查占用者；tunnel.listen_port 可另选端口";
        ControlUnavailable { address: String, reason: String } => "cannot open the tunnel at {address}: {reason}", "无法在 {address} 打开隧道：{reason}";
        CheckControlAddress => "tunnel.listen must be an address of this machine, and ports below 1024 may need a privilege", "tunnel.listen 必须是本机地址；1024 以下的端口可能需要权限";
        BadExpose { text: String, wanted: Wanting } => "`--expose {text}` must be {wanted}", "`--expose {text}` 无效，应为：{wanted}";
        StandardInput { reason: String } => "standard input: {reason}", "标准输入：{reason}";
        LinkSilent { server: String } => "{server} has not been heard for 15 seconds", "已有 15 秒没有收到 {server} 的消息";
        LinkBroken { server: String, reason: String } => "the connection to {server} broke: {reason}", "与 {server} 的连接中断：{reason}";
        LinkClosed { server: String } => "{server} closed the connection", "{server} 关闭了连接";
        ServerStopped { server: String } => "{server} is stopping", "{server} 正在停止";
        TokenRevoked { server: String } => "{server} has revoked the token", "{server} 已吊销该令牌";
        ClientReplaced { server: String } => "another client took over this name at {server}", "另一个客户端在 {server} 上接管了此名称";
        TunnelUnavailable => "this server has no tunnel; name a target to forward directly", "此服务器没有隧道；请指定目标以直接转发";
        TargetSpecial { target: String } => "{target} is an address that no mapping may reach", "任何映射都不允许访问 {target}";
        TargetOwn { target: String } => "{target} is a listener of this server, which would be a loop", "{target} 是本服务器自己的监听端口，会形成回环";
        TargetListed { target: String } => "security.targets.deny closes {target}", "security.targets.deny 禁止访问 {target}";
        TargetPublic { target: String } => "{target} is public; security.targets.allow must name it first", "{target} 是公网地址，须先列入 security.targets.allow";
        StorageFull => "the server's disk is full; nothing was changed", "服务器磁盘已满，未作任何更改";
        StorageFailed => "the server's database refused; nothing was changed, and its log says why", "服务器数据库拒绝写入，未作任何更改，原因见其日志";
        InternalFailure => "the server failed; its log says more", "服务器内部错误，详情见其日志";
        ShuttingDown => "the server is stopping", "服务器正在停止";

        HostMissing => "a request names its host once", "请求必须且只能包含一个 Host";
        HostForbidden => "this server does not answer to that host name; api.allowed_hosts adds one", "服务器不接受该主机名；可用 api.allowed_hosts 添加";
        OriginForbidden => "pages of other sites may not change mappings", "其他网站的页面不能修改映射";
        AddressForbidden => "api.allowed_ips does not name your address", "您的地址不在 api.allowed_ips 中";
        RateLimited => "too many requests; wait a second", "请求过多，请稍候一秒";
        KeyInUrl => "the key does not belong in the URL; send it as `Authorization: Bearer`", "密钥不应出现在 URL 中，请用 `Authorization: Bearer` 发送";
        KeyNotSent => "the API key is missing; send it as `Authorization: Bearer` or `X-API-Key`", "缺少 API 密钥，请用 `Authorization: Bearer` 或 `X-API-Key` 发送";
        KeyWrong => "the API key is wrong", "无效的 API 密钥";
        NoSuchRoute => "there is nothing here", "此路径不存在";
        WrongMethod => "this route does not take that method", "此路径不支持该请求方法";
        JsonOnly => "the body must be application/json", "请求内容类型必须是 application/json";
        BodyTooLarge { limit: usize } => "the body is larger than {limit} bytes", "请求内容超过 {limit} 字节";
        BodyBroken => "the body broke off", "请求内容中断";
        BodyTimeout => "the body took too long", "请求内容接收超时";
    }
}

catalogue! {
    /// What a configuration key or a field of a request must be; completes "must be …".
    Wanting {
        OneValue => "one value, not a list", "单个值，而不是列表";
        TrueOrFalse => "true or false", "true 或 false";
        PortNumber => "a whole number, 1 to 65535", "1 到 65535 的整数";
        FromOne => "a whole number, 1 or more", "不小于 1 的整数";
        OffsetNumber => "a whole number, 0 to 65535", "0 到 65535 的整数";
        ListenAddress => "an address such as 127.0.0.1 or ::", "IP 地址，例如 127.0.0.1 或 ::";
        HostAndPort => "HOST:PORT, as clients dial it", "客户端所用的 主机:端口";
        LastPort => "a port not below port_range.from", "不小于 port_range.from 的端口";
        CertificateKey => "the key of tunnel.cert_file", "tunnel.cert_file 对应的私钥";
        KeyCertificate => "the certificate of tunnel.key_file", "tunnel.key_file 对应的证书";
        AutoForCertificates => "auto, since certificate files are given", "auto，因为已指定证书文件";
        AutoOrOff => "auto or off", "auto 或 off";
        QuotedString => "a string in quotes", "带引号的字符串";
        NoUrlFile => "left out, since database.url is given", "省略，因为已设置 database.url";
        NoKeyFile => "left out, since api.api_key is given", "省略，因为已设置 api.api_key";
        Level => "error, warn, info, debug or trace", "error、warn、info、debug 或 trace";
        Format => "text or json", "text 或 json";
        OnlyTargetHost => "left out, since target_host is given", "省略，因为已给出 target_host";
        OnlySourcePort => "left out, since source_port is given", "省略，因为已给出 source_port";
        TcpOrUdp => "tcp or udp", "tcp 或 udp";
        ProxyVersion => "v1, v2 or empty", "v1、v2 或留空";
        ProxyOfUdp => "v2 or empty, since version 1 knows no UDP", "v2 或留空，因为第 1 版不支持 UDP";
        NoProxy => "left out, since the mapping does not go through the tunnel", "省略，因为该映射不经由隧道";
        Text => "a string", "字符串";
        Ranges => "a list of ports or ranges such as [\"10000-10009\"]", "端口或端口范围的列表，例如 [\"10000-10009\"]";
        CountOf { most: u32 } => "a whole number, 1 to {most}", "1 到 {most} 的整数";
        ShortName => "at most 64 printable characters", "不超过 64 个可打印字符";
        Rule => "disabled, whitelist or blacklist", "disabled、whitelist 或 blacklist";
        Networks => "a list of at most 256 networks such as [\"10.0.0.0/8\"], not empty for a rule", "不超过 256 个网段的列表，例如 [\"10.0.0.0/8\"]；设有规则时不能为空";
        BytesPerSecond => "bytes a second, a whole number from 0", "每秒字节数，不小于 0 的整数";
        Network => "an address or a network like 10.0.0.0/8", "IP 地址或网段，例如 10.0.0.0/8";
        Ipv4Notation => "an IPv4 network in IPv4 notation", "用 IPv4 写法表示的 IPv4 网段";
        Prefix => "a prefix of 0 to 32, or 0 to 128", "前缀长度 0 到 32（IPv6 为 0 到 128）";
        HostOrAddress => "a host name or an address", "主机名或 IP 地址";
        PlainDecimal => "an address in plain decimal notation", "普通十进制写法的 IP 地址";
        ExposedTarget => "PORT or HOST:PORT, where the port may be a range or *", "端口或 主机:端口，端口可以是范围或 *";
        TargetEntry => "a host name, an address or a network like 10.0.0.0/8", "主机名、IP 地址或网段，例如 10.0.0.0/8";
    }
}
