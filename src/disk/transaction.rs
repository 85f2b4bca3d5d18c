//! The transaction under `apply` and `undo`: stage, commit, settle.
//!
//! Journal (staging) → backups and new contents, each synced → look once more → journal (committed): the commit point →
//! each target replaced → folders synced → receipt → journal removed. Before the commit point a failure takes
//! everything back; after it, it is taken back only while no target has changed, else it is finished later.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::digest::Digest;
use super::dirs::create_private_folder;
use super::failure::{failure, refused};
use super::journal::{Journal, Note, Phase, Purpose, Run, RunFile, UndoId, before_image};
use super::read::{PROJECT_FILE_BYTES_MAX, read_regular};
use super::state::ProjectState;
use super::{os, records, replace};
use crate::error::{Error, ErrorKind, Result};
use crate::words::disk::DiskWords;

/// A checked change of one file.
pub(super) struct Step {
    pub(super) path: PathBuf,
    pub(super) target: PathBuf,
    pub(super) before: Option<(Vec<u8>, os::Attributes)>,
    /// `None` removes the file.
    pub(super) after: Option<Vec<u8>>,
    pub(super) private: bool,
}

/// What a target of an unfinished change is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Old,
    New,
    /// An overwrite in place was cut short.
    CutShort,
    /// Somebody else wrote it.
    Other,
}

/// Says that a file is not what was planned against.
pub(super) fn stale(path: &Path) -> Error {
    Error::new(ErrorKind::Busy, DiskWords::Stale { path: path.to_path_buf() }).hint(DiskWords::StaleHint)
}

impl ProjectState {
    /// Makes all the steps or none.
    pub(super) fn transact(&self, purpose: Purpose, note: Note, steps: &[Step], now: SystemTime) -> Result<Run> {
        let id = (0..=u32::MAX)
            .map(|attempt| UndoId::new(now, attempt))
            .find(|id| self.backups_of(id).symlink_metadata().is_err())
            .unwrap_or_else(|| UndoId::new(now, 0));
        let applied_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let files = steps.iter().map(planned).collect();
        let mut journal = Journal { phase: Phase::Staging, purpose, run: Run { id, applied_s, note, files } };
        let committed =
            self.write_journal(&journal).and_then(|()| self.stage_all(&mut journal.run, steps)).and_then(|()| {
                self.check_fresh(&journal)?;
                journal.phase = Phase::Committed;
                self.write_journal(&journal)
            });
        if let Err(error) = committed {
            self.abandon(&mut journal);
            return Err(error);
        }
        match self.settle(&mut journal) {
            Ok(()) => Ok(journal.run),
            Err(error) if self.is_untouched(&journal) => {
                self.abandon(&mut journal);
                Err(error)
            }
            Err(error) => Err(self.midway(&journal, error)),
        }
    }

    fn stage_all(&self, run: &mut Run, steps: &[Step]) -> Result<()> {
        let backups = self.backups_of(&run.id);
        create_private_folder(&backups)?;
        let id = run.id.clone();
        for (index, (file, step)) in run.files.iter_mut().zip(steps).enumerate() {
            let beside = file.beside(&id, index);
            let in_place = stage(&backups, index, &beside, step)?;
            (file.in_place, file.staged_in_state) = (in_place, in_place);
        }
        sync_folders(run)?;
        for folder in [&backups, &self.backups_folder()] {
            os::sync_folder(folder).map_err(|error| failure(&error, folder))?;
        }
        Ok(())
    }

    fn check_fresh(&self, journal: &Journal) -> Result<()> {
        for (index, file) in journal.run.files.iter().enumerate() {
            if self.status(journal, index)? != Status::Old {
                return Err(stale(&file.path));
            }
        }
        Ok(())
    }

    /// Finishes a committed change from wherever it stands. What is overwritten in place comes first, because it is what
    /// can fail for want of room, and then nothing else has changed yet.
    pub(super) fn settle(&self, journal: &mut Journal) -> Result<()> {
        let mut order: Vec<usize> = (0..journal.run.files.len()).collect();
        order.sort_by_key(|index| !journal.run.files.get(*index).is_some_and(|file| file.in_place));
        for index in order {
            self.put(journal, index)?;
        }
        sync_folders(&journal.run)?;
        let receipt = (journal.purpose == Purpose::Apply).then_some(&journal.run);
        self.set_last_run(receipt)?;
        self.remove_journal()?;
        self.tidy_backups(journal);
        self.sweep();
        Ok(())
    }

