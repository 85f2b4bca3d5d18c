//! How the machine is: memory, limits, the kernel's counters and what it forwards. Every value is `None` where the system
//! does not tell it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::tool;
use crate::model::{FirewallSight, MachineSight, NetworkSight, ServiceSight, Sight, Told};
use crate::words::Message;
use crate::words::host::HostWords;

/// Where the resolver's configuration is (`resolv.conf(5)`).
const RESOLVER: &str = "/etc/resolv.conf";

/// How long a connection within this machine may take; one that works takes microseconds.
const LOOPBACK_PATIENCE: Duration = Duration::from_secs(2);

/// The services of an engine, and ours, as systemd calls them.
const SERVICES: [&str; 6] = [
    "docker.service",
    "docker.socket",
    "containerd.service",
    "podman.socket",
    "portwright.service",
    "nftables.service",
];

/// Looks at memory, limits and counters of this machine. Takes well below a millisecond.
#[must_use]
pub fn machine_health() -> MachineSight {
    let clock_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    MachineSight { clock_s, ..imp::machine() }
}

/// Looks at the network of this machine without sending anything, but for the resolver, which may be asked by the
/// system's own rules. May hang as long as that does.
#[must_use]
pub fn network_health() -> NetworkSight {
    let resolver = std::fs::read_to_string(RESOLVER);
    NetworkSight {
        loopback: loopback().is_ok(),
        ipv6: super::ipv6_available(),
        localhost: localhost(),
        nameservers: match resolver {
            Ok(text) => Sight::Known(nameservers(&text)),
            Err(_) if cfg!(windows) => Sight::Nothing,
            Err(error) => {
                let (rule, why) = (RESOLVER.to_owned(), error.to_string());
                Sight::Unknown(Told::from(&Message::from(HostWords::RuleUnread { rule, why })))
            }
        },
    }
}

/// Connects to itself over 127.0.0.1: where the interface is down a bind works all the same.
fn loopback() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    TcpStream::connect_timeout(&listener.local_addr()?, LOOPBACK_PATIENCE).map(drop)
}

/// The addresses of `localhost`, as programs get them.
fn localhost() -> Sight<Vec<IpAddr>> {
    use std::net::ToSocketAddrs as _;
    match ("localhost", 0).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.sort_unstable();
            addresses.dedup();
            Sight::Known(addresses)
        }
        Err(_) => Sight::Known(Vec::new()),
    }
}

/// Reads the name servers of a `resolv.conf`.
fn nameservers(text: &str) -> Vec<String> {
    let of = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next().map(str::to_owned)).flatten()
    };
    text.lines().filter_map(of).collect()
}

/// Looks at what the firewall drops. Takes some milliseconds, at most ten seconds, and root.
#[must_use]
pub fn firewall_health() -> Sight<FirewallSight> {
    imp::firewall()
}

/// Asks the service manager of the system for the services of engines and for ours; nothing where there is none.
#[must_use]
pub fn services_health() -> Sight<Vec<ServiceSight>> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Sight::Nothing;
    }
    let mut arguments = vec!["show", "--no-pager", "--property=Id,LoadState,ActiveState,UnitFileState,NRestarts"];
    arguments.extend(SERVICES);
    match tool::output_of(Path::new("/usr/bin/systemctl"), &arguments) {
        Ok(text) if text.contains("Id=") => Sight::Known(services(&text)),
        // A system that was not started by it has the tool, and nobody who answers.
        Ok(_) => Sight::Nothing,
        Err(error) => {
            let (rule, why) = ("systemctl".to_owned(), error.to_string());
            Sight::Unknown(Told::from(&Message::from(HostWords::RuleUnread { rule, why })))
        }
    }
}

/// Reads what `systemctl show` prints: a paragraph for each service, with a `Key=value` on each line.
fn services(text: &str) -> Vec<ServiceSight> {
    let service = |paragraph: &str| {
        let value = |key: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().to_owned()
        };
        let seen = ServiceSight {
            name: value("Id"),
            active: value("ActiveState"),
            starts: value("UnitFileState"),
            restarts: value("NRestarts").parse().unwrap_or(0),
        };
        (value("LoadState") == "loaded").then_some(seen)
    };
    text.split("\n\n").filter_map(service).collect()
}

#[cfg(target_os = "linux")]
mod imp {
    use std::fs;
    use std::path::Path;

    use rustix::process::{Resource, getrlimit};

    use super::{HostWords, Message, Sight, Told, tool};
    use crate::model::{FirewallSight, MachineSight, PortRange};

