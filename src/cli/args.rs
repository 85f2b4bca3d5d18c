//! What can be typed: the verbs, their flags and the types that their values become.
//!
//! The doc comments here are for developers; what a person reads comes from [`crate::words::help`], put in place by
//! [`super::command`], which also fails a test for any argument without a text.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::values::{self, MappingTarget};
use crate::bench::plan::Test;
use crate::model::{Port, PortRange};
use crate::tunnel::caller::ApiUrl;
use crate::words::Lang;

/// A whole command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "portwright", version, disable_help_flag = true, disable_version_flag = true)]
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
    /// Mappings of a running tunnel server.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Mapping {
        /// What to do.
        #[command(subcommand)]
        verb: MappingVerb,
    },
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

/// A verb of the tunnel.
#[derive(Debug, Clone, Subcommand)]
pub enum TunnelVerb {
    /// Runs the tunnel server until it is stopped.
    Server(ServeArgs),
    /// Connects this machine to a tunnel server, and stays connected.
    Client(Box<TunnelClientArgs>),
    /// Makes, lists and revokes the tokens of clients.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Token {
        /// What to do.
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// How a running server is, and who is connected.
    Status(ApiArgs),
    /// Asks the server of a configuration whether it is well; the container's health check.
    #[command(hide = true)]
    Health(TunnelServerArgs),
}

/// A verb of mappings.
#[derive(Debug, Clone, Subcommand)]
pub enum MappingVerb {
    /// Opens a mapping and keeps it.
    Create(Box<MappingCreateArgs>),
    /// Closes a mapping.
    Remove(MappingPortArgs),
    /// Changes what is named and leaves the rest.
    Update(MappingUpdateArgs),
    /// Closes a listener and opens it anew.
    Reload(MappingPortArgs),
    /// Lists all mappings.
    List(ApiArgs),
    /// Makes mappings from other programs' files.
    Import(MappingImportArgs),
}

/// Where an API is, and its key.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// The API; `None` for that of the directory's `.env`.
    #[arg(long, value_parser = values::api_url)]
    pub api: Option<ApiUrl>,
    /// The file that holds its key; `None` for the variable or the directory's `.env`.
    #[arg(long)]
    pub api_key_file: Option<PathBuf>,
}

/// Who may visit a mapping.
#[derive(Debug, Clone, Args)]
pub struct AccessArgs {
    /// Only these networks.
    #[arg(long, value_delimiter = ',', conflicts_with = "deny")]
    pub allow: Vec<String>,
    /// Everyone but these networks.
    #[arg(long, value_delimiter = ',')]
    pub deny: Vec<String>,
}

/// `mapping create`.
#[derive(Debug, Clone, Args)]
pub struct MappingCreateArgs {
    /// The public port.
    #[arg(value_parser = values::one_port)]
    pub port: Port,
    /// The target: `PORT`, `HOST` or `HOST:PORT`.
    #[arg(long, value_parser = values::mapping_target)]
    pub target: Option<MappingTarget>,
    /// The client that reaches it.
    #[arg(long, conflicts_with = "direct")]
    pub client: Option<String>,
    /// Whether a client reaches the target.
    #[arg(long, conflicts_with = "direct")]
    pub tunnel: bool,
    /// Whether the server itself reaches the target.
    #[arg(long)]
    pub direct: bool,
    /// `tcp` or `udp`.
    #[arg(long)]
    pub protocol: Option<String>,
    /// `v1` or `v2`.
    #[arg(long)]
    pub proxy_protocol: Option<String>,
    /// Bytes a second in each direction; 0 for none.
    #[arg(long, value_parser = values::bytes_per_second)]
    pub limit: Option<u64>,
    /// Who may visit it.
    #[command(flatten)]
    pub access: AccessArgs,
    /// What people call it.
    #[arg(long)]
    pub name: Option<String>,
    /// The server.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Asks nothing, which this verb never does.
    #[arg(long, short)]
    pub yes: bool,
}

/// `mapping update`.
#[derive(Debug, Clone, Args)]
pub struct MappingUpdateArgs {
    /// The public port.
    #[arg(value_parser = values::one_port)]
    pub port: Port,
    /// Bytes a second in each direction; 0 for none.
    #[arg(long, value_parser = values::bytes_per_second)]
    pub limit: Option<u64>,
    /// Who may visit it.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Lets everyone visit it.
    #[arg(long, conflicts_with_all = ["allow", "deny"])]
    pub open: bool,
    /// What people call it.
    #[arg(long)]
    pub name: Option<String>,
    /// The server.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Asks nothing, which this verb never does.
    #[arg(long, short)]
    pub yes: bool,
}

