//! A store that several machines share, of which an existing engine holds the truth: `PostgreSQL` or etcd.
//!
//! A port belongs to a group and a WAN, and has one lease at a time. Time is the engine's: a lease that nobody renews
//! ends, wherever its holder is. Each operation has a deadline and is safe to repeat; what was taken by one whose answer
//! was lost ends with its time.

mod etcd;
mod line;
#[cfg(feature = "postgres")]
mod postgres;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use etcd::Etcd;
#[cfg(feature = "postgres")]
use postgres::Postgres;

use super::table::{Granted, Grantee, Holder, Now, Pick, Standpoint};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Port, PortRange, Secret};
use crate::words::lease::LeaseWords;

/// How long a lease of a program lasts that [`Pool`](super::Pool) renews in the background: long enough for an engine that
/// is started anew.
pub const SHARED_RUN_TTL: Duration = Duration::from_mins(5);

/// How long a lease lasts that somebody has to renew and where nobody says.
pub const SHARED_TTL: Duration = Duration::from_hours(1);

/// The longest name of a group, in characters.
const GROUP_MAX: usize = 64;

/// What is taken, and for whom.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) wan: u32,
    pub(super) count: usize,
    pub(super) contiguous: bool,
    pub(super) range: PortRange,
    /// The ports of the range that may be given, lowest first, each with its rank: a lower one is given first.
    pub(super) candidates: &'a [(Port, u8)],
    /// Ports that turned out to be in use here.
    pub(super) refused: &'a BTreeSet<Port>,
    /// The WANs whose addresses this one shares here.
    pub(super) shared_with: &'a BTreeSet<u32>,
    pub(super) grantee: Grantee<'a>,
}

impl Wanted<'_> {
    /// Returns what the table of a file has to know of it.
    pub(super) const fn pick(&self) -> Pick<'_> {
        Pick {
            wan: Some(self.wan),
            count: self.count,
            contiguous: self.contiguous,
            candidates: self.candidates,
            refused: self.refused,
            shared_with: self.shared_with,
        }
    }

    /// Makes the leases of ports that are to be taken.
    fn leases(&self, ports: &[Port], now: &Now) -> Vec<Granted> {
        let id = || format!("{:016x}", rand::random::<u64>());
        ports.iter().map(|port| self.grantee.lease(id(), Some(self.wan), *port, now)).collect()
    }

    /// Yields, for each rank that is there, the ports of the range that are worse or may not be given at all.
    fn excluded(&self) -> impl Iterator<Item = BTreeSet<Port>> {
        let ranks: BTreeSet<u8> = self.candidates.iter().map(|(_, rank)| *rank).collect();
        ranks.into_iter().map(|most| {
            let good = self.candidates.iter().filter(|(port, rank)| *rank <= most && !self.refused.contains(port));
            let mut good = good.map(|(port, _)| *port).peekable();
            self.range.ports().filter(|port| good.next_if_eq(port).is_none()).collect()
        })
    }
}

/// Which leases are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    All,
    Ports(&'a [Port]),
    Id(&'a str),
}

/// The engine behind a pool.
#[derive(Debug)]
pub(super) enum Shared {
    #[cfg(feature = "postgres")]
    Postgres(Box<Postgres>),
    Etcd(Box<Etcd>),
}

/// Does the same with whichever engine there is.
macro_rules! engine {
    ($shared:expr, $engine:ident => $does:expr) => {
        match $shared {
            #[cfg(feature = "postgres")]
            Self::Postgres($engine) => $does,
            Self::Etcd($engine) => $does,
        }
    };
}

impl Shared {
    /// Reads the URL; the engine is reached when it is first needed.
    pub(super) fn open(url: &Secret, group: &str, patience: Duration) -> Result<Self> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        if group.is_empty() || group.len() > GROUP_MAX || !group.chars().all(fits) {
            return Err(Error::new(ErrorKind::Usage, LeaseWords::GroupWrong { most: GROUP_MAX }));
        }
        match url.expose().trim().split_once("://") {
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => {
                Postgres::open(url, group, patience).map(Box::new).map(Self::Postgres)
            }
            Some(("etcd" | "etcds", _)) => Etcd::open(url, group, patience).map(Box::new).map(Self::Etcd),
            _ => Err(Error::new(ErrorKind::Usage, LeaseWords::StoreUrlWrong)),
        }
    }

    /// Takes ports, all or none; `None` where not enough of them are free.
    pub(super) fn take(&self, wanted: &Wanted<'_>, now: &Now) -> Result<Option<Vec<Granted>>> {
        engine!(self, engine => engine.take(wanted, now))
    }

    /// Returns leases, by WAN and port.
    pub(super) fn leases(&self, which: Which<'_>, now: &Now) -> Result<Vec<Granted>> {
        engine!(self, engine => engine.leases(which, now))
    }

    /// Lets the ports of leases rest whose time is over, and returns these.
    pub(super) fn expire(&self, now: &Now) -> Result<Vec<Granted>> {
        engine!(self, engine => engine.expire(now))
    }

    /// Gives back those leases that are still there, and returns them.
    pub(super) fn give_back(&self, leases: &[Granted], now: &Now) -> Result<Vec<Granted>> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        engine!(self, engine => engine.give_back(leases, now))
    }

    /// Lets leases begin anew as they are given here, also those that ended meanwhile and whose ports nobody has; returns
    /// those for which that worked.
    pub(super) fn renew(&self, leases: &[Granted], now: &Now) -> Result<Vec<Granted>> {
        engine!(self, engine => engine.renew(leases, now))
    }
}

/// A lease as an engine keeps it, without its place and its time.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Record {
    id: String,
    pid: u32,
    start: Option<u64>,
    boot_id: Option<String>,
    namespace: Option<String>,
    host: Option<String>,
    purpose: String,
    ttl_ms: u64,
}

impl Record {
    fn of(lease: &Granted) -> Self {
        let Holder { pid, start, standpoint } = &lease.holder;
        Self {
            id: lease.id.clone(),
            pid: *pid,
            start: *start,
            boot_id: standpoint.boot_id.clone(),
            namespace: standpoint.namespace.clone(),
            host: standpoint.host.clone(),
            purpose: lease.purpose.clone(),
            ttl_ms: lease.ttl_ms,
        }
    }

    /// Makes the lease that this is, with `left_ms` to live: by this host's clocks, whoever's the holder is.
    fn lease(self, wan: u32, port: Port, left_ms: u64, now: &Now) -> Granted {
        let standpoint = Standpoint { boot_id: self.boot_id, namespace: self.namespace, host: self.host };
        let standpoint = if standpoint == *now.standpoint { Arc::clone(&now.standpoint) } else { Arc::new(standpoint) };
        let age_ms = self.ttl_ms.saturating_sub(left_ms);
        Granted {
            id: self.id,
            wan: Some(wan),
            port,
            holder: Holder { pid: self.pid, start: self.start, standpoint },
            purpose: self.purpose,
            ttl_ms: self.ttl_ms,
            renewed_boot_ms: now.boot_ms.saturating_sub(age_ms),
            renewed_s: now.wall_s.saturating_sub(age_ms / 1_000),
        }
    }
}

/// An engine that cannot be used; `reason` has no secret in it.
fn unusable(address: &str, reason: String) -> Error {
    let words = LeaseWords::StoreUnusable { address: address.to_owned(), reason };
    Error::new(ErrorKind::Missing, words).hint(LeaseWords::CheckStore)
}
