//! Checks of the machine: memory, limits, counters of the kernel, clock, names.

use std::net::IpAddr;

use super::seen;
use crate::model::{EngineSight, Finding, MachineSight, NetworkSight, Observation, utc};
use crate::words::doctor::DoctorWords as W;

/// A MiB, in bytes.
const MIB: u64 = 1 << 20;

/// Below this the next process is likely to be killed: the server alone takes 20 MiB.
const MEMORY_LEAST: u64 = 32 * MIB;

/// Below this a pull or a build is likely to fail.
const MEMORY_COMFORT: u64 = 128 * MIB;

/// What a server needs for itself and for a hundred visitors with two sockets each.
const FILES_LEAST: u64 = 256;

/// What POSIX systems give at least, and enough for some hundred visitors.
const FILES_COMFORT: u64 = 1024;

/// The room that a start needs: a runtime, compose, and their threads.
const TASKS_LEAST: u64 = 32;

/// The backlog that Linux had until 5.4; a burst of visitors beyond it waits for seconds.
const BACKLOG_LEAST: u64 = 128;

/// A connection lasts a minute in `TIME_WAIT`: fewer ports than this are used up by some ten connections a second.
const OUTGOING_LEAST: u64 = 512;

/// The same for some seventy connections a second.
const OUTGOING_COMFORT: u64 = 4096;

/// 2026-01-01, before the first release of this program.
const MADE_S: u64 = 1_767_225_600;

/// 2100-01-01.
const FUTURE_S: u64 = 4_102_444_800;

fn with_machine(facts: &Observation, judge: impl FnOnce(&MachineSight) -> Finding) -> Finding {
    seen(&facts.machine, W::NotSeen, judge)
}

/// How a value stands to its limits.
fn bounded(value: u64, least: u64, comfort: u64, line: W, remedy: W) -> Finding {
    match value {
        _ if value < least => Finding::fail(vec![line.into()], remedy),
        _ if value < comfort => Finding::warn(vec![line.into()], remedy),
        _ => Finding::pass(line),
    }
}

/// How full something is: above 98 % is as good as full, above 90 % will be.
fn filled(used: Option<u64>, most: Option<u64>, remedy: W) -> Finding {
    let (Some(used), Some(most)) = (used, most) else { return Finding::skipped(W::NotToldHere) };
    let line = W::UsedOf { used, most };
    let share = |percent: u64| u128::from(most) * u128::from(percent) / 100;
    match u128::from(used) {
        used if used >= share(98) => Finding::fail(vec![line.into()], remedy),
        used if used >= share(90) => Finding::warn(vec![line.into()], remedy),
        _ => Finding::pass(line),
    }
}

/// There is memory left.
pub(super) fn memory(facts: &Observation) -> Finding {
    with_machine(facts, |machine| match (machine.memory_available, machine.memory_total) {
        (Some(left), Some(total)) => {
            let line = W::MemoryLeft { mib: left / MIB, total: total / MIB };
            bounded(left, MEMORY_LEAST, MEMORY_COMFORT, line, W::MemoryRemedy)
        }
        _ => Finding::skipped(W::NotToldHere),
    })
}

/// Enough files may be open.
pub(super) fn descriptors(facts: &Observation) -> Finding {
    with_machine(facts, |machine| match machine.files_own {
        Some(count) => {
            let line = W::DescriptorsAre { count };
            bounded(count, FILES_LEAST, FILES_COMFORT, line, W::DescriptorsRemedy)
        }
        None => Finding::skipped(W::NotToldHere),
    })
}

/// The system can open more files.
pub(super) fn system_files(facts: &Observation) -> Finding {
    with_machine(facts, |machine| filled(machine.files_open, machine.files_most, W::SystemFilesRemedy))
}

/// More processes can be started.
pub(super) fn tasks(facts: &Observation) -> Finding {
    with_machine(facts, |machine| match (machine.tasks, machine.tasks_most) {
        (Some(used), Some(most)) if most.saturating_sub(used) < TASKS_LEAST => {
            Finding::fail(vec![W::UsedOf { used, most }.into()], W::TasksRemedy)
        }
        (used, most) => filled(used, most, W::TasksRemedy),
    })
}

/// Enough visitors can wait.
pub(super) fn backlog(facts: &Observation) -> Finding {
    with_machine(facts, |machine| match machine.backlog {
        Some(count) => bounded(count, 1, BACKLOG_LEAST, W::BacklogIs { count }, W::BacklogRemedy),
        None => Finding::skipped(W::NotToldHere),
    })
}

