//! The load test's own target: one port, on which the first bytes of a connection choose between sink, source and echo.
//!
//! Several threads have a loop each. The first accepts, and hands a connection to the least busy thread;
//! it keeps those that come one at a time, which then cost no hand-over.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as PlainListener, TcpStream as PlainStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::flow::{Desk, READ_BYTES, send_pattern};
use super::threads;
use super::wire::{Mode, Opening, PREAMBLE_BYTES, REPLY_BYTES, Verdict, Verifier, greeting, opening};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{lengthen_backlog, raise_open_files};
use crate::words::bench::BenchWords;

/// Reads of a plain echo, in bytes.
const ECHO_BYTES: usize = 64 * 1024;

/// Writes of a source, in bytes.
const SOURCE_BYTES: usize = 128 * 1024;

/// Longest that a source sends, however long it was asked to: an hour.
const SOURCE_TIME_MAX: Duration = Duration::from_hours(1);

/// Accepted connections that may wait for a thread; more wait in the kernel.
const HANDED_OVER_MAX: usize = 1024;

/// How long accepting pauses when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves on `listen` until `stop` completes; `ready` is told the address first.
///
/// # Errors
/// `Missing` when the address cannot be had; what `ready` returns.
pub fn serve<S: Future<Output = ()>>(
    listen: SocketAddr,
    ready: impl FnOnce(SocketAddr) -> Result<()>,
    stop: impl FnOnce() -> io::Result<S>,
) -> Result<()> {
    raise_open_files();
    let count = threads::count();
    let busy: Arc<[AtomicUsize]> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        let mut others = Vec::new();
        for at in 1..count {
            let (sender, receiver) = mpsc::channel(HANDED_OVER_MAX);
            others.push(sender);
            let busy = Arc::clone(&busy);
            // A thread that the system refuses has no receiver, and its share falls to the first.
            let started = thread::Builder::new()
                .name(format!("bench-{at}"))
                .spawn_scoped(scope, move || take_over(receiver, &busy, at));
            drop(started);
        }
        threads::on_this_one(async {
            let listener = bind(listen).map_err(|error| no_address(listen, &error))?;
            let address = listener.local_addr().map_err(|error| no_address(listen, &error))?;
            let stop = stop().map_err(|error| no_address(listen, &error))?;
            ready(address)?;
            tokio::select! {
                () = accept(&listener, &others, &busy) => {}
                () = stop => {}
            }
            drop(others);
            Ok(())
        })
        .map_err(|error| no_address(listen, &error))?
    })
}

fn no_address(listen: SocketAddr, error: &io::Error) -> Error {
    let words = BenchWords::NoAddress { address: listen.to_string(), why: error.to_string() };
    Error::new(ErrorKind::Missing, words).hint(BenchWords::HintNoAddress)
}

/// Listens with the longest backlog that the system allows: a full one is no test of what is in between.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = PlainListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    lengthen_backlog(&listener)?;
    Ok(listener)
}

async fn accept(listener: &TcpListener, others: &[mpsc::Sender<PlainStream>], busy: &Arc<[AtomicUsize]>) {
    let desk = Rc::new(Desk::new());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let loads = busy.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        let least = loads.min_by_key(|(_, count)| *count).map_or(0, |(at, _)| at);
        let stream = match least.checked_sub(1).and_then(|at| others.get(at)) {
            Some(other) => match hand_over(stream, other) {
                Some(kept) => kept,
                None => continue,
            },
            None => stream,
        };
        attend_here(stream, &desk, busy, 0);
    }
}

/// Gives a connection to another thread; returns it when that thread takes none.
fn hand_over(stream: TcpStream, other: &mpsc::Sender<PlainStream>) -> Option<TcpStream> {
    match other.try_reserve() {
        // A connection that the system does not let go is closed; its client sees that.
        Ok(place) => stream.into_std().map(|stream| place.send(stream)).err().and(None),
        Err(_) => Some(stream),
    }
}

fn take_over(mut receiver: mpsc::Receiver<PlainStream>, busy: &Arc<[AtomicUsize]>, at: usize) {
    // Without a loop of its own the thread ends, and with it the channel: the first thread keeps everything.
    let _ = threads::on_this_one(async move {
        let desk = Rc::new(Desk::new());
        while let Some(stream) = receiver.recv().await {
            if let Ok(stream) = TcpStream::from_std(stream) {
                attend_here(stream, &desk, busy, at);
            }
        }
    });
}

