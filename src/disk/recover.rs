//! After a crash: the files of the project become all old or all new.

use std::path::PathBuf;

use super::journal::{Journal, Note, Phase};
use super::lock::ProjectLock;
use super::state::ProjectState;
use super::transaction::{Status, read_image, stale};
use crate::error::{ErrorKind, Result};
use crate::words::Message;
use crate::words::disk::DiskWords;

/// Which way an interrupted change was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It had been committed: all files are new.
    Forward,
    /// It had not: all files are as they were before.
    Back,
}

/// What recovery did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Which way.
    pub direction: Direction,
    /// What the interrupted run said about itself.
    pub note: Note,
    /// The files that it was about.
    pub files: Vec<PathBuf>,
}

impl Recovered {
    /// Says which way it went, for the person whose run was interrupted.
    #[must_use]
    pub fn message(&self) -> Message {
        let verb = self.note.verb.clone();
        match self.direction {
            Direction::Forward => DiskWords::RecoveredForward { verb }.into(),
            Direction::Back => DiskWords::RecoveredBack { verb }.into(),
        }
    }
}

impl ProjectState {
    /// Settles a change that was interrupted, and says which way; `None` when there was none. To be called by every run
    /// right after it took the lock.
    ///
    /// Partial when a file was edited since, so that neither way is safe: the error says which file is which, and
    /// nothing is touched. Refused or Missing when the journal cannot be understood.
    pub fn recover(&self, _: &ProjectLock) -> Result<Option<Recovered>> {
        let Some(mut journal) = self.journal()? else {
            self.sweep();
            return Ok(None);
        };
        let note = journal.run.note.clone();
        let files = journal.run.files.iter().map(|file| file.path.clone()).collect();
        let direction = if self.can_go_forward(&journal)? { Direction::Forward } else { Direction::Back };
        match direction {
            Direction::Forward => self.settle(&mut journal).map_err(|error| self.midway(&journal, error))?,
            Direction::Back => self.abandon(&mut journal),
        }
        if self.journal()?.is_some() {
            return Err(self.unfinished(&journal, ErrorKind::Missing));
        }
        Ok(Some(Recovered { direction, note, files }))
    }

    /// Decides the way. An error means that there is none: a target was changed by the run and another by somebody else.
    fn can_go_forward(&self, journal: &Journal) -> Result<bool> {
        if journal.phase == Phase::Staging {
            return Ok(false);
        }
        let mut obstacle = None;
        for (index, file) in journal.run.files.iter().enumerate() {
            match self.status(journal, index)? {
                Status::New => {}
                Status::Other => obstacle = Some(stale(&file.path)),
                Status::Old | Status::CutShort if file.after.is_none() => {}
                Status::Old | Status::CutShort => {
                    let staged = file.staged(&self.backups_of(&journal.run.id), &journal.run.id, index);
                    obstacle = read_image(&staged, file.after).err().or(obstacle);
                }
            }
        }
        match obstacle {
            None => Ok(true),
            Some(_) if self.is_untouched(journal) => Ok(false),
            Some(error) => Err(self.midway(journal, error)),
        }
    }
}
