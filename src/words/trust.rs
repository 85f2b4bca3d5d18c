//! Words about certificates, tokens and the two ends of a tunnel that come to know each other.

use std::path::PathBuf;

use super::{Message, catalogue};

catalogue! {
    /// Messages about who is trusted, and why not.
    TrustWords {
        CertificateUnreadable => "cannot read the certificate", "无法读取证书";
        NoCertificate { path: PathBuf } => "{path} holds no certificate in PEM form", "{path} 中没有 PEM 格式的证书";
        CertificateBroken { path: PathBuf, reason: String } => "{path} cannot be used: {reason}", "{path} 无法使用：{reason}";
        KeyUnreadable => "cannot read the private key", "无法读取私钥";
        NoKey { path: PathBuf } => "{path} holds no private key in PEM form", "{path} 中没有 PEM 格式的私钥";
        KeyMismatch { certificate: PathBuf, key: PathBuf, reason: String } =>
            "{certificate} and {key} do not belong together: {reason}", "{certificate} 与 {key} 不匹配：{reason}";
        SecretFileOpen { path: PathBuf } => "{path} holds a secret and can be read by others", "{path} 含有机密，但其他用户也能读取";
        CloseSecretFile { path: PathBuf } => "close it with `chmod 600 {path}`", "运行 `chmod 600 {path}` 收紧权限";
        CannotMakeCertificate { reason: String } => "cannot make a certificate: {reason}", "无法生成证书：{reason}";
        TlsUnusable { reason: String } => "TLS cannot be set up: {reason}", "无法建立 TLS：{reason}";

        ServerUnknown { server: String, reason: String } => "{server} cannot be looked up: {reason}", "无法解析 {server}：{reason}";
        ServerUnreachable { server: String, reason: String } => "{server} cannot be reached: {reason}", "无法连接 {server}：{reason}";
        ServerSilent { server: String } => "{server} does not answer", "{server} 没有响应";
        ServerHungUp { server: String } => "{server} hung up before it let this client in", "{server} 在接纳本客户端之前断开了连接";
        HungUpReasons => "it may have too many strangers at its door, or be no tunnel server; its log says more", "可能等待认证的连接过多，或者它不是隧道服务器；详情见其日志";
        ServerForeign { server: String, reason: String } => "what answers at {server} is not a tunnel server ({reason})", "在 {server} 响应的不是隧道服务器（{reason}）";
        CheckServer => "check address and port: they are tunnel.listen_port of the server and a name that leads there", "请检查地址和端口：端口为服务器的 tunnel.listen_port，地址须能到达该服务器";
        ServerImpostor { server: String } =>
            "{server} does not know the token that it asked for; nothing was opened", "{server} 并不持有它所询问的令牌信息；没有打开任何连接";
        PlaintextAway { server: String } => "{server} is another machine, and without TLS everybody on the way could read and change what passes",
            "{server} 是另一台机器；不使用 TLS 时，途经的任何人都能读取和篡改数据";
        UseTlsOrInsist => "turn TLS on at the server (tunnel.tls: auto) and give its pin, or insist with `--insecure`",
            "请在服务器开启 TLS（tunnel.tls: auto）并提供其指纹，或用 `--insecure` 坚持";

        ServerNoTls { server: String } => "what answers at {server} does not speak the tunnel's TLS 1.3", "在 {server} 响应的服务不支持隧道所用的 TLS 1.3";
        ServerHungUpInTls { server: String } => "{server} hung up during TLS; a server with tunnel.tls: off does that", "{server} 在 TLS 握手时断开；设有 tunnel.tls: off 的服务器会如此";
        ServerWantsCertificate { server: String } => "{server} lets in only clients with a certificate", "{server} 只接受持有证书的客户端";
        GiveCertificate => "give one that tunnel.client_ca of the server has issued", "请提供由服务器 tunnel.client_ca 签发的证书";
        ServerTlsFailed { server: String, reason: String } => "TLS with {server} failed: {reason}", "与 {server} 的 TLS 握手失败：{reason}";
        WrongPin { server: String, wanted: String, found: String } =>
            "{server} is not the server that is pinned: wanted {wanted}, found {found}", "{server} 不是所指定的服务器：应为 {wanted}，实为 {found}";
        WrongPinReasons => "either its key was replaced (compare with `pin=` in the server's log) or somebody is in between",
            "可能是其密钥已更换（请与服务器日志中的 `pin=` 比对），也可能有人在中间拦截";
        NoPin { server: String, found: String } => "nothing says how {server} is recognised; it shows {found}", "没有指定如何识别 {server}；它出示的指纹是 {found}";
        PinFromServer => "if the server's log says the same after `pin=`, give it with `--pin`", "若与服务器日志中 `pin=` 之后的内容一致，请用 `--pin` 指定";
        ComparePin { found: String } => "it shows {found}; if the server's log says the same, `--pin` accepts it whatever its dates and names are",
            "它出示的指纹是 {found}；若与服务器日志一致，可用 `--pin` 指定，此时不再检查有效期和名称";
        CertificateExpired { server: String } => "the certificate of {server} has expired", "{server} 的证书已过期";
        CertificateEarly { server: String } => "the certificate of {server} is not valid yet, or this machine's clock is wrong", "{server} 的证书尚未生效，或本机时钟有误";
        CertificateName { server: String, wanted: String, names: String } =>
            "the certificate of {server} is for {names}, not for {wanted}", "{server} 的证书属于 {names}，而不是 {wanted}";
        CertificateIssuer { server: String } => "the certificate of {server} was not issued by the given authority", "{server} 的证书不是由指定的机构签发";
        CertificateRefused { server: String, reason: String } => "the certificate of {server} cannot be accepted: {reason}", "无法接受 {server} 的证书：{reason}";

        Rejected { server: String, reason: Box<Message> } => "{server} does not let this client in: {reason}", "{server} 拒绝了本客户端：{reason}";
        RejectedVersion => "the two speak no version in common", "双方没有共同的协议版本";
        SameVersions => "bring the older one up to date", "请升级较旧的一方";
        RejectedToken => "it does not accept the token", "令牌未被接受";
        NewToken => "the token is wrong or was revoked; `portwright tunnel token create` on the server makes one", "令牌有误或已吊销；可在服务器上用 `portwright tunnel token create` 新建";
        RejectedConnected => "a client of this name is connected already", "同名客户端已连接";
        OtherName => "stop the other one, or give this one a name of its own with `--name`", "请停止另一个客户端，或用 `--name` 另取名称";
        RejectedName => "the name of this client cannot be used; it may have 31 letters, digits and the signs - _ .", "客户端名称不可用；名称最多 31 个字符，可用字母、数字和 - _ .";
        RejectedBusy => "it has too much to do", "服务器繁忙";
        RejectedStopping => "it is stopping", "服务器正在停止";
        RejectedPlaintext => "it wants TLS", "服务器要求 TLS";
        GivePin => "give its pin, which stands in the server's log, with `--pin`", "请用 `--pin` 提供服务器日志中的指纹";
        WhichServer => "no server is named; give `--join CODE` or `--server HOST:PORT`", "未指定服务器；请用 `--join 加入码` 或 `--server 主机:端口`";
        BadServer => "the server must be given as HOST:PORT; an IPv6 address stands in brackets", "服务器须写成 主机:端口；IPv6 地址须加方括号";
        JoinCodeSaysAll => "a join code says server, token and pin; leave the others out", "加入码已包含服务器、令牌和指纹，请勿再另行指定";
        JoinCodeForeign => "this is no join code; one begins with pwj_", "这不是加入码；加入码以 pwj_ 开头";
        JoinCodeDamaged => "the join code is damaged: letters are missing or wrong", "加入码已损坏：有字符缺失或错误";
        CopyWholeCode => "copy the whole word again; `portwright tunnel token create` on the server makes another", "请重新完整复制；也可在服务器上用 `portwright tunnel token create` 另建";
        JoinCodeNewer => "the join code was made by a later version", "该加入码由更新的版本生成";
        PinOrAuthority => "give a pin or an authority, not both", "指纹和机构证书只能给出一个";
        BadPin => "a pin is 64 hexadecimal digits, with or without sha256:", "指纹应为 64 位十六进制数字，可带 sha256: 前缀";
        InsecureWithPin => "`--insecure` is plaintext, where neither pin nor authority counts", "`--insecure` 表示明文连接，此时指纹和机构证书不起作用";
        TokenTwice => "the token is given twice", "令牌给出了两次";
        TokenMissing => "there is no token, and without one no server lets this client in", "没有令牌；没有令牌，服务器不会接纳本客户端";
        TokenUnreadable => "cannot read the token file", "无法读取令牌文件";
        BadToken => "this is no token, or not a whole one; one begins with pwt_ and has 68 characters", "这不是完整的令牌；令牌以 pwt_ 开头，共 68 个字符";

        ServerOlder => "the server that uses this database runs an earlier version", "正在使用该数据库的服务器是较早的版本";
        RestartServer => "restart it with this version, then run this again", "请用本版本重启服务器，然后重试";
        BadTokenName => "a name has at most 31 letters, digits and the signs - _ . and does not read like an id", "名称最多 31 个字符，可用字母、数字和 - _ .，且不能形如标识";
        TokenNameReserved { name: String } => "the name {name} is that of clients of version 1, which have no token", "名称 {name} 保留给版本 1 的客户端，它们没有令牌";
        TokenNameTaken { name: String } => "a token called {name} exists", "名为 {name} 的令牌已存在";
        OtherTokenName { name: String } => "choose another name, or revoke it first: `portwright tunnel token revoke {name}`",
            "请另选名称，或先吊销：`portwright tunnel token revoke {name}`";
        NoSuchToken { which: String } => "there is no token {which}", "没有令牌 {which}";
        ListTokens => "`portwright tunnel token list` shows them", "可用 `portwright tunnel token list` 查看";
        TokenLine { token: String } => "token: {token}", "令牌: {token}";
        JoinCodeLine { code: String } => "join code: {code}", "加入码: {code}";
        PinLine { pin: String } => "pin: {pin}", "指纹: {pin}";
        ShownOnce => "shown this once: the server keeps only what recognises the token", "仅显示这一次：服务器只保存用于识别令牌的信息";
        RunOnClient => "on the client, run `portwright tunnel client --join CODE`", "在客户端运行 `portwright tunnel client --join 加入码`";
        NoTokens => "there are no tokens, so no client can connect", "没有令牌，因此没有客户端能够连接";
        MakeToken => "`portwright tunnel token create --name NAME` makes one", "可用 `portwright tunnel token create --name 名称` 新建";
        TokenRevoked { name: String } => "{name} is revoked", "{name} 已吊销";
        AlreadyRevoked { name: String } => "{name} was revoked before", "{name} 此前已吊销";
        IdColumn => "ID", "标识";
        PortsColumn => "PORTS", "端口";
        CreatedColumn => "CREATED", "创建时间";
        SeenColumn => "LAST SEEN", "最近连接";
        RevokedColumn => "REVOKED", "吊销时间";
        NoThread { reason: String } => "the system gives no thread: {reason}", "系统无法提供线程：{reason}";
        NoTunnelPort => "tunnel.listen_port is not set", "未设置 tunnel.listen_port";
        PlaintextListener { address: String } =>
            "the tunnel would listen at {address} without TLS, where everybody on the way could read and change what passes",
            "隧道将在 {address} 不加密监听，途经的任何人都能读取和篡改数据";
        TlsOrLoopback => "set tunnel.tls to auto, or tunnel.listen to 127.0.0.1, or insist with `--insecure`",
            "请将 tunnel.tls 设为 auto，或将 tunnel.listen 设为 127.0.0.1，或用 `--insecure` 坚持";

        RejectedOther { code: u16, text: String } => "{text} (code {code})", "{text}（代码 {code}）";
    }
}