fn attend_here(stream: TcpStream, desk: &Rc<Desk>, busy: &Arc<[AtomicUsize]>, at: usize) {
    let (desk, busy) = (Rc::clone(desk), Arc::clone(busy));
    if let Some(count) = busy.get(at) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    tokio::task::spawn_local(async move {
        // A connection that fails is its client's to notice; the target has nobody to tell.
        let _ = attend(stream, &desk).await;
        if let Some(count) = busy.get(at) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    });
}

async fn attend(mut stream: TcpStream, desk: &Desk) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = Vec::with_capacity(PREAMBLE_BYTES);
    loop {
        let space = PREAMBLE_BYTES - first.len();
        if (&mut stream).take(space as u64).read_buf(&mut first).await? == 0 {
            return Ok(());
        }
        match opening(&first) {
            Opening::Undecided => {}
            Opening::Foreign => {
                stream.write_all(&first).await?;
                return echo(stream, desk, ECHO_BYTES).await;
            }
            Opening::Ours(mode) => return serve_mode(stream, desk, mode).await,
        }
    }
}

async fn serve_mode(mut stream: TcpStream, desk: &Desk, mode: Mode) -> io::Result<()> {
    match mode {
        Mode::Hello => stream.write_all(&greeting()).await,
        Mode::Sink => sink(stream, desk).await,
        Mode::Source(milliseconds) => {
            let until = Instant::now() + Duration::from_millis(milliseconds).min(SOURCE_TIME_MAX);
            send_pattern(&mut stream, &desk.pattern, SOURCE_BYTES, || Instant::now() < until).await.map(drop)
        }
        Mode::Echo(buffer) => {
            let buffer = usize::try_from(buffer).unwrap_or(READ_BYTES).clamp(1, READ_BYTES);
            echo(stream, desk, buffer).await
        }
        Mode::Digest(total) => digest(stream, desk, total).await,
    }
}

async fn echo(mut stream: TcpStream, desk: &Desk, buffer: usize) -> io::Result<()> {
    loop {
        let left = desk
            .read(&mut stream, buffer, |bytes, stream| {
                if bytes.is_empty() {
                    return None;
                }
                // What does not fit the socket is kept, and written before the next read.
                let written = stream.try_write(bytes).unwrap_or(0);
                Some(bytes.get(written..).unwrap_or_default().to_vec())
            })
            .await?;
        match left {
            None => return stream.shutdown().await,
            Some(left) => stream.write_all(&left).await?,
        }
    }
}

/// Sends back `total` bytes and says what came; one who sends more than that is not answered further.
async fn digest(mut stream: TcpStream, desk: &Desk, mut total: u64) -> io::Result<()> {
    let mut came = Sha256::new();
    while total > 0 {
        let most = usize::try_from(total).unwrap_or(ECHO_BYTES).min(ECHO_BYTES);
        let bytes = desk.read(&mut stream, most, |bytes, _| bytes.to_vec()).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        came.update(&bytes);
        total -= bytes.len() as u64;
        stream.write_all(&bytes).await?;
    }
    stream.write_all(&came.finalize()).await?;
    stream.shutdown().await
}

async fn sink(mut stream: TcpStream, desk: &Desk) -> io::Result<()> {
    let mut verifier = Verifier::default();
    let mut came = 0u64;
    let mut verdict = Verdict::More;
    while verdict == Verdict::More {
        let count = desk
            .read(&mut stream, READ_BYTES, |bytes, _| {
                verdict = verifier.take(&desk.pattern, bytes);
                bytes.len()
            })
            .await?;
        if count == 0 {
            return Ok(());
        }
        came += count as u64;
    }
    if verdict == Verdict::Whole {
        came = verifier.right;
    }
    let mut reply = [0; REPLY_BYTES];
    let (count, right) = reply.split_at_mut(REPLY_BYTES / 2);
    count.copy_from_slice(&came.to_be_bytes());
    right.copy_from_slice(&verifier.right.to_be_bytes());
    stream.write_all(&reply).await?;
    // The sender may still be writing; a close now would reset the connection and take the reply with it.
    while desk.read(&mut stream, READ_BYTES, |bytes, _| bytes.len()).await? > 0 {}
    Ok(())
}
