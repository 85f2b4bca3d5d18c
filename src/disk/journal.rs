//! The records of a change of several files: the journal while it runs, the receipt when it is done.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::records::stored_path;
use crate::words::Message;
use crate::words::disk::DiskWords;

/// Names one change of a project; also the name of the folder of its backups. Sorts by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UndoId(String);

impl UndoId {
    /// Makes the id of a change at `now`: milliseconds since 1970, and a number that tells apart what the clock does not.
    pub(super) fn new(now: SystemTime, attempt: u32) -> Self {
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self(format!("{millis:014}-{attempt}"))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for UndoId {
    /// Accepts digits and `-` alone, because the id becomes part of paths.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_digit() || c == '-');
        if plain { Ok(Self(text)) } else { Err(serde::de::Error::custom("not an id")) }
    }
}

/// What a run says about itself, kept for `undo` to show. Must not contain values of `.env` other than ports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Note {
    /// The verb: `quick-start`, …
    pub verb: String,
    /// What was changed, a line each: `HTTP_PORT: 8000 -> 8002`.
    pub lines: Vec<String>,
}

/// The receipt of an applied change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: UndoId,
    /// When it was applied, in seconds since 1970.
    pub applied_s: u64,
    /// What it says about itself.
    pub note: Note,
    /// The files, in the order in which they were given.
    pub files: Vec<RunFile>,
}

impl Run {
    /// Returns when it was applied.
    #[must_use]
    pub fn applied_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.applied_s)
    }

    /// Returns a warning for each file that was overwritten in place, which is the weaker way.
    #[must_use]
    pub fn warnings(&self) -> Vec<Message> {
        let in_place = self.files.iter().filter(|file| file.in_place);
        in_place.map(|file| DiskWords::OverwrittenInPlace { path: file.path.clone() }.into()).collect()
    }
}

/// One file of an applied change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The path as it was given.
    #[serde(with = "stored_path")]
    pub path: PathBuf,
    /// The file behind its links.
    #[serde(with = "stored_path")]
    pub target: PathBuf,
    /// What it was; `None` when the run created it.
    pub before: Option<Digest>,
    /// What it became; `None` when the run removed it.
    pub after: Option<Digest>,
    /// Whether it was overwritten in place, which a power cut can leave half done (repaired by the next run): it is
    /// mounted by itself, has several names, an access list or another owner, or its folder takes no new file.
    pub in_place: bool,
    /// Whether the new contents wait in the state folder instead of beside the target.
    pub(super) staged_in_state: bool,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Backups and new contents are being written; no file of the project has changed.
    Staging,
    /// All is staged and durable; from here on it is finished, not taken back.
    Committed,
}

/// What a change is for, which decides what is recorded when it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Purpose {
    /// It becomes the last run.
    Apply,
    /// It takes back the last run.
    Undo,
}

/// The journal: exists exactly while a change is unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) phase: Phase,
    pub(super) purpose: Purpose,
    pub(super) run: Run,
}

impl RunFile {
    /// Returns where the new contents wait beside the target.
    pub(super) fn beside(&self, id: &UndoId, index: usize) -> PathBuf {
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        folder.join(format!(".portwright-{}-{index}.tmp", id.as_str()))
    }

    /// Returns where the new contents wait.
    pub(super) fn staged(&self, backups: &Path, id: &UndoId, index: usize) -> PathBuf {
        if self.staged_in_state { backups.join(format!("{index}.after")) } else { self.beside(id, index) }
    }
}

/// Returns where the old contents of file `index` are kept.
pub(super) fn before_image(backups: &Path, index: usize) -> PathBuf {
    backups.join(format!("{index}.before"))
}
