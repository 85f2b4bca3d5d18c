//! Words of the room `host`.

use super::catalogue;
use crate::model::Port;

catalogue! {
    /// Messages of the room `host`.
    HostWords {
        AirPlay { port: Port } => "macOS gives port {port} to its AirPlay receiver; switch that off in System Settings, General, AirDrop & Handoff, or choose another port", "macOS 的隔空播放接收器占用端口 {port}；请在“系统设置 > 通用 > 隔空投送与接力”中关闭它，或换一个端口";
        BoundSocketsUnseen { release: String } => "Linux {release} does not list ports that are bound but not listening (6.8 does); only a bind shows them", "Linux {release} 不会列出已绑定但未监听的端口（6.8 起才会）；只有实际绑定才能发现";
        ConnectionClosing => "a closed connection; the system frees the port within about a minute", "连接已关闭；系统会在约一分钟内释放该端口";
        FirewallHidden => "the firewall's rules are shown to root alone; run `sudo portwright doctor`", "防火墙规则只有 root 能看到；请运行 `sudo portwright doctor`";
        NatHidden => "ports that NAT rules redirect are shown to root alone; run `sudo portwright doctor`", "NAT 规则重定向的端口只有 root 能看到；请运行 `sudo portwright doctor`";
        NatUnread { why: String } => "ports that NAT rules redirect cannot be listed: {why}", "无法列出 NAT 规则重定向的端口：{why}";
        NotListed { why: String } => "the system's list of sockets cannot be read: {why}", "无法读取系统的套接字列表：{why}";
        OthersSocketsUnseen => "sockets of other users are not shown to this user; run `sudo portwright scan`", "当前用户看不到其他用户的套接字；请运行 `sudo portwright scan`";
        OwnerHidden => "the process belongs to another user; `sudo portwright scan` names it", "该进程属于其他用户；运行 `sudo portwright scan` 可查看";
        OwnerGone => "the process ended while it was looked at", "进程在查看期间已结束";
        OwnerNowhere => "no process that may be looked into holds it: it belongs to the kernel, to another PID namespace or to a protected process", "在可查看的进程中没有找到持有者：它属于内核、其他 PID 命名空间或受保护的进程";
        OwnersHidden { count: usize } => "the processes behind {count} sockets of other users cannot be seen; run `sudo portwright scan` to see them", "看不到其他用户的 {count} 个套接字所属的进程；运行 `sudo portwright scan` 可查看";
        RuleUnread { rule: String, why: String } => "{rule} cannot be read: {why}", "无法读取 {rule}：{why}";
        V6OnlyUnknown => "whether a socket on [::] also holds IPv4 is not shown here; each is taken to hold both", "此处看不到 [::] 上的套接字是否也占用 IPv4；一律视为两者都占用";
        SignalRefused { pid: u32, why: String } => "process {pid} cannot be signalled: {why}", "无法向进程 {pid} 发送信号：{why}";
    }
}
