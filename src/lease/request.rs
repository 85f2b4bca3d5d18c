//! What is asked of a pool: how it is opened, which ports are wanted, which leases are meant.

use std::time::Duration;

use super::shared::Which;
use super::table::{Granted, Standpoint};
use super::wan::Wan;
use crate::error::{Error, ErrorKind};
use crate::model::{Port, PortRange};
use crate::words::lease::LeaseWords;

/// How long a lease lasts where nobody says: a day, so that what was forgotten comes back.
pub const TTL: Duration = Duration::from_hours(24);

/// How long the lock is waited for where nobody says.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a pool is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The WANs.
    pub wans: Vec<Wan>,
    /// How long the lock is waited for, or each answer of a shared store.
    pub patience: Duration,
    /// Whether a file system is accepted whose locks may not hold between machines.
    pub on_weak_disk: bool,
    /// The name of a host that is not there, for the simulation of a fleet alone: ports of a shared store are then given
    /// without being bound here, and nobody looks at holders.
    pub simulated_host: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { wans: Wan::defaults(), patience: PATIENCE, on_weak_disk: false, simulated_host: None }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The WAN; `None` for the one with the lowest index.
    pub wan: Option<u32>,
    /// How many ports, at least one; all of them or none.
    pub count: u16,
    /// Whether they must follow one another.
    pub contiguous: bool,
    /// Where to look; `None` for the WAN's own range.
    pub range: Option<PortRange>,
    /// How long the lease lasts unless it is renewed.
    pub ttl: Duration,
    /// What for, in the holder's words.
    pub purpose: String,
    /// The process that holds the lease; `None` for this one.
    pub holder: Option<u32>,
}

impl Default for Request {
    fn default() -> Self {
        let purpose = String::new();
        Self { wan: None, count: 1, contiguous: false, range: None, ttl: TTL, purpose, holder: None }
    }
}

/// Which leases are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Those of these ports, on one WAN or wherever they are leased.
    Ports(Vec<Port>, Option<u32>),
    /// The one with this id.
    Id(String),
    /// All of this process.
    Pid(u32),
}

impl Release {
    pub(super) fn means(&self, lease: &Granted, here: &Standpoint) -> bool {
        match self {
            Self::Ports(ports, wan) => ports.contains(&lease.port) && (wan.is_none() || *wan == lease.wan),
            Self::Id(id) => lease.id == *id,
            Self::Pid(pid) => lease.holder.pid == *pid && lease.holder.standpoint.is_seen_from(here),
        }
    }

    pub(super) fn which(&self) -> Which<'_> {
        match self {
            Self::Ports(ports, _) => Which::Ports(ports),
            Self::Id(id) => Which::Id(id),
            Self::Pid(_) => Which::All,
        }
    }

    /// Finds a port that is leased on several WANs where none was named.
    pub(super) fn doubt(&self, leases: &[Granted]) -> Option<Error> {
        let Self::Ports(ports, None) = self else { return None };
        ports.iter().find_map(|port| {
            let on: Vec<_> = leases.iter().filter(|lease| lease.port == *port).map(|lease| lease.wan).collect();
            let wans = || on.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let words = (on.len() > 1).then(|| LeaseWords::OnSeveralWans { port: *port, wans: wans() })?;
            Some(Error::new(ErrorKind::Usage, words))
        })
    }
}
