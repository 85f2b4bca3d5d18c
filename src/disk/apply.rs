//! Changing several files of a project as one: what is asked for, and the checks before anything is written.

use std::path::PathBuf;
use std::time::SystemTime;

use super::failure::refused;
use super::journal::{Note, Purpose, Run};
use super::locate::{Place, locate};
use super::lock::ProjectLock;
use super::read::{PROJECT_FILE_BYTES_MAX, read_regular};
use super::state::ProjectState;
use super::transaction::{Step, stale};
use crate::error::{ErrorKind, Result};
use crate::model::FileEdit;
use crate::words::disk::DiskWords;

/// The most files in one change: a project has a handful; the bound keeps the journal and its backups small.
pub(super) const FILES_MAX: usize = 64;

/// New contents for one file. The contents may be secret, so `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// The file; relative paths start in the project.
    pub path: PathBuf,
    /// What it must be now; `None` when it must not exist.
    pub before: Option<Vec<u8>>,
    /// What it becomes.
    pub after: Vec<u8>,
    /// Whether a file that is created gets mode 0600; names that begin with `.env` always do.
    pub private: bool,
}

impl From<FileEdit> for Change {
    fn from(edit: FileEdit) -> Self {
        Self { path: edit.file, before: edit.before, after: edit.after, private: false }
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Change")
            .field("path", &self.path)
            .field("bytes_before", &self.before.as_ref().map(Vec::len))
            .field("bytes_after", &self.after.len())
            .finish_non_exhaustive()
    }
}

/// How a change is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Whether a link that leads out of the project is followed.
    pub follow_links_outside: bool,
    /// The present time, for the receipt.
    pub now: SystemTime,
}

impl ProjectState {
    /// Changes all the files or none, and returns the receipt; `None` when every file is as wanted already.
    ///
    /// Busy when a file is not what the change was planned against; Refused for a link out of the project, a dangling
    /// one, or anything but a regular file; Missing when the system does not let it happen. In all of these nothing was
    /// changed. Partial when it stopped midway: the journal stays, and [`ProjectState::recover`] continues.
    pub fn apply(
        &self,
        _: &ProjectLock,
        changes: &[Change],
        note: &Note,
        options: ApplyOptions,
    ) -> Result<Option<Run>> {
        self.check_settled()?;
        if changes.len() > FILES_MAX {
            return Err(refused(DiskWords::TooManyFiles { count: changes.len(), limit: FILES_MAX }));
        }
        let mut steps: Vec<Step> = Vec::new();
        for change in changes {
            let step = self.step(change, options.follow_links_outside)?;
            if steps.iter().any(|other| other.target == step.target) {
                return Err(refused(DiskWords::SameFileTwice { path: step.target }));
            }
            steps.push(step);
        }
        steps.retain(|step| step.before.as_ref().map(|(bytes, _)| bytes) != step.after.as_ref());
        if steps.is_empty() {
            return Ok(None);
        }
        self.transact(Purpose::Apply, note.clone(), &steps, options.now).map(Some)
    }

    /// Removes files of the project, with backups and a receipt as any change has; `None` when none of them is there.
    ///
    /// As [`ProjectState::apply`].
    pub fn remove(&self, _: &ProjectLock, paths: &[PathBuf], note: &Note, now: SystemTime) -> Result<Option<Run>> {
        self.check_settled()?;
        if paths.len() > FILES_MAX {
            return Err(refused(DiskWords::TooManyFiles { count: paths.len(), limit: FILES_MAX }));
        }
        let mut steps = Vec::new();
        for path in paths {
            let path = self.directory.join(path);
            let located = locate(&self.directory, &path)?;
            if located.place == Place::LinkedOutside {
                return Err(refused(DiskWords::LinkOutside { path, target: located.real }));
            }
            if let Some(before) = read_regular(&located.real, PROJECT_FILE_BYTES_MAX)? {
                steps.push(Step { path, target: located.real, before: Some(before), after: None, private: false });
            }
        }
        if steps.is_empty() { Ok(None) } else { self.transact(Purpose::Apply, note.clone(), &steps, now).map(Some) }
    }

    /// Refuses to begin while a change that was interrupted waits to be settled.
    pub(super) fn check_settled(&self) -> Result<()> {
        if let Some(journal) = self.journal()? {
            return Err(self.unfinished(&journal, ErrorKind::Busy));
        }
        Ok(())
    }

    fn step(&self, change: &Change, follow_links_outside: bool) -> Result<Step> {
        let path = self.directory.join(&change.path);
        let located = locate(&self.directory, &path)?;
        if located.place == Place::LinkedOutside && !follow_links_outside {
            return Err(refused(DiskWords::LinkOutside { path, target: located.real }).hint(DiskWords::LinkOutsideHint));
        }
        if u64::try_from(change.after.len()).is_ok_and(|length| length > PROJECT_FILE_BYTES_MAX) {
            return Err(refused(DiskWords::TooLarge { path, limit: PROJECT_FILE_BYTES_MAX }));
        }
        let before = read_regular(&located.real, PROJECT_FILE_BYTES_MAX)?;
        if before.as_ref().map(|(bytes, _)| bytes) != change.before.as_ref() {
            return Err(stale(&path));
        }
        let named_env =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".env"));
        let private = change.private || named_env(&path) || named_env(&located.real);
        Ok(Step { path, target: located.real, before, after: Some(change.after.clone()), private })
    }
}
