//! A look at the pool: leases as they stand, and how many ports each WAN has left.

use std::collections::{BTreeMap, BTreeSet};

use super::pool::Pool;
use super::table::{Granted, Life};
use super::wan::{self, Wan};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, Look, Owners, PortRules};
use crate::model::{Endpoint, Owner, Port, PortRange, Seen, Socket, Unseen};

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The lease.
    pub lease: Granted,
    /// Whether its holder lives.
    pub life: Life,
    /// Whether it is over: its holder is dead or its time has run out.
    pub is_over: bool,
    /// When it ends, in seconds since 1970.
    pub expires_s: u64,
    /// Who has its port, when the lease is over and lasts only because of that.
    pub used_by: Option<Owner>,
}

/// What became of the ports of a WAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The WAN.
    pub wan: Wan,
    /// How many ports its range has.
    pub total: usize,
    /// How many are leased.
    pub leased: usize,
    /// How many are not leased and in use by others.
    pub in_use: usize,
    /// How many are neither, and kept back by the system.
    pub reserved: usize,
    /// How many are left.
    pub free: usize,
}

impl Pool {
    /// Looks at the holders of leases, and at who uses the ports of those that are over.
    #[must_use]
    pub fn looked_at(&self, leases: Vec<Granted>) -> Vec<Looked> {
        let now = self.now();
        let look = |lease: Granted| {
            let life = self.life(&lease.holder);
            let is_over = life == Life::Dead || lease.left_ms(&now) == 0;
            Looked { life, is_over, expires_s: lease.expires_s(&now), used_by: None, lease }
        };
        let mut looked: Vec<Looked> = leases.into_iter().map(look).collect();
        let over = looked.iter().filter(|looked| looked.is_over);
        let ports: BTreeSet<Port> = over.map(|looked| looked.lease.port).collect();
        if ports.is_empty() {
            return looked;
        }
        let wanted = ports.iter().map(|port| PortRange::single(*port)).collect();
        let (sockets, _) = host::sockets(&Look { wanted, owners: Owners::Only(ports) });
        let sockets = sockets.known().map(Vec::as_slice).unwrap_or_default();
        for looked in looked.iter_mut().filter(|looked| looked.is_over) {
            let ours = self.endpoints_of(&looked.lease);
            let uses = |socket: &&Socket| ours.iter().any(|our| our.conflicts_with(&socket.endpoint));
            looked.used_by = sockets.iter().find(uses).map(|socket| socket.owner.clone());
        }
        looked
    }

    /// Counts what became of the ports of each WAN; the second value is what could not be seen.
    ///
    /// # Errors
    /// `Busy` when the lock is not to be had; `Missing` when the sockets of this host cannot be listed.
    pub fn usage(&self) -> Result<(Vec<Usage>, Vec<Unseen>)> {
        self.usage_of(self.wans())
    }

    /// As [`Pool::usage`], but without the lock and without changing anything.
    ///
    /// # Errors
    /// `Missing` when the file cannot be read, or the sockets of this host cannot be listed.
    pub fn usage_at_a_glance(&self) -> Result<(Vec<Usage>, Vec<Unseen>)> {
        self.usage_with(self.wans(), &self.view()?)
    }

    /// The same for WANs that may have other ranges than the pool's own.
    pub(super) fn usage_of(&self, wans: &[Wan]) -> Result<(Vec<Usage>, Vec<Unseen>)> {
        self.usage_with(wans, &self.leases()?)
    }

    fn usage_with(&self, wans: &[Wan], leases: &[Granted]) -> Result<(Vec<Usage>, Vec<Unseen>)> {
        let rules = host::port_rules();
        let look = Look { wanted: wans.iter().map(|wan| wan.range).collect(), ..Look::default() };
        let (sockets, unseen) = host::sockets(&look);
        let sockets = match sockets {
            Seen::Known(sockets) => sockets,
            Seen::Unknown(why) => return Err(Error::new(ErrorKind::Missing, why)),
        };
        let mut held: BTreeMap<Port, Vec<Endpoint>> = BTreeMap::new();
        for socket in &sockets {
            held.entry(socket.endpoint.port).or_default().push(socket.endpoint);
        }
        let usage = wans.iter().map(|wan| self.count(wan, leases, &held, &rules)).collect();
        Ok((usage, unseen))
    }

    fn count(&self, wan: &Wan, leases: &[Granted], held: &BTreeMap<Port, Vec<Endpoint>>, rules: &PortRules) -> Usage {
        let address = wan.address().ok().flatten();
        let is_used = |port: Port| {
            let ours = wan::endpoints(address, port, self.ipv6());
            let others = held.get(&port).map(Vec::as_slice).unwrap_or_default();
            others.iter().any(|other| ours.iter().any(|our| our.conflicts_with(other)))
        };
        let is_kept = |port: Port| rules.reserved.iter().chain(&rules.excluded).any(|range| range.contains(port));
        let counts = |lease: &&Granted| lease.wan.is_none_or(|of| of == wan.index) && wan.range.contains(lease.port);
        let taken: BTreeSet<Port> = leases.iter().filter(counts).map(|lease| lease.port).collect();
        let others = || wan.range.ports().filter(|port| !taken.contains(port));
        let total = usize::from(wan.range.count());
        let in_use = others().filter(|port| is_used(*port)).count();
        let reserved = others().filter(|port| !is_used(*port) && is_kept(*port)).count();
        let free = total.saturating_sub(taken.len() + in_use + reserved);
        Usage { wan: wan.clone(), total, leased: taken.len(), in_use, reserved, free }
    }
}
