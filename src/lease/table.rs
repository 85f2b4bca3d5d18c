//! The table of leases as values: who holds what until when, what is over, and which ports come next. Time and the
//! machine are arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::ProcessSight;
use crate::model::Port;

/// Where process numbers and the boot clock of a holder mean something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standpoint {
    /// The boot; `None` where start times of processes are absolute and need none.
    pub boot_id: Option<String>,
    /// The namespaces of processes and of time; `None` where there are none.
    pub namespace: Option<String>,
    /// The name of the machine, where several share the pool; a file is one machine's own and does not name it.
    #[serde(skip)]
    pub host: Option<String>,
}

impl Standpoint {
    /// Tells whether process numbers of this standpoint may mean processes that are seen from `here`: always within a
    /// file, and of several machines only on the same one.
    pub(super) fn is_seen_from(&self, here: &Self) -> bool {
        self.host.is_none()
            || (self.boot_id.is_some() && self.boot_id == here.boot_id && self.namespace == here.namespace)
    }
}

/// A moment, seen from a standpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// From where.
    pub standpoint: Arc<Standpoint>,
    /// Milliseconds since the start of the system.
    pub boot_ms: u64,
    /// Seconds since 1970, which a person may set at will.
    pub wall_s: u64,
}

/// The process that a lease stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// When it started, in the system's own unit; `None` where that could not be read.
    pub start: Option<u64>,
    /// Where that number means this process.
    pub standpoint: Arc<Standpoint>,
}

/// What is known of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Alive,
    /// It is proven to be gone.
    Dead,
    /// It cannot be told from here, and nothing is taken on doubt.
    Unsure,
}

impl Holder {
    /// Judges whether the holder lives, as seen from `here`; `look` tells what has its number now.
    pub fn life(&self, here: &Standpoint, look: impl FnOnce(u32) -> ProcessSight) -> Life {
        let same_names = self.standpoint.namespace == here.namespace;
        // Of several machines only those of the same boot are this one: names and ids of machines are copied with them.
        if !self.standpoint.is_seen_from(here) {
            return Life::Unsure;
        }
        match (&self.standpoint.boot_id, &here.boot_id) {
            // Some containers are given a boot id of their own, but then they have namespaces of their own, too.
            (Some(theirs), Some(ours)) if theirs != ours && same_names => return Life::Dead,
            (theirs, ours) if theirs != ours || !same_names => return Life::Unsure,
            _ => {}
        }
        match (look(self.pid), self.start) {
            (ProcessSight::Started(seen), Some(start)) if seen == start => Life::Alive,
            (ProcessSight::Gone, _) | (ProcessSight::Started(_), Some(_)) => Life::Dead,
            (ProcessSight::Started(_), None) | (ProcessSight::Hidden, _) => Life::Unsure,
        }
    }
}

/// One port, leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Names the lease: eight hexadecimal digits, sixteen in a shared store, never given twice at a time.
    pub id: String,
    /// The WAN; `None` for every address of this host.
    pub wan: Option<u32>,
    /// The port, of TCP and of UDP.
    pub port: Port,
    /// Who has it.
    pub holder: Holder,
    /// What for, in the holder's words.
    pub purpose: String,
    /// How long it lasts from its last renewal, in milliseconds.
    pub ttl_ms: u64,
    /// When it was renewed, by the boot clock of the holder's standpoint.
    pub renewed_boot_ms: u64,
    /// The same in seconds since 1970: all that is left of it after a reboot.
    pub renewed_s: u64,
}

impl Granted {
    /// Returns how long the lease lasts yet, in milliseconds. Within a boot the boot clock alone counts, so setting the
    /// clock of the wall changes nothing.
    #[must_use]
    pub fn left_ms(&self, now: &Now) -> u64 {
        let same_clock =
            self.holder.standpoint.boot_id == now.standpoint.boot_id && self.renewed_boot_ms <= now.boot_ms;
        let age_ms = if same_clock {
            now.boot_ms - self.renewed_boot_ms
        } else {
            now.wall_s.saturating_sub(self.renewed_s).saturating_mul(1_000)
        };
        self.ttl_ms.saturating_sub(age_ms)
    }

    /// Returns when the lease ends, in seconds since 1970 as the clock stands now.
    #[must_use]
    pub fn expires_s(&self, now: &Now) -> u64 {
        now.wall_s.saturating_add(self.left_ms(now).div_ceil(1_000))
    }
}

/// Who gets leases, what for, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grantee<'a> {
    /// The process.
    pub(super) holder: &'a Holder,
    /// What for, in its words.
    pub(super) purpose: &'a str,
    /// How long they last unless they are renewed.
    pub(super) ttl: Duration,
}

impl Grantee<'_> {
    /// Makes a lease that begins now.
    pub(super) fn lease(&self, id: String, wan: Option<u32>, port: Port, now: &Now) -> Granted {
        Granted {
            id,
            wan,
            port,
            holder: self.holder.clone(),
            purpose: self.purpose.to_owned(),
            ttl_ms: milliseconds(self.ttl),
            renewed_boot_ms: now.boot_ms,
            renewed_s: now.wall_s,
        }
    }
}

/// A time in milliseconds, as leases keep it.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is asked for, with the ports that may be given.
#[derive(Debug)]
pub(super) struct Pick<'a> {
    /// The WAN.
    pub(super) wan: Option<u32>,
    /// How many ports.
    pub(super) count: usize,
    /// Whether they must follow one another.
    pub(super) contiguous: bool,
    /// The ports that may be given, lowest first, each with its rank: a lower one is given first.
    pub(super) candidates: &'a [(Port, u8)],
    /// Ports that turned out to be in use.
    pub(super) refused: &'a BTreeSet<Port>,
    /// The WANs whose addresses this one shares; a lease of every address always counts.
    pub(super) shared_with: &'a BTreeSet<u32>,
}

