//! Words of the dashboard, which the page fetches in the language of its reader. Fields in braces are filled in there.

use super::catalogue;

catalogue! {
    /// Texts of the dashboard.
    DashboardWords {
        SignIn => "Sign in", "登录";
        SignOut => "Sign out", "退出";
        SignedOut => "The server no longer takes this key. Sign in again.", "服务器不再接受该密钥，请重新登录。";
        ApiKey => "API key", "API 密钥";
        KeyStays => "It stays in this page's memory, and is asked for again after a reload.", "密钥只保存在本页内存中，刷新后需重新输入。";
        Language => "Language", "语言";
        Theme => "Colours", "配色";
        ThemeAuto => "As the system", "跟随系统";
        ThemeLight => "Light", "浅色";
        ThemeDark => "Dark", "深色";
        Views => "Views", "页面";
        Loading => "Loading …", "正在加载……";
        Unreachable => "The server does not answer.", "服务器没有响应。";
        Cancel => "Cancel", "取消";
        Save => "Save", "保存";
        Create => "Create", "创建";
        None => "none", "无";
        Optional => "optional", "可选";
        Actions => "Actions", "操作";

        Overview => "Overview", "概览";
        Server => "Server", "服务器";
        Ok => "well", "正常";
        Degraded => "in trouble", "异常";
        Version => "Version", "版本";
        LiveConnections => "Live connections", "当前连接";
        NeedsAttention => "Needs attention", "需要关注";
        AllWell => "Every mapping is served.", "所有映射都在服务。";
        NoClient => "no client that may serve it is connected", "没有可为其服务的客户端连接";

        Mappings => "Mappings", "映射";
        NewMapping => "New mapping", "新建映射";
        NoMappings => "There are no mappings yet.", "还没有映射。";
        CountMappings { count: &'static str } => "{count} mappings", "{count} 个映射";
        Port => "Public port", "公开端口";
        PortHint => "on the server", "服务器上的端口";
        Name => "Name", "名称";
        Target => "Target", "目标";
        TargetHost => "Target host", "目标主机";
        TargetHostHint => "as the client or the server sees it; 127.0.0.1 when empty", "从客户端或服务器看到的地址；留空为 127.0.0.1";
        TargetPort => "Target port", "目标端口";
        TargetPortHint => "follows from the public port when empty", "留空则由公开端口推出";
        Way => "Way", "途径";
        ThroughTunnel => "through the tunnel", "经由隧道";
        ThroughClient { client: &'static str } => "through {client}", "经由 {client}";
        UsualClient => "the usual client", "默认客户端";
        Directly => "directly from the server", "由服务器直连";
        Client => "Client", "客户端";
        ClientHint => "the usual one when empty", "留空为默认客户端";
        Protocol => "Protocol", "协议";
        ProxyHeader => "PROXY header", "PROXY 头";
        ProxyHint => "tells the target who the visitor is", "告知目标访客的地址";
        State => "State", "状态";
        StateActive => "served", "服务中";
        StateWaiting => "waiting", "等待中";
        StateFailed => "failed", "失败";
        Reason => "Reason", "原因";
        Limit => "Bandwidth limit", "带宽限制";
        LimitHint => "bytes a second in each direction; 0 for none", "每个方向每秒字节数；0 表示不限";
        Access => "Visitors", "访客";
        AccessDisabled => "everybody", "所有人";
        AccessWhitelist => "only these", "仅限以下";
        AccessBlacklist => "all but these", "除以下之外";
        Networks => "Addresses and networks", "地址和网段";
        NetworksHint => "one a line, such as 192.0.2.0/24", "每行一个，例如 192.0.2.0/24";
        Created => "The mapping was created.", "映射已创建。";
        Edit => "Edit", "编辑";
        EditMapping { port: &'static str } => "The mapping of port {port}", "端口 {port} 的映射";
        EditText => "Another target, client, protocol or header ends the visitors who are there, within 5 s; a limit or a list does not.", "更改目标、客户端、协议或 PROXY 头会在 5 秒内断开现有访客；更改限速或名单则不会。";
        Saved => "Saved.", "已保存。";
        Reload => "Reload", "重新加载";
        ReloadText { port: &'static str } => "Port {port} is closed and opened again; its visitors are disconnected.", "端口 {port} 将关闭后重新打开，其访客会断开。";
        Reloaded => "Loaded anew.", "已重新加载。";
        Remove => "Remove", "删除";
        RemoveText { port: &'static str, target: &'static str } => "Port {port} will no longer lead to {target}. Its visitors have 5 s to finish.", "端口 {port} 将不再通往 {target}，其访客有 5 秒时间结束。";
        Removed => "The mapping was removed.", "映射已删除。";

        Connections => "Connections", "连接";
        NoConnections => "Nobody is connected at present.", "当前没有连接。";
        CountShown { shown: &'static str, count: &'static str } => "the {shown} with the most traffic of {count}", "共 {count} 个，显示流量最大的 {shown} 个";
        Visitor => "Visitor", "访客";
        Since => "Since", "开始时间";
        Duration => "Duration", "时长";
        Rate => "Rate", "速率";
        ToTarget => "to the target", "发往目标";
        ToVisitor => "to the visitor", "发往访客";

        Traffic => "Traffic", "流量";
        AllMappings => "all mappings", "所有映射";
        Period => "Period", "时段";
        LastHour => "last hour", "最近一小时";
        LastDay => "last day", "最近一天";
        LastWeek => "last week", "最近一周";
        TrafficOf { port: &'static str } => "Traffic of port {port}", "端口 {port} 的流量";
        TrafficOfAll => "Traffic of all mappings", "所有映射的流量";
        NoHistory => "There is nothing to draw yet; a point is recorded at every interval.", "暂无数据；每个记录周期新增一个数据点。";
        StatsOff => "Statistics are switched off (stats.enabled).", "统计已关闭（stats.enabled）。";
        Totals => "Totals", "总量";

        Clients => "Clients", "客户端";
        NoClients => "No client is connected.", "没有客户端连接。";
        Address => "Address", "地址";
        Streams => "Streams", "流";
        Ports => "Ports", "端口";
        AllPorts => "all", "全部";
        Program => "Program", "程序";
        Version1 => "version 1, without proof", "版本 1，未经验证";

        Tokens => "Tokens", "令牌";
        NewToken => "New token", "新建令牌";
        NoTokens => "There are no tokens.", "没有令牌。";
        PortsHint => "public ports that its clients may serve, such as 10000-10009; all when empty", "其客户端可服务的公开端口，例如 10000-10009；留空为全部";
        TokenShown => "This token is shown this once. Run this on the client:", "令牌只显示这一次。请在客户端运行：";
        Close => "Close", "关闭";
        CreatedAt => "Created", "创建时间";
        LastSeen => "Last seen", "最近使用";
        Revoke => "Revoke", "吊销";
        RevokeText { name: &'static str } => "Clients with the token {name} are cut off at once and cannot come back.", "使用令牌 {name} 的客户端将立即断开且无法再连接。";
        Revoked => "revoked", "已吊销";
        Valid => "valid", "有效";
        RevokedNow => "The token was revoked.", "令牌已吊销。";

        Audit => "Audit", "审计";
        NoAudit => "Nothing was changed yet.", "还没有任何变更。";
        When => "When", "时间";
        Who => "Who", "操作者";
        What => "What", "操作";
        Subject => "Subject", "对象";
        Details => "Details", "详情";

        Logs => "Logs", "日志";
        NoLogs => "Nothing was logged in the last minutes.", "最近几分钟没有日志。";
        Level => "Level", "级别";
        Text => "Text", "内容";
    }
}
