//! What runs that ended badly have left in the project and in its state.

use std::path::{Path, PathBuf};

use super::project::trouble;
use super::{apart, late, shown, unknown};
use crate::deploy::native;
use crate::deploy::order::ProjectOrder;
use crate::disk::{Dirs, ProjectState};
use crate::error::Result;
use crate::model::{Leftovers, Sight};

/// The most half-written files that are named; the others go with them.
const STAGED_MAX: usize = 100;

pub(super) async fn look(order: &ProjectOrder, dirs: Option<&Dirs>) -> Sight<Leftovers> {
    let Some(dirs) = dirs.cloned() else { return Sight::Nothing };
    let directory = order.directory.clone();
    match apart(move || of(&dirs, &directory)).await {
        Some(Ok(left)) => Sight::Known(left),
        Some(Err(error)) => unknown(error.message()),
        None => late(),
    }
}

fn of(dirs: &Dirs, directory: &Path) -> Result<Leftovers> {
    let Some(state) = ProjectState::existing(dirs, directory)? else {
        return Ok(Leftovers { staged: staged(directory), ..Leftovers::default() });
    };
    let mut damaged = Vec::new();
    let in_progress = state.is_locked();
    let interrupted = state.interrupted();
    // The files that an unfinished change has staged are in its journal, and settled with it.
    let staged = if matches!(interrupted, Ok(None)) && !in_progress { staged(directory) } else { Vec::new() };
    let interrupted = interrupted.map_err(|error| damaged.push(trouble(&error))).ok().flatten();
    damaged.extend(state.last_run().err().iter().map(trouble));
    damaged.extend(state.recall().err().iter().map(trouble));
    let dead = native::record(state.folder()).filter(|record| !record.alive() && !record.serves());
    Ok(Leftovers {
        interrupted: interrupted.map(|note| note.verb),
        in_progress,
        staged,
        damaged,
        dead_service: dead.map(|record| record.supervisor.pid),
    })
}

/// New contents that were written beside their target and never took its place.
fn staged(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_staged(path)).collect();
    found.sort();
    for path in &mut found {
        *path = shown(path);
    }
    found.truncate(STAGED_MAX);
    found
}

/// Tells whether a file is called as a change calls what it stages: `.portwright-ID-N.tmp`.
pub(super) fn is_staged(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let number = name.strip_prefix(".portwright-").and_then(|rest| rest.strip_suffix(".tmp"));
    number.is_some_and(|number| !number.is_empty() && number.chars().all(|sign| sign.is_ascii_digit() || sign == '-'))
}
