//! A lock that is had in turn, with a deadline.
//!
//! Whoever gives a lock back and returns at once has it again before one that sleeps is awake, and so one that sleeps may
//! wait for long. Therefore those that wait stand in a row first (`row.rs`), and whoever returns stands behind them. The
//! first of it is awake and looks for the lock without pause: to wake it only when the lock is free would take as long as
//! a change takes. Who has the lock steps out, which calls the next one while the lock is still held.
//!
//! The lock itself is a plain one, and it alone decides who may change what: the row is a courtesy. A process that does
//! not know it, one that may not open it, and one that finds it standing still go to the lock.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::os;
use super::row::Place;

/// How long the first of the row looks for the lock before it sleeps: many changes. Who holds it for longer was stopped.
const LOOK: Duration = Duration::from_millis(2);

/// How long one stands in the row before it goes around it: somebody in it may have been stopped.
const ROW_PATIENCE: Duration = Duration::from_secs(1);

/// A lock and the row before it.
#[derive(Debug)]
pub(super) struct Turnstile {
    lock: PathBuf,
    row: PathBuf,
}

/// The lock, given back when this is dropped, or by the system when the process dies.
#[derive(Debug)]
pub(super) struct Passed(File);

impl Drop for Passed {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Turnstile {
    /// Names the lock of a file: two files beside it, made when they are needed.
    pub(super) fn of(path: &Path) -> Self {
        let beside = |extension| path.with_added_extension(extension);
        Self { lock: beside("lock"), row: beside("row") }
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
            if os::is_same_file(&passed.0, &self.lock) {
                return Ok(Some(passed));
            }
        }
    }

    fn lock(&self, deadline: Instant) -> io::Result<Option<Passed>> {
        let lock = os::open_lock(&self.lock)?;
        let place = self.called(deadline);
        // Without a place nobody looks without pause: it would be one of many.
        let until = if place.is_some() { deadline.min(Instant::now() + LOOK) } else { Instant::now() };
        while !is_taken(&lock)? {
            if Instant::now() >= until {
                return wait(lock, place, deadline);
            }
            thread::yield_now();
        }
        Ok(Some(Passed(lock)))
    }

    /// Stands in the row until nobody is before; `None` where that does not come to pass. One that is called too late steps
    /// out of the row.
    fn called(&self, deadline: Instant) -> Option<Place> {
        let deadline = deadline.min(Instant::now() + ROW_PATIENCE);
        let place = Place::take(&self.row, deadline).ok()??;
        place.wait(deadline).then_some(place)
    }
}

/// Takes the lock when the system gives it; the place is kept until then. The system's own wait has no deadline, so another
/// thread waits; what it gets too late it gives back.
fn wait(lock: File, place: Option<Place>, deadline: Instant) -> io::Result<Option<Passed>> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(None);
    }
    let take = move || {
        let _until_taken = place;
        lock.lock().map(|()| Passed(lock))
    };
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new().name("lock".into()).spawn(move || sender.send(take()))?;
    receiver.recv_timeout(left).ok().transpose()
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
        let passed = std::sync::Mutex::new(Vec::new());
        thread::scope(|scope| {
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
                    thread::yield_now();
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
        let stopped = Place::take(&path.with_added_extension("row"), soon()).unwrap();
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
        drop(other);
        let passed = turnstile.pass(soon()).unwrap().unwrap();
        let other = os::open_lock(turnstile.path()).unwrap();
        assert!(!is_taken(&other).unwrap());
        drop(passed);
        // The thread of the one that gave up may have the lock first, and gives it back.
        let deadline = soon();
        while !is_taken(&other).unwrap() {
            assert!(Instant::now() < deadline, "the lock is given back");
            thread::yield_now();
        }
    }
}
