//! Turns decided moves into new file contents, and proves them before anybody writes.
//!
//! Every edit is proved three ways: the events of the YAML parser differ in the edited scalars alone, a second parser
//! of another descent agrees, and the project as compose renders it differs in the moved ports and in nothing else.

mod naming;
mod overriding;
mod proof;
mod respell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use granit_parser::ScalarStyle;
pub use naming::{fixed_names, rename_containers, renders_alike};
pub use respell::{respell_compose, spliced};

use super::dotenv;
use super::project::{Analysis, Handle, Look, Request, Snapshot, analyse, is_sexagesimal};
use super::yaml::{File, Kind, NodeId};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FileEdit, Lever, Mapping, Move, PortRange, Project};
use crate::words::Message;
use crate::words::text::TextWords;

/// Where an edit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditStyle {
    /// Where each port is decided.
    InPlace,
    /// Into a compose override file: the project's own files stay as they are.
    Override,
}

/// Moves to turn into edits.
#[derive(Clone, Copy)]
pub struct EditRequest<'a> {
    /// What the project was loaded with.
    pub request: &'a Request,
    /// The files it was loaded from.
    pub snapshot: &'a Snapshot,
    /// The project as it was loaded.
    pub project: &'a Project,
    /// The moves. Mappings that share a variable move together, in one move.
    pub moves: &'a [Move],
    /// Where the edits go.
    pub style: EditStyle,
}

/// Proved edits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edited {
    /// The files with their new contents.
    pub files: Vec<FileEdit>,
    /// What the person has to know or to do besides.
    pub notes: Vec<Message>,
}

/// Works out the new contents of every file that the moves change.
///
/// Refused are moves whose port cannot be edited (the error says where and why, and the way out), and moves whose edit
/// would change anything besides. A snapshot that no longer matches the project is `Busy`.
pub fn edit(request: &EditRequest<'_>) -> Result<Edited> {
    if request.moves.is_empty() {
        return Ok(Edited::default());
    }
    let before = match analyse(request.request, request.snapshot)? {
        Look::Seen(before) if before.project == *request.project => before,
        _ => return Err(Error::new(ErrorKind::Busy, TextWords::StalePicture).hint(TextWords::HintPlanAgain)),
    };
    let goals = goals(&before, request.moves)?;
    let beyond = |goal: &Goal<'_>| !is_in_place(&before, goal, &goals);
    let style = match request.style {
        EditStyle::InPlace if before.picture.ground.discovered && goals.iter().any(beyond) => EditStyle::Override,
        style => style,
    };
    match style {
        EditStyle::InPlace => {
            let files = in_place(&before, request.snapshot, &goals)?;
            let after = with_edits(request.snapshot, &files);
            proof::project(&before, &goals, request.request, (request.snapshot, &after))?;
            Ok(Edited { files, notes: Vec::new() })
        }
        EditStyle::Override => overriding::edit(&before, request, &goals),
    }
}

/// Tells whether a goal can be reached where its port is decided: by bytes of a file, or by a variable of which every
/// other user moves too. Of several ports that one variable decides, the first goal has the variable.
pub(crate) fn is_in_place(before: &Analysis, goal: &Goal<'_>, goals: &[Goal<'_>]) -> bool {
    let name = match goal.handle {
        // The shell decides it: no file of any kind is written unasked.
        Handle::None => return matches!(goal.mapping.lever, Lever::Shell { .. }),
        Handle::Splice { .. } => return true,
        Handle::Variable { name, .. } => name,
    };
    let shares = |handle: &Handle| matches!(handle, Handle::Variable { name: other, .. } if other == name);
    let users = before.spots.iter().filter(|spot| shares(&spot.handle)).count();
    let mut moving = goals.iter().filter(|other| shares(other.handle));
    let first = moving.next().map(|first| first.ports);
    moving.count() + 1 == users && first == Some(goal.ports)
}

/// A published port that has to become another.
#[derive(Clone)]
pub(crate) struct Goal<'a> {
    pub(crate) mapping: &'a Mapping,
    pub(crate) service: &'a str,
    /// The position in the service's `ports`.
    pub(crate) index: usize,
    pub(crate) handle: &'a Handle,
    pub(crate) ports: PortRange,
}

fn goals<'a>(before: &'a Analysis, moves: &[Move]) -> Result<Vec<Goal<'a>>> {
    let mut goals = Vec::new();
    for decided in moves {
        for id in &decided.mappings {
            let found = before.project.mappings.get(id.0).zip(before.spots.get(id.0));
            let Some((mapping, spot)) = found else {
                return Err(Error::new(ErrorKind::Internal, TextWords::MoveUnknown));
            };
            let range = mapping.published.range().filter(|range| range.first() == decided.from);
            let Some(range) = range else { return Err(Error::new(ErrorKind::Internal, TextWords::MoveUnknown)) };
            let last = decided.to.checked_add(range.count() - 1);
            let Some(ports) = last.and_then(|last| PortRange::new(decided.to, last)) else {
                let words = TextWords::MoveTooHigh { service: mapping.service.clone() };
                return Err(Error::new(ErrorKind::Refused, words));
            };
            let (service, index, handle) = (spot.service.as_str(), spot.index, &spot.handle);
            goals.push(Goal { mapping, service, index, handle, ports });
        }
    }
    Ok(goals)
}

/// The replacements of one file: by node, the bytes and what stands there instead.
type Splices = BTreeMap<NodeId, (Range<usize>, String)>;

