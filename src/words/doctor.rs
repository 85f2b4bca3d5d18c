//! Words of `doctor`: what each check is about, what shows its outcome, and what helps.

use std::path::PathBuf;

use super::{ListOf, catalogue};
use crate::model::{Port, Told};

catalogue! {
    /// What `doctor` says.
    DoctorWords {
        Said { text: Told } => "{text}", "{text}";
        Together { parts: ListOf } => "{parts}", "{parts}";
        NotAsked => "left out on the command line", "已在命令行中略过";
        NoProject => "no compose project in this directory", "此目录中没有 compose 项目";
        InTime { seconds: u64 } => "no answer within {seconds} s", "{seconds} 秒内没有结果";
        Accepted => "accepted", "已接受";

        EngineTitle => "a container engine answers", "容器引擎有响应";
        EngineAnswers { kind: String, version: String, address: String } => "{kind} {version} at {address}", "{kind} {version}，位于 {address}";
        NativeWithout => "not needed here: the bundled server runs without one", "此处不需要：内置服务端无需引擎即可运行";
        EngineRemedy => "look at the engine's log: journalctl -u docker", "查看引擎日志：journalctl -u docker";

        PortsTitle => "the project's ports are to be had", "项目所需端口可用";
        NoPorts => "no active service publishes a port", "没有启用的服务发布端口";
        PortsFree { count: usize } => "{count} published ports, each free or this project's own", "发布 {count} 个端口，均空闲或已由本项目占用";
        PortTaken { name: String, port: Port, place: String, reason: Told } => "{port} of {name} ({place}): {reason}", "{name} 的端口 {port}（{place}）：{reason}";
        PortsRemedy => "`portwright quick-start` moves it, `portwright why PORT` names the holder", "`portwright quick-start` 可改用其他端口，`portwright why 端口` 可查看占用者";

        DiskTitle => "there is room on the disks", "磁盘空间充足";
        RoomIn { path: PathBuf, mib: u64 } => "{path}: {mib} MiB free", "{path}：剩余 {mib} MiB";
        DiskRemedy { path: PathBuf } => "make room there (`du -xh --max-depth=1 {path}` shows what takes it; `docker system prune` frees unused images)",
            "请清理该处空间（`du -xh --max-depth=1 {path}` 查看占用；`docker system prune` 清理未使用的镜像）";

        InterruptedTitle => "no change of files was interrupted", "没有中断的文件修改";
        NothingInterrupted => "nothing is half done", "没有未完成的修改";
        InProgress => "another run is at it right now", "另一个运行正在进行";
        Interrupted { verb: String } => "`portwright {verb}` was interrupted while it changed files", "`portwright {verb}` 在修改文件时被中断";
        InterruptedRemedy => "`portwright doctor --fix` or the next run makes the files all old or all new", "`portwright doctor --fix` 或下一次运行会使文件全部恢复或全部更新";

        Summary { pass: usize, warn: usize, fail: usize, unknown: usize, skipped: usize } =>
            "{pass} well, {warn} to look at, {fail} broken, {unknown} not known, {skipped} not applicable",
            "正常 {pass}，需留意 {warn}，故障 {fail}，未知 {unknown}，不适用 {skipped}";
        UnknownCheck { id: String } => "there is no check `{id}`", "没有检查项 `{id}`";
        PassMark => "ok", "正常";
        WarnMark => "look", "留意";
        FailMark => "broken", "故障";
        UnknownMark => "unknown", "未知";
        SkippedMark => "skipped", "略过";
        FactsUnread { file: String, why: String } => "the facts {file} cannot be read: {why}", "无法读取事实文件 {file}：{why}";
    }
}
