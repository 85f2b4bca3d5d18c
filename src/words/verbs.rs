//! Words of the verbs: what each says while it works and when it is done.

use super::{Message, catalogue};
use crate::model::{Holder, Port, PortRange};

catalogue! {
    /// What the verbs say.
    VerbWords {
        NoDirectory { path: String, why: String } => "the directory {path} cannot be used: {why}", "无法使用目录 {path}：{why}";
        HintDirectory => "name an existing one with `-C DIR`", "用 `-C 目录` 指定一个存在的目录";
        NoRuntime { why: String } => "the system gives no event queue: {why}", "系统没有提供事件队列：{why}";
        NotJson { why: String } => "the report cannot be put into JSON: {why}", "无法把报告转换为 JSON：{why}";

        WatchJson => "`--watch` prints again and again; `--json` prints one document", "`--watch` 会反复输出，而 `--json` 只输出一份文档";
        HintWatchJson => "leave out one of them", "请只使用其中一个";
        FewFree { found: usize, wanted: u16 } => "only {found} of {wanted} free ports were found", "需要 {wanted} 个空闲端口，只找到 {found} 个";
        NoSockets { why: Box<Message> } => "the sockets of this host cannot be listed: {why}", "无法列出本机的套接字：{why}";
        FreePorts { list: String } => "free: {list}", "空闲：{list}";

        NoPublishedPorts => "no active service publishes a port", "没有启用的服务发布端口";
        HintAfterConflict => "`portwright quick-start` resolves conflicts; `--port NAME=PORT` names a port", "`portwright quick-start` 可解决冲突；`--port 名称=端口` 可指定端口";
        ReportUnwritable { file: String, why: String } => "the report {file} cannot be written: {why}", "无法写入报告 {file}：{why}";

        PageWritten { name: String } => "written: {name}", "已写入：{name}";
        NoSuchPage { verb: String } => "there is no page for `{verb}`", "没有 `{verb}` 的手册页";

        NobodyToAsk => "`--on-conflict ask` needs a terminal", "`--on-conflict ask` 需要终端";
        HintNobodyToAsk => "use `--on-conflict auto`, `keep` or `fail`", "请使用 `--on-conflict auto`、`keep` 或 `fail`";
        NeedsConsent => "this changes files or starts a service, and nobody can be asked", "此操作会修改文件或启动服务，但无法询问任何人";
        HintConsent => "add `--yes` to agree beforehand, or `--dry-run` to only look", "加上 `--yes` 表示同意，或用 `--dry-run` 只查看";
        AskApply => "Write these changes?", "写入这些修改？";
        AskLaunch => "Start the service?", "启动服务？";
        AskUndo => "Put these files back?", "恢复这些文件？";
        AskDown { name: String } => "Stop and remove {name}?", "停止并移除 {name}？";
        AskImport { count: usize } => "Create these {count} mappings?", "创建这 {count} 个映射？";
        AskRevoke { name: String } => "Revoke the token {name}? Its clients are cut off at once.", "吊销令牌 {name}？其客户端会立即断开。";
        ToolLine { line: String } => "  {line}", "  {line}";

        Moved { service: String, from: PortRange, to: PortRange } => "{service}: {from} → {to}", "{service}：{from} → {to}";
        MovedFromHolder { service: String, from: PortRange, to: PortRange, held: Port, holder: Holder } =>
            "{service}: {from} → {to} ({holder} holds {held})", "{service}：{from} → {to}（{held} 被 {holder} 占用）";
        OtherPlaces { count: usize } => "other places that name a moved port or its variable, not changed ({count}):",
            "还有 {count} 处提到被移动的端口或其变量，不会修改：";
        OtherPlace { file: String, line: usize, name: String, place: String } => "  {file}:{line}: {name} ({place})", "  {file}:{line}：{name}（{place}）";
        DryRun => "dry run: nothing was changed", "演练：没有任何更改";
        UndoWith { id: String } => "`portwright undo` puts the files back (change {id})", "`portwright undo` 可恢复文件（变更 {id}）";
        Address { name: String, url: String } => "{name}  {url}", "{name}  {url}";
        HintAfterStart => "`portwright status` shows it, `portwright logs` its output, `portwright down` stops it",
            "`portwright status` 查看状态，`portwright logs` 查看输出，`portwright down` 停止服务";

        NothingToUndo => "nothing to undo", "没有可撤销的内容";
        PutBack { file: String } => "put back: {file}", "已恢复：{file}";
        Removed { file: String } => "removed: {file}", "已删除：{file}";
        WillPutBack { file: String } => "to be put back: {file}", "将恢复：{file}";

        NoServices => "nothing was launched here", "这里没有启动过服务";
        HintNoServices => "start with `portwright quick-start`", "用 `portwright quick-start` 启动";
        NameColumn => "NAME", "名称";
        RuntimeColumn => "RUNTIME", "运行方式";
        StateColumn => "STATE", "状态";
        HealthColumn => "HEALTH", "健康";
        AddressColumn => "ADDRESS", "地址";
        NothingRuns => "nothing runs", "没有正在运行的服务";
        Stopped { name: String } => "{name} is stopped and removed", "{name} 已停止并移除";
        LogsJson => "`logs` prints the service's own lines; there is no JSON form of them", "`logs` 打印服务自身的输出，没有 JSON 形式";
        OutputFailed { why: String } => "the output cannot be written: {why}", "无法写出输出：{why}";
        HintYes => "add `--yes` to agree beforehand", "加上 `--yes` 表示同意";
        EditedSince { files: String } => "edited since the run that would be undone: {files}; nothing was changed",
            "以下文件在要撤销的运行之后又被修改：{files}；没有任何更改";
        HintEditedSince => "put the shown lines back by hand, or move the edited file away and run `portwright undo` again",
            "请手动恢复所示内容，或移走被修改的文件后再次运行 `portwright undo`";
        TunnelConnected { server: String, name: String } => "connected to {server} as {name}", "已连接 {server}，名称为 {name}";
        TunnelConnectedV1 { server: String } => "connected to {server}, version 1", "已连接 {server}，版本 1";
        LegacyV1 => "version 1 has neither proof nor encryption: whoever is on the way to the server, or takes its place, reads everything and reaches what is exposed; no token is used",
            "版本 1 没有身份验证和加密：线路上的任何人或冒充服务器者都能读取全部数据并访问所暴露的目标；不使用令牌";
        TunnelWaiting { seconds: String } => "trying again in {seconds} s", "{seconds} 秒后重试";
        CutVisitors { count: usize } => "{count} connections did not finish in time and were reset", "{count} 个连接未能及时结束，已被重置";
        AskRemoveMapping { port: Port } => "Remove the mapping of port {port}?", "删除端口 {port} 的映射？";
        NotServed { state: String, reason: String } => "it is {state}: {reason}", "状态为 {state}：{reason}";
        MappingFailed { port: String, reason: String } => "{port}: {reason}", "{port}：{reason}";
        NoMappings => "there are no mappings", "没有映射";
        HintNoMappings => "`portwright mapping create PORT --target HOST:PORT` makes one", "可用 `portwright mapping create 端口 --target 主机:端口` 新建";
        NoClients => "no client is connected", "没有客户端连接";
        MappingCounts { active: usize, waiting: usize, failed: usize } =>
            "mappings: {active} active, {waiting} waiting for a client, {failed} failed", "映射：{active} 个正常，{waiting} 个等待客户端，{failed} 个失败";
        PublicPortColumn => "PORT", "端口";
        TargetColumn => "TARGET", "目标";
        ClientColumn => "CLIENT", "客户端";
        VisitorsColumn => "VISITORS", "访客";
        LimitColumn => "LIMIT", "限速";
        AccessColumn => "ACCESS", "访问";
        ServerHealth { address: String, status: String } => "{address}: {status}", "{address}：{status}";
    }
}
