//! macOS: `lsof` names the processes of this user's sockets; `netstat` lists those of all, with `V6ONLY`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rules::range;
use super::sockets::{Row, v6only};
use crate::model::{Endpoint, Port, PortRange, Protocol, SocketState};

#[cfg(target_os = "macos")]
pub(super) use fetch::{
    boot_id, complete, in_container, owners, port_rules, privileged_user, process_exists, process_start, redirects,
};

/// Reads `netstat -an -p tcp` or `-p udp`: `tcp46 0 0 *.8000 *.* LISTEN`, where 46 is IPv6 that holds IPv4, too.
fn parse_netstat(text: &str) -> Vec<Row> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace();
    let kind = fields.next()?;
    let local = fields.nth(2)?;
    let remote = fields.next()?;
    let protocol = match kind.get(..3)? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let (address, port) = local.rsplit_once('.')?;
    let port: Port = port.parse().ok()?;
    let address = match (address, kind.get(3..)?) {
        ("*", "4") => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        ("*", _) => Ipv6Addr::UNSPECIFIED.into(),
        // An address of a link carries its interface: `fe80::1%lo0`.
        (address, _) => address.split('%').next()?.parse().ok()?,
    };
    let state = match (protocol, fields.next()) {
        (Protocol::Udp, _) if remote == "*.*" => SocketState::Open,
        (Protocol::Tcp, Some("LISTEN")) => SocketState::Listen,
        (Protocol::Tcp, Some("CLOSED")) => SocketState::Bound,
        (Protocol::Tcp, Some("TIME_WAIT")) => SocketState::TimeWait,
        _ => SocketState::Connected,
    };
    let endpoint = Endpoint { address, port, protocol, v6only: v6only(address, !kind.ends_with("46")) };
    Some(Row { endpoint, state, uid: None, inode: 0, pid: None, cgroup: None })
}

/// Reads `lsof -nP -i -F pPnT`: a line each, led by a letter: the process, then for each of its sockets the protocol, the
/// name (`127.0.0.1:80`, `[::1]:80->[::1]:9`, `*:80`), and the state of TCP (`TST=LISTEN`). The family of `*` is not said,
/// and `netstat` has it anyhow: such a socket is one of both.
fn parse_lsof(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut pid, mut protocol) = (None, None);
    for line in text.lines() {
        let Some((field, value)) = line.split_at_checked(1) else { continue };
        match field {
            "p" => pid = value.parse().ok(),
            "P" => protocol = protocol_of(value),
            "n" => rows.extend(protocol.into_iter().flat_map(|protocol| named(value, protocol, pid))),
            "T" if value == "ST=LISTEN" => {
                let last = rows.last().map(|row| row.endpoint.port);
                let same = rows.iter_mut().rev().take_while(|row| row.pid == pid && Some(row.endpoint.port) == last);
                same.take(2).for_each(|row| row.state = SocketState::Listen);
            }
            _ => {}
        }
    }
    rows
}

fn protocol_of(name: &str) -> Option<Protocol> {
    match name {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        _ => None,
    }
}

fn named(name: &str, protocol: Protocol, pid: Option<u32>) -> Vec<Row> {
    let (local, connected) = name.split_once("->").map_or((name, false), |(local, _)| (local, true));
    let Some((address, port)) = local.rsplit_once(':') else { return Vec::new() };
    let Ok(port) = port.parse::<Port>() else { return Vec::new() };
    let addresses: Vec<IpAddr> = match address {
        "*" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        address => address.trim_matches(['[', ']']).parse().into_iter().collect(),
    };
    let state = match protocol {
        _ if connected => SocketState::Connected,
        Protocol::Udp => SocketState::Open,
        Protocol::Tcp => SocketState::Bound,
    };
    let endpoint = |address| Endpoint { address, port, protocol, v6only: false };
    let row = |address| Row { endpoint: endpoint(address), state, uid: None, inode: 0, pid, cgroup: None };
    addresses.into_iter().map(row).collect()
}

