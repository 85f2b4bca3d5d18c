//! macOS: `sysctl` keys. What is said of them is not from a run on a Mac.

use super::{Confidence, Need, Profile, Setting, Situation, at_least, exceeds, leave, row};
use crate::words::tune::TuneWords as W;

const FIRST: &str = "net.inet.ip.portrange.first";
const HIGH_FIRST: &str = "net.inet.ip.portrange.hifirst";
const IN_PCB: W = W::Document { title: "XNU, bsd/netinet/in_pcb.c" };
const TCP_TIMER: W = W::Document { title: "XNU, bsd/netinet/tcp_timer.c" };
const NO_DOCUMENT: W = W::Practice;

/// Where the range begins for load tests: twice the ports of the default.
const WIDER_FIRST: u64 = 32_768;
/// Where the default range ends.
const LAST: u64 = 65_535;
/// From here on ports count as short, in percent of the range.
const PORTS_SHORT: u64 = 70;
/// Connections that wait to be accepted: eight times the default.
const SOMAXCONN: u64 = 1024;

pub(super) fn settings() -> Vec<Setting> {
    vec![
        row(FIRST, "49152", W::MacPortRange, IN_PCB, Confidence::Reported, first_port),
        row(HIGH_FIRST, "49152", W::MacPortRange, IN_PCB, Confidence::Reported, first_port),
        row("kern.ipc.somaxconn", "128", W::Somaxconn, NO_DOCUMENT, Confidence::Reported, somaxconn),
        row("net.inet.tcp.msl", "15000", W::MacSegmentLife, TCP_TIMER, Confidence::Reported, leave),
    ]
}

fn first_port(current: &str, seen: &Situation, profile: Profile) -> Option<Need> {
    let now: u64 = current.parse().ok().filter(|now| *now > WIDER_FIRST)?;
    let count = LAST.saturating_sub(now).saturating_add(1);
    let used = seen.signs.ephemeral_in_use.unwrap_or(0);
    if profile == Profile::LoadTest {
        return Some(Need::new(&WIDER_FIRST, W::ForLoadTest));
    }
    exceeds(used, count, PORTS_SHORT).then(|| Need::new(&WIDER_FIRST, W::PortsShort { used, count }))
}

fn somaxconn(current: &str, _: &Situation, _: Profile) -> Option<Need> {
    at_least(current, SOMAXCONN, W::BelowDefault { least: SOMAXCONN })
}
