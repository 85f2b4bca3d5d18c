//! The pool itself: leases are taken, renewed and given back in the file, and every port is bound for real before it is
//! handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::format::{self, Read};
use super::held::Lease;
use super::shared::{Shared, Wanted, Which};
use super::table::{Granted, Holder, Life, Now, Pick, Standpoint, Table};
use super::wan::{self, Wan};
use crate::disk::{HeldLedger, Ledger};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, PortRules, ProcessSight};
use crate::model::{Endpoint, Port, PortRange, ProbeOutcome, Secret};
use crate::words::Message;
use crate::words::lease::LeaseWords;

/// How long a lease lasts where nobody says: a day, so that what was forgotten comes back.
pub const TTL: Duration = Duration::from_hours(24);

/// How long the lock is waited for where nobody says.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most rounds of choosing and binding. Each finds a port in use that no lease showed, and none twice.
const ROUNDS_MAX: usize = 10_000;

/// The rank of ports that an outgoing connection may get at any time.
const AT_RISK: u8 = 2;

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
    fn means(&self, lease: &Granted, here: &Standpoint) -> bool {
        match self {
            Self::Ports(ports, wan) => ports.contains(&lease.port) && (wan.is_none() || *wan == lease.wan),
            Self::Id(id) => lease.id == *id,
            Self::Pid(pid) => lease.holder.pid == *pid && lease.holder.standpoint.is_seen_from(here),
        }
    }

    fn which(&self) -> Which<'_> {
        match self {
            Self::Ports(ports, _) => Which::Ports(ports),
            Self::Id(id) => Which::Id(id),
            Self::Pid(_) => Which::All,
        }
    }

    /// Finds a port that is leased on several WANs where none was named.
    fn doubt(&self, leases: &[Granted]) -> Option<Error> {
        let Self::Ports(ports, None) = self else { return None };
        ports.iter().find_map(|port| {
            let on: Vec<_> = leases.iter().filter(|lease| lease.port == *port).map(|lease| lease.wan).collect();
            let wans = || on.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let words = (on.len() > 1).then(|| LeaseWords::OnSeveralWans { port: *port, wans: wans() })?;
            Some(Error::new(ErrorKind::Usage, words))
        })
    }
}

/// A pool of ports that all processes with the same file or store share. A copy is the same pool.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backing: Backing,
    options: Options,
    standpoint: Arc<Standpoint>,
    ipv6: bool,
    notes: Mutex<Vec<Message>>,
}

/// Where the truth is: both are known when the program is built (see ARCHITECTURE.md).
#[derive(Debug)]
enum Backing {
    File(Ledger),
    Shared(Shared),
}

/// What is done to the table, and whether it has to be written.
struct Change<R> {
    result: R,
    changed: bool,
}

/// How closely holders are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// One system call for each: finds those whose number nobody has.
    Quick,
    /// Everything that can be known.
    Full,
}

impl Pool {
    /// Opens the pool of this file with the usual options; the file need not exist yet.
    ///
    /// # Errors
    /// As [`Pool::open_with`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the pool of this file.
    ///
    /// # Errors
    /// `Refused` on a file system whose locks may not hold between machines; `Missing` when the folder cannot be made.
    pub fn open_with(path: &Path, options: Options) -> Result<Self> {
        let ledger = Ledger::open(path, options.on_weak_disk)?;
        Ok(Self::over(Backing::File(ledger), None, options))
    }

    /// Opens the pool of a group of hosts in a store that they share: `postgres://…`, `etcd://…` or `etcds://…`. The store
    /// is reached when it is first needed.
    ///
    /// This and what is then done with the pool blocks; it must not be called from within an asynchronous runtime.
    ///
    /// # Errors
    /// `Usage` for a URL or a group that cannot be meant; `Missing` when a certificate cannot be read.
    pub fn open_shared(url: &Secret, group: &str, options: Options) -> Result<Self> {
        let shared = Shared::open(url, group, options.patience)?;
        let host = options.simulated_host.clone().unwrap_or_else(host::machine_name);
        Ok(Self::over(Backing::Shared(shared), Some(host), options))
    }

    fn over(backing: Backing, host: Option<String>, options: Options) -> Self {
        let mut standpoint = Standpoint { boot_id: host::boot_id(), namespace: host::namespaces(), host };
        if options.simulated_host.is_some() {
            standpoint.boot_id = None;
        }
        Self(Arc::new(Inner {
            backing,
            options,
            standpoint: Arc::new(standpoint),
            ipv6: host::ipv6_available(),
            notes: Mutex::default(),
        }))
    }

