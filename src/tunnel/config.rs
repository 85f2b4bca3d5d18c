//! The configuration of the server: YAML text and environment variables → [`ServerConfig`], with nothing left optional.
//!
//! Pure; the file that holds the key is read by a function of the caller. Variables override the file. The keys are
//! the predecessor's, so that its file loads unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::address::ServerAddress;
use super::policy::{Cidr, Host, TargetPolicy};
use super::settings::{self, Setting, Settings, variable};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Port, PortRange, Secret};
use crate::words::tunnel::{TunnelWords, Wanting};

/// Everything the server needs to know before it opens its first socket.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Which public ports a mapping may have, and where they listen.
    pub ports: MappingPorts,
    /// The tunnel's own listener.
    pub tunnel: TunnelSettings,
    /// The HTTP API.
    pub api: ApiSettings,
    /// Where the mappings are kept.
    pub database: DatabaseSettings,
    /// Recording of traffic.
    pub stats: StatsSettings,
    /// Which targets a direct mapping may reach.
    pub targets: TargetPolicy,
    /// What is logged, and how.
    pub log: LogSettings,
    /// What `/health` returns as `instance`, from `PORTWRIGHT_INSTANCE`; tells a launcher its own server from a
    /// foreign one. Empty when nobody set it.
    pub instance: String,
    /// Whether a first start makes a token and shows its join code; never from a file.
    pub first_token: bool,
}

/// Returns the variables that are meant for the server and set nothing, each with the one that is nearest.
#[must_use]
pub fn misspelt_variables(environment: &BTreeMap<String, String>) -> Vec<(String, String)> {
    environment.keys().filter_map(|name| Some((name.clone(), settings::misspelt(name)?))).collect()
}

/// Public ports of mappings.
#[derive(Debug, Clone)]
pub struct MappingPorts {
    /// `port_range.from` to `port_range.end`.
    pub range: PortRange,
    /// `security.port_range.blacklist`: never opened, even inside the range.
    pub blacklist: BTreeSet<Port>,
    /// `port_range.listen`: the address of the listeners, `0.0.0.0` unless given.
    pub listen: IpAddr,
}

/// The section `tunnel`.
#[derive(Debug, Clone)]
pub struct TunnelSettings {
    /// Whether clients may connect at all.
    pub enabled: bool,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// What clients dial, where that is not what the server listens on.
    pub address: Option<ServerAddress>,
    /// Whether the link is encrypted, and with whose certificate.
    pub tls: Tls,
    /// Whether a person insists on plaintext that other machines can reach; never from a file.
    pub insecure: bool,
    /// Whether clients of the predecessor are let in.
    pub legacy_v1: bool,
    /// What is subtracted from a public port to get the port behind the tunnel.
    pub target_offset: u16,
}

/// `tunnel.tls` and the files that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Plaintext; only on loopback, or where `--insecure` is given.
    Off,
    /// TLS 1.3.
    On {
        /// Certificate and key; `None` makes one at the first start.
        files: Option<(PathBuf, PathBuf)>,
        /// The authority that clients must be certified by, if they must be.
        client_ca: Option<PathBuf>,
    },
}

/// The section `api`.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The key; at least [`KEY_LENGTH_MIN`] characters and no known example.
    pub key: Secret,
    /// Networks whose requests are answered; empty means all.
    pub allowed_ips: Vec<Cidr>,
    /// Names that a `Host` header may carry, besides loopback and the listening address.
    pub allowed_hosts: Vec<String>,
    /// Requests a second that one address may make.
    pub rate_limit: u32,
    /// Whether `/metrics` is answered without the key.
    pub metrics_public: bool,
}

/// The section `database`.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The `SQLite` file. Certificate and key stand beside it, also where the mappings are kept elsewhere.
    pub path: PathBuf,
    /// The database that several servers share, in place of the file.
    pub shared: Option<SharedDatabase>,
}

/// Where the address of a shared database stands; it may hold a password.
#[derive(Debug, Clone)]
pub enum SharedDatabase {
    /// `database.url`.
    Url(Secret),
    /// `database.url_file`, which nobody else may read.
    File(PathBuf),
}

