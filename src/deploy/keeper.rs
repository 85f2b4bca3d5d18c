//! Where the tokens of a launched server are kept, so that a verb can work on them without being told the files.

use std::path::PathBuf;

use super::bundled::{self, ProjectKind};
use super::launch::files_in_container;
use super::observe::connect;
use super::order::ProjectOrder;
use super::project::LoadedProject;
use super::{native, service};
use crate::disk::ProjectState;
use crate::docker::{Engine, PROGRAM, Ran};
use crate::error::{Error, ErrorKind, Result};
use crate::words::deploy::DeployWords;

/// Where the tokens of a launched server are kept.
#[derive(Debug)]
pub enum Keeper {
    /// With a process of this user: in the database that these files and variables name.
    Files {
        /// The configuration.
        config: PathBuf,
        /// The file of variables that complete it.
        env_file: PathBuf,
        /// The variables that the process was started with.
        environment: Vec<(String, String)>,
    },
    /// In a container, in which the same verb must run.
    Container(Inside),
}

/// A running container of the server.
#[derive(Debug)]
pub struct Inside {
    engine: Engine,
    name: String,
}

impl Inside {
    /// Runs this program in the container: `before`, then the words of a verb, the server's files, and `after`.
    ///
    /// # Errors
    /// As [`Engine::run_inside`].
    pub async fn run(&self, before: &[&str], after: &[String]) -> Result<Ran> {
        let program = std::iter::once(&PROGRAM).chain(before).map(|word| (*word).to_owned());
        let words: Vec<String> = program.chain(files_in_container()).chain(after.iter().cloned()).collect();
        self.engine.run_inside(&self.name, &words).await
    }
}

/// Finds where the tokens of the launched server of a project are kept.
///
/// # Errors
/// `Missing` when no server was launched for it, or its container does not run.
pub async fn keeper(order: &ProjectOrder, loaded: &LoadedProject, state: Option<&ProjectState>) -> Result<Keeper> {
    let directory = &loaded.project.directory;
    if loaded.kind == ProjectKind::Bundled {
        if let Some(record) = state.and_then(|state| native::record(state.folder())) {
            let (config, env_file) = (directory.join(bundled::CONFIG_FILE), directory.join(".env"));
            return Ok(Keeper::Files { config, env_file, environment: record.spec.environment });
        }
        let engine = connect(order).await?;
        let found = service::containers(&engine, loaded).await?;
        if let Some(running) = found.into_iter().find(|status| status.state == "running") {
            return Ok(Keeper::Container(Inside { engine, name: running.name }));
        }
    }
    let words = DeployWords::NoServerRuns { directory: directory.display().to_string() };
    Err(Error::new(ErrorKind::Missing, words).hint(DeployWords::HintNoServerRuns))
}
