//! The tunnel server or client as a service of the system: what is written down for its manager, and taken away again.
//!
//! Nothing is kept beside the unit itself: a line in it says that it is ours, what it looked like when it was written,
//! and which files were written with it. A unit that a person changed is neither replaced nor removed unless told.

mod seal;
mod wanted;

use std::io;
use std::path::{Path, PathBuf};

pub use wanted::{ClientWish, ServerWish, Wish};

use super::native::Spec;
use crate::disk::{self, Digest, Dirs};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, Folders, Job, Manager, Scope, Standing, Word};
use crate::model::FileEdit;
use crate::words::Message;
use crate::words::daemon::DaemonWords;

/// Folders that a system service does not see (`ProtectHome=`, `PrivateTmp=`), or that others may write to.
const HIDDEN_FOLDERS: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// What a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The tunnel server.
    Server,
    /// The tunnel client.
    Client,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Server, Self::Client];

    /// Returns the stable name used in JSON, in units and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Returns the name of its service where none is given.
    #[must_use]
    pub fn service_name(self) -> String {
        format!("portwright-{}", self.name())
    }
}

/// Where services of one scope are, and who runs them.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Who runs them.
    pub manager: Manager,
    /// Whose they are.
    pub scope: Scope,
    folders: Folders,
    /// Where tokens are.
    private: PathBuf,
    /// Where each service has its folder.
    state: PathBuf,
}

impl Ground {
    /// Finds the folders of this system; `home` is the user's.
    #[must_use]
    pub fn new(scope: Scope, dirs: &Dirs, home: &Path) -> Self {
        let manager = host::service_manager();
        let folders = Folders {
            config: dirs.config.parent().map(Path::to_path_buf).unwrap_or_default(),
            home: home.to_path_buf(),
        };
        let (private, state) = match scope {
            Scope::User => (dirs.config.clone(), dirs.state.join("services")),
            Scope::System => (manager.private_folder().to_path_buf(), manager.state_folder().to_path_buf()),
        };
        Self { manager, scope, folders, private, state }
    }

    /// Returns the file of a service's unit.
    #[must_use]
    pub fn unit(&self, name: &str) -> PathBuf {
        self.manager.place(name, self.scope, &self.folders)
    }

    /// Returns the folder that a service keeps its state in.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    fn token(&self, name: &str) -> PathBuf {
        self.private.join(format!("{name}.token"))
    }

    fn spec(&self, name: &str) -> PathBuf {
        self.private.join(format!("{name}.spec.json"))
    }

    /// Returns the sealed line of a unit that is there; `None` where none is, or one of others.
    fn seal(&self, name: &str) -> Result<Option<seal::Seal>> {
        Ok(read(&self.unit(name))?.and_then(|unit| seal::read(&unit)))
    }
}

/// What an installation writes, before it does.
#[derive(Debug)]
pub struct Installation {
    /// What runs.
    pub role: Role,
    /// The job.
    pub job: Job,
    /// The unit as a change of its file.
    pub unit: FileEdit,
    /// The other files, for their owner alone, with what is there today.
    private: Vec<FileEdit>,
    /// What deserves to be known before it is written.
    pub warnings: Vec<Message>,
    /// What is good to know.
    pub notes: Vec<Message>,
    /// Why nothing may be written, unless a person insists: a unit of others, or one that was edited.
    pub objection: Option<DaemonWords>,
}

impl Installation {
    /// Tells whether every file is already as it shall be.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.edits().all(is_there)
    }

    /// Returns the private files that are not yet as they shall be; what is in them is nobody's business.
    pub fn private_changes(&self) -> impl Iterator<Item = &Path> {
        self.private.iter().filter(|edit| !is_there(edit)).map(|edit| edit.file.as_path())
    }

    fn edits(&self) -> impl Iterator<Item = &FileEdit> {
        self.private.iter().chain([&self.unit])
    }
}

fn is_there(edit: &FileEdit) -> bool {
    edit.before.as_deref() == Some(&edit.after)
}

