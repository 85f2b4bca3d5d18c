//! Finding the engine, and who it is.

use std::future::Future;
use std::io;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Raw;
use bollard::models::SystemVersion;
use tokio::time::Instant;

use super::address::{self, Address};
use super::failure::{self, Failure, within};
use super::reply::Info;
use super::transport::{Connection, Link};
use crate::error::{Error, ErrorKind, Result};
use crate::words::docker::DockerWords;

/// How long finding an engine may take in all; the promise is an answer within 5 s.
const CONNECT_DEADLINE: Duration = Duration::from_millis(4500);

/// How long a call that only reads, or changes one small thing, may take.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// The oldest API that is spoken: Docker 19.03.
const OLDEST_API: ApiVersion = ApiVersion(1, 40);

/// The newest API that is spoken, as bollard 0.21 models it.
const NEWEST_API: ApiVersion = ApiVersion(1, 52);

/// Which engine is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Docker, or whatever answers where Docker is expected (`DOCKER_HOST`, the docker context).
    Docker,
    /// Podman (`CONTAINER_HOST`, or its own sockets).
    Podman,
    /// Docker where it answers, else Podman.
    Auto,
}

/// Which engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker, or Moby.
    Docker,
    /// Podman behind Docker's API.
    Podman,
}

impl EngineKind {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// Who the engine is and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineIdentity {
    /// Which engine.
    pub kind: EngineKind,
    /// Its version.
    pub version: String,
    /// The API version that is spoken with it.
    pub api: String,
    /// The operating system of its containers: `linux`, `windows`.
    pub os: String,
    /// The architecture of its containers as Go names it: `amd64`, `arm64`.
    pub arch: String,
    /// Where it was reached, as `DOCKER_HOST` would have it.
    pub address: String,
    /// Whether its published ports are ports of this host, as far as the address shows: a socket or a loopback
    /// address. A socket forwarded from elsewhere looks local.
    pub local: bool,
    /// Whether it runs without root.
    pub rootless: bool,
}

/// A connection to an engine. Cheap to clone; every request opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) api: Docker,
    pub(super) link: Link,
    identity: EngineIdentity,
}

impl Engine {
    /// Returns who the engine is.
    #[must_use]
    pub fn identity(&self) -> &EngineIdentity {
        &self.identity
    }
}

/// Finds the engine that `choice` asks for and agrees on an API version; takes at most 5 s.
///
/// `env` gives values of the environment by name; it is asked before anything is awaited. Errors are `Missing`, each
/// with a remedy: no socket, no permission, nothing listening, no answer, wrong host, TLS, API versions apart.
pub fn connect(
    choice: Choice,
    env: &dyn Fn(&str) -> Option<String>,
) -> impl Future<Output = Result<Engine>> + Send + use<> {
    let candidates = address::candidates(choice, env);
    async move {
        let engine = first_to_answer(&candidates?, greet).await?;
        if choice == Choice::Podman && engine.identity.kind != EngineKind::Podman {
            let address = engine.identity.address;
            return Err(
                Error::new(ErrorKind::Missing, DockerWords::NotPodman { address }).hint(DockerWords::NoSocketHint)
            );
        }
        Ok(engine)
    }
}

/// Asks each address in turn, and shares the time left among those not asked yet, so that one that hangs does not
/// hide one that works. Of several failures the one that says most is returned.
pub(super) async fn first_to_answer<T, Answer>(
    candidates: &[Address],
    ask: impl Fn(Address, Duration) -> Answer,
) -> Result<T>
where
    Answer: Future<Output = Result<T, (u8, Error)>>,
{
    let end = Instant::now() + CONNECT_DEADLINE;
    let mut worst: Option<(u8, Error)> = None;
    for (index, address) in candidates.iter().enumerate() {
        let share = u32::try_from(candidates.len() - index).unwrap_or(u32::MAX);
        let budget = end.saturating_duration_since(Instant::now()) / share;
        match ask(address.clone(), budget).await {
            Ok(answer) => return Ok(answer),
            Err((weight, error)) => {
                if worst.as_ref().is_none_or(|(heaviest, _)| weight > *heaviest) {
                    worst = Some((weight, error));
                }
            }
        }
    }
    Err(worst.map_or_else(|| no_socket(String::new()), |(_, error)| error))
}

fn no_socket(address: String) -> Error {
    Error::new(ErrorKind::Missing, DockerWords::NoSocket { address }).hint(DockerWords::NoSocketHint)
}

/// Asks the engine at `address` who it is; an error comes with its weight among the errors of other addresses.
async fn greet(address: Address, budget: Duration) -> Result<Engine, (u8, Error)> {
    let address = &address;
    let unusable = |raw: Raw| explain(address, &Failure::Bad("GET /version", raw));
    let newest = Link::new(address, None);
    let api = newest.client().map_err(unusable)?;
    let version =
        async { within("GET /version", budget, api.version()).await.map_err(|failure| explain(address, &failure)) };
    // Each takes the engine about 8 ms, and what is read of the second is the same in every version of the API.
    let info = async { Ok(within("GET /info", budget, newest.get::<Info>("/info")).await.ok()) };
    let (version, info) = tokio::try_join!(version, info)?;
    let spoken = agree(&version, address).map_err(|error| (5, error))?;
    let link = Link::new(address, Some(spoken.to_string()));
    let api = link.client().map_err(unusable)?;
    let options = info.and_then(|info| info.security_options).unwrap_or_default();
    let named = |component: &bollard::models::SystemVersionComponents| component.name.contains("Podman");
    let podman = version.components.iter().flatten().any(named);
    let identity = EngineIdentity {
        kind: if podman { EngineKind::Podman } else { EngineKind::Docker },
        version: version.version.unwrap_or_default(),
        api: spoken.to_string(),
        os: version.os.unwrap_or_default(),
        arch: version.arch.unwrap_or_default(),
        address: address.to_string(),
        local: address.is_local(),
        rootless: options.iter().any(|option| option.contains("rootless")),
    };
    Ok(Engine { api, link, identity })
}