/// The kernel can track more connections; without a firewall it tracks none.
pub(super) fn connections(facts: &Observation) -> Finding {
    with_machine(facts, |machine| filled(machine.connections, machine.connections_most, W::ConnectionsRemedy))
}

/// The kernel forwards to the containers of a daemon of root.
pub(super) fn forwarding(facts: &Observation) -> Finding {
    let needed = facts.engine.known().is_some_and(|engine| match engine {
        EngineSight::Answers(answer) => answer.local && !answer.rootless,
        EngineSight::Fails(_) => false,
    });
    if !needed {
        return Finding::skipped(W::ForwardingNotNeeded);
    }
    with_machine(facts, |machine| match machine.forwards {
        Some(true) => Finding::pass(W::Forwards),
        Some(false) => Finding::fail(vec![W::ForwardsNot.into()], W::ForwardingRemedy),
        None => Finding::skipped(W::NotToldHere),
    })
}

/// Outgoing connections find ports.
pub(super) fn outgoing(facts: &Observation) -> Finding {
    with_machine(facts, |machine| match machine.outgoing_ports {
        Some(count) => {
            let line = W::OutgoingAre { count };
            bounded(count, OUTGOING_LEAST, OUTGOING_COMFORT, line, W::OutgoingRemedy)
        }
        None => Finding::skipped(W::NotToldHere),
    })
}

/// The clock shows a time that can be.
pub(super) fn clock(facts: &Observation) -> Finding {
    with_machine(facts, |machine| {
        let time = utc(machine.clock_s);
        match machine.clock_s {
            early if early < MADE_S => Finding::fail(vec![W::ClockPast { time }.into()], W::ClockRemedy),
            late if late > FUTURE_S => Finding::fail(vec![W::ClockFuture { time }.into()], W::ClockRemedy),
            _ => Finding::pass(W::ClockIs { time }),
        }
    })
}

/// Tells whether dates can be judged by a clock that shows this.
pub(super) fn can_be_right(clock_s: u64) -> bool {
    (MADE_S..=FUTURE_S).contains(&clock_s)
}

fn with_network(facts: &Observation, judge: impl FnOnce(&NetworkSight) -> Finding) -> Finding {
    seen(&facts.network, W::NotSeen, judge)
}

/// Loopback works.
pub(super) fn loopback(facts: &Observation) -> Finding {
    with_network(facts, |network| {
        if network.loopback {
            Finding::pass(W::LoopbackWorks)
        } else {
            Finding::fail(vec![W::LoopbackBroken.into()], W::LoopbackRemedy)
        }
    })
}

/// `localhost` is this machine, at an address that it has.
pub(super) fn localhost(facts: &Observation) -> Finding {
    with_network(facts, |network| {
        seen(&network.localhost, W::NotSeen, |found| {
            let addresses = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let reachable = found.iter().any(|address| address.is_ipv4() || network.ipv6);
            if found.is_empty() || !reachable {
                return Finding::fail(vec![W::LocalhostNowhere.into()], W::LocalhostRemedy);
            }
            if found.iter().all(IpAddr::is_loopback) {
                Finding::pass(W::LocalhostIs { addresses })
            } else {
                Finding::fail(vec![W::LocalhostElsewhere { addresses }.into()], W::LocalhostRemedy)
            }
        })
    })
}

/// The resolver has somebody to ask.
pub(super) fn name_servers(facts: &Observation) -> Finding {
    with_network(facts, |network| {
        seen(&network.nameservers, W::NotToldHere, |servers| {
            if servers.is_empty() {
                Finding::warn(vec![W::NoNameServers.into()], W::NameServersRemedy)
            } else {
                Finding::pass(W::NameServersAre { list: servers.join(", ") })
            }
        })
    })
}

/// The user has a home.
pub(super) fn home(facts: &Observation) -> Finding {
    if facts.has_home { Finding::pass(W::HasHome) } else { Finding::fail(vec![W::NoHome.into()], W::NoHomeRemedy) }
}

/// No variable of ours is misspelt.
pub(super) fn variables(facts: &Observation) -> Finding {
    match facts.misspelt.first() {
        None => Finding::pass(W::NoneMisspelt),
        Some((_, nearest)) => {
            let line = |(name, _): &(String, String)| W::Misspelt { name: name.clone() }.into();
            let remedy = W::MisspeltRemedy { nearest: nearest.clone() };
            Finding::warn(facts.misspelt.iter().map(line).collect(), remedy)
        }
    }
}
