//! Reads a compose project out of file contents that somebody else fetched: which service publishes which port, where
//! that is written, and what may be changed.
//!
//! The caller asks [`load`], reads the files that it needs, and asks again. Nothing here touches a file.

mod ground;
mod item;
mod lever;
mod merge;
mod picture;
mod ports;
mod render;
#[cfg(test)]
pub(crate) mod tests;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::error::Result;
use crate::model::Project;

pub(crate) use ground::override_beside;
pub(crate) use item::Value;
pub(crate) use lever::{Analysis, Handle, analyse, is_sexagesimal};
pub(crate) use picture::{Comparison, Look, Picture};
pub(crate) use ports::Entry;

/// What the command line and the environment say about a project.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The directory to look in (absolute).
    pub directory: PathBuf,
    /// The compose files that were named (`-f`), relative to the directory or absolute; may be empty.
    pub files: Vec<PathBuf>,
    /// The `.env` file that was named (`--env-file`).
    pub env_file: Option<PathBuf>,
    /// The profiles to activate; `*` activates all. When empty, `COMPOSE_PROFILES` decides.
    pub profiles: Vec<String>,
    /// The project name that was given.
    pub project_name: Option<String>,
    /// The environment of the process. Its values may be secrets.
    pub shell: BTreeMap<String, String>,
}

impl fmt::Debug for Request {
    /// Leaves the environment out: it holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("directory", &self.directory)
            .field("files", &self.files)
            .field("env_file", &self.env_file)
            .field("profiles", &self.profiles)
            .field("project_name", &self.project_name)
            .finish_non_exhaustive()
    }
}

/// File contents by absolute path; `None` for what does not exist or is no regular file.
pub type Snapshot = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What [`load`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// These files must be in the snapshot first (absolute paths). Each round needs at least one more, and never more
    /// than 500 in all.
    Needs(Vec<PathBuf>),
    /// The directory has no compose file.
    Absent,
    /// The project.
    Ready(Box<Project>),
}

/// Reads a project.
///
/// Everything follows Docker Compose v2: which files are found and merged, variables, `include`, `extends`, profiles,
/// anchors, `!reset` and `!override`. Refused are files that compose would refuse as far as ports, names and variables are
/// concerned, remote includes, and what goes beyond the limits of this room.
pub fn load(request: &Request, snapshot: &Snapshot) -> Result<Loaded> {
    Ok(match analyse(request, snapshot)? {
        Look::Needs(paths) => Loaded::Needs(paths),
        Look::Absent => Loaded::Absent,
        Look::Seen(analysis) => Loaded::Ready(Box::new(analysis.project)),
    })
}
