//! Words of the room `deploy`: the stages of a run, from the first look to a healthy service.

use super::{ListOf, Message, catalogue};
use crate::model::Port;

catalogue! {
    /// What a run says of its stages.
    DeployWords {
        StepLook => "looking at this machine and the project", "查看本机和项目";
        StepPlan => "planning", "制定计划";
        StepApply => "writing the files", "写入文件";
        StepImage => "packing this executable as an image", "将本程序打包为镜像";
        StepStart => "starting the service", "启动服务";
        StepCompose => "bringing the project up with compose", "用 compose 启动项目";
        StepVerify => "waiting until the service answers", "等待服务响应";
        StepStop => "stopping the service", "停止服务";

        WaitLock { verb: String, pid: u32 } => "`{verb}` (pid {pid}) works on this project; waiting", "`{verb}`（进程号 {pid}）正在处理此项目，等待中";
        RecoveredForward => "an interrupted run was found and finished: all its files are new", "发现一个中断的运行并已完成：其文件均为新内容";
        RecoveredBack => "an interrupted run was found and taken back: all its files are as they were", "发现一个中断的运行并已撤回：其文件均保持原样";
        LaidOut { directory: String } => "no compose file here: the bundled tunnel server is laid out in {directory}",
            "此处没有 compose 文件：内置隧道服务器将布置在 {directory}";
        PortLost { port: Port, attempt: u32 } => "port {port} was taken before the start; looking again (attempt {attempt})",
            "端口 {port} 在启动前被占用，重新查看（第 {attempt} 次）";
        PortLostForGood { port: Port, attempts: u32, holder: Box<Message> } =>
            "a port was taken before the start, {attempts} times in a row; at last port {port}, by {holder}",
            "端口在启动前被占用，已连续 {attempts} 次；最后一次是端口 {port}，占用者为 {holder}";
        HintSeeHolder { port: Port } => "see who takes it with `portwright scan --range {port}-{port}`", "用 `portwright scan --range {port}-{port}` 查看占用者";
        FileGone { path: std::path::PathBuf } => "{path} is missing", "缺少 {path}";
        Stale => "the files changed between the plan and the write", "文件在计划之后、写入之前被修改";

        EngineUnseen { why: Box<Message> } => "containers could not be seen: {why}", "无法查看容器：{why}";
        NativeInstead { why: Box<Message> } => "no container engine answers ({why}); the service runs as a process of this user",
            "没有可用的容器引擎（{why}），服务将以当前用户的进程运行";
        NativeStays => "the service runs as a process of this user already and stays one; `--runtime docker` moves it into a container",
            "服务已作为当前用户的进程运行，将保持不变；用 `--runtime docker` 可将其移入容器";
        NativeOnlyBundled => "a compose project cannot run natively: its services are images", "compose 项目无法以原生方式运行：它的服务都是镜像";
        HintNativeOnlyBundled => "install a container engine and compose, or prepare the files alone with `--no-launch`",
            "请安装容器引擎和 compose，或用 `--no-launch` 只准备文件";
        NoEngine { why: Box<Message> } => "no container engine answers: {why}", "没有可用的容器引擎：{why}";
        HintNoEngine => "prepare the files alone with `--no-launch`, or start the engine and run again", "用 `--no-launch` 只准备文件，或启动引擎后再次运行";

        NoProject { directory: String } => "no compose file in {directory}", "{directory} 中没有 compose 文件";
        HintNoProject => "name one with `-f FILE`, or go to the project's directory with `-C DIR`; `portwright quick-start` without a project lays out the bundled tunnel server",
            "用 `-f FILE` 指定文件，或用 `-C DIR` 指定项目目录；没有项目时 `portwright quick-start` 会布置内置隧道服务器";
        ProjectTooWide { count: usize } => "the project names more than {count} files", "项目引用的文件超过 {count} 个";
        ProbingEndless => "a port was chosen and found taken too many times in a row", "所选端口多次被发现已被占用";

        RippleShown { count: usize } => "{count} files also name a moved port where it is reached on this host; they change too:",
            "另有 {count} 个文件提到了被移动的端口（从本机访问处），也将一并修改：";
        RippleOffered { count: usize } => "{count} files also name a moved port where it is reached on this host; they could change too:",
            "另有 {count} 个文件提到了被移动的端口（从本机访问处），可以一并修改：";
        AskRipple => "Change these places too?", "也修改这些位置吗？";
        HintRipple => "`--ripple` changes the addresses among them too", "`--ripple` 会一并修改其中的访问地址";

        NotLaunched => "the files are ready; nothing was started", "文件已准备好；没有启动任何服务";
        Started { name: String } => "{name} is running", "{name} 正在运行";
        Healthy { seconds: String } => "healthy after {seconds} s", "{seconds} 秒后健康";
        Unhealthy { name: String, why: Box<Message> } => "{name} was started but does not answer: {why}", "{name} 已启动但没有响应：{why}";
        UnhealthyLog { lines: String } => "its last lines were:\n{lines}", "它最后的输出：\n{lines}";
        HintUnhealthy => "see `portwright logs`; `portwright down` stops it, `portwright undo` puts the files back",
            "查看 `portwright logs`；`portwright down` 停止服务，`portwright undo` 恢复文件";
        NotReached { url: String, seconds: u64 } => "no answer from {url} within {seconds} s", "{url} 在 {seconds} 秒内没有响应";
        PortNotReached { service: String, port: Port } => "port {port} of {service} does not answer from outside the container",
            "从容器外部无法访问 {service} 的端口 {port}";
        ContainerState { name: String, state: String } => "{name} is {state}", "{name} 的状态为 {state}";
        Foreign { url: String } => "another service answers at {url}", "{url} 上响应的是另一个服务";

        Interrupted => "interrupted; nothing was changed", "已中断；没有任何更改";
        InterruptedLaunch { list: ListOf } => "interrupted; what runs: {list}", "已中断；正在运行：{list}";
        HintContinue => "run the same command again to continue, or `portwright undo` to put everything back",
            "再次运行同一命令即可继续，或用 `portwright undo` 恢复";

        Declined => "declined; nothing was changed", "已取消；没有任何更改";
        NothingLaunched { directory: String } => "nothing was launched for {directory}", "没有为 {directory} 启动过服务";
        HintNothingLaunched => "start it with `portwright quick-start`", "用 `portwright quick-start` 启动";
        NoServerRuns { directory: String } => "no tunnel server runs for {directory}", "没有为 {directory} 运行隧道服务器";
        HintNoServerRuns => "name the server's files with `--config FILE`, or start one with `portwright quick-start`",
            "用 `--config 文件` 指定服务器的配置，或用 `portwright quick-start` 启动服务器";
        JoinWith { place: String } =>
            "`portwright tunnel token create --name NAME{place}` prints the code with which a client joins: `portwright tunnel client --join CODE`",
            "`portwright tunnel token create --name 名称{place}` 会打印客户端加入所用的代码：`portwright tunnel client --join 加入码`";
        NothingRuns => "nothing runs", "没有正在运行的服务";
        KeptRunning { name: String } => "{name} still runs, with the ports that it was started with; stop it with `portwright down`",
            "{name} 仍以启动时的端口运行；可用 `portwright down` 停止";

        SpawnFailed { why: String } => "the service process could not be started: {why}", "无法启动服务进程：{why}";
        SupervisorSilent { path: String } => "the service process ended at once; its log is {path}", "服务进程立即退出；日志位于 {path}";
        ComposeFailed { command: String } => "`{command} up` failed", "`{command} up` 失败";
    }
}
