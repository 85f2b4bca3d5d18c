//! A row in which processes stand one behind the other, in the order in which they came.
//!
//! Each draws a number from a counter in a file and locks the byte of the file with its number; it is first when nobody has
//! the byte with the number before. So nobody can take the place of one that has been called and is not awake yet, as with
//! a lock that all wait for. Who dies steps out of the row, since the system gives back its byte; then two may be first.
//!
//! The system's own wait for a byte has no deadline. So who steps out rings the bell of the one behind: a datagram socket
//! whose name has the number. A bell says only that it is time to look; one that nobody hears, because its place is in
//! another namespace, or that nobody rings, because who stood before was killed, costs [`LOOK_AGAIN`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileExt, MetadataExt as _, OpenOptionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::OFlags;

/// Numbers begin anew after so many: a row is never as long.
const NUMBERS: u64 = 1 << 40;

/// The byte that is locked while a number is drawn; numbers are bytes before it.
const COUNTER: u64 = NUMBERS + 1;

/// After how long one that nobody has called looks by itself: some turns, and little work for the many who wait.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
    /// Steps into the row of this file; `None` when others outlast the deadline, each of whom needs an instant.
    pub(super) fn take(path: &Path, deadline: Instant) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
        while let Err(error) = set(&file, Lock::Own, COUNTER) {
            match error.kind() {
                io::ErrorKind::WouldBlock if Instant::now() < deadline => thread::yield_now(),
                io::ErrorKind::WouldBlock => return Ok(None),
                _ => return Err(error),
            }
        }
        let number = last_drawn(&file) % NUMBERS + 1;
        set(&file, Lock::Own, number)?;
        file.write_all_at(&number.to_le_bytes(), 0)?;
        set(&file, Lock::GiveBack, COUNTER)?;
        Ok(Some(Self { file, number }))
    }

    /// Waits until nobody stands before this place, and tells whether that came to pass in time.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        if self.is_first() {
            return true;
        }
        // Without a bell one looks now and then.
        let bell = bell_of(&self.file, self.number).and_then(|name| UnixDatagram::bind_addr(&name)).ok();
        // Again, because who stands before may have stepped out before there was a bell.
        while !self.is_first() {
            let pause = deadline.saturating_duration_since(Instant::now()).min(LOOK_AGAIN);
            if pause.is_zero() {
                return false;
            }
            match &bell {
                Some(bell) if bell.set_read_timeout(Some(pause)).is_ok() => drop(bell.recv(&mut [0])),
                _ => thread::sleep(pause),
            }
        }
        true
    }

    fn is_first(&self) -> bool {
        set(&self.file, Lock::Share, self.before()).is_ok()
    }

    const fn before(&self) -> u64 {
        if self.number == 1 { NUMBERS } else { self.number - 1 }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = set(&self.file, Lock::GiveBack, self.number);
        if last_drawn(&self.file) == self.number {
            return;
        }
        // Nobody may hear it; see above.
        let _ = bell_of(&self.file, self.number % NUMBERS + 1)
            .and_then(|name| UnixDatagram::unbound()?.send_to_addr(&[0], &name));
    }
}

/// Returns the number that was drawn last; a new file has none yet.
fn last_drawn(file: &File) -> u64 {
    let mut last = [0; 8];
    let _ = file.read_exact_at(&mut last, 0);
    u64::from_le_bytes(last)
}

/// Names the bell of a number: a name of the system's that is no file (unix(7), abstract).
fn bell_of(row: &File, number: u64) -> io::Result<SocketAddr> {
    let row = row.metadata()?;
    SocketAddr::from_abstract_name(format!("portwright-row/{:x}/{:x}/{number:x}", row.dev(), row.ino()))
}

/// Changes the lock of a byte, or fails when others have it. The lock is the open file's, not the process's.
fn set(file: &File, lock: Lock, byte: u64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(lock, byte)))?;
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

    fn place(path: &Path) -> Place {
        Place::take(path, Instant::now()).unwrap().unwrap()
    }

    #[test]
    fn one_is_first_when_those_before_it_have_stepped_out_also_where_numbers_begin_anew() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("gate");
        std::fs::write(&path, (NUMBERS - 2).to_le_bytes()).unwrap();
        let [one, two, three] = [(), (), ()].map(|()| place(&path));
        assert_eq!([one.number, two.number, three.number], [NUMBERS - 1, NUMBERS, 1]);
        assert!(one.is_first() && !two.is_first() && !three.is_first());
        drop(one);
        assert!(two.is_first() && !three.is_first());
        assert!(!three.wait(Instant::now()), "it is not its turn");
        drop(two);
        assert!(three.wait(Instant::now()));
        drop(three);
        assert!(place(&path).is_first());
    }

    #[test]
    fn who_waits_is_called_and_who_is_not_called_looks_by_itself() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("gate");
        let wait = |place: Place| thread::spawn(move || place.wait(Instant::now() + Duration::from_secs(30)));
        let (before, waiting) = (place(&path), place(&path));
        let name = bell_of(&waiting.file, waiting.number).unwrap();
        let waiter = wait(waiting);
        drop(before);
        assert!(waiter.join().unwrap());

        // One that is killed gives back its byte and rings nobody.
        let before = place(&path);
        let killed = File::options().read(true).write(true).open(&path).unwrap();
        drop(before);
        let number = last_drawn(&killed) + 1;
        set(&killed, Lock::Own, number).unwrap();
        std::fs::write(&path, number.to_le_bytes()).unwrap();
        let waiter = wait(place(&path));
        drop(killed);
        assert!(waiter.join().unwrap());

        // Whoever else has the name of a bell, and whatever is sent to it: only the byte counts.
        let (before, waiting) = (place(&path), place(&path));
        let next = bell_of(&waiting.file, waiting.number).unwrap();
        assert_ne!(format!("{name:?}"), format!("{next:?}"));
        let thief = UnixDatagram::bind_addr(&next).unwrap();
        assert!(!waiting.wait(Instant::now() + Duration::from_millis(1)));
        drop(before);
        assert!(waiting.wait(Instant::now() + Duration::from_secs(30)));
        drop(thief);
    }

    #[test]
    fn a_file_of_rubbish_is_a_row_like_any_other() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("gate");
        for bytes in [&b""[..], b"rub", b"rubbish rubbish", &[0xff; 8]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(place(&path).is_first());
        }
    }
}
