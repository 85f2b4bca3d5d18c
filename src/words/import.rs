//! Words about mappings that come from other programs' files.

use std::path::PathBuf;

use super::catalogue;

catalogue! {
    /// What an import says.
    ImportWords {
        InFile { path: PathBuf } => "in {path}", "位于 {path}";
        Unreadable { reason: String } => "the file cannot be read: {reason}", "无法读取文件：{reason}";
        Unknown => "the file is none of those that can be imported", "无法识别该文件，不能导入";
        Known => "known are the predecessor's database and configuration, frp's and rathole's TOML", "可导入前身的数据库和配置，以及 frp 和 rathole 的 TOML 文件";
        NoMappings { path: PathBuf, reason: String } => "no mappings can be read from {path}: {reason}", "无法从 {path} 读取映射：{reason}";
        ConfigLoads { path: PathBuf } => "the configuration itself loads unchanged: `portwright tunnel server --config {path}`", "该配置可直接使用：`portwright tunnel server --config {path}`";
        Setting { program: &'static str, name: String } => "{program}'s setting `{name}` is not imported; clients prove themselves by tokens here (`portwright tunnel token create`)",
            "{program} 的设置 `{name}` 不会导入；此处客户端用令牌证明身份（`portwright tunnel token create`）";
        Kind { name: String, kind: String } => "{name}: there is no equivalent for the type {kind}", "{name}：类型 {kind} 没有对应功能";
        NoPorts { name: String } => "{name}: it names no public port or no local port", "{name}：缺少公开端口或本地端口";
        Option { name: String, option: String } => "{name}: there is no equivalent for `{option}`", "{name}：`{option}` 没有对应功能";
        OtherHalf { name: String, half: &'static str } => "{name}: the {half}'s file is needed too", "{name}：还需要 {half} 一方的文件";

        NothingFound => "there is nothing to import", "没有可导入的内容";
        WouldCreate { port: u64, target: String, name: String } => "{port} → {target}  {name}", "{port} → {target}  {name}";
        Refused { port: u64, why: String } => "{port}: {why}", "{port}：{why}";
        Done { made: usize, count: usize } => "{made} of {count} mappings were created", "已创建 {made} / {count} 个映射";
    }
}