/// `mapping import`.
#[derive(Debug, Clone, Args)]
pub struct MappingImportArgs {
    /// The files.
    #[arg(required = true)]
    pub imports: Vec<PathBuf>,
    /// The client that reaches the targets; `None` for the usual one.
    #[arg(long)]
    pub client: Option<String>,
    /// The server.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// `mapping remove` and `mapping reload`.
#[derive(Debug, Clone, Args)]
pub struct MappingPortArgs {
    /// The public port.
    #[arg(value_parser = values::one_port)]
    pub port: Port,
    /// The server.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// A verb of tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenVerb {
    /// Makes a token and prints it, this once.
    Create(TokenCreateArgs),
    /// Lists the tokens.
    List(TokenServerArgs),
    /// Takes a token back.
    Revoke(TokenRevokeArgs),
}

/// The server whose tokens are meant: that of the files, else the one that was launched.
#[derive(Debug, Clone, Args)]
pub struct TokenServerArgs {
    /// The configuration; without it, the server that was launched for the directory.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// A file of variables that complete the configuration.
    #[arg(long, requires = "config")]
    pub env_file: Option<PathBuf>,
    /// The copy of the launched server.
    #[arg(long, conflicts_with = "config", value_parser = values::instance_name)]
    pub instance: Option<String>,
}

/// `tunnel token create`.
#[derive(Debug, Clone, Args)]
pub struct TokenCreateArgs {
    /// The server whose token it is.
    #[command(flatten)]
    pub server: TokenServerArgs,
    /// What to call it.
    #[arg(long)]
    pub name: String,
    /// The public ports that its clients may serve; none for all.
    #[arg(long, value_parser = values::port_range)]
    pub ports: Vec<PortRange>,
}

/// `tunnel token revoke`.
#[derive(Debug, Clone, Args)]
pub struct TokenRevokeArgs {
    /// The token: its name or its id.
    pub token: String,
    /// The server whose token it is.
    #[command(flatten)]
    pub server: TokenServerArgs,
    /// Asks nothing.
    #[arg(long, short)]
    pub yes: bool,
}

/// Whatever works on the files of a server.
#[derive(Debug, Clone, Args)]
pub struct TunnelServerArgs {
    /// The configuration.
    #[arg(long)]
    pub config: PathBuf,
    /// A file of variables that complete the configuration.
    #[arg(long)]
    pub env_file: Option<PathBuf>,
}

/// `tunnel server`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// The server.
    #[command(flatten)]
    pub server: TunnelServerArgs,
    /// Accepts a tunnel without TLS that other machines can reach.
    #[arg(long)]
    pub insecure: bool,
    /// Makes no token at the first start, and so prints no join code.
    #[arg(long)]
    pub no_first_token: bool,
}

/// `tunnel client`.
#[derive(Debug, Clone, Args)]
pub struct TunnelClientArgs {
    /// The server, `HOST:PORT`.
    #[arg(long, required_unless_present = "join")]
    pub server: Option<String>,
    /// A join code, which holds server, token and pin.
    #[arg(long, conflicts_with_all = ["server", "token_file", "pin", "ca"])]
    pub join: Option<String>,
    /// The file that holds the token; `-` for standard input.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// The fingerprint of the server's key.
    #[arg(long, conflicts_with = "ca")]
    pub pin: Option<String>,
    /// The certificate of the authority that certifies the server.
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// The client's own certificate, where the server asks for one.
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// Does without TLS, also towards another machine.
    #[arg(long, conflicts_with_all = ["pin", "ca", "cert"])]
    pub insecure: bool,
    /// The server speaks version 1, the predecessor's protocol.
    #[arg(long, requires = "server", conflicts_with_all = ["join", "token_file", "pin", "ca", "cert", "name"])]
    pub legacy_v1: bool,
    /// What the client wants to be called below the name of its token.
    #[arg(long)]
    pub name: Option<String>,
    /// What the server may reach here.
    #[arg(long = "expose")]
    pub exposes: Vec<String>,
}

/// A verb of the pool.
#[derive(Debug, Clone, Subcommand)]
pub enum PoolVerb {
    /// Leases ports and prints them.
    Alloc(PoolAllocArgs),
    /// Gives leases back.
    Release(PoolReleaseArgs),
    /// Lets leases begin anew.
    Renew(PoolRenewArgs),
    /// Lists the leases.
    List(PoolArgs),
    /// Counts the ports of each WAN.
    Usage(PoolArgs),
    /// Gives back what is over.
    Gc(PoolArgs),
    /// Leases ports for the life of a program.
    Run(PoolRunArgs),
}

impl PoolVerb {
    /// Returns which pool is meant.
    #[must_use]
    pub const fn pool(&self) -> &PoolArgs {
        match self {
            Self::Alloc(typed) => &typed.lease.pool,
            Self::Run(typed) => &typed.lease.pool,
            Self::Release(typed) => &typed.which.pool,
            Self::Renew(typed) => &typed.which.pool,
            Self::List(pool) | Self::Usage(pool) | Self::Gc(pool) => pool,
        }
    }
}

/// Which pool is meant.
#[derive(Debug, Clone, Args)]
pub struct PoolArgs {
    /// The file of the pool; `None` for the user's own.
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// The file that names the WANs; `None` for `pool.toml` of the project, or of the user.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Accepts a file system whose locks may not hold between machines.
    #[arg(long)]
    pub weak_disk: bool,
    /// How long the lock is waited for; `None` for 10 s.
    #[arg(long, value_parser = values::seconds)]
    pub wait: Option<Duration>,
}

