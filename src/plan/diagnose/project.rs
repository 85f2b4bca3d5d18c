//! Checks of the project in the directory: its files and its ports.

use super::seen;
use crate::model::{Finding, Observation, PortSight};
use crate::words::Message;
use crate::words::doctor::DoctorWords as W;

/// Nobody else has a published port.
pub(super) fn ports(facts: &Observation) -> Finding {
    seen(&facts.project, W::NoProject, |project| {
        seen(&project.ports, W::NoPorts, |ports| {
            let blocked = |port: &&PortSight| matches!(port.state.as_str(), "conflict" | "reserved");
            let blocked: Vec<Message> = ports.iter().filter(blocked).filter_map(line).collect();
            match (blocked.is_empty(), ports.len()) {
                (true, 0) => Finding::skipped(W::NoPorts),
                (true, count) => Finding::pass(W::PortsFree { count }),
                (false, _) => Finding::fail(blocked, W::PortsRemedy),
            }
        })
    })
}

fn line(seen: &PortSight) -> Option<Message> {
    let reason = seen.reason.clone().unwrap_or_default();
    let (name, place) = (seen.name.clone(), seen.place.clone());
    Some(W::PortTaken { name, port: seen.port?, place, reason }.into())
}
