//! What can be typed: the verbs, their flags and the types that their values become.
//!
//! The doc comments here are for developers; what a person reads comes from [`crate::words::help`], put in place by
//! [`super::command`], which also fails a test for any argument without a text.

mod bench;
mod daemon;
mod doctor;
mod pool;
mod tune;
mod tunnel;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::values;
use crate::model::{Port, PortRange};
use crate::words::Lang;

pub use bench::*;
pub use daemon::*;
pub use doctor::*;
pub use pool::*;
pub use tune::*;
pub use tunnel::*;

/// A whole command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "portwright", version, disable_help_flag = true, disable_version_flag = true)]
#[command(long_version = concat!(env!("CARGO_PKG_VERSION"), "\n", env!("PORTWRIGHT_BUILD")))]
#[command(disable_help_subcommand = true, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// The flags that every verb takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// Prints the version and exits.
    #[arg(long, short = 'V', action = ArgAction::Version)]
    pub version: Option<bool>,
    /// The verb with its own flags.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The flags that every verb takes, before it or after it.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// The project directory; `None` for the working directory, or for the user's data directory where `quick-start`
    /// finds no project.
    #[arg(long, short = 'C', global = true)]
    pub directory: Option<PathBuf>,
    /// Whether stdout gets one JSON document.
    #[arg(long, global = true)]
    pub json: bool,
    /// Whether only errors and data are printed.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// How much more than usual is said: 0, 1 or 2 and more.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// When colour is used.
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
    /// The language, when it is not that of the locale.
    #[arg(long, global = true, value_parser = values::LangParser)]
    pub lang: Option<Lang>,
    /// Prints help and exits.
    #[arg(long, short, global = true, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A verb.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// The wizard: observe, plan, confirm, apply, launch, verify.
    #[command(alias = "up")]
    QuickStart(Box<QuickStartArgs>),
    /// Preflight alone.
    Check(CheckArgs),
    /// Listening sockets and free ports.
    Scan(ScanArgs),
    /// One port: who has it, who wants it, and the ways out.
    Why(WhyArgs),
    /// The health of the machine, the engine, the project and the tunnel.
    Doctor(Box<DoctorArgs>),
    /// Puts back what the last run changed.
    Undo(UndoArgs),
    /// The state of the launched service.
    Status(StatusArgs),
    /// The output of the launched service.
    Logs(LogsArgs),
    /// Stops and removes the launched service.
    Down(DownArgs),
    /// The tunnel.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Tunnel {
        /// What of the tunnel.
        #[command(subcommand)]
        verb: TunnelVerb,
    },
    /// Port leases.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Pool {
        /// What of the pool.
        #[command(subcommand)]
        verb: PoolVerb,
    },
    /// The tunnel server and client as services of the system.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Service {
        /// What of services.
        #[command(subcommand)]
        verb: ServiceVerb,
    },
    /// Mappings of a running tunnel server.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Mapping {
        /// What to do.
        #[command(subcommand)]
        verb: MappingVerb,
    },
    /// Settings of the system's network.
    #[command(args_conflicts_with_subcommands = true)]
    Tune(TuneArgs),
    /// The load test.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Bench(BenchArgs),
    /// A script that completes the command line in a shell.
    Completions(CompletionsArgs),
    /// Pages for `man`.
    Man(ManArgs),
    /// Keeps a native service running; started by ourselves, never by a person.
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// Becomes a program that was given sockets; started by ourselves, never by a person.
    #[command(hide = true)]
    Become(BecomeArgs),
}

/// `why`.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    /// The port.
    #[arg(value_parser = values::one_port)]
    pub port: Port,
    /// The compose files of the project that may want it; empty to look for them.
    #[arg(long = "file", short = 'f')]
    pub files: Vec<PathBuf>,
}

/// `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// The verb whose page is printed; none for the program's own.
    pub verbs: Vec<String>,
    /// The folder that all pages are written into.
    #[arg(long, conflicts_with = "verbs")]
    pub to: Option<PathBuf>,
}

/// Which project is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct ProjectArgs {
    /// The compose files, in the order in which they are merged; empty to look for them.
    #[arg(long = "file", short = 'f')]
    pub files: Vec<PathBuf>,
    /// The file that stands for `.env`.
    #[arg(long)]
    pub env_file: Option<PathBuf>,
    /// The compose profiles to activate.
    #[arg(long = "profile")]
    pub profiles: Vec<String>,
    /// Which copy of the project is meant; `None` for the project itself.
    #[arg(long, value_parser = values::instance_name)]
    pub instance: Option<String>,
}

/// `quick-start`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one field for each flag of the command line")]
pub struct QuickStartArgs {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Asks nothing; conflicts are resolved automatically.
    #[arg(long, short)]
    pub yes: bool,
    /// What is done about a conflict; `None` for `ask` on a terminal and `fail` elsewhere.
    #[arg(long, value_enum)]
    pub on_conflict: Option<OnConflict>,
    /// Ports that the person chose.
    #[arg(long = "port", value_parser = values::port_wish)]
    pub ports: Vec<PortWish>,
    /// Where automatic choice looks.
    #[arg(long, value_parser = values::port_range)]
    pub range: Option<PortRange>,
    /// Shows the plan and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Changes the files and launches nothing.
    #[arg(long)]
    pub no_launch: bool,
    /// How long verification may take.
    #[arg(long, value_parser = values::seconds)]
    pub wait: Option<Duration>,
    /// What runs the bundled tunnel server.
    #[arg(long, value_enum, default_value_t = RuntimeChoice::Auto)]
    pub runtime: RuntimeChoice,
    /// The address on which generated services are published.
    #[arg(long, value_parser = values::address)]
    pub bind: Option<IpAddr>,
    /// Treats warnings as conflicts.
    #[arg(long)]
    pub strict: bool,
    /// Writes ports into `compose.override.yaml` and leaves the compose file alone.
    #[arg(long = "override")]
    pub override_file: bool,
    /// Also changes the other places that name a moved port.
    #[arg(long)]
    pub ripple: bool,
    /// Follows a symbolic link that leaves the project.
    #[arg(long)]
    pub follow: bool,
    /// Also changes the settings of the system that this host needs.
    #[arg(long)]
    pub tune: bool,
}

