//! What Unix offers beyond `std`: modes, owners, opening without blocking, syncing a folder.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, OFlags, Uid};
use rustix::io::Errno;

use super::room::Room;

/// The mode bits that belong to permissions; the rest is the file type.
const PERMISSION_BITS: u32 = 0o7777;

/// Mode, owner and number of names of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits.
    pub mode: u32,
    /// The user id of the owner.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// How many names (hard links) the file has.
    pub names: u64,
}

impl Attributes {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode() & PERMISSION_BITS,
            uid: metadata.uid(),
            gid: metadata.gid(),
            names: metadata.nlink(),
        }
    }
}

/// Opens a file so that a pipe or a device cannot make the open wait.
/// Swaps the names of two files at once: renameat2(2), `RENAME_EXCHANGE`. Not every file system and no other system has it.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::renameat_with(
        rustix::fs::CWD,
        one,
        rustix::fs::CWD,
        other,
        rustix::fs::RenameFlags::EXCHANGE,
    )?);
    #[cfg(not(target_os = "linux"))]
    return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{} {}", one.display(), other.display())));
}

/// Does something with a file; nobody who has it open is in the way here.
pub(super) fn patiently<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    act()
}

pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Opens an existing file for writing without following a link and without truncating it.
pub(super) fn open_to_overwrite(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().write(true).custom_flags(flags).open(path)
}

/// Creates a file that must not exist; `mode` is narrowed by the umask.
pub(super) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Opens or creates a private file to hold a lock on; a link in its place is refused.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

/// Gives a file the owner and mode of another; the owner first, because a change of owner clears setuid bits.
pub(super) fn give(file: &File, wanted: &Attributes) -> io::Result<()> {
    let present = Attributes::of(&file.metadata()?);
    if (present.uid, present.gid) != (wanted.uid, wanted.gid) {
        rustix::fs::fchown(file, Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)))?;
    }
    if Attributes::of(&file.metadata()?).mode != wanted.mode {
        file.set_permissions(Permissions::from_mode(wanted.mode))?;
    }
    Ok(())
}

/// Tells whether the file carries an access list, which a replacement would lose.
#[cfg(target_os = "linux")]
pub(super) fn has_access_list(path: &Path) -> bool {
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0_u8; 0]).is_ok()
}

/// Tells whether the file carries an access list; cannot be known here without a system library.
#[cfg(not(target_os = "linux"))]
pub(super) fn has_access_list(_: &Path) -> bool {
    false
}

/// Makes folders with mode 0700, as many as are missing.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the names in a folder durable. A folder that may be written but not read, and a file system that cannot sync
/// folders, are let pass: nothing better exists there.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if is_one_of(&error, &[Errno::INVAL, Errno::NOTSUP, Errno::ACCESS]) => Ok(()),
        other => other,
    }
}

/// Tells whether a folder belongs to this user and is writable for nobody else.
pub(super) fn is_private(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// Takes the right to write away from everybody but the owner; returns the mode before and after.
pub(super) fn close_to_others(path: &Path) -> io::Result<(u32, u32)> {
    let metadata = path.metadata()?;
    let before = metadata.mode() & PERMISSION_BITS;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Errno::PERM.into());
    }
    let after = before & !0o022;
    std::fs::set_permissions(path, Permissions::from_mode(after))?;
    Ok((before, after))
}

/// Tells whether a rename failed because the target is a mount of its own (a file bound into a container).
pub(super) fn is_mount_in_the_way(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::BUSY, Errno::XDEV])
}

/// Tells whether nothing can be created in a folder, while a file in it may still be writable.
pub(super) fn is_folder_closed(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::ACCESS, Errno::PERM, Errno::ROFS])
}

/// Tells whether links lead around in a circle.
pub(super) fn is_link_loop(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::LOOP])
}

fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| errnos.contains(&errno))
}

/// Tells whether `path` still leads to the file that is open.
pub(super) fn is_same_file(file: &File, path: &Path) -> bool {
    let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    file.metadata().ok().zip(path.metadata().ok()).is_some_and(|(open, named)| identity(&open) == identity(&named))
}

