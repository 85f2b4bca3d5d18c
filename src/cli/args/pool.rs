//! What can be typed after `pool`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand, ValueEnum};

use crate::cli::values;
use crate::model::{Port, PortRange, Protocol, Secret};

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
    /// The URL of a store that several machines share, in place of the file.
    #[arg(long, value_parser = clap::builder::StringValueParser::new().map(Secret::new), conflicts_with = "state")]
    pub store: Option<Secret>,
    /// The file that holds this URL.
    #[arg(long, conflicts_with_all = ["state", "store"])]
    pub store_file: Option<PathBuf>,
    /// The group of hosts in the store; `None` for `default`.
    #[arg(long)]
    pub group: Option<String>,
    /// The file that names the WANs; `None` for `pool.toml` of the project, or of the user.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Accepts a file system whose locks may not hold between machines.
    #[arg(long)]
    pub weak_disk: bool,
    /// How long the lock, or each answer of the store, is waited for; `None` for 10 s.
    #[arg(long, value_parser = values::seconds)]
    pub wait: Option<Duration>,
    /// Asks nothing, which these verbs never do.
    #[arg(long, short)]
    pub yes: bool,
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
    /// How long the lease lasts; `None` for a day, or for what suits a store.
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
    /// Listens on each port and passes the sockets on (`LISTEN_FDS`); alone for TCP.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "tcp", conflicts_with = "hold")]
    pub listen: Option<ListenChoice>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// What sockets a program is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListenChoice {
    /// TCP, listening.
    Tcp,
    /// UDP, bound.
    Udp,
    /// One of each for each port.
    Both,
}

impl ListenChoice {
    /// Returns the protocols, in the order of the sockets of a port.
    #[must_use]
    pub const fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Tcp => &[Protocol::Tcp],
            Self::Udp => &[Protocol::Udp],
            Self::Both => &[Protocol::Tcp, Protocol::Udp],
        }
    }
}

/// `become`.
#[derive(Debug, Clone, Args)]
pub struct BecomeArgs {
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}
