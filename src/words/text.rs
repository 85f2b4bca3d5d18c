//! Words of the room `text`.

use std::path::PathBuf;

use super::catalogue;

catalogue! {
    /// Messages of the room `text`.
    TextWords {
        InFile { file: PathBuf } => "in {file}", "文件 {file}";
        NoSuchFile { file: PathBuf } => "{file} does not exist or is not a regular file", "{file} 不存在，或不是普通文件";
        FileTooLarge { file: PathBuf, bytes: usize, limit: usize } =>
            "{file} has {bytes} bytes; the limit is {limit}", "{file} 有 {bytes} 字节，上限为 {limit}";
        FileIsUtf16 { file: PathBuf } => "{file} is UTF-16, which compose cannot read", "{file} 是 UTF-16 编码，compose 无法读取";
        FileNotUtf8 { file: PathBuf, line: usize } => "{file}:{line} is not UTF-8", "{file}:{line} 不是 UTF-8 编码";
        HintSaveAsUtf8 => "save the file as UTF-8 and run again", "请将文件另存为 UTF-8 后重试";
        YamlSyntax { file: PathBuf, line: usize, column: usize, why: String } =>
            "{file}:{line}:{column} is not valid YAML: {why}", "{file}:{line}:{column} 不是有效的 YAML：{why}";
        DuplicateKey { file: PathBuf, line: usize, key: String, first: usize } =>
            "{file}:{line}: the key `{key}` is already given in line {first}", "{file}:{line}：键 `{key}` 已在第 {first} 行出现";
        AliasCycle { file: PathBuf, line: usize, column: usize } =>
            "{file}:{line}:{column}: this alias contains itself", "{file}:{line}:{column}：该别名引用了自身";
        KeyNotText { file: PathBuf, line: usize, column: usize } =>
            "{file}:{line}:{column}: a key must be text", "{file}:{line}:{column}：键必须是文本";
        MergeNotMapping { file: PathBuf, line: usize, column: usize } =>
            "{file}:{line}:{column}: `<<` takes a mapping or a list of mappings",
            "{file}:{line}:{column}：`<<` 只接受映射或映射列表";
        TooManyNodes { file: PathBuf, limit: usize } =>
            "{file} expands to more than {limit} values or nests too deeply", "{file} 展开后超过 {limit} 个值，或嵌套过深";
        TooManyFiles { limit: usize } =>
            "the project has more than {limit} files or documents", "该项目的文件或文档超过 {limit} 个";
        WrongKind { file: PathBuf, line: usize, column: usize, key: String, wanted: String } =>
            "{file}:{line}:{column}: `{key}` must be a {wanted}", "{file}:{line}:{column}：`{key}` 的类型必须是 {wanted}";
        EmptyComposeFile { file: PathBuf } => "{file} has no content", "{file} 没有内容";
        SeveralComposeFiles { used: PathBuf, ignored: PathBuf } =>
            "{used} is used; {ignored} is ignored", "使用 {used}，忽略 {ignored}";
        BadTemplate { file: PathBuf, line: usize, column: usize } =>
            "{file}:{line}:{column}: a `$` here starts no variable that compose understands",
            "{file}:{line}:{column}：此处的 `$` 不是 compose 能识别的变量";
        HintDoubleDollar => "write `$$` for a dollar sign", "表示美元符号请写 `$$`";
        TemplateTooLarge { file: PathBuf, line: usize, column: usize } =>
            "{file}:{line}:{column}: this value nests too deeply or becomes too long",
            "{file}:{line}:{column}：该值嵌套过深或展开后过长";
        RequiredVariable { file: PathBuf, line: usize, column: usize, name: String, why: String } =>
            "{file}:{line}:{column}: the variable {name} is required: {why}",
            "{file}:{line}:{column}：必须设置变量 {name}：{why}";
        HintSetVariable { name: String } => "set {name} in .env or in the environment", "请在 .env 或环境变量中设置 {name}";
        VariableUnset { file: PathBuf, line: usize, name: String } =>
            "{file}:{line}: the variable {name} is not set and counts as empty",
            "{file}:{line}：变量 {name} 未设置，按空值处理";
        DuplicateVariable { file: PathBuf, name: String, line: usize } =>
            "{file} assigns {name} more than once; line {line} counts", "{file} 多次为 {name} 赋值，以第 {line} 行为准";
        BadProjectName { name: String } =>
            "`{name}` is no project name: lower case letters, digits, `-` and `_`, starting with a letter or digit",
            "`{name}` 不能作为项目名：只能用小写字母、数字、`-` 和 `_`，且以字母或数字开头";
        HintProjectName { name: String } => "use `{name}`", "请改用 `{name}`";
        NoProjectName { directory: PathBuf } =>
            "no project name can be made from the directory {directory}", "无法从目录 {directory} 得到项目名";
        HintNameProject => "write `name:` into the compose file or set `COMPOSE_PROJECT_NAME`",
            "请在 compose 文件中写入 `name:`，或设置 COMPOSE_PROJECT_NAME";
        RemoteFile { file: PathBuf, line: usize } =>
            "{file}:{line} names a file that is not on this machine; Portwright reads local files only",
            "{file}:{line} 引用了不在本机的文件，Portwright 只读取本地文件";
        IncludeCycle { file: PathBuf, line: usize, name: PathBuf } =>
            "{file}:{line}: {name} includes itself, or the includes nest too deeply",
            "{file}:{line}：{name} 包含了自身，或 include 嵌套过深";
        ExtendsCycle { file: PathBuf, line: usize, service: String } =>
            "{file}:{line}: service `{service}` extends itself, or the chain is too long",
            "{file}:{line}：服务 `{service}` 继承了自身，或继承链过长";
        NoServiceToExtend { file: PathBuf, service: String } =>
            "{file} has no service `{service}` to extend", "{file} 中没有可继承的服务 `{service}`";
        LostSource => "a value has lost its source", "某个值丢失了来源";
        PortForm { file: PathBuf, line: usize, column: usize, service: String } =>
            "{file}:{line}:{column}: this port of service `{service}` is neither text nor a mapping",
            "{file}:{line}:{column}：服务 `{service}` 的该端口既不是文本也不是映射";
        PortAddress { file: PathBuf, line: usize, column: usize, service: String } =>
            "{file}:{line}:{column}: the address of this port of service `{service}` is not an IP address",
            "{file}:{line}:{column}：服务 `{service}` 的该端口的地址不是 IP 地址";
        PortHost { file: PathBuf, line: usize, column: usize, service: String } =>
            "{file}:{line}:{column}: invalid host port of service `{service}`: a port is 1 to 65535, a range A-B",
            "{file}:{line}:{column}：服务 `{service}` 的主机端口无效：端口为 1 到 65535，范围写作 A-B";
        PortContainer { file: PathBuf, line: usize, column: usize, service: String } =>
            "{file}:{line}:{column}: invalid container port of service `{service}`: a port is 1 to 65535, a range A-B",
            "{file}:{line}:{column}：服务 `{service}` 的容器端口无效：端口为 1 到 65535，范围写作 A-B";
        PortLengths { file: PathBuf, line: usize, column: usize, service: String } =>
            "{file}:{line}:{column}: the port ranges of service `{service}` have different lengths",
            "{file}:{line}:{column}：服务 `{service}` 两侧的端口范围长度不同";
        PortProtocol { file: PathBuf, line: usize, column: usize, service: String } =>
            "{file}:{line}:{column}: the protocol of this port of service `{service}` is not tcp, udp or sctp",
            "{file}:{line}:{column}：服务 `{service}` 的该端口的协议不是 tcp、udp 或 sctp";
        PortTooMany { file: PathBuf, line: usize, column: usize, service: String } =>
            "{file}:{line}:{column}: with service `{service}` the project publishes more ports than there are",
            "{file}:{line}:{column}：加上服务 `{service}`，项目发布的端口数超过端口总数";
        SctpIgnored { service: String } =>
            "service `{service}` publishes an SCTP port, which is not looked at", "服务 `{service}` 发布了 SCTP 端口，不予检查";
        BareSexagesimal { file: PathBuf, line: usize, text: String } =>
            "{file}:{line}: `{text}` without quotes is a number in base 60 for docker-compose 1 and others; put it in quotes",
            "{file}:{line}：`{text}` 未加引号，docker-compose 1 等会把它读成六十进制数，请加引号";
        VariableUsedElsewhere { file: PathBuf, line: usize, name: String, place: String } =>
            "{file}:{line}: {name} also decides {place}, so the port is changed here and not in .env",
            "{file}:{line}：{name} 还决定 {place}，因此改在此处，而不改 .env";
        VariableNotSettable { file: PathBuf, line: usize, name: String } =>
            "{file}:{line}: setting {name} in .env would not move this port alone, so the port is changed here",
            "{file}:{line}：在 .env 中设置 {name} 不能只改动此端口，因此改在此处";
        EnvFilePassedOn { file: PathBuf, service: String } =>
            "service `{service}` gets all of {file} as its environment, changed ports included",
            "服务 `{service}` 会收到 {file} 中的全部变量，包括改动后的端口";
        HintOverride => "use --override, which writes a compose.override.yaml, or edit the line by hand",
            "使用 --override 生成 compose.override.yaml，或手动修改该行";
        LockedRandom => "the engine chooses this port", "该端口由引擎选择";
        LockedVariable { name: String } =>
            "{name} decides the port and more, and cannot be changed for this port alone",
            "{name} 除该端口外还决定其他内容，不能只为该端口修改";
        LockedComposed { name: String } =>
            "the port is put together from {name} and other text", "该端口由 {name} 与其他文本拼成";
        LockedSeveral { names: String } =>
            "several variables make this port: {names}", "该端口由多个变量组成：{names}";
        LockedOutside { file: PathBuf } =>
            "{file} lies outside the project directory", "{file} 位于项目目录之外";
        LockedAlias { services: String } =>
            "the port is reached through a YAML alias, used by {services}", "该端口经由 YAML 别名引用，使用者：{services}";
        LockedMerge { services: String } =>
            "the port is reached through a YAML merge key, used by {services}",
            "该端口经由 YAML 合并键引用，使用者：{services}";
        LockedShared { services: String } =>
            "the same line gives the port to several services: {services}", "同一行为多个服务提供该端口：{services}";
        LockedBlock => "the port is written as a block scalar", "该端口写成了块标量";
        LockedEscape => "the port is written with escapes or over several lines", "该端口的写法含有转义或跨行";
        StalePicture => "the project is not what it was when the plan was made", "项目内容与制定计划时不一致";
        HintPlanAgain => "run again", "请重新运行";
        MoveUnknown => "a move names a port that the project does not have", "改动所指的端口不在项目中";
        MoveLocked { service: String, file: PathBuf, line: usize, column: usize, why: Box<super::Message> } =>
            "the port of service `{service}` at {file}:{line}:{column} cannot be changed in place: {why}",
            "服务 `{service}` 位于 {file}:{line}:{column} 的端口不能就地修改：{why}";
        MoveShell { service: String, name: String } =>
            "the port of service `{service}` comes from {name} in the shell's environment",
            "服务 `{service}` 的端口来自 shell 环境变量 {name}";
        HintUnset { name: String } => "unset {name}, or set it to another port", "请取消设置 {name}，或改为其他端口";
        MoveTooHigh { service: String } =>
            "the ports of service `{service}` would end above 65535", "服务 `{service}` 的端口将超过 65535";
        MoveDisagrees { name: String } =>
            "two moves want different values for {name}", "两处改动要求 {name} 取不同的值";
        ProofElsewhere { place: String } =>
            "the change would also alter {place}, so nothing was written", "此改动还会影响 {place}，因此未写入任何内容";
        ProofPorts { service: String } =>
            "the change would not move exactly the planned ports of service `{service}`, so nothing was written",
            "此改动无法恰好移动服务 `{service}` 的计划端口，因此未写入任何内容";
        ProofYaml { file: PathBuf, line: usize, column: usize } =>
            "{file}:{line}:{column}: two YAML parsers do not agree that only the port would change",
            "{file}:{line}:{column}：两个 YAML 解析器未能一致确认只有端口会改变";
        OverrideHasService { file: PathBuf, line: usize, service: String } =>
            "{file}:{line} already speaks of service `{service}` in a way that cannot be extended safely",
            "{file}:{line} 已包含服务 `{service}`，无法安全地扩展";
        HintEditOverride { file: PathBuf, service: String } =>
            "add `ports: !override` with all ports of `{service}` to {file} by hand",
            "请手动在 {file} 中为 `{service}` 写入包含全部端口的 `ports: !override`";
        NoteAddFile { file: PathBuf } =>
            "add `-f {file}` (or name it in `COMPOSE_FILE`), or compose will not read it",
            "请加上 `-f {file}`（或写入 COMPOSE_FILE），否则 compose 不会读取";
        NoteOverridden { file: PathBuf, line: usize, service: String, why: Box<super::Message> } =>
            "{file}:{line}: the port of service {service} moves in an override file, because {why}",
            "{file}:{line}：服务 {service} 的端口改在覆盖文件中设置，因为{why}";
        LockedIncluded { file: PathBuf } =>
            "{file} is an included file, which other projects may use", "{file} 是被 include 的文件，其他项目也可能使用";
        NoteComposeTwo { file: PathBuf } =>
            "{file} uses `!override`, which docker-compose 1 does not know", "{file} 使用了 docker-compose 1 不支持的 `!override`";
    }
}
