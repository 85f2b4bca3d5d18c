//! The machine against the real kernel: every cell of the bind table, and what either view alone would miss.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portwright::host::{Look, Owners, attribute, probe, sockets};
use portwright::model::{
    Container, ContainerRef, ContainerState, Endpoint, Port, PortRange, ProbeOutcome, Protocol, Published, Seen,
    Socket, SocketState,
};
use socket2::{Domain, Type};

/// Rows hold the port, columns want it; measured on Linux 6.18, for TCP and UDP alike.
const TABLE: [(&str, &str); 6] = [
    ("0.0.0.0", "XXX.X."),
    ("127.0.0.1", "XX..X."),
    ("127.0.0.2", "X.X.X."),
    (":: v6only", "...XXX"),
    (":: dual", "XXXXXX"),
    ("::1", "...XXX"),
];

/// Another program may take a port between two binds; so often a test asks for another one.
const TRIES: usize = 5;

/// How long a condition that is bound to come true is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

fn endpoint(name: &str, port: Port, protocol: Protocol) -> Endpoint {
    let (address, v6only) = name.strip_suffix(" v6only").map_or((name, false), |bare| (bare, true));
    let address = address.strip_suffix(" dual").unwrap_or(address).parse().expect("an address");
    Endpoint { address, port, protocol, v6only }
}

/// A port that nobody had a moment ago in either family.
fn free_port(protocol: Protocol) -> Port {
    let any: SocketAddr = "[::]:0".parse().expect("an address");
    let number = match protocol {
        Protocol::Tcp => TcpListener::bind(any).and_then(|socket| socket.local_addr()),
        Protocol::Udp => UdpSocket::bind(any).and_then(|socket| socket.local_addr()),
    };
    Port::new(number.expect("a free port").port()).expect("not zero")
}

#[derive(Clone, Copy, Default)]
struct Options {
    reuse_address: bool,
    reuse_port: bool,
    listen: bool,
}

fn hold(wanted: &Endpoint, options: Options) -> std::io::Result<socket2::Socket> {
    let address = SocketAddr::new(wanted.address, wanted.port.get());
    let kind = if wanted.protocol == Protocol::Tcp { Type::STREAM } else { Type::DGRAM };
    let socket = socket2::Socket::new(Domain::for_address(address), kind, None)?;
    if wanted.address.is_ipv6() {
        socket.set_only_v6(wanted.v6only)?;
    }
    socket.set_reuse_address(options.reuse_address)?;
    socket.set_reuse_port(options.reuse_port)?;
    socket.bind(&address.into())?;
    if options.listen {
        socket.listen(1)?;
    }
    Ok(socket)
}

fn server(protocol: Protocol) -> Options {
    let tcp = protocol == Protocol::Tcp;
    Options { reuse_address: tcp, listen: tcp, reuse_port: false }
}

fn on_port(port: Port, owners: Owners) -> Vec<Socket> {
    let look = Look { wanted: vec![PortRange::single(port)], owners };
    let (seen, _) = sockets(&look);
    let Seen::Known(mut sockets) = seen else { panic!("the sockets of this machine can be listed") };
    sockets.retain(|socket| socket.endpoint.port == port);
    sockets
}

fn in_the_way(wanted: &Endpoint) -> Vec<Socket> {
    let mut found = on_port(wanted.port, Owners::None);
    found.retain(|socket| socket.endpoint.conflicts_with(wanted));
    found
}

/// Holds one endpoint and returns what the probe, the list and the table say of the other.
fn judge(held: &str, wanted: &str, protocol: Protocol) -> (ProbeOutcome, bool) {
    let (socket, port) = (0..TRIES)
        .find_map(|_| {
            let port = free_port(protocol);
            Some((hold(&endpoint(held, port, protocol), server(protocol)).ok()?, port))
        })
        .expect("a port can be held");
    let wanted = endpoint(wanted, port, protocol);
    let verdict = (probe(&wanted), !in_the_way(&wanted).is_empty());
    drop(socket);
    verdict
}

#[test]
fn probe_and_list_agree_with_the_table_in_every_cell() {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (held, row) in TABLE {
            for ((wanted, _), cell) in TABLE.iter().zip(row.chars()) {
                let taken = cell == 'X';
                let expected = (if taken { ProbeOutcome::InUse } else { ProbeOutcome::Free }, taken);
                let mut said = judge(held, wanted, protocol);
                // Only a passer-by makes a free cell taken, and he does not do so on every port.
                for _ in 1..TRIES {
                    if said == expected {
                        break;
                    }
                    said = judge(held, wanted, protocol);
                }
                assert_eq!(said, expected, "{protocol}: {held} held, {wanted} wanted");
            }
        }
    }
}

