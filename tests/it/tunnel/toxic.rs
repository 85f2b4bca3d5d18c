//! A TCP proxy that misbehaves on demand, for all of its connections or for those that are open now.
//!
//! Without a toxic it carries bytes, half-closes and resets as they are. What a toxic adds is decided by a seed.

use std::collections::VecDeque;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// What happens to one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toxic {
    /// Each piece arrives later by the first, and by up to the second at random; the order stays.
    Delay(Duration, Duration),
    /// Bytes a second.
    Rate(u64),
    /// Pieces of at most so many bytes.
    Slice(usize),
    /// Nothing is read any more, so that the sender sees a full window.
    Stall,
    /// Ends both directions cleanly after so many bytes.
    CloseAfter(u64),
    /// Resets both sides after so many bytes.
    ResetAfter(u64),
    /// Takes everything and passes nothing on, not even the end.
    HalfOpen,
    /// As if the cable were cut: nothing is taken, nothing is passed on, nothing ends.
    Blackhole,
}

/// The direction that a toxic is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// Bytes that one direction holds while it delays them: a fast path of a hundred milliseconds.
const DELAYED_MAX: usize = 16 * 1024 * 1024;

/// Bytes that one direction reads at once.
const CHUNK: usize = 64 * 1024;

#[derive(Debug, Clone, Default)]
struct Rules {
    ways: [Vec<Toxic>; 2],
    /// A toxic for both directions of all connections with a lower number.
    struck: (u64, Option<Toxic>),
    /// Connections with a lower number are reset.
    cut_below: u64,
    refuses: bool,
}

impl Rules {
    fn of(&self, way: Way, number: u64) -> Vec<Toxic> {
        match self.struck {
            (below, Some(toxic)) if number < below => vec![toxic],
            _ => self.ways[way as usize].clone(),
        }
    }

    /// Whether the ends of this connection must not hear of each other.
    fn is_severed(&self, number: u64) -> bool {
        let severs = |toxic: &Toxic| matches!(toxic, Toxic::HalfOpen | Toxic::Blackhole);
        [Way::ToServer, Way::ToClient].into_iter().any(|way| self.of(way, number).iter().any(severs))
    }
}

/// The proxy; its connections are reset when it goes.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    rules: watch::Sender<Rules>,
    accepted: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Proxy {
    pub(super) fn start(upstream: SocketAddr, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let address = listener.local_addr().expect("an address");
        let rules = watch::Sender::new(Rules::default());
        let accepted = Arc::new(AtomicUsize::new(0));
        let (counter, sender) = (Arc::clone(&accepted), rules.clone());
        runtime.spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                let number = counter.fetch_add(1, SeqCst) as u64;
                tokio::spawn(connection(inbound, upstream, number, sender.subscribe(), seed));
            }
        });
        Self { address, rules, accepted, runtime: Some(runtime) }
    }

    /// Replaces the toxics of one direction, for connections of now and later.
    pub(super) fn set(&self, way: Way, toxics: &[Toxic]) {
        self.rules.send_modify(|rules| rules.ways[way as usize] = toxics.to_vec());
    }

    /// Replaces the toxics of both directions.
    pub(super) fn set_both(&self, toxics: &[Toxic]) {
        self.set(Way::ToServer, toxics);
        self.set(Way::ToClient, toxics);
    }

    /// Does this to the connections of now and to no later one.
    pub(super) fn strike(&self, toxic: Toxic) {
        let below = self.accepted() as u64;
        self.rules.send_modify(|rules| rules.struck = (below, Some(toxic)));
    }

    /// Resets every connection.
    pub(super) fn cut(&self) {
        let below = self.accepted() as u64;
        self.rules.send_modify(|rules| rules.cut_below = below);
    }

    /// Resets new connections, or no longer does.
    pub(super) fn refuse(&self, refuses: bool) {
        self.rules.send_modify(|rules| rules.refuses = refuses);
    }

    /// How many connections were ever made, refused ones included.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How one direction, or the whole connection, ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Finished,
    Reset,
    Closed,
}

