//! Words of the room `lease` and of `pool`: leases, WANs, and what becomes of them.

use std::path::PathBuf;

use super::{Message, catalogue};
use crate::model::{Port, PortRange};

catalogue! {
    /// Messages about leases.
    LeaseWords {
        NewerPool { version: String } => "the pool was written by a newer Portwright ({version})", "该端口池由更新版本的 Portwright（{version}）写入";
        NewerPoolHint { version: String } => "use Portwright {version} or later", "请使用 Portwright {version} 或更高版本";
        NotPoolToml { why: String } => "pool.toml cannot be understood: {why}", "无法解析 pool.toml：{why}";
        NoWans => "pool.toml names no WAN", "pool.toml 没有定义任何 WAN";
        WanTwice { wan: u32 } => "pool.toml has WAN {wan} twice", "pool.toml 中 WAN {wan} 出现了两次";
        WanRange { wan: u32, range: String } => "the range of WAN {wan} is `{range}`; a range is written A-B, from the lower port to the higher",
            "WAN {wan} 的范围为 `{range}`；范围应写作 起-止，由小到大";
        WanTwoAddresses { wan: u32 } => "WAN {wan} has either `bind` or `interface`, not both", "WAN {wan} 只能使用 `bind` 或 `interface` 之一";
        NoInterface { wan: u32, interface: String } => "the interface {interface} of WAN {wan} has no address", "WAN {wan} 的接口 {interface} 没有地址";
        UnknownWan { wan: u32, known: String } => "there is no WAN {wan}; there are {known}", "没有 WAN {wan}；现有：{known}";
        NotOurAddress { wan: u32, address: String } => "the address {address} of WAN {wan} is not one of this host", "WAN {wan} 的地址 {address} 不属于本机";

        Exhausted { wan: u32, range: PortRange, wanted: usize, leased: usize, in_use: usize } =>
            "WAN {wan} has no {wanted} free ports in {range}: {leased} are leased, {in_use} are in use by others; none was taken",
            "WAN {wan} 在 {range} 内没有 {wanted} 个空闲端口：{leased} 个已租出，{in_use} 个被其他程序占用；未分配任何端口";
        ExhaustedInARow { wan: u32, range: PortRange, wanted: usize, leased: usize, in_use: usize } =>
            "WAN {wan} has no {wanted} free ports in a row in {range}: {leased} are leased, {in_use} are in use by others; none was taken",
            "WAN {wan} 在 {range} 内没有 {wanted} 个连续的空闲端口：{leased} 个已租出，{in_use} 个被其他程序占用；未分配任何端口";
        HintExhausted => "`portwright pool list` shows who has them; `--range A-B` looks elsewhere", "`portwright pool list` 查看占用者；`--range 起-止` 可换一个范围";
        NoHolder { pid: u32 } => "there is no process {pid} to hold the lease", "没有可持有租约的进程 {pid}";
        EphemeralLease { port: Port } => "port {port} may be taken by an outgoing connection until the service has it; add it to net.ipv4.ip_local_reserved_ports",
            "端口 {port} 在服务绑定之前可能被外出连接占用；请把它加入 net.ipv4.ip_local_reserved_ports";
        OnSeveralWans { port: Port, wans: String } => "port {port} is leased on several WANs ({wans}); name one with `--wan`",
            "端口 {port} 在多个 WAN 上均有租约（{wans}）；请用 `--wan` 指定";
        PoolTomlUnread { path: PathBuf, why: String } => "{path} cannot be read: {why}", "无法读取 {path}：{why}";
        InFile { path: PathBuf } => "in {path}", "文件 {path}";
        RunJson => "`pool run` leaves stdout to the program; there is no JSON form of it", "`pool run` 的标准输出属于所运行的程序，没有 JSON 形式";
        NotStarted { program: String, why: String } => "{program} cannot be started: {why}", "无法启动 {program}：{why}";
        NoListening => "this system cannot pass sockets on to a program; `--hold` keeps the ports until the program binds them",
            "本系统无法把套接字交给程序；`--hold` 可在程序绑定之前保持端口";
        NotHeld { port: Port, why: String } => "port {port} cannot be held: {why}", "无法保持端口 {port}：{why}";

        StoreUrlWrong => "the store must be postgres://USER:PASSWORD@HOST:PORT/NAME or etcd://HOST:PORT", "共享存储应为 postgres://用户:密码@主机:端口/库名 或 etcd://主机:端口";
        StoreRootsMissing => "sslmode=verify-full needs sslrootcert=FILE, the certificate of the authority that issued the store's", "sslmode=verify-full 还需要 sslrootcert=文件，即签发存储证书的机构的证书";
        EtcdRootsMissing => "etcds:// needs ?cacert=FILE, the certificate of the authority that issued the etcd's", "etcds:// 还需要 ?cacert=文件，即签发 etcd 证书的机构的证书";
        StoreUnusable { address: String, reason: String } => "the store at {address} cannot be used: {reason}", "无法使用位于 {address} 的共享存储：{reason}";
        CheckStore => "check that it runs, that `--store` (or PORTWRIGHT_POOL_STORE, or pool.toml) names it and its user, and that this user may write there", "请确认存储正在运行、`--store`（或 PORTWRIGHT_POOL_STORE、pool.toml）中的地址和用户正确，且该用户可以写入";
        StoreNewer => "the store was set up by a later version of Portwright", "该共享存储由更新版本的 Portwright 建立";
        StoreNewerHint => "use that version on every host of the fleet", "请在所有主机上使用该版本";
        GroupWrong { most: usize } => "the name of a group has 1 to {most} letters, digits, `.`, `-` and `_`", "组名由 1 到 {most} 个字母、数字、`.`、`-` 或 `_` 组成";
        NotShared => "only a pool of this machine's own can do that", "只有本机自己的端口池支持该操作";
        LostToAnother { port: Port } => "the lease of port {port} ended while the store was out of reach, and another host has the port now", "存储失联期间端口 {port} 的租约已到期，该端口现由其他主机持有";
        StoreLost { reason: Box<Message> } => "the leases cannot be renewed for now, the program goes on: {reason}", "暂时无法续租，程序继续运行：{reason}";
        StoreBack => "the leases are renewed again", "已恢复续租";
        TwoStores => "name the store by one of `store` and `store_file`, not both", "`store` 与 `store_file` 只能使用其一";
        StoreFileUnreadable => "cannot read the file that names the store", "无法读取指定共享存储的文件";
        StoreFileOpen { path: PathBuf } => "{path} may hold a password and can be read by others", "{path} 可能含有密码，但其他用户也能读取";
        CloseStoreFile { path: PathBuf } => "close it with `chmod 600 {path}`", "运行 `chmod 600 {path}` 收紧权限";

        Released { port: Port, holder: u32 } => "released: {port} (process {holder})", "已归还：{port}（进程 {holder}）";
        NotLeased { port: Port } => "port {port} was not leased", "端口 {port} 没有租约";
        NothingLeased => "nothing was leased so", "没有符合条件的租约";
        NoLeases => "nothing is leased", "没有租约";
        PortColumn => "PORT", "端口";
        WanColumn => "WAN", "WAN";
        HolderColumn => "HOLDER", "持有者";
        PurposeColumn => "PURPOSE", "用途";
        ExpiresColumn => "EXPIRES", "到期";
        IdColumn => "ID", "标识";
        RangeColumn => "RANGE", "范围";
        TotalColumn => "TOTAL", "总数";
        LeasedColumn => "LEASED", "已租";
        InUseColumn => "IN USE", "占用";
        ReservedColumn => "RESERVED", "保留";
        FreeColumn => "FREE", "空闲";
        Held => "held", "持有中";
        Unsure => "the holder cannot be seen from here", "此处无法确认持有者";
        Over => "over", "已结束";
        OverInUse { holder: Box<Message> } => "over, but in use by {holder}", "已结束，但仍被 {holder} 使用";
        SetAside { path: PathBuf, kept: usize } => "the pool was damaged; it is kept as {path}, and {kept} leases of it could still be read",
            "端口池文件已损坏；已另存为 {path}，其中 {kept} 个租约仍可读取";
    }
}
