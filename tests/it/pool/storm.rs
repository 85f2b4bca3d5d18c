//! Many processes at once on one pool, some of which are killed: no port twice, none lost, and the file can always be
//! read. What happened is judged afterwards, from what each process wrote down.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portwright::error::ErrorKind;
use portwright::host::boot_clock;
use portwright::lease::{Options, Pool, Request};
use portwright::model::PortRange;

use super::wait_for;
use crate::support::free_block;

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

/// Takes ports, uses them and gives them back, and writes down when it had them. One line is one write, so that a killed
/// process leaves whole lines.
fn work(folder: &Path, range: PortRange, rounds: u64) {
    let pool = open(folder);
    let name = format!("{}.log", std::process::id());
    let mut log = fs::OpenOptions::new().create(true).append(true).open(folder.join(name)).expect("a log");
    let mut note = |what: &str, first: u16| {
        log.write_all(format!("{what} {first} {}\n", boot_clock().as_nanos()).as_bytes()).expect("a line");
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
        assert_eq!(ports, (ports[0]..ports[0] + PORTS).collect::<Vec<_>>());
        note("has", ports[0]);
        let listeners: Vec<_> =
            ports.iter().map(|port| TcpListener::bind(("0.0.0.0", *port)).expect("a port of our own")).collect();
        drop(listeners);
        note("had", ports[0]);
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
    let first = free_block(10);
    let folder = tempfile::tempdir().expect("a folder");
    work(folder.path(), format!("{first}-{}", first + 9).parse().expect("a range"), 3);
    assert!(open(folder.path()).leases().expect("the lock").is_empty());
    assert_eq!(judge(folder.path(), &BTreeMap::new()), 3);
}

fn start(folder: &Path, range: &str, rounds: u64) -> Child {
    let mut worker = Command::new(std::env::current_exe().expect("this binary"));
    worker.args(["--exact", "pool::storm::a_worker_takes_uses_and_gives_back"]);
    worker.env(WORK, format!("{} {range} {rounds}", folder.display())).stdout(Stdio::null());
    worker.spawn().expect("a worker")
}

/// Reads every log, fails when two processes had a port at the same time, and returns how often ports were taken. A
/// process that was killed had its ports at least until then.
fn judge(folder: &Path, killed: &BTreeMap<u32, u128>) -> usize {
    let mut spans: BTreeMap<u16, Vec<(u128, u128, u32)>> = BTreeMap::new();
    let mut taken = 0;
    for entry in fs::read_dir(folder).expect("the folder").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let pid: u32 = path.file_stem().and_then(|name| name.to_str()).and_then(|pid| pid.parse().ok()).expect("a pid");
        let text = fs::read_to_string(&path).expect("a log");
        let mut open = None;
        let mut close = |open: &mut Option<(u16, u128)>, end| {
            if let Some((first, start)) = open.take() {
                (first..first + PORTS).for_each(|port| spans.entry(port).or_default().push((start, end, pid)));
            }
        };
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (first, at) = (words[1].parse().expect("a port"), words[2].parse().expect("a time"));
            if words[0] == "has" {
                assert_eq!(open.replace((first, at)), None, "{pid} took twice");
                taken += 1;
            } else {
                close(&mut open, at);
            }
        }
        if open.is_some() {
            close(&mut open, *killed.get(&pid).expect("only the killed do not give back"));
        }
    }
    for (port, spans) in &mut spans {
        spans.sort_unstable();
        for two in spans.windows(2) {
            assert!(two[0].1 <= two[1].0, "port {port} was had twice: {:?} and {:?}", two[0], two[1]);
        }
    }
    taken
}

#[test]
fn sixty_four_processes_some_of_them_killed_never_have_a_port_twice_and_lose_none() {
    let first = free_block(RANGE);
    let range = format!("{first}-{}", first + RANGE - 1);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let rounds = rounds();
    let mut workers: Vec<Child> = (0..WORKERS).map(|_| start(folder, &range, rounds)).collect();
    let mut killed = BTreeMap::new();
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
                killed.insert(worker.id(), boot_clock().as_nanos());
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
    assert!(judge(folder, &killed) as u64 >= rounds * WORKERS as u64);
    // None is lost: what the killed had is given back, and all of them can be had at once.
    let pool = open(folder);
    assert!(pool.leases().expect("the lock").is_empty());
    let all = Request { count: RANGE, contiguous: true, ..request(range.parse().expect("a range")) };
    assert_eq!(pool.acquire(&all).expect("every port").ports().len(), usize::from(RANGE));
    assert!(pool.notes().is_empty(), "nothing was ever damaged");
}