/// Turns a failed greeting into words. The weight says how much closer to a working engine the failure is: a missing
/// socket says least.
pub(super) fn explain(address: &Address, failure: &Failure) -> (u8, Error) {
    let shown = address.to_string();
    let missing = |words: DockerWords, hint: DockerWords| Error::new(ErrorKind::Missing, words).hint(hint);
    let by_socket = matches!(address, Address::Unix(_) | Address::Pipe(_));
    if let Failure::Late(_, seconds) = failure {
        return (3, missing(DockerWords::Hung { address: shown, seconds: *seconds }, DockerWords::HungHint));
    }
    match failure.io().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) if by_socket => (0, no_socket(shown)),
        Some(io::ErrorKind::PermissionDenied) => {
            (4, missing(DockerWords::Denied { address: shown }, DockerWords::DeniedHint))
        }
        Some(io::ErrorKind::ConnectionRefused) if by_socket => {
            (2, missing(DockerWords::NobodyListens { address: shown }, DockerWords::NobodyListensHint))
        }
        _ => match failure {
            Failure::Bad(_, Raw::DockerResponseServerError { message, .. }) if message.contains("HTTPS server") => {
                (2, address::tls_wanted(address))
            }
            Failure::Bad(_, Raw::IOError { err }) => (
                2,
                missing(
                    DockerWords::HostUnreachable { address: shown, reason: err.to_string() },
                    DockerWords::HostHint,
                ),
            ),
            Failure::Bad(_, raw) => {
                let reason = failure::reason(raw);
                (2, missing(DockerWords::NotAnEngine { address: shown, reason }, DockerWords::HostHint))
            }
            Failure::Late(..) => (3, no_socket(shown)),
        },
    }
}

/// A version of the engine's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ApiVersion(u16, u16);

impl ApiVersion {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

/// Returns the newest version that both sides speak.
fn agree(version: &SystemVersion, address: &Address) -> Result<ApiVersion> {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let Some(most) = version.api_version.as_deref().and_then(ApiVersion::parse) else {
        let reason = format!("ApiVersion {}", failure::clip(&shown(&version.api_version)));
        return Err(Error::new(ErrorKind::Missing, DockerWords::NotAnEngine { address: address.to_string(), reason })
            .hint(DockerWords::HostHint));
    };
    let least = version.min_api_version.as_deref().and_then(ApiVersion::parse).unwrap_or(most.min(OLDEST_API));
    let spoken = most.min(NEWEST_API);
    if spoken < OLDEST_API || spoken < least {
        let words = DockerWords::ApiMismatch {
            least: least.to_string(),
            most: most.to_string(),
            ours_least: OLDEST_API.to_string(),
            ours_most: NEWEST_API.to_string(),
        };
        return Err(Error::new(ErrorKind::Missing, words).hint(DockerWords::ApiMismatchHint));
    }
    Ok(spoken)
}

/// Opens a connection to `address`.
pub(super) async fn dial(address: &Address) -> io::Result<Box<dyn Connection>> {
    match address {
        Address::Tcp(host) => Ok(Box::new(tokio::net::TcpStream::connect(host.as_str()).await?)),
        #[cfg(unix)]
        Address::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        #[cfg(windows)]
        Address::Pipe(path) => Ok(Box::new(tokio::net::windows::named_pipe::ClientOptions::new().open(path)?)),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
        #[cfg(not(windows))]
        Address::Pipe(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

/// Tells whether every user of the host may write to a file or folder; also when that cannot be known.
#[cfg(unix)]
pub(super) fn writable_by_all(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).map_or(true, |data| data.permissions().mode() & 0o002 != 0)
}

/// Windows keeps rights in access lists, and installs programs where users may not write.
#[cfg(not(unix))]
pub(super) fn writable_by_all(_: &std::path::Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(least: &str, most: &str) -> SystemVersion {
        SystemVersion {
            api_version: Some(most.to_owned()),
            min_api_version: Some(least.to_owned()),
            ..SystemVersion::default()
        }
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        let address = Address::Unix("/x".into());
        for (least, most, spoken) in
            [("1.12", "1.40", "1.40"), ("1.24", "1.41", "1.41"), ("1.44", "1.52", "1.52"), ("1.44", "1.60", "1.52")]
        {
            assert_eq!(agree(&version(least, most), &address).expect("a version").to_string(), spoken);
        }
    }

    #[test]
    fn a_denied_socket_outweighs_a_missing_one_and_tells_the_group() {
        let failure = |kind: io::ErrorKind| Failure::Bad("GET /version", Raw::IOError { err: kind.into() });
        let address = Address::Unix("/x".into());
        let (denied, error) = explain(&address, &failure(io::ErrorKind::PermissionDenied));
        let (missing, _) = explain(&address, &failure(io::ErrorKind::NotFound));
        assert!(denied > missing);
        assert!(error.to_string().contains("permission denied"), "{error}");
        assert!(error.way_out().expect("a remedy").to_string().contains("usermod -aG docker"));
    }

    #[test]
    fn versions_apart_are_both_shown() {
        let address = Address::Unix("/x".into());
        for (least, most) in [("1.12", "1.39"), ("1.53", "1.60")] {
            let error = agree(&version(least, most), &address).expect_err("apart").to_string();
            for part in [least, most, "1.40", "1.52"] {
                assert!(error.contains(part), "{error}");
            }
        }
        assert!(agree(&SystemVersion::default(), &address).is_err());
    }
}
