//! Ripple: the other places that name a moved port or its variable, and their change where a person wants it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::project::{LoadedProject, contents};
use crate::model::{FileEdit, Lever, Mapping, Move, PublishedPort, Use};
use crate::plan;
use crate::text::edit::Edited;

/// The most files beside those of the project that are looked through; more than a project's folder holds of them.
const PROSE_FILES_MAX: usize = 32;

/// The column of a variable's name lies at most this far behind the start of its reference: `${` and a quote.
const REFERENCE_LEAD: usize = 3;

/// Finds the other places that name what moves: in the project's files, and in the texts beside them.
pub(super) fn uses_of(loaded: &LoadedProject, moves: &[Move]) -> Vec<Use> {
    if moves.is_empty() {
        return Vec::new();
    }
    let beside = texts_beside(loaded);
    let texts = loaded.snapshot.iter().filter_map(|(path, text)| Some((path.clone(), text.as_deref()?)));
    let texts: Vec<_> = texts.chain(beside.iter().map(|(path, text)| (path.clone(), text.as_slice()))).collect();
    let skip = spans_of_ports(loaded);
    let mut found = Vec::new();
    for decided in moves {
        let mappings: Vec<_> = decided.mappings.iter().filter_map(|id| loaded.project.mappings.get(id.0)).collect();
        let variable = mappings.first().and_then(|mapping| match &mapping.lever {
            Lever::Variable { name, .. } => Some(name.as_str()),
            Lever::Literal { .. } | Lever::Shell { .. } | Lever::Locked(_) => None,
        });
        let places = plan::uses(variable, decided.from, &texts, &skip);
        found.extend(places.into_iter().filter(|place| !loaded.project.mappings.iter().any(|one| is_own(one, place))));
    }
    found.sort_by(|left, right| {
        (&left.at.file, left.at.line, left.at.column).cmp(&(&right.at.file, right.at.line, right.at.column))
    });
    found.dedup();
    found
}

/// Tells whether the place is the published port itself, written by its variable.
fn is_own(mapping: &Mapping, place: &Use) -> bool {
    let (source, at) = (&mapping.source, &place.at);
    mapping.variable.as_ref() == Some(&place.name)
        && source.file == at.file
        && source.line == at.line
        && (source.column..=source.column + REFERENCE_LEAD).contains(&at.column)
}

fn spans_of_ports(loaded: &LoadedProject) -> Vec<(PathBuf, Range<usize>)> {
    let fixed = |mapping: &&Mapping| matches!(mapping.published, PublishedPort::Fixed(_));
    let mappings = loaded.project.mappings.iter().filter(fixed);
    let spans = mappings.filter_map(|mapping| match &mapping.lever {
        Lever::Literal { file, span } => Some((file.clone(), span.clone())),
        Lever::Variable { .. } | Lever::Shell { .. } | Lever::Locked(_) => None,
    });
    spans.collect()
}

/// Reads the texts of the project's folder that people read or that are handed on to services. One that cannot be read
/// names nothing.
fn texts_beside(loaded: &LoadedProject) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = &loaded.project.directory;
    let listed = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<_> = listed.map(|entry| entry.path()).filter(|path| is_text(path)).collect();
    paths.retain(|path| !loaded.snapshot.contains_key(path));
    paths.sort();
    let texts = paths.into_iter().take(PROSE_FILES_MAX);
    texts.filter_map(|path| Some((path.clone(), contents(directory, &path).ok()??))).collect()
}

fn is_text(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let ends = |ending: &str| Path::new(&name).extension().is_some_and(|extension| extension == ending);
    name.starts_with("readme") || ends("md") || ends("env")
}

/// Changes the port where the places name it, on top of `edited`. Places that name the variable follow by themselves; a
/// health check runs inside the container, where the port stays.
pub(super) fn follow(loaded: &LoadedProject, moves: &[Move], uses: &[Use], edited: &mut Edited) {
    for decided in moves {
        let (from, to) = (decided.from.to_string(), decided.to.to_string());
        for place in uses.iter().filter(|place| place.name == from && !is_inside(place)) {
            let file = &place.at.file;
            let known = edited.files.iter().position(|edit| edit.file == *file);
            let current = match known.and_then(|index| edited.files.get(index)) {
                Some(edit) => Some(edit.after.clone()),
                None => loaded.snapshot.get(file).cloned().flatten().or_else(|| read(loaded, file)),
            };
            let Some(before) = current else { continue };
            let Some(after) = with_port(&before, place, &from, &to) else { continue };
            match known.and_then(|index| edited.files.get_mut(index)) {
                Some(edit) => edit.after = after,
                None => edited.files.push(FileEdit { file: file.clone(), before: Some(before), after }),
            }
        }
    }
}

/// Tells whether the place is the command of a health check.
fn is_inside(place: &Use) -> bool {
    place.place == "test" && place.at.file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

fn read(loaded: &LoadedProject, file: &Path) -> Option<Vec<u8>> {
    contents(&loaded.project.directory, file).ok().flatten()
}

/// Returns the text with the port changed from the place on to the end of its line; `None` when the port is not there.
fn with_port(text: &[u8], place: &Use, from: &str, to: &str) -> Option<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let line = lines.get_mut(place.at.line.checked_sub(1)?)?;
    let starts = line.iter().enumerate().filter(|(_, byte)| **byte & 0xC0 != 0x80).map(|(at, _)| at);
    let bom = usize::from(place.at.line == 1 && text.starts_with(b"\xef\xbb\xbf"));
    let candidates = starts.skip(place.at.column.checked_sub(1)?).take(1 + bom);
    let first =
        candidates.into_iter().find(|at| line.get(*at..).is_some_and(|rest| rest.starts_with(from.as_bytes())))?;
    let mut changed = line.get(..first)?.to_vec();
    let mut rest = line.get(first..)?;
    while let Some(byte) = rest.first() {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        let alone = rest.starts_with(from.as_bytes()) && !digit(rest.get(from.len()));
        let follows = changed.len() == first || changed.last() == Some(&b':');
        if alone && follows {
            changed.extend_from_slice(to.as_bytes());
            rest = rest.get(from.len()..)?;
        } else {
            changed.push(*byte);
            rest = rest.get(1..)?;
        }
    }
    *line = changed;
    Some(lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceSpot;

    #[test]
    fn the_port_changes_from_the_place_on_and_no_longer_number_does() {
        let at = SourceSpot { file: "/p/.env".into(), line: 2, column: 23 };
        let place = Use { at, name: "8000".into(), place: "CORS".into() };
        let text = b"PORT=8000\nCORS=http://localhost:8000,http://h:8000,http://h:80001\n";
        let after = with_port(text, &place, "8000", "8002");
        let expected = b"PORT=8000
CORS=http://localhost:8002,http://h:8002,http://h:80001
";
        assert_eq!(after.as_deref(), Some(&expected[..]));
    }
}
