//! Two WANs with addresses of their own, in a network of the test's own: the same port is leased on both, and what leaves
//! from a lease has the address of its WAN as a peer on the other end of the wire sees it.

use std::path::PathBuf;
use std::process::Command;

use portwright::lease::{Options, Pool, Request, Wan};

use crate::support::{PORTWRIGHT, have};

/// What tells a process of this binary that it is to connect from leases of the library: its folder.
const WORK: &str = "PW_TEST_WAN_WORK";

const CONFIG: &str = "[[wan]]\nindex = 0\nbind = \"192.0.2.10\"\nrange = \"20000-20000\"\n\
    [[wan]]\nindex = 1\ninterface = \"side\"\nrange = \"20000-20000\"\n";

/// Waits until it is in its own network, sets it up, and then does what each line asks for: `accept` tells who connects,
/// `visit ADDRESS` tells whether the port there answers.
const PEER: &str = r#"
import socket, subprocess, sys
print("here", flush=True)
sys.stdin.readline()
for words in ("address add 192.0.2.1/24 dev far-near", "link set far-near up",
              "address add 198.51.100.1/24 dev far-side", "link set far-side up"):
    subprocess.run(["ip", *words.split()], check=True)
server = socket.create_server(("0.0.0.0", 7000))
print("up", flush=True)
for line in sys.stdin:
    what, *where = line.split()
    if what == "accept":
        print(*server.accept()[1], flush=True)
    else:
        try:
            with socket.create_connection((where[0], 20000), 30) as connection:
                print(where[0], connection.recv(10).decode(), flush=True)
        except ConnectionRefusedError:
            print(where[0], "refused", flush=True)
"#;

/// Two networks that are joined by a wire: this side has two addresses on two interfaces.
const HOST: &str = r#"
set -e
ask() { echo "$1" >&6; read -r answer <&5; echo "$answer"; }
ip link set lo up
coproc PEER { exec unshare --net python3 -c "$PEER_PROGRAM"; }
exec 5<&"${PEER[0]}" 6>&"${PEER[1]}"
read -r word <&5
for wire in near:192.0.2.10 side:198.51.100.20; do
    ip link add "${wire%:*}" type veth peer name "far-${wire%:*}"
    ip link set "far-${wire%:*}" netns "$PEER_PID"
    ip address add "${wire#*:}/24" dev "${wire%:*}"
    ip link set "${wire%:*}" up
done
ask up

# The library: both at once, on the same port.
"$WORKER_PROGRAM" --exact pool::wans::two_wans_have_the_same_port_and_each_its_own_address >worker.log 2>&1 &
ask accept
ask accept
wait $! || { cat worker.log; exit 1; }

# The program: a server on the second WAN alone, while the first has the same port for another.
serve='import socket; server = socket.socket(fileno=3); print(*server.getsockname(), flush=True)
while True: server.accept()[0].sendall(b"served")'
mkfifo bound
"$PORTWRIGHT" pool run --wan 1 --listen -- python3 -c "$serve" >bound &
read -r line <bound
echo "$line"
"$PORTWRIGHT" pool alloc --wan 0
ask "visit 198.51.100.20"
ask "visit 192.0.2.10"
kill $!
wait $! || true
"$PORTWRIGHT" pool alloc --wan 1
# Not before: without its input the peer ends, and the wire with it.
exec 6>&-
"#;

/// Connects to the peer from each WAN, both held at once.
fn work(folder: &str) {
    let options = Options { wans: Wan::read(CONFIG).expect("a configuration"), ..Options::default() };
    let pool = Pool::open_with(&PathBuf::from(folder).join("library.json"), options).expect("a pool");
    let lease = |wan| pool.acquire(&Request { wan: Some(wan), ..Request::default() }).expect("a port");
    let leases = [lease(0), lease(1)];
    let peers = ["192.0.2.1", "198.51.100.1"];
    let connected = leases.iter().zip(peers).map(|(lease, peer)| {
        let socket = lease.bind().expect("a socket").pop().expect("a socket");
        let peer: std::net::SocketAddr = format!("{peer}:7000").parse().expect("an address");
        socket.connect(&peer.into()).expect("a connection");
        socket
    });
    assert_eq!(connected.collect::<Vec<_>>().len(), 2);
}

fn works() -> bool {
    let script = "ip link add near type veth peer name far && command -v python3";
    let tried = Command::new("unshare").args(["--net", "bash", "-c", script]).output();
    have("unshare and ip as root, and python3", tried.is_ok_and(|output| output.status.success()))
}

#[test]
fn two_wans_have_the_same_port_and_each_its_own_address() {
    if let Ok(folder) = std::env::var(WORK) {
        return work(&folder);
    }
    if !works() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("pool.toml"), CONFIG).expect("a file");
    let mut command = Command::new("timeout");
    command.args(["60", "unshare", "--net", "bash", "-c", HOST]).current_dir(folder.path());
    command.env("HOME", folder.path()).env("PORTWRIGHT", PORTWRIGHT).env(WORK, folder.path());
    command.env("PEER_PROGRAM", PEER).env("WORKER_PROGRAM", std::env::current_exe().expect("this binary"));
    for name in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
    let output = command.output().expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<&str> = text.lines().collect();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    // The two connections are taken in any order.
    lines[1..3].sort_unstable();
    let expected = [
        "up",
        "192.0.2.10 20000",
        "198.51.100.20 20000",
        "198.51.100.20 20000",
        "20000",
        "198.51.100.20 served",
        "192.0.2.10 refused",
        "20000",
    ];
    assert_eq!(lines, expected);
}
