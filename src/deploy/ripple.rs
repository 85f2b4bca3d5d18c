//! Works out what `--ripple` changes besides the published ports: other places that name a moved port and are reached on
//! this host.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::project::{LoadedProject, contents};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FileEdit, Lever, Mapping, Port, Project, PublishedPort, Use};
use crate::plan;
use crate::text::project::{Loaded, Snapshot, load};
use crate::words::text::TextWords;

/// The most files beside those of the project that are looked through; more than a project's folder holds of them.
const TEXTS_MAX: usize = 32;

/// The column of a variable's name lies at most this far behind the start of its reference: `${` and a quote.
const REFERENCE_LEAD: usize = 3;

/// A port that became another.
struct Moved<'a> {
    mapping: &'a Mapping,
    from: Port,
    to: Port,
}

/// Finds the other places that name a moved port or its variable, in the project's files as they will be after the
/// moves and in the texts beside them.
pub(super) fn uses(loaded: &LoadedProject, snapshot: &Snapshot, after: &Project) -> Vec<Use> {
    let beside = texts_beside(loaded);
    find(loaded, &texts(snapshot, &beside), after).into_iter().map(|(found, _)| found).collect()
}

/// Works out the edits of the places that may be changed, against the files as they will be after the moves.
///
/// # Errors
/// `Refused` when an edit would change more than these places.
pub(super) fn edits(loaded: &LoadedProject, snapshot: &Snapshot, after: &Project) -> Result<Vec<FileEdit>> {
    // A copy has no texts of its own.
    let beside = if loaded.instance.is_some() { Snapshot::new() } else { texts_beside(loaded) };
    let texts = texts(snapshot, &beside);
    let mut spots: BTreeMap<PathBuf, BTreeMap<usize, (Range<usize>, Port)>> = BTreeMap::new();
    for (found, to) in find(loaded, &texts, after) {
        let in_file = spots.entry(found.at.file).or_default();
        for span in found.spans {
            in_file.entry(span.start).or_insert((span, to));
        }
    }
    let mut edits = Vec::new();
    for (file, bytes) in &texts {
        let Some(spots) = spots.get(file).filter(|spots| !spots.is_empty()) else { continue };
        let spots: Vec<_> = spots.values().cloned().collect();
        let changed = plan::respelled(file, bytes, &spots)?;
        if changed != *bytes {
            edits.push(FileEdit { file: file.clone(), before: Some(bytes.to_vec()), after: changed });
        }
    }
    prove(loaded, snapshot, &edits, after)?;
    Ok(edits)
}

/// Proves that the ports and services stay what the moves made of them.
fn prove(loaded: &LoadedProject, snapshot: &Snapshot, edits: &[FileEdit], after: &Project) -> Result<()> {
    let mut rippled = snapshot.clone();
    rippled.extend(edits.iter().map(|edit| (edit.file.clone(), Some(edit.after.clone()))));
    let same = match load(&loaded.request, &rippled)? {
        Loaded::Ready(project) => {
            let ports = |project: &Project| -> Vec<_> {
                let of = |mapping: &Mapping| (mapping.service.clone(), mapping.published, mapping.container);
                project.mappings.iter().map(of).collect()
            };
            ports(&project) == ports(after) && project.services == after.services && project.name == after.name
        }
        Loaded::Absent | Loaded::Needs(_) => false,
    };
    if same {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Refused, TextWords::ProofElsewhere { place: "ports".to_owned() }))
}

fn texts<'a>(snapshot: &'a Snapshot, beside: &'a Snapshot) -> Vec<(PathBuf, &'a [u8])> {
    let all = snapshot.iter().chain(beside);
    all.filter_map(|(path, contents)| Some((path.clone(), contents.as_deref()?))).collect()
}

/// Reads the texts of the project's folder that people read or that are handed on to services. One that cannot be read
/// names nothing.
fn texts_beside(loaded: &LoadedProject) -> Snapshot {
    let directory = &loaded.project.directory;
    let is_text = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let ends = |ending: &str| Path::new(&name).extension().is_some_and(|extension| extension == ending);
        (name.starts_with("readme") || ends("md") || ends("env"))
            && path.is_file()
            && !loaded.snapshot.contains_key(path)
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = entries.filter(is_text).collect();
    paths.sort();
    let read = paths.into_iter().take(TEXTS_MAX);
    read.filter_map(|path| Some((path.clone(), contents(directory, &path).ok()?))).collect()
}

/// Returns the places with the port that each would get.
fn find(loaded: &LoadedProject, texts: &[(PathBuf, &[u8])], after: &Project) -> Vec<(Use, Port)> {
    let before = loaded.instance.as_ref().map_or(&loaded.project, |instance| &instance.base.project);
    let skip = literals(after);
    let mut found: Vec<(Use, Port)> = Vec::new();
    for moved in moved(before, after) {
        let variable = match &moved.mapping.lever {
            Lever::Variable { name, .. } => Some(name.as_str()),
            Lever::Literal { .. } | Lever::Shell { .. } | Lever::Locked(_) => None,
        };
        let uses = plan::uses(variable, moved.from, texts, &skip);
        found.extend(uses.into_iter().filter(|found| !decides(after, found)).map(|found| (found, moved.to)));
    }
    let place = |found: &Use| (found.at.file.clone(), found.at.line, found.at.column);
    found.sort_by_key(|(found, _)| place(found));
    found.dedup_by(|(one, _), (two, _)| one == two);
    found
}

fn moved<'a>(before: &'a Project, after: &'a Project) -> Vec<Moved<'a>> {
    let first = |mapping: &Mapping| match mapping.published {
        PublishedPort::Fixed(range) => Some(range.first()),
        PublishedPort::AnyOf(_) | PublishedPort::Random => None,
    };
    let pairs = before.mappings.iter().zip(&after.mappings);
    let moved = pairs.filter_map(|(mapping, after)| Some(Moved { mapping, from: first(mapping)?, to: first(after)? }));
    moved.filter(|moved| moved.from != moved.to).collect()
}

fn literals(project: &Project) -> Vec<(PathBuf, Range<usize>)> {
    let levers = project.mappings.iter().map(|mapping| &mapping.lever);
    let literals = levers.filter_map(|lever| match lever {
        Lever::Literal { file, span } => Some((file.clone(), span.clone())),
        Lever::Variable { .. } | Lever::Shell { .. } | Lever::Locked(_) => None,
    });
    literals.collect()
}

/// Tells whether a place is one that decides a port, and so no other place that names it.
fn decides(project: &Project, found: &Use) -> bool {
    project.mappings.iter().any(|mapping| {
        let (source, at) = (&mapping.source, &found.at);
        mapping.variable.as_ref() == Some(&found.name)
            && (&source.file, source.line) == (&at.file, at.line)
            && (source.column..=source.column + REFERENCE_LEAD).contains(&at.column)
    })
}
