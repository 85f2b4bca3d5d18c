//! The terminal on stdin, raw for the length of a question: keys come one by one, and waiting for one has a deadline,
//! so that a signal is noticed on whatever thread it lands.

use std::io;
use std::time::Duration;

/// The terminal on stdin while it is raw; dropping it puts it back as it was.
#[derive(Debug)]
pub struct RawTerminal(system::Raw);

impl RawTerminal {
    /// Makes the terminal raw. What is printed still begins each line at the left.
    ///
    /// # Errors
    /// When stdin is no terminal, or has gone.
    pub fn enter() -> io::Result<Self> {
        system::Raw::enter().map(Self)
    }

    /// Waits until there is something to read, at most for `wait`; a signal ends the wait early. Where waiting is not
    /// possible the answer is `true`, and reading waits instead.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn has_input(&self, wait: Duration) -> io::Result<bool> {
        self.0.has_input(wait)
    }
}

#[cfg(unix)]
mod system {
    use std::io::{self, stdin};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    #[derive(Debug)]
    pub(super) struct Raw {
        before: Termios,
    }

    impl Raw {
        pub(super) fn enter() -> io::Result<Self> {
            let before = tcgetattr(stdin())?;
            let mut raw = before.clone();
            raw.make_raw();
            raw.output_modes = before.output_modes;
            tcsetattr(stdin(), OptionalActions::Now, &raw)?;
            Ok(Self { before })
        }

        #[expect(clippy::unused_self, reason = "waiting makes sense only while the terminal is raw")]
        pub(super) fn has_input(&self, wait: Duration) -> io::Result<bool> {
            let input = stdin();
            let mut waited = [PollFd::new(&input, PollFlags::IN)];
            let timeout = Timespec::try_from(wait).map_err(io::Error::other)?;
            match poll(&mut waited, Some(&timeout)) {
                Ok(0) | Err(Errno::INTR) => Ok(false),
                Ok(_) => {
                    // macOS cannot poll terminals and answers NVAL: there, reading waits.
                    let gone = waited.iter().any(|seen| seen.revents() == PollFlags::HUP);
                    if gone { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(true) }
                }
                Err(error) => Err(error.into()),
            }
        }
    }

    impl Drop for Raw {
        fn drop(&mut self) {
            // The terminal may have gone; then nothing is left to put back.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;
    use std::time::Duration;

    /// Windows reads single keys without any mode being set.
    #[derive(Debug)]
    pub(super) struct Raw;

    impl Raw {
        #[expect(clippy::unnecessary_wraps, reason = "the same function as on Unix")]
        pub(super) fn enter() -> io::Result<Self> {
            Ok(Self)
        }

        #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the same function as on Unix")]
        pub(super) fn has_input(&self, _wait: Duration) -> io::Result<bool> {
            Ok(true)
        }
    }
}
