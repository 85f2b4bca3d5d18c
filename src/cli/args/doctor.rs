//! What can be typed after `doctor`.

use std::path::PathBuf;

use clap::Args;

use super::ProjectArgs;

/// `doctor`.
#[derive(Debug, Clone, Args)]
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
    #[arg(long)]
    pub from_facts: Option<PathBuf>,
}
