//! Errors of the system, told with the path, the user and the way out.

use std::io;
use std::path::Path;

use super::os;
use crate::error::{Error, ErrorKind};
use crate::words::disk::DiskWords;

/// Tells what the system refused on `path`. The kind is `Missing`: the caller changes it when something was changed.
pub(super) fn failure(error: &io::Error, path: &Path) -> Error {
    let (path, user) = (path.to_path_buf(), os::user_name());
    let missing = |words: DiskWords| Error::new(ErrorKind::Missing, words);
    match error.kind() {
        io::ErrorKind::NotFound => missing(DiskWords::NotFound { path }),
        io::ErrorKind::PermissionDenied => {
            missing(DiskWords::NoPermission { path: path.clone(), user }).hint(DiskWords::NoPermissionHint { path })
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            missing(DiskWords::ReadOnlyDisk { path, user }).hint(DiskWords::ReadOnlyDiskHint)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            missing(DiskWords::DiskFull { path: path.clone(), user }).hint(DiskWords::DiskFullHint { path })
        }
        _ => missing(DiskWords::InputOutput { path: path.clone(), user, reason: error.to_string() })
            .hint(DiskWords::InputOutputHint { path }),
    }
}

/// Makes an error that refuses: judged unsafe or impossible, nothing changed.
pub(super) fn refused(words: DiskWords) -> Error {
    Error::new(ErrorKind::Refused, words)
}
