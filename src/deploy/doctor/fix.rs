//! What `doctor --fix` does: one thing at a time, each with a receipt. What changes files of a project goes through the
//! project's journal, so that `undo` takes it back.

use std::path::PathBuf;
use std::time::SystemTime;

use super::{HealthOrder, subject};
use crate::deploy::order::ProjectOrder;
use crate::deploy::take_lock;
use crate::disk::{self, Dirs, Note, ProjectLock, ProjectState};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{Options, Pool};
use crate::model::Fix;
use crate::words::Message;
use crate::words::doctor::DoctorWords;

/// The verb that holds the lock and stands in the receipt.
const VERB: &str = "doctor --fix";

/// What the verb that takes a change back calls itself in records.
const UNDO: &str = "undo";

/// Does what `fix` says, and returns the receipts: what was done, and how it is taken back.
///
/// # Errors
/// `Busy` while another run is at it; as the change itself.
pub fn mend(
    order: &ProjectOrder,
    health: &HealthOrder,
    fix: &Fix,
    note: &mut dyn FnMut(Message),
) -> Result<Vec<Message>> {
    let order = subject(order, health.bundled.as_deref());
    let dirs = health.dirs.as_ref().ok_or_else(|| Error::new(ErrorKind::Missing, DoctorWords::NoHome))?;
    match fix {
        Fix::Recover => {
            let (state, lock) = locked(&order, dirs, note)?;
            let Some(recovered) = state.recover(&lock)? else { return Ok(Vec::new()) };
            let mut receipts = vec![crate::deploy::recovered_note(&recovered)];
            // What was taken back, and an undo that was finished, left the files as they were.
            if recovered.direction == disk::Direction::Forward && recovered.note.verb != UNDO {
                receipts.push(DoctorWords::SettledUndo.into());
            }
            Ok(receipts)
        }
        Fix::RemoveStaged(paths) => remove(&order, dirs, paths, note),
        Fix::MakePrivate(paths) => {
            let close = |path: &PathBuf| {
                let (before, after) = disk::make_private(path)?;
                let (before, after) = (format!("{before:o}"), format!("{after:o}"));
                Ok(DoctorWords::MadePrivate { path: path.clone(), before, after }.into())
            };
            paths.iter().map(close).collect()
        }
        Fix::MendPool(path) => {
            let pool = Pool::open_with(path, Options { on_weak_disk: true, ..Options::default() })?;
            pool.collect()?;
            Ok(pool.notes())
        }
    }
}

fn locked(order: &ProjectOrder, dirs: &Dirs, note: &mut dyn FnMut(Message)) -> Result<(ProjectState, ProjectLock)> {
    let state = ProjectState::open(dirs, &order.directory)?;
    let lock = take_lock(&state, VERB, note)?;
    Ok((state, lock))
}

fn remove(order: &ProjectOrder, dirs: &Dirs, paths: &[PathBuf], note: &mut dyn FnMut(Message)) -> Result<Vec<Message>> {
    let (state, lock) = locked(order, dirs, note)?;
    // A run that has begun since then may have staged files of its own; the lock keeps others from beginning.
    let paths: Vec<PathBuf> = paths.iter().filter(|path| super::leftovers::is_staged(path)).cloned().collect();
    let lines = paths.iter().map(|path| format!("{}: removed", path.display())).collect();
    let what = Note { verb: VERB.to_owned(), lines };
    let Some(run) = state.remove(&lock, &paths, &what, SystemTime::now())? else { return Ok(Vec::new()) };
    let id = run.id.as_str().to_owned();
    Ok(vec![DoctorWords::StagedRemoved { count: run.files.len(), id }.into()])
}
