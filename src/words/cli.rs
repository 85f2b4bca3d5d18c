//! Words of the room `cli`: wrong command lines, the frame of errors and tables, and output that fails.

use super::{Message, catalogue};

catalogue! {
    /// Messages of the room `cli`.
    CliWords {
        ErrorMark => "error:", "错误：";
        WarningMark => "warning:", "警告：";
        NoteMark => "note:", "说明：";
        HintMark => "hint:", "提示：";
        While { place: String } => "while {place}", "在{place}时";
        WithUsage { hint: Box<Message>, usage: String } => "{hint}
usage: {usage}", "{hint}
用法：{usage}";

        UnknownArgument { argument: String } => "there is no argument `{argument}`", "没有参数 `{argument}`";
        UnknownVerb { verb: String } => "there is no command `{verb}`", "没有命令 `{verb}`";
        DidYouMean { name: String } => "did you mean `{name}`?", "是不是想输入 `{name}`？";
        InvalidValue { argument: String, value: String } =>
            "`{value}` is not a value of `{argument}`", "`{value}` 不能作为 `{argument}` 的值";
        PossibleValues { values: String } => "possible values: {values}", "可用的值：{values}";
        InvalidValueBecause { argument: String, value: String, reason: Box<Message> } =>
            "`{value}` is not a value of `{argument}`: {reason}", "`{value}` 不能作为 `{argument}` 的值：{reason}";
        ValueRefused => "it does not fit", "不符合要求";
        ValueMissing { argument: String } => "`{argument}` needs a value", "`{argument}` 需要一个值";
        ValueUnwanted { argument: String } => "`{argument}` takes no value", "`{argument}` 不接受值";
        ArgumentMissing { arguments: String } => "this is missing: {arguments}", "缺少：{arguments}";
        VerbMissing => "a command is missing", "缺少命令";
        Conflict { argument: String, other: String } =>
            "`{argument}` cannot be used with `{other}`", "`{argument}` 不能与 `{other}` 同时使用";
        UsedTwice { argument: String } => "`{argument}` can be given only once", "`{argument}` 只能出现一次";
        NotUtf8 => "an argument is not valid UTF-8", "有参数不是有效的 UTF-8";
        NotUnderstood { detail: String } =>
            "the command line cannot be understood: {detail}", "无法理解该命令行：{detail}";
        TryHelp { command: String } => "run `{command} --help`", "运行 `{command} --help` 查看帮助";

        WantsTarget => "PORT, HOST or HOST:PORT; an IPv6 address before a port stands in brackets", "端口、主机 或 主机:端口；端口前的 IPv6 地址须加方括号";
        WantsBytesPerSecond => "bytes a second, such as 500000, 64K or 1M; 0 is no limit", "每秒字节数，例如 500000、64K 或 1M；0 表示不限";
        WantsPort => "a port is a whole number from 1 to 65535", "端口应为 1 到 65535 之间的整数";
        WantsRange => "a range is written A-B, from the lower port to the higher, within 1 to 65535",
            "范围写作 起-止，由小到大，在 1 到 65535 之间";
        WantsPortWish => "it is written NAME=PORT, such as web=8081", "应写作 名称=端口，例如 web=8081";
        WantsSeconds { most: u64 } => "it is a whole number of seconds from 1 to {most}", "应为 1 到 {most} 之间的整数秒";
        WantsLifetime => "it is a whole number of seconds, or one with s, m, h or d behind it, such as 90m or 12h; at most 366d",
            "应为整数秒，或带 s、m、h、d 后缀的整数，例如 90m 或 12h；最多 366d";
        WantsProcessId => "it is the number of a process", "应为进程号";
        WantsAddress => "it is an IP address, such as `127.0.0.1` or `::1`", "应为 IP 地址，例如 `127.0.0.1` 或 `::1`";
        WantsCount => "it is a whole number from 1 to 65535", "应为 1 到 65535 之间的整数";
        WantsWithin { most: usize } => "it is a whole number from 1 to {most}", "应为 1 到 {most} 之间的整数";
        WantsMessageBytes { most: usize } => "it is a number of bytes from 1 to {most}, such as 1024, 64K or 1M",
            "应为 1 到 {most} 之间的字节数，例如 1024、64K 或 1M";
        WantsBenchSeconds => "it is a number of seconds from 0.1 to 3600", "应为 0.1 到 3600 之间的秒数";
        WantsBenchTest { names: String } => "a test is all or one of {names}", "测试应为 all，或下列之一：{names}";
        WantsLines => "it is a whole number", "应为整数";
        WantsUserName => "a user's name: letters, digits, `-`, `_` and `.`", "用户名：字母、数字、`-`、`_` 和 `.`";
        WantsInstanceName { most: usize } =>
            "a name has at most {most} characters: small letters, digits, - and _, beginning with a letter or digit",
            "名称最多 {most} 个字符，只能包含小写字母、数字、- 和 _，并以字母或数字开头";
        WantsReport => "it is written KIND=FILE, KIND being json, github, junit or sarif",
            "应写作 类型=文件，类型为 json、github、junit 或 sarif";

        OutputClosed => "the reader of the output has gone", "输出的读取方已关闭";
        OutputFailed { why: String } => "the output cannot be written: {why}", "无法写出输出：{why}";
        NotJson { why: String } => "the answer cannot be put into JSON: {why}", "无法把结果转换为 JSON：{why}";
        Panicked => "something happened that cannot happen", "发生了不应发生的情况";
        ReportThis => "this is a fault of portwright; please report it with the command that you ran",
            "这是 portwright 的缺陷，请附上所运行的命令进行反馈";

        ServiceColumn => "SERVICE", "服务";
        PublishedColumn => "PUBLISHED", "发布端口";
        ContainerColumn => "CONTAINER", "容器端口";
        StateColumn => "STATE", "状态";
        HolderColumn => "HELD BY", "占用者";
        SuggestedColumn => "SUGGESTED", "建议";
        ReasonColumn => "REASON", "原因";
        ProtocolColumn => "PROTO", "协议";
        AddressColumn => "ADDRESS", "地址";
        PortColumn => "PORT", "端口";
        ProcessColumn => "PROCESS", "进程";
        UserColumn => "USER", "用户";
        OwnerContainerColumn => "CONTAINER", "容器";
        ProjectServiceColumn => "PROJECT/SERVICE", "项目/服务";
        EngineChooses => "chosen by the engine", "由引擎选择";

        NewFile { file: String } => "{file} (new file)", "{file}（新文件）";
        WindowsLineEnds => "this file has Windows line ends; they stay", "该文件使用 Windows 换行符，将保持不变";
        NotText => "this file is not UTF-8; what cannot be shown is replaced", "该文件不是 UTF-8，无法显示的部分已被替换";
        HiddenChange { lines: usize } => "{lines} changed lines look alike here because their values are hidden",
            "有 {lines} 行改动的值被隐藏，因此看起来相同";
    }
}
