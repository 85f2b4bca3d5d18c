//! What a run is asked to do, after the command line has been understood: nothing optional left that is required.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::instance::InstanceChoice;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Wishes;
use crate::words::deploy::DeployWords;

/// Which runtime shall run the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// Docker or Podman where one answers, else a native process.
    Auto,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// A supervised process of this user.
    Native,
    /// Nothing is launched.
    None,
}

/// A project to look at.
#[derive(Clone)]
pub struct ProjectOrder {
    /// The directory (absolute).
    pub directory: PathBuf,
    /// Whether the directory was named; without a name the bundled project goes to the user's data directory.
    pub directory_named: bool,
    /// Compose files named by `-f`, in order.
    pub files: Vec<PathBuf>,
    /// The `--env-file`.
    pub env_file: Option<PathBuf>,
    /// Active profiles named by `--profile`.
    pub profiles: Vec<String>,
    /// Which copy of the project; `None` for the project itself.
    pub instance: Option<InstanceChoice>,
    /// The process environment, as far as it is text.
    pub environment: BTreeMap<String, String>,
    /// Which runtime is wanted, as it decides which engine is asked.
    pub runtime: RuntimeChoice,
}

impl fmt::Debug for ProjectOrder {
    /// Leaves the environment out: it holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProjectOrder")
            .field("directory", &self.directory)
            .field("files", &self.files)
            .field("env_file", &self.env_file)
            .field("profiles", &self.profiles)
            .field("instance", &self.instance)
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

/// A quick-start to do.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent wishes, each read by its name")]
pub struct Order {
    /// The project.
    pub project: ProjectOrder,
    /// What the person wants of the ports.
    pub wishes: Wishes,
    /// Whether to stop after the plan.
    pub dry_run: bool,
    /// Whether to launch after the files are written.
    pub launch: bool,
    /// How long the service may take until it answers.
    pub wait: Duration,
    /// The address on which generated projects publish.
    pub bind: IpAddr,
    /// Whether symbolic links that leave the project may be followed for writing.
    pub follow_links: bool,
    /// Whether changes beyond the published port are wanted where they belong together.
    pub ripple: bool,
}

/// A flag that a signal raises, looked at between the stages and while waiting.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// How often a wait looks at the flag: quick for a person, cheap for a machine.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Interrupt {
    /// Wraps the flag that a signal handler sets.
    #[must_use]
    pub fn new(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Tells whether a signal came.
    #[must_use]
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails when a signal came, for the places where nothing has been changed.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn check(&self) -> Result<()> {
        if self.raised() { Err(Error::new(ErrorKind::Interrupted, DeployWords::Interrupted)) } else { Ok(()) }
    }

    /// Returns when a signal comes.
    pub async fn wait(&self) {
        while !self.raised() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
