//! Linux: `sysctl` keys of the network. Defaults are those of the kernel's ip-sysctl document.

use super::{Confidence, Need, Profile, Setting, Situation, at_least, exceeds, leave, ports, row};
use crate::model::{Port, PortRange};
use crate::words::tune::TuneWords as W;

/// The key of the list of ports that automatic choice leaves alone.
pub(super) const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
const RANGE: &str = "net.ipv4.ip_local_port_range";

const IP_SYSCTL: W = W::Document { title: "Linux, Documentation/networking/ip-sysctl.rst" };
const CONNTRACK: W = W::Document { title: "Linux, Documentation/networking/nf_conntrack-sysctl.rst" };
const BBR: W = W::Document { title: "google/bbr, Documentation/bbr-quick-start.md" };
const NO_DOCUMENT: W = W::Practice;

/// The smallest queue of connections that wait to be accepted: the default since Linux 5.4.
const SOMAXCONN: u64 = 4096;
/// Half-open connections for each listener, about 304 bytes each.
const SYN_BACKLOG: u64 = 4096;
const SYN_BACKLOG_LOAD: u64 = 8192;
/// Packets that wait for a processor: five times the default.
const NETDEV_BACKLOG: u64 = 5000;
/// The range begins above the ports of the user's pool (20000-22999); first and last have different parity, as the
/// kernel's document asks.
const WIDER: (u16, u16) = (23_000, 60_999);
const WIDEST: (u16, u16) = (23_000, 65_535);
/// From here on ports count as short, in percent of the range: below it a connection still finds one at once.
const PORTS_SHORT: u64 = 70;
/// From here on the table of the firewall counts as short, in percent.
const TRACKING_SHORT: u64 = 70;
/// A second at 1 Gbit/s over 130 ms needs about 16 MB in flight.
const BUFFER: u64 = 16 << 20;
/// Below the time after which most NAT devices and load balancers forget an idle connection, in seconds.
const KEEPALIVE_S: u64 = 600;
/// What the predecessor set for `TcpFinWait2Delay`, in seconds.
const FIN_TIMEOUT_S: u64 = 30;

pub(super) fn settings() -> Vec<Setting> {
    use Confidence::{Documented, Reported};
    vec![
        row(RANGE, "32768 60999", W::LocalPortRange, IP_SYSCTL, Documented, port_range),
        row(RESERVED, "", W::ReservedPorts, IP_SYSCTL, Documented, reserved),
        row("net.core.somaxconn", "4096", W::Somaxconn, IP_SYSCTL, Documented, somaxconn),
        row("net.ipv4.tcp_max_syn_backlog", "128-4096", W::SynBacklog, IP_SYSCTL, Documented, syn_backlog),
        row("net.ipv4.tcp_syncookies", "1", W::Syncookies, IP_SYSCTL, Documented, syncookies),
        row("net.core.netdev_max_backlog", "1000", W::NetdevBacklog, NO_DOCUMENT, Reported, netdev_backlog),
        row("net.netfilter.nf_conntrack_max", "nf_conntrack_buckets", W::Conntrack, CONNTRACK, Documented, conntrack),
        row("net.ipv4.tcp_tw_reuse", "2", W::TimeWaitReuse, IP_SYSCTL, Documented, time_wait_reuse),
        row("net.ipv4.tcp_fin_timeout", "60", W::FinTimeout, IP_SYSCTL, Documented, fin_timeout),
        row("net.ipv4.tcp_rmem", "4096 131072 6291456", W::ReceiveBuffer, IP_SYSCTL, Documented, buffer),
        row("net.ipv4.tcp_wmem", "4096 16384 4194304", W::SendBuffer, IP_SYSCTL, Documented, buffer),
        row("net.core.rmem_max", "212992", W::ReceiveLimit, IP_SYSCTL, Documented, buffer_limit),
        row("net.core.wmem_max", "212992", W::SendLimit, IP_SYSCTL, Documented, buffer_limit),
        row("net.ipv4.tcp_congestion_control", "cubic", W::CongestionControl, BBR, Reported, congestion_control),
        row("net.ipv4.tcp_slow_start_after_idle", "1", W::SlowStartAfterIdle, IP_SYSCTL, Reported, slow_start),
        row("net.ipv4.tcp_keepalive_time", "7200", W::KeepaliveTime, NO_DOCUMENT, Reported, keepalive),
        row("net.ipv4.ip_unprivileged_port_start", "1024", W::UnprivilegedStart, IP_SYSCTL, Documented, leave),
    ]
}

