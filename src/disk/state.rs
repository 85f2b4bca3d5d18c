//! The folder that Portwright keeps for one project, outside of the project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::digest::Digest;
use super::dirs::{Dirs, create_private_folder};
use super::failure::{failure, refused};
use super::journal::{Journal, Note, Run, UndoId};
use super::lock::{self, Holder, ProjectLock};
use super::{os, records};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Port;
use crate::words::disk::DiskWords;

const JOURNAL: &str = "journal";
const LAST_RUN: &str = "last";
const CHOICES: &str = "choices";
/// Names of records that belong to this room.
const RESERVED: [&str; 4] = [JOURNAL, LAST_RUN, CHOICES, "holder"];
/// The longest name of a record: far below what any file system takes.
const NAME_BYTES_MAX: usize = 32;
/// How many folders of backups are kept: `undo` needs the newest; the others are for a person in trouble.
const BACKUPS_KEPT: usize = 5;

/// The state of one project: lock, journal, backups, receipts, choices. The folder is named by the digest of the real
/// path of the project, so that every way of naming the project leads to the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectState {
    pub(super) directory: PathBuf,
    folder: PathBuf,
}

impl ProjectState {
    /// Opens the state of a project, making its folder when it is missing. Refused when the folder is not this user's
    /// alone; `Missing` when `project_dir` does not exist.
    pub fn open(dirs: &Dirs, project_dir: &Path) -> Result<Self> {
        let Self { directory, folder } = Self::locate(dirs, project_dir)?;
        let projects = dirs.state.join("projects");
        if folder.symlink_metadata().is_err() {
            create_private_folder(&folder)?;
            for made_in in folder.ancestors().skip(1).take(3) {
                os::sync_folder(made_in).map_err(|error| failure(&error, made_in))?;
            }
        }
        for path in [&dirs.state, &projects, &folder] {
            let metadata = path.metadata().map_err(|error| failure(&error, path))?;
            if !metadata.is_dir() || !os::is_private(&metadata) {
                let (path, user) = (path.clone(), os::user_name());
                return Err(refused(DiskWords::StateUnsafe { path: path.clone(), user })
                    .hint(DiskWords::StateUnsafeHint { path }));
            }
        }
        Ok(Self { directory, folder })
    }

    /// Opens the state of a project for reading, without making anything; `None` when there is none.
    pub fn existing(dirs: &Dirs, project_dir: &Path) -> Result<Option<Self>> {
        let state = Self::locate(dirs, project_dir)?;
        Ok(state.folder.is_dir().then_some(state))
    }

    fn locate(dirs: &Dirs, project_dir: &Path) -> Result<Self> {
        let directory = project_dir.canonicalize().map_err(|error| failure(&error, project_dir))?;
        let bytes =
            os::path_bytes(&directory).ok_or_else(|| refused(DiskWords::PathUnwritable { path: directory.clone() }))?;
        let name: String = Digest::of(bytes).to_hex().chars().take(32).collect();
        let folder = dirs.state.join("projects").join(name);
        Ok(Self { directory, folder })
    }

    /// Returns the real path of the project.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the folder of the state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the lock of the project, waiting up to `patience` (the contract's default is 10 s); `on_wait` is told who is
    /// waited for. Busy when the holder outlasts the patience.
    pub fn lock(&self, verb: &str, patience: Duration, on_wait: &mut dyn FnMut(&Holder)) -> Result<ProjectLock> {
        lock::take(self, verb, patience, on_wait)
    }

    /// Returns what an unfinished change says of itself; `None` when there is none. It is being made while
    /// [`ProjectState::is_locked`], and was interrupted otherwise.
    ///
    /// # Errors
    /// Refused or `Missing` when the journal cannot be understood.
    pub fn interrupted(&self) -> Result<Option<Note>> {
        Ok(self.journal()?.map(|journal| journal.run.note))
    }

    /// Tells whether a run holds the lock at this moment. Looks at it for an instant and without waiting, as one reader
    /// among others.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let lock = std::fs::File::open(self.folder.join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    }

