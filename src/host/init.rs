//! The service manager of the system: systemd, launchd, or that of Windows.
//!
//! What is to be run is a [`Job`]. Each manager has a file that writes the job down as a unit and asks the manager;
//! units are rendered by pure functions, which are tested on every system.

mod launchd;
mod systemd;
mod tool;
#[cfg_attr(windows, path = "init/windows.rs")]
#[cfg_attr(not(windows), path = "init/elsewhere.rs")]
mod windows;

use std::path::{Path, PathBuf};
use std::pin::Pin;

use crate::error::{Error, ErrorKind, Result};
use crate::words::daemon::DaemonWords;

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The machine's: it starts with the system, and installing it needs rights.
    System,
    /// This user's: it starts with the user's session.
    User,
}

impl Scope {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
        }
    }
}

/// A service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// systemd, of Linux.
    Systemd,
    /// launchd, of macOS.
    Launchd,
    /// The service control manager of Windows.
    Windows,
}

/// A word of a command line or the value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// As it stands; no secret.
    Text(String),
    /// A file that only its owner may be able to read. A manager that can hands the service a copy of its own.
    File {
        /// What the copy is called; letters and `_`.
        credential: &'static str,
        /// Where it lies; absolute.
        path: PathBuf,
    },
}

impl Word {
    /// Makes a word that stands as it is.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns the word for a manager that hands out no copies.
    #[must_use]
    pub fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }
}

/// What a service manager is asked to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The name of the service: letters, digits, `-` and `_`.
    pub name: String,
    /// One line for people who list services; English, because a unit has one language.
    pub description: String,
    /// Whose service it is.
    pub scope: Scope,
    /// The executable; absolute.
    pub program: PathBuf,
    /// Its arguments; no secret among them.
    pub arguments: Vec<Word>,
    /// Variables added to its environment; no secret among them.
    pub variables: Vec<(&'static str, Word)>,
    /// Where it works and keeps its state. systemd chooses the folder of a system service itself.
    pub folder: PathBuf,
    /// The user of a system service; `None` for one that exists only while it runs.
    pub run_as: Option<String>,
    /// Folders outside of its own that it writes to.
    pub writes: Vec<PathBuf>,
    /// Whether it binds ports that an ordinary user may not.
    pub low_ports: bool,
}

/// How a service is, as its manager says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether it starts by itself.
    pub enabled: bool,
    /// Whether it runs, and is not merely being started.
    pub running: bool,
    /// The state in the manager's own word; empty where it does not know the service.
    pub state: String,
    /// The process.
    pub pid: Option<u32>,
    /// Since when it is in this state, as the manager writes it.
    pub since: Option<String>,
    /// What the manager says of a service that is not well.
    pub detail: Option<String>,
}

/// A folder of units, and what tells where this user's are.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The user's configuration folder (`$XDG_CONFIG_HOME`, `~/.config`), without our own name.
    pub config: PathBuf,
    /// The user's home.
    pub home: PathBuf,
}

/// Returns the service manager of this system.
#[must_use]
pub const fn service_manager() -> Manager {
    if cfg!(windows) {
        Manager::Windows
    } else if cfg!(target_os = "macos") {
        Manager::Launchd
    } else {
        Manager::Systemd
    }
}

