//! Ports that a run has chosen and not bound yet, as leases of the user's pool. Between plan and start nothing but the run
//! itself knows of them: without a lease, runs at the same time would all choose the same free port.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::prepare::Planned;
use crate::disk::Dirs;
use crate::error::Result;
use crate::host;
use crate::lease::{Granted, Lease, Life, Looked, Options, Pool, TTL};
use crate::model::{
    BindingState, Endpoint, Facts, Owner, Port, ProbeOutcome, Project, Protocol, PublishedPort, Seen, Socket,
    SocketState, Unseen,
};
use crate::words::Message;

/// The ports of one run among those that others have leased; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Leases {
    pool: Pool,
    purpose: String,
    taken: Mutex<Option<Lease>>,
}

impl Leases {
    /// Leases nothing yet; `directory` is what the leases are for.
    ///
    /// # Errors
    /// `Missing` when the folder of the user's state cannot be made.
    pub(super) fn new(dirs: &Dirs, directory: &Path) -> Result<Self> {
        // The home may be on another machine; then runs of this one still see each other, which is all that is needed.
        let options = Options { on_weak_disk: true, ..Options::default() };
        let pool = Pool::open_with(&dirs.pool(), options)?;
        Ok(Self { pool, purpose: format!("quick-start {}", directory.display()), taken: Mutex::default() })
    }

    /// Leases every port of the plan in the place of what this run leased before, unless somebody else has one of them.
    ///
    /// # Errors
    /// `Busy` when the pool's lock is not to be had; as every write.
    pub(super) fn take(&self, planned: &Planned) -> Result<bool> {
        let ports = |ports: Vec<(Port, Protocol)>| ports.into_iter().map(|(port, _)| port).collect::<Vec<_>>();
        let (all, kept) = (ports(ports_of(&planned.after)), ports(kept(planned)));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = taken.take();
        let lease = self.pool.claim(&kept, &all, before.as_ref(), &self.purpose, TTL)?;
        *taken = lease;
        Ok(taken.is_some())
    }

    /// Returns what a person should hear of: a pool that was damaged.
    pub(super) fn notes(&self) -> Vec<Message> {
        self.pool.notes()
    }
}

/// Returns the leases of a port, of this run or of others; none where the pool cannot be read.
pub(super) fn of(dirs: &Dirs, port: Port) -> Vec<Looked> {
    let path = dirs.pool();
    let options = Options { on_weak_disk: true, ..Options::default() };
    let pool = Some(path).filter(|path| path.exists()).and_then(|path| Pool::open_with(&path, options).ok());
    let leases = |pool: Pool| {
        let leases = pool.view().ok()?.into_iter().filter(|lease| lease.port == port).collect();
        Some(pool.looked_at(leases))
    };
    pool.and_then(leases).unwrap_or_default()
}

/// Adds what others have leased to the facts: each port is as good as held by the holder of its lease. Looks without the
/// lock and changes nothing. A lease of a process that this one descends from is our own.
pub(super) fn show(dirs: &Dirs, facts: &mut Facts) {
    let path = dirs.pool();
    if !path.exists() {
        return;
    }
    let options = Options { on_weak_disk: true, ..Options::default() };
    let leases = match Pool::open_with(&path, options).and_then(|pool| Ok((pool.view()?, pool))) {
        Ok((leases, pool)) => leases.into_iter().filter(|lease| pool.life(&lease.holder) != Life::Dead).collect(),
        Err(error) => {
            facts.unseen.push(Unseen { what: "leases", why: error.message().clone() });
            Vec::new()
        }
    };
    let Seen::Known(sockets) = &mut facts.sockets else { return };
    let own = host::ancestors();
    for lease in leases.iter().filter(|lease: &&Granted| !own.contains(&lease.holder.pid)) {
        let process = host::process_of(lease.holder.pid).map(|process| process.name);
        let owner = Owner { pid: Some(lease.holder.pid), process, ..Owner::default() };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let endpoints = Endpoint::published(None, lease.port, protocol, facts.ipv6);
            let held = |endpoint| Socket { endpoint, state: SocketState::Bound, owner: owner.clone() };
            sockets.extend(endpoints.into_iter().map(held));
        }
    }
}
fn ports_of(project: &Project) -> Vec<(Port, Protocol)> {
    let fixed = project.mappings.iter().filter_map(|mapping| match mapping.published {
        PublishedPort::Fixed(range) => Some((range, mapping.protocol)),
        PublishedPort::AnyOf(_) | PublishedPort::Random => None,
    });
    fixed.flat_map(|(range, protocol)| range.ports().map(move |port| (port, protocol))).collect()
}

/// The ports that the plan relies on being free: not those that are kept in spite of a conflict, nor our own.
fn kept(planned: &Planned) -> Vec<(Port, Protocol)> {
    let given_up = |port: Port| {
        planned.ports.bindings.iter().any(|binding| binding.port == Some(port) && binding.state != BindingState::Free)
    };
    ports_of(&planned.after).into_iter().filter(|(port, _)| !given_up(*port)).collect()
}

/// Finds a port of the plan that something else has bound since the plan was made.
pub(super) fn lost(planned: &Planned, facts: &Facts) -> Option<Port> {
    let relied_on = kept(planned);
    let mappings =
        planned.after.mappings.iter().filter(|mapping| !super::launch::in_host_network(&planned.after, mapping));
    let endpoints = mappings.flat_map(|mapping| {
        let ports = relied_on.iter().filter(|(port, protocol)| match mapping.published {
            PublishedPort::Fixed(range) => range.contains(*port) && mapping.protocol == *protocol,
            PublishedPort::AnyOf(_) | PublishedPort::Random => false,
        });
        ports.flat_map(|(port, protocol)| Endpoint::published(mapping.host_ip, *port, *protocol, facts.ipv6))
    });
    let taken = |endpoint: &Endpoint| host::probe(endpoint) == ProbeOutcome::InUse;
    let mut endpoints = endpoints.filter(|_| facts.engine_is_local);
    endpoints.find(taken).map(|endpoint| endpoint.port)
}