    /// Returns the receipt of the last run, which `undo` would take back; `None` when there is nothing to undo.
    pub fn last_run(&self) -> Result<Option<Run>> {
        records::load(&self.folder, LAST_RUN)
    }

    /// Keeps the ports that were chosen, by mapping name, beside those that were kept before.
    pub fn remember(&self, _: &ProjectLock, choices: &BTreeMap<String, Port>) -> Result<()> {
        let mut all = self.recall()?;
        all.extend(choices.iter().map(|(name, port)| (name.clone(), *port)));
        records::save(&self.folder, CHOICES, &all)
    }

    /// Returns the ports that were chosen for this project before, by mapping name.
    pub fn recall(&self) -> Result<BTreeMap<String, Port>> {
        Ok(records::load(&self.folder, CHOICES)?.unwrap_or_default())
    }

    /// Keeps a record of the caller under `name` (lower-case letters and `-`), atomically and privately, at most 1 MiB.
    pub fn save_json<T: Serialize>(&self, _: &ProjectLock, name: &str, value: &T) -> Result<()> {
        check_name(name)?;
        records::save(&self.folder, name, value)
    }

    /// Reads a record of the caller; `None` when there is none. Refused when it cannot be understood, `Missing` when a
    /// newer Portwright wrote it.
    pub fn load_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        check_name(name)?;
        records::load(&self.folder, name)
    }

    /// Removes a record of the caller; one that is not there is as good as removed.
    pub fn forget_json(&self, _: &ProjectLock, name: &str) -> Result<()> {
        check_name(name)?;
        self.remove_record(name)
    }

    pub(super) fn journal(&self) -> Result<Option<Journal>> {
        records::load(&self.folder, JOURNAL).map_err(|error: Error| match error.kind() {
            ErrorKind::Refused => {
                error.hint(DiskWords::JournalChoices { path: self.journal_path(), backups: self.backups_folder() })
            }
            _ => error,
        })
    }

    pub(super) fn journal_path(&self) -> PathBuf {
        records::path_of(&self.folder, JOURNAL)
    }

    pub(super) fn write_journal(&self, journal: &Journal) -> Result<()> {
        records::save(&self.folder, JOURNAL, journal)
    }

    pub(super) fn remove_journal(&self) -> Result<()> {
        self.remove_record(JOURNAL)
    }

    pub(super) fn set_last_run(&self, run: Option<&Run>) -> Result<()> {
        run.map_or_else(|| self.remove_record(LAST_RUN), |run| records::save(&self.folder, LAST_RUN, run))
    }

    fn remove_record(&self, name: &str) -> Result<()> {
        let path = records::path_of(&self.folder, name);
        let removed = records::remove_if_there(&path).and_then(|()| os::sync_folder(&self.folder));
        removed.map_err(|error| failure(&error, &path))
    }

    pub(super) fn backups_folder(&self) -> PathBuf {
        self.folder.join("backups")
    }

    pub(super) fn backups_of(&self, id: &UndoId) -> PathBuf {
        self.backups_folder().join(id.as_str())
    }

    /// Removes what nobody needs any more: half-written records, and all but the newest backups.
    pub(super) fn sweep(&self) {
        for entry in entries(&self.folder) {
            if entry.extension().is_some_and(|extension| extension == records::UNFINISHED) {
                let _ = records::remove_if_there(&entry);
            }
        }
        let Ok(last) = self.last_run() else { return };
        let needed = last.map(|run| self.backups_of(&run.id));
        let mut backups = entries(&self.backups_folder());
        backups.sort();
        let surplus = backups.len().saturating_sub(BACKUPS_KEPT);
        for folder in backups.iter().take(surplus).filter(|folder| Some(*folder) != needed.as_ref()) {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn check_name(name: &str) -> Result<()> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    if plain && name.len() <= NAME_BYTES_MAX && !RESERVED.contains(&name) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Internal, DiskWords::BadRecordName { name: name.to_owned() }))
}
