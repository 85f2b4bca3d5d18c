//! What a file edit changes, line by line, with secrets hidden.

use std::path::Path;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices};

use super::escape;
use super::mask::Mask;
use super::output::{Look, Paint};
use crate::model::FileEdit;
use crate::words::cli::CliWords;
use crate::words::{Lang, Say};

/// Unchanged lines shown on each side of a change, as diffs have them everywhere.
const CONTEXT_LINES: usize = 3;

/// One line that an edit changes; secrets in it are hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedLine {
    /// Its number, from 1: in the new file, or in the old one when the line goes away.
    pub line: usize,
    /// The line today; `None` when it is added.
    pub before: Option<String>,
    /// The line to be; `None` when it goes away.
    pub after: Option<String>,
}

/// Both sides of an edit as lines that may be shown, and how the real lines differ.
struct Sides {
    old_shown: Vec<String>,
    new_shown: Vec<String>,
    ops: Vec<DiffOp>,
}

impl Sides {
    fn of(edit: &FileEdit, mask: Mask<'_>) -> Self {
        let old = lines(edit.before.as_deref().unwrap_or_default());
        let new = lines(&edit.after);
        let shown = |lines: &[String]| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let masked = mask.lines(&edit.file, &lines);
            masked.iter().map(|line| escape::line(line).into_owned()).collect()
        };
        let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
        Self { old_shown: shown(&old), new_shown: shown(&new), ops }
    }

    /// Returns how many changed lines look the same on both sides, because what differs is hidden.
    fn hidden(&self) -> usize {
        let replaced = self.ops.iter().filter(|op| op.tag() == DiffTag::Replace);
        let pairs = replaced.flat_map(|op| op.old_range().zip(op.new_range()));
        pairs.filter(|&(old, new)| self.old_shown.get(old) == self.new_shown.get(new)).count()
    }
}

/// Splits into lines without their ends; a byte order mark and bytes that are no UTF-8 are not shown as such.
fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect()
}

/// Returns the lines that an edit changes. `shown` names the variables whose values may be seen.
#[must_use]
pub fn changed_lines(edit: &FileEdit, shown: &[String], sign: &str) -> Vec<ChangedLine> {
    let sides = Sides::of(edit, Mask { shown, sign });
    let mut changes = Vec::new();
    for op in sides.ops.iter().filter(|op| op.tag() != DiffTag::Equal) {
        let (old, new) = (op.old_range(), op.new_range());
        for step in 0..old.len().max(new.len()) {
            let before = old.clone().nth(step).and_then(|at| sides.old_shown.get(at)).cloned();
            let after = new.clone().nth(step).and_then(|at| sides.new_shown.get(at)).cloned();
            let start = if after.is_some() { new.start } else { old.start };
            changes.push(ChangedLine { line: start + step + 1, before, after });
        }
    }
    changes
}

/// Returns the unified diff of an edit, the file named relative to `directory`. `shown` names the variables whose
/// values may be seen; every other value of a `.env` file and every secret of a compose file is hidden.
#[must_use]
pub fn unified(edit: &FileEdit, directory: &Path, shown: &[String], lang: Lang, look: Look) -> String {
    let sides = Sides::of(edit, Mask { shown, sign: look.mask() });
    let name = escape::line(&relative(&edit.file, directory)).into_owned();
    let mut text = match edit.before {
        Some(_) => vec![look.paint(&format!("--- {name}\n+++ {name}"), Paint::Bold)],
        None => vec![look.paint(&format!("+++ {}", CliWords::NewFile { file: name }.say(lang)), Paint::Bold)],
    };
    for group in similar::group_diff_ops(sides.ops.clone(), CONTEXT_LINES) {
        text.extend(hunk(&group, &sides, look));
    }
    text.extend(remarks(edit, &sides).into_iter().map(|words| look.paint(&words.say(lang), Paint::Dim)));
    text.join("\n") + "\n"
}

fn hunk(group: &[DiffOp], sides: &Sides, look: Look) -> Vec<String> {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return Vec::new() };
    let old = first.old_range().start..last.old_range().end;
    let new = first.new_range().start..last.new_range().end;
    let place = |range: &std::ops::Range<usize>| {
        let first_line = if range.is_empty() { range.start } else { range.start + 1 };
        format!("{first_line},{}", range.len())
    };
    let mut text = vec![look.paint(&format!("@@ -{} +{} @@", place(&old), place(&new)), Paint::Cyan)];
    for op in group {
        let removed = sides.old_shown.get(op.old_range()).unwrap_or_default();
        let added = sides.new_shown.get(op.new_range()).unwrap_or_default();
        if op.tag() == DiffTag::Equal {
            text.extend(added.iter().map(|line| format!(" {line}")));
        } else {
            text.extend(removed.iter().map(|line| look.paint(&format!("-{line}"), Paint::Red)));
            text.extend(added.iter().map(|line| look.paint(&format!("+{line}"), Paint::Green)));
        }
    }
    text
}

