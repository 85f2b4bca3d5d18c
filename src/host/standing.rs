//! What proves that a process is gone, and what only looks like it: another process of its number, another namespace,
//! another boot. And the clock that nobody sets.

use std::time::Duration;

use super::{process_start, system};

/// How many steps up [`ancestors`] and [`caller`] take at most: more are a circle of numbers that were given anew.
const STEPS_MAX: usize = 64;

/// What can be seen of the process with some number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessSight {
    /// There is none, or one that has ended and waits for its parent.
    Gone,
    /// There is one that started then (see [`process_start`]).
    Started(u64),
    /// There may be one that cannot be looked at.
    Hidden,
}

/// Looks at the process with this number in this namespace. Takes about 10 µs.
#[must_use]
pub fn process_sight(pid: u32) -> ProcessSight {
    match process_start(pid) {
        Some(start) => ProcessSight::Started(start),
        None if system::process_exists(pid) || process_start(std::process::id()).is_none() => ProcessSight::Hidden,
        None => ProcessSight::Gone,
    }
}

/// Tells whether there is certainly no process with this number in this namespace: the quick half of
/// [`process_sight`], one system call. One that waits for its parent still has its number.
#[must_use]
pub fn surely_gone(pid: u32) -> bool {
    imp::surely_gone(pid)
}

/// Returns a text that differs wherever process numbers or start times mean something else (the PID and the time
/// namespace on Linux); `None` where there are no namespaces or they cannot be read.
#[must_use]
pub fn namespaces() -> Option<String> {
    imp::namespaces()
}

/// Returns the time since the start of the system, sleep included. Nobody can set it; it starts anew at each boot.
#[must_use]
pub fn boot_clock() -> Duration {
    imp::boot_clock()
}

/// Returns the process on whose behalf this one runs: its parent, but not a subshell. That is a copy of the shell that
/// ends with the substitution or the pipeline, while the person's shell goes on.
#[must_use]
pub fn caller() -> Option<u32> {
    let mut caller = imp::parent(std::process::id())?;
    for _ in 0..STEPS_MAX {
        match imp::parent(caller) {
            Some(parent) if parent > 1 && imp::is_copy_of(caller, parent) => caller = parent,
            _ => break,
        }
    }
    Some(caller)
}

/// Returns this process and those that it descends from, itself first.
#[must_use]
pub fn ancestors() -> Vec<u32> {
    let first = Some(std::process::id());
    std::iter::successors(first, |pid| imp::parent(*pid).filter(|parent| *parent > 0)).take(STEPS_MAX).collect()
}

#[cfg(target_os = "linux")]
mod imp {
    use std::fs;
    use std::time::Duration;

    use rustix::process::{Pid, test_kill_process};
    use rustix::time::{ClockId, clock_gettime};

    pub(super) fn surely_gone(pid: u32) -> bool {
        let asked = i32::try_from(pid).ok().and_then(Pid::from_raw).map(test_kill_process);
        asked == Some(Err(rustix::io::Errno::SRCH))
    }

    /// The numbers of the namespaces: `pid:[4026531836]` and `time:[4026531834]`.
    pub(super) fn namespaces() -> Option<String> {
        let of = |kind| Some(fs::read_link(format!("/proc/self/ns/{kind}")).ok()?.display().to_string());
        let pid = of("pid")?;
        Some(of("time").map_or_else(|| pid.clone(), |time| format!("{pid} {time}")))
    }

    pub(super) fn boot_clock() -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    pub(super) fn parent(pid: u32) -> Option<u32> {
        parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, so fields are counted behind its last `)`.
    pub(super) fn parent_in(line: &str) -> Option<u32> {
        line.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok().filter(|parent| *parent > 0)
    }

    /// A process that was forked and has not run another program has the command line and the program of its parent.
    pub(super) fn is_copy_of(pid: u32, parent: u32) -> bool {
        let line = |pid| fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty());
        let program = |pid| fs::read_link(format!("/proc/{pid}/exe")).ok();
        line(pid).is_some_and(|own| line(parent) == Some(own))
            && program(pid).is_some_and(|own| program(parent) == Some(own))
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::time::Duration;

    use sysinfo::{Pid, ProcessRefreshKind, System};

    use crate::host::identity::refreshed;

    pub(super) fn surely_gone(_: u32) -> bool {
        false
    }

    pub(super) fn namespaces() -> Option<String> {
        None
    }

    pub(super) fn boot_clock() -> Duration {
        // Where the system does not tell, no lease is ever over by its time: nothing is taken on doubt.
        Duration::from_secs(System::uptime().unwrap_or(0))
    }

    pub(super) fn parent(pid: u32) -> Option<u32> {
        let system = refreshed(&[pid], ProcessRefreshKind::nothing())?;
        system.process(Pid::from_u32(pid))?.parent().map(Pid::as_u32)
    }

    pub(super) fn is_copy_of(pid: u32, parent: u32) -> bool {
        let line = |pid| crate::host::process_of(pid).map(|process| (process.executable, process.command));
        line(pid).is_some_and(|own| line(parent) == Some(own))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_nobody_has_is_gone_and_that_of_this_process_is_not() {
        let own = std::process::id();
        assert_eq!(process_sight(own), ProcessSight::Started(process_start(own).unwrap()));
        assert!(!surely_gone(own));
        // Above the largest number that Linux gives (2^22).
        assert_eq!(process_sight(5_000_000), ProcessSight::Gone);
        assert!(surely_gone(5_000_000));
    }

    #[test]
    fn the_parent_is_found_behind_any_process_name() {
        assert_eq!(imp::parent_in("4711 (a) b (c)) S 17 4711 4711 0 -1"), Some(17));
        assert_eq!(imp::parent_in("1 (init) S 0 1 1 0 -1"), None);
        assert_eq!(imp::parent_in("1 (init"), None);
        let line = ancestors();
        assert_eq!(line.first(), Some(&std::process::id()));
        assert!(line.len() > 1);
    }

    #[test]
    fn the_boot_clock_runs_and_namespaces_have_names() {
        let before = boot_clock();
        assert!(before > Duration::ZERO && boot_clock() >= before);
        assert!(namespaces().is_some_and(|names| names.contains("pid:[")));
    }
}
