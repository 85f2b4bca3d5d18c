//! A file that many processes read and replace, one after the other: a lock with a deadline (`turnstile.rs`), and atomic
//! replacement.
//!
//! A write is not synced. What is kept here is worth nothing after a power cut, and a process that is killed loses
//! nothing, because the system has the bytes. What a power cut leaves may be an old file or garbage: the reader checks.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::dirs::create_private_folder;
use super::failure::failure;
use super::read::read_regular;
use super::turnstile::{Passed, Turnstile};
use super::{os, records, replace};
use crate::error::{Error, ErrorKind, Result};
use crate::words::disk::DiskWords;

/// The largest ledger, in bytes: 65,535 ports with 250 bytes each.
const LEDGER_BYTES_MAX: u64 = 16 << 20;

/// The mode of a new ledger; one that exists keeps its own, so that a group may share it.
const PRIVATE: u32 = 0o600;

/// A file under a lock. The lock is a file of its own beside it, because the ledger is replaced as a whole.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    turnstile: Turnstile,
}

/// The ledger while this process alone may read and replace it; given back when this is dropped, or by the system
/// when the process dies.
#[derive(Debug)]
pub struct HeldLedger<'a> {
    ledger: &'a Ledger,
    _passed: Passed,
}

impl Ledger {
    /// Names a ledger, making its folder when that is missing; the file itself need not exist. Refused on a file system
    /// on which a lock does not reach every machine that has the file (NFS, SMB, 9p, AFS), unless `on_weak_disk`.
    pub fn open(path: &Path, on_weak_disk: bool) -> Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            create_private_folder(folder)?;
        }
        if let Some(system) = os::weak_disk(folder).filter(|_| !on_weak_disk) {
            let words = DiskWords::WeakDisk { path, system };
            return Err(Error::new(ErrorKind::Refused, words).hint(DiskWords::WeakDiskHint));
        }
        Ok(Self { turnstile: Turnstile::of(&path), path })
    }

    /// Returns the path of the file, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file without the lock: what it was at some instant, since it is replaced as a whole; `None` when
    /// there is none.
    pub fn glance(&self) -> Result<Option<Vec<u8>>> {
        Ok(read_regular(&self.path, LEDGER_BYTES_MAX)?.map(|(bytes, _)| bytes))
    }

    /// Takes the lock, waiting up to `patience`; whoever waits gets it in turn. Busy when others outlast the patience.
    pub fn hold(&self, patience: Duration) -> Result<HeldLedger<'_>> {
        let taken = self.turnstile.pass(Instant::now() + patience);
        let taken = taken.map_err(|error| failure(&error, self.turnstile.path()))?;
        taken.map(|passed| HeldLedger { ledger: self, _passed: passed }).ok_or_else(|| self.busy(patience))
    }

    fn busy(&self, patience: Duration) -> Error {
        let words = DiskWords::LedgerBusy { path: self.path.clone(), seconds: patience.as_secs() };
        Error::new(ErrorKind::Busy, words).hint(DiskWords::LedgerBusyHint { path: self.turnstile.path().to_path_buf() })
    }
}

impl HeldLedger<'_> {
    /// Reads the whole file; `None` when there is none.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        self.ledger.glance()
    }

    /// Replaces the file: at any instant the old one or the new one is there.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let path = &self.ledger.path;
        let staged = path.with_added_extension(records::UNFINISHED);
        let written = stage(&staged, path, bytes).and_then(|()| put(&staged, path));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&staged);
            failure(&error, path)
        })
    }

    /// Moves a file that cannot be understood out of the way, to `NAME.bad-SECONDS`, and returns where it is.
    pub fn set_aside(&self) -> Result<PathBuf> {
        let path = &self.ledger.path;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let aside = (0..=u32::MAX)
            .map(|again| match again {
                0 => path.with_added_extension(format!("bad-{seconds}")),
                _ => path.with_added_extension(format!("bad-{seconds}-{again}")),
            })
            .find(|aside| aside.symlink_metadata().is_err())
            .unwrap_or_else(|| path.with_added_extension("bad"));
        replace::rename(path, &aside).map_err(|error| failure(&error, path))?;
        Ok(aside)
    }
}

