//! The async runtime of one verb.

use std::future::Future;
use std::time::Duration;

use crate::deploy::Interrupt;
use crate::error::{Error, ErrorKind, Result};
use crate::words::verbs::VerbWords;

/// Runs `future` to its end on this thread.
///
/// # Errors
/// `Missing` when the system gives no event queue.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed =
        |error: std::io::Error| Error::new(ErrorKind::Missing, VerbWords::NoRuntime { why: error.to_string() });
    Ok(runtime.map_err(failed)?.block_on(future))
}

/// As [`block_on`], but does not wait at the end for what still hangs: a name that is not resolved holds its thread for as
/// long as the system's resolver likes.
///
/// # Errors
/// As [`block_on`].
pub(super) fn block_on_and_leave<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed =
        |error: std::io::Error| Error::new(ErrorKind::Missing, VerbWords::NoRuntime { why: error.to_string() });
    let runtime = runtime.map_err(failed)?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

/// Waits, but no longer than until a signal.
///
/// # Errors
/// As [`block_on`].
pub(super) fn pause(time: Duration, interrupt: &Interrupt) -> Result<()> {
    block_on(async {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = interrupt.wait() => {}
        }
    })
}
