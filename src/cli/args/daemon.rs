//! What can be typed after `service`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::values;

/// A verb of services.
#[derive(Debug, Clone, Subcommand)]
pub enum ServiceVerb {
    /// Writes a unit and enables it.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Install {
        /// What shall run.
        #[command(subcommand)]
        role: InstallRole,
    },
    /// Stops a service and removes its unit.
    Uninstall(ServiceRemoveArgs),
    /// Starts a service.
    Start(ServiceArgs),
    /// Stops a service.
    Stop(ServiceArgs),
    /// Tells how services are.
    Status(ServiceArgs),
    /// Runs below the service manager of Windows; started by it, never by a person.
    #[command(hide = true)]
    Host(super::SuperviseArgs),
}

/// What shall run as a service.
#[derive(Debug, Clone, Subcommand)]
pub enum InstallRole {
    /// The tunnel server.
    Server(InstallServerArgs),
    /// The tunnel client.
    Client(Box<InstallClientArgs>),
}

/// Whose services are meant.
#[derive(Debug, Clone, Args)]
pub struct ServiceScopeArgs {
    /// Those of this user, not of the machine.
    #[arg(long)]
    pub user: bool,
    /// The name of the service; `None` for `portwright-server` and `portwright-client`.
    #[arg(long, value_parser = values::service_name)]
    pub name: Option<String>,
}

/// How a service is installed.
#[derive(Debug, Clone, Args)]
pub struct InstallArgs {
    /// Whose it is.
    #[command(flatten)]
    pub scope: ServiceScopeArgs,
    /// The user that it runs as.
    #[arg(long, conflicts_with = "user", value_parser = values::user_name)]
    pub run_as: Option<String>,
    /// Replaces a unit that is not as an installation left it.
    #[arg(long)]
    pub force: bool,
    /// Prints the unit and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// `service install server`.
#[derive(Debug, Clone, Args)]
pub struct InstallServerArgs {
    /// The configuration.
    #[arg(long)]
    pub config: PathBuf,
    /// A file of variables that complete the configuration.
    #[arg(long)]
    pub env_file: Option<PathBuf>,
    /// Accepts a tunnel without TLS that other machines can reach.
    #[arg(long)]
    pub insecure: bool,
    /// How it is installed.
    #[command(flatten)]
    pub install: InstallArgs,
}

/// `service install client`.
#[derive(Debug, Clone, Args)]
pub struct InstallClientArgs {
    /// The server; of a join code, the token goes into a file.
    #[command(flatten)]
    pub peer: super::PeerArgs,
    /// What the client wants to be called below the name of its token.
    #[arg(long)]
    pub client_name: Option<String>,
    /// How it is installed.
    #[command(flatten)]
    pub install: InstallArgs,
}

/// Which service is meant.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs {
    /// What it runs; `None` for both.
    #[arg(value_enum, conflicts_with = "name")]
    pub role: Option<RoleChoice>,
    /// Whose it is.
    #[command(flatten)]
    pub scope: ServiceScopeArgs,
    /// Asks nothing; only a removal would.
    #[arg(long, short)]
    pub yes: bool,
}

/// `service uninstall`.
#[derive(Debug, Clone, Args)]
pub struct ServiceRemoveArgs {
    /// Which service.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Removes a unit that is not as an installation left it.
    #[arg(long)]
    pub force: bool,
}

/// What a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleChoice {
    /// The tunnel server.
    Server,
    /// The tunnel client.
    Client,
}
