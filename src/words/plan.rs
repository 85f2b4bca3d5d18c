//! Words of the room `plan`: judgements on ports, and who holds them.

use super::{Lang, ListOf, Message, Say, catalogue};
use crate::model::{BindingState, Holder, Port, PortRange, Protocol};

catalogue! {
    /// Judgements on ports.
    PlanWords {
        HeldByComposeService { container: String, project: String, service: String } =>
            "container {container} (service {service} of project {project})",
            "容器 {container}（项目 {project} 的服务 {service}）";
        HeldByContainer { container: String } => "container {container}", "容器 {container}";
        HeldByProcess { process: String, pid: u32 } => "{process} (pid {pid})", "{process}（进程号 {pid}）";
        HeldByPid { pid: u32 } => "process {pid}", "进程 {pid}";
        HeldByUser { user: String } => "a process of user {user}", "用户 {user} 的某个进程";
        HeldByUnknown => "something that cannot be named", "无法识别的占用者";

        Free => "nobody has it", "无人占用";
        EngineChooses => "the engine chooses a free port", "由容器引擎选择空闲端口";
        OwnContainer { container: String } => "held by this project's own container {container}", "由本项目自己的容器 {container} 占用";
        OwnProcess { pid: u32 } => "held by this project's own process {pid}", "由本项目自己的进程 {pid} 占用";
        Held { holder: Holder } => "{holder}", "{holder}";
        Taken { holder: Holder } => "held by {holder}", "被 {holder} 占用";
        TakenUnseen => "a bind fails with \"address in use\", but no socket that explains it is visible to this user",
            "绑定失败（地址已被使用），但当前用户看不到占用它的套接字";
        UsedByConnection { holder: Holder } => "a connection of {holder} uses it as its local port",
            "{holder} 的一个连接把它用作本地端口";
        OtherCopy { directory: String } => "a project of the same name in {directory} holds it", "{directory} 中的同名项目占用了它";
        StoppedWants { container: String } => "the stopped container {container} will want it when it starts",
            "已停止的容器 {container} 再次启动时需要它";
        SiblingWants { service: String } => "service {service} of this project wants it too", "本项目的服务 {service} 也需要它";
        SystemExcludes { range: PortRange } => "the system keeps {range} from being bound", "系统保留了 {range}，不允许绑定";
        NeedsPrivilege { first: u16 } => "an ordinary user may bind only from port {first} up", "普通用户只能绑定 {first} 及以上的端口";
        BindDenied => "the system refuses this user the bind", "系统拒绝当前用户绑定";
        AddressNotHere { address: String } => "{address} is not an address of this host", "{address} 不是本机地址";
        EngineElsewhere => "the engine runs on another host, whose sockets cannot be seen from here",
            "容器引擎在另一台主机上，从这里看不到它的套接字";
        CouldNotLook { why: Box<Message> } => "could not look: {why}", "无法查看：{why}";
        ProbeFailed { why: String } => "the bind probe failed: {why}", "绑定探测失败：{why}";
        RangeFull { range: PortRange } => "every port of {range} is taken", "{range} 中的端口全部被占用";

        WarnStopped { port: Port, container: String } =>
            "port {port} is also wanted by the stopped container {container} when it starts again",
            "已停止的容器 {container} 再次启动时也需要端口 {port}";
        WarnEphemeral { port: Port, range: PortRange } =>
            "port {port} lies in {range}, where the system takes ports for outgoing connections; reserve it with net.ipv4.ip_local_reserved_ports",
            "端口 {port} 位于 {range}，系统会从中为外出连接分配端口；可用 net.ipv4.ip_local_reserved_ports 保留它";
        WarnHostNetwork { service: String } =>
            "service {service} uses the host's network: the engine ignores its published ports",
            "服务 {service} 使用主机网络：容器引擎会忽略它声明的端口";
        WarnPublic { service: String, port: Port } =>
            "{service} publishes port {port} on every address of this host; the engine's rules pass before ufw and firewalld",
            "{service} 在本机所有地址上发布端口 {port}；引擎的规则先于 ufw 和 firewalld 生效";

        NoSuchName { name: String, known: String } => "--port {name}: no variable, service or service:port of that name publishes a port (known: {known})",
            "--port {name}：没有发布端口的同名变量、服务或 服务:端口（可用的有：{known}）";
        AmbiguousName { name: String, known: String } => "--port {name} fits several ports: {known}", "--port {name} 对应多个端口：{known}";
        NamedTwice { name: String } => "--port {name}: this port is given twice, with different numbers", "--port {name}：同一端口被指定了两个不同的值";
        HintAddress => "write an address of this host into the ports entry; `ip address` lists them", "请在 ports 中写本机地址；`ip address` 可列出本机地址";
        HintPortNames => "a name is an .env variable, a service, or service:container_port", "名称可以是 .env 变量、服务名，或 服务:容器端口";
        PortRefused { port: Port, protocol: Protocol, service: String, why: Box<Message> } =>
            "port {port}/{protocol} cannot be given to service {service}: {why}",
            "端口 {port}/{protocol} 不能分配给服务 {service}：{why}";
        GivenTwice { port: Port, service: String } => "port {port} is already given to service {service} in this run", "端口 {port} 在本次运行中已分配给服务 {service}";
        Unresolved { list: ListOf } => "ports in conflict: {list}", "端口冲突：{list}";
        UnresolvedItem { service: String, port: Port, protocol: Protocol, why: Box<Message> } =>
            "{service} {port}/{protocol}: {why}", "{service} {port}/{protocol}：{why}";
        HintUnresolved { flag: String } => "choose another port with `--port {flag}`, or let Portwright choose with `--on-conflict auto`",
            "用 `--port {flag}` 指定其他端口，或用 `--on-conflict auto` 自动选择";
        HintSetPort { flag: String } => "choose one with `--port {flag}`", "用 `--port {flag}` 指定端口";
        FixedMeaning { port: Port, service: String, why: Box<Message> } =>
            "port {port} of service {service} has a fixed meaning and is never moved automatically ({why})",
            "服务 {service} 的端口 {port} 有固定含义，不会自动移动（{why}）";
        Exhausted { count: usize, range: PortRange, service: String } =>
            "none of the {count} ports of {range} is free for service {service}",
            "{range} 的 {count} 个端口中没有可供服务 {service} 使用的";
        HintWiden { range: PortRange } => "look elsewhere with `--range`, for example `--range {range}`", "用 `--range` 换一个范围，例如 `--range {range}`";
        ShellDecides { variable: String, service: String } =>
            "the environment variable {variable} of this shell decides the port of service {service}; no file can change it",
            "服务 {service} 的端口由当前 shell 的环境变量 {variable} 决定，修改文件不起作用";
        HintShell { variable: String, port: Port } => "run `export {variable}={port}`, or `unset {variable}` and run again",
            "请执行 `export {variable}={port}`，或 `unset {variable}` 后再次运行";
    }
}

