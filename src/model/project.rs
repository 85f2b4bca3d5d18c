//! A compose project as Portwright reads it: which service publishes which port, where that is written, and how it
//! can be changed.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;

use super::{Port, PortRange, Protocol};
use crate::words::Message;

/// A compose project, after interpolation, merging of files, `include`, `extends` and profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The project name, as compose derives it.
    pub name: String,
    /// The project directory (absolute).
    pub directory: PathBuf,
    /// The compose files that were named or found, in the order in which they are merged.
    pub files: Vec<PathBuf>,
    /// The `.env` file that compose would read (it may not exist).
    pub env_file: PathBuf,
    /// The active services.
    pub services: Vec<ProjectService>,
    /// The published ports of the active services, in order of service and position.
    pub mappings: Vec<Mapping>,
    /// What is odd but does not stop the work: duplicate keys in `.env`, a bare `22:22`, …
    pub warnings: Vec<Message>,
    /// What matters only when a port of the project moves: a variable that is used elsewhere, an `.env` that a container
    /// sees too.
    pub edit_warnings: Vec<Message>,
}

/// An active service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectService {
    /// Its name.
    pub name: String,
    /// `container_name`, when set.
    pub container_name: Option<String>,
    /// Whether it uses the host's network, so that its published ports are ignored by the engine.
    pub host_network: bool,
}

/// The index of a mapping in [`Project::mappings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingId(pub usize);

/// One entry of a service's `ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The service.
    pub service: String,
    /// The address on the host; `None` for all.
    pub host_ip: Option<IpAddr>,
    /// The port or ports on the host.
    pub published: PublishedPort,
    /// The port or ports in the container.
    pub container: PortRange,
    /// The protocol.
    pub protocol: Protocol,
    /// Where the published port is written (for a variable: where the compose file names it).
    pub source: SourceSpot,
    /// The variable that decides the published port, when exactly one does.
    pub variable: Option<String>,
    /// How the published port can be changed.
    pub lever: Lever,
}

/// The host side of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedPort {
    /// These ports, one for each port of the container.
    Fixed(PortRange),
    /// One of these ports, which the engine chooses (`6005-6015:80`).
    AnyOf(PortRange),
    /// Whatever the engine chooses (`"8000"`).
    Random,
}

impl PublishedPort {
    /// Returns the ports, unless the engine chooses freely.
    #[must_use]
    pub const fn range(self) -> Option<PortRange> {
        match self {
            Self::Fixed(range) | Self::AnyOf(range) => Some(range),
            Self::Random => None,
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSpot {
    /// The file (absolute).
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// How a published port can be changed, the narrowest way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lever {
    /// Set the variable in the `.env` file: change its last assignment, or append one.
    Variable {
        /// The variable.
        name: String,
        /// Whether the `.env` file assigns it already.
        assigned: bool,
    },
    /// Replace these bytes of this file by the new port.
    Literal {
        /// The file.
        file: PathBuf,
        /// The byte range of the published port, byte order mark included in the count.
        span: Range<usize>,
    },
    /// The shell's environment decides the variable; no file of ours can change it.
    Shell {
        /// The variable.
        name: String,
    },
    /// Cannot be edited safely in place.
    Locked(Box<EditRefusal>),
}

/// Why a port cannot be edited in place, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRefusal {
    /// A stable code for reports: `alias`, `merge`, `escape`, `several-variables`, `included`, …
    pub code: &'static str,
    /// Why.
    pub why: Message,
    /// Where.
    pub at: SourceSpot,
    /// What the person can do instead.
    pub way_out: Message,
}

/// A decided change: all these mappings get the same new published port (they share a variable, or there is one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The mappings.
    pub mappings: Vec<MappingId>,
    /// The first published port today.
    pub from: Port,
    /// The first published port to be.
    pub to: Port,
}

/// New contents for one file. They may be secret, so `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// The file (absolute).
    pub file: PathBuf,
    /// The bytes that the edit was planned against; `None` when the file is to be created.
    pub before: Option<Vec<u8>>,
    /// The bytes after the edit.
    pub after: Vec<u8>,
}

impl fmt::Debug for FileEdit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FileEdit")
            .field("file", &self.file)
            .field("bytes_before", &self.before.as_ref().map(Vec::len))
            .field("bytes_after", &self.after.len())
            .finish()
    }
}

/// Another place that names a moved port or its variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Where.
    pub at: SourceSpot,
    /// The name found: the variable, or the port.
    pub name: String,
    /// The key or line in which it stands, without any value: values may be secrets.
    pub place: String,
    /// Where the port stands in this value or line so that it could be changed with consent, in bytes of the file; empty
    /// where a change is not safe.
    pub spans: Vec<Range<usize>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_does_not_show_what_it_writes() {
        let edit =
            FileEdit { file: ".env".into(), before: Some(b"KEY=canary".to_vec()), after: b"KEY=canary2".to_vec() };
        assert!(!format!("{edit:?}").contains("canary"));
    }
}