/// Plans an installation; writes nothing.
///
/// # Errors
/// `Usage` and `Refused` for what cannot run as a service; `Missing` for files that cannot be read.
pub fn plan(ground: &Ground, name: &str, program: &Path, wish: &Wish) -> Result<Installation> {
    let wanted::Job { role, mut job, token, warnings, notes } = wanted::job(ground, name, program, wish)?;
    let texts = job.arguments.iter().chain(job.variables.iter().map(|(_, word)| word)).map(Word::plain);
    if texts.chain([program.display().to_string()]).any(|text| text.contains(char::is_control)) {
        return Err(Error::new(ErrorKind::Usage, DaemonWords::ControlCharacter));
    }
    let mut private = Vec::new();
    if let Some(token) = token {
        private.push((ground.token(name), (token + "\n").into_bytes()));
    }
    if !ground.manager.keeps_logs() {
        private.push((ground.spec(name), supervised(ground, &mut job)?));
    }
    let files: Vec<_> = private.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect();
    let text = seal::seal(ground.manager, role, &files, &ground.manager.render(&job));
    let file = ground.unit(name);
    let before = read(&file)?;
    let objection =
        before.as_deref().filter(|before| *before != text.as_bytes()).and_then(|before| objection(&file, before));
    let private: Result<Vec<FileEdit>> = private
        .into_iter()
        .map(|(file, after)| {
            // What cannot be read now cannot be written later either, and that is where it is said.
            let before = read(&file).unwrap_or_default();
            Ok(FileEdit { file, before, after })
        })
        .collect();
    Ok(Installation {
        role,
        job,
        unit: FileEdit { file, before, after: text.into_bytes() },
        private: private?,
        warnings,
        notes,
        objection,
    })
}

/// Why a unit that is there may not be touched.
fn objection(file: &Path, unit: &[u8]) -> Option<DaemonWords> {
    let file = file.display().to_string();
    match seal::read(unit) {
        None => Some(DaemonWords::Foreign { file }),
        Some(seal) if !seal.intact => Some(DaemonWords::Edited { file }),
        Some(_) => None,
    }
}

/// Puts our supervisor between a manager that keeps no logs and the service; returns what the supervisor reads.
fn supervised(ground: &Ground, job: &mut Job) -> Result<Vec<u8>> {
    let spec = Spec {
        name: job.name.clone(),
        program: job.program.clone(),
        arguments: job.arguments.iter().map(Word::plain).collect(),
        environment: job.variables.iter().map(|(name, word)| ((*name).to_owned(), word.plain())).collect(),
        directory: job.folder.clone(),
        digest: String::new(),
    };
    let verb = ground.manager.supervising_verb().iter().map(|word| Word::text(*word));
    let state = [Word::text("--state"), Word::text(job.folder.display().to_string())];
    let file = [Word::text("--spec"), Word::text(ground.spec(&job.name).display().to_string())];
    job.arguments = verb.chain(state).chain(file).collect();
    job.variables.clear();
    let internal = |error: serde_json::Error| {
        Error::new(ErrorKind::Internal, DaemonWords::Unwritable { file: "spec".to_owned(), why: error.to_string() })
    };
    serde_json::to_vec_pretty(&spec).map_err(internal)
}

/// Carries an installation out; returns whether anything had to be changed. With `insist`, also over a unit of others.
///
/// # Errors
/// `Refused` for a unit that a person edited; `Missing` without rights or manager, with nothing changed; `Partial`
/// when the manager refuses the unit that was written.
pub fn install(ground: &Ground, installation: &Installation, insist: bool) -> Result<bool> {
    let Installation { job, objection, .. } = installation;
    if let Some(words) = objection.clone().filter(|_| !insist) {
        return Err(Error::new(ErrorKind::Refused, words).hint(DaemonWords::HintForce));
    }
    host::manager_answers(ground.manager, ground.scope)?;
    let fresh = !installation.changes_nothing();
    if !fresh && host::standing(ground.manager, &job.name, ground.scope)?.enabled {
        return Ok(false);
    }
    let made: Result<()> = (|| {
        if ground.scope == Scope::User || !ground.manager.makes_folders() {
            disk::create_private_folder(&job.folder)?;
            host::close_folder(ground.manager, &ground.private)?;
        }
        for edit in installation.private.iter().filter(|edit| !is_there(edit)) {
            put(edit, true)?;
        }
        if !is_there(&installation.unit) {
            put(&installation.unit, false)?;
        }
        Ok(())
    })();
    if let Err(error) = made {
        // The unit comes last, so only private files that were new can be left.
        for edit in installation.private.iter().filter(|edit| edit.before.is_none()) {
            let _ = std::fs::remove_file(&edit.file);
        }
        return Err(without_rights(error, ground));
    }
    host::enable(ground.manager, job, &installation.unit.file)?;
    Ok(true)
}

fn put(edit: &FileEdit, private: bool) -> Result<()> {
    if let Some(folder) = edit.file.parent().filter(|folder| !folder.exists()) {
        if private {
            disk::create_private_folder(folder)?;
        } else {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        }
    }
    disk::put_whole(&edit.file, &edit.after, private)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let words = DaemonWords::Unwritable { file: path.display().to_string(), why: error.to_string() };
    Error::new(ErrorKind::Missing, words)
}

fn without_rights(error: Error, ground: &Ground) -> Error {
    let error = error.with_kind(ErrorKind::Missing);
    if ground.scope == Scope::System { error.hint(DaemonWords::HintUser) } else { error }
}

