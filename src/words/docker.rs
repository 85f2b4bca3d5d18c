//! Words of the room `docker`.

use std::path::PathBuf;

use super::catalogue;

catalogue! {
    /// Messages of the room `docker`.
    DockerWords {
        NoSocket { address: String } => "no container engine: {address} does not exist", "没有容器引擎：{address} 不存在";
        NoSocketHint =>
            "install Docker or Podman and start it, or name the engine: DOCKER_HOST=unix:///path/to/docker.sock",
            "请安装并启动 Docker 或 Podman，或用 DOCKER_HOST=unix:///path/to/docker.sock 指定引擎";
        Denied { address: String } => "permission denied on the engine's socket {address}", "没有权限访问引擎套接字 {address}";
        DeniedHint =>
            "join the group (sudo usermod -aG docker $USER, then log in again; it equals root), or use rootless Docker",
            "加入 docker 组（sudo usermod -aG docker $USER，重新登录；等同 root 权限），或使用 rootless Docker";
        NobodyListens { address: String } => "nothing listens on {address}: the engine is not running", "{address} 无人监听：引擎没有运行";
        NobodyListensHint =>
            "start it: sudo systemctl start docker (rootless: systemctl --user start docker)",
            "启动引擎：sudo systemctl start docker（rootless：systemctl --user start docker）";
        Hung { address: String, seconds: u64 } =>
            "the engine at {address} accepted the connection and gave no answer within {seconds} s",
            "{address} 上的引擎接受了连接，但 {seconds} 秒内没有回应";
        HungHint =>
            "look at journalctl -u docker, then: sudo systemctl restart docker",
            "查看 journalctl -u docker，然后执行 sudo systemctl restart docker";
        HostUnreachable { address: String, reason: String } => "cannot reach the engine at {address}: {reason}", "无法连接 {address} 上的引擎：{reason}";
        HostHint =>
            "check DOCKER_HOST and docker context ls; unset DOCKER_HOST to use the local engine",
            "检查 DOCKER_HOST 和 docker context ls；取消 DOCKER_HOST 即使用本机引擎";
        NotAnEngine { address: String, reason: String } =>
            "{address} does not answer like a container engine: {reason}",
            "{address} 的回应不像容器引擎：{reason}";
        UnsupportedHost { address: String } =>
            "the engine address {address} is not supported: only unix:// and tcp:// are (npipe:// on Windows)",
            "不支持引擎地址 {address}：仅支持 unix:// 和 tcp://（Windows 上另支持 npipe://）";
        UnsupportedHostHint =>
            "forward the socket: ssh -NL /tmp/engine.sock:/var/run/docker.sock HOST, then DOCKER_HOST=unix:///tmp/engine.sock",
            "转发套接字：ssh -NL /tmp/engine.sock:/var/run/docker.sock HOST，然后设 DOCKER_HOST=unix:///tmp/engine.sock";
        TlsHost { address: String } => "the engine at {address} wants TLS, which is not supported", "{address} 上的引擎要求 TLS，暂不支持";
        UnknownContext { name: String, file: PathBuf } => "the docker context {name} has no usable {file}", "docker 上下文 {name} 没有可用的 {file}";
        UnknownContextHint =>
            "docker context ls shows the contexts; docker context use default goes back to the local engine",
            "docker context ls 列出上下文；docker context use default 切回本机引擎";
        ApiMismatch { least: String, most: String, ours_least: String, ours_most: String } =>
            "the engine speaks API {least} to {most}, Portwright speaks {ours_least} to {ours_most}",
            "引擎支持 API {least} 至 {most}，Portwright 支持 {ours_least} 至 {ours_most}";
        ApiMismatchHint =>
            "update the engine to Docker 19.03 or later (or Portwright, when the engine is the newer one)",
            "请把引擎升级到 Docker 19.03 或更新版本（若引擎更新，则升级 Portwright）";
        NotPodman { address: String } => "the engine at {address} is not Podman", "{address} 上的引擎不是 Podman";
        EngineSaid { call: String, status: u16, text: String } => "the engine refused {call} ({status}): {text}", "引擎拒绝了 {call}（{status}）：{text}";
        EngineSilent { call: String, seconds: u64 } => "the engine gave no answer to {call} within {seconds} s", "引擎在 {seconds} 秒内没有回应 {call}";
        EngineCut { call: String, reason: String } => "the engine broke off its answer to {call}: {reason}", "引擎对 {call} 的回应中断：{reason}";
        ReplyTooLarge { call: String, limit: u64 } => "the engine's answer to {call} is larger than {limit} bytes", "引擎对 {call} 的回应超过 {limit} 字节";
        InvalidReply { call: String, reason: String } => "the engine's answer to {call} cannot be read: {reason}", "无法读懂引擎对 {call} 的回应：{reason}";
        EngineLogsHint => "the engine's own log: journalctl -u docker", "引擎自身的日志：journalctl -u docker";
        ImageLost { tag: String } => "the engine took the image {tag} and does not have it", "引擎接收了镜像 {tag}，但找不到它";
        ProgramUnreadable { path: PathBuf, reason: String } => "cannot pack {path}: {reason}", "无法打包 {path}：{reason}";
        ForeignEngine { own: String, engine: String } =>
            "this executable is {own} and cannot run in the engine's {engine} containers",
            "本程序为 {own}，无法在引擎的 {engine} 容器中运行";
        ForeignEngineHint =>
            "run it without a container: --runtime native, or use a Portwright built for the engine's system",
            "请不用容器运行：--runtime native，或使用为该系统构建的 Portwright";
        BadName { name: String } =>
            "{name} cannot be a container name: letters, digits, _ . - only, and a letter or digit first",
            "{name} 不能作为容器名：只能含字母、数字和 _ . -，且以字母或数字开头";
        NameTaken { name: String } => "the container {name} exists and was not made by Portwright", "容器 {name} 已存在，且不是 Portwright 创建的";
        NameTakenBy { name: String, directory: String } =>
            "the container {name} exists and belongs to the deployment of {directory}", "容器 {name} 已存在，属于 {directory} 的部署";
        NameTakenHint { name: String } =>
            "choose another name with --instance NAME, or remove that container yourself: docker rm {name}",
            "用 --instance NAME 另选名称，或自行删除该容器：docker rm {name}";
        VolumeTaken { name: String } => "the volume {name} exists and is not one of ours", "卷 {name} 已存在，且不属于我们";
        VolumeTakenHint { name: String } =>
            "choose another name with --instance NAME, or remove that volume yourself: docker volume rm {name}",
            "用 --instance NAME 另选名称，或自行删除该卷：docker volume rm {name}";
        NotOurs { name: String } => "{name} was not made by Portwright and is left alone", "{name} 不是 Portwright 创建的，不会改动";
        NoContainer { name: String } => "there is no container {name}", "没有容器 {name}";
        NoImage { tag: String } => "the engine has no image {tag}", "引擎没有镜像 {tag}";
        AddressNotLocal { address: String, text: String } =>
            "the engine cannot publish on {address}, which is no address of its host: {text}",
            "引擎无法在 {address} 上发布端口，它不是引擎主机的地址：{text}";
        AddressNotLocalHint => "ip address shows the host's addresses; --bind 127.0.0.1 always works", "用 ip address 查看本机地址；--bind 127.0.0.1 总是可用";
        RollBackFailed { name: String, reason: String } =>
            "the new container failed, and the old one could not be brought back: {reason}; it is kept as {name}",
            "新容器失败，旧容器也无法恢复：{reason}；它保留为 {name}";
        RollBackHint { name: String, old: String } =>
            "docker rename {old} {name} && docker start {name}", "docker rename {old} {name} && docker start {name}";
        NoCompose => "neither docker compose nor docker-compose is installed", "没有安装 docker compose 或 docker-compose";
        NoComposeHint =>
            "install it (apt install docker-compose-v2, docker-compose-plugin or docker-compose), or start the project yourself: --no-launch",
            "请安装（apt install docker-compose-v2、docker-compose-plugin 或 docker-compose），或自行启动项目：--no-launch";
        ComposeUntrusted { path: PathBuf } =>
            "{path} is in the project or in a folder that everybody may write to, and is not run",
            "{path} 位于项目内或任何人可写的目录，不会运行它";
        ComposeBroken { path: PathBuf, reason: String } => "cannot run {path}: {reason}", "无法运行 {path}：{reason}";
        ComposeSilent { command: String, seconds: u64 } => "{command} said nothing for {seconds} s and was ended", "{command} 已 {seconds} 秒没有输出，已被终止";
    }
}
