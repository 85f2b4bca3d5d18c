//! Taking back what the last run changed.

use std::path::PathBuf;
use std::time::SystemTime;

use super::digest::Digest;
use super::journal::{Note, Purpose, Run, RunFile, before_image};
use super::locate::locate;
use super::lock::ProjectLock;
use super::read::{PROJECT_FILE_BYTES_MAX, read_regular};
use super::state::ProjectState;
use super::transaction::{Step, read_image};
use crate::error::{ErrorKind, Result};

/// What `undo` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// There was nothing to undo.
    Nothing,
    /// These files were edited since; nothing was changed.
    Edited(Vec<EditedSince>),
    /// The files are as they were before this run; files that it created are gone.
    Restored(Run),
}

/// A file that was edited after the run that would be undone. Its contents may be secret: `Debug` does not show them,
/// and whoever shows a difference must mask the values.
#[derive(Clone, PartialEq, Eq)]
pub struct EditedSince {
    /// The file.
    pub path: PathBuf,
    /// What it is now; `None` when it is gone, or no regular file.
    pub current: Option<Vec<u8>>,
    /// What `undo` would make it; `None` when it would remove it.
    pub restored: Option<Vec<u8>>,
}

impl std::fmt::Debug for EditedSince {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EditedSince")
            .field("path", &self.path)
            .field("bytes_current", &self.current.as_ref().map(Vec::len))
            .field("bytes_restored", &self.restored.as_ref().map(Vec::len))
            .finish()
    }
}

impl ProjectState {
    /// Takes back the last run, all files or none, by the same journal as [`ProjectState::apply`]. Mode, owner and links
    /// stay as they are at present, because a run never changes them. Errors as for `apply`.
    pub fn undo(&self, _: &ProjectLock, now: SystemTime) -> Result<Undone> {
        self.check_settled()?;
        let Some(run) = self.last_run()? else { return Ok(Undone::Nothing) };
        let (mut steps, mut edited) = (Vec::new(), Vec::new());
        for (index, file) in run.files.iter().enumerate() {
            let restored = match file.before {
                Some(_) => Some(read_image(&before_image(&self.backups_of(&run.id), index), file.before)?),
                None => None,
            };
            let current = self.present(file)?;
            let digest = current.as_ref().map(|(bytes, _)| Digest::of(bytes));
            let (path, target) = (file.path.clone(), file.target.clone());
            if digest == file.after {
                steps.push(Step { path, target, before: current, after: restored, private: true });
            } else if digest != file.before {
                edited.push(EditedSince { path, current: current.map(|(bytes, _)| bytes), restored });
            }
        }
        if !edited.is_empty() {
            return Ok(Undone::Edited(edited));
        }
        self.transact(Purpose::Undo, Note { verb: "undo".into(), lines: Vec::new() }, &steps, now)?;
        Ok(Undone::Restored(run))
    }

    /// Reads a file of the last run; `None` when its path leads elsewhere than it did, or to no regular file.
    fn present(&self, file: &RunFile) -> Result<Option<(Vec<u8>, super::os::Attributes)>> {
        let read = locate(&self.directory, &file.path).and_then(|located| {
            let same = located.real == file.target;
            if same { read_regular(&file.target, PROJECT_FILE_BYTES_MAX) } else { Ok(None) }
        });
        match read {
            Err(error) if error.kind() == ErrorKind::Refused => Ok(None),
            other => other,
        }
    }
}
