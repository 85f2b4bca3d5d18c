//! From what was typed to what is meant: the orders that the stages take.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Environment;
use super::args::{Arguments, ProjectArgs, RuntimeChoice, Verb};
use crate::deploy::{self, InstanceChoice, Layout, ProjectOrder};
use crate::disk::{self, Dirs};
use crate::error::{Error, ErrorKind, Result};

use crate::model::Secret;
use crate::plan::{Policy, Wishes};
use crate::words::verbs::VerbWords;

/// Makes the order for the project that a command line means.
///
/// # Errors
/// `Missing` when the directory does not exist or the working directory is gone.
pub(super) fn project_order(
    arguments: &Arguments,
    project: &ProjectArgs,
    runtime: RuntimeChoice,
    environment: &Environment,
) -> Result<ProjectOrder> {
    let may_be_made = matches!(arguments.verb, Verb::QuickStart(_));
    let directory = directory(arguments.global.directory.as_deref(), may_be_made)?;
    let absolute = |path: &PathBuf| working_directory().map(|current| current.join(path));
    Ok(ProjectOrder {
        directory_named: arguments.global.directory.is_some(),
        directory,
        files: project.files.iter().map(absolute).collect::<Result<_>>()?,
        env_file: project.env_file.as_ref().map(absolute).transpose()?,
        profiles: project.profiles.clone(),
        instance: project.instance.as_ref().map(|name| instance(name, environment)).transpose()?,
        environment: text_variables(environment),
        runtime: match runtime {
            RuntimeChoice::Auto => deploy::RuntimeChoice::Auto,
            RuntimeChoice::Docker => deploy::RuntimeChoice::Docker,
            RuntimeChoice::Podman => deploy::RuntimeChoice::Podman,
            RuntimeChoice::Native => deploy::RuntimeChoice::Native,
            RuntimeChoice::None => deploy::RuntimeChoice::None,
        },
    })
}

fn instance(name: &str, environment: &Environment) -> Result<InstanceChoice> {
    Ok(InstanceChoice { name: name.to_owned(), shelf: dirs(environment)?.data.join("instances") })
}

/// Returns the project directory, absolute and without links, so that the same project has one name. One that
/// `may_be_made` need not exist, as long as the folder above it does.
fn directory(named: Option<&Path>, may_be_made: bool) -> Result<PathBuf> {
    let current = working_directory()?;
    let directory = named.map_or_else(|| current.clone(), |named| current.join(named));
    match directory.canonicalize() {
        Ok(directory) if directory.is_dir() => Ok(directory),
        Ok(directory) => Err(no_directory(&directory, "not a directory")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_be_made => {
            let parent = directory.parent().and_then(|parent| parent.canonicalize().ok());
            let made = parent.zip(directory.file_name()).map(|(parent, name)| parent.join(name));
            made.filter(|made| !made.is_symlink()).ok_or_else(|| no_directory(&directory, &error.to_string()))
        }
        Err(error) => Err(no_directory(&directory, &error.to_string())),
    }
}

pub(super) fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| no_directory(Path::new("."), &error.to_string()))
}

fn no_directory(path: &Path, why: &str) -> Error {
    let words = VerbWords::NoDirectory { path: path.display().to_string(), why: why.to_owned() };
    Error::new(ErrorKind::Missing, words).hint(VerbWords::HintDirectory)
}

/// The variables that are text, as compose would see them.
pub(super) fn text_variables(environment: &Environment) -> BTreeMap<String, String> {
    let pairs = environment.variables.iter();
    pairs.filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))).collect()
}

/// Wishes with nothing wished but a policy.
pub(super) fn ports(policy: Policy) -> Wishes {
    Wishes { policy, named: Vec::new(), range: None, strict: false, override_file: false, answers: BTreeMap::new() }
}

/// Finds the user's folders.
///
/// # Errors
/// As [`Dirs::from_environment`].
pub(super) fn dirs(environment: &Environment) -> Result<Dirs> {
    Dirs::from_environment(|name| environment.variables.get(OsStr::new(name)).cloned())
}

/// How a fresh bundled project is laid out: with a key of its own, 256 bits from the system.
pub(super) fn layout(dirs: &Dirs, bind: IpAddr) -> Layout {
    let key: [u8; 32] = rand::random();
    let api_key = Secret::new(disk::hex(&key));
    Layout { default_directory: bundled_directory(dirs), bind, api_key }
}

/// Where the bundled project goes when no directory is named.
pub(super) fn bundled_directory(dirs: &Dirs) -> PathBuf {
    dirs.data.join("tunnel-server")
}
