//! What stands behind the tunnel in these tests, who visits it, and the bytes that they exchange.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

/// The longest that one read or write of a test may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A target that serves many connections; it stops listening when the value goes.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Target {
    /// Serves each connection on a runtime of its own, so that thousands cost little.
    pub(super) fn each<S, F>(service: S) -> Self
    where
        S: Fn(tokio::net::TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        socket.listen(4096).expect("a listener");
        socket.set_nonblocking(true).expect("an option");
        let listener =
            runtime.block_on(async { tokio::net::TcpListener::from_std(socket.into()) }).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&accepted), Arc::clone(&open));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counters.0.fetch_add(1, SeqCst);
                counters.1.fetch_add(1, SeqCst);
                let (served, open) = (service(stream), Arc::clone(&counters.1));
                tokio::spawn(async move {
                    served.await;
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, accepted, open, runtime: Some(runtime) }
    }

    /// Returns what it is sent, until it is sent no more.
    pub(super) fn echo() -> Self {
        Self::each(async |mut stream: tokio::net::TcpStream| {
            let _ = stream.set_nodelay(true);
            let (mut reads, mut writes) = stream.split();
            if tokio::io::copy(&mut reads, &mut writes).await.is_ok() {
                let _ = writes.shutdown().await;
            }
        })
    }

    /// Sends `length` bytes of [`content`] and its end to everyone.
    pub(super) fn source(seed: u64, length: usize) -> Self {
        let bytes = Arc::new(content(seed, length));
        Self::each(move |mut stream: tokio::net::TcpStream| {
            let bytes = Arc::clone(&bytes);
            async move {
                if stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok() {
                    let _ = stream.read(&mut [0; 1]).await;
                }
            }
        })
    }

    /// Sends for ever.
    pub(super) fn endless() -> Self {
        Self::each(async |mut stream: tokio::net::TcpStream| {
            let bytes = vec![b'.'; 64 * 1024];
            while stream.write_all(&bytes).await.is_ok() {}
        })
    }

    /// Serves one connection in a thread, whose result is what `service` returned.
    pub(super) fn once<T: Send + 'static>(
        service: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (SocketAddr, JoinHandle<T>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            service(patient(stream))
        });
        (address, thread)
    }

    /// How many connections arrived.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// How many connections are being served.
    pub(super) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    stream.set_write_timeout(Some(PATIENCE)).expect("a deadline");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Connects, with deadlines for everything after it.
#[track_caller]
pub(super) fn visit(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap_or_else(|error| panic!("no connection to {address}: {error}")))
}

/// Connects from another of this machine's loopback addresses.
pub(super) fn visit_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::from(source), 0)).into()).expect("a loopback address");
    socket.connect(&address.into()).expect("a connection");
    patient(socket.into())
}

/// Bytes that look random and are the same for the same seed.
pub(super) fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Closes so that the other side sees a reset.
pub(super) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
}

/// Whether this is how a connection looks that the other side broke off.
pub(super) fn is_reset<T>(outcome: &io::Result<T>) -> bool {
    let broken = [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted, io::ErrorKind::BrokenPipe];
    matches!(outcome, Err(error) if broken.contains(&error.kind()))
}

/// Reads until the connection breaks; fails when it ends cleanly or stays silent.
#[track_caller]
pub(super) fn expect_reset(stream: &mut TcpStream) -> usize {
    let mut received = Vec::new();
    let outcome = stream.read_to_end(&mut received);
    assert!(is_reset(&outcome), "{outcome:?} after {} bytes", received.len());
    received.len()
}

/// Visits, and fails unless the visit is reset before anything was received. The reset may be faster than the connection.
#[track_caller]
pub(super) fn expect_turned_away(address: SocketAddr) {
    match TcpStream::connect(address) {
        Ok(stream) => assert_eq!(expect_reset(&mut patient(stream)), 0),
        refused => assert!(is_reset(&refused), "{refused:?}"),
    }
}

/// Says something and hears it back; the target echoes.
#[track_caller]
pub(super) fn expect_echo(stream: &mut TcpStream) {
    stream.write_all(b"are you there?").expect("words are taken");
    let mut heard = [0; 14];
    stream.read_exact(&mut heard).expect("an echo");
    assert_eq!(&heard, b"are you there?");
}

/// Asks an echo whether it can be reached now, and hides why not.
pub(super) fn is_served(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"?")?;
        let mut heard = [0];
        stream.read_exact(&mut heard)?;
        Ok(heard == *b"?")
    };
    ask().unwrap_or(false)
}

/// A visitor beside the one that a test is about: it exchanges a kilobyte with an echo again and again.
pub(super) struct Neighbour {
    stops: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What a neighbour saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) exchanges: usize,
    pub(super) worst: Duration,
    pub(super) error: Option<String>,
}

impl Neighbour {
    pub(super) fn start(address: SocketAddr) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stops);
        let mut stream = visit(address);
        let thread = thread::spawn(move || {
            let mut seen = Seen { exchanges: 0, worst: Duration::ZERO, error: None };
            let words = content(99, 1024);
            let mut heard = vec![0; words.len()];
            while !stop.load(SeqCst) {
                let started = Instant::now();
                if let Err(error) = stream.write_all(&words).and_then(|()| stream.read_exact(&mut heard)) {
                    seen.error = Some(error.to_string());
                    break;
                }
                assert!(heard == words, "a neighbour hears what it said");
                seen.worst = seen.worst.max(started.elapsed());
                seen.exchanges += 1;
                // A neighbour, not a load test.
                thread::park_timeout(Duration::from_millis(1));
            }
            seen
        });
        Self { stops, thread }
    }

    pub(super) fn stop(self) -> Seen {
        self.stops.store(true, SeqCst);
        self.thread.join().expect("a neighbour that reports")
    }

    /// Fails unless every exchange was answered within `limit`, and there were some.
    #[track_caller]
    pub(super) fn expect_undisturbed(self, limit: Duration) {
        let seen = self.stop();
        assert!(seen.error.is_none() && seen.exchanges > 0 && seen.worst <= limit, "{seen:?}");
    }
}

/// The address of a listener that answers no connection, because its queue is full. It lasts as long as the value.
pub(super) struct Blackhole {
    pub(super) address: SocketAddr,
    _held: Vec<socket2::Socket>,
}

impl Blackhole {
    pub(super) fn open() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let mut held = vec![listener];
        loop {
            let caller = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
            let is_full = caller.connect_timeout(&address.into(), Duration::from_millis(200)).is_err();
            held.push(caller);
            if is_full {
                return Self { address, _held: held };
            }
            assert!(held.len() < 100, "a queue of nothing fills up");
        }
    }
}

/// Reads everything up to the end.
#[track_caller]
pub(super) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        panic!("{error} after {} bytes", bytes.len());
    }
    bytes
}

/// Sends everything and finishes sending.
#[track_caller]
pub(super) fn send_all(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("bytes are taken");
    stream.shutdown(Shutdown::Write).expect("half-closed");
}