/// Edits every goal where its port is decided.
fn in_place(before: &Analysis, snapshot: &Snapshot, goals: &[Goal<'_>]) -> Result<Vec<FileEdit>> {
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    let mut splices: BTreeMap<PathBuf, Splices> = BTreeMap::new();
    for goal in goals {
        match goal.handle {
            Handle::None => return Err(refusal(goal.mapping)),
            Handle::Variable { name, text, at } => {
                let value = Handle::value(text, at, goal.ports);
                if variables.insert(name, value.clone()).is_some_and(|other| other != value) {
                    return Err(disagreement(name));
                }
            }
            Handle::Splice { path, node, span } => {
                let change = (span.clone(), goal.ports.to_string());
                let file = splices.entry(path.clone()).or_default();
                if file.insert(*node, change.clone()).is_some_and(|other| other != change) {
                    return Err(disagreement(&goal.mapping.service));
                }
            }
        }
    }
    let mut edits = Vec::new();
    if !variables.is_empty() {
        edits.extend(env_edit(&before.project.env_file, snapshot, &variables)?);
    }
    for (path, splices) in splices {
        edits.extend(compose_edit(before, path, snapshot, &splices)?);
    }
    Ok(edits)
}

fn disagreement(name: &str) -> Error {
    Error::new(ErrorKind::Refused, TextWords::MoveDisagrees { name: name.to_owned() })
}

/// Says why a mapping cannot be edited in place, and the way out.
fn refusal(mapping: &Mapping) -> Error {
    let service = mapping.service.clone();
    match &mapping.lever {
        Lever::Locked(refusal) => {
            let at = refusal.at.clone();
            let why = Box::new(refusal.why.clone());
            let words = TextWords::MoveLocked { service, file: at.file, line: at.line, column: at.column, why };
            Error::new(ErrorKind::Refused, words).hint(refusal.way_out.clone())
        }
        Lever::Shell { name } => {
            let hint = TextWords::HintUnset { name: name.clone() };
            Error::new(ErrorKind::Refused, TextWords::MoveShell { service, name: name.clone() }).hint(hint)
        }
        Lever::Variable { .. } | Lever::Literal { .. } => Error::new(ErrorKind::Internal, TextWords::MoveUnknown),
    }
}

fn env_edit(path: &PathBuf, snapshot: &Snapshot, values: &BTreeMap<&str, String>) -> Result<Option<FileEdit>> {
    let before = snapshot.get(path).cloned().flatten();
    let mut after = before.clone();
    for (name, value) in values {
        let edited = match &after {
            Some(bytes) => dotenv::Document::parse(bytes).and_then(|document| document.set(name, value)),
            None => dotenv::create(name, value),
        };
        after = Some(edited.map_err(|error| error.context(TextWords::InFile { file: path.clone() }))?);
    }
    Ok(file_edit(path.clone(), before, after.unwrap_or_default()))
}

fn file_edit(file: PathBuf, before: Option<Vec<u8>>, after: Vec<u8>) -> Option<FileEdit> {
    (before.as_ref() != Some(&after)).then_some(FileEdit { file, before, after })
}

fn compose_edit(before: &Analysis, path: PathBuf, snapshot: &Snapshot, splices: &Splices) -> Result<Option<FileEdit>> {
    let source = before.picture.rendered.sources.iter().find(|source| source.path == path);
    let (Some(source), Some(Some(bytes))) = (source, snapshot.get(&path)) else {
        return Err(Error::new(ErrorKind::Internal, TextWords::LostSource));
    };
    let mut text = source.file.text().to_owned();
    let mut expected = BTreeMap::new();
    let mut ordered: Vec<_> = splices.iter().collect();
    ordered.sort_by_key(|(_, (span, _))| std::cmp::Reverse(span.start));
    for (node, (span, port)) in ordered {
        let (span, replacement, value) = replacement(&source.file, *node, span, port)
            .ok_or_else(|| Error::new(ErrorKind::Internal, TextWords::LostSource))?;
        text.replace_range(span, &replacement);
        expected.insert(*node, value);
    }
    proof::file(&path, &source.file, &text, &expected)?;
    let mut after = bytes.get(..source.file.bom()).unwrap_or_default().to_vec();
    after.extend_from_slice(text.as_bytes());
    Ok(file_edit(path, Some(bytes.clone()), after))
}

/// Returns what to replace by what, and the value of the scalar afterwards. A bare scalar that would read as a number
/// in base 60 gets double quotes.
fn replacement(file: &File, node: NodeId, span: &Range<usize>, port: &str) -> Option<(Range<usize>, String, String)> {
    let Kind::Scalar(_, style) = &file.node(node).kind else { return None };
    let inner = file.verbatim(node)?;
    let (front, back) = (file.slice(inner.start..span.start), file.slice(span.end..inner.end));
    let value = format!("{front}{port}{back}");
    if *style == ScalarStyle::Plain && is_sexagesimal(&value) {
        return Some((inner, format!("\"{value}\""), value));
    }
    Some((span.clone(), port.to_owned(), value))
}

/// Returns the snapshot as it will be.
pub(crate) fn with_edits(snapshot: &Snapshot, files: &[FileEdit]) -> Snapshot {
    let mut after = snapshot.clone();
    after.extend(files.iter().map(|edit| (edit.file.clone(), Some(edit.after.clone()))));
    after
}