impl Manager {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
            Self::Windows => "windows",
        }
    }

    /// Returns the file that the unit of a service is kept in; under Windows a record of what was registered.
    #[must_use]
    pub fn place(self, name: &str, scope: Scope, folders: &Folders) -> PathBuf {
        match self {
            Self::Systemd => systemd::place(name, scope, folders),
            Self::Launchd => launchd::place(name, scope, folders),
            Self::Windows => self.private_folder().join(format!("{name}.service.txt")),
        }
    }

    /// Returns the folder of a system service's files that nobody else may read: its token.
    #[must_use]
    pub fn private_folder(self) -> &'static Path {
        Path::new(match self {
            Self::Systemd => "/etc/portwright",
            Self::Launchd => "/usr/local/etc/portwright",
            Self::Windows => "C:\\ProgramData\\portwright",
        })
    }

    /// Returns the folder below which a system service has its own for state.
    #[must_use]
    pub fn state_folder(self) -> &'static Path {
        Path::new(match self {
            Self::Systemd => "/var/lib",
            Self::Launchd => "/usr/local/var/portwright",
            Self::Windows => "C:\\ProgramData\\portwright\\services",
        })
    }

    /// Tells whether the manager makes the folder of a system service itself, when it starts it.
    #[must_use]
    pub const fn makes_folders(self) -> bool {
        matches!(self, Self::Systemd)
    }

    /// Returns the verb of ours that the manager runs where it keeps no logs.
    #[must_use]
    pub const fn supervising_verb(self) -> &'static [&'static str] {
        match self {
            Self::Windows => &["service", "host"],
            Self::Systemd | Self::Launchd => &["supervise"],
        }
    }

    /// Tells whether the manager watches the output and the end of the service itself. Where it does not, the service
    /// is run by our own supervisor, which keeps a log of bounded size.
    #[must_use]
    pub const fn keeps_logs(self) -> bool {
        matches!(self, Self::Systemd)
    }

    /// Writes the job down, without the line that seals it.
    #[must_use]
    pub fn render(self, job: &Job) -> String {
        match self {
            Self::Systemd => systemd::render(job, systemd::version()),
            Self::Launchd => launchd::render(job),
            Self::Windows => windows_command_line(job),
        }
    }
}

/// Asks the manager whether it runs at all.
///
/// # Errors
/// `Missing` with what to do instead.
pub fn manager_answers(manager: Manager, scope: Scope) -> Result<()> {
    match manager {
        Manager::Systemd => systemd::answers(scope),
        Manager::Launchd => launchd::answers(),
        Manager::Windows if scope == Scope::User => Err(Error::new(ErrorKind::Refused, DaemonWords::NoUserServices)),
        Manager::Windows => Ok(()),
    }
}

/// Lets only the service and administrators into a folder that was just made private, where its mode does not do that.
///
/// # Errors
/// `Missing` when the system refuses.
pub fn close_folder(manager: Manager, folder: &Path) -> Result<()> {
    match manager {
        Manager::Windows => windows::close_folder(folder),
        Manager::Systemd | Manager::Launchd => Ok(()),
    }
}

/// Makes the manager read the unit of a job, and start the service by itself from now on; does not start it now.
///
/// # Errors
/// `Partial` when the manager refuses, with its own words.
pub fn enable(manager: Manager, job: &Job, unit: &Path) -> Result<()> {
    match manager {
        Manager::Systemd => systemd::enable(&job.name, job.scope),
        Manager::Launchd => launchd::enable(&job.name, job.scope, unit),
        Manager::Windows => windows::enable(job),
    }
}

/// Stops a service and makes the manager forget it, before its unit is removed.
///
/// # Errors
/// `Partial` when the manager refuses.
pub fn disable(manager: Manager, name: &str, scope: Scope) -> Result<()> {
    match manager {
        Manager::Systemd => systemd::disable(name, scope),
        Manager::Launchd => launchd::disable(name, scope),
        Manager::Windows => windows::disable(name),
    }
}

/// Makes the manager notice that a unit is gone.
///
/// # Errors
/// `Partial` when the manager refuses.
pub fn forget(manager: Manager, scope: Scope) -> Result<()> {
    match manager {
        Manager::Systemd => systemd::reload(scope),
        Manager::Launchd | Manager::Windows => Ok(()),
    }
}

/// Starts a service and waits until it says that it is ready. One that runs already is left alone.
///
/// # Errors
/// `Missing` without rights; `Unhealthy` when it does not start.
pub fn start(manager: Manager, name: &str, scope: Scope) -> Result<()> {
    match manager {
        Manager::Systemd => systemd::start(name, scope),
        Manager::Launchd => launchd::start(name, scope),
        Manager::Windows => windows::start(name),
    }
}