    /// Tells whether several machines may share the pool, so that leases have to be renewed.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0.backing, Backing::Shared(_))
    }

    /// Returns the file, for what only one machine's own pool can do.
    fn ledger(&self) -> Result<&Ledger> {
        match &self.0.backing {
            Backing::File(ledger) => Ok(ledger),
            Backing::Shared(_) => Err(Error::new(ErrorKind::Usage, LeaseWords::NotShared)),
        }
    }

    /// Returns the WANs of the pool.
    #[must_use]
    pub fn wans(&self) -> &[Wan] {
        &self.0.options.wans
    }

    /// Returns what a person should hear of since the last call: a damaged file, a port that may be lost.
    #[must_use]
    pub fn notes(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, words: LeaseWords) {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner).push(words.into());
    }

    /// Returns this moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let boot_ms = u64::try_from(host::boot_clock().as_millis()).unwrap_or(u64::MAX);
        Now { standpoint: Arc::clone(&self.0.standpoint), boot_ms, wall_s }
    }

    /// Takes ports for as long as the returned value lives.
    ///
    /// # Errors
    /// As [`Pool::grant`].
    pub fn acquire(&self, request: &Request) -> Result<Lease> {
        let leases = self.grant(request)?;
        Ok(Lease::new(self.clone(), leases))
    }

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
        let candidates = candidates(range, &host::port_rules());
        let shared_with = self.shared_with(wan, address);
        let mut refused = BTreeSet::new();
        let mut given_up: Vec<Granted> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let pick = Pick {
                wan: Some(wan.index),
                count: usize::from(request.count.max(1)),
                contiguous: request.contiguous,
                candidates: &candidates,
                refused: &refused,
                shared_with: &shared_with,
            };
            let leases = self.take(&pick, request, &holder, &std::mem::take(&mut given_up), range)?;
            let Some(leases) = leases else { return Err(self.exhausted(wan, range, request)) };
            // Bound outside of the lock: the ports are ours already, and nobody else waits for it.
            let (good, bad): (Vec<_>, Vec<_>) = leases.iter().partition(|lease| self.is_free(address, lease.port));
            if bad.is_empty() {
                self.warn_of_risk(&good, &candidates);
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

    /// Gives back what did not work out and takes what comes next, in one step; `None` when there is not enough.
    fn take(
        &self,
        pick: &Pick<'_>,
        request: &Request,
        holder: &Holder,
        given_up: &[Granted],
        range: PortRange,
    ) -> Result<Option<Vec<Granted>>> {
        if let Backing::Shared(shared) = &self.0.backing {
            return self.take_shared(shared, pick, request, holder, given_up, range);
        }
        self.change(|table, now| {
            table.release(|lease| given_up.iter().any(|other| other.id == lease.id));
            let mut reaped = self.reap(table, now, Depth::Quick).len();
            let mut ports = table.pick(pick);
            if ports.is_none() {
                reaped += self.reap(table, now, Depth::Full).len();
                ports = table.pick(pick);
            }
            let leases = ports.map(|ports| granted(table, &ports, pick.wan, request, holder, now));
            if let Some(leases) = &leases {
                table.grant(leases.clone());
            }
            Change { changed: leases.is_some() || reaped > 0 || !given_up.is_empty(), result: leases }
        })
    }

    /// The same in a shared store, which gives back by itself what is over; holders of this host are looked at when there
    /// is not enough.
    fn take_shared(
        &self,
        shared: &Shared,
        pick: &Pick<'_>,
        request: &Request,
        holder: &Holder,
        given_up: &[Granted],
        range: PortRange,
    ) -> Result<Option<Vec<Granted>>> {
        let now = self.now();
        shared.give_back(given_up, &now)?;
        let wanted = Wanted {
            wan: pick.wan.unwrap_or_default(),
            count: pick.count,
            contiguous: pick.contiguous,
            range,
            candidates: pick.candidates,
            refused: pick.refused,
            shared_with: pick.shared_with,
            ttl: request.ttl,
            purpose: &request.purpose,
            holder,
        };
        if let Some(leases) = shared.take(&wanted, &now)? {
            return Ok(Some(leases));
        }
        self.collect_shared(shared)?;
        shared.take(&wanted, &now)
    }

    /// Gives back what is over: by the store's clock, or because its holder was on this host and is dead.
    fn collect_shared(&self, shared: &Shared) -> Result<Vec<Granted>> {
        let now = self.now();
        let mut collected = shared.expire(&now)?;
        let is_dead = |lease: &Granted| self.life(&lease.holder) == Life::Dead && !self.is_used(lease);
        let dead: Vec<Granted> = shared.leases(Which::All, &now)?.into_iter().filter(is_dead).collect();
        collected.extend(shared.give_back(&dead, &now)?);
        Ok(collected)
    }

    /// Returns the leases of a shared store that somebody named, if it is clear which are meant.
    fn chosen_shared(&self, shared: &Shared, which: &Release, now: &Now) -> Result<Vec<Granted>> {
        let mut leases = shared.leases(which.which(), now)?;
        leases.retain(|lease| which.means(lease, &self.0.standpoint));
        which.doubt(&leases).map_or(Ok(leases), Err)
    }

    /// Takes `all` of these very ports on every address for this process, in the place of `before`, as long as nobody else
    /// has leased one of `needed`: for a service whose ports were chosen elsewhere. What a process has leased that this one
    /// descends from is its own. `None` when one is leased.
    ///
    /// # Errors
    /// `Busy` when the lock is not to be had.
    pub fn claim(
        &self,
        needed: &[Port],
        all: &[Port],
        before: Option<&Lease>,
        purpose: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let holder = self.holder(std::process::id())?;
        let own = host::ancestors();
        let before = before.map(Lease::granted).unwrap_or_default();
        let request = Request { purpose: purpose.to_owned(), ttl, ..Request::default() };
        let leases = self.change(|table, now| {
            let reaped = self.reap(table, now, Depth::Full).len();
            let replaced = table.release(|lease| before.iter().any(|other| other.id == lease.id)).len();
            let taken =
                |port: &Port| table.leases.iter().any(|lease| lease.port == *port && !own.contains(&lease.holder.pid));
            // A port that this process leases twice on every address is one lease.
            let leased = |port: &&Port| table.leases.iter().any(|lease| lease.wan.is_none() && lease.port == **port);
            let ports: BTreeSet<Port> = all.iter().filter(|port| !leased(port)).copied().collect();
            let ports: Vec<Port> = ports.into_iter().collect();
            let claimed = (!needed.iter().any(taken)).then(|| granted(table, &ports, None, &request, &holder, now));
            table.grant(claimed.clone().unwrap_or_default());
            Change { changed: claimed.is_some() || reaped + replaced > 0, result: claimed }
        })?;
        Ok(leases.map(|leases| Lease::new(self.clone(), leases)))
    }

    /// Returns the leases as they stand, without the lock and without changing anything.
    ///
    /// # Errors
    /// `Missing` when the file cannot be read or is that of a newer Portwright.
    pub fn view(&self) -> Result<Vec<Granted>> {
        let Some(bytes) = self.ledger()?.glance()? else { return Ok(Vec::new()) };
        let (Read::Whole(mut table) | Read::Damaged(mut table)) = format::read(&bytes)?;
        self.reap(&mut table, &self.now(), Depth::Full);
        Ok(table.leases)
    }

    /// Tells whether the file is damaged: whoever changes it next sets it aside and goes on with what can be read.
    ///
    /// # Errors
    /// As [`Pool::view`].
    pub fn is_damaged(&self) -> Result<bool> {
        let Some(bytes) = self.ledger()?.glance()? else { return Ok(false) };
        Ok(matches!(format::read(&bytes)?, Read::Damaged(_)))
    }

    /// Returns the leases, without those that are over.
    ///
    /// # Errors
    /// `Busy` when the lock is not to be had.
    pub fn leases(&self) -> Result<Vec<Granted>> {
        if let Backing::Shared(shared) = &self.0.backing {
            self.collect_shared(shared)?;
            return shared.leases(Which::All, &self.now());
        }
        self.change(|table, now| {
            let changed = !self.reap(table, now, Depth::Full).is_empty();
            Change { result: table.leases.clone(), changed }
        })
    }

    /// Gives back what is over, and returns it.
    ///
    /// # Errors
    /// `Busy` when the lock is not to be had.
    pub fn collect(&self) -> Result<Vec<Granted>> {
        if let Backing::Shared(shared) = &self.0.backing {
            return self.collect_shared(shared);
        }
        self.change(|table, now| {
            let reaped = self.reap(table, now, Depth::Full);
            Change { changed: !reaped.is_empty(), result: reaped }
        })
    }

    /// Gives back leases and returns them; what is not leased is no error.
    ///
    /// # Errors
    /// `Usage` for a port that is leased on several WANs where none is named; `Busy` when the lock is not to be had.
    pub fn release(&self, which: &Release) -> Result<Vec<Granted>> {
        if let Backing::Shared(shared) = &self.0.backing {
            let now = self.now();
            return shared.give_back(&self.chosen_shared(shared, which, &now)?, &now);
        }
        self.change_chosen(which, |table, now| {
            let released = table.release(|lease| which.means(lease, &now.standpoint));
            Change { changed: !released.is_empty(), result: released }
        })
    }

    /// Lets leases begin anew, for `ttl` or for as long as before, and returns them.
    ///
    /// # Errors
    /// `Usage` for a port that is leased on several WANs where none is named; `Busy` when the lock is not to be had.
    pub fn renew(&self, which: &Release, ttl: Option<Duration>) -> Result<Vec<Granted>> {
        if let Backing::Shared(shared) = &self.0.backing {
            let now = self.now();
            let mut leases = self.chosen_shared(shared, which, &now)?;
            for lease in &mut leases {
                lease.ttl_ms = ttl.map_or(lease.ttl_ms, milliseconds);
            }
            return shared.renew(&leases, &now);
        }
        self.change_chosen(which, |table, now| {
            let mut renewed = Vec::new();
            for lease in table.leases.iter_mut().filter(|lease| which.means(lease, &now.standpoint)) {
                lease.ttl_ms = ttl.map_or(lease.ttl_ms, milliseconds);
                (lease.renewed_boot_ms, lease.renewed_s) = (now.boot_ms, now.wall_s);
                renewed.push(lease.clone());
            }
            Change { changed: !renewed.is_empty(), result: renewed }
        })
    }

    /// Judges whether the holder of a lease lives.
    #[must_use]
    pub fn life(&self, holder: &Holder) -> Life {
        holder.life(&self.0.standpoint, host::process_sight)
    }

    pub(super) fn ipv6(&self) -> bool {
        self.0.ipv6
    }

    pub(super) fn endpoints_of(&self, lease: &Granted) -> Vec<Endpoint> {
        wan::endpoints(self.address_of(lease), lease.port, self.0.ipv6)
    }

    pub(super) fn address_of(&self, lease: &Granted) -> Option<IpAddr> {
        let wan = self.wans().iter().find(|wan| Some(wan.index) == lease.wan)?;
        wan.address().ok().flatten()
    }

    /// Tells whether a port is in use. One of an address that is gone cannot be.
    fn is_used(&self, lease: &Granted) -> bool {
        self.endpoints_of(lease).iter().any(|endpoint| host::probe(endpoint) == ProbeOutcome::InUse)
    }

    fn is_free(&self, address: Option<IpAddr>, port: Port) -> bool {
        if self.0.options.simulated_host.is_some() {
            return true;
        }
        let free = |outcome| matches!(outcome, ProbeOutcome::Free | ProbeOutcome::NoFamily);
        wan::endpoints(address, port, self.0.ipv6).iter().all(|endpoint| free(host::probe(endpoint)))
    }

    fn reap(&self, table: &mut Table, now: &Now, depth: Depth) -> Vec<Granted> {
        let mut known: BTreeMap<(u32, Option<u64>), Life> = BTreeMap::new();
        let life = |holder: &Holder| {
            let look = |pid| match depth {
                Depth::Full => host::process_sight(pid),
                Depth::Quick if host::surely_gone(pid) => ProcessSight::Gone,
                Depth::Quick => ProcessSight::Hidden,
            };
            if holder.standpoint != now.standpoint {
                return holder.life(&now.standpoint, look);
            }
            *known.entry((holder.pid, holder.start)).or_insert_with(|| holder.life(&now.standpoint, look))
        };
        table.reap(now, life, |lease| self.is_used(lease))
    }

    /// Reads, changes and writes the table while nobody else does.
    fn change<R>(&self, change: impl FnOnce(&mut Table, &Now) -> Change<R>) -> Result<R> {
        let held = self.ledger()?.hold(self.0.options.patience)?;
        let (mut table, repaired) = self.read(&held)?;
        let Change { result, changed } = change(&mut table, &self.now());
        if changed || repaired {
            held.write(&format::write(&table))?;
        }
        Ok(result)
    }

    /// The same for leases that somebody named, if it is clear which are meant.
    fn change_chosen<R>(&self, which: &Release, change: impl FnOnce(&mut Table, &Now) -> Change<R>) -> Result<R> {
        self.change(|table, now| {
            if let Some(error) = which.doubt(&table.leases) {
                return Change { result: Err(error), changed: false };
            }
            let Change { result, changed } = change(table, now);
            Change { result: Ok(result), changed }
        })?
    }

    /// Reads the table; a damaged file is set aside and what can be read of it goes on.
    fn read(&self, held: &HeldLedger<'_>) -> Result<(Table, bool)> {
        let Some(bytes) = held.read()? else { return Ok((Table::default(), false)) };
        match format::read(&bytes)? {
            Read::Whole(table) => Ok((table, false)),
            Read::Damaged(table) => {
                let path = held.set_aside()?;
                self.note(LeaseWords::SetAside { path, kept: table.leases.len() });
                Ok((table, true))
            }
        }
    }

    fn wan(&self, index: Option<u32>) -> Result<&Wan> {
        let wans = self.wans();
        let found = wans.iter().find(|wan| index.is_none_or(|index| wan.index == index));
        found.ok_or_else(|| {
            let known = wans.iter().map(|wan| wan.index.to_string()).collect::<Vec<_>>().join(", ");
            Error::new(ErrorKind::Usage, LeaseWords::UnknownWan { wan: index.unwrap_or_default(), known })
        })
    }

    fn shared_with(&self, wan: &Wan, address: Option<IpAddr>) -> BTreeSet<u32> {
        let shares =
            |other: &&Wan| other.index != wan.index && other.address().is_ok_and(|other| wan::overlap(address, other));
        self.wans().iter().filter(shares).map(|other| other.index).collect()
    }

    /// Returns the mark of a process of this namespace.
    ///
    /// # Errors
    /// `Missing` when there is none with this number.
    pub fn holder(&self, pid: u32) -> Result<Holder> {
        let start = match host::process_sight(pid) {
            ProcessSight::Started(start) => Some(start),
            ProcessSight::Hidden => None,
            ProcessSight::Gone => return Err(Error::new(ErrorKind::Missing, LeaseWords::NoHolder { pid })),
        };
        Ok(Holder { pid, start, standpoint: Arc::clone(&self.0.standpoint) })
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

    /// Renews leases, gives them a new holder where one is named, and enters those again that the file has lost and
    /// nobody else has.
    pub(super) fn keep(&self, leases: &[Granted], holder: Option<&Holder>) -> Result<()> {
        if let Backing::Shared(shared) = &self.0.backing {
            let kept = shared.renew(leases, &self.now())?;
            let lost = leases.iter().find(|lease| kept.iter().all(|other| other.id != lease.id));
            return lost.map_or(Ok(()), |lease| {
                Err(Error::new(ErrorKind::Refused, LeaseWords::LostToAnother { port: lease.port }))
            });
        }
        self.change(|table, now| {
            for lease in leases {
                if table.leases.iter().all(|other| other.id != lease.id && other.port != lease.port) {
                    table.grant(vec![lease.clone()]);
                }
                for entry in table.leases.iter_mut().filter(|other| other.id == lease.id) {
                    (entry.renewed_boot_ms, entry.renewed_s) = (now.boot_ms, now.wall_s);
                    entry.holder = holder.unwrap_or(&entry.holder).clone();
                }
            }
            Change { result: (), changed: true }
        })
    }

    pub(super) fn release_all(&self, leases: &[Granted]) -> Result<Vec<Granted>> {
        if let Backing::Shared(shared) = &self.0.backing {
            return shared.give_back(leases, &self.now());
        }
        self.change(|table, _| {
            let released = table.release(|lease| leases.iter().any(|other| other.id == lease.id));
            Change { changed: !released.is_empty(), result: released }
        })
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

/// Makes leases of ports that were chosen.
fn granted(
    table: &Table,
    ports: &[Port],
    wan: Option<u32>,
    request: &Request,
    holder: &Holder,
    now: &Now,
) -> Vec<Granted> {
    let lease = |port: &Port| Granted {
        id: fresh_id(table),
        wan,
        port: *port,
        holder: holder.clone(),
        purpose: request.purpose.clone(),
        ttl_ms: milliseconds(request.ttl),
        renewed_boot_ms: now.boot_ms,
        renewed_s: now.wall_s,
    };
    ports.iter().map(lease).collect()
}

fn fresh_id(table: &Table) -> String {
    loop {
        let id = format!("{:08x}", rand::random::<u32>());
        if table.leases.iter().all(|lease| lease.id != id) {
            return id;
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells whether an address is one of this host.
fn is_ours(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}
