//! A small record that all runs of this user share, changed by one at a time.

use std::fs::TryLockError;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dirs::{Dirs, create_private_folder};
use super::failure::failure;
use super::{os, records};
use crate::error::{Error, ErrorKind, Result};
use crate::words::disk::DiskWords;

/// How long a change waits for others: each holds the lock for one small write.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a waiter tries again: a change takes a millisecond or two.
const POLL: Duration = Duration::from_millis(2);

/// Returns the shared record `name`, empty where there is none or it cannot be read: nothing durable may be kept in it.
#[must_use]
pub fn shared<T: DeserializeOwned + Default>(dirs: &Dirs, name: &str) -> T {
    records::load(&dirs.state, name).ok().flatten().unwrap_or_default()
}

/// Changes the shared record `name` while no other process does, and returns what `change` returns.
///
/// # Errors
/// `Busy` when the others do not end in time; as every write.
pub fn change_shared<T, R>(dirs: &Dirs, name: &str, change: impl FnOnce(&mut T) -> R) -> Result<R>
where
    T: Serialize + DeserializeOwned + Default,
{
    create_private_folder(&dirs.state)?;
    let path = dirs.state.join(format!("{name}.lock"));
    let file = os::open_lock(&path).map_err(|error| failure(&error, &path))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failure(&error, &path)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(busy(&path)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
        }
    }
    let mut value = shared(dirs, name);
    let result = change(&mut value);
    records::save(&dirs.state, name, &value)?;
    Ok(result)
}

fn busy(path: &Path) -> Error {
    let words = DiskWords::LockHeldUnknown { directory: path.to_path_buf() };
    Error::new(ErrorKind::Busy, words).hint(DiskWords::LockHeldHint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_many_threads_all_count() {
        let root = tempfile::tempdir().unwrap();
        let [state, data, config] = ["state", "data", "config"].map(|name| root.path().join(name));
        let dirs = Dirs { state, data, config };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        change_shared(&dirs, "counted", |count: &mut u32| *count += 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(shared::<u32>(&dirs, "counted"), 40);
        std::fs::write(dirs.state.join("counted.json"), "garbage").unwrap();
        assert_eq!(shared::<u32>(&dirs, "counted"), 0);
    }
}
