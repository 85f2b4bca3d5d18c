//! The same functions where there is no Unix (Windows): no modes and owners; access lists are inherited from the folder,
//! and the user's own application data folder is private by default.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::room::Room;

/// `FILE_SHARE_READ | FILE_SHARE_WRITE`: without `FILE_SHARE_DELETE` nobody can remove or rename a file that is open.
#[cfg(windows)]
const SHARE_READ_WRITE: u32 = 0x1 | 0x2;
/// `ERROR_NOT_SAME_DEVICE`.
const NOT_SAME_DEVICE: i32 = 17;
/// `ERROR_CANT_RESOLVE_FILENAME`: links lead around in a circle.
const CANNOT_RESOLVE: i32 = 1921;

/// `ERROR_ACCESS_DENIED`, `ERROR_SHARING_VIOLATION`, `ERROR_LOCK_VIOLATION`: what a file answers while somebody has it open
/// in another way, as a second run of ours, an indexer or a virus scanner does for a moment.
const IN_USE: [i32; 3] = [5, 32, 33];
/// How long such a moment may be.
const MOMENT: Duration = Duration::from_secs(1);

/// Does something with a file again while others have it open.
pub(super) fn patiently<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + MOMENT;
    loop {
        match act() {
            Err(error) if error.raw_os_error().is_some_and(|code| IN_USE.contains(&code)) && Instant::now() < end => {
                thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

/// No two files can be swapped at once here.
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Mode, owner and number of names of a file; this system has none of them to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits as Unix would have them.
    pub mode: u32,
    /// Always 0.
    pub uid: u32,
    /// Always 0.
    pub gid: u32,
    /// Always 1: `std` does not tell the number of names.
    pub names: u64,
}

impl Attributes {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { mode: if metadata.permissions().readonly() { 0o400 } else { 0o600 }, uid: 0, gid: 0, names: 1 }
    }
}

pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(super) fn open_to_overwrite(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

pub(super) fn create_new(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, SHARE_READ_WRITE);
    options.write(true).create(true).truncate(false).open(path)
}

#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix, where it can fail")]
pub(super) fn give(_: &File, _: &Attributes) -> io::Result<()> {
    Ok(())
}

pub(super) fn has_access_list(_: &Path) -> bool {
    false
}

pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// NTFS journals its names; a folder cannot be synced by itself.
#[expect(clippy::unnecessary_wraps, reason = "the same signature as on Unix, where it can fail")]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn is_private(_: &Metadata) -> bool {
    true
}

pub(super) fn is_mount_in_the_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(NOT_SAME_DEVICE)
}

pub(super) fn is_folder_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

pub(super) fn is_link_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(CANNOT_RESOLVE)
}

/// A lock file that is open cannot be removed here ([`open_lock`]), so another one cannot have its name.
pub(super) fn is_same_file(_: &File, _: &Path) -> bool {
    true
}

pub(super) fn weak_disk(_: &Path) -> Option<&'static str> {
    None
}

pub(super) fn user_name() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "?".to_owned())
}

pub(super) fn path_bytes(path: &Path) -> Option<&[u8]> {
    path.to_str().map(str::as_bytes)
}

pub(super) fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// The room of a disk is not told by `std`.
pub(super) fn room(_: &Path) -> io::Result<Room> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Access lists are inherited from the user's own folder: there is nothing to take away.
pub(super) fn close_to_others(_: &Path) -> io::Result<(u32, u32)> {
    Ok((0o700, 0o700))
}
