//! A row in which processes stand one behind the other, in the order in which they came.
//!
//! Each draws a number from a counter in a file, locks the byte of the file with its number, and waits for the byte with
//! the number before. So nobody can take the place of one that has been called and is not awake yet, as with a lock that
//! all wait for. Who dies steps out of the row, since the system gives back its byte; then two may be first.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::OFlags;

/// Numbers begin anew after so many: a row is never as long.
const NUMBERS: u64 = 1 << 40;

/// The byte that is locked while a number is drawn; numbers are bytes before it.
const COUNTER: u64 = NUMBERS + 1;

/// A place in the row, given up when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    file: File,
    number: u64,
}

/// What is done about the lock of a byte.
#[derive(Clone, Copy)]
enum Lock {
    Own,
    Share,
    GiveBack,
}

impl Place {
    /// Steps into the row of this file, if nobody else does at this moment.
    pub(super) fn at_once(path: &Path) -> io::Result<Self> {
        Self::drawn(path, |file| set(file, Lock::Own, COUNTER))
    }

    /// Steps into the row of this file, waiting for others that do.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        Self::drawn(path, |file| wait(file, Lock::Own, COUNTER))
    }

    fn drawn(path: &Path, begin: impl FnOnce(&File) -> io::Result<()>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
        begin(&file)?;
        let mut last = [0; 8];
        // A new file has no number yet.
        let _ = file.read_exact_at(&mut last, 0);
        let number = u64::from_le_bytes(last) % NUMBERS + 1;
        set(&file, Lock::Own, number)?;
        file.write_all_at(&number.to_le_bytes(), 0)?;
        set(&file, Lock::GiveBack, COUNTER)?;
        Ok(Self { file, number })
    }

    /// Tells whether nobody stands before this place.
    pub(super) fn is_first(&self) -> bool {
        set(&self.file, Lock::Share, self.before()).is_ok()
    }

    /// Waits until nobody stands before this place.
    pub(super) fn wait(&self) -> io::Result<()> {
        wait(&self.file, Lock::Share, self.before())
    }

    const fn before(&self) -> u64 {
        if self.number == 1 { NUMBERS } else { self.number - 1 }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = set(&self.file, Lock::GiveBack, self.number);
    }
}

/// Changes the lock of a byte, or fails when others have it. The lock is the open file's, not the process's.
fn set(file: &File, lock: Lock, byte: u64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(lock, byte)))?;
    Ok(())
}

/// Changes the lock of a byte once others have given it back.
fn wait(file: &File, lock: Lock, byte: u64) -> io::Result<()> {
    while let Err(error) = fcntl(file, FcntlArg::F_OFD_SETLKW(&range(lock, byte))) {
        if error != nix::errno::Errno::EINTR {
            return Err(error.into());
        }
    }
    Ok(())
}

fn range(lock: Lock, byte: u64) -> libc::flock {
    let kind = match lock {
        Lock::Own => libc::F_WRLCK,
        Lock::Share => libc::F_RDLCK,
        Lock::GiveBack => libc::F_UNLCK,
    };
    let narrow = |number: i32| i16::try_from(number).unwrap_or_default();
    let (l_type, l_whence) = (narrow(kind), narrow(libc::SEEK_SET));
    libc::flock { l_type, l_whence, l_start: i64::try_from(byte).unwrap_or_default(), l_len: 1, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_first_when_those_before_it_have_stepped_out_also_where_numbers_begin_anew() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("gate");
        std::fs::write(&path, (NUMBERS - 2).to_le_bytes()).unwrap();
        let [one, two, three] = [(), (), ()].map(|()| Place::at_once(&path).unwrap());
        assert_eq!([one.number, two.number, three.number], [NUMBERS - 1, NUMBERS, 1]);
        assert!(one.is_first() && !two.is_first() && !three.is_first());
        drop(one);
        assert!(two.is_first() && !three.is_first());
        drop(two);
        three.wait().unwrap();
        drop(three);
        assert!(Place::take(&path).unwrap().is_first());
    }

    #[test]
    fn a_file_of_rubbish_is_a_row_like_any_other() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("gate");
        for bytes in [&b""[..], b"rub", b"rubbish rubbish", &[0xff; 8]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(Place::at_once(&path).unwrap().is_first());
        }
    }
}
