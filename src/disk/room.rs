//! How much room a disk has.

use std::path::Path;

use super::failure::failure;
use super::os;
use crate::error::Result;

/// The room of the disk that a folder is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Files that may still be made; `None` where the file system makes room for them as it goes.
    pub free_files: Option<u64>,
    /// Whether this user may write to the folder itself.
    pub writable: bool,
    /// Whether the folder is of another user, or others may write to it.
    pub open_to_others: bool,
    /// The name of a file system whose locks do not reach every machine that has it.
    pub shared_disk: Option<&'static str>,
}

/// Returns the room of the disk that `folder` is on. May hang on a disk of another machine.
///
/// # Errors
/// `Missing` where there is no such folder, or the system does not tell.
pub fn room(folder: &Path) -> Result<Room> {
    os::room(folder).map_err(|error| failure(&error, folder))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_real_folder_is_told_and_that_of_none_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let seen = room(root.path()).unwrap();
        assert!(seen.free_bytes > 0 && seen.writable && !seen.open_to_others && seen.shared_disk.is_none());
        assert_eq!(room(&root.path().join("none")).unwrap_err().kind().exit_code(), 5);
    }
}
