//! Words of `tune`: what each setting of a system's network does, what was seen of it, and what was done.

use std::path::PathBuf;

use super::{Message, catalogue};
use crate::model::PortRange;

catalogue! {
    /// What `tune` says.
    TuneWords {
        LocalPortRange => "the local ports of outgoing connections; when they run out, connecting fails with EADDRNOTAVAIL",
            "外出连接的本地端口范围；用尽后连接会以 EADDRNOTAVAIL 失败";
        ReservedPorts => "ports that outgoing connections never get by chance; a service may bind them all the same",
            "外出连接不会随机取得的端口；服务仍可绑定这些端口";
        Somaxconn => "connections that may wait to be accepted; a longer queue that a server asks for is cut to it silently",
            "等待接受的连接数上限；服务端要求更长的队列时会被悄悄截断";
        SynBacklog => "half-open connections for each listener, about 304 bytes each", "每个监听者的半开连接数，每个约 304 字节";
        Syncookies => "answers a flood of half-open connections when the queue is full; not a means to serve more of them",
            "队列满时用于应对半开连接洪泛；并不能提高处理能力";
        NetdevBacklog => "packets that may wait for a processor; matters at 10 Gbit/s and more",
            "等待处理器的数据包数；在 10 Gbit/s 及以上才有意义";
        Conntrack => "connections that the firewall keeps track of; when the table is full, packets are dropped",
            "防火墙跟踪的连接数；表满后会丢弃数据包";
        TimeWaitReuse => "an outgoing connection may take the port of one in TIME_WAIT; 2 is for loopback alone, and the kernel's document says to leave it",
            "外出连接可复用处于 TIME_WAIT 的端口；2 表示仅限环回，内核文档建议保持不变";
        FinTimeout => "how long an orphaned connection stays in FIN_WAIT_2, in seconds; it is not TIME_WAIT, which is always 60 s",
            "孤立连接停留在 FIN_WAIT_2 的秒数；并非 TIME_WAIT，后者固定为 60 秒";
        ReceiveBuffer => "least, first and largest receive buffer in bytes; the kernel chooses in between",
            "接收缓冲区的最小、初始和最大字节数；由内核在其间选择";
        SendBuffer => "least, first and largest send buffer in bytes; the kernel chooses in between",
            "发送缓冲区的最小、初始和最大字节数；由内核在其间选择";
        ReceiveLimit => "the largest receive buffer that a program may ask for itself, in bytes", "程序可自行请求的最大接收缓冲区字节数";
        SendLimit => "the largest send buffer that a program may ask for itself, in bytes", "程序可自行请求的最大发送缓冲区字节数";
        CongestionControl => "how fast a connection sends; bbr does better than cubic where packets get lost at random",
            "决定连接的发送速度；在随机丢包的线路上 bbr 优于 cubic";
        SlowStartAfterIdle => "whether a connection starts slowly again after a pause", "连接空闲后是否重新慢启动";
        KeepaliveTime => "seconds of silence before the kernel asks whether the peer is there, where a program asked for that; many NAT devices forget a connection far earlier",
            "在程序要求保活时，内核在静默多少秒后探测对端；许多 NAT 设备会更早丢弃连接";
        UnprivilegedStart => "the first port that an ordinary user may bind; better leave it and give the one service CAP_NET_BIND_SERVICE",
            "普通用户可绑定的最低端口；建议保持不变，只给相应服务 CAP_NET_BIND_SERVICE";
        MacPortRange => "where the local ports of outgoing connections begin; both keys belong together",
            "外出连接的本地端口起点；两个键应保持一致";
        MacSegmentLife => "half of TIME_WAIT, in milliseconds; a smaller one is too small for the Internet",
            "TIME_WAIT 的一半，单位毫秒；更小的值不适合互联网";
        DynamicPorts => "the local ports of outgoing connections; a wider range is no lasting cure for a process that leaks connections",
            "外出连接的本地端口范围；对于泄漏连接的进程，扩大范围并非长久之计";
        ExcludedPorts => "ports that neither WinNAT (Hyper-V, WSL, Docker Desktop) nor outgoing connections get; a service may bind them all the same",
            "WinNAT（Hyper-V、WSL、Docker Desktop）和外出连接都不会取得的端口；服务仍可绑定";
        AutoTuning => "the receive window follows the line; Microsoft says never to disable it", "接收窗口随线路自动调整；微软建议切勿禁用";
        TimedWaitDelay => "seconds of TIME_WAIT in Windows XP; later versions may ignore it, and the sources contradict each other",
            "Windows XP 中 TIME_WAIT 的秒数；之后的版本可能忽略它，各来源说法不一";
        MaxUserPort => "the last local port in Windows 2003; the dynamic range took its place, and at worst this moves its start to 1025, into the ports of services",
            "Windows 2003 中最高的本地端口；已被动态端口范围取代，最坏情况下会把起点移到 1025，进入服务端口";
        FinWait2Delay => "seconds of FIN_WAIT_2 in Windows 2003; no known effect on Windows 10 and later",
            "Windows 2003 中 FIN_WAIT_2 的秒数；在 Windows 10 及以后版本中没有已知作用";

        PortsShort { used: u64, count: u64 } => "{used} of {count} ports are in use", "{count} 个端口中已用 {used} 个";
        PortsExposed { ports: String, range: PortRange } =>
            "services have {ports} in {range}, so an outgoing connection may take one while its service restarts",
            "服务端口 {ports} 位于 {range}，服务重启时可能被外出连接占用";
        BelowDefault { least: u64 } => "less than {least}: a burst of visitors is turned away", "低于 {least}：突发的访问会被拒绝";
        HalfOpenFull { times: u64 } => "the queue was full {times} times since the start of the system", "自系统启动以来队列已满 {times} 次";
        SyncookiesOff => "it is off: a flood of half-open connections shuts everybody out", "当前已关闭：半开连接洪泛会使所有人无法连接";
        PacketsDropped { drops: u64 } => "{drops} packets were dropped since the start of the system", "自系统启动以来已丢弃 {drops} 个数据包";
        TrackingShort { used: u64, most: u64 } => "{used} of {most} entries are in use", "{most} 个条目中已用 {used} 个";
        BlocksBelow { range: PortRange } => "the range begins low, and the system took {range} of it, where services have their ports",
            "范围起点过低，系统已从中占用 {range}，而那里是服务的端口";
        SystemHolds { ports: PortRange, range: PortRange } =>
            "{ports} lies in {range}, which WinNAT keeps: a bind fails with error 10013 until `net stop winnat`, which cuts running containers",
            "{ports} 位于 WinNAT 保留的 {range} 中：绑定会以错误 10013 失败，需执行 `net stop winnat`，但会中断运行中的容器";
        AutoTuningOff => "it is not normal, which limits what one connection can receive", "当前不是 normal，会限制单个连接的接收速度";
        ForWan => "the profile `wan` asks for it", "配置 `wan` 需要";
        ForLoadTest => "the profile `load-test` asks for it", "配置 `load-test` 需要";
        ForLegacy => "the profile `legacy` sets what the predecessor set", "配置 `legacy` 沿用前身的设置";
        Unread { why: String } => "it could not be read: {why}", "无法读取：{why}";

        SettingLine { key: String, current: String, state: &'static str } => "{key} = {current} [{state}]", "{key} = {current} [{state}]";
        ChangeLine { key: String, current: String, wanted: String, state: &'static str } =>
            "{key} = {current} → {wanted} [{state}]", "{key} = {current} → {wanted} [{state}]";
        NoValue => "(not set)", "（未设置）";
        EmptyValue => "(empty)", "（空）";
        WhyLine { why: String } => "    {why}", "    {why}";
        Document { title: &'static str } => "{title}", "{title}";
        Practice => "practice of many hosts; no document", "许多主机的经验；没有文档";
        Scripts => "scripts; no document for Windows 10 or later", "来自脚本；没有针对 Windows 10 及以后版本的文档";
        SourceLine { source: Box<Message>, confidence: Box<Message>, default: String } =>
            "    source: {source}; {confidence}; default: {default}", "    来源：{source}；{confidence}；默认值：{default}";
        Documented => "documented", "有文档";
        Reported => "reported", "有报告";
        Folklore => "folklore: no document says so", "传言：没有文档依据";
        RestartLine => "    works after a restart of the system", "    重启系统后生效";
        InContainer => "this is a container: the settings of the system belong to its host", "这里是容器：系统设置属于宿主机";
        HintOnHost => "run this on the host", "请在宿主机上运行";
        NoRights => "only root, or an administrator of Windows, may change settings of the system", "只有 root（Windows 上为管理员）可以修改系统设置";
        HintRights => "run it with `sudo`, or from a console of the administrator", "请用 `sudo` 或在管理员控制台中运行";
        FileInTheWay { path: PathBuf } => "{path} is there already, and this user's state folder has no record of it",
            "{path} 已存在，但当前用户的状态目录中没有相应记录";
        HintFileInTheWay { path: PathBuf } => "{path} says where the record is: run `portwright tune revert` as that user, or move the file away",
            "{path} 中写明了记录的位置：请以该用户运行 `portwright tune revert`，或移走该文件";
        NoRecord { path: PathBuf } => "{path} is there, but this user's state folder has no record of what was there before",
            "{path} 存在，但当前用户的状态目录中没有修改前的记录";
        FileNotWritten { path: PathBuf, why: String } => "{path} cannot be written, so the values last until the system starts again: {why}",
            "无法写入 {path}，这些值只保持到系统重启：{why}";
        Denied { key: String, why: String } => "the system denies {key}, and what was changed before it was put back: {why}",
            "系统拒绝修改 {key}，此前的更改已还原：{why}";
        DeniedMidway { key: String, why: String } => "the system denies {key}, and not all that was changed before it could be put back: {why}",
            "系统拒绝修改 {key}，此前的更改未能全部还原：{why}";
        HintRevert => "`portwright tune revert` puts back what is left", "`portwright tune revert` 可还原其余部分";
        SystemSays { why: String } => "the system says: {why}", "系统提示：{why}";
        ReadAgain { value: String } => "the system did not take it: read again, it is \"{value}\"", "系统没有采用：再次读取为“{value}”";
        UnknownKey => "no such setting on this system", "此系统没有该设置";
        NeedsConsent => "this changes settings of the system, and nobody can be asked", "此操作会修改系统设置，但无法询问任何人";
        HintYes => "add `--yes` to agree beforehand; `portwright tune` only looks", "加上 `--yes` 表示同意；`portwright tune` 只查看";
        OfferTune { count: usize } => "settings of this host that should change: {count}. `portwright tune` explains them, `portwright tune apply` changes them",
            "本机应修改的设置：{count}。`portwright tune` 说明详情，`portwright tune apply` 执行修改";
        AskApply { count: usize } => "Change these settings ({count})?", "修改这 {count} 项设置？";
        AskRevert { count: usize } => "Put these values back ({count})?", "还原这 {count} 个值？";
        AskForeign => "Also those that somebody changed since?", "也还原之后被他人改过的值？";
        AppliedLine { key: String, value: String } => "applied: {key} = {value}", "已应用：{key} = {value}";
        RefusedLine { key: String, why: Box<Message> } => "refused: {key}: {why}", "被拒绝：{key}：{why}";
        BootFileWritten { path: PathBuf } => "{path} sets them when the system starts; `portwright tune revert` takes all back",
            "{path} 会在系统启动时设置这些值；`portwright tune revert` 可全部撤销";
        NoBootFile => "the values last until the system starts again; `portwright tune revert` takes them back",
            "这些值保持到系统重启；`portwright tune revert` 可撤销";
        LastingValues => "`portwright tune revert` takes them back", "`portwright tune revert` 可撤销";
        RestartNeeded => "some of it works after a restart of the system", "部分设置在重启系统后生效";
        NothingToRevert => "nothing was applied, so there is nothing to put back", "没有应用过任何设置，无需还原";
        WillRestore { key: String, current: String, to: String } => "{key}: {current} → {to}", "{key}：{current} → {to}";
        WillLeave { key: String, current: String } => "{key}: {current}, as it was before", "{key}：{current}，与之前相同";
        ForeignLine { key: String, current: String, to: String } => "{key} is {current}, which somebody set since; before it was {to}",
            "{key} 现为 {current}，是之后被他人修改的；之前为 {to}";
        FileEdited { path: PathBuf } => "{path} was edited since we wrote it, and the edits would be lost", "{path} 写入之后被编辑过，这些编辑将会丢失";
        WillRemove { path: PathBuf } => "to be removed: {path}", "将删除：{path}";
        RestoredLine { key: String, value: String } => "put back: {key} = {value}", "已还原：{key} = {value}";
        LeftLine { key: String, value: String } => "left: {key} = {value}", "保留：{key} = {value}";
        FileLeft { path: PathBuf } => "left: {path}, which still sets our values when the system starts", "保留：{path}，系统启动时仍会设置我们的值";
        FailedLine { key: String, why: Box<Message> } => "not put back: {key}: {why}", "未还原：{key}：{why}";
        FileRemoved { path: PathBuf } => "removed: {path}", "已删除：{path}";
        NothingKnown => "there is nothing to tune on this system", "此系统没有可调整的设置";
        NothingNeeded => "this host needs no change", "本机无需更改";
        HintApply { count: usize, profile: &'static str } => "settings to change: {count}. `portwright tune apply --profile {profile}` changes them, `portwright tune revert` puts them back",
            "待修改的设置：{count}。`portwright tune apply --profile {profile}` 执行修改，`portwright tune revert` 可还原";
    }
}