/// The section `stats`.
#[derive(Debug, Clone, Copy)]
pub struct StatsSettings {
    /// Whether traffic is recorded.
    pub enabled: bool,
    /// Seconds between two records.
    pub record_interval_s: u32,
    /// Days until a record is deleted.
    pub retention_days: u32,
}

/// The section `log`.
#[derive(Debug, Clone, Copy)]
pub struct LogSettings {
    /// The least important level that is written.
    pub level: LogLevel,
    /// How a line is written.
    pub format: LogFormat,
}

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what stops the server or a mapping.
    Error,
    /// And what a person should look at.
    Warn,
    /// And what happens in the ordinary course.
    Info,
    /// And single connections.
    Debug,
    /// Everything.
    Trace,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line for an event.
    Text,
    /// One JSON object for an event.
    Json,
}

/// The shortest key that is accepted, in characters: 16 random letters are out of reach at any rate limit.
pub const KEY_LENGTH_MIN: usize = 16;

/// Fewer different characters than this are a pattern, not a random key.
const KEY_LETTERS_MIN: usize = 5;

/// Keys, and parts of keys, that stand in examples; compared without case.
const KEY_EXAMPLES: [&str; 9] = [
    "your-secret",
    "your_secret",
    "changeme",
    "change-me",
    "change_me",
    "linux.do",
    "placeholder",
    "example",
    "replace-with",
];

/// Keys that are refused as a whole; they are short today, and stay refused should the shortest key shrink.
const KEY_WORDS: [&str; 5] = ["secret", "admin", "password", "portwright", "0123456789abcdef"];

/// The variable that a launcher sets to a random value, and that `/health` returns.
pub const INSTANCE_VARIABLE: &str = "PORTWRIGHT_INSTANCE";

impl ServerConfig {
    /// Reads `yaml` and lets `environment` override it. `read_key` returns the contents of `api.api_key_file` and is
    /// called only where that is set; it checks that nobody else can read the file.
    ///
    /// An unknown, repeated or unreadable key is a [`ErrorKind::Usage`] that names it; a missing or weak API key is
    /// [`ErrorKind::Refused`].
    pub fn parse(
        yaml: &str,
        environment: &BTreeMap<String, String>,
        read_key: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Self> {
        let mut settings = settings::from_yaml(yaml)?;
        settings::overlay(&mut settings, environment)?;
        let given = Given(&settings);
        Ok(Self {
            ports: given.mapping_ports()?,
            tunnel: given.tunnel()?,
            api: given.api(read_key)?,
            database: given.database()?,
            stats: StatsSettings {
                enabled: given.flag("stats.enabled", true)?,
                record_interval_s: given.positive("stats.record_interval", 60)?,
                retention_days: given.positive("stats.retention_days", 7)?,
            },
            targets: TargetPolicy {
                allow: given.list("security.targets.allow", &Wanting::TargetEntry)?.unwrap_or_default(),
                deny: given.list("security.targets.deny", &Wanting::TargetEntry)?.unwrap_or_default(),
            },
            log: given.log()?,
            instance: environment.get(INSTANCE_VARIABLE).cloned().unwrap_or_default(),
            first_token: true,
        })
    }

    /// Reads only where the API listens, for a health check that has no business with the key.
    pub fn api_address(yaml: &str, environment: &BTreeMap<String, String>) -> Result<SocketAddr> {
        let mut settings = settings::from_yaml(yaml)?;
        settings::overlay(&mut settings, environment)?;
        Given(&settings).api_address()
    }
}

/// What a verb that issues tokens needs to know of a configuration.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// The tunnel's own listener.
    pub tunnel: TunnelSettings,
    /// Where the tokens are kept.
    pub database: DatabaseSettings,
}

impl IssuerConfig {
    /// Reads what concerns tokens, and leaves the API and its key alone.
    pub fn parse(yaml: &str, environment: &BTreeMap<String, String>) -> Result<Self> {
        let mut settings = settings::from_yaml(yaml)?;
        settings::overlay(&mut settings, environment)?;
        let given = Given(&settings);
        Ok(Self { tunnel: given.tunnel()?, database: given.database()? })
    }
}

/// Typed access to the settings that were given.
struct Given<'a>(&'a Settings);

