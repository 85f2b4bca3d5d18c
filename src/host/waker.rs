//! Ends the wait of a thread in a system call: a signal ends only a wait that it lands on, on that very thread.

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};

/// A thread that is about to wait.
#[derive(Debug, Clone, Copy)]
pub struct Waker {
    #[cfg(unix)]
    thread: Pid,
}

impl Waker {
    /// Returns that of the calling thread.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self {
            // The kernel gives a signal for a thread's number to that thread first (complete_signal in signal.c).
            #[cfg(target_os = "linux")]
            thread: rustix::thread::gettid(),
            // Elsewhere a thread has no such number; a signal for the process goes to its first thread.
            #[cfg(all(unix, not(target_os = "linux")))]
            thread: rustix::process::getpid(),
        }
    }

    /// Ends the wait that the thread is in, with `SIGINT`, which the process must have taken over. A wait that begins
    /// afterwards is not ended. Does nothing on Windows, where no signal ends a wait.
    pub fn wake(self) {
        // The thread is this process's own: nothing can forbid it.
        #[cfg(unix)]
        let _ = kill_process(self.thread, Signal::INT);
    }
}
