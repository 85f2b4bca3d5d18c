//! Linux: `sock_diag` beside netstat2, owners from `/proc`, rules from `/proc/sys`.

mod cgroup;
mod nat;
mod open_files;
mod owners;
mod proc_net;
mod sock_diag;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread;

use netstat2::ProtocolFlags;
use rustix::process::{Pid, test_kill_process};

pub(super) use nat::redirects;
pub(super) use owners::owners;

use super::netstat::{EVERY_PROTOCOL, netstat};
use super::rules::{PortRules, range};
use super::sockets::{Look, Row, not_listed};
use crate::model::{PortRange, Unseen};
use crate::words::Message;
use crate::words::host::HostWords;

/// `CAP_NET_BIND_SERVICE`, from `linux/capability.h`.
const BIND_SERVICE: u32 = 10;
/// The first kernel that lists bound sockets (`TCP_BOUND_INACTIVE`).
const LISTS_BOUND: (u32, u32) = (6, 8);
/// What engines mount into a container to give it names and addresses.
const ENGINE_MOUNTS: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
/// The kernel's default of `ip_unprivileged_port_start`.
const UNPRIVILEGED: u16 = 1024;

/// Completes the rows of netstat2: adds the sockets that it does not ask for, and fills in what it does not tell.
///
/// netstat2 asks for TCP in every state. Where `connections` are not looked at, it is asked for UDP alone and the kernel
/// for the TCP states that count: a host with 50,000 sockets in `TIME_WAIT` takes 35 ms to list what is thrown away.
pub(super) fn complete(look: &Look, connections: bool, unseen: &mut Vec<Unseen>) -> Result<Vec<Row>, Message> {
    let asked = if connections { EVERY_PROTOCOL } else { ProtocolFlags::UDP };
    let (mut table, mut diag) = thread::scope(|scope| {
        let list = || sock_diag::list(sock_diag::LISTENING_AND_BOUND);
        let beside = thread::Builder::new().spawn_scoped(scope, list);
        let table = netstat(look, asked);
        // Where no more threads are allowed, one thing comes after the other.
        (table, beside.ok().and_then(|beside| beside.join().ok()).unwrap_or_else(list))
    });
    if diag.is_err() && !connections {
        table = netstat(look, EVERY_PROTOCOL);
    }
    if table.trouble.is_some() {
        diag = sock_diag::list(sock_diag::EVERY_STATE);
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if diag.is_err() || version(&release).is_some_and(|version| version < LISTS_BOUND) {
        unseen.push(Unseen { what: "bound-sockets", why: HostWords::BoundSocketsUnseen { release }.into() });
    }
    let other = diag.or_else(|_| {
        unseen.push(Unseen { what: "v6only", why: HostWords::V6OnlyUnknown.into() });
        proc_net::list()
    });
    match (other, table.trouble) {
        (Ok(other), _) => Ok(merge(table.rows, other)),
        (Err(_), None) => Ok(table.rows),
        (Err(error), Some(_)) => Err(not_listed(&error)),
    }
}

/// Puts `finer` rows in the place of those with the same number; rows without a number are kept from both.
fn merge(rows: Vec<Row>, finer: Vec<Row>) -> Vec<Row> {
    let mut by_inode: HashMap<u32, Row> = HashMap::with_capacity(finer.len());
    let mut merged = Vec::with_capacity(rows.len().max(finer.len()));
    for row in finer {
        if row.inode == 0 {
            merged.push(row);
        } else {
            by_inode.insert(row.inode, row);
        }
    }
    merged.extend(rows.into_iter().map(|row| by_inode.remove(&row.inode).unwrap_or(row)));
    merged.extend(by_inode.into_values());
    merged
}

/// Reads the first two numbers of a release such as `6.18.44-fc`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Reads the rules from `/proc/sys/net/ipv4`, which speak for IPv6, too.
pub(super) fn port_rules() -> PortRules {
    let mut rules = PortRules { unprivileged_from: UNPRIVILEGED, ..PortRules::default() };
    if let Some(text) = rule("ip_local_port_range", &mut rules.unseen) {
        rules.ephemeral = ephemeral(&text);
    }
    if let Some(text) = rule("ip_local_reserved_ports", &mut rules.unseen) {
        rules.reserved = ranges(&text);
    }
    if let Some(text) = rule("ip_unprivileged_port_start", &mut rules.unseen) {
        rules.unprivileged_from = text.trim().parse().unwrap_or(UNPRIVILEGED);
    }
    rules
}

fn rule(name: &str, unseen: &mut Vec<Unseen>) -> Option<String> {
    let path = Path::new("/proc/sys/net/ipv4").join(name);
    let read = fs::read_to_string(&path);
    if let Err(error) = &read {
        let why = HostWords::RuleUnread { rule: path.display().to_string(), why: error.to_string() };
        unseen.push(Unseen { what: "port-rules", why: why.into() });
    }
    read.ok()
}

fn ephemeral(text: &str) -> Option<PortRange> {
    let mut numbers = text.split_ascii_whitespace();
    range(numbers.next()?, numbers.next()?)
}

fn ranges(text: &str) -> Vec<PortRange> {
    text.trim().split(',').filter_map(|part| part.parse().ok()).collect()
}

/// Tells whether this process has `CAP_NET_BIND_SERVICE`, or is root where capabilities cannot be read.
pub(super) fn privileged_user() -> bool {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| may_bind_all(&status))
        .unwrap_or_else(|| rustix::process::geteuid().is_root())
}

