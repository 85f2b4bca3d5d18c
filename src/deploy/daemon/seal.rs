//! The line in a unit that says who wrote it, and tells whether a person changed it since.

use std::path::{Path, PathBuf};

use super::Role;
use crate::disk::Digest;
use crate::host::Manager;

/// What our line begins with, behind the sign of a comment.
const MARK: &str = "portwright service ";

/// What a unit of ours says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal {
    /// What it runs.
    pub(super) role: Role,
    /// Whether the unit is as it was written.
    pub(super) intact: bool,
    /// The names of the files that were written with it, with their digests.
    pub(super) files: Vec<(String, Digest)>,
}

/// Adds our line: as the first one, or as the last in XML, which wants its own declaration first.
pub(super) fn seal(manager: Manager, role: Role, files: &[(PathBuf, Digest)], text: &str) -> String {
    let files: String = files
        .iter()
        .filter_map(|(path, digest)| Some(format!(", {} sha256:{}", path.file_name()?.to_str()?, digest.to_hex())))
        .collect();
    let line = format!("{MARK}{}: written sha256:{}{files}", role.name(), Digest::of(text.as_bytes()).to_hex());
    match manager {
        Manager::Launchd => format!("{text}<!-- {line} -->\n"),
        Manager::Systemd | Manager::Windows => format!("# {line}\n{text}"),
    }
}

/// Reads our line; `None` for a unit that is not ours.
pub(super) fn read(unit: &[u8]) -> Option<Seal> {
    let text = std::str::from_utf8(unit).ok()?;
    let (at, line) = text.lines().enumerate().find_map(|(at, line)| {
        let line = line.strip_prefix("# ").or_else(|| line.strip_prefix("<!-- ")?.strip_suffix(" -->"))?;
        Some((at, line.strip_prefix(MARK)?))
    })?;
    let (role, words) = line.split_once(": written sha256:")?;
    let mut words = words.split(", ");
    let digest = Digest::from_hex(words.next()?)?;
    let files = words.map(|word| {
        let (name, digest) = word.split_once(" sha256:")?;
        // A name is a name: whoever edits the line cannot make us remove a file elsewhere.
        let plain = Path::new(name).file_name().is_some_and(|only| only == name);
        Some((name.to_owned(), Digest::from_hex(digest)?)).filter(|_| plain)
    });
    let rest: String = text.split_inclusive('\n').enumerate().filter(|(n, _)| *n != at).map(|(_, line)| line).collect();
    Some(Seal {
        role: Role::from_name(role)?,
        intact: Digest::of(rest.as_bytes()) == digest,
        files: files.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_unit_is_known_and_one_that_was_edited_is_known_as_that() {
        let files = [(PathBuf::from("/etc/portwright/x.token"), Digest::of(b"token"))];
        for (manager, text) in [
            (Manager::Systemd, "[Unit]\nDescription=x\n"),
            (Manager::Launchd, "<?xml version=\"1.0\"?>\n<plist/>\n"),
            (Manager::Windows, "\"C:\\portwright.exe\" \"tunnel\"\r\n"),
        ] {
            let sealed = seal(manager, Role::Client, &files, text);
            let read_back = read(sealed.as_bytes()).expect("ours");
            assert!(read_back.intact && read_back.role == Role::Client, "{sealed}");
            assert_eq!(read_back.files, [("x.token".to_owned(), Digest::of(b"token"))]);
            let edited = sealed.replace('x', "y") + "\n";
            assert!(!read(edited.as_bytes()).expect("still ours").intact);
        }
    }

    #[test]
    fn a_unit_of_others_is_not_ours_and_no_line_leads_to_a_file_elsewhere() {
        for foreign in
            ["", "[Unit]\nDescription=portwright service server: written by hand\n", "# portwright service x"]
        {
            assert_eq!(read(foreign.as_bytes()), None, "{foreign}");
        }
        let sealed = seal(Manager::Systemd, Role::Server, &[], "[Unit]\n");
        let led_away = sealed.replacen('\n', &format!(", ../../x sha256:{}\n", Digest::of(b"").to_hex()), 1);
        assert_eq!(read(led_away.as_bytes()), None);
        assert_eq!(read(&[0xff, 0xfe]), None);
    }
}
