//! Bytes arrive as they were sent, in order, once; a transfer that was cut looks cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::running::{Link, PATIENCE, Tunnel, lasts, wait_until};
use super::targets::{Target, content, digest, is_reset};
use super::toxic::{Toxic, Way};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

mod at_once {
    use super::{Link, two_hundred_connections_at_once_get_exactly_their_bytes};

    over_every_link!(two_hundred_connections_at_once_get_exactly_their_bytes);
}

over_both_links!(
    transfers_through_a_link_of_small_late_pieces_are_whole,
    transfers_over_a_link_that_is_cut_are_whole_or_visibly_reset,
    a_frozen_server_or_client_corrupts_nothing,
);

/// A target that checks what it gets: a header, an upload, and at the same time a download.
struct Judge {
    target: Target,
    /// Uploads that ended early and yet cleanly.
    truncated: Arc<AtomicUsize>,
}

impl Judge {
    fn sit() -> Self {
        let truncated = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&truncated);
        let target = Target::each(move |stream| judge(stream, Arc::clone(&counter)));
        Self { target, truncated }
    }
}

async fn judge(mut stream: TcpStream, truncated: Arc<AtomicUsize>) {
    let Ok(seed) = stream.read_u64().await else { return };
    let (Ok(up), Ok(down)) = (stream.read_u64().await, stream.read_u64().await) else { return };
    let (mut reads, mut writes) = stream.split();
    let answer = content(seed + 1, usize::try_from(down).expect("a length"));
    let sending = async { writes.write_all(&answer).await };
    let receiving = async {
        let (mut hash, mut left) = (Sha256::new(), up);
        let mut piece = vec![0; 64 * KIB];
        loop {
            let bytes = reads.read(&mut piece).await?;
            if bytes == 0 {
                break;
            }
            hash.update(&piece[..bytes]);
            left -= bytes as u64;
        }
        if left > 0 {
            truncated.fetch_add(1, SeqCst);
        }
        Ok::<[u8; 32], std::io::Error>(hash.finalize().into())
    };
    if let Ok(((), hash)) = tokio::try_join!(sending, receiving)
        && writes.write_all(&hash).await.is_ok()
    {
        let _ = writes.shutdown().await;
    }
}

/// How an exchange with the judge ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Reset,
    /// An end that is neither, with what was wrong.
    Wrong(String),
}

async fn exchange(address: SocketAddr, seed: u64, up: usize, down: usize) -> Outcome {
    let mut stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        // Turned away before the connection was complete.
        refused if is_reset(&refused) => return Outcome::Reset,
        Err(error) => return Outcome::Wrong(format!("no connection: {error}")),
    };
    let (mut reads, mut writes) = stream.split();
    let upload = content(seed, up);
    let sending = async {
        for number in [seed, up as u64, down as u64] {
            writes.write_u64(number).await?;
        }
        writes.write_all(&upload).await?;
        writes.shutdown().await
    };
    let receiving = async {
        let mut answer = Vec::with_capacity(down + 32);
        reads.read_to_end(&mut answer).await.map(|_| answer)
    };
    match tokio::time::timeout(2 * PATIENCE, async { tokio::try_join!(sending, receiving) }).await {
        Err(_) => Outcome::Wrong(format!("no end of {up} up and {down} down")),
        Ok(Err(error)) if is_reset(&Err::<(), _>(std::io::Error::from(error.kind()))) => Outcome::Reset,
        Ok(Err(error)) => Outcome::Wrong(error.to_string()),
        Ok(Ok(((), answer))) if answer.len() != down + 32 => {
            Outcome::Wrong(format!("a clean end after {} of {} bytes", answer.len(), down + 32))
        }
        Ok(Ok(((), answer))) if answer[..down] != content(seed + 1, down) => Outcome::Wrong("a wrong download".into()),
        Ok(Ok(((), answer))) if answer[down..] != digest(&upload) => Outcome::Wrong("a wrong upload".into()),
        Ok(Ok(_)) => Outcome::Whole,
    }
}

/// Runs these exchanges at once and returns how each ended.
async fn exchange_all(address: SocketAddr, sizes: Vec<(usize, usize)>, seed: u64) -> Vec<Outcome> {
    let exchanges = sizes.into_iter().enumerate().map(|(index, (up, down))| {
        let seed = seed + 2 * index as u64;
        tokio::spawn(exchange(address, seed, up, down))
    });
    let running: Vec<_> = exchanges.collect();
    let mut outcomes = Vec::new();
    for exchange in running {
        outcomes.push(exchange.await.expect("an exchange"));
    }
    outcomes
}

/// Numbers that look random, the same each time.
fn sizes(seed: u64, count: usize, max: usize) -> Vec<(usize, usize)> {
    let numbers = content(seed, count * 16);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let size = |bytes: &[u8]| {
        // Half of them tiny, because the ends of things are where mistakes are.
        let limit = if number(bytes) % 2 == 0 { 2 * KIB } else { max };
        usize::try_from(number(bytes) / 2).expect("64 bits") % limit
    };
    numbers.chunks(16).map(|pair| (size(&pair[..8]), size(&pair[8..]))).collect()
}

