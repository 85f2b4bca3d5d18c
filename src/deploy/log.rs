//! The log of a native service: a file of bounded size, and the one before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The size at which a new log is begun; with the one before it, a service keeps at most twice this on disk.
const LOG_BYTES_MAX: u64 = 5 << 20;

/// How much of the end of a log is read for its last lines.
const TAIL_BYTES_MAX: u64 = 256 << 10;

/// A log file.
#[derive(Debug, Clone)]
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    /// Names the log of the state folder of a project.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join("native.log") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for appending.
    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.path)
    }

    /// Adds a line, beginning a new log when this one is full.
    pub(super) fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut file = self.open()?;
        if file.metadata()?.len() >= LOG_BYTES_MAX {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            file = self.open()?;
        }
        file.write_all(&[line, b"\n"].concat())
    }

    /// Reads the last `lines` lines.
    pub(super) fn tail(&self, lines: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let mut starts = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let start = match lines {
            0 => bytes.len(),
            _ => starts.nth(lines - 1).unwrap_or(0),
        };
        Ok(bytes.split_off(start))
    }

    /// Reads what was added since `offset`, and returns it with the new offset; a log that was begun anew is read from
    /// its start.
    pub(super) fn since(&self, offset: u64) -> io::Result<(Vec<u8>, u64)> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let from = if length < offset { 0 } else { offset };
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        let read = u64::try_from(bytes.len()).unwrap_or(0);
        Ok((bytes, from + read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_read_and_a_full_log_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::in_folder(folder.path());
        for line in ["one", "two", "three"] {
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(log.tail(2).unwrap(), b"two\nthree\n");
        assert_eq!(log.tail(9).unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(log.tail(0).unwrap(), b"");
        let (all, offset) = log.since(0).unwrap();
        assert_eq!((all.len(), offset), (14, 14));
        let full = usize::try_from(LOG_BYTES_MAX).unwrap();
        log.append(&vec![b'x'; full]).unwrap();
        log.append(b"anew").unwrap();
        assert_eq!(log.since(offset).unwrap().0, b"anew\n");
        assert!(folder.path().join("native.log.1").exists());
    }
}
