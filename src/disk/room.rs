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
}

/// Returns the room of the disk that `folder` is on. May hang on a disk of another machine.
///
/// # Errors
/// `Missing` where there is no such folder, or the system does not tell.
pub fn room(folder: &Path) -> Result<Room> {
    os::room(folder).map_err(|error| failure(&error, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_real_folder_is_told_and_that_of_none_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(room(root.path()).unwrap().free_bytes > 0);
        assert_eq!(room(&root.path().join("none")).unwrap_err().kind().exit_code(), 5);
    }
}