/// Gives the rows of `netstat` the processes that `lsof` knows for them; `known` rows that it lacks are kept.
fn merge(known: Vec<Row>, listed: Vec<Row>) -> Vec<Row> {
    let key = |row: &Row| (row.endpoint.address, row.endpoint.port, row.endpoint.protocol);
    let mut by_key: HashMap<_, Row> = known.into_iter().map(|row| (key(&row), row)).collect();
    let with_pid = |row: Row| Row { pid: by_key.remove(&key(&row)).and_then(|known| known.pid), ..row };
    let mut rows: Vec<Row> = listed.into_iter().map(with_pid).collect();
    // What `lsof` says of both families is true of one.
    rows.extend(by_key.into_values().filter(|row| !row.endpoint.address.is_unspecified()));
    rows
}

/// Reads the two lines of `sysctl -n net.inet.ip.portrange.first net.inet.ip.portrange.last`.
fn ephemeral(text: &str) -> Option<PortRange> {
    let mut numbers = text.split_ascii_whitespace();
    range(numbers.next()?, numbers.next()?)
}

#[cfg(target_os = "macos")]
mod fetch {
    use std::path::Path;

    use super::{ephemeral, merge, parse_lsof, parse_netstat};
    use crate::host::identity;
    use crate::host::rules::{PortRules, Redirect};
    use crate::host::sockets::{Look, Row, not_listed, owners_by_pid};
    use crate::host::tool::output_of;
    use crate::model::{Owner, Seen, Unseen};
    use crate::words::Message;
    use crate::words::host::HostWords;

    const LSOF: &str = "/usr/sbin/lsof";
    const NETSTAT: &str = "/usr/sbin/netstat";
    const SYSCTL: &str = "/usr/sbin/sysctl";

    /// Takes the rows of `netstat`, which shows the sockets of all users, with the processes that `lsof` may see.
    pub(in crate::host) fn complete(_: &Look, _: bool, unseen: &mut Vec<Unseen>) -> Result<Vec<Row>, Message> {
        // It exits with 1 where it found nothing; what it printed counts.
        let known = output_of(Path::new(LSOF), &["-nP", "-i", "-F", "pPnT"]).map(|text| parse_lsof(&text));
        let listed = ["tcp", "udp"].map(|protocol| output_of(Path::new(NETSTAT), &["-an", "-p", protocol]));
        if let [Ok(tcp), Ok(udp)] = listed {
            let mut rows = parse_netstat(&tcp);
            rows.extend(parse_netstat(&udp));
            return Ok(merge(known.unwrap_or_default(), rows));
        }
        unseen.push(Unseen { what: "sockets", why: HostWords::OthersSocketsUnseen.into() });
        unseen.push(Unseen { what: "v6only", why: HostWords::V6OnlyUnknown.into() });
        known.map_err(|error| not_listed(&error))
    }

    /// Returns the owner of each row.
    pub(in crate::host) fn owners(rows: &[Row], wants: impl Fn(&Row) -> bool, unseen: &mut Vec<Unseen>) -> Vec<Owner> {
        owners_by_pid(rows, wants, unseen)
    }

    /// Reads the range of ports for outgoing connections; macOS has no reserved and no excluded ones.
    pub(in crate::host) fn port_rules() -> PortRules {
        let mut rules = PortRules { unprivileged_from: 1024, ..PortRules::default() };
        let names = ["-n", "net.inet.ip.portrange.first", "net.inet.ip.portrange.last"];
        match output_of(Path::new(SYSCTL), &names) {
            Ok(text) => rules.ephemeral = ephemeral(&text),
            Err(error) => {
                let why = HostWords::RuleUnread { rule: names.join(" "), why: error.to_string() };
                rules.unseen.push(Unseen { what: "port-rules", why: why.into() });
            }
        }
        rules
    }

    /// Tells whether this is root.
    pub(in crate::host) fn privileged_user() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// No engine of this system redirects ports by rules.
    pub(in crate::host) fn redirects() -> Seen<Vec<Redirect>> {
        Seen::Known(Vec::new())
    }

    /// Start times are absolute here.
    pub(in crate::host) fn boot_id() -> Option<String> {
        None
    }

    /// Containers of Linux do not run macOS.
    pub(in crate::host) fn in_container() -> bool {
        false
    }