/// Reads a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let words = DaemonWords::Unreadable { file: path.display().to_string(), why: error.to_string() };
            Err(Error::new(ErrorKind::Missing, words))
        }
    }
}

/// A service that is installed, or could be.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it runs; `None` for a unit of others.
    pub role: Option<Role>,
    /// The file of its unit.
    pub unit: PathBuf,
    /// Whether the unit is there.
    pub installed: bool,
    /// How it is.
    pub standing: Standing,
    /// What shows its output.
    pub log: String,
    /// What deserves to be known of the unit.
    pub remark: Option<Message>,
}

/// Finds the services that are meant: the one with this name, else those of these roles.
///
/// # Errors
/// `Missing` when a unit or the manager cannot be asked.
pub fn services(ground: &Ground, name: Option<&str>, roles: &[Role]) -> Result<Vec<Service>> {
    match name {
        Some(name) => Ok(vec![service(ground, name)?]),
        None => roles.iter().map(|role| service(ground, &role.service_name())).collect(),
    }
}

/// Looks at one service. A manager that does not run knows of no standing, which is no error.
fn service(ground: &Ground, name: &str) -> Result<Service> {
    let unit = ground.unit(name);
    let bytes = read(&unit)?;
    let installed = bytes.is_some();
    let role = bytes.as_deref().and_then(seal::read).map(|seal| seal.role);
    let mut remark: Option<Message> = bytes.as_deref().and_then(|bytes| objection(&unit, bytes)).map(Into::into);
    let standing = match host::manager_answers(ground.manager, ground.scope) {
        Ok(()) if installed => host::standing(ground.manager, name, ground.scope)?,
        Ok(()) => Standing::default(),
        Err(error) => {
            remark = remark.or_else(|| installed.then(|| error.message().clone()));
            Standing::default()
        }
    };
    let log = host::log_command(ground.manager, name, ground.scope);
    let log = log.unwrap_or_else(|| super::log::Log::in_folder(&ground.folder(name)).path().display().to_string());
    Ok(Service { name: name.to_owned(), role, unit, installed, standing, log, remark })
}

/// Stops a service and removes what its installation wrote; its data and its log stay. Returns what was removed.
///
/// # Errors
/// `Refused` for a unit of others or one that was edited, unless `insist`; `Missing` without rights; `Partial` when
/// the manager refuses.
pub fn uninstall(ground: &Ground, service: &Service, insist: bool) -> Result<Vec<PathBuf>> {
    let Some(bytes) = read(&service.unit)? else { return Ok(Vec::new()) };
    if let Some(words) = objection(&service.unit, &bytes).filter(|_| !insist) {
        return Err(Error::new(ErrorKind::Refused, words).hint(DaemonWords::HintForce));
    }
    let files = ground.seal(&service.name)?.map(|seal| seal.files).unwrap_or_default();
    host::manager_answers(ground.manager, ground.scope)?;
    check_removable(&service.unit).map_err(|error| without_rights(error, ground))?;
    host::disable(ground.manager, &service.name, ground.scope)?;
    let mut removed = Vec::new();
    let mut remove = |path: PathBuf| match std::fs::remove_file(&path) {
        Ok(()) => {
            removed.push(path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unwritable(&path, &error).with_kind(ErrorKind::Partial)),
    };
    remove(service.unit.clone())?;
    for (name, digest) in files {
        let path = ground.private.join(name);
        // One that was replaced by a person stays.
        if read(&path)?.is_some_and(|bytes| Digest::of(&bytes) == digest) {
            remove(path)?;
        }
    }
    host::forget(ground.manager, ground.scope)?;
    Ok(removed)
}

/// Tells whether the unit can be removed, before the service is stopped.
fn check_removable(unit: &Path) -> Result<()> {
    let folder = unit.parent().unwrap_or(Path::new("/"));
    let probe = folder.join(format!(".portwright-{}", std::process::id()));
    std::fs::File::create_new(&probe)
        .and_then(|_| std::fs::remove_file(&probe))
        .map_err(|error| unwritable(folder, &error))
}

/// Starts or stops a service that is installed.
///
/// # Errors
/// `Refused` when it is not installed; else as the manager says.
pub fn set_running(ground: &Ground, service: &Service, run: bool) -> Result<()> {
    if !service.installed {
        let words = DaemonWords::NotInstalled { name: service.name.clone() };
        return Err(Error::new(ErrorKind::Refused, words).hint(DaemonWords::HintInstall));
    }
    host::manager_answers(ground.manager, ground.scope)?;
    let done = if run { host::start } else { host::stop };
    done(ground.manager, &service.name, ground.scope)
}

/// Returns the folder that hides the program from a system service, if one does.
fn hidden(program: &Path) -> Option<&'static str> {
    HIDDEN_FOLDERS.into_iter().find(|folder| program.starts_with(folder))
}