    fn put(&self, journal: &mut Journal, index: usize) -> Result<()> {
        let status = self.status(journal, index)?;
        let backups = self.backups_of(&journal.run.id);
        let id = journal.run.id.clone();
        let Some(file) = journal.run.files.get_mut(index) else { return Ok(()) };
        let fail = |error: &std::io::Error| failure(error, &file.path);
        match status {
            Status::New => return records::remove_if_there(&file.beside(&id, index)).map_err(|error| fail(&error)),
            Status::Other => return Err(stale(&file.path)),
            Status::Old | Status::CutShort => {}
        }
        let staged = file.staged(&backups, &id, index);
        let done = match (file.before, file.after) {
            (_, None) => std::fs::remove_file(&file.target),
            (None, Some(_)) => replace::move_to_free_place(&staged, &file.target),
            (Some(_), Some(_)) if file.in_place => return self.overwrite(journal, index),
            (Some(_), Some(_)) => replace::rename(&staged, &file.target),
        };
        match done {
            Err(error) if os::is_mount_in_the_way(&error) && file.before.is_some() && file.after.is_some() => {
                file.in_place = true;
                self.write_journal(journal)?;
                self.overwrite(journal, index)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(stale(&file.path)),
            other => other.map_err(|error| fail(&error)),
        }
    }

    fn overwrite(&self, journal: &Journal, index: usize) -> Result<()> {
        let Some(file) = journal.run.files.get(index) else { return Ok(()) };
        let (before, after) = self.images(&journal.run, index)?;
        let beside = file.beside(&journal.run.id, index);
        replace::overwrite(&file.target, &before, &after)
            .and_then(|()| records::remove_if_there(&beside))
            .map_err(|error| failure(&error, &file.path))
    }

    /// Reads the old and the new contents of a file that is overwritten in place, and checks that they are what was saved.
    fn images(&self, run: &Run, index: usize) -> Result<(Vec<u8>, Vec<u8>)> {
        let backups = self.backups_of(&run.id);
        let file = run.files.get(index);
        let before = read_image(&before_image(&backups, index), file.and_then(|file| file.before))?;
        let staged = file.map(|file| file.staged(&backups, &run.id, index)).unwrap_or_default();
        Ok((before, read_image(&staged, file.and_then(|file| file.after))?))
    }

    /// Looks what a target is at the moment.
    pub(super) fn status(&self, journal: &Journal, index: usize) -> Result<Status> {
        let Some(file) = journal.run.files.get(index) else { return Ok(Status::Other) };
        let current = match read_regular(&file.target, PROJECT_FILE_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::Refused => return Ok(Status::Other),
            other => other?.map(|(bytes, _)| bytes),
        };
        let digest = current.as_deref().map(Digest::of);
        if digest == file.after {
            return Ok(Status::New);
        }
        if digest == file.before {
            return Ok(Status::Old);
        }
        let cut_short = file.in_place
            && self.images(&journal.run, index).is_ok_and(|(before, after)| {
                current.is_some_and(|current| replace::is_cut_short(&current, &before, &after))
            });
        Ok(if cut_short { Status::CutShort } else { Status::Other })
    }

    /// Tells whether the change can still be taken back by forgetting it: no target is new, nor half written, nor
    /// impossible to look at.
    pub(super) fn is_untouched(&self, journal: &Journal) -> bool {
        journal.run.files.iter().enumerate().all(|(index, file)| match self.status(journal, index) {
            Ok(Status::Old) => true,
            Ok(Status::Other) => !file.in_place,
            Ok(Status::New | Status::CutShort) | Err(_) => false,
        })
    }

    /// Takes back a change that has touched no target. The journal goes last, and stays when something else would not go,
    /// so that the next run sweeps it; it stays as one that was never committed, so that nothing is finished later which
    /// was reported as not done.
    pub(super) fn abandon(&self, journal: &mut Journal) {
        if journal.phase == Phase::Committed {
            journal.phase = Phase::Staging;
            let _ = self.write_journal(journal);
        }
        let run = &journal.run;
        let beside = run.files.iter().enumerate().map(|(index, file)| file.beside(&run.id, index));
        let leftovers = beside.map(|path| records::remove_if_there(&path)).filter(Result::is_err).count();
        let backups = self.backups_of(&run.id);
        let _ = std::fs::remove_dir_all(&backups);
        if leftovers == 0 && backups.symlink_metadata().is_err() && self.remove_journal().is_ok() {
            self.sweep();
        }
    }

    /// Removes what a finished change leaves among the backups: an undo needs none of its own, and an overwrite in place
    /// no longer needs the new contents.
    fn tidy_backups(&self, journal: &Journal) {
        let backups = self.backups_of(&journal.run.id);
        if journal.purpose == Purpose::Undo {
            let _ = std::fs::remove_dir_all(&backups);
            return;
        }
        for (index, file) in journal.run.files.iter().enumerate().filter(|(_, file)| file.staged_in_state) {
            let _ = std::fs::remove_file(file.staged(&backups, &journal.run.id, index));
        }
    }

    /// Turns the error of a change that stopped midway into one that says which file is which.
    pub(super) fn midway(&self, journal: &Journal, error: Error) -> Error {
        let list = |wanted: fn(Status) -> bool| {
            let files = journal.run.files.iter().enumerate();
            let matching = files.filter(|(index, _)| wanted(self.status(journal, *index).unwrap_or(Status::Other)));
            let names: Vec<String> = matching.map(|(_, file)| file.path.display().to_string()).collect();
            if names.is_empty() { "-".to_owned() } else { names.join(", ") }
        };
        let words = DiskWords::Midway {
            new: list(|status| status == Status::New),
            old: list(|status| status == Status::Old),
            other: list(|status| matches!(status, Status::CutShort | Status::Other)),
        };
        let backups = self.backups_of(&journal.run.id);
        error
            .with_kind(ErrorKind::Partial)
            .context(words)
            .hint(DiskWords::MidwayHint { path: self.journal_path(), backups })
    }

    /// Says that an interrupted change still waits to be settled.
    pub(super) fn unfinished(&self, journal: &Journal, kind: ErrorKind) -> Error {
        let (path, backups) = (self.journal_path(), self.backups_of(&journal.run.id));
        let directory = self.directory.clone();
        Error::new(kind, DiskWords::Unfinished { directory }).hint(DiskWords::MidwayHint { path, backups })
    }
}

fn sync_folders(run: &Run) -> Result<()> {
    let folders: BTreeSet<&Path> = run.files.iter().filter_map(|file| file.target.parent()).collect();
    folders.into_iter().try_for_each(|folder| os::sync_folder(folder).map_err(|error| failure(&error, folder)))
}

fn planned(step: &Step) -> RunFile {
    RunFile {
        path: step.path.clone(),
        target: step.target.clone(),
        before: step.before.as_ref().map(|(bytes, _)| Digest::of(bytes)),
        after: step.after.as_deref().map(Digest::of),
        in_place: false,
        staged_in_state: false,
    }
}

/// Saves the old contents of a file and stages the new ones: beside the target, or in the state folder when only an
/// overwrite in place keeps the file what it is. Tells whether that is so. Whether a file can be removed is learnt from its
/// folder: one that takes a new file lets an old one go.
fn stage(backups: &Path, index: usize, beside: &Path, step: &Step) -> Result<bool> {
    let fail = |error: &std::io::Error| failure(error, &step.path);
    if let Some((bytes, _)) = &step.before {
        let backup = before_image(backups, index);
        replace::write_private(&backup, bytes).map_err(|error| failure(&error, &backup))?;
    }
    let Some(after) = &step.after else {
        let probe = replace::write_private(beside, b"").and_then(|()| std::fs::remove_file(beside));
        return probe.map(|()| false).map_err(|error| fail(&error));
    };
    let Some((_, attributes)) = &step.before else {
        replace::stage_newcomer(beside, after, step.private).map_err(|error| fail(&error))?;
        return Ok(false);
    };
    os::open_to_overwrite(&step.target).map_err(|error| fail(&error))?;
    let bound_to_its_place = attributes.names > 1 || os::has_access_list(&step.target);
    if !bound_to_its_place {
        match replace::stage_successor(beside, after, attributes) {
            Ok(()) => return Ok(false),
            Err(error) if !os::is_folder_closed(&error) => return Err(fail(&error)),
            Err(_) => {}
        }
    }
    let staged = backups.join(format!("{index}.after"));
    replace::write_private(&staged, after).map_err(|error| failure(&error, &staged))?;
    Ok(true)
}

/// Reads contents that we saved, and checks that they are what was saved.
pub(super) fn read_image(path: &Path, wanted: Option<Digest>) -> Result<Vec<u8>> {
    let image = read_regular(path, PROJECT_FILE_BYTES_MAX)?.map(|(bytes, _)| bytes);
    image
        .filter(|bytes| Some(Digest::of(bytes)) == wanted)
        .ok_or_else(|| refused(DiskWords::BackupDamaged { path: path.to_path_buf() }))
}