/// What a reader cannot see in the lines.
fn remarks(edit: &FileEdit, sides: &Sides) -> Vec<CliWords> {
    let windows = edit.before.as_deref().unwrap_or(&edit.after).windows(2).any(|pair| pair == b"\r\n");
    let not_text = std::str::from_utf8(&edit.after).is_err();
    let hidden = sides.hidden();
    let mut words = Vec::new();
    words.extend(windows.then_some(CliWords::WindowsLineEnds));
    words.extend(not_text.then_some(CliWords::NotText));
    words.extend((hidden > 0).then_some(CliWords::HiddenChange { lines: hidden }));
    words
}

/// Returns a path as people and programs read it: relative to `directory` where it lies in it, with `/` everywhere.
#[must_use]
pub fn relative(file: &Path, directory: &Path) -> String {
    let path = file.strip_prefix(directory).unwrap_or(file);
    let text = path.to_string_lossy();
    if std::path::MAIN_SEPARATOR == '/' { text.into_owned() } else { text.replace(std::path::MAIN_SEPARATOR, "/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { color: false, unicode: true, width: None };

    fn edit(file: &str, before: Option<&str>, after: &str) -> FileEdit {
        let before = before.map(|text| text.as_bytes().to_vec());
        FileEdit { file: file.into(), before, after: after.as_bytes().to_vec() }
    }

    fn shown(edit: &FileEdit, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        unified(edit, Path::new("/srv/app"), &names, Lang::En, PLAIN)
    }

    #[test]
    fn a_moved_variable_is_shown_among_hidden_neighbours() {
        let before = "A=s3cret\nB=s3cret\n\n# web\nPORT=8000\nKEY=s3cret\n";
        let edit = edit("/srv/app/.env", Some(before), &before.replace("8000", "8001"));
        assert_eq!(
            shown(&edit, &["PORT"]),
            "--- .env\n+++ .env\n@@ -2,5 +2,5 @@\n B=•••\n \n # web\n-PORT=8000\n+PORT=8001\n KEY=•••\n"
        );
    }

    #[test]
    fn a_line_appended_to_a_file_without_a_last_line_end_is_one_added_line() {
        let edit = edit("/srv/app/.env", Some("A=1"), "A=1\nPORT=8001\n");
        assert_eq!(shown(&edit, &["PORT"]), "--- .env\n+++ .env\n@@ -1,1 +1,2 @@\n A=•••\n+PORT=8001\n");
        let changes = changed_lines(&edit, &["PORT".to_owned()], "***");
        assert_eq!(changes, [ChangedLine { line: 2, before: None, after: Some("PORT=8001".into()) }]);
    }

    #[test]
    fn windows_line_ends_are_named_and_not_drawn() {
        let before = "services:\r\n  web:\r\n    ports: [\"8000:80\"]\r\n";
        let edit = edit("/srv/app/compose.yaml", Some(before), &before.replace("8000", "8001"));
        let text = shown(&edit, &[]);
        assert!(text.contains("-    ports: [\"8000:80\"]\n+    ports: [\"8001:80\"]\n"), "{text}");
        assert!(text.ends_with("this file has Windows line ends; they stay\n") && !text.contains('\r'), "{text}");
    }

    #[test]
    fn a_new_file_is_shown_whole_and_says_so() {
        let edit = edit("/srv/app/compose.override.yaml", None, "services:\n  web: {}\n");
        assert_eq!(
            shown(&edit, &[]),
            "+++ compose.override.yaml (new file)\n@@ -0,0 +1,2 @@\n+services:\n+  web: {}\n"
        );
    }

    #[test]
    fn a_change_that_is_hidden_is_counted() {
        let edit = edit("/elsewhere/.env", Some("KEY=a\n"), "KEY=b\n");
        let text = shown(&edit, &[]);
        assert!(text.starts_with("--- /elsewhere/.env\n") && text.contains("1 changed lines look alike"), "{text}");
    }

    #[test]
    fn control_characters_and_broken_bytes_do_not_reach_the_terminal() {
        let file = "/srv/app/compose.yaml".into();
        let edit = FileEdit { file, before: Some(b"a: \x1b[2J\xff\n".to_vec()), after: b"b: \x1b[2J\xff\n".to_vec() };
        let text = shown(&edit, &[]);
        assert!(!text.contains('\x1b') && text.contains("not UTF-8"), "{text}");
    }
}
