//! Instances: several copies of one project beside each other, each with a project name, ports and container names of
//! its own.
//!
//! An instance has copies of the project's compose files and `.env` in a folder of the user's, with the narrow edits in
//! them; compose is told to read the copies in place of the files, with the project's own directory. This needs no
//! merging of files, so that every compose reads it alike, and the project itself stays untouched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Run;
use super::bundled::ProjectKind;
use super::order::ProjectOrder;
use super::project::{LoadedProject, contents, read_as};
use crate::disk::{self, Digest, Dirs, ProjectState};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{FileEdit, MappingId, Move, Port, Project, Promise, PublishedPort};
use crate::plan;
use crate::text::edit::{EditRequest, EditStyle, edit, fixed_names, rename_containers, renders_alike};
use crate::text::project::{Request, Snapshot};
use crate::words::Message;
use crate::words::instance::InstanceWords;

/// The record of an instance's ports in its state: other copies leave them alone while it exists.
pub(super) const HELD: &str = "held";

/// The most copies of a project that are looked at for their ports; a fleet of jobs on one host stays below it.
const COPIES_MAX: usize = 1_000;

/// Which copy of a project is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceChoice {
    /// Its name: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// The folder for the files of all instances of all projects.
    pub shelf: PathBuf,
}

/// A copy of a project.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The folder of its files.
    pub folder: PathBuf,
    /// The project that it is a copy of.
    pub base: Box<LoadedProject>,
}

impl Instance {
    /// Returns what stands for the project's own files: each with its copy.
    fn copies(&self) -> Vec<(PathBuf, PathBuf)> {
        let project = &self.base.project;
        let name = |file: &Path| file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let files = project.files.iter().enumerate();
        let files = files.map(|(index, file)| (file.clone(), self.folder.join(format!("{index}-{}", name(file)))));
        files.chain([(project.env_file.clone(), self.folder.join(".env"))]).collect()
    }

    /// Returns the compose files and the `.env` file that compose shall read.
    pub(super) fn files(&self) -> (Vec<PathBuf>, Option<PathBuf>) {
        let mut found: Vec<PathBuf> =
            self.copies().into_iter().map(|(original, copy)| if copy.is_file() { copy } else { original }).collect();
        let env_file = found.pop().filter(|file| file.is_file());
        (found, env_file)
    }

    fn copy(&self, copy: &Path) -> Result<Option<Vec<u8>>> {
        contents(&self.folder, copy)
    }
}

/// Returns the folder that a project's instances share: named by the project's place.
fn shelf_of(choice: &InstanceChoice, directory: &Path) -> PathBuf {
    let name: String = Digest::of(directory.as_os_str().as_encoded_bytes()).to_hex().chars().take(32).collect();
    choice.shelf.join(name)
}

/// Returns the folder whose state is that of the project of `order`, for a project that can no longer be read.
#[must_use]
pub fn home(order: &ProjectOrder) -> PathBuf {
    match &order.instance {
        Some(choice) => shelf_of(choice, &order.directory).join(&choice.name),
        None => order.directory.clone(),
    }
}

/// Returns the folder of a bundled server's instance: beside the server's own.
pub(super) fn beside(directory: &Path, name: &str) -> PathBuf {
    let own = directory.file_name().map(|own| own.to_string_lossy().into_owned()).unwrap_or_default();
    directory.with_file_name(format!("{own}-{name}"))
}

/// Returns the copy of `base` as its files say; where there are none, as `base` under the copy's name.
///
/// # Errors
/// As [`super::read`].
pub(super) fn as_written(base: LoadedProject, choice: &InstanceChoice) -> Result<LoadedProject> {
    let folder = shelf_of(choice, &base.project.directory).join(&choice.name);
    let instance = Instance { name: choice.name.clone(), folder, base: Box::new(base) };
    let mut snapshot = instance.base.snapshot.clone();
    for (original, copy) in instance.copies() {
        if let Some(bytes) = instance.copy(&copy)? {
            snapshot.insert(original, Some(bytes));
        }
    }
    with_snapshot(instance, snapshot)
}

/// Returns the copy as it follows from the project as it is today: with its container names, and the ports that it has
/// been given before.
///
/// # Errors
/// As [`super::read`]; `Refused` for a container name that cannot be changed.
pub(super) fn refreshed(loaded: LoadedProject, choices: &BTreeMap<String, Port>) -> Result<LoadedProject> {
    let Some(instance) = loaded.instance else { return Ok(loaded) };
    let mut snapshot = instance.base.snapshot.clone();
    let ending = format!("-{}", instance.name);
    let names = rename_containers(&instance.base.request, &snapshot, &ending)?;
    extend(&mut snapshot, &names);
    let copy = with_snapshot(instance, snapshot)?;
    let moves = remembered_moves(&copy.project, choices);
    let request = EditRequest {
        request: &copy.request,
        snapshot: &copy.snapshot,
        project: &copy.project,
        moves: &moves,
        style: EditStyle::InPlace,
    };
    // A port that was chosen before but fits the project no longer is chosen anew.
    let Ok(edited) = edit(&request) else { return Ok(copy) };
    let mut snapshot = copy.snapshot.clone();
    extend(&mut snapshot, &edited.files);
    match copy.instance {
        Some(instance) => with_snapshot(instance, snapshot),
        None => Ok(copy),
    }
}

