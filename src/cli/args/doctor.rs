//! What can be typed after `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ProjectArgs, ReportFormat, ReportTarget};
use crate::cli::values;

/// `doctor`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "one field for each flag of the command line")]
pub struct DoctorArgs {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// The only checks that are made, by id.
    #[arg(long)]
    pub only: Vec<String>,
    /// The checks that are left out.
    #[arg(long)]
    pub skip: Vec<String>,
    /// The checks that may fail without changing the exit code.
    #[arg(long)]
    pub accept: Vec<String>,
    /// Whether warnings count as failures.
    #[arg(long)]
    pub strict: bool,
    /// Mends what can be mended, asking before each.
    #[arg(long)]
    pub fix: bool,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
    /// Looks again and again until interrupted.
    #[arg(long, conflicts_with_all = ["facts", "from_facts", "fix"])]
    pub watch: bool,
    /// How long to wait between two looks.
    #[arg(long, value_parser = values::seconds, requires = "watch")]
    pub interval: Option<Duration>,
    /// The form of what is printed; `None` for text, or JSON with `--json`.
    #[arg(long, value_enum, conflicts_with = "json")]
    pub format: Option<ReportFormat>,
    /// Reports to write beside it.
    #[arg(long = "report", value_delimiter = ',', value_parser = values::report_target)]
    pub reports: Vec<ReportTarget>,
    /// A tunnel server whose way is gone step by step, `HOST:PORT`.
    #[arg(long)]
    pub server: Option<String>,
    /// A join code of it, which holds server, token and pin.
    #[arg(long, conflicts_with_all = ["server", "token_file", "pin", "ca"])]
    pub join: Option<String>,
    /// The file that holds the token.
    #[arg(long, requires = "server")]
    pub token_file: Option<PathBuf>,
    /// The fingerprint of the server's key.
    #[arg(long, requires = "server", conflicts_with = "ca")]
    pub pin: Option<String>,
    /// The certificate of the authority that certifies the server.
    #[arg(long, requires = "server")]
    pub ca: Option<PathBuf>,
    /// Prints what was seen, as JSON, and judges nothing.
    #[arg(long, conflicts_with = "from_facts")]
    pub facts: bool,
    /// The file of such facts that are judged in the place of this machine.
    #[arg(long, conflicts_with = "fix")]
    pub from_facts: Option<PathBuf>,
    /// What else is done with the diagnosis.
    #[command(subcommand)]
    pub verb: Option<DoctorVerb>,
}

/// A verb of `doctor`.
#[derive(Debug, Clone, Subcommand)]
pub enum DoctorVerb {
    /// Writes an archive for a report of a fault.
    Bundle(DoctorBundleArgs),
}

/// `doctor bundle`.
#[derive(Debug, Clone, Args)]
pub struct DoctorBundleArgs {
    /// The archive; `None` for a name with the present time in the working directory.
    pub bundle: Option<PathBuf>,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
}
