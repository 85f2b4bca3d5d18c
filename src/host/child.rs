//! A child that stands for this process: signals are passed on to it, and its end is ours.

use std::io;
use std::process::Command;
use std::time::Duration;

/// Starts `command` and returns its exit code once it has ended: 128 and the signal's number for one that a signal
/// ended, as shells have it.
///
/// Signals that ask a program to end or to do something (HUP, INT, QUIT, TERM, USR1, USR2) are passed on, and do not end
/// this process; those that a terminal sends to the whole group reach the child without us. `started` is told the
/// child's process id, and `tick` is called about every `interval`.
///
/// # Errors
/// As the system's, when the child cannot be started.
pub fn stand_in(
    command: Command,
    interval: Duration,
    started: impl FnOnce(u32),
    mut tick: impl FnMut(),
) -> io::Result<u8> {
    let (sender, ended) = std::sync::mpsc::channel();
    let child = imp::start(command, sender)?;
    started(child.pid());
    while ended.recv_timeout(interval).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
        tick();
    }
    child.collect()
}

#[cfg(unix)]
mod imp {
    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};
    use std::sync::mpsc::Sender;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread;

    use rustix::fs::{Mode, OFlags};
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    use signal_hook::iterator::Signals;

    /// What shells add to the number of the signal that ended a program.
    const BY_SIGNAL: i32 = 128;

    /// A child whose signals are passed on until it is collected.
    pub(super) struct Standing {
        child: Child,
        /// Nobody from the moment at which the number may be another process's.
        target: Arc<Mutex<Option<Pid>>>,
    }

    pub(super) fn start(mut command: Command, ended: Sender<()>) -> io::Result<Standing> {
        // From here on a signal waits for the child instead of ending this process and leaving the child behind.
        let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])?;
        let child = command.spawn()?;
        // What it was given is the child's alone: sockets that this process had, too, would outlive it.
        drop(command);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let target = Arc::new(Mutex::new(pid));
        let passed_on = Arc::clone(&target);
        thread::Builder::new().name("signals".into()).spawn(move || pass_on(signals, &passed_on))?;
        thread::Builder::new().name("child".into()).spawn(move || {
            // Seen and left for `collect`, so that its number stays its own.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let wait = |pid| rustix::process::waitid(WaitId::Pid(pid), options);
            while pid.is_some_and(|pid| matches!(wait(pid), Err(rustix::io::Errno::INTR))) {}
            drop(ended);
        })?;
        Ok(Standing { child, target })
    }

    fn pass_on(mut signals: Signals, target: &Mutex<Option<Pid>>) {
        for number in signals.forever() {
            if [SIGINT, SIGQUIT].contains(&number) && is_in_foreground() {
                continue;
            }
            let target = target.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(pid), Some(signal)) = (*target, Signal::from_named_raw(number)) {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }

    /// Tells whether the keys of a terminal signal this process and the child at once.
    fn is_in_foreground() -> bool {
        let terminal = rustix::fs::open("/dev/tty", OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        let group = terminal.and_then(rustix::termios::tcgetpgrp);
        group.is_ok_and(|group| group == rustix::process::getpgrp())
    }

    impl Standing {
        pub(super) fn pid(&self) -> u32 {
            self.child.id()
        }

        pub(super) fn collect(mut self) -> io::Result<u8> {
            *self.target.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let status = self.child.wait()?;
            let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
            Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;
    use std::process::{Child, Command};
    use std::sync::mpsc::Sender;

    use signal_hook::consts::SIGINT;

    pub(super) struct Standing(std::sync::Arc<std::sync::Mutex<Child>>, u32);

    pub(super) fn start(mut command: Command, ended: Sender<()>) -> io::Result<Standing> {
        // Ctrl-C reaches every process of the console, the child among them.
        let _ = signal_hook::flag::register(SIGINT, std::sync::Arc::default());
        let child = command.spawn()?;
        drop(command);
        let pid = child.id();
        let child = std::sync::Arc::new(std::sync::Mutex::new(child));
        let watched = std::sync::Arc::clone(&child);
        std::thread::Builder::new().name("child".into()).spawn(move || {
            let runs = || matches!(watched.lock().map(|mut child| child.try_wait()), Ok(Ok(None)));
            while runs() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            drop(ended);
        })?;
        Ok(Standing(child, pid))
    }

    impl Standing {
        pub(super) fn pid(&self) -> u32 {
            self.1
        }

        pub(super) fn collect(self) -> io::Result<u8> {
            let mut child = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Ok(child.wait()?.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
    }
}
