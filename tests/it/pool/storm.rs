//! Many processes at once on one pool, some of which are killed: no port twice, none lost, and the file can always be
//! read. What happened is judged afterwards by another program, from what each process wrote down.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portwright::error::ErrorKind;
use portwright::lease::{Options, Pool, Request};
use portwright::model::PortRange;

use super::wait_for;
use crate::support::{free_block, have};

/// How many processes there are at a time.
const WORKERS: usize = 64;
/// How many ports each takes at a time, in a row.
const PORTS: u16 = 3;
/// How many ports there are: fewer than all of them could hold at once.
const RANGE: u16 = 100;
/// One process is killed for every so many rounds of all.
const ROUNDS_PER_KILL: u64 = 32;
/// What tells a process of this binary that it is a worker: the folder, the range, the rounds.
const WORK: &str = "PW_TEST_LEASE_WORK";

/// The rounds of each worker: a few, or as many as `scripts/soak-pool.sh` asks for.
fn rounds() -> u64 {
    std::env::var("PORTWRIGHT_LEASE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12)
}

fn open(folder: &Path) -> Pool {
    let patience = Duration::from_mins(2);
    Pool::open_with(&folder.join("pool.json"), Options { patience, ..Options::default() }).expect("a pool")
}

fn request(range: PortRange) -> Request {
    Request { count: PORTS, contiguous: true, range: Some(range), ..Request::default() }
}

/// The clock of the history: the system's own, in nanoseconds.
fn clock() -> i128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// Takes ports, uses them and gives them back, and writes down when it had them. One line is one write, so that a killed
/// process leaves whole lines.
fn work(folder: &Path, range: PortRange, rounds: u64) {
    let pool = open(folder);
    let name = format!("{}.log", std::process::id());
    let mut log = fs::OpenOptions::new().create(true).append(true).open(folder.join(name)).expect("a log");
    let mut note = |what: &str, ports: &[u16]| {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        log.write_all(format!("{what} {} {}\n", ports.join(" "), clock()).as_bytes()).expect("a line");
    };
    for _ in 0..rounds {
        let lease = loop {
            match pool.acquire(&request(range)) {
                Ok(lease) => break lease,
                Err(error) if error.kind() == ErrorKind::Refused => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        let ports: Vec<u16> = lease.ports().map(portwright::model::Port::get).collect();
        assert_eq!(ports.len(), usize::from(PORTS));
        note("has", &ports);
        let listeners: Vec<_> =
            ports.iter().map(|port| TcpListener::bind(("0.0.0.0", *port)).expect("a port of our own")).collect();
        // Long enough for some to be killed meanwhile.
        std::thread::park_timeout(Duration::from_micros(rand::random_range(0..3_000)));
        drop(listeners);
        note("had", &ports);
        lease.release().expect("the lock");
    }
}

#[test]
fn a_worker_takes_uses_and_gives_back() {
    if let Ok(order) = std::env::var(WORK) {
        let mut words = order.split(' ');
        let mut word = || words.next().expect("an order");
        let (folder, range, rounds) = (PathBuf::from(word()), word(), word());
        return work(&folder, range.parse().expect("a range"), rounds.parse().expect("rounds"));
    }
    if !have_judge() {
        return;
    }
    let first = free_block(10);
    let range = format!("{first}-{}", first + 9);
    let folder = tempfile::tempdir().expect("a folder");
    work(folder.path(), range.parse().expect("a range"), 3);
    fs::write(folder.path().join("killed.log"), "").expect("a log");
    let verdict = judge(folder.path(), &range).expect("no fault");
    assert!(verdict.starts_with("3 times ports were taken, 9 ports in all; 0 processes were killed"), "{verdict}");

    // A judge that finds nothing in anything would be none.
    let (later, port) = (clock() + 1_000_000_000, first + 1);
    let wrong = [
        (format!("has {port} {} {} 1\nhad {port} {} {} {later}\n", port + 1, port + 2, port + 1, port + 2), "at once"),
        (format!("has {first} {later}\n"), "ended without giving back"),
        (format!("has {first} {} {later}\nhad {first} {} {later}\n", first + 2, first + 2), "got"),
        (format!("has 9 {later}\nhad 9 {later}\n"), "got"),
    ];
    for (text, part) in wrong {
        fs::write(folder.path().join("1.log"), text).expect("a log");
        let verdict = judge(folder.path(), &range).expect_err("a fault");
        assert!(verdict.contains(part), "{verdict}");
    }
}

fn start(folder: &Path, range: &str, rounds: u64) -> Child {
    let mut worker = Command::new(std::env::current_exe().expect("this binary"));
    worker.args(["--exact", "pool::storm::a_worker_takes_uses_and_gives_back"]);
    worker.env(WORK, format!("{} {range} {rounds}", folder.display())).stdout(Stdio::null());
    worker.spawn().expect("a worker")
}

fn have_judge() -> bool {
    have("python3", Command::new("python3").arg("--version").output().is_ok())
}

/// Lets `scripts/judge-leases.py` judge the history: what it says, which is an error when it found a fault.
fn judge(folder: &Path, range: &str) -> Result<String, String> {
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/judge-leases.py");
    let output = Command::new("python3").arg(judge).arg(folder).arg(range).output().expect("python3 runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if output.status.success() { Ok(text) } else { Err(text) }
}

#[test]
fn sixty_four_processes_some_of_them_killed_never_have_a_port_twice_and_lose_none() {
    if !have_judge() {
        return;
    }
    let first = free_block(RANGE);
    let range = format!("{first}-{}", first + RANGE - 1);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let rounds = rounds();
    let mut workers: Vec<Child> = (0..WORKERS).map(|_| start(folder, &range, rounds)).collect();
    let mut killed: Vec<String> = Vec::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::SeqCst) {
                if let Ok(bytes) = fs::read(folder.join("pool.json")) {
                    serde_json::from_slice::<serde_json::Value>(&bytes).expect("the file can always be read");
                    reads += 1;
                }
                std::thread::yield_now();
            }
            reads
        });
        let kills = (rounds * WORKERS as u64 / ROUNDS_PER_KILL).max(1);
        for _ in 0..kills {
            let deadline = Instant::now() + Duration::from_millis(rand::random_range(1..40));
            wait_for("a moment", || Instant::now() >= deadline);
            let worker = &mut workers[rand::random_range(0..WORKERS)];
            if worker.try_wait().expect("a state").is_none() {
                killed.push(format!("{} {}\n", worker.id(), clock()));
                worker.kill().expect("a signal");
                worker.wait().expect("an end");
                *worker = start(folder, &range, rounds);
            }
        }
        for worker in &mut workers {
            assert!(worker.wait().expect("an end").success(), "a worker failed");
        }
        done.store(true, Ordering::SeqCst);
        assert!(reads.join().expect("the file can always be read") > 0);
    });
    assert!(!killed.is_empty());
    // None is lost: what the killed had is given back, and all of them can be had at once.
    let pool = open(folder);
    assert!(pool.leases().expect("the lock").is_empty());
    let all = Request { count: RANGE, contiguous: true, ..request(range.parse().expect("a range")) };
    assert_eq!(pool.acquire(&all).expect("every port").ports().len(), usize::from(RANGE));
    assert!(pool.notes().is_empty(), "nothing was ever damaged");
    fs::write(folder.join("killed.log"), killed.concat()).expect("a log");
    let verdict = judge(folder, &range).expect("no fault");
    println!("{verdict}");
    let taken = verdict.split(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count");
    assert!(taken >= rounds * WORKERS as u64, "{verdict}");
}