/// What is done about a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// Ask the person.
    Ask,
    /// Take a free port.
    Auto,
    /// Keep the port as it is.
    Keep,
    /// Stop and change nothing.
    Fail,
}

/// What runs the bundled tunnel server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeChoice {
    /// Docker or Podman where they answer, else a native process.
    Auto,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// A supervised process.
    Native,
    /// Nothing.
    None,
}

/// A port that a person chose: `NAME=PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortWish {
    /// An `.env` variable, a service, or `service:container_port`.
    pub name: String,
    /// The port.
    pub port: Port,
}

/// `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Where suggestions are looked for.
    #[arg(long, value_parser = values::port_range)]
    pub range: Option<PortRange>,
    /// Treats warnings as conflicts.
    #[arg(long)]
    pub strict: bool,
    /// The form of what is printed; `None` for text, or JSON with `--json`.
    #[arg(long, value_enum, conflicts_with = "json")]
    pub format: Option<ReportFormat>,
    /// Reports to write beside it.
    #[arg(long = "report", value_delimiter = ',', value_parser = values::report_target)]
    pub reports: Vec<ReportTarget>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// The contract's document.
    Json,
    /// Annotations of GitHub Actions.
    Github,
    /// `JUnit` XML.
    Junit,
    /// SARIF 2.1.0.
    Sarif,
}

/// A report to write: `KIND=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportTarget {
    /// Its form.
    pub format: ReportFormat,
    /// Where to.
    pub file: PathBuf,
}

/// `scan`.
#[derive(Debug, Clone, Args)]
pub struct ScanArgs {
    /// The ports to look at; `None` for all.
    #[arg(long, value_parser = values::port_range)]
    pub range: Option<PortRange>,
    /// How many free ports to name.
    #[arg(long, value_parser = values::count)]
    pub free: Option<u16>,
    /// The protocol to look at.
    #[arg(long, value_enum, default_value_t = ProtocolFilter::All)]
    pub protocol: ProtocolFilter,
    /// Only sockets of processes with this name.
    #[arg(long)]
    pub process: Option<String>,
    /// Looks again and again until interrupted.
    #[arg(long)]
    pub watch: bool,
    /// How long to wait between two looks.
    #[arg(long, value_parser = values::seconds, requires = "watch")]
    pub interval: Option<Duration>,
}

/// A choice of protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProtocolFilter {
    /// TCP alone.
    Tcp,
    /// UDP alone.
    Udp,
    /// Both.
    All,
}

/// `undo`.
#[derive(Debug, Clone, Args)]
pub struct UndoArgs {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
}

/// `logs`, where `-f` is short for `--follow`, as with every program that prints logs.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("files", |files| files.short(None)))]
pub struct LogsArgs {
    /// The service; `None` for all.
    pub service: Option<String>,
    /// Keeps printing until interrupted.
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// How many of the last lines to print.
    #[arg(long, value_parser = values::lines)]
    pub tail: Option<u32>,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
}

/// `down`.
#[derive(Debug, Clone, Args)]
pub struct DownArgs {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// `supervise`.
#[derive(Debug, Clone, Args)]
pub struct SuperviseArgs {
    /// The folder for the state of the service: its process id and its output.
    #[arg(long)]
    pub state: PathBuf,
    /// The file that describes the service.
    #[arg(long)]
    pub spec: PathBuf,
}

impl Verb {
    /// Returns the name by which the verb's JSON documents are known: `portwright.<name>/1`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::QuickStart(_) => "quick-start",
            Self::Check(_) => "check",
            Self::Scan(_) => "scan",
            Self::Why(_) => "why",
            Self::Doctor(_) => "doctor",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Undo(_) => "undo",
            Self::Status(_) => "status",
            Self::Logs(_) => "logs",
            Self::Down(_) => "down",
            Self::Tunnel { verb: TunnelVerb::Status(_) } => "tunnel.status",
            Self::Tunnel { .. } => "tunnel",
            Self::Pool { .. } => "pool",
            Self::Tune(_) => "tune",
            Self::Service { .. } => "service",
            Self::Mapping { verb } => match verb {
                MappingVerb::Create(_) => "mapping.create",
                MappingVerb::Remove(_) => "mapping.remove",
                MappingVerb::Update(_) => "mapping.update",
                MappingVerb::Reload(_) => "mapping.reload",
                MappingVerb::List(_) => "mapping.list",
                MappingVerb::Import(_) => "mapping.import",
            },
            Self::Bench(BenchArgs { verb: Some(BenchVerb::Serve(_)), .. }) => "bench-serve",
            Self::Bench(_) => "bench",
            Self::Supervise(_) => "supervise",
            Self::Become(_) => "become",
        }
    }
}
