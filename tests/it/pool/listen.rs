//! `pool run --listen`: a program is given its ports as sockets that listen already.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{Pool, wait_for};
use crate::support::have;

/// Serves one connection on the first descriptor, and says what else there is.
const SERVER: &str = r#"
import os, socket, sys
assert int(os.environ["LISTEN_PID"]) == os.getpid()
server = socket.socket(fileno=3)
count = int(os.environ["LISTEN_FDS"])
others = [socket.socket(fileno=3 + index) for index in range(1, count)]
ports = [other.getsockname()[1] for other in others]
print(os.getpid(), os.environ["LISTEN_FDNAMES"], server.getsockname()[1], *ports, flush=True)
connection, _ = server.accept()
connection.sendall(connection.recv(10).upper())
sys.exit(7)
"#;

/// A runner whose program is up, and the words that it said.
struct Up {
    runner: Runner,
    output: BufReader<ChildStdout>,
    words: Vec<String>,
}

impl Up {
    fn new(pool: &Pool, arguments: &[&str], program: &str) -> Self {
        let python = ["--", "python3", "-c", program];
        let all = [&["pool", "run", "--range", &pool.range], arguments, &python[..]].concat();
        let mut command = pool.sandbox.command(&all);
        let mut runner = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut output = BufReader::new(runner.stdout.take().expect("an output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let runner = Runner(runner);
        Self { runner, output, words: line.split_whitespace().map(str::to_owned).collect() }
    }

    fn pid(&self) -> rustix::process::Pid {
        let pid = self.words.first().and_then(|word| word.parse().ok()).expect("a process id");
        rustix::process::Pid::from_raw(pid).expect("a process id")
    }
}

/// A runner that a failed test does not leave behind; it ends its program.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM);
    }
}

fn python() -> bool {
    have("python3", Command::new("python3").arg("--version").output().is_ok())
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

#[test]
fn a_program_accepts_on_what_it_was_given_and_nobody_else_can_bind_meanwhile() {
    if !python() {
        return;
    }
    let pool = Pool::new(4);
    let mut up = Up::new(&pool, &["-n", "2", "--listen"], SERVER);
    let (one, two) = (pool.first(), pool.first() + 1);
    assert_eq!(up.words[1..], ["tcp1:tcp2".to_owned(), one.to_string(), two.to_string()]);
    assert!(is_taken(one) && is_taken(two));
    wait_for("the program holds the lease", || {
        pool.leases().iter().all(|lease| lease["holder"]["pid"] == up.pid().as_raw_nonzero().get())
    });
    let mut connection = TcpStream::connect(("127.0.0.1", one)).expect("it listens");
    connection.write_all(b"hello").expect("bytes");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "HELLO");
    assert_eq!(up.runner.0.wait().expect("an end").code(), Some(7));
    let mut rest = String::new();
    up.output.read_to_string(&mut rest).expect("the rest");
    assert_eq!(rest, "");
    assert!(pool.leases().is_empty() && !is_taken(two));
}

#[test]
fn udp_is_given_where_it_is_asked_for_beside_tcp_or_alone() {
    if !python() {
        return;
    }
    let pool = Pool::new(4);
    let echo = "import os, socket\nserver = socket.socket(fileno=2 + int(os.environ['LISTEN_FDS']))\n\
        print(os.environ['LISTEN_FDNAMES'], server.getsockname()[1], flush=True)\n\
        data, peer = server.recvfrom(10)\nserver.sendto(data.upper(), peer)";
    for (flag, names) in [("--listen=both", "tcp1:udp1"), ("--listen=udp", "udp1")] {
        let mut up = Up::new(&pool, &[flag], echo);
        let port: u16 = up.words[1].parse().expect("a port");
        assert_eq!(up.words[0], names);
        let client = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        client.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("an option");
        client.send_to(b"hello", SocketAddr::from(([127, 0, 0, 1], port))).expect("bytes");
        let mut answer = [0; 10];
        let length = client.recv(&mut answer).expect("an answer");
        assert_eq!(&answer[..length], b"HELLO");
        assert_eq!(up.runner.0.wait().expect("an end").code(), Some(0));
    }
}

#[test]
fn the_sockets_end_with_the_program_and_not_with_its_runner() {
    if !python() {
        return;
    }
    let pool = Pool::new(2);
    let mut killed = Up::new(&pool, &["--listen"], SERVER);
    let port = pool.first();
    rustix::process::kill_process(killed.pid(), rustix::process::Signal::KILL).expect("a signal");
    assert_eq!(killed.runner.0.wait().expect("an end").code(), Some(137));
    assert!(pool.leases().is_empty() && !is_taken(port));

    let mut orphan = Up::new(&pool, &["--listen"], SERVER);
    let port: u16 = orphan.words[2].parse().expect("a port");
    let pid = orphan.pid();
    wait_for("the program holds the lease", || {
        pool.leases().first().is_some_and(|lease| lease["holder"]["pid"] == pid.as_raw_nonzero().get())
    });
    orphan.runner.0.kill().and_then(|()| orphan.runner.0.wait()).expect("an end");
    assert!(is_taken(port));
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a signal");
    wait_for("the lease and the socket end with the program", || pool.leases().is_empty() && !is_taken(port));
}

#[test]
fn signals_and_exit_codes_are_those_of_the_program() {
    let pool = Pool::new(4);
    let run = |arguments: &[&str]| pool.run(&[&["run", "--range", &pool.range, "--listen"], arguments].concat());
    run(&["--", "sh", "-c", "kill -KILL $$"]).expect_code(137);
    run(&["--", "sh", "-c", "exit 42"]).expect_code(42);
    let answer = run(&["--", "sh", "-c", "[ $LISTEN_PID = $$ ] && echo $PORT {port}"]).expect_code(0);
    let words: Vec<&str> = answer.stdout.split_whitespace().collect();
    assert_eq!(words[0], words[1]);
    let answer = run(&["--", "no such program"]).expect_code(5);
    assert!(answer.stderr.contains("no such program cannot be started"), "{}", answer.stderr);
    run(&["--hold", "--", "true"]).expect_code(2);
    run(&["--listen=sctp", "--", "true"]).expect_code(2);
    assert!(pool.leases().is_empty());
    if python() {
        let program = "import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n\
            print(os.getpid(), flush=True)\nwhile True: signal.pause()";
        let mut up = Up::new(&pool, &["--listen"], program);
        let runner = rustix::process::Pid::from_child(&up.runner.0);
        rustix::process::kill_process(runner, rustix::process::Signal::TERM).expect("a signal");
        assert_eq!(up.runner.0.wait().expect("an end").code(), Some(9));
    }
}

#[test]
fn a_socket_is_bound_to_the_address_of_its_wan() {
    if !python() {
        return;
    }
    let pool = Pool::new(1);
    let config = format!("[[wan]]\nindex = 0\nbind = \"127.0.0.2\"\nrange = \"{}\"\n", pool.range);
    pool.sandbox.write("pool.toml", &config);
    let mut up = Up::new(&pool, &["--listen"], SERVER);
    let port = pool.first();
    assert_eq!(
        TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.kind()).err(),
        Some(std::io::ErrorKind::ConnectionRefused)
    );
    TcpStream::connect(("127.0.0.2", port)).expect("it listens there");
    assert_eq!(up.runner.0.wait().expect("an end").code(), Some(7));
}
