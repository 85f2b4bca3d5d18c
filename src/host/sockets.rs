//! The list of sockets that occupy ports: netstat2's, completed by what each system knows beyond it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
#[cfg(any(test, not(windows)))]
use std::net::IpAddr;

use super::system;
use crate::model::{Endpoint, Owner, Port, PortRange, Seen, Socket, SocketState, Unseen};
use crate::words::Message;
use crate::words::host::HostWords;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Ports of which connections and `TIME_WAIT` are reported too; elsewhere they are left out, because they are in
    /// nobody's way.
    pub wanted: Vec<PortRange>,
    /// Whose owners are looked up, the expensive part: one reading of the open files of all processes.
    pub owners: Owners,
}

/// The sockets whose owning processes are looked up.
#[derive(Debug, Clone, Default)]
pub enum Owners {
    /// Those of all sockets.
    All,
    /// None; the user is given where it costs nothing.
    #[default]
    None,
    /// Those of the sockets on these ports.
    Only(BTreeSet<Port>),
}

impl Owners {
    fn wants(&self, port: Port) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(ports) => ports.contains(&port),
        }
    }
}

/// A socket as the system lists it, before its owner is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) endpoint: Endpoint,
    pub(super) state: SocketState,
    /// The user id, where sockets have one (Linux).
    pub(super) uid: Option<u32>,
    /// The number of the socket, 0 where it has none (`TIME_WAIT`, and systems other than Linux).
    pub(super) inode: u32,
    /// The process, where the list itself names it (systems other than Linux).
    pub(super) pid: Option<u32>,
    /// The cgroup that the socket was made in (Linux).
    pub(super) cgroup: Option<u64>,
}

/// Lists the sockets of this host (of this network namespace) that occupy ports, sorted by endpoint.
///
/// TCP that listens or is merely bound, and UDP that is not connected, is always there; connections, `TIME_WAIT` and
/// connected UDP only on wanted ports, once for each endpoint. A port of another network namespace, a port that only a
/// NAT rule takes, and an excluded range are not sockets. A process that ends meanwhile is not an error.
/// The second value is what could not be looked at.
#[must_use]
pub fn sockets(look: &Look) -> (Seen<Vec<Socket>>, Vec<Unseen>) {
    let mut unseen = Vec::new();
    let connections = !look.wanted.is_empty();
    let mut rows = match system::complete(look, connections, &mut unseen) {
        Ok(rows) => rows,
        Err(why) => return (Seen::Unknown(why), unseen),
    };
    rows.retain(|row| counts(look, row));
    // A connection that nobody holds any more has no number, and comes last of those on its endpoint.
    rows.sort_unstable_by_key(|row| (row.endpoint, row.state, Reverse(row.inode)));
    rows.dedup_by(|next, kept| !always(next.state) && (next.endpoint, next.state) == (kept.endpoint, kept.state));
    let owners = system::owners(&rows, |row| look.owners.wants(row.endpoint.port), &mut unseen);
    let mut sockets: Vec<Socket> = rows
        .into_iter()
        .zip(owners)
        .map(|(row, owner)| Socket { endpoint: row.endpoint, state: row.state, owner })
        .collect();
    sockets.dedup();
    (Seen::Known(sockets), unseen)
}

const fn always(state: SocketState) -> bool {
    matches!(state, SocketState::Listen | SocketState::Bound | SocketState::Open)
}

/// Tells whether a socket is to be reported.
pub(super) fn counts(look: &Look, row: &Row) -> bool {
    always(row.state) || is_wanted(look, row.endpoint.port)
}

fn is_wanted(look: &Look, port: Port) -> bool {
    look.wanted.iter().any(|range| range.contains(port))
}

/// Says that the list of sockets cannot be read.
pub(super) fn not_listed(why: &impl ToString) -> Message {
    HostWords::NotListed { why: why.to_string() }.into()
}

/// Returns the owner of a socket in `TIME_WAIT`, which has none.
pub(super) fn nobody() -> Owner {
    Owner { why_unknown: Some(HostWords::ConnectionClosing.into()), ..Owner::default() }
}

/// Says how many owners are hidden from this user, if any.
pub(super) fn hidden(owners: &[Owner]) -> Option<Unseen> {
    let why = Some(HostWords::OwnerHidden.into());
    let count = owners.iter().filter(|owner| owner.why_unknown == why).count();
    (count > 0).then(|| Unseen { what: "socket-owners", why: HostWords::OwnersHidden { count }.into() })
}

/// Makes `v6only` true of `[::]` alone, as [`Endpoint`] wants it. The tables of Windows do not tell it.
#[cfg(any(test, not(windows)))]
pub(super) fn v6only(address: IpAddr, reported: bool) -> bool {
    reported && address.is_ipv6() && address.is_unspecified()
}

/// Returns the owner of each row where the list of sockets names the process (every system but Linux).
#[cfg(not(target_os = "linux"))]
pub(super) fn owners_by_pid(rows: &[Row], wants: impl Fn(&Row) -> bool, unseen: &mut Vec<Unseen>) -> Vec<Owner> {
    use sysinfo::{Pid, ProcessRefreshKind, UpdateKind, Users};

    let pids: BTreeSet<u32> = rows.iter().filter(|row| wants(row)).filter_map(|row| row.pid).collect();
    let pids: Vec<u32> = pids.into_iter().collect();
    let kind = ProcessRefreshKind::nothing().with_user(UpdateKind::Always);
    let system = super::identity::refreshed(&pids, kind);
    let of = |pid: u32| system.as_ref()?.process(Pid::from_u32(pid));
    // Not asked where nobody is to be named: it takes long, and where there is no list of users (Wine) it crashes.
    let somebody = pids.iter().any(|pid| of(*pid).is_some_and(|process| process.user_id().is_some()));
    let users = somebody.then(|| Users::new_with_refreshed_list().ok()).flatten();
    let owner = |row: &Row| {
        if row.state == SocketState::TimeWait {
            return nobody();
        }
        if !wants(row) {
            return Owner::default();
        }
        let process = row.pid.and_then(of);
        let user = process.and_then(|process| users.as_ref()?.get_user_by_id(process.user_id()?));
        let user = user.map(|user| user.name().to_owned());
        let why_unknown = row.pid.is_none().then(|| HostWords::OwnerHidden.into());
        let process = process.map(|process| process.name().to_string_lossy().into_owned());
        Owner { pid: row.pid, process, user, container: None, why_unknown }
    };
    let owners: Vec<Owner> = rows.iter().map(owner).collect();
    unseen.extend(hidden(&owners));
    owners
}
