//! Who runs this, on what, and whether a process is still the one that it was.

use std::fmt;
use std::net::{Ipv6Addr, UdpSocket};
use std::path::PathBuf;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::system;
use crate::model::Os;

/// A process, for telling a person which one is meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// The name; Linux cuts it to 15 bytes.
    pub name: String,
    /// The command line. It may hold passwords, so it is never logged and never shown whole.
    pub command: Vec<String>,
    /// The executable, where this user may see it.
    pub executable: Option<PathBuf>,
}

impl fmt::Debug for Process {
    /// Leaves the command line out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Process")
            .field("pid", &self.pid)
            .field("name", &self.name)
            .field("executable", &self.executable)
            .finish_non_exhaustive()
    }
}

/// Returns the operating system that this runs on.
#[must_use]
pub const fn os() -> Os {
    if cfg!(target_os = "linux") {
        Os::Linux
    } else if cfg!(target_os = "macos") {
        Os::MacOs
    } else if cfg!(windows) {
        Os::Windows
    } else {
        Os::Other
    }
}

/// Tells whether this process may bind every port: `CAP_NET_BIND_SERVICE` on Linux (root in a container may lack it),
/// user id 0 on macOS. Windows has no such rule and says `false`.
#[must_use]
pub fn privileged_user() -> bool {
    system::privileged_user()
}

/// Tells whether an IPv6 address can be bound, by binding `::1` (the test that container engines make, too).
#[must_use]
pub fn ipv6_available() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Returns a text that differs after each start of the system, or `None` where start times of processes are absolute
/// and need none.
#[must_use]
pub fn boot_id() -> Option<String> {
    system::boot_id()
}

/// Returns the name of this machine, for people; empty where the system tells none.
#[must_use]
pub fn machine_name() -> String {
    System::host_name().unwrap_or_default()
}

/// Tells whether this process runs in a container, where the host's sockets cannot be seen.
#[must_use]
pub fn in_container() -> bool {
    system::in_container()
}

/// Returns when the process started, to tell it from a later one with its id: clock ticks since the system's start on
/// Linux (`/proc/PID/stat`, field 22), seconds since 1970 elsewhere. `None` when there is no such process or it cannot
/// be seen.
#[must_use]
pub fn process_start(pid: u32) -> Option<u64> {
    system::process_start(pid)
}

/// Tells whether the process `pid` that started at `start` (see [`process_start`]) still runs. A process that exists
/// but cannot be seen counts as alive, because locks depend on the answer.
#[must_use]
pub fn process_alive(pid: u32, start: u64) -> bool {
    system::process_start(pid).map_or_else(|| system::process_exists(pid), |seen| seen == start)
}

/// Returns the process with this id, or `None` when it is gone or cannot be seen. Takes about 0.1 ms.
#[must_use]
pub fn process_of(pid: u32) -> Option<Process> {
    let kind = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always).with_exe(UpdateKind::Always);
    let system = refreshed(&[pid], kind)?;
    let process = system.process(Pid::from_u32(pid))?;
    let text = |part: &std::ffi::OsString| part.to_string_lossy().into_owned();
    Some(Process {
        pid,
        name: process.name().to_string_lossy().into_owned(),
        command: process.cmd().iter().map(text).collect(),
        executable: process.exe().map(PathBuf::from),
    })
}

/// Looks at these processes alone: a full refresh takes 10 to 160 ms for 200 processes.
pub(super) fn refreshed(pids: &[u32], kind: ProcessRefreshKind) -> Option<System> {
    let pids: Vec<Pid> = pids.iter().copied().map(Pid::from_u32).collect();
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), false, kind.without_tasks());
    Some(system)
}

/// Returns when a process started, in seconds since 1970.
#[cfg(not(target_os = "linux"))]
pub(super) fn started(pid: u32) -> Option<u64> {
    let system = refreshed(&[pid], ProcessRefreshKind::nothing())?;
    system.process(Pid::from_u32(pid)).map(sysinfo::Process::start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_one_with_another_start_is_not() {
        let pid = std::process::id();
        let start = process_start(pid).expect("this process has a start");
        assert!(process_alive(pid, start));
        assert!(!process_alive(pid, start + 1));
    }

    #[test]
    fn an_ended_process_is_not_alive_even_before_its_parent_collects_it() {
        let reader: &[&str] = if cfg!(windows) { &["cmd", "/c", "set /p x="] } else { &["cat"] };
        let mut child = std::process::Command::new(reader[0])
            .args(&reader[1..])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("a program that reads starts");
        let pid = child.id();
        let start = process_start(pid).expect("the child has a start");
        assert!(process_alive(pid, start));
        drop(child.stdin.take());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while process_alive(pid, start) {
            assert!(std::time::Instant::now() < deadline, "it ends at the end of its input");
            std::thread::yield_now();
        }
        child.wait().expect("the child is collected");
        assert!(!process_alive(pid, start));
    }

    #[test]
    fn a_process_is_described_and_its_command_line_stays_out_of_logs() {
        let process = process_of(std::process::id()).expect("this process");
        assert!(!process.name.is_empty());
        assert!(process.executable.is_some() && !process.command.is_empty());
        assert!(!format!("{process:?}").contains("command"));
        assert_eq!(process_of(u32::MAX - 1), None);
    }
}