impl Given<'_> {
    fn text(&self, key: &'static str) -> Result<Option<String>> {
        match self.0.get(key) {
            None | Some(Setting::Null) => Ok(None),
            Some(Setting::Text(text) | Setting::Plain(text)) if text.is_empty() => Ok(None),
            Some(Setting::Text(text) | Setting::Plain(text)) => Ok(Some(text.clone())),
            Some(Setting::List(_)) => Err(wrong(key, Wanting::OneValue)),
        }
    }

    fn read<T: FromStr>(&self, key: &'static str, wanted: Wanting) -> Result<Option<T>> {
        self.text(key)?.map(|text| text.parse().map_err(|_| wrong(key, wanted))).transpose()
    }

    fn flag(&self, key: &'static str, default: bool) -> Result<bool> {
        Ok(self.read(key, Wanting::TrueOrFalse)?.unwrap_or(default))
    }

    fn port(&self, key: &'static str, default: u16) -> Result<u16> {
        Ok(self.read::<Port>(key, Wanting::PortNumber)?.map_or(default, Port::get))
    }

    fn positive(&self, key: &'static str, default: u32) -> Result<u32> {
        match self.read(key, Wanting::FromOne)? {
            Some(0) => Err(wrong(key, Wanting::FromOne)),
            number => Ok(number.unwrap_or(default)),
        }
    }

    fn address(&self, key: &'static str, default: Ipv4Addr) -> Result<IpAddr> {
        Ok(self.read(key, Wanting::ListenAddress)?.unwrap_or(default.into()))
    }

    /// A list in YAML, or its items separated by commas.
    fn list<T: FromStr>(&self, key: &'static str, wanted: &Wanting) -> Result<Option<Vec<T>>> {
        let items: Vec<String> = match self.0.get(key) {
            None | Some(Setting::Null) => return Ok(None),
            Some(Setting::List(items)) => items.clone(),
            Some(Setting::Text(text) | Setting::Plain(text)) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
            }
        };
        let read = |item: &String| item.parse().map_err(|_| wrong(key, wanted.clone()));
        items.iter().map(read).collect::<Result<_>>().map(Some)
    }

    fn mapping_ports(&self) -> Result<MappingPorts> {
        let first = self.port("port_range.from", 10000)?;
        let last = self.port("port_range.end", 10100)?;
        let range = Port::new(first).zip(Port::new(last)).and_then(|(first, last)| PortRange::new(first, last));
        let usual = || [22, 3389, 5432].into_iter().filter_map(Port::new).collect();
        Ok(MappingPorts {
            range: range.ok_or_else(|| wrong("port_range.end", Wanting::LastPort))?,
            blacklist: self
                .list("security.port_range.blacklist", &Wanting::PortNumber)?
                .unwrap_or_else(usual)
                .into_iter()
                .collect(),
            listen: self.address("port_range.listen", Ipv4Addr::UNSPECIFIED)?,
        })
    }

    fn database(&self) -> Result<DatabaseSettings> {
        let path = self.text("database.path")?.unwrap_or_else(|| "./data/mappings.db".to_owned()).into();
        let shared = match (self.text("database.url")?, self.text("database.url_file")?) {
            (Some(_), Some(_)) => return Err(wrong("database.url_file", Wanting::NoUrlFile)),
            (Some(url), None) => Some(SharedDatabase::Url(Secret::new(url))),
            (None, Some(file)) => Some(SharedDatabase::File(file.into())),
            (None, None) => None,
        };
        Ok(DatabaseSettings { path, shared })
    }

    fn tunnel(&self) -> Result<TunnelSettings> {
        Ok(TunnelSettings {
            enabled: self.flag("tunnel.enabled", true)?,
            listen: SocketAddr::new(
                self.address("tunnel.listen", Ipv4Addr::UNSPECIFIED)?,
                self.port("tunnel.listen_port", 9000)?,
            ),
            address: self.read("tunnel.address", Wanting::HostAndPort)?,
            tls: self.tls()?,
            insecure: false,
            legacy_v1: self.flag("tunnel.legacy_v1", false)?,
            target_offset: self.read("tunnel.target_offset", Wanting::OffsetNumber)?.unwrap_or(10000),
        })
    }

    fn tls(&self) -> Result<Tls> {
        let path = |key| self.text(key).map(|text| text.map(PathBuf::from));
        let files = match (path("tunnel.cert_file")?, path("tunnel.key_file")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(wrong("tunnel.key_file", Wanting::CertificateKey)),
            (None, Some(_)) => return Err(wrong("tunnel.cert_file", Wanting::KeyCertificate)),
        };
        let client_ca = path("tunnel.client_ca")?;
        match self.text("tunnel.tls")?.as_deref() {
            None | Some("auto") => Ok(Tls::On { files, client_ca }),
            // YAML 1.1 writers turn `off` into false.
            Some("off" | "false") if files.is_none() && client_ca.is_none() => Ok(Tls::Off),
            Some("off" | "false") => Err(wrong("tunnel.tls", Wanting::AutoForCertificates)),
            Some(_) => Err(wrong("tunnel.tls", Wanting::AutoOrOff)),
        }
    }

    fn api_address(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.address("api.listen", Ipv4Addr::LOCALHOST)?, self.port("api.listen_port", 8080)?))
    }

    fn api(&self, read_key: impl FnOnce(&Path) -> Result<String>) -> Result<ApiSettings> {
        let hosts: Vec<Host> = self.list("api.allowed_hosts", &Wanting::HostOrAddress)?.unwrap_or_default();
        Ok(ApiSettings {
            listen: self.api_address()?,
            key: self.key(read_key)?,
            allowed_ips: self.list("api.allowed_ips", &Wanting::Network)?.unwrap_or_default(),
            allowed_hosts: hosts.iter().map(Host::to_string).collect(),
            rate_limit: self.positive("api.rate_limit", 50)?,
            metrics_public: self.flag("api.metrics_public", false)?,
        })
    }

    fn key(&self, read_key: impl FnOnce(&Path) -> Result<String>) -> Result<Secret> {
        if let Some(Setting::Plain(_)) = self.0.get("api.api_key") {
            return Err(wrong("api.api_key", Wanting::QuotedString));
        }
        let text = match (self.text("api.api_key")?, self.text("api.api_key_file")?) {
            (Some(_), Some(_)) => return Err(wrong("api.api_key_file", Wanting::NoKeyFile)),
            (Some(key), None) => key,
            (None, Some(file)) => read_key(Path::new(&file))?.trim_end_matches(['\r', '\n']).to_owned(),
            (None, None) => return Err(refuse_key(TunnelWords::KeyMissing)),
        };
        judge_key(&text)?;
        Ok(Secret::new(text))
    }

    fn log(&self) -> Result<LogSettings> {
        let level = match self.text("log.level")?.as_deref() {
            None | Some("info") => LogLevel::Info,
            Some("error") => LogLevel::Error,
            Some("warn" | "warning") => LogLevel::Warn,
            Some("debug") => LogLevel::Debug,
            Some("trace") => LogLevel::Trace,
            Some(_) => return Err(wrong("log.level", Wanting::Level)),
        };
        let format = match self.text("log.format")?.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => return Err(wrong("log.format", Wanting::Format)),
        };
        Ok(LogSettings { level, format })
    }
}

fn judge_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(refuse_key(TunnelWords::KeyMissing));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse_key(TunnelWords::KeyUnsendable));
    }
    let lower = key.to_ascii_lowercase();
    if KEY_WORDS.contains(&lower.as_str()) || KEY_EXAMPLES.iter().any(|example| lower.contains(example)) {
        return Err(refuse_key(TunnelWords::KeyExample));
    }
    if key.len() < KEY_LENGTH_MIN || key.bytes().collect::<BTreeSet<_>>().len() < KEY_LETTERS_MIN {
        return Err(refuse_key(TunnelWords::KeyWeak { minimum: KEY_LENGTH_MIN }));
    }
    Ok(())
}

fn refuse_key(words: TunnelWords) -> Error {
    Error::new(ErrorKind::Refused, words).hint(TunnelWords::MakeKey { variable: variable("api.api_key") })
}

/// A value that cannot be used; the value itself is not repeated, because it may be a secret.
fn wrong(key: &'static str, wanted: Wanting) -> Error {
    Error::new(ErrorKind::Usage, TunnelWords::WrongValue { key, wanted, variable: variable(key) })
}

#[cfg(test)]
mod tests;