catalogue! {
    /// The states of a binding, as a table shows them.
    StateWords {
        Free => "free", "空闲";
        Own => "ours", "本项目";
        Conflict => "conflict", "冲突";
        Reserved => "reserved", "系统保留";
        Privileged => "privileged", "需特权";
        Unknown => "unknown", "未知";
    }
}

impl Say for BindingState {
    fn say(&self, lang: Lang) -> String {
        let words = match self {
            Self::Free => StateWords::Free,
            Self::Own => StateWords::Own,
            Self::Conflict => StateWords::Conflict,
            Self::Reserved => StateWords::Reserved,
            Self::Privileged => StateWords::Privileged,
            Self::Unknown => StateWords::Unknown,
        };
        words.say(lang)
    }
}

impl Say for Holder {
    /// Names the holder as a person would: the container first, then the process.
    fn say(&self, lang: Lang) -> String {
        let words = match (&self.container, &self.process, self.pid, &self.user) {
            (Some(container), ..) => match (&self.compose_project, &self.compose_service) {
                (Some(project), Some(service)) => PlanWords::HeldByComposeService {
                    container: container.clone(),
                    project: project.clone(),
                    service: service.clone(),
                },
                _ => PlanWords::HeldByContainer { container: container.clone() },
            },
            (None, Some(process), Some(pid), _) => PlanWords::HeldByProcess { process: process.clone(), pid },
            (None, None, Some(pid), _) => PlanWords::HeldByPid { pid },
            (None, _, None, Some(user)) => PlanWords::HeldByUser { user: user.clone() },
            (None, _, None, None) => PlanWords::HeldByUnknown,
        };
        words.say(lang)
    }
}