/// Gives the staged file the ledger's name.
///
/// The two are swapped where the system can do that, and the old file is removed: at every instant one of the two is whole
/// under the name, as with a rename. But a rename over a file makes ext4 write the new one to the disk first
/// (`auto_da_alloc`, ext4(5)), which nobody needs here: 24 µs in the place of 100.
fn put(staged: &Path, path: &Path) -> io::Result<()> {
    // A folder could be swapped, too.
    let is_file = path.symlink_metadata().is_ok_and(|there| there.is_file());
    if !is_file || os::exchange(staged, path).is_err() {
        return replace::rename(staged, path);
    }
    // Where this fails, the next write removes it.
    let _ = std::fs::remove_file(staged);
    Ok(())
}

fn stage(staged: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Left behind by a process that was killed while it wrote; nobody else writes now.
    records::remove_if_there(staged)?;
    let mut file = os::create_new(staged, PRIVATE)?;
    if let Ok(old) = path.metadata()
        && os::Attributes::of(&old).mode != PRIVATE
    {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_replaced_as_a_whole_and_a_bad_one_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&root.path().join("a/pool.json"), false).unwrap();
        let held = ledger.hold(Duration::ZERO).unwrap();
        assert_eq!(held.read().unwrap(), None);
        held.write(b"one").unwrap();
        held.write(b"two").unwrap();
        assert_eq!(held.read().unwrap().as_deref(), Some(&b"two"[..]));
        let first = held.set_aside().unwrap();
        held.write(b"three").unwrap();
        let second = held.set_aside().unwrap();
        assert_ne!(first, second);
        assert!(first.display().to_string().contains("pool.json.bad-"));
        assert_eq!(std::fs::read(first).unwrap(), b"two");
    }

    #[test]
    fn a_lock_that_is_not_given_back_ends_the_wait_at_the_deadline_as_busy() {
        let root = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&root.path().join("pool.json"), false).unwrap();
        let held = ledger.hold(Duration::ZERO).unwrap();
        let before = Instant::now();
        let error = ledger.hold(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind().exit_code(), 4);
        assert!(before.elapsed() < Duration::from_secs(5));
        drop(held);
        // The thread that waited in vain gives the lock back as soon as it has it.
        ledger.hold(Duration::from_secs(10)).unwrap();
    }

    /// On Windows a file that somebody reads cannot be replaced.
    #[cfg(unix)]
    #[test]
    fn whoever_reads_the_old_file_goes_on_reading_it_and_nothing_is_left_beside_the_new_one() {
        let root = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&root.path().join("pool.json"), false).unwrap();
        let held = ledger.hold(Duration::ZERO).unwrap();
        held.write(b"old").unwrap();
        let mut reader = std::fs::File::open(ledger.path()).unwrap();
        for _ in 0..3 {
            held.write(b"new and longer").unwrap();
        }
        let mut heard = String::new();
        io::Read::read_to_string(&mut reader, &mut heard).unwrap();
        assert_eq!(heard, "old");
        let mut names: Vec<_> = root.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["pool.json", "pool.json.lock", "pool.json.row"]);
        std::fs::remove_file(ledger.path()).unwrap();
        std::fs::create_dir(ledger.path()).unwrap();
        held.write(b"no folder is swapped").unwrap_err();
        assert!(ledger.path().is_dir());
    }

    #[test]
    fn a_lock_file_that_was_removed_does_not_let_two_in() {
        let root = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&root.path().join("pool.json"), false).unwrap();
        let old = os::open_lock(ledger.turnstile.path()).unwrap();
        let removed = std::fs::remove_file(ledger.turnstile.path());
        if cfg!(windows) {
            removed.expect_err("a lock file that is open cannot be removed there");
            return;
        }
        removed.unwrap();
        assert!(!os::is_same_file(&old, ledger.turnstile.path()));
        ledger.hold(Duration::ZERO).unwrap();
        assert!(!os::is_same_file(&old, ledger.turnstile.path()));
    }
}
