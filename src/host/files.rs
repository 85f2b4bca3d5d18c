//! Reading the files that a configuration names: regular files only, bounded, and secrets only where nobody else can.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::open_to_others;
use crate::error::{Error, ErrorKind, Result};
use crate::words::Message;
use crate::words::tunnel::TunnelWords;

/// The largest configuration, environment, key or certificate file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a text file of at most 1 MiB; `words` says what could not be read.
///
/// # Errors
/// `Missing` when it cannot be read, is no regular file, or is larger.
pub fn read_text(path: &Path, words: impl Into<Message>) -> Result<String> {
    read(path, false).map_err(|error| unreadable(path, words, &error)).map(|(text, _)| text)
}

/// Reads a text file of at most 1 MiB that holds a secret; one that others can read or write is refused with `open` and `close`.
///
/// # Errors
/// `Missing` when it cannot be read, is no regular file, or is larger; `Refused` when others can read or write it.
pub fn read_secret(
    path: &Path,
    words: impl Into<Message>,
    open: impl FnOnce(PathBuf) -> Message,
    close: impl FnOnce(PathBuf) -> Message,
) -> Result<String> {
    match read(path, true).map_err(|error| unreadable(path, words, &error))? {
        (text, true) => Ok(text),
        (_, false) => Err(Error::new(ErrorKind::Refused, open(path.to_path_buf())).hint(close(path.to_path_buf()))),
    }
}

fn unreadable(path: &Path, words: impl Into<Message>, error: &io::Error) -> Error {
    let place = TunnelWords::BecauseOf { path: path.to_path_buf(), reason: error.to_string() };
    Error::new(ErrorKind::Missing, words).context(place)
}

/// Tells whether systemd made the file for this service: it lies in a folder that nobody else can enter, and its mode
/// shows an access list as rights of a group.
fn is_credential(path: &Path) -> bool {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|folder| folder.is_absolute());
    folder.is_some_and(|folder| path.parent() == Some(folder.as_path()))
}

/// Reads the file and tells whether it is for its owner alone; one that is not stays unread where it is a secret.
fn read(path: &Path, secret: bool) -> io::Result<(String, bool)> {
    // A pipe or a device would keep the start waiting.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let file = File::open(path)?;
    let private = !open_to_others(&file.metadata()?) || is_credential(path);
    let mut text = String::new();
    if private || !secret {
        // One byte more than is allowed: a file that is too large must not be read in part.
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    }
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok((text, private))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_refused_and_not_read_in_part() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("config.yaml");
        let full = usize::try_from(FILE_BYTES_MAX).expect("a size");
        std::fs::write(&path, "#".repeat(full)).expect("written");
        assert_eq!(read(&path, false).expect("read").0.len(), full);
        std::fs::write(&path, "#".repeat(full + 1)).expect("written");
        assert_eq!(read(&path, false).expect_err("refused").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(root.path(), false).expect_err("a folder").kind(), io::ErrorKind::InvalidInput);
    }
}