/// Returns the name of the file system of a folder when a lock on it does not reach every machine that has it.
#[cfg(target_os = "linux")]
pub(super) fn weak_disk(folder: &Path) -> Option<&'static str> {
    let told = rustix::fs::statfs(folder).ok().and_then(|disk| weak_name(disk.f_type.cast_unsigned()));
    // 9p passes on what the disk of the other machine is called there: what it was mounted as tells more.
    told.or_else(|| {
        let device = folder.metadata().ok()?.dev();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        weak_mount(&mounts, &format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
    })
}

/// Returns the name of the file system of a folder when a lock on it does not reach every machine that has it; not
/// known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn weak_disk(_: &Path) -> Option<&'static str> {
    None
}

/// The numbers are those of `linux/magic.h` and of the file systems' own headers; some of them fill 32 bits.
#[cfg(any(target_os = "linux", test))]
fn weak_name(magic: u64) -> Option<&'static str> {
    match magic & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x0102_1997 => Some("9p"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        _ => None,
    }
}

/// Looks a device up in the list of mounts (proc(5), mountinfo): `36 35 98:0 /mnt1 /mnt2 rw master:1 - ext3 /dev/root rw`.
#[cfg(any(target_os = "linux", test))]
fn weak_mount(mounts: &str, device: &str) -> Option<&'static str> {
    let kind = mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == device).then(|| system.split(' ').next())?
    })?;
    match kind {
        "nfs" | "nfs4" => Some("NFS"),
        "cifs" | "smb3" => Some("SMB"),
        "9p" => Some("9p"),
        "afs" => Some("AFS"),
        "virtiofs" => Some("virtiofs"),
        "vboxsf" => Some("vboxsf"),
        "fuse.sshfs" => Some("SSHFS"),
        _ => None,
    }
}

/// Returns the room of the disk that a folder is on.
pub(super) fn room(folder: &Path) -> io::Result<Room> {
    let disk = rustix::fs::statvfs(folder)?;
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok(Room {
        free_bytes,
        free_files: (disk.f_files > 0).then_some(disk.f_favail),
        writable: rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok(),
        open_to_others: !is_private(&folder.metadata()?),
        shared_disk: weak_disk(folder),
    })
}

/// Returns the name of the effective user, or the number where `/etc/passwd` has no name for it.
pub(super) fn user_name() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or(uid)
}

/// Returns the bytes of a path.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a path may have no bytes to keep")]
pub(super) fn path_bytes(path: &Path) -> Option<&[u8]> {
    Some(path.as_os_str().as_bytes())
}

/// Makes a path of bytes.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere bytes may be no path")]
pub(super) fn path_from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_of_other_machines_are_known_by_what_they_were_mounted_as() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      98 22 0:41 / /mnt/a\\040-\\040b rw,relatime shared:50 master:3 - 9p root rw,trans=virtio\n\
                      99 22 0:42 / /mnt/n rw - nfs4 127.0.0.1:/ rw,vers=4.2\n\
                      97 22 0:43 / /tmp rw - tmpfs tmpfs rw\nrubbish\n";
        let cases = [("254:0", None), ("0:41", Some("9p")), ("0:42", Some("NFS")), ("0:43", None), ("0:4", None)];
        for (device, name) in cases {
            assert_eq!(weak_mount(mounts, device), name, "{device}");
        }
    }

    #[test]
    fn disks_of_other_machines_are_known_by_their_numbers() {
        // As `statfs` gives them, also where the number is kept in a signed word.
        let cases = [(0x6969, "NFS"), (0xffff_ffff_fe53_4d42, "SMB"), (0xff53_4d42, "SMB"), (0x0102_1997, "9p")];
        for (magic, name) in cases {
            assert_eq!(weak_name(magic), Some(name));
        }
        // ext4, tmpfs, btrfs, xfs, overlay.
        for magic in [0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342, 0x794c_7630] {
            assert_eq!(weak_name(magic), None);
        }
    }
}
