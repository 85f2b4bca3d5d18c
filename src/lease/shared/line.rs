//! The connection to an engine: made when it is needed, made anew where it was lost, and never waited for beyond a
//! patience.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::unusable;
use crate::error::{Error, Result};

/// A connection, as an engine has it.
pub(super) trait Connection: Sized {
    /// Where the engine is.
    type Place;
    /// Why something was not done.
    type Fault;

    /// Connects.
    async fn open(place: &Self::Place) -> Result<Self, Self::Fault>;

    /// Tells whether nothing can be asked on it any more.
    fn is_closed(&self) -> bool;

    /// Tells whether a fault is that of a connection and not of what was asked.
    fn is_lost(fault: &Self::Fault) -> bool;

    /// Says a fault to people.
    fn said(fault: Self::Fault, address: &str) -> Error;

    /// Says to people where the engine is; never a password.
    fn address(place: &Self::Place) -> &str;
}

/// The way to an engine.
pub(super) struct Line<C: Connection> {
    place: C::Place,
    patience: Duration,
    state: Mutex<State<C>>,
}

struct State<C> {
    /// Runs on this thread alone, while somebody waits for an answer.
    runtime: Runtime,
    connection: Option<C>,
}

impl<C: Connection> fmt::Debug for Line<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Line").field(&C::address(&self.place)).finish()
    }
}

impl<C: Connection> Line<C> {
    /// Makes a line over which nobody speaks yet.
    pub(super) fn new(place: C::Place, patience: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unusable(C::address(&place), error.to_string()))?;
        Ok(Self { place, patience, state: Mutex::new(State { runtime, connection: None }) })
    }

    /// Returns how long an answer is waited for.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Does `work`, once more where a connection that was made before is lost; never longer than the patience.
    ///
    /// # Errors
    /// As [`Connection::said`]; `Missing` when there is no answer in time. The next work has a connection of its own.
    pub(super) fn run<T>(&self, work: &impl AsyncFn(&mut C) -> Result<T, C::Fault>) -> Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { runtime, connection } = &mut *state;
        let trying = async {
            if let Some(connection) = connection.as_mut().filter(|connection| !connection.is_closed()) {
                match work(connection).await {
                    Err(fault) if C::is_lost(&fault) => {}
                    outcome => return outcome,
                }
            }
            work(connection.insert(C::open(&self.place).await?)).await
        };
        let address = C::address(&self.place);
        let slow = || unusable(address, format!("no answer within {} s", self.patience.as_secs()));
        let outcome = runtime.block_on(async { timeout(self.patience, trying).await });
        let outcome = outcome.map_or_else(|_| Err(slow()), |done| done.map_err(|fault| C::said(fault, address)));
        outcome.inspect_err(|_| *connection = None)
    }
}