    /// Returns the start in seconds since 1970.
    pub(in crate::host) fn process_start(pid: u32) -> Option<u64> {
        identity::started(pid)
    }

    /// Tells whether there is such a process that may not be looked at.
    pub(in crate::host) fn process_exists(pid: u32) -> bool {
        let hidden = |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::PERM);
        i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).is_some_and(hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of macOS 14, header included.
    const TCP: &str = "\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
tcp4       0      0  192.168.1.20.52011     17.57.146.20.5223      ESTABLISHED
tcp46      0      0  *.8000                 *.*                    LISTEN
tcp6       0      0  *.5000                 *.*                    LISTEN
tcp4       0      0  *.5000                 *.*                    LISTEN
tcp4       0      0  127.0.0.1.631          *.*                    LISTEN
tcp6       0      0  ::1.631                *.*                    LISTEN
tcp6       0      0  fe80::1%lo0.1024       *.*                    LISTEN
tcp4       0      0  127.0.0.1.9000         *.*                    CLOSED
tcp4       0      0  127.0.0.1.52001        127.0.0.1.8000         TIME_WAIT
";
    const UDP: &str = "\
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
udp4       0      0  *.5353                 *.*
udp6       0      0  *.5353                 *.*
udp4       0      0  192.168.1.20.60000     1.1.1.1.443
udp4       0      0  *.*                    *.*
";

    #[test]
    fn netstat_tells_addresses_states_and_v6only() {
        let rows = parse_netstat(TCP);
        let told: Vec<String> =
            rows.iter().map(|row| format!("{} {} {}", row.endpoint, row.state.name(), row.endpoint.v6only)).collect();
        assert_eq!(
            told,
            [
                "192.168.1.20:52011/tcp connected false",
                "[::]:8000/tcp listen false",
                "[::]:5000/tcp listen true",
                "0.0.0.0:5000/tcp listen false",
                "127.0.0.1:631/tcp listen false",
                "[::1]:631/tcp listen false",
                "[fe80::1]:1024/tcp listen false",
                "127.0.0.1:9000/tcp bound false",
                "127.0.0.1:52001/tcp time-wait false",
            ]
        );
        let udp: Vec<String> =
            parse_netstat(UDP).iter().map(|row| format!("{} {}", row.endpoint, row.state.name())).collect();
        assert_eq!(udp, ["0.0.0.0:5353/udp open", "[::]:5353/udp open", "192.168.1.20:60000/udp connected"]);
    }

    #[test]
    fn lsof_names_the_processes_of_sockets() {
        let text = "p42\nf7\nPTCP\nn*:8000\nTST=LISTEN\nTQR=0\nf8\nPTCP\nn127.0.0.1:8000->127.0.0.1:52001\n\
            TST=ESTABLISHED\np43\nf3\nPUDP\nn*:5353\nf4\nPUDP\nn*:*\nf5\nPTCP\nn[::1]:631\nTST=LISTEN\n";
        let known = parse_lsof(text);
        let told = |rows: &[Row]| -> Vec<String> {
            rows.iter().filter_map(|row| Some(format!("{} {} {}", row.endpoint, row.state.name(), row.pid?))).collect()
        };
        assert_eq!(
            told(&known),
            [
                "0.0.0.0:8000/tcp listen 42",
                "[::]:8000/tcp listen 42",
                "127.0.0.1:8000/tcp connected 42",
                "0.0.0.0:5353/udp open 43",
                "[::]:5353/udp open 43",
                "[::1]:631/tcp listen 43",
            ]
        );
        let all = merge(known, parse_netstat(TCP));
        assert_eq!(all.len(), 10, "the connection is in one list only");
        assert_eq!(told(&all)[..2], ["[::]:8000/tcp listen 42", "[::1]:631/tcp listen 43"]);
        assert!(parse_lsof("").is_empty());
    }

    #[test]
    fn the_range_of_outgoing_ports_is_read() {
        assert_eq!(ephemeral("49152\n65535\n").map(|range| range.to_string()).as_deref(), Some("49152-65535"));
        assert_eq!(ephemeral(""), None);
    }
}