    /// Where the two firewalls' tools are, in the order in which distributions have them.
    const NFT: [&str; 2] = ["/usr/sbin/nft", "/sbin/nft"];
    const IPTABLES: [&str; 2] = ["/usr/sbin/iptables", "/sbin/iptables"];

    pub(super) fn machine() -> MachineSight {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let group = own_group();
        let limit = group_value(&group, "memory.max");
        let left_in_group =
            limit.zip(group_value(&group, "memory.current")).map(|(max, used)| max.saturating_sub(used));
        let available = kib(&meminfo, "MemAvailable");
        let file_nr: Vec<u64> = numbers("/proc/sys/fs/file-nr");
        let files = getrlimit(Resource::Nofile);
        let tasks = fs::read_to_string("/proc/loadavg").ok().and_then(|text| all_tasks(&text));
        MachineSight {
            memory_total: kib(&meminfo, "MemTotal").into_iter().chain(limit).min(),
            memory_available: available.into_iter().chain(left_in_group).min(),
            files_own: Some(files.maximum.unwrap_or(u64::MAX)),
            files_open: file_nr.first().copied(),
            files_most: file_nr.get(2).copied(),
            tasks: group_value(&group, "pids.current").or(tasks),
            tasks_most: group_value(&group, "pids.max").or_else(|| number("/proc/sys/kernel/threads-max")),
            backlog: number("/proc/sys/net/core/somaxconn"),
            connections: number("/proc/sys/net/netfilter/nf_conntrack_count"),
            connections_most: number("/proc/sys/net/netfilter/nf_conntrack_max"),
            forwards: number("/proc/sys/net/ipv4/ip_forward").map(|value| value != 0),
            outgoing_ports: Some(numbers("/proc/sys/net/ipv4/ip_local_port_range"))
                .and_then(|range| Some(range.get(1)?.saturating_sub(*range.first()?) + 1)),
            ..MachineSight::default()
        }
    }

    fn number(path: &str) -> Option<u64> {
        numbers(path).first().copied()
    }

    fn numbers(path: &str) -> Vec<u64> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    /// Reads a value of `/proc/meminfo`, in bytes.
    pub(super) fn kib(meminfo: &str, name: &str) -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Reads how many tasks there are from `/proc/loadavg`: `0.1 0.2 0.3 2/345 678`.
    pub(super) fn all_tasks(loadavg: &str) -> Option<u64> {
        loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
    }

    /// The folder of this process's control group, version 2.
    fn own_group() -> String {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        format!("/sys/fs/cgroup{path}")
    }

    /// A value of the control group or of the nearest one above it that has it; `max` is none.
    fn group_value(group: &str, name: &str) -> Option<u64> {
        let mut folders = Path::new(group).ancestors().take_while(|folder| folder.starts_with("/sys/fs/cgroup"));
        folders.find_map(|folder| fs::read_to_string(folder.join(name)).ok())?.trim().parse().ok()
    }

    pub(super) fn firewall() -> Sight<FirewallSight> {
        if !rustix::process::geteuid().is_root() {
            return Sight::Unknown(Told::from(&Message::from(HostWords::FirewallHidden)));
        }
        let first = |places: [&'static str; 2]| places.into_iter().map(Path::new).find(|place| place.is_file());
        let mut texts = Vec::new();
        if let Some(nft) = first(NFT) {
            texts.push(tool::output_of(nft, &["list", "ruleset"]).map(|text| from_nft(&text)));
        }
        if let Some(iptables) = first(IPTABLES) {
            texts.push(tool::output_of(iptables, &["-S", "INPUT"]).map(|text| from_iptables(&text)));
        }
        if texts.is_empty() {
            return Sight::Nothing;
        }
        let mut seen = FirewallSight::default();
        for read in texts {
            match read {
                Ok(found) => {
                    seen.drops |= found.drops;
                    seen.lets_in.extend(found.lets_in);
                }
                Err(error) => {
                    let (rule, why) = ("firewall".to_owned(), error.to_string());
                    return Sight::Unknown(Told::from(&Message::from(HostWords::RuleUnread { rule, why })));
                }
            }
        }
        Sight::Known(seen)
    }

    /// Reads `iptables -S INPUT`.
    pub(super) fn from_iptables(text: &str) -> FirewallSight {
        let drops = text.lines().any(|line| {
            matches!(line, "-P INPUT DROP" | "-P INPUT REJECT" | "-A INPUT -j DROP")
                || line.starts_with("-A INPUT -j REJECT")
        });
        let accepts = |line: &&str| line.ends_with("-j ACCEPT") || line.contains("-j ufw");
        let mut lets_in = Vec::new();
        for line in text.lines().filter(accepts) {
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                if matches!(word, "--dport" | "--dports") {
                    lets_in.extend(words.next().unwrap_or_default().split(',').filter_map(range));
                }
            }
        }
        FirewallSight { drops, lets_in }
    }