fn extend(snapshot: &mut Snapshot, edits: &[FileEdit]) {
    snapshot.extend(edits.iter().map(|edit| (edit.file.clone(), Some(edit.after.clone()))));
}

fn with_snapshot(instance: Instance, snapshot: Snapshot) -> Result<LoadedProject> {
    let base = &instance.base;
    let mut request = base.request.clone();
    request.project_name = Some(format!("{}-{}", base.project.name, instance.name));
    let directory = base.project.directory.clone();
    let copy = read_as(request, snapshot, Vec::new())?.ok_or_else(|| super::no_project(&directory))?;
    Ok(LoadedProject { instance: Some(instance), ..copy })
}

fn remembered_moves(project: &Project, choices: &BTreeMap<String, Port>) -> Vec<Move> {
    let ids = (0..project.mappings.len()).map(MappingId);
    let moves = ids.filter_map(|id| {
        let mappings = plan::group_of(project, id);
        let mapping = project.mappings.get(id.0).filter(|_| mappings.first() == Some(&id))?;
        let PublishedPort::Fixed(range) = mapping.published else { return None };
        let to = choices.get(&plan::sticky_name(mapping)).copied().filter(|to| *to != range.first())?;
        Some(Move { mappings, from: range.first(), to })
    });
    moves.collect()
}

/// What the files of a copy become.
pub(super) struct Copied {
    /// The writes.
    pub(super) edits: Vec<FileEdit>,
    /// What a person is shown of them: how each copy differs from the project's own file, or from what it was.
    pub(super) shown: Vec<FileEdit>,
}

/// Turns a planned snapshot of the project's files into writes of the copies.
///
/// # Errors
/// `Refused` when a file would have to change that is not copied, or when compose, told of the copies one by one, would read
/// another project than `request` does.
pub(super) fn copied(instance: &Instance, request: &Request, snapshot: &Snapshot) -> Result<Copied> {
    let copies = instance.copies();
    for (file, bytes) in snapshot {
        let is_same = instance.base.snapshot.get(file).is_none_or(|before| before == bytes);
        if !is_same && !copies.iter().any(|(original, _)| original == file) {
            let words = InstanceWords::NotCopied { name: instance.name.clone(), file: file.display().to_string() };
            return Err(Error::new(ErrorKind::Refused, words).hint(InstanceWords::HintNotCopied));
        }
    }
    prove(instance, request, snapshot)?;
    let mut plan = Copied { edits: Vec::new(), shown: Vec::new() };
    for (original, copy) in copies {
        let Some(bytes) = snapshot.get(&original).cloned().flatten() else { continue };
        let written = instance.copy(&copy)?;
        if written.as_ref() == Some(&bytes) {
            continue;
        }
        let own = instance.base.snapshot.get(&original).cloned().flatten();
        let before = written.clone().or(own);
        if before.as_ref() != Some(&bytes) {
            plan.shown.push(FileEdit { file: copy.clone(), before, after: bytes.clone() });
        }
        plan.edits.push(FileEdit { file: copy, before: written, after: bytes });
    }
    Ok(plan)
}

/// Reads the project as compose will be told of it, with every file named, and compares.
fn prove(instance: &Instance, own: &Request, snapshot: &Snapshot) -> Result<()> {
    let project = &instance.base.project;
    let has_env = snapshot.get(&project.env_file).is_some_and(Option::is_some);
    let mut request = instance.base.request.clone();
    request.project_name.clone_from(&own.project_name);
    request.files.clone_from(&project.files);
    request.env_file = has_env.then(|| project.env_file.clone());
    let same = renders_alike(own, &request, snapshot)?;
    if same {
        return Ok(());
    }
    let words = InstanceWords::Differs { name: instance.name.clone() };
    Err(Error::new(ErrorKind::Refused, words).hint(InstanceWords::HintDiffers))
}

/// Returns the state that the instances of a project share. Its lock keeps two of them from choosing their ports at the
/// same time.
///
/// # Errors
/// As [`ProjectState::open`].
pub(super) fn shared_state(dirs: &Dirs, instance: &Instance) -> Result<ProjectState> {
    let shelf = instance.folder.parent().unwrap_or(&instance.folder);
    disk::create_private_folder(shelf)?;
    ProjectState::open(dirs, shelf)
}

