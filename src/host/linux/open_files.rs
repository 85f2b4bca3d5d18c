//! Which process holds which socket: one reading of the open files of all processes.
//!
//! This is the dear part of a scan (3 to 4 µs for each open file), so it stops as soon as every socket is found, and
//! looks at the lowest files of every process first: servers open their listeners early, connections pile up later.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::Write;
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, open, openat, readlinkat_raw, seek};
use rustix::io::Errno;

/// The kernel serialises much of this, so more threads only take them from others.
const MOST_THREADS: usize = 4;
/// Room for the names of about 80 files: the first look at a process, which is all that most have.
const FIRST_LOOK: usize = 2 << 10;
/// Room for about 340 files: a piece of the rest, small enough for threads to share one process evenly.
const NEXT_LOOK: usize = 8 << 10;
/// `socket:[4294967295]` has 19 bytes; a longer target is no socket.
const LONGEST_LINK: usize = 32;
/// What an entry of a list takes at most: 19 bytes, the name and a zero, rounded up to eight.
const ENTRY: usize = 32;
/// `4294967295/fd` has 13 bytes.
const LONGEST_PATH: usize = 16;
/// No process has this id, which stands for "not found yet".
const NOBODY: u32 = u32::MAX;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Finds the processes that hold the sockets with these numbers: by number, the process with the lowest id. Processes
/// that end meanwhile, and those that this user may not look into, are passed over.
pub(super) fn holders(inodes: impl Iterator<Item = u32>) -> HashMap<u32, u32> {
    let slots: HashMap<u32, AtomicU32> = inodes.map(|inode| (inode, AtomicU32::new(NOBODY))).collect();
    let Some(proc) = open(c"/proc", FOLDER, Mode::empty()).ok().filter(|_| !slots.is_empty()) else {
        return HashMap::new();
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    let search = Search {
        missing: AtomicUsize::new(slots.len()),
        slots,
        processes: processes(&proc),
        started: AtomicUsize::new(0),
        rests: Mutex::new(Rests { tasks: VecDeque::new(), busy: threads }),
        changed: Condvar::new(),
        proc,
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where no more threads are allowed, those that there are do the work.
            if thread::Builder::new().spawn_scoped(scope, || search.work()).is_err() {
                search.rests().busy -= 1;
            }
        }
        search.work();
    });
    let found = |(inode, pid): (u32, AtomicU32)| {
        let pid = pid.into_inner();
        (pid != NOBODY).then_some((inode, pid))
    };
    search.slots.into_iter().filter_map(found).collect()
}

/// A process, and where in the list of its files to go on (0 at the start).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Task {
    pid: u32,
    cookie: u64,
}

/// What is left of large processes once all have been looked at.
struct Rests {
    tasks: VecDeque<Task>,
    /// How many threads are at work, and may yet add a rest.
    busy: usize,
}

struct Search {
    proc: OwnedFd,
    slots: HashMap<u32, AtomicU32>,
    missing: AtomicUsize,
    processes: Vec<Task>,
    /// How many of the processes were begun with.
    started: AtomicUsize,
    rests: Mutex<Rests>,
    changed: Condvar,
}

impl Search {
    fn work(&self) {
        let mut buffer = [MaybeUninit::uninit(); NEXT_LOOK];
        let mut names = Vec::new();
        while let Some(task) = self.next() {
            names.clear();
            let room = if task.cookie == 0 { FIRST_LOOK } else { NEXT_LOOK };
            let listed = self.list(task, buffer.get_mut(..room).unwrap_or_default(), &mut names);
            if let Ok(files) = listed {
                self.look(&files, &names, task.pid);
            }
        }
    }

    /// Takes the next task, or `None` when all sockets are found or nothing is left to look at.
    fn next(&self) -> Option<Task> {
        let over = || self.missing.load(Ordering::Relaxed) == 0;
        let begun = || self.processes.get(self.started.fetch_add(1, Ordering::Relaxed)).copied();
        if !over()
            && let Some(task) = begun()
        {
            return Some(task);
        }
        let mut rests = self.rests();
        rests.busy -= 1;
        while !over() {
            if let Some(task) = rests.tasks.pop_front() {
                rests.busy += 1;
                return Some(task);
            }
            if rests.busy == 0 {
                break;
            }
            rests = self.changed.wait(rests).unwrap_or_else(PoisonError::into_inner);
        }
        // The others wait for what this thread might have added.
        self.changed.notify_all();
        None
    }

    fn put_back(&self, rest: Task) {
        self.rests().tasks.push_back(rest);
        self.changed.notify_one();
    }

    fn rests(&self) -> MutexGuard<'_, Rests> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists as many files of a process as fit the buffer, and leaves the others to whoever comes next.
    fn list(&self, task: Task, buffer: &mut [MaybeUninit<u8>], names: &mut Vec<u32>) -> Result<OwnedFd, Errno> {
        let path = Path::of(format_args!("{}/fd", task.pid));
        let files = openat(&self.proc, path.as_bytes(), FOLDER, Mode::empty())?;
        if task.cookie > 0 {
            seek(&files, SeekFrom::Start(task.cookie))?;
        }
        let enough = buffer.len() / ENTRY / 2;
        let mut list = RawDir::new(&files, buffer);
        while let Some(entry) = list.next() {
            let entry = entry?;
            let cookie = entry.next_entry_cookie();
            names.extend(number(entry.file_name().to_bytes()));
            // A nearly empty buffer says that this is the end, or that a signal cut the call short: asking again tells.
            if list.is_buffer_empty() && names.len() >= enough {
                self.put_back(Task { cookie, ..task });
                break;
            }
        }
        Ok(files)
    }

    /// Looks at the files with these numbers. One that is closed by now is passed over; one that may not be read means
    /// that none may be, because the right is to the process.
    fn look(&self, files: &OwnedFd, names: &[u32], pid: u32) {
        let mut target = [0; LONGEST_LINK];
        for name in names {
            match readlinkat_raw(files, Path::of(format_args!("{name}")).as_bytes(), &mut target[..]) {
                Ok(length) => self.note(target.get(..length).and_then(socket_number), pid),
                Err(Errno::NOENT) => {}
                Err(_) => return,
            }
        }
    }

    fn note(&self, inode: Option<u32>, pid: u32) {
        if let Some(slot) = inode.and_then(|inode| self.slots.get(&inode))
            && slot.fetch_min(pid, Ordering::Relaxed) == NOBODY
        {
            self.missing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A short path that costs no allocation: one is needed for every open file of the machine.
struct Path {
    bytes: [u8; LONGEST_PATH],
    length: usize,
}

impl Path {
    fn of(text: fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; LONGEST_PATH];
        let mut room = bytes.as_mut_slice();
        // What does not fit is left out, and then there is no such file; numbers always fit.
        drop(room.write_fmt(text));
        let length = LONGEST_PATH - room.len();
        Self { bytes, length }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Lists all processes, lowest id first.
fn processes(proc: &OwnedFd) -> Vec<Task> {
    let mut found = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); NEXT_LOOK];
    let mut list = RawDir::new(proc, &mut buffer);
    while let Some(Ok(entry)) = list.next() {
        found.extend(number(entry.file_name().to_bytes()).map(|pid| Task { pid, cookie: 0 }));
    }
    found.sort_unstable();
    found
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
            assert_eq!(holders.get(&inode), Some(&std::process::id()));
        }
    }

    #[test]
    fn a_socket_that_nobody_holds_is_not_found() {
        assert!(holders(std::iter::once(u32::MAX - 1)).is_empty());
    }
}
