//! Processes of ours: marks that tell a process from a later one with the same number, and the signals that end it.

use serde::{Deserialize, Serialize};

use super::{boot_id, process_alive, process_start};
use crate::error::{Error, ErrorKind, Result};
use crate::words::host::HostWords;

/// A process as it can be recognised later: its number alone is given to another process sooner or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The process id.
    pub pid: u32,
    /// When it started, in the system's own unit; `None` where that cannot be read.
    pub start: Option<u64>,
    /// The boot in which it runs.
    pub boot: Option<String>,
}

impl ProcessMark {
    /// Marks a process that runs.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self { pid, start: process_start(pid), boot: boot_id() }
    }

    /// Marks this very process.
    #[must_use]
    pub fn own() -> Self {
        Self::of(std::process::id())
    }

    /// Tells whether this very process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.boot == boot_id() && self.start.is_some_and(|start| process_alive(self.pid, start))
    }
}

/// Leaves the terminal: the process gets a session of its own and no longer receives the terminal's signals.
pub fn detach() {
    // Fails only for the leader of a process group, which has no terminal to lose by a fork it did not make.
    #[cfg(unix)]
    let _ = rustix::process::setsid();
}

/// Asks a process to end (SIGTERM; on Windows it is ended at once); one that is gone already is no error.
///
/// # Errors
/// `Missing` when this user may not signal it.
pub fn terminate(mark: &ProcessMark) -> Result<()> {
    signal(mark, Ending::Ask)
}

/// Ends a process at once (SIGKILL); one that is gone already is no error.
///
/// # Errors
/// `Missing` when this user may not signal it.
pub fn kill(mark: &ProcessMark) -> Result<()> {
    signal(mark, Ending::Force)
}

#[derive(Clone, Copy)]
enum Ending {
    Ask,
    Force,
}

#[cfg(unix)]
fn signal(mark: &ProcessMark, ending: Ending) -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process};

    let Some(pid) = i32::try_from(mark.pid).ok().and_then(Pid::from_raw).filter(|_| mark.is_alive()) else {
        return Ok(());
    };
    let signal = match ending {
        Ending::Ask => Signal::TERM,
        Ending::Force => Signal::KILL,
    };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            let words = HostWords::SignalRefused { pid: mark.pid, why: error.to_string() };
            Err(Error::new(ErrorKind::Missing, words))
        }
    }
}

/// A console program of another group cannot be asked here (`GenerateConsoleCtrlEvent` reaches one's own console only), so
/// both endings are `TerminateProcess`.
#[cfg(not(unix))]
fn signal(mark: &ProcessMark, _: Ending) -> Result<()> {
    use sysinfo::{Pid, ProcessRefreshKind};

    if !mark.is_alive() {
        return Ok(());
    }
    let system = super::identity::refreshed(&[mark.pid], ProcessRefreshKind::nothing());
    let ended = system.as_ref().and_then(|system| system.process(Pid::from_u32(mark.pid))).map(sysinfo::Process::kill);
    if ended == Some(true) || !mark.is_alive() {
        return Ok(());
    }
    let why = std::io::Error::last_os_error().to_string();
    Err(Error::new(ErrorKind::Missing, HostWords::SignalRefused { pid: mark.pid, why }))
}
