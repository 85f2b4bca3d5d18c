//! Replacing one file: staging the new contents, and putting them in the place of the old.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::os::{self, Attributes};

/// The mode of a file that only its owner may read.
const PRIVATE: u32 = 0o600;
/// The mode of a new file that is no secret, before the umask narrows it.
const ORDINARY: u32 = 0o644;

/// Writes a private file and makes its bytes durable.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = os::create_new(path, PRIVATE)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes the new contents of an existing file beside it: created private, then given the owner and mode of the old one.
pub(super) fn stage_successor(path: &Path, bytes: &[u8], of: &Attributes) -> io::Result<()> {
    let mut file = os::create_new(path, PRIVATE)?;
    let done = file.write_all(bytes).and_then(|()| os::give(&file, of)).and_then(|()| file.sync_all());
    done.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// Writes the contents of a new file beside the place that it will have.
pub(super) fn stage_newcomer(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let mut file = os::create_new(path, if private { PRIVATE } else { ORDINARY })?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a file another name, in the place of whatever had it, at once as far as the system goes.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    os::patiently(|| std::fs::rename(from, to))
}

/// Puts a staged file in a place that must be free. The hard link fails where a rename would overwrite a file that
/// somebody has just made; where there are no hard links, the caller's own look is all that guards it.
pub(super) fn move_to_free_place(staged: &Path, target: &Path) -> io::Result<()> {
    match std::fs::hard_link(staged, target) {
        Ok(()) => std::fs::remove_file(staged),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => rename(staged, target),
    }
}

/// Overwrites an existing file where it lies, keeping everything but its bytes. When the system fails midway (a full
/// disk), the old bytes, which had their room already, are put back.
pub(super) fn overwrite(path: &Path, before: &[u8], after: &[u8]) -> io::Result<()> {
    let mut file = os::open_to_overwrite(path)?;
    overwrite_bytes(&mut file, after).inspect_err(|_| {
        let _ = overwrite_bytes(&mut file, before);
    })
}

fn overwrite_bytes(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)?;
    file.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    file.sync_all()
}

/// Tells whether `current` is what an overwrite of `before` by `after` leaves when it is cut short: the beginning of the
/// one followed by the rest of the other.
pub(super) fn is_cut_short(current: &[u8], before: &[u8], after: &[u8]) -> bool {
    let written = current.iter().zip(after).take_while(|(a, b)| a == b).count();
    current.get(written..) == Some(before.get(written..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_overwrite_changes_bytes_and_length_only() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        std::fs::write(&path, "long old contents").unwrap();
        overwrite(&path, b"long old contents", b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_free_place_that_was_taken_meanwhile_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let (staged, target) = (root.path().join("s"), root.path().join("t"));
        std::fs::write(&staged, "ours").unwrap();
        std::fs::write(&target, "theirs").unwrap();
        assert_eq!(move_to_free_place(&staged, &target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&target).unwrap(), b"theirs");
    }

    proptest! {
        #[test]
        fn every_cut_of_an_overwrite_is_recognised(
            before in prop::collection::vec(0_u8..3, 0..12),
            after in prop::collection::vec(0_u8..3, 0..12),
            cut in 0_usize..13,
        ) {
            let cut = cut.min(after.len());
            let rest = before.get(cut..).unwrap_or_default();
            let current: Vec<u8> = after[..cut].iter().chain(rest).copied().collect();
            prop_assert!(is_cut_short(&current, &before, &after));
        }
    }

    #[test]
    fn an_edit_by_hand_is_not_taken_for_a_cut() {
        assert!(!is_cut_short(b"A=3\n", b"A=1\n", b"A=2\n"));
        assert!(!is_cut_short(b"A=2\nB=1\n", b"A=1\n", b"A=2\n"));
    }
}