fn range_of(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once(' ')?;
    PortRange::new(first.parse().ok()?, last.parse().ok()?)
}

fn port_range(current: &str, seen: &Situation, profile: Profile) -> Option<Need> {
    let now = range_of(current)?;
    let count = u64::from(now.count());
    let in_use = seen.signs.ephemeral_in_use.unwrap_or(0);
    let ((first, last), reason) = if profile == Profile::LoadTest {
        (WIDEST, W::ForLoadTest)
    } else if exceeds(in_use, count, PORTS_SHORT) {
        (WIDER, W::PortsShort { used: in_use, count })
    } else {
        return None;
    };
    // A range that somebody made wider at either end keeps that end.
    let first = Port::new(first)?.min(now.first());
    let last = Port::new(last)?.max(now.last());
    let wider = PortRange::new(first, last).filter(|wider| *wider != now)?;
    Some(Need::new(&format!("{} {}", wider.first(), wider.last()), reason))
}

fn reserved(current: &str, seen: &Situation, profile: Profile) -> Option<Need> {
    let now = seen.value(RANGE)?;
    let range = port_range(&now, seen, profile).map_or(now, |need| need.value);
    let range = range_of(&range)?;
    let exposed = |ports: &&PortRange| ports.first() <= range.last() && range.first() <= ports.last();
    let missing: Vec<PortRange> =
        seen.ports.iter().filter(exposed).filter(|ports| !ports::covers(current, **ports)).copied().collect();
    missing.first()?;
    Some(Need::new(&ports::with(current, &missing), W::PortsExposed { ports: ports::with("", &missing), range }))
}

fn somaxconn(current: &str, _: &Situation, _: Profile) -> Option<Need> {
    at_least(current, SOMAXCONN, W::BelowDefault { least: SOMAXCONN })
}

fn syn_backlog(current: &str, seen: &Situation, profile: Profile) -> Option<Need> {
    match seen.signs.half_open_full.unwrap_or(0) {
        _ if profile == Profile::LoadTest => at_least(current, SYN_BACKLOG_LOAD, W::ForLoadTest),
        0 => None,
        times => at_least(current, SYN_BACKLOG, W::HalfOpenFull { times }),
    }
}

fn syncookies(current: &str, _: &Situation, _: Profile) -> Option<Need> {
    at_least(current, 1, W::SyncookiesOff)
}

fn netdev_backlog(current: &str, seen: &Situation, _: Profile) -> Option<Need> {
    let drops = seen.signs.backlog_drops.filter(|drops| *drops > 0)?;
    at_least(current, NETDEV_BACKLOG, W::PacketsDropped { drops })
}

fn conntrack(current: &str, seen: &Situation, _: Profile) -> Option<Need> {
    let most: u64 = current.parse().ok()?;
    let tracked = seen.signs.tracked?;
    exceeds(tracked, most, TRACKING_SHORT)
        .then(|| Need::new(&most.saturating_mul(2), W::TrackingShort { used: tracked, most }))
}

fn time_wait_reuse(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    (profile == Profile::LoadTest && current != "1").then(|| Need::new(&1, W::ForLoadTest))
}

fn fin_timeout(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    let longer = current.parse::<u64>().is_ok_and(|seconds| seconds > FIN_TIMEOUT_S);
    (profile == Profile::Legacy && longer).then(|| Need::new(&FIN_TIMEOUT_S, W::ForLegacy))
}

/// Raises the last of three numbers.
fn buffer(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    let (rest, most) = current.rsplit_once(' ')?;
    let need = at_least(most, BUFFER, W::ForWan).filter(|_| profile == Profile::Wan)?;
    Some(Need::new(&format!("{rest} {}", need.value), need.reason))
}

fn buffer_limit(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    at_least(current, BUFFER, W::ForWan).filter(|_| profile == Profile::Wan)
}

fn congestion_control(current: &str, seen: &Situation, profile: Profile) -> Option<Need> {
    let offered = seen.signs.congestion_controls.iter().any(|name| name == "bbr");
    (profile == Profile::Wan && offered && current != "bbr").then(|| Need::new(&"bbr", W::ForWan))
}

fn slow_start(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    (profile == Profile::Wan && current == "1").then(|| Need::new(&0, W::ForWan))
}

fn keepalive(current: &str, _: &Situation, profile: Profile) -> Option<Need> {
    let longer = current.parse::<u64>().is_ok_and(|seconds| seconds > KEEPALIVE_S);
    (profile == Profile::Wan && longer).then(|| Need::new(&KEEPALIVE_S, W::ForWan))
}