#[test]
fn a_socket_is_listed_with_its_owner_and_v6only() {
    for (name, v6only) in [(":: v6only", true), (":: dual", false), ("127.0.0.1", false)] {
        let port = free_port(Protocol::Tcp);
        let socket = hold(&endpoint(name, port, Protocol::Tcp), server(Protocol::Tcp)).expect("free");
        let found = on_port(port, Owners::Only(BTreeSet::from([port])));
        let [listed] = found.as_slice() else { panic!("one socket, not {found:?}") };
        assert_eq!(listed.endpoint.v6only, v6only, "{name}");
        assert_eq!(listed.state, SocketState::Listen);
        assert_eq!(listed.owner.pid, Some(std::process::id()));
        let own = std::fs::read_to_string("/proc/self/comm").expect("a name");
        assert_eq!(listed.owner.process.as_deref(), Some(own.trim_end()));
        assert!(listed.owner.user.is_some() && listed.owner.why_unknown.is_none());
        drop(socket);
        assert!(on_port(port, Owners::None).is_empty());
    }
}

#[test]
fn a_bound_socket_that_does_not_listen_is_found_and_owned() {
    let port = free_port(Protocol::Tcp);
    let held = endpoint("127.0.0.1", port, Protocol::Tcp);
    let _socket = hold(&held, Options { reuse_address: true, ..Options::default() }).expect("free");
    let found = on_port(port, Owners::All);
    let [listed] = found.as_slice() else { panic!("one socket, not {found:?}") };
    assert_eq!((listed.state, listed.owner.pid), (SocketState::Bound, Some(std::process::id())));
    assert!(listed.endpoint.conflicts_with(&held));
}

#[test]
fn the_local_port_of_an_outgoing_connection_is_in_the_way_and_listed() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let client = TcpStream::connect(server.local_addr().expect("an address")).expect("a connection");
    let port = Port::new(client.local_addr().expect("an address").port()).expect("not zero");
    let wanted = endpoint("0.0.0.0", port, Protocol::Tcp);
    assert_eq!(probe(&wanted), ProbeOutcome::InUse);
    let blocking = in_the_way(&wanted);
    assert_eq!(blocking.first().map(|socket| socket.state), Some(SocketState::Connected));
    let unasked = sockets(&Look::default()).0;
    assert!(unasked.known().expect("listed").iter().all(|socket| socket.endpoint.port != port));
}

#[test]
fn a_closed_connection_keeps_its_port_for_a_while_and_is_listed_without_owner() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let client = TcpStream::connect(server.local_addr().expect("an address")).expect("a connection");
    let port = Port::new(client.local_addr().expect("an address").port()).expect("not zero");
    let (mut accepted, _) = server.accept().expect("the connection");
    drop(client);
    assert_eq!(accepted.read(&mut [0; 1]).expect("the end of the stream"), 0);
    drop(accepted);
    let deadline = Instant::now() + PATIENCE;
    let waiting = loop {
        let found = on_port(port, Owners::All);
        if let Some(waiting) = found.into_iter().find(|socket| socket.state == SocketState::TimeWait) {
            break waiting;
        }
        assert!(Instant::now() < deadline, "the side that closes first waits");
        std::thread::yield_now();
    };
    assert_eq!((waiting.owner.pid, waiting.owner.user), (None, None));
    assert!(waiting.owner.why_unknown.is_some());
    assert_eq!(probe(&endpoint("0.0.0.0", port, Protocol::Tcp)), ProbeOutcome::InUse);
}

#[test]
fn a_listener_that_shares_its_port_is_vetoed_by_the_list() {
    let port = free_port(Protocol::Tcp);
    let held = endpoint("127.0.0.1", port, Protocol::Tcp);
    let _socket = hold(&held, Options { reuse_port: true, listen: true, ..Options::default() }).expect("free");
    assert_eq!(in_the_way(&held).len(), 1);
    assert_eq!(probe(&held), ProbeOutcome::InUse, "the probe does not share");
}

#[test]
fn a_udp_socket_that_lets_others_steal_its_port_is_vetoed_by_the_list() {
    let port = free_port(Protocol::Udp);
    let held = endpoint("127.0.0.1", port, Protocol::Udp);
    let sharing = Options { reuse_address: true, ..Options::default() };
    let _socket = hold(&held, sharing).expect("free");
    assert!(hold(&held, sharing).is_ok(), "the kernel lets it be stolen");
    assert_eq!(in_the_way(&held).first().map(|socket| socket.state), Some(SocketState::Open));
    assert_eq!(probe(&held), ProbeOutcome::InUse, "the probe does not steal");
}

#[test]
fn a_connected_udp_socket_is_listed_on_wanted_ports_alone() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = Port::new(socket.local_addr().expect("an address").port()).expect("not zero");
    socket.connect((Ipv4Addr::LOCALHOST, 9)).expect("UDP connects to anything");
    assert_eq!(in_the_way(&endpoint("127.0.0.1", port, Protocol::Udp)).len(), 1);
    let unasked = sockets(&Look::default()).0;
    assert!(unasked.known().expect("listed").iter().all(|socket| socket.endpoint.port != port));
}

