//! Which process holds which socket: one reading of the open files of all processes.
//!
//! This is the dear part of a scan (about 2 µs for each open file), so it stops as soon as every socket is found, and
//! looks at the lowest files of every process first: servers open their listeners early, connections pile up later.

use std::collections::HashMap;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, open, openat, readlinkat_raw, seek};
use rustix::io::Errno;

/// The kernel serialises much of this, so more threads only take them from others.
const MOST_THREADS: usize = 4;
/// Room for the names of about 80 files: the first look at a process.
const FIRST_LOOK: usize = 2 << 10;
/// Room for about 1,300 files a call, for processes with many.
const SECOND_LOOK: usize = 32 << 10;
/// `socket:[4294967295]` has 19 bytes; a longer target is no socket.
const LONGEST_LINK: usize = 32;
/// No process has this id, which stands for "not found yet".
const NOBODY: u32 = u32::MAX;

/// What the reading gave.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The process with the lowest id that holds the socket, by the number of the socket.
    pub(super) by_inode: HashMap<u32, u32>,
    /// Whether there are processes that this user may not look into.
    pub(super) denied: bool,
}

/// Finds the processes that hold the sockets with these numbers. Processes that end meanwhile are passed over.
pub(super) fn holders(inodes: impl Iterator<Item = u32>) -> Holders {
    let slots: HashMap<u32, AtomicU32> = inodes.map(|inode| (inode, AtomicU32::new(NOBODY))).collect();
    if slots.is_empty() {
        return Holders::default();
    }
    let search = Search { missing: AtomicUsize::new(slots.len()), slots, denied: AtomicBool::new(false) };
    if let Ok(proc) = open(c"/proc", FOLDER, Mode::empty()) {
        let processes = processes(&proc);
        let rest = search.look(&proc, &processes, Some(FIRST_LOOK));
        search.look(&proc, &rest, None);
    }
    let found =
        |(inode, pid): (u32, AtomicU32)| Some(pid.into_inner()).filter(|pid| *pid != NOBODY).map(|pid| (inode, pid));
    Holders { by_inode: search.slots.into_iter().filter_map(found).collect(), denied: search.denied.into_inner() }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A process, and where in the list of its files to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Task {
    pid: u32,
    cookie: u64,
}

struct Search {
    slots: HashMap<u32, AtomicU32>,
    missing: AtomicUsize,
    denied: AtomicBool,
}

impl Search {
    /// Looks at the processes in order, and returns those with more files than fit `room` (all when there is none).
    fn look(&self, proc: &OwnedFd, tasks: &[Task], room: Option<usize>) -> Vec<Task> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = vec![MaybeUninit::uninit(); room.unwrap_or(SECOND_LOOK)];
            let mut rest = Vec::new();
            while !self.is_over() {
                let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                rest.extend(self.look_into(proc, *task, &mut buffer, room.is_some()));
            }
            rest
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS).min(tasks.len());
        let mut rest: Vec<Task> = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut rest = work();
            rest.extend(others.into_iter().filter_map(|other| other.join().ok()).flatten());
            rest
        });
        rest.sort_unstable();
        rest
    }

    fn is_over(&self) -> bool {
        self.missing.load(Ordering::Relaxed) == 0
    }

    /// Looks at the files of one process from `task.cookie` on: `once` only as many as fit the buffer.
    fn look_into(&self, proc: &OwnedFd, task: Task, buffer: &mut [MaybeUninit<u8>], once: bool) -> Option<Task> {
        let files = match openat(proc, format!("{}/fd", task.pid), FOLDER, Mode::empty()) {
            Ok(files) => files,
            Err(error) => {
                self.note_refusal(error);
                return None;
            }
        };
        if task.cookie > 0 {
            seek(&files, SeekFrom::Start(task.cookie)).ok()?;
        }
        let mut list = RawDir::new(&files, buffer);
        while let Some(Ok(entry)) = list.next() {
            let cookie = entry.next_entry_cookie();
            let name = entry.file_name();
            if name.to_bytes().first().is_some_and(u8::is_ascii_digit) {
                match socket_at(&files, name) {
                    Ok(Some(inode)) => self.note(inode, task.pid),
                    Ok(None) | Err(Errno::NOENT) => {}
                    // One file that may not be read means that none may be: the right is to the process.
                    Err(error) => {
                        self.note_refusal(error);
                        return None;
                    }
                }
                if !once && self.is_over() {
                    return None;
                }
            }
            if once && list.is_buffer_empty() {
                return Some(Task { cookie, ..task });
            }
        }
        None
    }

    fn note(&self, inode: u32, pid: u32) {
        if let Some(slot) = self.slots.get(&inode)
            && slot.fetch_min(pid, Ordering::Relaxed) == NOBODY
        {
            self.missing.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn note_refusal(&self, error: Errno) {
        if matches!(error, Errno::ACCESS | Errno::PERM) {
            self.denied.store(true, Ordering::Relaxed);
        }
    }
}

/// Lists all processes, lowest id first.
fn processes(proc: &OwnedFd) -> Vec<Task> {
    let mut found = Vec::new();
    let mut buffer = vec![MaybeUninit::uninit(); SECOND_LOOK];
    let mut list = RawDir::new(proc, &mut buffer);
    while let Some(Ok(entry)) = list.next() {
        found.extend(number(entry.file_name().to_bytes()).map(|pid| Task { pid, cookie: 0 }));
    }
    found.sort_unstable();
    found
}

/// Returns the number of the socket behind an open file, `None` for a file of another kind.
fn socket_at(files: &OwnedFd, name: &CStr) -> Result<Option<u32>, Errno> {
    let mut target = [0; LONGEST_LINK];
    let length = readlinkat_raw(files, name, &mut target[..])?;
    Ok(target.get(..length).and_then(socket_number))
}

fn socket_number(target: &[u8]) -> Option<u32> {
    number(target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

fn number(digits: &[u8]) -> Option<u32> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn inode_of(socket: &impl std::os::fd::AsRawFd) -> u32 {
        let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
        u32::try_from(std::fs::metadata(path).expect("an open file").ino()).expect("32 bits")
    }

    #[test]
    fn only_sockets_have_numbers() {
        assert_eq!(socket_number(b"socket:[637]"), Some(637));
        for other in [&b"/dev/null"[..], b"pipe:[637]", b"socket:[", b"socket:[x]", b"socket:[4294967296]", b""] {
            assert_eq!(socket_number(other), None);
        }
    }

    #[test]
    fn sockets_of_this_process_are_found_however_many_files_it_has_open() {
        let sockets: Vec<TcpListener> =
            (0..300).map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a port")).collect();
        let inodes: Vec<u32> = sockets.iter().map(inode_of).collect();
        let holders = holders(inodes.iter().copied());
        for inode in inodes {
            assert_eq!(holders.by_inode.get(&inode), Some(&std::process::id()));
        }
    }

    #[test]
    fn a_socket_that_nobody_holds_is_not_found() {
        assert!(holders(std::iter::once(u32::MAX - 1)).by_inode.is_empty());
    }
}