/// Warns of what the copies of a project would have together, because its name is fixed.
pub(super) fn warnings(loaded: &LoadedProject) -> Vec<Message> {
    let Some(instance) = &loaded.instance else { return Vec::new() };
    let names = fixed_names(&loaded.request, &loaded.snapshot).unwrap_or_default();
    if names.is_empty() {
        return Vec::new();
    }
    vec![InstanceWords::Shared { name: instance.name.clone(), names: names.join(", ") }.into()]
}

/// The ports that a run keeps for its copy before anybody agreed to the plan.
pub(super) struct Reservation {
    before: Option<Vec<Promise>>,
}

impl Reservation {
    /// Keeps the ports of `after`.
    ///
    /// # Errors
    /// As [`ProjectState::save_json`].
    pub(super) fn make(run: &Run<'_>, after: &Project, name: &str) -> Result<Self> {
        let before = run.state.load_json(HELD)?;
        run.state.save_json(run.lock, HELD, &held(after, Some(name)))?;
        Ok(Self { before })
    }

    /// Gives them back after a run that changed nothing.
    ///
    /// # Errors
    /// As [`ProjectState::save_json`].
    pub(super) fn take_back(self, run: &Run<'_>) -> Result<()> {
        match self.before {
            Some(before) => run.state.save_json(run.lock, HELD, &before),
            None => run.state.forget_json(run.lock, HELD),
        }
    }
}

/// Returns the ports that the other copies of the project have been given, the project itself among them.
pub(super) fn promises(order: &ProjectOrder, dirs: &Dirs, loaded: &LoadedProject) -> Vec<Promise> {
    match (&loaded.instance, loaded.kind) {
        (_, ProjectKind::Bundled) => order.instance.as_ref().map(|_| of_servers(order, loaded)).unwrap_or_default(),
        (Some(instance), _) => {
            let shelf = instance.folder.parent().map(Path::to_owned).unwrap_or_default();
            let mut found = of_instances(dirs, &shelf, Some(&instance.name));
            found.extend(held(&instance.base.project, None));
            found
        }
        (None, ProjectKind::Compose) => {
            let choice = InstanceChoice { name: String::new(), shelf: dirs.data.join("instances") };
            of_instances(dirs, &shelf_of(&choice, &loaded.project.directory), None)
        }
    }
}

/// Returns the ports of a project as promises to a copy.
pub(super) fn held(project: &Project, instance: Option<&str>) -> Vec<Promise> {
    let fixed = project.mappings.iter().filter_map(|mapping| match mapping.published {
        PublishedPort::Fixed(ports) => Some((ports, mapping.protocol)),
        PublishedPort::AnyOf(_) | PublishedPort::Random => None,
    });
    fixed.map(|(ports, protocol)| Promise { instance: instance.map(str::to_owned), ports, protocol }).collect()
}

fn of_instances(dirs: &Dirs, shelf: &Path, but: Option<&str>) -> Vec<Promise> {
    let folders = std::fs::read_dir(shelf).into_iter().flatten().flatten().take(COPIES_MAX);
    let others = folders.filter(|entry| but.is_none_or(|name| entry.file_name() != *name)).map(|entry| entry.path());
    // A copy whose state cannot be read has no say; its containers are seen all the same.
    let records = others.filter_map(|folder| {
        let state = ProjectState::existing(dirs, &folder).ok().flatten()?;
        state.load_json::<Vec<Promise>>(HELD).ok().flatten()
    });
    records.flatten().collect()
}

/// The ports of the bundled servers that are laid out beside this one.
fn of_servers(order: &ProjectOrder, loaded: &LoadedProject) -> Vec<Promise> {
    let own = &loaded.project.directory;
    let (Some(parent), Some(choice)) = (own.parent(), &order.instance) else { return Vec::new() };
    let ending = format!("-{}", choice.name);
    let stem = own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.strip_suffix(&ending).unwrap_or(&stem).to_owned();
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten().take(COPIES_MAX);
    let mut found = Vec::new();
    for directory in entries.map(|entry| entry.path()).filter(|path| path != own) {
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(instance) = name.strip_prefix(&stem) else { continue };
        let instance = match instance.strip_prefix('-') {
            Some(instance) => Some(instance),
            None if instance.is_empty() => None,
            None => continue,
        };
        let bare = ProjectOrder { directory: directory.clone(), instance: None, ..order.clone() };
        match super::read(&bare) {
            Ok(Some(other)) if other.kind == ProjectKind::Bundled => found.extend(held(&other.project, instance)),
            _ => {}
        }
    }
    found
}

/// Returns where the bundled server of `order` goes when its place without an instance is `directory`.
pub(super) fn bundled_place(order: &ProjectOrder, directory: PathBuf) -> PathBuf {
    match &order.instance {
        Some(choice) => beside(&directory, &choice.name),
        None => directory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_two_instances_have_folders_beside_each_other() {
        assert_eq!(beside(Path::new("/d/tunnel-server"), "b"), Path::new("/d/tunnel-server-b"));
    }
}
