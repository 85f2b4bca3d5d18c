//! Ctrl-C and its relatives, as a flag that the verbs look at between steps.
//!
//! A verb that changes things installs it first: from then on a signal does not end the process, so that what was
//! begun can be finished or written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::words::prompt::PromptWords;

/// The number of `SIGHUP` (the terminal was closed) on every Unix. Windows has none and refuses to register it.
const SIGHUP: i32 = 1;

/// Whether somebody wants this run to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over `SIGINT`, `SIGTERM` and `SIGHUP` for the rest of the process.
    #[must_use]
    pub fn install() -> Self {
        let interrupt = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, SIGHUP] {
            // A signal that cannot be taken over keeps its default, which ends the process: the journal covers that.
            let _ = signal_hook::flag::register(signal, Arc::clone(&interrupt.0));
        }
        interrupt
    }

    /// Tells whether a signal came.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Returns the flag, for rooms that must not know about `cli`.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Fails once a signal came. To be asked only while nothing has been changed: the error says so.
    pub fn check(&self) -> Result<()> {
        if self.requested() { Err(interrupted()) } else { Ok(()) }
    }
}

/// The error of a run that was stopped before it changed anything.
#[must_use]
pub fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, PromptWords::Interrupted)
}
