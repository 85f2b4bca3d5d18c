//! Puts back what `apply` changed, from the record.

use super::{Backup, Kept, RECORD, existing_state, may_change, set};
use crate::deploy::take_lock;
use crate::disk::{Dirs, ProjectLock, ProjectState};
use crate::error::{Error, ErrorKind, Result};
use crate::host;
use crate::model::Observed;
use crate::plan::tune;
use crate::words::Message;
use crate::words::tune::TuneWords;

/// A value that was changed, and what would happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The name.
    pub key: String,
    /// The value now; `None` for absent.
    pub current: Option<String>,
    /// The value that is put back; `None` for absent.
    pub to: Option<String>,
    /// What is known of the value.
    pub kind: StepKind,
}

/// What is known of a value that is to be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// It is as we set it.
    Ours,
    /// It is as it was before.
    AsBefore,
    /// Somebody changed the list since; only our ports are taken out.
    Merged,
    /// Somebody changed it since.
    Foreign,
}

/// The file from which the system sets our values when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootFile {
    /// There is none.
    Absent,
    /// It is as we wrote it.
    Ours,
    /// Somebody edited it since.
    Edited,
}

/// What `revert` is about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The values.
    pub steps: Vec<Step>,
    /// The file.
    pub boot_file: BootFile,
}

impl Outlook {
    /// Tells whether somebody changed something of it since.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.boot_file == BootFile::Edited || self.steps.iter().any(|step| step.kind == StepKind::Foreign)
    }
}

/// The answer to [`Outlook`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Put everything back.
    All,
    /// Leave what somebody changed since as it is, for good.
    LeaveForeign,
    /// Do nothing.
    Stop,
}

/// What `revert` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reverted {
    /// The values that are as before now.
    pub restored: Vec<Step>,
    /// Those that were left as somebody made them.
    pub left: Vec<Step>,
    /// Those that could not be put back, with the reason; the record still has them.
    pub failed: Vec<(String, Message)>,
    /// Whether the file for the start of the system was removed.
    pub file_removed: bool,
    /// Whether it was left as somebody edited it, our values in it among the rest.
    pub file_left: bool,
}

/// Puts the values back, once `ask` agreed; `None` when it did not. Nothing to put back is no fault.
///
/// # Errors
/// `Missing` as in [`may_change`], and where the file for the start of the system is there without a record. `Busy` for
/// the lock. Those of `ask` and of the record.
pub fn revert(
    dirs: &Dirs,
    ask: &mut dyn FnMut(&Outlook) -> Result<Answer>,
    note: &mut dyn FnMut(Message),
) -> Result<Option<Reverted>> {
    may_change()?;
    let Some(state) = existing_state(dirs)? else { return without_record().map(Some) };
    let lock = take_lock(&state, "tune revert", note)?;
    let Some(backup) = state.load_json::<Backup>(RECORD)? else { return without_record().map(Some) };
    let outlook = outlook(&backup);
    match ask(&outlook)? {
        Answer::Stop => Ok(None),
        answer => put_back(&state, &lock, backup, outlook, answer == Answer::LeaveForeign).map(Some),
    }
}

/// Nothing to revert, unless the file says that another user applied something.
fn without_record() -> Result<Reverted> {
    match (host::tuning::boot_file(), host::tuning::read_boot_file()) {
        (Some(path), Ok(Some(_))) => {
            let path = path.to_path_buf();
            let words = TuneWords::NoRecord { path: path.clone() };
            Err(Error::new(ErrorKind::Missing, words).hint(TuneWords::HintFileInTheWay { path }))
        }
        _ => Ok(Reverted::default()),
    }
}

fn outlook(backup: &Backup) -> Outlook {
    let steps = backup.values.iter().map(|(key, kept)| step(key, kept)).collect();
    let boot_file = match host::tuning::read_boot_file() {
        Ok(None) => BootFile::Absent,
        Ok(text) if text == backup.boot_file => BootFile::Ours,
        // Without what we wrote in the record the run was cut short while it wrote it.
        Ok(_) | Err(_) => BootFile::Edited,
    };
    Outlook { steps, boot_file }
}

fn step(key: &str, kept: &Kept) -> Step {
    let observed = host::tuning::read(key);
    let (key, current, before) = (key.to_owned(), observed.value(), kept.before.clone());
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    // What is gone with its module of the kernel has nothing to be put back.
    if current == before || observed == Observed::Unsupported {
        return Step { key, to: current.clone(), current, kind: StepKind::AsBefore };
    }
    if current.as_ref() == Some(&kept.ours) {
        return Step { key, current, to: before, kind: StepKind::Ours };
    }
    if tune::is_port_list(&key) {
        let to = Some(tune::without_ours(&text(&current), &text(&before), &kept.ours));
        return Step { key, current, to, kind: StepKind::Merged };
    }
    Step { key, current, to: before, kind: StepKind::Foreign }
}

fn put_back(
    state: &ProjectState,
    lock: &ProjectLock,
    mut backup: Backup,
    outlook: Outlook,
    leave_foreign: bool,
) -> Result<Reverted> {
    let mut done = Reverted::default();
    for step in outlook.steps {
        if leave_foreign && step.kind == StepKind::Foreign {
            backup.values.remove(&step.key);
            done.left.push(step);
            continue;
        }
        match restore(&step) {
            Ok(()) => {
                backup.values.remove(&step.key);
                done.restored.push(step);
            }
            Err(why) => done.failed.push((step.key, why)),
        }
    }
    done.file_left = leave_foreign && outlook.boot_file == BootFile::Edited;
    if let Some(path) = host::tuning::boot_file().filter(|_| !done.file_left) {
        match host::tuning::write_boot_file(None) {
            Ok(()) => {
                backup.boot_file = None;
                done.file_removed = outlook.boot_file != BootFile::Absent;
            }
            Err(error) => {
                let why = TuneWords::SystemSays { why: error.to_string() };
                done.failed.push((path.display().to_string(), why.into()));
            }
        }
    }
    let partial = |error: Error| error.with_kind(ErrorKind::Partial);
    if done.failed.is_empty() {
        state.forget_json(lock, RECORD).map_err(partial)?;
    } else {
        state.save_json(lock, RECORD, &backup).map_err(partial)?;
    }
    Ok(done)
}

/// Sets a value and reads it again.
fn restore(step: &Step) -> Result<(), Message> {
    if !tune::keys(host::os()).contains(&step.key.as_str()) {
        return Err(TuneWords::UnknownKey.into());
    }
    if step.current == step.to {
        return Ok(());
    }
    set(&step.key, step.to.as_deref()).map_err(|error| TuneWords::SystemSays { why: error.to_string() })?;
    let now = host::tuning::read(&step.key).value();
    if now == step.to { Ok(()) } else { Err(TuneWords::ReadAgain { value: now.unwrap_or_default() }.into()) }
}