/// Stops a service and waits for its end. It starts again with the system.
///
/// # Errors
/// `Missing` without rights; `Partial` when it does not stop.
pub fn stop(manager: Manager, name: &str, scope: Scope) -> Result<()> {
    match manager {
        Manager::Systemd => systemd::stop(name, scope),
        Manager::Launchd => launchd::stop(name, scope),
        Manager::Windows => windows::stop(name),
    }
}

/// What runs below the service manager of Windows; the future in it completes when the manager asks it to stop.
pub(super) type Body = Box<dyn FnOnce(Stopping) -> Result<()> + Send>;

/// Completes when a service shall stop.
pub type Stopping = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `body` as a service of Windows, which speaks to the service manager first.
///
/// # Errors
/// `Usage` when a person started it and no manager did (error 1063); those of `body`.
pub fn run_below_manager(body: impl FnOnce(Stopping) -> Result<()> + Send + 'static) -> Result<()> {
    windows::run_below_manager(Box::new(body))
}

/// Asks the manager how a service is.
///
/// # Errors
/// `Missing` when the manager cannot be asked.
pub fn standing(manager: Manager, name: &str, scope: Scope) -> Result<Standing> {
    match manager {
        Manager::Systemd => systemd::standing(name, scope),
        Manager::Launchd => launchd::standing(name, scope),
        Manager::Windows => windows::standing(name),
    }
}

/// Returns the command that shows what a service wrote, where its manager keeps that.
#[must_use]
pub fn log_command(manager: Manager, name: &str, scope: Scope) -> Option<String> {
    match (manager, scope) {
        (Manager::Systemd, Scope::System) => Some(format!("journalctl -u {name}.service")),
        (Manager::Systemd, Scope::User) => Some(format!("journalctl --user -u {name}.service")),
        (Manager::Launchd | Manager::Windows, _) => None,
    }
}

/// Returns the command line that Windows keeps of a service, quoted as `CommandLineToArgvW` reads it: a path with a
/// space and no quotes would let whoever can write `C:\\Program.exe` run it instead.
#[must_use]
fn windows_command_line(job: &Job) -> String {
    let words = job.arguments.iter().map(Word::plain);
    let words = std::iter::once(job.program.display().to_string()).chain(words);
    words.map(|word| windows_quoted(&word)).collect::<Vec<_>>().join(" ") + "\r\n"
}

/// Quotes one word: a backslash counts only before a quote.
fn windows_quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for letter in word.chars() {
        let more = if letter == '"' { backslashes + 1 } else { 0 };
        quoted.extend(std::iter::repeat_n('\\', more));
        backslashes = if letter == '\\' { backslashes + 1 } else { 0 };
        quoted.push(letter);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn job() -> Job {
        Job {
            name: "portwright-server".into(),
            description: "Portwright tunnel server".into(),
            scope: Scope::System,
            program: "/usr/local/bin/portwright".into(),
            arguments: vec![
                Word::text("tunnel"),
                Word::text("server"),
                Word::text("--config"),
                Word::File { credential: "config", path: "/etc/portwright/my config.yaml".into() },
            ],
            variables: Vec::new(),
            folder: "/var/lib/portwright-server".into(),
            run_as: None,
            writes: Vec::new(),
            low_ports: false,
        }
    }

    #[test]
    fn a_command_line_of_windows_reads_back_whatever_is_in_it() {
        let quoted = |word: &str| windows_quoted(word);
        assert_eq!(quoted(r"C:\Program Files\x.exe"), r#""C:\Program Files\x.exe""#);
        assert_eq!(quoted(r"C:\folder\"), r#""C:\folder\\""#);
        assert_eq!(quoted(r#"a"b"#), r#""a\"b""#);
        assert_eq!(quoted(r#"a\"b"#), r#""a\\\"b""#);
        let line = windows_command_line(&job());
        assert!(line.starts_with("\"/usr/local/bin/portwright\" \"tunnel\""), "{line}");
        assert!(line.contains("\"/etc/portwright/my config.yaml\""), "{line}");
    }
}
