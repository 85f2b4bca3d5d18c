//! Records in the state folder: JSON with a format number, bounded, replaced atomically, for their owner's eyes only.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::failure::{failure, refused};
use super::os;
use super::read::read_regular;
use super::replace::rename;
use crate::error::{Error, ErrorKind, Result};
use crate::words::disk::DiskWords;

/// The format of every record of this version. A field added to a record raises it, because an older Portwright would
/// drop the field when it writes the record again.
const FORMAT: u32 = 1;

/// The largest record, in bytes: a journal of [`super::apply::FILES_MAX`] files with long paths stays below half of it.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Ends the name of a record that is being written; recovery sweeps what a crash left.
pub(super) const UNFINISHED: &str = "new";

/// What stands between the header of a record and its body, and after the body. The digest in the header is that of the
/// body's text.
const BODY: &str = ",\n\"body\": ";
const END: &str = "\n}\n";

#[derive(Deserialize)]
struct Header {
    format: u32,
    #[serde(default)]
    portwright: String,
    digest: Option<Digest>,
}

/// Returns the path of a record.
pub(super) fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// Reads a record; `None` when there is none. Refused when it cannot be understood, `Missing` when a newer version wrote
/// it.
pub(super) fn load<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>> {
    let path = path_of(folder, name);
    let Some((bytes, _)) = read_regular(&path, RECORD_BYTES_MAX)? else { return Ok(None) };
    let header: Header = serde_json::from_slice(&bytes).map_err(|error| unreadable(&path, &position(&error)))?;
    if header.format > FORMAT {
        let version = header.portwright;
        return Err(Error::new(ErrorKind::Missing, DiskWords::NewerFormat { path, version: version.clone() })
            .hint(DiskWords::NewerFormatHint { version }));
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let body = text.split_once(BODY).and_then(|(_, rest)| rest.strip_suffix(END)).unwrap_or_default();
    if header.digest != Some(Digest::of(body.as_bytes())) {
        return Err(unreadable(&path, "digest"));
    }
    serde_json::from_str(body).map(Some).map_err(|error| unreadable(&path, &position(&error)))
}

/// Tells where the text stops making sense; the position only, never what stands there.
fn position(error: &serde_json::Error) -> String {
    format!("{:?}, {}:{}", error.classify(), error.line(), error.column())
}

fn unreadable(path: &Path, reason: &str) -> Error {
    let (path, reason) = (path.to_path_buf(), reason.to_owned());
    refused(DiskWords::RecordUnreadable { path: path.clone(), reason }).hint(DiskWords::RecordChoices { path })
}

/// Writes a record: the old one or the new one is there at any instant, and the new one is durable on return.
pub(super) fn save<T: Serialize>(folder: &Path, name: &str, body: &T) -> Result<()> {
    let path = path_of(folder, name);
    let body =
        serde_json::to_string_pretty(body).map_err(|_| refused(DiskWords::PathUnwritable { path: path.clone() }))?;
    let (digest, version) = (Digest::of(body.as_bytes()).to_hex(), env!("CARGO_PKG_VERSION"));
    let header = format!("{{\n\"format\": {FORMAT},\n\"portwright\": \"{version}\",\n\"digest\": \"{digest}\"");
    let bytes = [&header, BODY, &body, END].concat().into_bytes();
    if u64::try_from(bytes.len()).is_ok_and(|length| length > RECORD_BYTES_MAX) {
        return Err(refused(DiskWords::TooLarge { path, limit: RECORD_BYTES_MAX }));
    }
    let unfinished = path.with_extension(UNFINISHED);
    let written = replace(&unfinished, &path, &bytes).and_then(|()| os::sync_folder(folder));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&unfinished);
        failure(&error, &path)
    })
}

fn replace(unfinished: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    remove_if_there(unfinished)?;
    let mut file = os::create_new(unfinished, 0o600)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(unfinished, path)
}

/// Removes a file; one that is not there is as good as removed.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Keeps paths in JSON as text where they are text, else as the hexadecimal of their bytes.
pub(super) mod stored_path {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use crate::disk::digest::{hex, unhex};
    use crate::disk::os;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        Bytes { hex: String },
    }

    pub(in crate::disk) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match (path.to_str(), os::path_bytes(path)) {
            (Some(text), _) => Stored::Text(text.to_owned()),
            (None, Some(bytes)) => Stored::Bytes { hex: hex(bytes) },
            (None, None) => return Err(ser::Error::custom("path is not text")),
        };
        stored.serialize(serializer)
    }

    pub(in crate::disk) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let path = match Stored::deserialize(deserializer)? {
            Stored::Text(text) => Some(PathBuf::from(text)),
            Stored::Bytes { hex } => unhex(&hex).and_then(os::path_from_bytes),
        };
        path.ok_or_else(|| de::Error::custom("not a path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        save(root.path(), "choices", &vec![1, 2]).unwrap();
        save(root.path(), "choices", &vec![3]).unwrap();
        assert_eq!(load::<Vec<u8>>(root.path(), "choices").unwrap(), Some(vec![3]));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(load::<Vec<u8>>(root.path(), "other").unwrap(), None);
    }

    #[test]
    fn a_record_cut_at_any_byte_is_refused_with_its_path_and_two_choices() {
        let root = tempfile::tempdir().unwrap();
        save(root.path(), "choices", &"secret-canary").unwrap();
        let path = path_of(root.path(), "choices");
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = load::<String>(root.path(), "choices").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().contains("choices.json") && !error.to_string().contains("canary"), "{error}");
            assert!(error.way_out().is_some_and(|hint| hint.to_string().starts_with("either ")));
        }
    }

    #[test]
    fn a_record_with_an_altered_byte_in_its_digest_or_body_is_refused() {
        let root = tempfile::tempdir().unwrap();
        save(root.path(), "choices", &"value").unwrap();
        let path = path_of(root.path(), "choices");
        let whole = std::fs::read(&path).unwrap();
        let digest = String::from_utf8_lossy(&whole).find("\"digest\"").unwrap();
        for index in digest..whole.len() {
            let mut altered = whole.clone();
            altered[index] ^= 0x04;
            std::fs::write(&path, &altered).unwrap();
            let error = load::<String>(root.path(), "choices").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{index}");
        }
    }

    #[test]
    fn a_record_of_a_newer_version_names_that_version_and_exits_5() {
        let root = tempfile::tempdir().unwrap();
        let text = r#"{"format": 2, "portwright": "1.4", "body": {"unheard": "of"}}"#;
        std::fs::write(path_of(root.path(), "last"), text).unwrap();
        let error = load::<String>(root.path(), "last").unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert!(error.to_string().contains("made by a newer Portwright (1.4)"), "{error}");
    }
}
