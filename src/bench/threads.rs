//! The threads of both ends, each with a loop of its own.

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::thread;

use tokio::task::LocalSet;

/// Returns how many threads an end has: half of the cores. The other half is for the other end, which often runs on the
/// same machine; with more threads than cores a latency is the scheduler's and not the target's. One thread moves
/// 4 GB/s or 180,000 messages a second.
pub(super) fn count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// Runs a future on a loop of this thread.
///
/// # Errors
/// When the system gives no event queue.
pub(super) fn on_this_one<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, future))
}
