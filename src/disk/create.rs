//! Making a file that must come to be once and whole: never replaced, and private from its first byte.

use std::io;
use std::path::Path;

use super::failure::failure;
use super::{os, replace};
use crate::error::Result;

/// Makes the file `path` with these bytes and returns whether it did; `false` when there is one already, which stays
/// as it is. A reader sees no file or the whole file, also after a crash; a private one is readable for its owner
/// alone from the first byte.
pub fn create_once(path: &Path, bytes: &[u8], private: bool) -> Result<bool> {
    let staged = path.with_added_extension(format!("{}.new", std::process::id()));
    // Left behind by a process that had our id and was killed.
    let _ = std::fs::remove_file(&staged);
    let made =
        replace::stage_newcomer(&staged, bytes, private).and_then(|()| replace::move_to_free_place(&staged, path));
    let _ = std::fs::remove_file(&staged);
    match made {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failure(&error, path)),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    os::sync_folder(folder).map_err(|error| failure(&error, folder))?;
    Ok(true)
}

/// Puts a file with these bytes at `path`, in the place of one that may be there: a reader sees the old one or the new
/// one, also after a crash. Fails before anything has changed.
pub fn put_whole(path: &Path, bytes: &[u8], private: bool) -> Result<()> {
    let staged = path.with_added_extension(format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&staged);
    let put = replace::stage_newcomer(&staged, bytes, private).and_then(|()| std::fs::rename(&staged, path));
    put.map_err(|error| {
        let _ = std::fs::remove_file(&staged);
        failure(&error, path)
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    os::sync_folder(folder).map_err(|error| failure(&error, folder))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_once_private_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key.pem");
        assert!(create_once(&path, b"first", true).unwrap());
        assert!(!create_once(&path, b"second", true).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        put_whole(&path, b"third", true).unwrap();
        assert_eq!(
            (std::fs::read(&path).unwrap(), std::fs::read_dir(root.path()).unwrap().count()),
            (b"third".to_vec(), 1)
        );
        assert!(put_whole(&root.path().join("no/such/folder"), b"", false).is_err());
        assert!(create_once(&root.path().join("no/such/folder"), b"", false).is_err());
    }
}
