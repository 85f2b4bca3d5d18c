//! The room `disk`: folders, project files, the lock and the journal.
//!
//! Several files change as one ([`ProjectState::apply`]): everything is staged beside its target and recorded, the
//! record is committed, and only then are the targets replaced. After a crash [`ProjectState::recover`] makes the
//! files all old or all new, or stops and says which is which. Holds on a local disk that honours fsync; not on NFS,
//! SMB or synced folders.

mod apply;
mod create;
mod digest;
mod dirs;
mod failure;
mod journal;
mod ledger;
mod locate;
mod lock;
#[cfg(not(unix))]
#[path = "elsewhere.rs"]
mod os;
#[cfg(unix)]
#[path = "unix.rs"]
mod os;
mod read;
mod records;
mod recover;
mod replace;
mod room;
#[cfg(not(target_os = "linux"))]
#[path = "no_row.rs"]
mod row;
#[cfg(target_os = "linux")]
mod row;
mod state;
mod transaction;
mod turnstile;
mod undo;

pub use apply::{ApplyOptions, Change};
pub use create::{create_once, put_whole};
pub use digest::{Digest, hex};
pub use dirs::{Dirs, create_private_folder, make_private};
pub use journal::{Note, Run, RunFile, UndoId};
pub use ledger::{HeldLedger, Ledger};
pub use locate::{Located, Place, locate};
pub use lock::{Holder, ProjectLock};
pub use os::Attributes;
pub use read::{FileFact, PROJECT_FILE_BYTES_MAX, read_project_file};
pub use recover::{Direction, Recovered};
pub use replace::rename;
pub use room::{Room, room};
pub use state::ProjectState;
pub use undo::{EditedSince, Undone};