/// What is leased.
#[derive(Debug, Clone, Args)]
pub struct PoolLeaseArgs {
    /// Which pool.
    #[command(flatten)]
    pub pool: PoolArgs,
    /// The WAN; `None` for the one with the lowest index.
    #[arg(long)]
    pub wan: Option<u32>,
    /// How many ports.
    #[arg(long, short = 'n', value_parser = values::count, default_value = "1")]
    pub count: u16,
    /// Whether they must follow one another.
    #[arg(long)]
    pub contiguous: bool,
    /// Where to look; `None` for the range of the WAN.
    #[arg(long, value_parser = values::port_range)]
    pub range: Option<PortRange>,
    /// How long the lease lasts; `None` for a day.
    #[arg(long, value_parser = values::lifetime)]
    pub ttl: Option<Duration>,
    /// What for.
    #[arg(long)]
    pub purpose: Option<String>,
}

/// `pool alloc`.
#[derive(Debug, Clone, Args)]
pub struct PoolAllocArgs {
    /// What is leased.
    #[command(flatten)]
    pub lease: PoolLeaseArgs,
    /// The process that holds the lease; `None` for the one that called this.
    #[arg(long, value_parser = values::process_id)]
    pub pid: Option<u32>,
}

/// Which leases are meant.
#[derive(Debug, Clone, Args)]
pub struct PoolWhichArgs {
    /// Which pool.
    #[command(flatten)]
    pub pool: PoolArgs,
    /// The ports.
    #[arg(value_parser = values::one_port, required_unless_present_any = ["id", "pid"])]
    pub ports: Vec<Port>,
    /// The WAN of the ports; `None` where each is leased on one alone.
    #[arg(long, requires = "ports")]
    pub wan: Option<u32>,
    /// The id of a lease.
    #[arg(long, conflicts_with_all = ["ports", "pid"])]
    pub id: Option<String>,
    /// The process that holds them.
    #[arg(long, value_parser = values::process_id, conflicts_with = "ports")]
    pub pid: Option<u32>,
}

/// `pool release`.
#[derive(Debug, Clone, Args)]
pub struct PoolReleaseArgs {
    /// Which leases.
    #[command(flatten)]
    pub which: PoolWhichArgs,
}

/// `pool renew`.
#[derive(Debug, Clone, Args)]
pub struct PoolRenewArgs {
    /// Which leases.
    #[command(flatten)]
    pub which: PoolWhichArgs,
    /// How long they last from now; `None` for as long as before.
    #[arg(long, value_parser = values::lifetime)]
    pub ttl: Option<Duration>,
}

/// `pool run`.
#[derive(Debug, Clone, Args)]
pub struct PoolRunArgs {
    /// What is leased.
    #[command(flatten)]
    pub lease: PoolLeaseArgs,
    /// Keeps a socket bound to each port meanwhile.
    #[arg(long)]
    pub hold: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The target of its own, in place of a test.
    #[command(subcommand)]
    pub verb: Option<BenchVerb>,
    /// The address to test; there unless a verb is.
    #[arg(required = true)]
    pub target: Option<String>,
    /// The tests; empty for the suite.
    #[arg(long = "test", value_delimiter = ',', value_parser = values::bench_tests)]
    pub tests: Vec<BenchTests>,
    /// Connections at a time; `None` for what suits each test.
    #[arg(long, value_parser = values::connections)]
    pub connections: Option<usize>,
    /// Bytes of a message or of a write; `None` for what suits each test.
    #[arg(long, value_parser = values::message_bytes)]
    pub size: Option<usize>,
    /// How long each test is measured; `None` for what suits it.
    #[arg(long, value_parser = values::bench_seconds)]
    pub duration: Option<Duration>,
    /// How often everything is measured.
    #[arg(long, value_parser = values::rounds, default_value = "1")]
    pub rounds: u32,
    /// An address to measure in the same run, to compare with.
    #[arg(long)]
    pub direct: Option<String>,
    /// A report to write; its name says in which form.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Whether the target is a plain echo server.
    #[arg(long)]
    pub echo: bool,
    /// Whether the target is a service that is not spoken to.
    #[arg(long, conflicts_with = "echo")]
    pub no_data: bool,
}

/// What `--test` names: one test, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchTests {
    /// One.
    One(Test),
    /// All.
    All,
}

/// What of the load test.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchVerb {
    /// Runs the target until it is stopped.
    Serve(BenchServeArgs),
}

/// `bench serve`.
#[derive(Debug, Clone, Args)]
pub struct BenchServeArgs {
    /// Where it listens; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
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
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Undo(_) => "undo",
            Self::Status(_) => "status",
            Self::Logs(_) => "logs",
            Self::Down(_) => "down",
            Self::Tunnel { verb: TunnelVerb::Status(_) } => "tunnel.status",
            Self::Tunnel { .. } => "tunnel",
            Self::Pool { .. } => "pool",
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
        }
    }
}
