//! Words of the room `plan`: judgements on ports, and who holds them.

use super::catalogue;

catalogue! {
    /// Judgements on ports.
    PlanWords {
        HeldByComposeService { container: String, project: String, service: String } =>
            "container {container} (service {service} of project {project})", "容器 {container}（项目 {project} 的服务 {service}）";
        HeldByContainer { container: String } => "container {container}", "容器 {container}";
        HeldByProcess { process: String, pid: u32 } => "{process} (pid {pid})", "{process}（进程号 {pid}）";
        HeldByPid { pid: u32 } => "process {pid}", "进程 {pid}";
        HeldByUser { user: String } => "a process of user {user}", "用户 {user} 的某个进程";
        HeldByUnknown => "something that cannot be named", "无法识别的占用者";
    }
}
