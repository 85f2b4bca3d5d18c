//! Who owns a socket: process, user and container, as far as this user may know.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;

use super::cgroup::{container_of, containers_by_cgroup};
use super::open_files::holders;
use crate::host::sockets::{Row, hidden, nobody};
use crate::model::{ContainerRef, Endpoint, Owner, Port, Protocol, SocketState, Unseen};
use crate::words::host::HostWords;

/// How many digits of its id a container is called by until its name is known, as engines print it.
const SHORT_ID: usize = 12;

/// A forwarder's command line has about 150 bytes; those of others may have megabytes.
const LONGEST_COMMAND: u64 = 1 << 10;

/// The name that the kernel gives to Docker's forwarder.
const DOCKER_PROXY: &str = "docker-proxy";

/// Returns the owner of each row, in order; processes are looked up where `wants` says so.
pub(in crate::host) fn owners(rows: &[Row], wants: impl Fn(&Row) -> bool, unseen: &mut Vec<Unseen>) -> Vec<Owner> {
    let sought = |row: &Row| row.inode != 0 && wants(row);
    let holders = holders(rows.iter().filter(|row| sought(row)).map(|row| row.inode));
    let ordinary_user = !rustix::process::geteuid().is_root();
    let traces = if ordinary_user {
        Traces::of(rows.iter().filter(|row| sought(row) && !holders.contains_key(&row.inode)))
    } else {
        // Root sees every forwarder by its files.
        Traces::default()
    };
    let mut known = Known { users: users(), processes: HashMap::new(), holders, traces, ordinary_user };
    let owners: Vec<Owner> = rows.iter().map(|row| known.owner(row, sought(row))).collect();
    unseen.extend(hidden(&owners));
    owners
}

/// Everything that tells who owns a socket.
struct Known {
    users: HashMap<u32, String>,
    processes: HashMap<u32, Option<Described>>,
    holders: HashMap<u32, u32>,
    traces: Traces,
    /// Whether root would see more.
    ordinary_user: bool,
}

/// What a process says about itself.
#[derive(Clone)]
struct Described {
    name: String,
    container: Option<ContainerRef>,
}

impl Known {
    fn owner(&mut self, row: &Row, sought: bool) -> Owner {
        if row.state == SocketState::TimeWait {
            return nobody();
        }
        // A socket without a number is an unfinished connection of the kernel, whose user id is always 0.
        let user = row.uid.filter(|_| row.inode != 0).map(|uid| self.user(uid));
        let owner = Owner { user, ..Owner::default() };
        if !sought {
            return owner;
        }
        let Some(pid) = self.holders.get(&row.inode).copied() else {
            let why = if self.ordinary_user { HostWords::OwnerHidden } else { HostWords::OwnerNowhere };
            return self.traces.complete(row, Owner { why_unknown: Some(why.into()), ..owner });
        };
        match self.processes.entry(pid).or_insert_with(|| describe(pid)).clone() {
            Some(Described { name, container }) => Owner { pid: Some(pid), process: Some(name), container, ..owner },
            None => Owner { why_unknown: Some(HostWords::OwnerGone.into()), ..owner },
        }
    }

    fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

/// Describes a process, or `None` when it has ended.
fn describe(pid: u32) -> Option<Described> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned();
    Some(Described { name, container: container_of(pid).map(unnamed) })
}

/// Returns the container with this id, called by the id until an engine tells its name.
fn unnamed(id: String) -> ContainerRef {
    let name = id.get(..SHORT_ID).unwrap_or(&id).to_owned();
    ContainerRef { id, name, compose: None }
}

/// Reads the names of the users of this system. The file alone: a static executable has no other sources of names.
fn users() -> HashMap<u32, String> {
    parse_users(&fs::read_to_string("/etc/passwd").unwrap_or_default())
}

fn parse_users(passwd: &str) -> HashMap<u32, String> {
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
    };
    // The first line of an id is the one that everything else shows.
    passwd.lines().rev().filter_map(user).collect()
}

/// What every user may see of the processes of others: command lines, and the cgroup of a socket.
#[derive(Default)]
struct Traces {
    forwards: Vec<(u32, Endpoint)>,
    containers: HashMap<u64, String>,
}

impl Traces {
    fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let cgroups: Vec<Option<u64>> = rows.map(|row| row.cgroup).collect();
        if cgroups.is_empty() {
            return Self::default();
        }
        let cgroups: HashSet<u64> = cgroups.into_iter().flatten().collect();
        Self { forwards: forwards(), containers: containers_by_cgroup(&cgroups) }
    }

    fn complete(&self, row: &Row, owner: Owner) -> Owner {
        let holds =
            |forward: &Endpoint| forward.address == row.endpoint.address && forward.conflicts_with(&row.endpoint);
        if let Some((pid, _)) = self.forwards.iter().find(|(_, forward)| holds(forward)) {
            return Owner { pid: Some(*pid), process: Some(DOCKER_PROXY.to_owned()), why_unknown: None, ..owner };
        }
        let container = row.cgroup.and_then(|cgroup| self.containers.get(&cgroup)).cloned().map(unnamed);
        Owner { container, ..owner }
    }
}

/// Lists what the forwarders of Docker say that they forward.
fn forwards() -> Vec<(u32, Endpoint)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let forward = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let mut command = Vec::new();
        File::open(entry.path().join("cmdline")).ok()?.take(LONGEST_COMMAND).read_to_end(&mut command).ok()?;
        Some((pid, parse_forward(&command)?))
    };
    processes.filter_map(forward).collect()
}

/// Reads `docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 18200 …`, with a zero byte behind each word.
fn parse_forward(command: &[u8]) -> Option<Endpoint> {
    let mut words = str::from_utf8(command).ok()?.split('\0');
    if words.next()?.rsplit('/').next()? != DOCKER_PROXY {
        return None;
    }
    let words: Vec<&str> = words.collect();
    let value = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied();
    let protocol = match value("-proto")? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let address: IpAddr = value("-host-ip")?.parse().ok()?;
    let port: Port = value("-host-port")?.parse().ok()?;
    Some(Endpoint { address, port, protocol, v6only: address.is_ipv6() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_first_name_of_their_id() {
        let users = parse_users("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n\n+::::::\napp:x:1000:\n");
        assert_eq!(users.get(&0).map(String::as_str), Some("root"));
        assert_eq!(users.get(&1000).map(String::as_str), Some("app"));
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn a_forwarder_says_what_it_forwards() {
        let command = "/usr/sbin/docker-proxy -proto tcp -host-ip :: -host-port 18200 \
            -container-ip 172.17.0.2 -container-port 8000 ";
        let forward = parse_forward(command.replace(' ', "\0").as_bytes()).expect("a forwarder");
        assert_eq!(forward.to_string(), "[::]:18200/tcp");
        assert!(forward.v6only);
    }

    #[test]
    fn other_commands_forward_nothing() {
        for command in ["grep\0docker-proxy\0-proto\0tcp\0", "docker-proxy\0", "docker-proxy\0-proto\0sctp\0", ""] {
            assert_eq!(parse_forward(command.as_bytes()), None, "{command:?}");
        }
    }

    #[test]
    fn a_container_without_a_name_is_called_by_its_short_id() {
        assert_eq!(unnamed("2189ecb9f0a1".repeat(5) + "0123").name, "2189ecb9f0a1");
    }
}
