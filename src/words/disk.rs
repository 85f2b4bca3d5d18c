//! Words of the room `disk`: files, folders, locks, the journal and undo.

use std::path::PathBuf;

use super::catalogue;

catalogue! {
    /// Messages of the room `disk`.
    DiskWords {
        NoHome { variable: String } =>
            "cannot tell where to keep state: {variable} is not set to an absolute path",
            "无法确定状态目录：{variable} 未设为绝对路径";
        NoHomeHint { variable: String, alternative: String } =>
            "set {variable}, or {alternative}, to an absolute path", "请将 {variable} 或 {alternative} 设为绝对路径";

        NoPermission { path: PathBuf, user: String } =>
            "user {user} has no permission for {path}", "用户 {user} 没有 {path} 的权限";
        NoPermissionHint { path: PathBuf } =>
            "look at its owner and mode with `ls -ld '{path}'` (and `lsattr`)",
            "可用 `ls -ld '{path}'`（及 `lsattr`）查看属主和权限";
        ReadOnlyDisk { path: PathBuf, user: String } =>
            "the disk that holds {path} is read-only (user {user})", "{path} 所在磁盘为只读（用户 {user}）";
        ReadOnlyDiskHint => "remount it writable, or work on a copy elsewhere", "请以可写方式重新挂载，或换一处副本操作";
        DiskFull { path: PathBuf, user: String } =>
            "no space left for {path} (user {user})", "{path} 所在磁盘空间不足（用户 {user}）";
        DiskFullHint { path: PathBuf } =>
            "make room on the disk: `df -h '{path}'` shows it, `df -i` its inodes",
            "请清理磁盘：`df -h '{path}'` 查看空间，`df -i` 查看 inode";
        NotFound { path: PathBuf } => "{path} does not exist", "{path} 不存在";
        InputOutput { path: PathBuf, user: String, reason: String } =>
            "the system failed on {path} (user {user}): {reason}", "系统操作 {path} 失败（用户 {user}）：{reason}";
        InputOutputHint { path: PathBuf } =>
            "look at the disk of {path}: `dmesg | tail`, `df -h`", "请检查 {path} 所在磁盘：`dmesg | tail`、`df -h`";

        NotRegular { path: PathBuf } =>
            "{path} is not a regular file (a folder, a pipe or a device)", "{path} 不是普通文件（而是目录、管道或设备）";
        TooLarge { path: PathBuf, limit: u64 } =>
            "{path} is larger than {limit} bytes", "{path} 超过 {limit} 字节";
        DanglingLink { path: PathBuf, target: PathBuf } =>
            "{path} is a link to {target}, which does not exist", "{path} 链接到不存在的 {target}";
        LinkLoop { path: PathBuf } => "{path} is a link that leads back to itself", "{path} 是循环链接";
        LinkOutside { path: PathBuf, target: PathBuf } =>
            "{path} leads out of the project, to {target}", "{path} 指向项目之外的 {target}";
        LinkOutsideHint => "give --follow to edit the file behind the link", "如要修改链接指向的文件，请加 --follow";
        LinkHint { path: PathBuf } =>
            "look at it with `ls -l '{path}'`, then remove or mend the link", "请用 `ls -l '{path}'` 查看，再删除或修复该链接";

        Stale { path: PathBuf } =>
            "{path} was changed after the plan was made", "{path} 在计划之后被改动";
        StaleHint => "run again to plan against the present contents", "请重新运行，以当前内容重新规划";
        SameFileTwice { path: PathBuf } => "two changes name the same file {path}", "两处改动指向同一文件 {path}";
        TooManyFiles { count: usize, limit: usize } =>
            "{count} files in one change; the limit is {limit}", "一次改动 {count} 个文件，上限为 {limit}";

        StateUnsafe { path: PathBuf, user: String } =>
            "{path} must be a folder that belongs to user {user} and that nobody else can write",
            "{path} 必须属于用户 {user}，且其他人不可写";
        StateUnsafeHint { path: PathBuf } =>
            "look with `ls -ld '{path}'`; `chmod go-w '{path}'` closes it, or run as its owner",
            "请用 `ls -ld '{path}'` 查看；`chmod go-w '{path}'` 可收紧权限，或以其属主身份运行";
        RecordUnreadable { path: PathBuf, reason: String } =>
            "{path} cannot be understood: {reason}", "{path} 无法解析：{reason}";
        RecordChoices { path: PathBuf } =>
            "either restore {path} from a backup, or delete it and lose what it remembers",
            "可从备份恢复 {path}，或删除它（其中的记录将丢失）";
        JournalChoices { path: PathBuf, backups: PathBuf } =>
            "either delete {path} to keep the project's files as they are, or first copy the old ones back from {backups}",
            "可删除 {path} 以保留项目文件现状，或先从 {backups} 复制回旧文件";
        NewerFormat { path: PathBuf, version: String } =>
            "{path} was made by a newer Portwright ({version})", "{path} 由更新版本的 Portwright（{version}）写入";
        NewerFormatHint { version: String } =>
            "use Portwright {version} or later", "请使用 Portwright {version} 或更高版本";
        BadRecordName { name: String } => "{name} is no name for a record", "{name} 不能作为记录名";
        PathUnwritable { path: PathBuf } =>
            "the name of {path} cannot be recorded on this system", "本系统无法记录 {path} 的名称";
        BackupDamaged { path: PathBuf } =>
            "the backup {path} is missing or is not what was saved", "备份 {path} 缺失或已被改动";

        LockHeld { directory: PathBuf, verb: String, pid: u32 } =>
            "`portwright {verb}` (pid {pid}) is at work in {directory}", "`portwright {verb}`（进程号 {pid}）正在处理 {directory}";
        LockHeldUnknown { directory: PathBuf } =>
            "another Portwright is at work in {directory}", "另一个 Portwright 正在处理 {directory}";
        LedgerBusy { path: PathBuf, seconds: u64 } =>
            "{path} is held by others, and was not free within {seconds} s", "{path} 被其他进程占用，{seconds} 秒内未能取得";
        LedgerBusyHint { path: PathBuf } =>
            "try again; `fuser {path}` names who holds the lock", "请稍后重试；`fuser {path}` 可查看谁持有锁";
        WeakDisk { path: PathBuf, system: &'static str } =>
            "{path} is on {system}, where a lock may not hold between machines",
            "{path} 位于 {system} 上，锁在多台机器之间可能无效";
        WeakDiskHint =>
            "keep it on a local disk, or add `--weak-disk` when only this machine uses it",
            "请放到本地磁盘；若只有本机使用，可加上 `--weak-disk`";
        LockHeldHint => "wait until it is done and run again", "请等它结束后重试";

        RecoveredForward { verb: String } =>
            "an interrupted `portwright {verb}` was finished: all its files are changed",
            "已完成先前中断的 `portwright {verb}`：其文件均已更改";
        RecoveredBack { verb: String } =>
            "an interrupted `portwright {verb}` was taken back: all its files are as before",
            "已撤回先前中断的 `portwright {verb}`：其文件均保持原样";
        OverwrittenInPlace { path: PathBuf } =>
            "{path} could not be replaced as a whole and was overwritten in place; a power cut meanwhile is repaired by the next run",
            "{path} 无法整体替换，已就地改写；若其间断电，下次运行会修复";
        Unfinished { directory: PathBuf } =>
            "a change of {directory} was interrupted and is not settled yet", "{directory} 的一次改动被中断，尚未了结";
        Midway { new: String, old: String, other: String } =>
            "stopped midway; changed: {new}; as before: {old}; neither: {other}",
            "中途停止；已改：{new}；未改：{old}；两者皆非：{other}";
        MidwayHint { path: PathBuf, backups: PathBuf } =>
            "run again to finish; the old files are in {backups}; deleting {path} accepts the files as they are",
            "重新运行即可完成；旧文件在 {backups}；删除 {path} 表示接受现状";
    }
}
