//! Reads a project from disk, file by file as the reader asks for them; or lays out the bundled one in memory.

use std::fmt;
use std::path::{Path, PathBuf};

use super::bundled::{self, ProjectKind};
use super::instance::{self, Instance};
use super::order::ProjectOrder;
use crate::disk::{self, Dirs, ProjectState};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Project;
use crate::text::project::{Loaded, Request, Snapshot, load};
use crate::words::deploy::DeployWords;

/// The most files one project may name through `-f`, `include` and `extends`; the largest of the corpus names 7.
const PROJECT_FILES_MAX: usize = 256;

/// A project with the contents of every file that it was read from.
#[derive(Clone)]
pub struct LoadedProject {
    /// What kind it is.
    pub kind: ProjectKind,
    /// How it was read.
    pub request: Request,
    /// The files, as they are (or, for a fresh bundled project, as they will be).
    pub snapshot: Snapshot,
    /// The project.
    pub project: Project,
    /// Files that do not exist yet and are to be created by the run.
    pub fresh: Vec<PathBuf>,
    /// What makes it a copy of another project; the snapshot holds the copies under the names of the originals.
    pub instance: Option<Instance>,
}

impl fmt::Debug for LoadedProject {
    /// Leaves the contents of files out: they hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoadedProject")
            .field("kind", &self.kind)
            .field("project", &self.project)
            .field("files", &self.snapshot.keys())
            .field("fresh", &self.fresh)
            .finish_non_exhaustive()
    }
}

impl LoadedProject {
    /// Returns the folder whose state is that of this project.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.instance.as_ref().map_or(&self.project.directory, |instance| &instance.folder)
    }

    /// Opens the state of the project for reading; `None` when there is none.
    ///
    /// # Errors
    /// As [`ProjectState::existing`].
    pub fn state(&self, dirs: &Dirs) -> Result<Option<ProjectState>> {
        if self.home().is_dir() { ProjectState::existing(dirs, self.home()) } else { Ok(None) }
    }

    /// Opens the state of the project, making its folders when they are missing.
    ///
    /// # Errors
    /// As [`ProjectState::open`].
    pub fn open_state(&self, dirs: &Dirs) -> Result<ProjectState> {
        if let Some(instance) = &self.instance {
            disk::create_private_folder(&instance.folder)?;
        }
        ProjectState::open(dirs, self.home())
    }
}

/// Reads the project of `order`; `None` when its directory has no compose file.
///
/// # Errors
/// `Missing` for unreadable files, `Refused` for what the project's files say wrongly.
pub fn read(order: &ProjectOrder) -> Result<Option<LoadedProject>> {
    let own = read_in(order, &order.directory, Snapshot::new(), Vec::new())?;
    let Some(choice) = &order.instance else { return Ok(own) };
    match own {
        Some(own) if own.kind == ProjectKind::Compose => instance::as_written(own, choice).map(Some),
        own if own.is_some() || order.directory_named => {
            read_in(order, &instance::beside(&order.directory, &choice.name), Snapshot::new(), Vec::new())
        }
        _ => Ok(None),
    }
}

/// Finds the project that a verb on a launched service is about: the one of the directory, else the bundled one that was
/// laid out in `bundled_directory`.
///
/// # Errors
/// As [`read`]; `Missing` when there is neither.
pub fn find(order: &ProjectOrder, bundled_directory: &Path) -> Result<LoadedProject> {
    if let Some(loaded) = read(order)? {
        return Ok(loaded);
    }
    let named = order.directory_named || !order.files.is_empty();
    let place = instance::bundled_place(order, bundled_directory.to_owned());
    let bundled = if named { None } else { read_in(order, &place, Snapshot::new(), Vec::new())? };
    bundled.ok_or_else(|| no_project(&order.directory))
}

/// Reads the project, or lays out the bundled one in memory where there is none.
///
/// # Errors
/// As [`read`]; and `Missing` when no data directory can be found for the bundled project.
pub fn read_or_lay_out(order: &ProjectOrder, layout: &bundled::Layout) -> Result<LoadedProject> {
    if let Some(loaded) = read(order)? {
        return Ok(loaded);
    }
    if !order.files.is_empty() {
        return Err(no_project(&order.directory));
    }
    let is_here = order.directory_named
        || order.instance.is_some() && read_in(order, &order.directory, Snapshot::new(), Vec::new())?.is_some();
    let directory = if is_here { order.directory.clone() } else { layout.default_directory.clone() };
    let directory = instance::bundled_place(order, directory);
    if directory != order.directory
        && let Some(loaded) = read_in(order, &directory, Snapshot::new(), Vec::new())?
    {
        return Ok(loaded);
    }
    let mut snapshot = Snapshot::new();
    let mut fresh = Vec::new();
    for (name, fresh_contents) in bundled::files(layout) {
        let path = directory.join(name);
        let existing = contents(&directory, &path)?;
        if existing.is_none() {
            fresh.push(path.clone());
        }
        snapshot.insert(path, Some(existing.unwrap_or(fresh_contents)));
    }
    read_in(order, &directory, snapshot, fresh)?.ok_or_else(|| no_project(&directory))
}

/// The error for a directory without a compose file.
#[must_use]
pub fn no_project(directory: &Path) -> Error {
    let words = DeployWords::NoProject { directory: directory.display().to_string() };
    Error::new(ErrorKind::Missing, words).hint(DeployWords::HintNoProject)
}

fn read_in(
    order: &ProjectOrder,
    directory: &Path,
    snapshot: Snapshot,
    fresh: Vec<PathBuf>,
) -> Result<Option<LoadedProject>> {
    let request = Request {
        directory: directory.to_owned(),
        files: order.files.clone(),
        env_file: order.env_file.clone(),
        profiles: order.profiles.clone(),
        project_name: None,
        shell: order.environment.clone(),
    };
    read_as(request, snapshot, fresh)
}

/// Reads a project as `request` names it; what is in `snapshot` already is not read.
pub(super) fn read_as(request: Request, mut snapshot: Snapshot, fresh: Vec<PathBuf>) -> Result<Option<LoadedProject>> {
    let directory = request.directory.clone();
    loop {
        let needed = match load(&request, &snapshot)? {
            Loaded::Absent => return Ok(None),
            Loaded::Ready(project) => {
                let kind = bundled::kind_of(&snapshot, &project);
                let project = *project;
                return Ok(Some(LoadedProject { kind, request, snapshot, project, fresh, instance: None }));
            }
            Loaded::Needs(paths) => paths,
        };
        for path in needed {
            let read = contents(&directory, &path)?;
            snapshot.insert(path, read);
        }
        if snapshot.len() > PROJECT_FILES_MAX {
            let words = DeployWords::ProjectTooWide { count: PROJECT_FILES_MAX };
            return Err(Error::new(ErrorKind::Refused, words));
        }
    }
}

/// Reads a file of the project; `None` when it does not exist.
///
/// # Errors
/// As [`disk::read_project_file`].
pub(super) fn contents(directory: &Path, path: &Path) -> Result<Option<Vec<u8>>> {
    if !directory.is_dir() {
        return Ok(None);
    }
    let read = disk::read_project_file(directory, path, disk::PROJECT_FILE_BYTES_MAX)?;
    Ok(read.map(|fact| fact.contents))
}
