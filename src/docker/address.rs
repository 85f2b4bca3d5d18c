//! Where the engine may be: `DOCKER_HOST`, docker contexts, and the sockets that engines are known to use.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::engine::Choice;
use crate::error::{Error, ErrorKind, Result};
use crate::words::docker::DockerWords;

/// A value of the environment by name.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Docker's own files are a few hundred bytes; more than this is not one of them.
const CONFIG_LIMIT: u64 = 1024 * 1024;

/// The port of an engine without TLS, when the address names none.
const PLAIN_PORT: u16 = 2375;

/// Where an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// A named pipe of Windows.
    Pipe(String),
}

impl Address {
    /// Reads an address as `DOCKER_HOST` has it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let unsupported = || {
            Error::new(ErrorKind::Missing, DockerWords::UnsupportedHost { address: text.to_owned() })
                .hint(DockerWords::UnsupportedHostHint)
        };
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(("npipe", path)) if !path.is_empty() => Ok(Self::Pipe(path.replace('/', "\\"))),
            Some(("tcp" | "http", host)) => {
                let host = host.trim_end_matches('/');
                let bare = host.rsplit_once(']').map_or(host, |(_, after)| after);
                match host {
                    "" => Err(unsupported()),
                    _ if host.contains(['/', '@', '?', '#', ' ']) => Err(unsupported()),
                    _ if bare.contains(':') => Ok(Self::Tcp(host.to_owned())),
                    _ => Ok(Self::Tcp(format!("{host}:{PLAIN_PORT}"))),
                }
            }
            _ => Err(unsupported()),
        }
    }

    /// Tells whether the ports that this engine publishes are ports of this host, as far as the address shows it.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Pipe(_) => true,
            Self::Tcp(host) => {
                let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).trim_matches(['[', ']']);
                name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(host) => write!(formatter, "tcp://{host}"),
            Self::Pipe(path) => write!(formatter, "npipe://{}", path.replace('\\', "/")),
        }
    }
}

/// Returns the addresses to try, most wanted first; never empty.
///
/// An address that the user named (`DOCKER_HOST`, `CONTAINER_HOST`, a context) is the only one: falling back to
/// another engine would deploy where nobody asked for it.
pub(super) fn candidates(choice: Choice, env: Environment<'_>) -> Result<Vec<Address>> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    if choice == Choice::Podman {
        return match set("CONTAINER_HOST") {
            Some(host) => Ok(vec![Address::parse(&host)?]),
            None => Ok(podman_sockets(&set)),
        };
    }
    if let Some(host) = set("DOCKER_HOST") {
        let address = Address::parse(&host)?;
        if matches!(address, Address::Tcp(_)) && set("DOCKER_TLS_VERIFY").is_some() {
            return Err(tls_wanted(&address));
        }
        return Ok(vec![address]);
    }
    if let Some(address) = context(&set)? {
        return Ok(vec![address]);
    }
    let mut found = docker_sockets(&set);
    if choice == Choice::Auto {
        found.extend(podman_sockets(&set));
    }
    Ok(found)
}

/// The error of an engine that is reached by TLS only.
pub(super) fn tls_wanted(address: &Address) -> Error {
    Error::new(ErrorKind::Missing, DockerWords::TlsHost { address: address.to_string() })
        .hint(DockerWords::UnsupportedHostHint)
}

