//! Words of `why`: one port, who has it, and the ways out.

use super::{Message, catalogue};
use crate::model::{Port, PortRange};

catalogue! {
    /// What `why` says.
    WhyWords {
        Title { port: Port } => "port {port}", "端口 {port}";
        SocketsHeading => "sockets", "套接字";
        ContainersHeading => "containers", "容器";
        LeasesHeading => "leases", "租约";
        LeaseLine { pid: u32, purpose: String } => "process {pid}: {purpose}", "进程 {pid}：{purpose}";
        ProjectHeading => "this project", "本项目";
        SystemHeading => "system", "系统";
        AdviceHeading => "ways out", "解决办法";
        SocketLine { endpoint: String, state: &'static str, holder: Box<Message> } => "{endpoint} {state}: {holder}", "{endpoint} {state}：{holder}";
        NoSocket => "none", "无";
        RunningLine { name: String, ports: String } => "{name} publishes {ports}", "{name} 发布 {ports}";
        StoppedLine { name: String, ports: String } => "{name}, stopped, will publish {ports} when it starts", "{name} 已停止，启动时将发布 {ports}";
        BindingLine { service: String, file: String, line: usize, column: usize, state: String } =>
            "{service}, {file}:{line}:{column}: {state}", "{service}，{file}:{line}:{column}：{state}";
        IsEphemeral { range: PortRange } => "in {range}, from which outgoing connections get their local ports", "位于 {range}，外出连接从中取得本地端口";
        IsExcluded { range: PortRange } => "in {range}, which the system keeps from being bound", "位于 {range}，系统不允许绑定";
        IsReserved { range: PortRange } => "in {range}, which automatic choice leaves alone", "位于 {range}，系统自动选择时会避开";
        IsPrivileged { range: PortRange } => "in {range}, which an ordinary user may not bind", "位于 {range}，普通用户不能绑定";

        ReleaseLease { port: Port } => "it is leased: its holder gives it back, or `portwright pool release {port}`",
            "端口已被租用：由持有者归还，或用 `portwright pool release {port}`";
        StopService { project: String, service: String } => "stop the service that has it: `docker compose -p {project} stop {service}`",
            "停止占用它的服务：`docker compose -p {project} stop {service}`";
        StopContainer { name: String } => "stop the container that has it: `docker stop {name}`", "停止占用它的容器：`docker stop {name}`";
        EndProcess { pid: u32 } => "end the process that has it: `kill {pid}`", "结束占用它的进程：`kill {pid}`";
        MoveOurs { name: String, free: Port } => "move this project instead: `portwright quick-start --port {name}={free}`",
            "或改用其他端口：`portwright quick-start --port {name}={free}`";
        FreeNear { free: Port } => "port {free} is free", "端口 {free} 空闲";
        OnlyTimeWait => "nothing listens: the remains of closed connections go away by themselves within a minute, and servers can bind meanwhile",
            "没有监听者：已关闭连接的残留会在一分钟内自行消失，期间服务仍可绑定";
        SystemKeeps { range: PortRange } => "choose a port outside of {range}; `netsh int ipv4 show excludedportrange tcp` lists what the system keeps",
            "请选择 {range} 以外的端口；`netsh int ipv4 show excludedportrange tcp` 可列出系统保留的范围";
        NeedsRights { first: u16 } => "choose a port from {first} up, or run the service with more rights", "请选择 {first} 及以上的端口，或以更高权限运行服务";
        MayVanish { port: Port } => "nobody has it now, but an outgoing connection may at any time; add {port} to net.ipv4.ip_local_reserved_ports",
            "目前无人占用，但外出连接随时可能用到；请把 {port} 加入 net.ipv4.ip_local_reserved_ports";
        NobodyHas => "nobody has it", "无人占用";
    }
}
