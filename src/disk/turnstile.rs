//! A lock that is had in turn, with a deadline.
//!
//! Whoever gives a lock back and returns at once has it again before one that sleeps is awake, and so one that sleeps may
//! wait for long. Therefore those that wait stand in a row first (`row.rs`), and whoever returns stands behind them. The
//! lock itself is a plain one, and it alone decides who may change what: the row is a courtesy. A process that does not
//! know it, one that may not open it, and one that finds it standing still go to the lock.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::os;
use super::row::Place;

/// How long the lock may be taken again without standing in the row: a few changes. To wake the next one costs as much as
/// one of them, so a shorter turn shortens the longest wait and makes the usual taking slower.
const TURN: Duration = Duration::from_millis(1);

/// How long one stands in the row before it goes around it: somebody in it may have been stopped.
const ROW_PATIENCE: Duration = Duration::from_secs(1);

/// A lock and the row before it.
#[derive(Debug)]
pub(super) struct Turnstile {
    lock: PathBuf,
    row: PathBuf,
    /// When the lock was last had by standing in the row.
    turn: Mutex<Option<Instant>>,
}

/// The lock, given back when this is dropped, or by the system when the process dies.
#[derive(Debug)]
pub(super) struct Passed {
    lock: File,
    /// Given up after the lock, so that the next one finds it free.
    _place: Option<Place>,
}

impl Drop for Passed {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Turnstile {
    /// Names the lock of a file: two files beside it, made when they are needed.
    pub(super) fn of(path: &Path) -> Self {
        let beside = |extension| path.with_added_extension(extension);
        Self { lock: beside("lock"), row: beside("row"), turn: Mutex::default() }
    }

    /// Returns the file of the lock.
    pub(super) fn path(&self) -> &Path {
        &self.lock
    }

    /// Takes the lock; `None` when others outlast the deadline.
    pub(super) fn pass(&self, deadline: Instant) -> io::Result<Option<Passed>> {
        loop {
            let Some(passed) = self.lock(deadline)? else { return Ok(None) };
            // Somebody may have removed the lock file while we waited: then others lock another one.
            if os::is_same_file(&passed.lock, &self.lock) {
                return Ok(Some(passed));
            }
        }
    }

    fn lock(&self, deadline: Instant) -> io::Result<Option<Passed>> {
        let turn = || self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = os::open_lock(&self.lock)?;
        if turn().is_some_and(|turn| turn.elapsed() < TURN) && is_taken(&lock)? {
            return Ok(Some(Passed { lock, _place: None }));
        }
        let place = Place::at_once(&self.row).ok();
        let passed = if place.as_ref().is_some_and(Place::is_first) && is_taken(&lock)? {
            Some(Passed { lock, _place: place })
        } else {
            self.wait(lock, place, deadline)?
        };
        if passed.is_some() {
            *turn() = Some(Instant::now());
        }
        Ok(passed)
    }

    /// The system's own wait has no deadline, so other threads wait. One that gets the lock too late drops it.
    fn wait(&self, lock: File, place: Option<Place>, deadline: Instant) -> io::Result<Option<Passed>> {
        let (sender, receiver) = mpsc::sync_channel(2);
        let left = || deadline.saturating_duration_since(Instant::now());
        let (row, sender_around) = (self.row.clone(), sender.clone());
        in_thread(sender, move || {
            let place = place.or_else(|| Place::take(&row).ok());
            if let Some(place) = &place {
                let _ = place.wait();
            }
            lock.lock().map(|()| Passed { lock, _place: place })
        })?;
        if let Ok(passed) = receiver.recv_timeout(left().min(ROW_PATIENCE)) {
            return passed.map(Some);
        }
        if left().is_zero() {
            return Ok(None);
        }
        let lock = os::open_lock(&self.lock)?;
        in_thread(sender_around, move || lock.lock().map(|()| Passed { lock, _place: None }))?;
        receiver.recv_timeout(left()).ok().transpose()
    }
}
fn in_thread(
    sender: SyncSender<io::Result<Passed>>,
    wait: impl FnOnce() -> io::Result<Passed> + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name("lock".into()).spawn(move || sender.send(wait())).map(drop)
}

fn is_taken(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_lock_is_given_back_and_had_again() {
        let root = tempfile::tempdir().unwrap();
        let turnstile = Turnstile::of(&root.path().join("pool.json"));
        for _ in 0..3 {
            let passed = turnstile.pass(soon()).unwrap().unwrap();
            assert!(turnstile.pass(Instant::now()).unwrap().is_none());
            drop(passed);
        }
    }

    /// The lock is handed on to the one who has waited longest, and to nobody who comes later.
    #[cfg(target_os = "linux")]
    #[test]
    fn those_that_wait_pass_in_the_order_in_which_they_came() {
        const WAITERS: u64 = 12;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("pool.json");
        let drawn = || std::fs::read(path.with_added_extension("row")).unwrap().try_into().map(u64::from_le_bytes);
        let held = Turnstile::of(&path).pass(soon()).unwrap();
        let before = drawn().unwrap();
        let passed = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for number in 1..=WAITERS {
                let (path, passed) = (&path, &passed);
                scope.spawn(move || {
                    let turnstile = Turnstile::of(path);
                    let lock = turnstile.pass(soon()).unwrap().unwrap();
                    passed.lock().unwrap().push(number);
                    drop(lock);
                });
                let deadline = soon();
                while drawn() != Ok(before + number) {
                    assert!(Instant::now() < deadline, "{number} stands in the row");
                    std::thread::yield_now();
                }
            }
            drop(held);
        });
        assert_eq!(passed.into_inner().unwrap(), (1..=WAITERS).collect::<Vec<_>>());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_row_that_stands_still_is_gone_around_and_so_is_one_that_cannot_be_opened() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("pool.json");
        let turnstile = Turnstile::of(&path);
        let stopped = Place::at_once(&path.with_added_extension("row")).unwrap();
        let before = Instant::now();
        drop(turnstile.pass(soon()).unwrap().unwrap());
        assert!(before.elapsed() >= ROW_PATIENCE);
        drop(stopped);
        std::fs::remove_file(path.with_added_extension("row")).unwrap();
        std::fs::create_dir(path.with_added_extension("row")).unwrap();
        drop(Turnstile::of(&path).pass(soon()).unwrap().unwrap());
    }

    /// Programs of an older Portwright know the lock alone.
    #[test]
    fn a_process_that_does_not_know_the_row_keeps_others_out_and_is_kept_out() {
        let root = tempfile::tempdir().unwrap();
        let turnstile = Turnstile::of(&root.path().join("pool.json"));
        let other = os::open_lock(turnstile.path()).unwrap();
        other.lock().unwrap();
        assert!(turnstile.pass(Instant::now() + Duration::from_millis(20)).unwrap().is_none());
        other.unlock().unwrap();
        let passed = turnstile.pass(soon()).unwrap().unwrap();
        assert!(!is_taken(&other).unwrap());
        drop(passed);
        assert!(is_taken(&other).unwrap());
    }
}