fn docker_sockets(set: Environment<'_>) -> Vec<Address> {
    if set("OS").is_some_and(|os| os == "Windows_NT") {
        return vec![Address::Pipe(r"\\.\pipe\docker_engine".to_owned())];
    }
    let runtime = set("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("docker.sock"));
    let home = set("HOME").map(PathBuf::from);
    let desktop = ["run", "desktop"].map(|name| home.as_ref().map(|home| home.join(".docker").join(name)));
    std::iter::once(Some(PathBuf::from("/var/run/docker.sock")))
        .chain([runtime])
        .chain(desktop.map(|folder| folder.map(|folder| folder.join("docker.sock"))))
        .flatten()
        .map(Address::Unix)
        .collect()
}

fn podman_sockets(set: Environment<'_>) -> Vec<Address> {
    if set("OS").is_some_and(|os| os == "Windows_NT") {
        return vec![Address::Pipe(r"\\.\pipe\podman-machine-default".to_owned())];
    }
    let runtime = set("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("podman/podman.sock"));
    runtime.into_iter().chain([PathBuf::from("/run/podman/podman.sock")]).map(Address::Unix).collect()
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

#[derive(Deserialize)]
struct ContextMeta {
    #[serde(rename = "Endpoints")]
    endpoints: ContextEndpoints,
}

#[derive(Deserialize)]
struct ContextEndpoints {
    docker: ContextEndpoint,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host")]
    host: String,
}

/// Returns the address of the active docker context; `None` when that is the default one.
///
/// A context lives in `contexts/meta/<sha256 of its name>/meta.json` below `$DOCKER_CONFIG` or `~/.docker`, its TLS
/// files in `contexts/tls/<sha256>/docker`.
fn context(set: Environment<'_>) -> Result<Option<Address>> {
    let home = || set("HOME").or_else(|| set("USERPROFILE"));
    let Some(folder) =
        set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| home().map(|home| PathBuf::from(home).join(".docker")))
    else {
        return Ok(None);
    };
    let name = set("DOCKER_CONTEXT").or_else(|| {
        let config: DockerConfig = serde_json::from_slice(&read(&folder.join("config.json"))?).ok()?;
        Some(config.current_context)
    });
    let Some(name) = name.filter(|name| !name.is_empty() && name != "default") else { return Ok(None) };
    let hash = hex(&Sha256::digest(name.as_bytes()));
    let file = folder.join("contexts").join("meta").join(&hash).join("meta.json");
    let meta: Option<ContextMeta> = read(&file).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(meta) = meta else {
        return Err(Error::new(ErrorKind::Missing, DockerWords::UnknownContext { name, file })
            .hint(DockerWords::UnknownContextHint));
    };
    let address = Address::parse(&meta.endpoints.docker.host)?;
    if folder.join("contexts").join("tls").join(&hash).join("docker").exists() {
        return Err(tls_wanted(&address));
    }
    Ok(Some(address))
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(CONFIG_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Writes bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        move |wanted| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    }

    fn shown(choice: Choice, pairs: &[(&str, &str)]) -> Vec<String> {
        let found = candidates(choice, &environment(pairs)).expect("candidates");
        // Where a test on Windows asks for the sockets of Unix, their folders are joined the other way.
        found.iter().map(|address| address.to_string().replace('\\', "/")).collect()
    }

    #[test]
    fn a_named_host_is_the_only_candidate() {
        assert_eq!(shown(Choice::Auto, &[("DOCKER_HOST", "unix:///a b/d.sock")]), ["unix:///a b/d.sock"]);
        assert_eq!(shown(Choice::Docker, &[("DOCKER_HOST", "tcp://10.0.0.1")]), ["tcp://10.0.0.1:2375"]);
        assert_eq!(shown(Choice::Docker, &[("DOCKER_HOST", "tcp://[::1]:99/")]), ["tcp://[::1]:99"]);
        assert_eq!(shown(Choice::Docker, &[("DOCKER_HOST", "tcp://[::1]")]), ["tcp://[::1]:2375"]);
    }

    #[test]
    fn other_schemes_are_named_as_unsupported() {
        for host in ["ssh://user@box", "https://box:2376", "fd://", "unix://relative", "tcp://", "/var/run/docker.sock"]
        {
            let error = candidates(Choice::Auto, &environment(&[("DOCKER_HOST", host)])).expect_err(host);
            assert_eq!(error.kind(), ErrorKind::Missing);
            assert!(error.to_string().contains(host), "{error}");
            assert!(error.way_out().is_some());
        }
    }

    #[test]
    fn tls_is_refused_before_connecting() {
        let env = environment(&[("DOCKER_HOST", "tcp://box:2376"), ("DOCKER_TLS_VERIFY", "1")]);
        let error = candidates(Choice::Docker, &env).expect_err("TLS");
        assert!(error.to_string().contains("TLS"), "{error}");
    }

    #[test]
    fn the_known_sockets_are_tried_in_order() {
        let env = [("XDG_RUNTIME_DIR", "/run/user/7"), ("HOME", "/nonexistent/u")];
        assert_eq!(
            shown(Choice::Auto, &env),
            [
                "unix:///var/run/docker.sock",
                "unix:///run/user/7/docker.sock",
                "unix:///nonexistent/u/.docker/run/docker.sock",
                "unix:///nonexistent/u/.docker/desktop/docker.sock",
                "unix:///run/user/7/podman/podman.sock",
                "unix:///run/podman/podman.sock",
            ]
        );
        assert_eq!(
            shown(Choice::Podman, &env),
            ["unix:///run/user/7/podman/podman.sock", "unix:///run/podman/podman.sock"]
        );
    }

    #[test]
    fn contexts_are_followed_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.json");
        std::fs::write(&config, br#"{"auths":{},"currentContext":"lab"}"#).expect("written");
        let path = folder.path().to_str().expect("UTF-8").to_owned();
        let env = [("DOCKER_CONFIG", path.as_str())];
        let error = candidates(Choice::Auto, &environment(&env)).expect_err("no meta file");
        assert!(error.to_string().contains("context lab"), "{error}");

        let meta = folder.path().join("contexts/meta").join(hex(&Sha256::digest(b"lab")));
        std::fs::create_dir_all(&meta).expect("made");
        let text =
            br#"{"Name":"lab","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///lab.sock","SkipTLSVerify":false}}}"#;
        std::fs::write(meta.join("meta.json"), text).expect("written");
        assert_eq!(shown(Choice::Auto, &env), ["unix:///lab.sock"]);
        assert_eq!(shown(Choice::Auto, &[env[0], ("DOCKER_HOST", "unix:///x.sock")]), ["unix:///x.sock"]);
        assert_eq!(shown(Choice::Docker, &[env[0], ("DOCKER_CONTEXT", "default")]), ["unix:///var/run/docker.sock"]);
    }

    #[test]
    fn only_loopback_and_sockets_are_local() {
        for (host, local) in
            [("unix:///a", true), ("tcp://127.0.0.1:1", true), ("tcp://[::1]:1", true), ("tcp://10.0.0.1:1", false)]
        {
            assert_eq!(Address::parse(host).expect("an address").is_local(), local, "{host}");
        }
    }
}
