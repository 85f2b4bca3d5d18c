//! The pool itself: leases are taken, renewed and given back in the file, or in a store that machines share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::format::{self, Read};
use super::held::Lease;
use super::request::{Options, Release, Request};
use super::shared::{Shared, Which};
use super::table::{Granted, Grantee, Holder, Life, Now, Standpoint, Table, milliseconds};
use super::wan::{self, Wan};
use crate::disk::{HeldLedger, Ledger};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, ProcessSight};
use crate::model::{Endpoint, Port, ProbeOutcome, Secret};
use crate::words::Message;
use crate::words::lease::LeaseWords;
use grant::Candidates;

mod fleet;
mod grant;

/// How many leases a taking of ports looks at in passing, beginning with any of them.
const LOOKS: usize = 32;

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
    /// The ports that were looked through last.
    candidates: Mutex<Option<Arc<Candidates>>>,
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
    /// One system call for each of [`LOOKS`]: finds those whose number nobody has.
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
            candidates: Mutex::default(),
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
        let grantee = Grantee { holder: &holder, purpose, ttl };
        let leases = self.change(|table, now| {
            let reaped = self.reap(table, now, Depth::Full).len();
            let replaced = table.release(|lease| before.iter().any(|other| other.id == lease.id)).len();
            let taken =
                |port: &Port| table.leases.iter().any(|lease| lease.port == *port && !own.contains(&lease.holder.pid));
            // A port that this process leases twice on every address is one lease.
            let leased = |port: &&Port| table.leases.iter().any(|lease| lease.wan.is_none() && lease.port == **port);
            let ports: BTreeSet<Port> = all.iter().filter(|port| !leased(port)).copied().collect();
            let ports: Vec<Port> = ports.into_iter().collect();
            let claimed = (!needed.iter().any(taken)).then(|| granted(table, &ports, None, grantee, now));
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
            return self.release_shared(shared, which);
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
            return self.renew_shared(shared, which, ttl);
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

    fn reap(&self, table: &mut Table, now: &Now, depth: Depth) -> Vec<Granted> {
        let mut known: BTreeMap<(u32, Option<u64>), Life> = BTreeMap::new();
        let mut looks = (0..table.leases.len()).cycle().skip(rand::random_range(0..=table.leases.len()));
        let life = |holder: &Holder| {
            if depth == Depth::Quick && looks.next().is_none_or(|place| place >= LOOKS) {
                return Life::Unsure;
            }
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

    /// Renews leases, gives them a new holder where one is named, and enters those again that the file has lost and
    /// nobody else has.
    pub(super) fn keep(&self, leases: &[Granted], holder: Option<&Holder>) -> Result<()> {
        if let Backing::Shared(shared) = &self.0.backing {
            return self.keep_shared(shared, leases);
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

/// Makes leases of ports that were chosen.
fn granted(table: &Table, ports: &[Port], wan: Option<u32>, grantee: Grantee<'_>, now: &Now) -> Vec<Granted> {
    ports.iter().map(|port| grantee.lease(fresh_id(table), wan, *port, now)).collect()
}

fn fresh_id(table: &Table) -> String {
    loop {
        let id = format!("{:08x}", rand::random::<u32>());
        if table.leases.iter().all(|lease| lease.id != id) {
            return id;
        }
    }
}
