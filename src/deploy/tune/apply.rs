//! Applies what was judged to be needed: record, write, read again.

use std::io;
use std::path::{Path, PathBuf};

use super::{Backup, Kept, RECORD, TuneOrder, Tuning, look, record_path, set, show};
use crate::deploy::take_lock;
use crate::disk::{Dirs, ProjectLock, ProjectState, create_private_folder};
use crate::error::{Error, ErrorKind, Result};
use crate::host;
use crate::plan::tune::{Judged, TuneState, sysctl_file};
use crate::words::Message;
use crate::words::tune::TuneWords;

/// What `apply` did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The settings; those that were to be changed are `applied` or `refused`.
    pub tuning: Tuning,
    /// Those that were applied in this run, by key.
    pub applied: Vec<&'static str>,
    /// How many the system did not take.
    pub refused: usize,
    /// The file from which the system sets them at its start, where it was written.
    pub boot_file: Option<PathBuf>,
    /// Why that file could not be written.
    pub boot_trouble: Option<Message>,
}

/// Tells whether this is a container, whose settings are those of its host.
#[must_use]
pub fn in_container() -> bool {
    host::in_container()
}

/// Tells whether settings of the system may be changed from here.
///
/// # Errors
/// `Missing` in a container, and for a user without the rights.
pub fn may_change() -> Result<()> {
    if in_container() {
        return Err(Error::new(ErrorKind::Missing, TuneWords::InContainer).hint(TuneWords::HintOnHost));
    }
    if !host::tuning::may_change() {
        return Err(Error::new(ErrorKind::Missing, TuneWords::NoRights).hint(TuneWords::HintRights));
    }
    Ok(())
}

/// Changes the settings that this host needs, once `ask` agreed to them; `None` when it did not.
///
/// # Errors
/// `Missing` as in [`may_change`], or when a right turned out to be missing midway: then what was changed has been put
/// back. `Refused` when the file for the start of the system is another one's. `Busy` for the lock. Those of `ask`.
pub fn apply(
    order: &TuneOrder,
    dirs: &Dirs,
    ask: &mut dyn FnMut(&Tuning) -> Result<bool>,
    note: &mut dyn FnMut(Message),
) -> Result<Option<Applied>> {
    may_change()?;
    let first = show(order, Some(dirs))?;
    if !first.settings.iter().any(is_wanted) {
        let nothing = Applied { tuning: first, applied: Vec::new(), refused: 0, boot_file: None, boot_trouble: None };
        return Ok(Some(nothing));
    }
    create_private_folder(&dirs.state)?;
    let state = ProjectState::open(dirs, &dirs.state)?;
    let lock = take_lock(&state, "tune apply", note)?;
    let before: Backup = state.load_json(RECORD)?.unwrap_or_default();
    check_boot_file(&before, note)?;
    let tuning = look(order, &before.applied());
    if !ask(&tuning)? {
        return Ok(None);
    }
    Work { state: &state, lock: &lock, before }.carry_out(tuning).map(Some)
}

fn is_wanted(judged: &Judged) -> bool {
    judged.state == TuneState::Change
}

/// Refuses where the file is there and our record knows nothing of it; says where somebody edited it.
fn check_boot_file(before: &Backup, note: &mut dyn FnMut(Message)) -> Result<()> {
    let Some(path) = host::tuning::boot_file().map(Path::to_path_buf) else { return Ok(()) };
    let found = host::tuning::read_boot_file().ok().flatten();
    if found.is_some() && before.boot_file.is_none() {
        return Err(Error::new(ErrorKind::Refused, TuneWords::FileInTheWay { path: path.clone() })
            .hint(TuneWords::HintFileInTheWay { path }));
    }
    if found.is_some() && found != before.boot_file {
        note(TuneWords::FileEdited { path }.into());
    }
    Ok(())
}

struct Work<'a> {
    state: &'a ProjectState,
    lock: &'a ProjectLock,
    /// The record as it was.
    before: Backup,
}

