//! What can be typed after `tunnel` and `mapping`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::values::{self, MappingTarget};
use crate::model::{Port, PortRange};
use crate::tunnel::caller::ApiUrl;

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
    Create(Box<MappingArgs>),
    /// Closes a mapping.
    Remove(MappingPortArgs),
    /// Changes what is named and leaves the rest.
    Update(Box<MappingUpdateArgs>),
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
    /// The certificate of the authority that vouches for the proxy of an API at `https://`.
    #[arg(long)]
    pub ca: Option<PathBuf>,
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

/// Where the visitors of a mapping are led, and how.
#[derive(Debug, Clone, Args)]
pub struct WayArgs {
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
}

/// A mapping, as far as it is typed: all of `mapping create`, and most of `mapping update`.
#[derive(Debug, Clone, Args)]
pub struct MappingArgs {
    /// The public port.
    #[arg(value_parser = values::one_port)]
    pub port: Port,
    /// Where visitors are led.
    #[command(flatten)]
    pub way: WayArgs,
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
    /// What is typed of it; the rest stays.
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// Lets everyone visit it.
    #[arg(long, conflicts_with_all = ["allow", "deny"])]
    pub open: bool,
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
    /// Asks nothing, which this verb never does.
    #[arg(long, short)]
    pub yes: bool,
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

/// Which server a client connects to, and how the two know each other.
#[derive(Debug, Clone, Args)]
pub struct PeerArgs {
    /// The server, `HOST:PORT`.
    #[arg(long, required_unless_present = "join")]
    pub server: Option<String>,
    /// A join code, which holds server, token and pin.
    #[arg(long, conflicts_with_all = ["server", "token_file", "pin", "ca"])]
    pub join: Option<String>,
    /// The file that holds the token; `-` for standard input, where somebody is there to type it.
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
    /// What the server may reach here.
    #[arg(long = "expose")]
    pub exposes: Vec<String>,
}

/// `tunnel client`.
#[derive(Debug, Clone, Args)]
pub struct TunnelClientArgs {
    /// The server.
    #[command(flatten)]
    pub peer: PeerArgs,
    /// The server speaks version 1, the predecessor's protocol.
    #[arg(long, requires = "server", conflicts_with_all = ["join", "token_file", "pin", "ca", "cert", "name"])]
    pub legacy_v1: bool,
    /// What the client wants to be called below the name of its token.
    #[arg(long)]
    pub name: Option<String>,
}
