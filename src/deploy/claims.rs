//! Ports that a run has chosen and not bound yet. Between plan and start nothing but the run itself knows of them:
//! without a claim, runs at the same time would all choose the same free port.

use serde::{Deserialize, Serialize};

use super::prepare::Planned;
use crate::disk::{self, Dirs};
use crate::error::Result;
use crate::host::ProcessMark;
use crate::model::{
    BindingState, Endpoint, Facts, Owner, Port, ProbeOutcome, Project, Protocol, PublishedPort, Seen, Socket,
    SocketState,
};

/// The name of the record that all runs of this user share.
const RECORD: &str = "claims";

/// The ports of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    run: ProcessMark,
    ports: Vec<(Port, Protocol)>,
}

/// The claims of this run among those of others; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    dirs: &'a Dirs,
    own: ProcessMark,
}

impl<'a> Claims<'a> {
    /// Claims nothing yet.
    pub(super) fn new(dirs: &'a Dirs) -> Self {
        Self { dirs, own: ProcessMark::own() }
    }

    /// Adds what other runs claim to the facts: each port is as good as held by the run.
    pub(super) fn show(&self, facts: &mut Facts) {
        let claims: Vec<Claim> = disk::shared(self.dirs, RECORD);
        let Seen::Known(sockets) = &mut facts.sockets else { return };
        for claim in claims.iter().filter(|claim| claim.run != self.own && claim.run.is_alive()) {
            let process = Some(env!("CARGO_PKG_NAME").to_owned());
            let owner = Owner { pid: Some(claim.run.pid), process, ..Owner::default() };
            for (port, protocol) in &claim.ports {
                let endpoints = Endpoint::published(None, *port, *protocol, facts.ipv6);
                let held = |endpoint| Socket { endpoint, state: SocketState::Bound, owner: owner.clone() };
                sockets.extend(endpoints.into_iter().map(held));
            }
        }
    }

    /// Claims every port of the plan in the place of what this run claimed before, unless another run has one of them.
    ///
    /// # Errors
    /// As [`disk::change_shared`].
    pub(super) fn take(&self, planned: &Planned) -> Result<bool> {
        let ports = ports_of(&planned.after);
        disk::change_shared(self.dirs, RECORD, |claims: &mut Vec<Claim>| {
            claims.retain(|claim| claim.run != self.own && claim.run.is_alive());
            let others = || claims.iter().flat_map(|claim| &claim.ports);
            if kept(planned).iter().any(|port| others().any(|other| other == port)) {
                return false;
            }
            claims.push(Claim { run: self.own.clone(), ports });
            true
        })
    }
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        // A claim that cannot be given back ends with this process.
        let _ = disk::change_shared(self.dirs, RECORD, |claims: &mut Vec<Claim>| {
            claims.retain(|claim| claim.run != self.own && claim.run.is_alive());
        });
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
    let taken = |endpoint: &Endpoint| crate::host::probe(endpoint) == ProbeOutcome::InUse;
    let mut endpoints = endpoints.filter(|_| facts.engine_is_local);
    endpoints.find(taken).map(|endpoint| endpoint.port)
}