#[test]
fn processes_that_come_and_go_do_not_disturb_a_scan() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = Port::new(listener.local_addr().expect("an address").port()).expect("not zero");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                Command::new("true").status().expect("a short process");
            }
        });
        // A child between fork and exec shares our sockets, so now and then it is the one that is found.
        let owners: Vec<Option<u32>> = (0..50)
            .map(|_| on_port(port, Owners::All).first().expect("the socket is always listed").owner.pid)
            .collect();
        assert!(owners.contains(&Some(std::process::id())), "{owners:?}");
    });
}

/// Says that a test cannot run here, or fails where everything has to run.
#[expect(clippy::print_stdout, reason = "a test that was skipped must say so")]
fn skip(what: &str) {
    assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "needs {what}");
    println!("skipped: needs {what}");
}

/// An image of one static program, which needs no registry, and the container that was made from it.
struct Image {
    image: String,
    container: Option<String>,
}

/// Tests run beside each other in one process, and each has its own image.
fn image_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("portwright-host-test:{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Image {
    fn prepare() -> Option<Self> {
        if !docker(&["version"]).is_some_and(|output| output.status.success()) {
            skip("a Docker engine");
            return None;
        }
        let image = image_name();
        let folder = tempfile::tempdir().expect("a folder");
        if !static_server(&folder.path().join("server")) {
            skip("a C compiler");
            return None;
        }
        let tar = folder.path().join("image.tar");
        let packed = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder.path()).arg("server").status();
        assert!(packed.expect("tar runs").success());
        let imported = docker(&["import", tar.to_str().expect("a path"), &image]).expect("docker runs");
        assert!(imported.status.success(), "{imported:?}");
        Some(Self { image, container: None })
    }

    /// Starts a container with these options and returns its id.
    fn run(&mut self, options: &[&str], port: &str) -> String {
        let mut words = vec!["run", "-d"];
        words.extend(options);
        words.extend([self.image.as_str(), "/server", port]);
        let started = docker(&words).expect("docker runs");
        let id = String::from_utf8_lossy(&started.stdout).trim().to_owned();
        self.container = Some(id.clone());
        assert!(started.status.success(), "{started:?}");
        id
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let removed = self.container.as_ref().map(|container| docker(&["rm", "-f", container]));
        drop((removed, docker(&["rmi", "-f", &self.image])));
    }
}

fn docker(words: &[&str]) -> Option<Output> {
    Command::new("docker").args(words).output().ok()
}

/// Builds a program that listens on the port of its first argument on loopback, and waits.
fn static_server(path: &Path) -> bool {
    let source = path.with_extension("c");
    std::fs::write(&source, SERVER).expect("a file");
    Command::new("cc").arg("-static").arg("-o").arg(path).arg(&source).status().is_ok_and(|status| status.success())
}

const SERVER: &str = r"
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    int one = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(words[count - 1]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(one, (struct sockaddr *)&at, sizeof at) || listen(one, 1)) return 1;
    for (;;) pause();
}
";

fn running(id: String, published: Vec<Published>) -> Container {
    Container {
        identity: ContainerRef { id, name: "portwright-host-test".into(), compose: None },
        state: ContainerState::Running,
        restarts: false,
        pid: None,
        published,
        portwright_directory: None,
    }
}

#[test]
fn a_published_port_belongs_to_its_container_and_not_to_the_forwarder() {
    let Some(mut image) = Image::prepare() else { return };
    let port = free_port(Protocol::Tcp);
    let id = image.run(&["-p", &format!("127.0.0.1:{port}:80")], "80");
    let mut found = on_port(port, Owners::All);
    let [listed] = found.as_slice() else { panic!("one socket, not {found:?}") };
    assert_eq!(listed.owner.process.as_deref(), Some("docker-proxy"));
    let published = Published {
        host_ip: Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
        host_port: port,
        container_port: Port::new(80).expect("a port"),
        protocol: Protocol::Tcp,
    };
    let container = running(id, vec![published]);
    attribute(&mut found, std::slice::from_ref(&container));
    let owner = &found[0].owner;
    assert_eq!(owner.container.as_ref(), Some(&container.identity));
    assert_eq!((owner.pid, owner.process.as_deref()), (None, None));
}

#[test]
fn a_server_in_the_hosts_network_is_known_by_its_process_and_its_container() {
    let Some(mut image) = Image::prepare() else { return };
    let port = free_port(Protocol::Tcp);
    let id = image.run(&["--network", "host"], &port.to_string());
    let deadline = Instant::now() + PATIENCE;
    let mut found = on_port(port, Owners::All);
    while found.is_empty() {
        assert!(Instant::now() < deadline, "the server listens");
        found = on_port(port, Owners::All);
    }
    assert_eq!(found[0].owner.container.as_ref().map(|container| container.id.as_str()), Some(id.as_str()));
    let container = running(id, Vec::new());
    attribute(&mut found, std::slice::from_ref(&container));
    let owner = &found[0].owner;
    assert_eq!(owner.container.as_ref(), Some(&container.identity));
    assert_eq!(owner.process.as_deref(), Some("server"));
}