fn may_bind_all(status: &str) -> Option<bool> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let set = u64::from_str_radix(hex.trim(), 16).ok()?;
    Some(set >> BIND_SERVICE & 1 == 1)
}

/// Reads the random id that the kernel makes at each start.
pub(super) fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// Looks for the marks of Docker and Podman, and for a container's cgroup around process 1. A mark alone may be left
/// over in a disk that was made from an image, so a file that engines mount has to be there, too.
pub(super) fn in_container() -> bool {
    let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    marked && engine_mounts(&mounts()) || cgroup::container_of(1).is_some()
}

/// Tells whether one of the files that every engine mounts over those of the image is a mount.
fn engine_mounts(mountinfo: &str) -> bool {
    let place = |line: &str| line.split(' ').nth(4).is_some_and(|place| ENGINE_MOUNTS.contains(&place));
    mountinfo.lines().any(place)
}

/// Reads the start in clock ticks since the start of the system; `None` for one that has ended and waits for its parent.
pub(super) fn process_start(pid: u32) -> Option<u64> {
    start_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may hold anything, so fields are counted behind its last `)`.
fn start_of(line: &str) -> Option<u64> {
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    let start = fields.nth(18)?.parse().ok()?;
    (!ended).then_some(start)
}

/// Tells whether there is such a process that may not be looked at (`hidepid`).
pub(super) fn process_exists(pid: u32) -> bool {
    let hidden = |pid| test_kill_process(pid) == Err(rustix::io::Errno::PERM);
    i32::try_from(pid).ok().and_then(Pid::from_raw).is_some_and(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_from_the_kernels_texts() {
        assert_eq!(ephemeral("32768\t60999\n").map(|range| range.to_string()).as_deref(), Some("32768-60999"));
        assert_eq!(ephemeral("0\n"), None);
        let told: Vec<String> = ranges("8080,9000-9010,\n").iter().map(ToString::to_string).collect();
        assert_eq!(told, ["8080", "9000-9010"]);
        assert!(ranges("\n").is_empty());
    }

    #[test]
    fn the_start_is_found_behind_any_process_name() {
        let stat = "4711 (a) b (c)) S 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
        assert_eq!(start_of(stat), Some(987_654));
        assert_eq!(start_of(&stat.replace(") S ", ") Z ")), None);
        assert_eq!(start_of("4711 (cat"), None);
    }

    #[test]
    fn the_right_to_bind_is_one_bit_of_the_effective_set() {
        assert_eq!(may_bind_all("CapPrm:\tffff\nCapEff:\t0000000000000400\n"), Some(true));
        assert_eq!(may_bind_all("CapEff:\t000001fffffffbff\n"), Some(false));
        assert_eq!(may_bind_all("Name:\tcat\n"), None);
    }

    #[test]
    fn a_left_over_mark_does_not_make_a_container() {
        assert!(!engine_mounts("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"));
        let docker = "650 640 254:0 /var/lib/docker/containers/2189/hosts /etc/hosts rw - ext4 /dev/vda rw\n";
        assert!(engine_mounts(docker));
    }

    #[test]
    fn kernels_before_6_8_are_known_to_hide_bound_sockets() {
        assert!(version("6.7.12-generic").is_some_and(|version| version < LISTS_BOUND));
        assert!(version("6.18.44-fc-v657").is_some_and(|version| version >= LISTS_BOUND));
        assert_eq!(version("strange"), None);
    }
}
