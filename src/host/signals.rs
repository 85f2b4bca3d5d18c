//! The signals that ask a server to stop, and whether a file is for its owner alone.

use std::fs::Metadata;
use std::io;

/// Completes when the system or a person asks the program to stop: SIGTERM or SIGINT, elsewhere Ctrl-C. Each call waits
/// for a signal of its own, so a second call hears the second signal.
pub struct StopSignals(imp::Signals);

impl StopSignals {
    /// Listens from now on; signals no longer end the process by themselves. Needs a running tokio runtime.
    pub fn listen() -> io::Result<Self> {
        imp::Signals::listen().map(Self)
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        self.0.next().await;
    }
}

/// Tells whether someone besides the owner may read or write the file. Where files have no such mode, the answer is no:
/// access there is a matter of lists that a folder hands down.
#[must_use]
pub fn open_to_others(metadata: &Metadata) -> bool {
    imp::open_to_others(metadata)
}

#[cfg(unix)]
mod imp {
    use std::fs::Metadata;
    use std::io;
    use std::os::unix::fs::MetadataExt;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) struct Signals {
        terminate: Signal,
        interrupt: Signal,
    }

    impl Signals {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
        }

        pub(super) async fn next(&mut self) {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        }
    }

    pub(super) fn open_to_others(metadata: &Metadata) -> bool {
        metadata.mode() & 0o077 != 0
    }
}

#[cfg(not(unix))]
mod imp {
    use std::fs::Metadata;
    use std::io;

    pub(super) struct Signals;

    impl Signals {
        #[expect(clippy::unnecessary_wraps, reason = "the same shape as on unix")]
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            if tokio::signal::ctrl_c().await.is_err() {
                // Nobody can ask any more; the service manager ends the process.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn open_to_others(_: &Metadata) -> bool {
        false
    }
}