fn set_to_reset(stream: &TcpStream) {
    // Fails only for a socket that is gone already.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

async fn connection(
    mut inbound: TcpStream,
    upstream: SocketAddr,
    number: u64,
    mut rules: watch::Receiver<Rules>,
    seed: u64,
) {
    if rules.borrow().refuses {
        return set_to_reset(&inbound);
    }
    let is_through = |rules: &Rules| !rules.of(Way::ToServer, number).contains(&Toxic::Blackhole);
    if rules.wait_for(is_through).await.is_err() {
        return;
    }
    let Ok(mut outbound) = TcpStream::connect(upstream).await else {
        return set_to_reset(&inbound);
    };
    for stream in [&inbound, &outbound] {
        stream.set_nodelay(true).expect("an option");
    }
    let end = {
        let (client_reads, client_writes) = inbound.split();
        let (server_reads, server_writes) = outbound.split();
        let up = Direction::new(Way::ToServer, number, rules.clone(), seed);
        let down = Direction::new(Way::ToClient, number, rules.clone(), seed);
        let both = async {
            let finished = |end: End| if end == End::Finished { Ok(()) } else { Err(end) };
            tokio::try_join!(async { finished(up.carry(client_reads, server_writes).await) }, async {
                finished(down.carry(server_reads, client_writes).await)
            })
        };
        tokio::select! {
            both = both => both.err().unwrap_or(End::Finished),
            _ = rules.wait_for(|rules| number < rules.cut_below) => End::Reset,
        }
    };
    match end {
        End::Finished => {}
        End::Reset => [&inbound, &outbound].into_iter().for_each(set_to_reset),
        End::Closed => {
            // A socket that is closed with unread bytes resets; these are read away, for a moment.
            let drained = async {
                let _ = (inbound.shutdown().await, outbound.shutdown().await);
                let mut nothing = tokio::io::sink();
                let _ = tokio::io::copy(&mut inbound, &mut nothing).await;
                let _ = tokio::io::copy(&mut outbound, &mut nothing).await;
            };
            let _ = timeout(Duration::from_secs(1), drained).await;
        }
    }
}

/// One direction of one connection.
struct Direction {
    way: Way,
    number: u64,
    rules: watch::Receiver<Rules>,
    random: u64,
    /// Bytes read, and when they may be written.
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    /// When the end may be passed on.
    ended: Option<Instant>,
    /// When the rate allows the next piece.
    free_at: Instant,
    carried: u64,
}

impl Direction {
    fn new(way: Way, number: u64, rules: watch::Receiver<Rules>, seed: u64) -> Self {
        let random = seed ^ (number << 1) ^ way as u64;
        let (queue, now) = (VecDeque::new(), Instant::now());
        Self { way, number, rules, random, queue, queued: 0, ended: None, free_at: now, carried: 0 }
    }

    /// The next number below `limit`, by splitmix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// When something that was read now may be written, never before what was read earlier.
    fn due(&mut self, toxics: &[Toxic]) -> Instant {
        let mut due = Instant::now();
        for toxic in toxics {
            if let Toxic::Delay(delay, jitter) = toxic {
                let jitter_ms = self.below(u64::try_from(jitter.as_millis()).expect("a short delay") + 1);
                due += *delay + Duration::from_millis(jitter_ms);
            }
        }
        self.queue.back().map_or(due, |(last, _)| due.max(*last))
    }

    /// An error that must not reach the other side is waited out.
    async fn failed(&self) -> End {
        if self.rules.borrow().is_severed(self.number) {
            return pending().await;
        }
        End::Reset
    }

    async fn carry(mut self, mut reader: ReadHalf<'_>, mut writer: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; CHUNK];
        loop {
            let toxics = self.rules.borrow_and_update().of(self.way, self.number);
            let has = |wanted: Toxic| toxics.contains(&wanted);
            let is_held = has(Toxic::Stall) || has(Toxic::Blackhole);
            let delays = toxics.iter().any(|toxic| matches!(toxic, Toxic::Delay(..)));
            let room = if delays { DELAYED_MAX } else { 1 };
            let mut piece = CHUNK;
            for toxic in &toxics {
                match *toxic {
                    Toxic::Slice(bytes) => piece = piece.min(bytes),
                    Toxic::CloseAfter(bytes) | Toxic::ResetAfter(bytes) => {
                        piece = piece.min(usize::try_from(bytes - self.carried.min(bytes)).unwrap_or(CHUNK));
                        if self.carried >= bytes {
                            return if has(Toxic::CloseAfter(bytes)) { End::Closed } else { End::Reset };
                        }
                    }
                    _ => {}
                }
            }
            let next = self.queue.front().map(|(due, _)| *due).or(self.ended).map(|due| due.max(self.free_at));
            let is_due = next.is_some_and(|due| due <= Instant::now());
            if is_due && self.queue.is_empty() && !is_held {
                return if writer.shutdown().await.is_ok() { End::Finished } else { self.failed().await };
            }
            let front = self.queue.front().map_or(&[][..], |(_, bytes)| &bytes[..piece.min(bytes.len())]);
            tokio::select! {
                changed = self.rules.changed() => if changed.is_err() { return End::Reset },
                read = reader.read(&mut buffer), if self.ended.is_none() && self.queued < room && !is_held => {
                    if !self.take(read.ok(), &buffer, &toxics) {
                        return self.failed().await;
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() && !is_due && !is_held => {}
                written = writer.write(front), if is_due && !front.is_empty() && !is_held => match written {
                    Ok(bytes) => self.gave(bytes, &toxics),
                    Err(_) => return self.failed().await,
                },
            }
        }
    }

    /// Queues what was read; false when the sender broke off.
    fn take(&mut self, read: Option<usize>, buffer: &[u8], toxics: &[Toxic]) -> bool {
        let swallows = toxics.contains(&Toxic::HalfOpen);
        match read {
            Some(0) if swallows => self.ended = Some(Instant::now() + Duration::from_hours(24)),
            Some(0) => self.ended = Some(self.due(toxics)),
            Some(_) if swallows => {}
            Some(bytes) => {
                let due = self.due(toxics);
                self.queue.push_back((due, buffer[..bytes].to_vec()));
                self.queued += bytes;
            }
            None => return false,
        }
        true
    }

    fn gave(&mut self, bytes: usize, toxics: &[Toxic]) {
        self.carried += bytes as u64;
        self.queued -= bytes;
        if let Some((_, front)) = self.queue.front_mut() {
            front.drain(..bytes);
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
        for toxic in toxics {
            if let Toxic::Rate(bytes_per_s) = toxic {
                let cost = Duration::from_nanos(bytes as u64 * 1_000_000_000 / bytes_per_s);
                self.free_at = self.free_at.max(Instant::now()) + cost;
            }
        }
    }
}

mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::Shutdown;
    use std::time::{Duration, Instant};

    use super::super::targets::{Target, content, is_reset, reset, visit};
    use super::{Proxy, Toxic, Way};

    #[test]
    fn without_a_toxic_bytes_half_closes_and_resets_pass_as_they_are() {
        let echo = Target::echo();
        let proxy = Proxy::start(echo.address, 1);
        let mut visitor = visit(proxy.address);
        visitor.write_all(&content(1, 300_000)).expect("words");
        visitor.shutdown(Shutdown::Write).expect("half-closed");
        let mut echoed = Vec::new();
        visitor.read_to_end(&mut echoed).expect("an echo");
        assert!(echoed == content(1, 300_000));

        let (address, broken) = Target::once(|mut stream| {
            stream.write_all(b"!").expect("a sign");
            stream.read(&mut [0; 1])
        });
        let proxy = Proxy::start(address, 1);
        let mut visitor = visit(proxy.address);
        visitor.read_exact(&mut [0; 1]).expect("a sign");
        reset(visitor);
        assert!(is_reset(&broken.join().expect("the target")));
        assert_eq!(proxy.accepted(), 1);
    }

    #[test]
    fn each_toxic_does_what_its_name_says() {
        let echo = Target::echo();
        let proxy = Proxy::start(echo.address, 1);
        let ask = |bytes: usize| {
            let started = Instant::now();
            let mut visitor = visit(proxy.address);
            let mut answer = Vec::new();
            visitor.write_all(&content(2, bytes)).expect("words");
            visitor.shutdown(Shutdown::Write).expect("half-closed");
            let end = visitor.read_to_end(&mut answer);
            (started.elapsed(), answer.len(), is_reset(&end))
        };
        proxy.set(
            Way::ToServer,
            &[Toxic::Delay(Duration::from_millis(100), Duration::from_millis(50)), Toxic::Slice(9)],
        );
        let (took, bytes, _) = ask(1_000);
        assert!(took >= Duration::from_millis(100) && bytes == 1_000, "{took:?}");
        proxy.set(Way::ToServer, &[Toxic::Rate(100_000)]);
        let (took, bytes, _) = ask(100_000);
        assert!(took >= Duration::from_millis(300) && bytes == 100_000, "{took:?}");
        proxy.set(Way::ToServer, &[]);
        proxy.set(Way::ToClient, &[Toxic::CloseAfter(500)]);
        assert_eq!((ask(1_000).1, ask(1_000).2), (500, false));
        proxy.set(Way::ToClient, &[Toxic::ResetAfter(500)]);
        assert!(ask(1_000).2);
        for silent in [Toxic::Stall, Toxic::HalfOpen, Toxic::Blackhole] {
            proxy.set_both(&[silent]);
            let mut visitor = visit(proxy.address);
            visitor.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
            visitor.write_all(b"hello").expect("words");
            let error = visitor.read(&mut [0; 5]).expect_err("silence");
            assert!(!is_reset(&Err::<(), _>(error)));
            proxy.set_both(&[]);
            visitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
            if silent != Toxic::HalfOpen {
                visitor.read_exact(&mut [0; 5]).expect("what was held");
            }
            proxy.cut();
            assert!(is_reset(&visitor.read(&mut [0; 1])));
        }
        proxy.refuse(true);
        assert!(is_reset(&visit(proxy.address).read(&mut [0; 1])));
    }
}
