//! Who may talk to the API: names, origins, keys, networks and rates, judged before anything else costs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, Uri};

use super::config::ApiSettings;
use super::refusal::Refusal;
use crate::words::tunnel::TunnelWords;

/// Addresses whose rate is remembered. When all are taken, those with nothing owed are forgotten.
const ADDRESSES_MAX: usize = 4096;

/// Names of query parameters that are taken for a key.
const KEY_PARAMETERS: [&str; 7] = ["api_key", "apikey", "api-key", "key", "token", "access_token", "secret"];

/// The header of the predecessor that carries the key.
const KEY_HEADER: &str = "x-api-key";

/// The API's doorkeeper.
pub(crate) struct Guard {
    api: ApiSettings,
    rates: Mutex<HashMap<IpAddr, Rate>>,
}

/// A token bucket that holds one second's worth.
struct Rate {
    tokens: f64,
    at: Instant,
}

impl Guard {
    pub(crate) fn new(api: ApiSettings) -> Self {
        Self { api, rates: Mutex::default() }
    }

    /// Judges `Host`, against pages that point a name of their own at this address, and on writes `Origin`, against
    /// pages of others.
    pub(crate) fn check_site(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let denied = || Refusal::new(403, "host_forbidden", TunnelWords::HostForbidden);
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Refusal::new(400, "host_missing", TunnelWords::HostMissing));
        };
        let host = host.to_str().map_err(|_| denied())?;
        if !self.knows_host(host) {
            return Err(denied());
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let same_site = |origin: &str| {
            let host_of_origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            host_of_origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
        };
        let honest = headers.get_all(ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(same_site));
        if honest { Ok(()) } else { Err(Refusal::new(403, "origin_forbidden", TunnelWords::OriginForbidden)) }
    }

    /// Knows loopback, the address it listens on, configured names, and any address when it listens on all: a page
    /// can only be rebound to us under a name.
    fn knows_host(&self, host: &str) -> bool {
        let Some(name) = host_name(host) else { return false };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let listen = self.api.listen.ip();
        if let Ok(address) = name.parse::<IpAddr>() {
            let address = address.to_canonical();
            return listen.is_unspecified()
                || address.is_loopback()
                || address == listen
                || self.api.allowed_hosts.contains(&address.to_string());
        }
        name == "localhost" || name.ends_with(".localhost") || self.api.allowed_hosts.contains(&name)
    }

    /// Judges the network and the rate of an address.
    pub(crate) fn check_address(&self, peer: IpAddr) -> Result<(), Refusal> {
        let networks = &self.api.allowed_ips;
        if !networks.is_empty() && !networks.iter().any(|network| network.contains(peer)) {
            return Err(Refusal::new(403, "address_forbidden", TunnelWords::AddressForbidden));
        }
        if self.spend(peer, Instant::now()) { Ok(()) } else { Err(Refusal::rate_limited()) }
    }

    fn spend(&self, peer: IpAddr, now: Instant) -> bool {
        let full = f64::from(self.api.rate_limit);
        let refilled = |rate: &Rate| (rate.tokens + now.duration_since(rate.at).as_secs_f64() * full).min(full);
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = network_of(peer);
        if rates.len() >= ADDRESSES_MAX && !rates.contains_key(&peer) {
            rates.retain(|_, rate| refilled(rate) < full);
            if rates.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let rate = rates.entry(peer).or_insert(Rate { tokens: full, at: now });
        rate.tokens = refilled(rate);
        rate.at = now;
        if rate.tokens < 1.0 {
            return false;
        }
        rate.tokens -= 1.0;
        true
    }

    /// Judges the key: one or more, all of them right, and none in the URL.
    pub(crate) fn check_key(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let parameters = uri.query().unwrap_or_default().split('&');
        let in_url = parameters
            .map(|parameter| parameter.split('=').next().unwrap_or_default().to_ascii_lowercase())
            .any(|name| KEY_PARAMETERS.contains(&name.as_str()));
        if in_url {
            return Err(Refusal::new(401, "key_in_url", TunnelWords::KeyInUrl));
        }
        let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| {
            let value = value.as_bytes();
            let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "));
            scheme.and(value.get(7..)).map(<[u8]>::trim_ascii)
        });
        let own = headers.get_all(KEY_HEADER).iter().map(|value| Some(value.as_bytes()));
        let offered: Vec<Option<&[u8]>> = bearer.chain(own).collect();
        if offered.is_empty() {
            return Err(Refusal::new(401, "key_missing", TunnelWords::KeyNotSent));
        }
        if offered.iter().all(|key| key.is_some_and(|key| self.api.key.matches(key))) {
            Ok(())
        } else {
            Err(Refusal::new(401, "key_wrong", TunnelWords::KeyWrong))
        }
    }
}

/// The name or address of a `Host` header without port and brackets.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        rest.split_once(']')?
    } else {
        host.find(':').map_or((host, ""), |colon| host.split_at(colon))
    };
    let port_is_number =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (port_is_number && !name.is_empty()).then_some(name)
}

/// What counts as one address: one IPv4 address, or the /64 that one IPv6 host commands.
pub(crate) fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(std::net::Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Secret;

    fn guard(listen: &str) -> Guard {
        Guard::new(ApiSettings {
            listen: listen.parse().unwrap(),
            key: Secret::new("8f1d2c3b4a596877"),
            allowed_ips: vec![],
            allowed_hosts: vec!["tunnel.example.org".to_owned(), "203.0.113.5".to_owned()],
            rate_limit: 2,
            metrics_public: false,
        })
    }

    #[test]
    fn only_names_of_this_server_are_answered() {
        let guard = guard("127.0.0.1:8080");
        for host in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8080",
            "tunnel.example.org",
            "203.0.113.5:8080",
            "localhost.",
        ] {
            assert!(guard.knows_host(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost:80@evil",
            "",
            ":80",
            "[::1",
            "localhost:x",
        ] {
            assert!(!guard.knows_host(host), "{host}");
        }
        assert!(self::guard("0.0.0.0:8080").knows_host("10.0.0.1:8080"), "addresses cannot be rebound");
        assert!(!self::guard("0.0.0.0:8080").knows_host("evil.example"));
    }

    #[test]
    fn a_rate_is_kept_for_each_address_and_recovers() {
        let guard = guard("127.0.0.1:8080");
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let now = Instant::now();
        assert!(guard.spend(one, now) && guard.spend(one, now));
        assert!(!guard.spend(one, now));
        assert!(guard.spend(other, now));
        assert!(guard.spend(one, now + Duration::from_secs(1)));
    }
}
