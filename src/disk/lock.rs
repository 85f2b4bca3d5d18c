//! The lock of a project: one run at a time changes its files. Advisory; given back by the system when a holder dies.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::failure::failure;
use super::state::ProjectState;
use super::{os, records};
use crate::error::{Error, ErrorKind, Result};
use crate::words::disk::DiskWords;

/// How often a waiter tries again: soon enough that a person does not notice, seldom enough to cost nothing.
const LOCK_POLL: Duration = Duration::from_millis(25);

/// The record of the holder. A file beside the lock, because Windows lets nobody read a locked file.
const HOLDER: &str = "holder";

/// Who holds the lock of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// When it took the lock, in seconds since 1970.
    pub since_s: u64,
    /// The verb that it runs: `quick-start`, `undo`, …
    pub verb: String,
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct ProjectLock {
    file: File,
    folder: PathBuf,
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        let _ = records::remove_if_there(&records::path_of(&self.folder, HOLDER));
        let _ = self.file.unlock();
    }
}

/// Takes the lock of a project, waiting up to `patience`; `on_wait` is told each holder that is waited for, once.
pub(super) fn take(
    state: &ProjectState,
    verb: &str,
    patience: Duration,
    on_wait: &mut dyn FnMut(&Holder),
) -> Result<ProjectLock> {
    let folder = state.folder();
    let path = folder.join("lock");
    let file = os::open_lock(&path).map_err(|error| failure(&error, &path))?;
    let deadline = Instant::now() + patience;
    let mut waited_for = None;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failure(&error, &path)),
            Err(TryLockError::WouldBlock) => {}
        }
        let holder = records::load::<Holder>(folder, HOLDER).ok().flatten();
        if Instant::now() >= deadline {
            return Err(busy(state.directory(), holder.or(waited_for)));
        }
        if let Some(holder) = holder.filter(|holder| waited_for.as_ref() != Some(holder)) {
            on_wait(&holder);
            waited_for = Some(holder);
        }
        std::thread::sleep(LOCK_POLL);
    }
    let lock = ProjectLock { file, folder: folder.to_path_buf() };
    let since_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    records::save(folder, HOLDER, &Holder { pid: std::process::id(), since_s, verb: verb.to_owned() })?;
    Ok(lock)
}

fn busy(directory: &Path, holder: Option<Holder>) -> Error {
    let directory = directory.to_path_buf();
    let words = match holder {
        Some(Holder { pid, verb, .. }) => DiskWords::LockHeld { directory, verb, pid },
        None => DiskWords::LockHeldUnknown { directory },
    };
    Error::new(ErrorKind::Busy, words).hint(DiskWords::LockHeldHint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Dirs;

    fn state(root: &Path) -> ProjectState {
        let [state, data, config] = ["state", "data", "config"].map(|name| root.join(name));
        ProjectState::open(&Dirs { state, data, config }, root).unwrap()
    }

    #[test]
    fn the_second_taker_hears_who_holds_the_lock_and_then_gives_up_as_busy() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        let held = take(&state, "quick-start", Duration::ZERO, &mut |_| ()).unwrap();
        let mut heard = Vec::new();
        let patience = LOCK_POLL * 3;
        let error = take(&state, "undo", patience, &mut |holder| heard.push(holder.clone())).unwrap_err();
        assert_eq!(error.kind().exit_code(), 4);
        assert!(
            error.to_string().contains(&format!("`portwright quick-start` (pid {})", std::process::id())),
            "{error}"
        );
        assert_eq!(heard.len(), 1);
        drop(held);
        take(&state, "undo", Duration::ZERO, &mut |_| ()).unwrap();
    }

    #[test]
    fn eight_contenders_are_never_inside_together() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _lock = take(&state, "up", Duration::from_secs(30), &mut |_| ()).unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                });
            }
        });
    }
}
