//! Windows 10, 11 and Server 2016 to 2025: dynamic ports, exclusions, auto-tuning, and values of the registry from the
//! time of Windows XP. What is said of them is from documents, not from a run on Windows.

use super::{Confidence, Need, Profile, Setting, Situation, exceeds, ports, row};
use crate::model::{Port, PortRange};
use crate::words::tune::TuneWords as W;

/// The key of the port ranges that an administrator excluded from automatic choice.
pub(super) const EXCLUDED: &str = "excludedportrange.ipv4.tcp";
const DYNAMIC: &str = "dynamicport.ipv4.tcp";

const KB929851: W = W::Document { title: "Microsoft, KB929851 (dynamic port range)" };
const EXHAUSTION: W = W::Document { title: "Microsoft, TCP/IP port exhaustion troubleshooting" };
const ADAPTERS: W = W::Document { title: "Microsoft, performance tuning for network adapters" };
const KB314053: W = W::Document { title: "Microsoft, KB314053 (Windows XP)" };
const SCRIPTS: W = W::Scripts;
const WINNAT: W = W::Document { title: "microsoft/WSL#5306, docker/for-win#3171" };

/// The default since Windows Vista.
const USUAL: (u16, u16) = (49_152, 65_535);
/// Begins above the ports of the user's pool (20000-22999).
const WIDER: (u16, u16) = (23_000, 65_535);
/// From here on ports count as short, in percent of the range.
const PORTS_SHORT: u64 = 70;

pub(super) fn settings() -> Vec<Setting> {
    use Confidence::{Documented, Folklore, Reported};
    let usual = "49152-65535";
    let at_restart = |setting: Setting| Setting { needs_restart: true, ..setting };
    vec![
        row(DYNAMIC, usual, W::DynamicPorts, KB929851, Documented, dynamic_ports),
        row("dynamicport.ipv6.tcp", usual, W::DynamicPorts, KB929851, Documented, dynamic_ports),
        row("dynamicport.ipv4.udp", usual, W::DynamicPorts, EXHAUSTION, Documented, dynamic_ports),
        row("dynamicport.ipv6.udp", usual, W::DynamicPorts, EXHAUSTION, Documented, dynamic_ports),
        row(EXCLUDED, "", W::ExcludedPorts, WINNAT, Reported, excluded),
        row("autotuninglevel", "normal", W::AutoTuning, ADAPTERS, Documented, auto_tuning),
        at_restart(row("TcpTimedWaitDelay", "", W::TimedWaitDelay, KB314053, Reported, timed_wait)),
        at_restart(row("MaxUserPort", "", W::MaxUserPort, KB929851, Reported, max_user_port)),
        at_restart(row("TcpFinWait2Delay", "", W::FinWait2Delay, SCRIPTS, Folklore, fin_wait)),
    ]
}

fn made((first, last): (u16, u16)) -> Option<PortRange> {
    PortRange::new(Port::new(first)?, Port::new(last)?)
}

fn dynamic_ports(current: &str, seen: &Situation, profile: Profile) -> Option<Need> {
    let now: PortRange = current.parse().ok()?;
    let (usual, wider) = (made(USUAL)?, made(WIDER)?);
    let widened = |reason| (wider.count() > now.count()).then(|| Need::new(&wider, reason));
    let (count, used) = (u64::from(now.count()), seen.signs.ephemeral_in_use.unwrap_or(0));
    if profile == Profile::LoadTest {
        return widened(W::ForLoadTest);
    }
    if exceeds(used, count, PORTS_SHORT) {
        return widened(W::PortsShort { used, count });
    }
    let taken =
        seen.signs.excluded.iter().find(|range| range.first() < usual.first() && now.contains(range.first()))?;
    (now.first() < usual.first()).then(|| Need::new(&usual, W::BlocksBelow { range: *taken }))
}

fn excluded(current: &str, seen: &Situation, profile: Profile) -> Option<Need> {
    let now = seen.value(DYNAMIC)?;
    let range: PortRange = dynamic_ports(&now, seen, profile).map_or(now, |need| need.value).parse().ok()?;
    let exposed = |ports: &&PortRange| ports.first() <= range.last() && range.first() <= ports.last();
    let missing: Vec<PortRange> =
        seen.ports.iter().filter(exposed).filter(|ports| !ports::covers(current, **ports)).copied().collect();
    let first = *missing.first()?;
    let held = seen.signs.excluded.iter().find(|held| held.first() <= first.last() && first.first() <= held.last());
    let reason = match held {
        Some(held) => W::SystemHolds { ports: first, range: *held },
        None => W::PortsExposed { ports: ports::with("", &missing), range },
    };
    Some(Need::new(&ports::with(current, &missing), reason))
}

fn auto_tuning(current: &str, _: &Situation, _: Profile) -> Option<Need> {
    (!current.is_empty() && !current.eq_ignore_ascii_case("normal")).then(|| Need::new(&"normal", W::AutoTuningOff))
}

fn legacy(current: &str, value: &str, profile: Profile) -> Option<Need> {
    (profile == Profile::Legacy && current != value).then(|| Need::new(value, W::ForLegacy))
}

fn timed_wait(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    legacy(current, "30", profile)
}

fn max_user_port(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    legacy(current, "65534", profile)
}

fn fin_wait(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    legacy(current, "30", profile)
}
