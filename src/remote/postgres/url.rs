//! The URL of a database: where the database is, who we are there, and how far its TLS is trusted.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::CONNECT_WAIT;
use super::tls::{Checks, Connector};
use crate::error::Error;
use crate::model::Secret;
use crate::remote::named_file;

/// After how long without an answer a connection counts as lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Where the database is.
#[derive(Clone)]
pub(crate) struct Place {
    /// Who we are there, and how long may be waited.
    pub(crate) config: Config,
    /// How connections become secure.
    pub(crate) tls: Connector,
    /// For people: host and name of the database, never the password.
    pub(crate) address: String,
}

/// Why a URL cannot be used; none of it repeats the URL.
#[derive(Debug)]
pub(crate) enum UrlFault {
    /// It is none of a database, or has parameters that nobody knows.
    Wrong,
    /// `sslmode=verify-full` without an authority.
    NoRoots,
    /// The authority's certificate cannot be used.
    Unusable(Error),
}

/// Reads `url`; the error never repeats it.
pub(crate) fn read(url: &Secret) -> Result<Place, UrlFault> {
    let wrong = || UrlFault::Wrong;
    let (base, mode, roots) = split(url.expose()).ok_or_else(wrong)?;
    // The library's own error could repeat a part of the password.
    let mut config: Config = base.parse().map_err(|_| wrong())?;
    let (ssl, checks) = match (mode.as_deref(), roots) {
        (Some("disable"), None) => (SslMode::Disable, Checks::Nothing),
        (Some("prefer"), None) => (SslMode::Prefer, Checks::Nothing),
        // A password and every token's keys would cross a network in plaintext: that has to be asked for.
        (None, None) if config.get_hosts().iter().all(is_here) => (SslMode::Prefer, Checks::Nothing),
        (None | Some("require"), None) => (SslMode::Require, Checks::Nothing),
        (None | Some("require" | "verify-full"), Some(roots)) => (SslMode::Require, Checks::Authority(roots)),
        (Some("verify-full"), None) => return Err(UrlFault::NoRoots),
        _ => return Err(wrong()),
    };
    config.ssl_mode(ssl).connect_timeout(CONNECT_WAIT).keepalives_idle(SILENCE).tcp_user_timeout(SILENCE);
    if config.get_application_name().is_none() {
        config.application_name("portwright");
    }
    if config.get_hosts().is_empty() {
        return Err(wrong());
    }
    let address = address(&base);
    Ok(Place { config, tls: Connector::new(&checks).map_err(UrlFault::Unusable)?, address })
}

/// Tells whether a host is this machine, whatever its names resolve to.
fn is_here(host: &Host) -> bool {
    let loopback = |name: &str| name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    // What is no name is a socket of this machine; not every system has them.
    !matches!(host, Host::Tcp(name) if name != "localhost" && !loopback(name))
}

/// Takes `sslmode` and `sslrootcert` out of a URL, because the library knows neither `verify-full` nor files.
fn split(url: &str) -> Option<(String, Option<String>, Option<PathBuf>)> {
    let url = url.trim();
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return None;
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("sslmode", value) => mode = Some(value.to_owned()),
            ("sslrootcert", value) => roots = Some(named_file(value)),
            _ => rest.push(pair),
        }
    }
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    Some((format!("{base}{query}"), mode, roots))
}

/// Returns what follows the password in a URL without parameters.
fn address(base: &str) -> String {
    let (base, _) = base.split_once('?').unwrap_or((base, ""));
    let (_, rest) = base.split_once("://").unwrap_or(("", base));
    rest.rsplit_once('@').map_or(rest, |(_, address)| address).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_its_password_is_never_repeated() {
        let read = |url: &str| read(&Secret::new(url));
        let place = read("postgres://pw:canary-1@db.example.org/tunnel?sslmode=require").expect("read");
        assert_eq!(place.address, "db.example.org/tunnel");
        assert_eq!(place.config.get_ssl_mode(), SslMode::Require);
        let place = read("postgresql://pw:canary-1@127.0.0.1:5433/tunnel").expect("read");
        assert_eq!((place.address.as_str(), place.config.get_ssl_mode()), ("127.0.0.1:5433/tunnel", SslMode::Prefer));
        for (url, mode) in [
            ("postgres://localhost/tunnel", SslMode::Prefer),
            ("postgres://db.example.org/tunnel", SslMode::Require),
            ("postgres://127.0.0.1,db.example.org/tunnel", SslMode::Require),
            ("postgres://db.example.org/tunnel?sslmode=prefer", SslMode::Prefer),
        ] {
            assert_eq!(read(url).expect(url).config.get_ssl_mode(), mode, "{url}");
        }
        for wrong in [
            "",
            "host=127.0.0.1 password=canary-1",
            "mysql://pw:canary-1@host/tunnel",
            "postgres://pw:canary-1@host:canary-1/tunnel",
            "postgres://pw:canary-1@host/tunnel?sslmode=verify-ca",
            "postgres://pw:canary-1@host/tunnel?canary-1=1",
            "postgres:///tunnel",
        ] {
            let Err(error) = read(wrong) else { panic!("{wrong} was read") };
            assert!(matches!(error, UrlFault::Wrong), "{wrong}");
        }
        let Err(error) = read("postgres://pw:canary-1@host/tunnel?sslmode=verify-full") else { panic!("no roots") };
        assert!(matches!(error, UrlFault::NoRoots), "{error:?}");
        let missing = "postgres://host/tunnel?sslrootcert=/nonexistent/ca.pem";
        let Err(error) = read(missing) else { panic!("no file") };
        assert!(matches!(error, UrlFault::Unusable(_)), "{error:?}");
    }
}
