//! Reading a file of a project: regular files only, bounded, never blocking.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::failure::{failure, refused};
use super::locate::{Located, locate};
use super::os::{self, Attributes};
use crate::error::Result;
use crate::words::disk::DiskWords;

/// The largest project file that is read or written, in bytes: 1 MiB is hundreds of times any real `.env` or compose
/// file, and keeps an editor's worth of copies in memory small.
pub const PROJECT_FILE_BYTES_MAX: u64 = 1 << 20;

/// A file as it was read. Its contents may be secret, so `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct FileFact {
    /// The path as it was asked for.
    pub path: PathBuf,
    /// Where it leads.
    pub located: Located,
    /// The bytes.
    pub contents: Vec<u8>,
    /// Mode, owner and number of names.
    pub attributes: Attributes,
    /// The digest of the bytes.
    pub digest: Digest,
}

impl std::fmt::Debug for FileFact {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FileFact")
            .field("path", &self.path)
            .field("located", &self.located)
            .field("bytes", &self.contents.len())
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

/// Reads a file of the project (relative paths start in `project`); `None` when it does not exist. Refused: anything but
/// a regular file, more than `limit` bytes, dangling links and loops. A link out of the project is read; `located` says
/// so, and the caller decides.
pub fn read_project_file(project: &Path, path: &Path, limit: u64) -> Result<Option<FileFact>> {
    let located = locate(project, path)?;
    if !located.exists {
        return Ok(None);
    }
    let Some((contents, attributes)) = read_regular(&located.real, limit)? else { return Ok(None) };
    let digest = Digest::of(&contents);
    Ok(Some(FileFact { path: path.to_path_buf(), located, contents, attributes, digest }))
}

/// Reads a regular file of at most `limit` bytes; `None` when it does not exist.
pub(super) fn read_regular(path: &Path, limit: u64) -> Result<Option<(Vec<u8>, Attributes)>> {
    let file = match open_regular(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(refused(DiskWords::NotRegular { path: path.to_path_buf() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure(&error, path)),
    };
    let metadata = file.metadata().map_err(|error| failure(&error, path))?;
    let attributes = Attributes::of(&metadata);
    // Room for all of it and for the end: without that a file of a kilobyte takes six reads.
    let length = usize::try_from(metadata.len().min(limit)).unwrap_or(0);
    let mut contents = Vec::with_capacity(length.saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut contents).map_err(|error| failure(&error, path))?;
    if u64::try_from(contents.len()).is_ok_and(|length| length > limit) {
        return Err(refused(DiskWords::TooLarge { path: path.to_path_buf(), limit }));
    }
    Ok(Some((contents, attributes)))
}

/// Looks before it opens, because opening a device can already do something, and looks again at what was opened.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    os::patiently(|| opened(path))
}

fn opened(path: &Path) -> io::Result<Option<File>> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let file = os::open_to_read(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn contents_mode_and_digest_are_read_and_debug_hides_the_contents() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(".env");
        std::fs::write(&path, "KEY=canary-4711").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let fact = read_project_file(root.path(), &path, PROJECT_FILE_BYTES_MAX).unwrap().unwrap();
        assert_eq!((fact.attributes.mode, fact.digest), (0o640, Digest::of(b"KEY=canary-4711")));
        assert!(!format!("{fact:?}").contains("canary"));
    }

    #[test]
    fn a_missing_file_is_none_and_a_large_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read_project_file(root.path(), Path::new(".env"), 4).unwrap(), None);
        std::fs::write(root.path().join(".env"), "12345").unwrap();
        assert!(read_project_file(root.path(), Path::new(".env"), 5).unwrap().is_some());
        let error = read_project_file(root.path(), Path::new(".env"), 4).unwrap_err();
        assert!(error.to_string().contains("larger than 4 bytes"), "{error}");
    }

    #[test]
    fn a_pipe_a_device_and_a_folder_are_refused_without_waiting() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join(".env");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/null"), root.path()] {
            let error = read_project_file(root.path(), path, 10).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
    }
}