/// All leases of a pool, and which ports were given back when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table {
    /// The leases, the oldest first.
    pub(super) leases: Vec<Granted>,
    /// The ports that were given back, by WAN; the longest-rested first.
    pub(super) rested: BTreeMap<u32, Vec<Port>>,
}

impl Table {
    /// Chooses ports without changing anything: never used ones, then those that have rested longest. All of them or
    /// none; lowest first.
    #[must_use]
    pub(super) fn pick(&self, pick: &Pick<'_>) -> Option<Vec<Port>> {
        let blocks = |lease: &&Granted| {
            let wan = lease.wan.filter(|_| pick.wan.is_some());
            wan.is_none_or(|wan| Some(wan) == pick.wan || pick.shared_with.contains(&wan))
        };
        let mut standing = Standings::over(pick.candidates);
        let rested = pick.wan.and_then(|wan| self.rested.get(&wan)).map(Vec::as_slice).unwrap_or_default();
        rested.iter().zip(1..).for_each(|(port, place)| standing.set(*port, place));
        let leased = self.leases.iter().filter(blocks).map(|lease| &lease.port);
        leased.chain(pick.refused).for_each(|port| standing.set(*port, TAKEN));
        let mut free: Vec<Free> = Vec::new();
        let mut best = 0;
        for (port, rank) in pick.candidates {
            match standing.of(*port) {
                TAKEN => continue,
                rest => free.push((*rank, rest, *port)),
            }
            best += usize::from(free.last().is_some_and(|(rank, rest, _)| (*rank, *rest) == (0, 0)));
            if best == pick.count && !pick.contiguous {
                // Nothing above can be better.
                break;
            }
        }
        if pick.contiguous {
            return best_block(&free, pick.count);
        }
        if free.len() < pick.count {
            return None;
        }
        if pick.count < free.len() {
            free.select_nth_unstable(pick.count);
            free.truncate(pick.count);
        }
        let mut ports: Vec<Port> = free.into_iter().map(|(.., port)| port).collect();
        ports.sort_unstable();
        Some(ports)
    }

    /// Enters leases; their ports rest no longer.
    pub(super) fn grant(&mut self, leases: Vec<Granted>) {
        for lease in &leases {
            if let Some(rested) = lease.wan.and_then(|wan| self.rested.get_mut(&wan)) {
                rested.retain(|port| *port != lease.port);
            }
        }
        self.leases.extend(leases);
    }

    /// Gives back the leases that `chosen` picks, and returns them; their ports rest from now on.
    pub(super) fn release(&mut self, chosen: impl FnMut(&mut Granted) -> bool) -> Vec<Granted> {
        let released: Vec<Granted> = self.leases.extract_if(.., chosen).collect();
        for lease in &released {
            if let Some(wan) = lease.wan {
                let rested = self.rested.entry(wan).or_default();
                rested.retain(|port| *port != lease.port);
                rested.push(lease.port);
            }
        }
        released
    }

    /// Gives back what is over: the holder is proven dead or the time has run out, and nobody uses the port.
    pub(super) fn reap(
        &mut self,
        now: &Now,
        mut life: impl FnMut(&Holder) -> Life,
        mut in_use: impl FnMut(&Granted) -> bool,
    ) -> Vec<Granted> {
        self.release(|lease| (lease.left_ms(now) == 0 || life(&lease.holder) == Life::Dead) && !in_use(lease))
    }
}

/// A port that may be given: its rank, its place among the rested ones (0: never used), and its number.
pub(super) type Free = (u8, u32, Port);

/// Stands for a port that cannot be given.
const TAKEN: u32 = u32::MAX;

/// How every port of a range stands: never used (0), its place among the rested ones, or [`TAKEN`]. Flat, because it is made
/// anew for each choice, while others wait.
struct Standings {
    first: usize,
    standings: Vec<u32>,
}

impl Standings {
    fn over(candidates: &[(Port, u8)]) -> Self {
        let end = |end: Option<&(Port, u8)>| end.map_or(0, |(port, _)| usize::from(port.get()));
        let (first, last) = (end(candidates.first()), end(candidates.last()));
        Self { first, standings: vec![0; last - first + 1] }
    }

    fn set(&mut self, port: Port, standing: u32) {
        let at = usize::from(port.get()).checked_sub(self.first);
        if let Some(slot) = at.and_then(|at| self.standings.get_mut(at)) {
            *slot = standing;
        }
    }

    fn of(&self, port: Port) -> u32 {
        let at = usize::from(port.get()).checked_sub(self.first);
        at.and_then(|at| self.standings.get(at)).copied().unwrap_or(TAKEN)
    }
}

/// Finds `count` ports in a row: the row whose worst port is best.
pub(super) fn best_block(free: &[Free], count: usize) -> Option<Vec<Port>> {
    let in_a_row = |row: &&[Free]| {
        row.windows(2).all(|two| matches!(two, [(.., one), (.., next)] if one.checked_add(1) == Some(*next)))
    };
    let worst = |row: &&[Free]| row.iter().map(|(rank, rest, _)| (*rank, *rest)).max();
    let row = free.windows(count).filter(in_a_row).min_by_key(worst)?;
    Some(row.iter().map(|(.., port)| *port).collect())
}

#[cfg(test)]
mod tests;