impl Work<'_> {
    fn carry_out(self, mut tuning: Tuning) -> Result<Applied> {
        let mut backup = self.before.clone();
        for judged in tuning.settings.iter().filter(|judged| is_wanted(judged)) {
            let ours = judged.wanted.clone().unwrap_or_default();
            let kept = Kept { before: judged.current.clone(), ours: ours.clone() };
            backup.values.entry(judged.key.to_owned()).or_insert(kept).ours = ours;
        }
        self.state.save_json(self.lock, RECORD, &backup)?;
        let (mut applied, mut refused) = (Vec::new(), 0);
        for judged in tuning.settings.iter_mut().filter(|judged| is_wanted(judged)) {
            match change(judged) {
                Ok(()) => {
                    judged.state = TuneState::Applied;
                    applied.push((judged.key, judged.current.take()));
                    judged.current.clone_from(&judged.wanted);
                    judged.wanted = None;
                }
                Err(Refusal::Denied(why)) => return Err(self.put_back(judged.key, &why, &applied)),
                Err(Refusal::Refused(why)) => {
                    judged.state = TuneState::Refused;
                    judged.why.0.push(why);
                    refused += 1;
                    match self.before.values.get(judged.key) {
                        Some(kept) => drop(backup.values.insert(judged.key.to_owned(), kept.clone())),
                        None => drop(backup.values.remove(judged.key)),
                    }
                }
            }
        }
        let (boot_file, boot_trouble) = self.keep(backup, !applied.is_empty())?;
        let applied = applied.into_iter().map(|(key, _)| key).collect();
        Ok(Applied { tuning, applied, refused, boot_file, boot_trouble })
    }

    /// Keeps the record, and the values for the start of the system.
    fn keep(&self, mut backup: Backup, changed: bool) -> Result<(Option<PathBuf>, Option<Message>)> {
        if backup.values.is_empty() {
            self.state.forget_json(self.lock, RECORD)?;
            return Ok((None, None));
        }
        let partial = |error: Error| error.with_kind(ErrorKind::Partial).hint(TuneWords::HintRevert);
        let path = host::tuning::boot_file();
        let backup_path = record_path(self.state).display().to_string();
        backup.boot_file = path.map(|_| sysctl_file(&backup.applied(), &backup_path));
        self.state.save_json(self.lock, RECORD, &backup).map_err(partial)?;
        let Some(path) = path.filter(|_| changed) else { return Ok((None, None)) };
        match host::tuning::write_boot_file(backup.boot_file.as_deref()) {
            Ok(()) => Ok((Some(path.to_path_buf()), None)),
            Err(error) => {
                backup.boot_file.clone_from(&self.before.boot_file);
                self.state.save_json(self.lock, RECORD, &backup).map_err(partial)?;
                let why = error.to_string();
                Ok((None, Some(TuneWords::FileNotWritten { path: path.to_path_buf(), why }.into())))
            }
        }
    }

    /// Puts back what this run changed, the last first, and returns the error to end with.
    fn put_back(&self, key: &'static str, why: &str, applied: &[(&'static str, Option<String>)]) -> Error {
        let stuck = applied.iter().rev().filter(|(key, before)| set(key, before.as_deref()).is_err());
        let (key, why) = (key.to_owned(), why.to_owned());
        if stuck.count() > 0 {
            // The record stays: it has what is to be put back.
            let words = TuneWords::DeniedMidway { key, why };
            return Error::new(ErrorKind::Partial, words).hint(TuneWords::HintRevert);
        }
        let kept = if self.before.values.is_empty() {
            self.state.forget_json(self.lock, RECORD)
        } else {
            self.state.save_json(self.lock, RECORD, &self.before)
        };
        let denied = Error::new(ErrorKind::Missing, TuneWords::Denied { key, why }).hint(TuneWords::HintRights);
        kept.err().unwrap_or(denied)
    }
}

/// Why a value was not set.
enum Refusal {
    /// This user may not.
    Denied(String),
    /// The system does not take it.
    Refused(Message),
}

/// Writes a value and reads it again. One that came out as something else is put back.
fn change(judged: &Judged) -> Result<(), Refusal> {
    let wanted = judged.wanted.as_deref().unwrap_or_default();
    host::tuning::write(judged.key, wanted).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Refusal::Denied(error.to_string()),
        _ => Refusal::Refused(TuneWords::SystemSays { why: error.to_string() }.into()),
    })?;
    let now = host::tuning::read(judged.key).value();
    if now.as_deref() == Some(wanted) {
        return Ok(());
    }
    if now != judged.current
        && let Err(error) = set(judged.key, judged.current.as_deref())
    {
        return Err(Refusal::Refused(TuneWords::SystemSays { why: error.to_string() }.into()));
    }
    Err(Refusal::Refused(TuneWords::ReadAgain { value: now.unwrap_or_default() }.into()))
}