#[track_caller]
fn expect_all_whole(outcomes: &[Outcome]) {
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| **outcome != Outcome::Whole).take(3).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Whether a load test was asked for.
fn is_load() -> bool {
    std::env::var_os("PORTWRIGHT_LOAD").is_some_and(|value| value == "1")
}

fn two_hundred_connections_at_once_get_exactly_their_bytes(link: Link) {
    let tunnel = Tunnel::start(link);
    let judge = Judge::sit();
    let public = tunnel.map(judge.target.address);
    let size = if is_load() { 10 * MIB } else { MIB };
    expect_all_whole(&runtime().block_on(exchange_all(public, vec![(100, 100)], 1)));
    let before = tunnel.descriptors();
    expect_all_whole(&runtime().block_on(exchange_all(public, vec![(size, size); 200], 10)));
    assert_eq!(judge.truncated.load(SeqCst), 0);
    wait_until("no connection at the target", PATIENCE, || judge.target.open() == 0);
    tunnel.wait_for_descriptors(before, PATIENCE);
}

fn transfers_through_a_link_of_small_late_pieces_are_whole(link: Link) {
    let tunnel = Tunnel::through_proxy(link);
    let judge = Judge::sit();
    let public = tunnel.map(judge.target.address);
    let late = Toxic::Delay(Duration::from_millis(5), Duration::from_millis(20));
    tunnel.proxy().set(Way::ToServer, &[late, Toxic::Slice(1_000)]);
    tunnel.proxy().set(Way::ToClient, &[late, Toxic::Slice(333)]);
    expect_all_whole(&runtime().block_on(exchange_all(public, sizes(11, 40, 600 * KIB), 1_000)));
    tunnel.proxy().set_both(&[Toxic::Slice(1)]);
    expect_all_whole(&runtime().block_on(exchange_all(public, sizes(12, 10, 3 * KIB), 2_000)));
    assert_eq!(judge.truncated.load(SeqCst), 0);
}

/// Cuts the link again and again while transfers run. `PORTWRIGHT_SOAK_SECONDS` says for how long.
fn transfers_over_a_link_that_is_cut_are_whole_or_visibly_reset(link: Link) {
    let seconds = std::env::var("PORTWRIGHT_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    // A soak is about many bytes as well as about many cuts.
    let (shortest, largest) = if seconds < 60 { (300, 3 * MIB) } else { (2000, 24 * MIB) };
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tunnel = Tunnel::through_proxy(link);
    let judge = Judge::sit();
    let public = tunnel.map(judge.target.address);
    let (whole, broken, moved) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let visitors = |worker: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for round in 0.. {
            let seed = (worker << 40) + (round << 8);
            let sizes = sizes(seed, 6, largest);
            let outcomes = runtime.block_on(exchange_all(public, sizes.clone(), seed));
            for (outcome, (up, down)) in outcomes.into_iter().zip(sizes) {
                match outcome {
                    Outcome::Whole => {
                        whole.fetch_add(1, SeqCst);
                        moved.fetch_add(up + down, SeqCst);
                    }
                    Outcome::Reset => drop(broken.fetch_add(1, SeqCst)),
                    Outcome::Wrong(what) => panic!("{what}"),
                }
            }
            if Instant::now() > until {
                return;
            }
            // A link that is down resets visitors at once; they need not try as fast as they can.
            while tunnel.server.clients() == 0 && Instant::now() < until {
                lasts(Duration::from_millis(20));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..=2).map(|worker| scope.spawn(move || visitors(worker))).collect();
        for pause in content(13, 1 << 20) {
            if workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
            if Instant::now() < until {
                lasts(Duration::from_millis(shortest + 4 * u64::from(pause)));
                tunnel.proxy().cut();
            } else {
                lasts(Duration::from_millis(10));
            }
        }
    });
    let (whole, broken, moved) = (whole.into_inner(), broken.into_inner(), moved.into_inner());
    println!("{whole} transfers whole, {broken} visibly reset, {} MB", moved / 1_000_000);
    assert!(whole > 0 && broken > 0, "{whole} whole, {broken} reset");
    assert_eq!(judge.truncated.load(SeqCst), 0, "uploads that ended early and looked complete");
    tunnel.server.wait_for_clients(1, PATIENCE);
    wait_until("no connection at the target", PATIENCE, || judge.target.open() == 0);
    tunnel.expect_alive();
}

fn a_frozen_server_or_client_corrupts_nothing(link: Link) {
    use rustix::process::Signal;
    let tunnel = Tunnel::start(link);
    let judge = Judge::sit();
    let public = tunnel.map(judge.target.address);
    let runtime = runtime();
    for process in [&tunnel.server.process, &tunnel.client.process] {
        let transfers = runtime.spawn(exchange_all(public, vec![(8 * MIB, 8 * MIB); 6], 77));
        wait_until("transfers on their way", PATIENCE, || judge.target.open() == 6);
        process.signal(Signal::STOP);
        lasts(Duration::from_secs(2));
        process.signal(Signal::CONT);
        expect_all_whole(&runtime.block_on(transfers).expect("transfers"));
    }
    assert_eq!(tunnel.server.clients(), 1, "two seconds are no death");
    assert_eq!(judge.truncated.load(SeqCst), 0);
}
