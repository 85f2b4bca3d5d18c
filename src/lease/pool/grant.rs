//! How ports are chosen: taken first, so that they are nobody else's, and bound for real before they are handed out.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use super::{Backing, Change, Depth, Pool, granted};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, PortRules};
use crate::lease::request::Request;
use crate::lease::shared::{Shared, Wanted};
use crate::lease::table::{Granted, Grantee};
use crate::lease::wan::{self, Wan};
use crate::model::{Port, PortRange, ProbeOutcome};
use crate::words::lease::LeaseWords;

/// The most rounds of choosing and binding. Each finds a port in use that no lease showed, and none twice.
const ROUNDS_MAX: usize = 10_000;

/// The rank of ports that an outgoing connection may get at any time.
const AT_RISK: u8 = 2;

/// The ports of a range that may be given by the rules of the system.
#[derive(Debug)]
pub(super) struct Candidates {
    range: PortRange,
    rules: PortRules,
    /// Lowest first, each with its rank.
    ports: Vec<(Port, u8)>,
}

impl Pool {
    /// Takes ports until somebody releases them: all that were asked for, or none.
    ///
    /// # Errors
    /// `Usage` for an unknown WAN; `Refused` when there are not enough ports; `Busy` when the lock is not to be had;
    /// `Missing` when the holder does not run, or the WAN's address is not one of this host.
    pub fn grant(&self, request: &Request) -> Result<Vec<Granted>> {
        let wan = self.wan(request.wan)?;
        let address = wan.address()?;
        let holder = self.holder(request.holder.unwrap_or_else(std::process::id))?;
        let range = request.range.unwrap_or(wan.range);
        let candidates = self.candidates(range);
        let shared_with = self.shared_with(wan, address);
        let mut refused = BTreeSet::new();
        let mut given_up: Vec<Granted> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let wanted = Wanted {
                wan: wan.index,
                count: usize::from(request.count.max(1)),
                contiguous: request.contiguous,
                range,
                candidates: &candidates.ports,
                refused: &refused,
                shared_with: &shared_with,
                grantee: Grantee { holder: &holder, purpose: &request.purpose, ttl: request.ttl },
            };
            let leases = self.take(&wanted, &std::mem::take(&mut given_up))?;
            let Some(leases) = leases else { return Err(self.exhausted(wan, range, request)) };
            // Bound outside of the lock: the ports are ours already, and nobody else waits for it.
            let (good, bad): (Vec<_>, Vec<_>) = leases.iter().partition(|lease| self.is_free(address, lease.port));
            if bad.is_empty() {
                self.warn_of_risk(&good, &candidates.ports);
                return Ok(leases);
            }
            if let Some(address) = address.filter(|address| !is_ours(*address)) {
                self.release_all(&leases)?;
                let words = LeaseWords::NotOurAddress { wan: wan.index, address: address.to_string() };
                return Err(Error::new(ErrorKind::Missing, words));
            }
            refused.extend(bad.iter().map(|lease| lease.port));
            given_up = leases;
        }
        Err(self.exhausted(wan, range, request))
    }

    /// Returns the ports of a range that may be given; those of the last time where nothing has changed.
    fn candidates(&self, range: PortRange) -> Arc<Candidates> {
        let rules = host::port_rules();
        let mut last = self.0.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.range == range && last.rules == rules) {
            return Arc::clone(last);
        }
        let ports = candidates(range, &rules);
        Arc::clone(last.insert(Arc::new(Candidates { range, rules, ports })))
    }

    /// Gives back what did not work out and takes what comes next, in one step; `None` when there is not enough.
    fn take(&self, wanted: &Wanted<'_>, given_up: &[Granted]) -> Result<Option<Vec<Granted>>> {
        if let Backing::Shared(shared) = &self.0.backing {
            return self.take_shared(shared, wanted, given_up);
        }
        let pick = wanted.pick();
        self.change(|table, now| {
            table.release(|lease| given_up.iter().any(|other| other.id == lease.id));
            let mut reaped = self.reap(table, now, Depth::Quick).len();
            let mut ports = table.pick(&pick);
            if ports.is_none() {
                reaped += self.reap(table, now, Depth::Full).len();
                ports = table.pick(&pick);
            }
            let leases = ports.map(|ports| granted(table, &ports, pick.wan, wanted.grantee, now));
            if let Some(leases) = &leases {
                table.grant(leases.clone());
            }
            Change { changed: leases.is_some() || reaped > 0 || !given_up.is_empty(), result: leases }
        })
    }

    /// The same in a shared store, which gives back by itself what is over; holders of this host are looked at when there
    /// is not enough.
    fn take_shared(&self, shared: &Shared, wanted: &Wanted<'_>, given_up: &[Granted]) -> Result<Option<Vec<Granted>>> {
        let now = self.now();
        shared.give_back(given_up, &now)?;
        if let Some(leases) = shared.take(wanted, &now)? {
            return Ok(Some(leases));
        }
        self.collect_shared(shared)?;
        shared.take(wanted, &now)
    }

    fn is_free(&self, address: Option<IpAddr>, port: Port) -> bool {
        if self.0.options.simulated_host.is_some() {
            return true;
        }
        let free = |outcome| matches!(outcome, ProbeOutcome::Free | ProbeOutcome::NoFamily);
        wan::endpoints(address, port, self.0.ipv6).iter().all(|endpoint| free(host::probe(endpoint)))
    }

    fn shared_with(&self, wan: &Wan, address: Option<IpAddr>) -> BTreeSet<u32> {
        let shares =
            |other: &&Wan| other.index != wan.index && other.address().is_ok_and(|other| wan::overlap(address, other));
        self.wans().iter().filter(shares).map(|other| other.index).collect()
    }

    fn exhausted(&self, wan: &Wan, range: PortRange, request: &Request) -> Error {
        let counted =
            self.usage_of(&[Wan { range, ..wan.clone() }]).ok().and_then(|(usage, _)| usage.into_iter().next());
        let (leased, in_use) = counted.map_or((0, 0), |usage| (usage.leased, usage.in_use));
        let (wan, wanted) = (wan.index, usize::from(request.count));
        let words = if request.contiguous {
            LeaseWords::ExhaustedInARow { wan, range, wanted, leased, in_use }
        } else {
            LeaseWords::Exhausted { wan, range, wanted, leased, in_use }
        };
        Error::new(ErrorKind::Refused, words).hint(LeaseWords::HintExhausted)
    }

    fn warn_of_risk(&self, leases: &[&Granted], candidates: &[(Port, u8)]) {
        let at_risk = |lease: &&&Granted| candidates.contains(&(lease.port, AT_RISK));
        if let Some(lease) = leases.iter().find(at_risk) {
            self.note(LeaseWords::EphemeralLease { port: lease.port });
        }
    }
}

/// The ports of a range that may be given, lowest first, each with its rank, and the system's rules about them.
///
/// Ports that outgoing connections get come last, before them those of the same range that are kept from connections.
/// A port that automatic choice has to leave alone is not among them.
fn candidates(range: PortRange, rules: &PortRules) -> Vec<(Port, u8)> {
    let within = |ranges: &[PortRange], port| ranges.iter().any(|range| range.contains(port));
    let rank = |port: Port| {
        let ephemeral = rules.ephemeral.is_some_and(|range| range.contains(port));
        match (ephemeral, within(&rules.reserved, port)) {
            _ if within(&rules.excluded, port) => None,
            (false, true) => None,
            (false, false) => Some((port, 0)),
            (true, true) => Some((port, 1)),
            (true, false) => Some((port, AT_RISK)),
        }
    };
    range.ports().filter_map(rank).collect()
}

/// Tells whether an address is one of this host.
fn is_ours(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}