    /// Reads `nft list ruleset`: chains of the hook `input` whose policy is to drop.
    pub(super) fn from_nft(text: &str) -> FirewallSight {
        let mut seen = FirewallSight::default();
        let mut in_input = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("chain ") {
                in_input = false;
            }
            if line.starts_with("type filter hook input") {
                in_input = true;
                seen.drops |= line.contains("policy drop");
            }
            if let Some((_, after)) = line.split_once("dport ").filter(|_| in_input && line.contains(" accept")) {
                let list =
                    after.split(['{', '}']).nth(1).unwrap_or_else(|| after.split(' ').next().unwrap_or_default());
                seen.lets_in.extend(list.split(',').filter_map(|part| range(part.trim())));
            }
        }
        seen
    }

    /// Reads a port, or a range of them in either spelling: `80`, `80:90`, `80-90`.
    fn range(text: &str) -> Option<PortRange> {
        match text.split_once([':', '-']) {
            Some((first, last)) => crate::host::rules::range(first, last),
            None => crate::host::rules::range(text, text),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::Sight;
    use crate::model::{FirewallSight, MachineSight};

    pub(super) fn machine() -> MachineSight {
        let Ok(mut system) = sysinfo::System::new() else { return MachineSight::default() };
        system.refresh_memory();
        // What a system does not tell is 0.
        let told = |bytes: u64| Some(bytes).filter(|bytes| *bytes > 0);
        MachineSight {
            memory_total: told(system.total_memory()),
            memory_available: told(system.available_memory()),
            ..MachineSight::default()
        }
    }

    pub(super) fn firewall() -> Sight<FirewallSight> {
        Sight::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_and_comments_are_not() {
        let text = "# nameserver 1.1.1.1\nsearch example.org\nnameserver 127.0.0.53\n nameserver  ::1 # here\n";
        assert_eq!(nameservers(text), ["127.0.0.53", "::1"]);
    }

    #[test]
    fn services_that_are_not_installed_are_left_out() {
        let text = "Id=docker.service\nLoadState=loaded\nActiveState=active\nUnitFileState=disabled\nNRestarts=3\n\n\
                    Id=podman.socket\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n";
        let found = services(text);
        assert_eq!((found.len(), found[0].starts.as_str(), found[0].restarts), (1, "disabled", 3));
    }

    #[cfg(target_os = "linux")]
    mod linux {
        use super::super::imp::{all_tasks, from_iptables, from_nft, kib};
        use super::super::machine_health;

        fn shown(ranges: &[crate::model::PortRange]) -> Vec<String> {
            ranges.iter().map(ToString::to_string).collect()
        }

        #[test]
        fn this_machine_tells_its_memory_and_limits() {
            let seen = machine_health();
            assert!(seen.memory_total > seen.memory_available && seen.memory_available > Some(0));
            assert!(seen.files_own > Some(0) && seen.files_most > seen.files_open && seen.outgoing_ports > Some(1));
        }

        #[test]
        fn kernel_texts_are_read() {
            assert_eq!(kib("MemTotal:  10 kB\nMemAvailable:   2 kB\n", "MemAvailable"), Some(2048));
            assert_eq!(kib("MemTotal:  10 kB\n", "MemAvailable"), None);
            assert_eq!(all_tasks("0.10 0.20 0.30 2/345 678\n"), Some(345));
        }

        #[test]
        fn a_firewall_that_drops_is_read_with_what_it_lets_in() {
            let text = "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n\
                        -A INPUT -p tcp -m multiport --dports 80,8000:8009 -j ACCEPT\n";
            let seen = from_iptables(text);
            assert_eq!((seen.drops, shown(&seen.lets_in)), (true, vec!["22".into(), "80".into(), "8000-8009".into()]));
            assert!(!from_iptables("-P INPUT ACCEPT\n").drops);
            let text = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\
                        \t\ttcp dport { 22, 8000-8009 } accept\n\t\ttcp dport 443 counter accept\n\t}\n\tchain forward {\n\
                        \t\ttype filter hook forward priority filter; policy drop;\n\t\ttcp dport 1 accept\n\t}\n}\n";
            let seen = from_nft(text);
            assert_eq!((seen.drops, shown(&seen.lets_in)), (true, vec!["22".into(), "8000-8009".into(), "443".into()]));
            assert!(!from_nft(&text.replace("policy drop", "policy accept")).drops);
        }
    }
}
