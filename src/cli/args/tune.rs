//! What can be typed after `tune`.

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::values;
use crate::model::PortRange;
use crate::plan::tune::Profile;

/// `tune`, which alone is `tune show`.
#[derive(Debug, Clone, Args)]
pub struct TuneArgs {
    /// What to do; `None` to show.
    #[command(subcommand)]
    pub verb: Option<TuneVerb>,
    /// What for.
    #[command(flatten)]
    pub which: TuneWhichArgs,
}

/// A verb of `tune`.
#[derive(Debug, Clone, Subcommand)]
pub enum TuneVerb {
    /// Shows each setting, and what this host needs.
    Show(TuneWhichArgs),
    /// Changes what this host needs.
    Apply(TuneApplyArgs),
    /// Puts back what was changed.
    Revert(TuneRevertArgs),
}

/// `tune apply`.
#[derive(Debug, Clone, Args)]
pub struct TuneApplyArgs {
    /// What for.
    #[command(flatten)]
    pub which: TuneWhichArgs,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// `tune revert`.
#[derive(Debug, Clone, Args)]
pub struct TuneRevertArgs {
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// What the host is tuned for.
#[derive(Debug, Clone, Args)]
pub struct TuneWhichArgs {
    /// The profile.
    #[arg(long, value_enum, default_value_t = ProfileChoice::Default)]
    pub profile: ProfileChoice,
    /// Ports of services beside those of the project.
    #[arg(long = "port", value_parser = values::port_range)]
    pub service_ports: Vec<PortRange>,
}

/// A profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileChoice {
    /// What was measured to be short.
    Default,
    /// Visitors far away.
    Wan,
    /// Very many outgoing connections.
    LoadTest,
    /// What the predecessor set.
    Legacy,
}

impl ProfileChoice {
    /// Returns what the planner calls it.
    #[must_use]
    pub const fn meant(self) -> Profile {
        match self {
            Self::Default => Profile::Default,
            Self::Wan => Profile::Wan,
            Self::LoadTest => Profile::LoadTest,
            Self::Legacy => Profile::Legacy,
        }
    }
}
