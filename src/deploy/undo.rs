//! Puts back what the last run changed, and stops what that run started.

use std::time::SystemTime;

use super::instance::HELD;
use super::launch::{LAUNCH_RECORD, LaunchRecord};
use super::order::ProjectOrder;
use super::project::LoadedProject;
use super::service;
use crate::disk::{ProjectLock, ProjectState, Undone};
use crate::error::{ErrorKind, Result};
use crate::words::Message;
use crate::words::deploy::DeployWords;

/// What `undo` did.
#[derive(Debug)]
pub struct UndoOutcome {
    /// What became of the files.
    pub files: Undone,
    /// The names of what was stopped.
    pub stopped: Vec<String>,
}

/// Takes the last run back: its files are restored, all or none; then what it started is stopped.
///
/// `loaded` is the project as it is before the undo, which may remove its files.
///
/// # Errors
/// As [`ProjectState::undo`]; `Partial` when the files are restored and stopping fails.
pub async fn undo(
    order: &ProjectOrder,
    loaded: Option<&LoadedProject>,
    state: &ProjectState,
    lock: &ProjectLock,
    note: &mut dyn FnMut(Message),
) -> Result<UndoOutcome> {
    let started: Option<LaunchRecord> = state.load_json(LAUNCH_RECORD)?;
    let files = state.undo(lock, SystemTime::now())?;
    let Undone::Restored(run) = &files else { return Ok(UndoOutcome { files, stopped: Vec::new() }) };
    state.forget_json(lock, HELD)?;
    let by_that_run = started.is_some_and(|record| record.undo_id.as_deref() == Some(run.id.as_str()));
    let stopped = match loaded {
        Some(loaded) if !by_that_run => {
            if let Some(name) = service::running(order, loaded, state).await {
                note(DeployWords::KeptRunning { name }.into());
            }
            Vec::new()
        }
        Some(loaded) => {
            let down = service::down(order, loaded, state, lock, note).await;
            down.map_err(|error| error.with_kind(ErrorKind::Partial))?.names
        }
        None => Vec::new(),
    };
    Ok(UndoOutcome { files, stopped })
}
