//! Words of `service`: the tunnel server and client as services of the system.

use super::catalogue;

catalogue! {
    /// What `service` says.
    DaemonWords {
        ToolFailed { tool: String, why: String } => "`{tool}` cannot be run: {why}", "无法运行 `{tool}`：{why}";
        NoManager => "this system has no service manager that Portwright knows", "本系统没有 Portwright 支持的服务管理器";
        NoSystemd => "systemd does not run here", "systemd 没有在此运行";
        NoUserSystemd => "systemd does not run for this user here (no session bus)", "此处没有当前用户的 systemd（没有会话总线）";
        HintNative => "`portwright quick-start --runtime native` keeps a server running without one; `--dry-run` prints the unit",
            "`portwright quick-start --runtime native` 无需 systemd 也能保持服务端运行；`--dry-run` 可打印单元文件";
        NoUserServices => "Windows has services of the machine alone; leave `--user` out", "Windows 只有本机的服务；请去掉 `--user`";
        StartedByHand => "this is what the service manager of Windows starts (error 1063); `portwright service start` asks it to",
            "此命令由 Windows 服务管理器启动（错误 1063）；请用 `portwright service start` 启动服务";
        NoRights { why: String } => "this user may not change services of the machine: {why}", "当前用户无权修改本机的服务：{why}";
        HintUser => "run it with `sudo`, or add `--user` for a service of this user", "请用 `sudo` 运行，或加上 `--user` 使用当前用户的服务";
        ManagerRefused { command: String, why: String } => "`{command}` failed: {why}", "`{command}` 失败：{why}";

        ControlCharacter => "a path or an argument holds a control character, which no unit can express", "路径或参数中含有控制字符，单元文件无法表达";
        Foreign { file: String } => "{file} is there, and Portwright did not write it", "{file} 已存在，且不是 Portwright 写入的";
        Edited { file: String } => "{file} was edited by hand since it was installed", "{file} 安装后被手工修改过";
        HintForce => "move it away, or add `--force` to replace or remove it", "请将其移走，或加上 `--force` 以替换或删除";
        Unwritable { file: String, why: String } => "{file} cannot be written: {why}", "无法写入 {file}：{why}";
        Unreadable { file: String, why: String } => "{file} cannot be read: {why}", "无法读取 {file}：{why}";
        ProgramHidden { program: String, folder: String } =>
            "a service of the machine does not see {folder}, where {program} is; install the program elsewhere first, such as in /usr/local/bin",
            "本机的服务看不到 {folder}，而 {program} 位于其中；请先把程序安装到别处，例如 /usr/local/bin";
        RunAsUser => "`--run-as` names the user of a service of the machine; with `--user` it is you", "`--run-as` 指定本机服务的用户；使用 `--user` 时即为当前用户";
        DatabaseElsewhere { database: String } => "the service has a user of its own that exists only while it runs, which may not write {database}",
            "该服务使用只在运行期间存在的用户，无法写入 {database}";
        AuthorityHidden { file: String } => "the service has a user of its own, who cannot read {file}, which the database's URL names; put it where all can read it, such as /etc/ssl/certs",
            "该服务使用自己的用户，无法读取数据库 URL 中指定的 {file}；请把它放到所有用户可读的位置，例如 /etc/ssl/certs";
        HintRunAs => "name its owner with `--run-as USER`, or leave `database.path` relative", "用 `--run-as 用户` 指定其所有者，或让 `database.path` 为相对路径";
        DatabaseAt { database: String } => "the service keeps its database at {database}", "服务的数据库位于 {database}";
        TokenFromInput => "a service has no standard input to read a token from; name a file", "服务没有可读取令牌的标准输入；请指定文件";

        NoProgram { why: String } => "the system does not say where this program is: {why}", "系统没有给出本程序的位置：{why}";
        AskInstall { name: String } => "Install the service {name}?", "安装服务 {name}？";
        AskUninstall { names: String } => "Stop and remove {names}?", "停止并移除 {names}？";
        WouldWrite { file: String } => "dry run: nothing was changed; the unit goes to {file}", "演练：没有任何更改；单元文件将写入 {file}";
        PrivateFile { file: String } => "written for its owner alone, not shown: {file}", "仅所有者可读，不显示内容：{file}";
        Installed { name: String } => "installed: {name}; it starts with the system", "已安装：{name}；将随系统启动";
        AlreadyInstalled { name: String } => "{name} is installed just so; nothing was changed", "{name} 已按此安装；没有任何更改";
        HintStart { command: String } => "`{command}` starts it now", "`{command}` 立即启动";
        HintRestart { stop: String, start: String } => "it runs as it was before; `{stop}`, then `{start}`, to use what is new", "它仍按原来的方式运行；先 `{stop}`，再 `{start}` 即可使用新的设置";
        HintLinger => "services of a user end when the user logs out, unless `loginctl enable-linger` keeps them", "用户的服务会在注销时结束，除非用 `loginctl enable-linger` 保留";
        HintToken => "clients need a token: `POST /api/tokens/create` of the server, or `portwright tunnel token create` on its database", "客户端需要令牌：使用服务端的 `POST /api/tokens/create`，或对其数据库运行 `portwright tunnel token create`";
        Started { name: String } => "started: {name}", "已启动：{name}";
        StoppedUntilBoot { name: String } => "stopped: {name}; it starts again with the system", "已停止：{name}；将随系统再次启动";
        DataStays { folder: String } => "data of the service, if it has any, stays in {folder}", "服务的数据（如有）保留在 {folder}";
        LogIs { name: String, log: String } => "output of {name}: {log}", "{name} 的输出：{log}";
        EnabledColumn => "ENABLED", "自启";
        PidColumn => "PID", "进程号";
        SinceColumn => "SINCE", "起始时间";
        UnitColumn => "UNIT", "单元文件";
        NotInstalledState => "not installed", "未安装";
        Yes => "yes", "是";
        No => "no", "否";
        NotInstalled { name: String } => "the service {name} is not installed", "服务 {name} 尚未安装";
        HintInstall => "`portwright service install server` or `client` installs it", "用 `portwright service install server` 或 `client` 安装";
    }
}
