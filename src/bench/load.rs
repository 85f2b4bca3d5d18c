//! The generator: a few threads, each with its share of the connections.
//!
//! All connections are open before the clock starts, on every thread at the same instant.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::flow::Desk;
use super::outcome::{Failure, Tally};
use super::plan::Step;
use super::threads;
use super::wire::Mode;

/// How long a connection may take to open.
pub(super) const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// How long what was begun may take beyond the end of the measurement.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Pause after an operation failed that is tried again: a target that refuses is no reason to spin.
pub(super) const FAILURE_PAUSE: Duration = Duration::from_millis(5);

/// Connections that each thread opens at a time: a full backlog is no test of the target.
const OPENING_MAX: usize = 64;

/// What the connections of one thread share during one measurement.
#[derive(Debug)]
pub(super) struct Course {
    /// Where the target is.
    pub(super) address: SocketAddr,
    /// What is measured.
    pub(super) step: Step,
    /// When the clock started.
    pub(super) start: Instant,
    /// When the measurement ends.
    pub(super) end: Instant,
    /// The buffers.
    pub(super) desk: Desk,
    /// What was counted.
    pub(super) tally: RefCell<Tally>,
}

/// One connection's part of the work.
#[derive(Debug)]
pub(super) struct Lane {
    /// Which of all connections of the measurement this is.
    pub(super) index: usize,
    /// What it shares with the others of its thread.
    pub(super) course: Rc<Course>,
}

/// Runs `work` on a connection each, all opened beforehand with the preamble of `mode`.
pub(super) fn on_connections<F, W>(
    address: SocketAddr,
    step: Step,
    mode: impl Fn(usize) -> Option<Mode> + Sync,
    work: F,
) -> Tally
where
    F: Fn(Lane, TcpStream) -> W + Sync,
    W: Future<Output = Result<(), Failure>> + 'static,
{
    on_threads(step, |share, gate| {
        let mut tally = Tally::new();
        let ran = threads::on_this_one(async {
            let mut streams = Vec::new();
            for (index, opened) in open_all(address, &share, &mode).await {
                match opened {
                    Ok(stream) => streams.push((index, stream)),
                    Err(failure) => tally.fail(failure),
                }
            }
            let course = Rc::new(Course::new(address, step, gate.pass()));
            let lanes = streams.into_iter().map(|(index, stream)| {
                let lane = Lane { index, course: Rc::clone(&course) };
                work(lane, stream)
            });
            finish(&course, lanes).await
        });
        conclude(tally, ran, share.len())
    })
}

/// Runs `work` without a connection, as often as there are connections at a time.
pub(super) fn without_connections<F, W>(address: SocketAddr, step: Step, work: F) -> Tally
where
    F: Fn(Lane) -> W + Sync,
    W: Future<Output = Result<(), Failure>> + 'static,
{
    on_threads(step, |share, gate| {
        let ran = threads::on_this_one(async {
            let course = Rc::new(Course::new(address, step, gate.pass()));
            let lanes = share.iter().map(|index| work(Lane { index: *index, course: Rc::clone(&course) }));
            finish(&course, lanes).await
        });
        conclude(Tally::new(), ran, share.len())
    })
}

impl Course {
    fn new(address: SocketAddr, step: Step, start: Instant) -> Self {
        let tally = RefCell::new(Tally::new());
        Self { address, step, start, end: start + step.duration, desk: Desk::new(), tally }
    }

    /// Notes that a connection's work is done: the last one to be so decides how long it all took.
    pub(super) fn work_done(&self) {
        let mut tally = self.tally.borrow_mut();
        tally.elapsed = tally.elapsed.max(self.start.elapsed());
    }

    /// Tells whether the measurement still goes on. A connection's work is done once at least: a machine that stood still
    /// for as long as the measurement took would have measured nothing, and found no fault.
    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.end
    }
}

/// The instant at which all threads begin: each says when it is ready, and waits.
struct Gate {
    ready: mpsc::Sender<()>,
    start: mpsc::Receiver<Instant>,
}

impl Gate {
    fn pass(self) -> Instant {
        drop(self.ready);
        // The other end is dropped only after it has sent.
        self.start.recv().unwrap_or_else(|_| Instant::now())
    }
}

fn on_threads(step: Step, body: impl Fn(Vec<usize>, Gate) -> Tally + Sync) -> Tally {
    let count = threads::count().min(step.connections).max(1);
    let mut whole = Tally::new();
    thread::scope(|scope| {
        let (ready, all_ready) = mpsc::channel::<()>();
        let mut starts = Vec::new();
        let mut running = Vec::new();
        for thread in 0..count {
            let share: Vec<usize> = (thread..step.connections).step_by(count).collect();
            let lost = share.len();
            let (go, start) = mpsc::channel();
            let gate = Gate { ready: ready.clone(), start };
            let body = &body;
            match thread::Builder::new().name(format!("load-{thread}")).spawn_scoped(scope, move || body(share, gate)) {
                Ok(handle) => running.push(handle),
                Err(_) => (0..lost).for_each(|_| whole.fail(Failure::Unconnected)),
            }
            starts.push(go);
        }
        drop(ready);
        // Ends when every thread has dropped its sender.
        let _ = all_ready.recv();
        let now = Instant::now();
        for start in starts {
            // A thread that could not even begin hears nothing.
            let _ = start.send(now);
        }
        for handle in running {
            match handle.join() {
                Ok(tally) => whole.add(&tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    whole
}

/// Adds what the lanes counted; without a loop no connection was made.
fn conclude(mut tally: Tally, ran: std::io::Result<Tally>, connections: usize) -> Tally {
    match ran {
        Ok(counted) => tally.add(&counted),
        Err(_) => (0..connections).for_each(|_| tally.fail(Failure::Unconnected)),
    }
    tally
}

async fn finish<W>(course: &Rc<Course>, lanes: impl Iterator<Item = W>) -> Tally
where
    W: Future<Output = Result<(), Failure>> + 'static,
{
    let until = course.end + GRACE;
    let mut running = JoinSet::new();
    for lane in lanes {
        running.spawn_local(async move { timeout_at(until, lane).await.unwrap_or(Err(Failure::TimedOut)) });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => course.tally.borrow_mut().fail(failure),
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    let mut tally = course.tally.take();
    if tally.elapsed.is_zero() {
        tally.elapsed = course.start.elapsed();
    }
    tally
}

async fn open_all(
    address: SocketAddr,
    share: &[usize],
    mode: &impl Fn(usize) -> Option<Mode>,
) -> Vec<(usize, Result<TcpStream, Failure>)> {
    let places = Rc::new(Semaphore::new(OPENING_MAX));
    let mut opening = JoinSet::new();
    for index in share.iter().copied() {
        let (places, mode) = (Rc::clone(&places), mode(index));
        opening.spawn_local(async move {
            // The semaphore is never closed.
            let _place = places.acquire().await;
            (index, open(address, mode).await)
        });
    }
    opening.join_all().await
}

/// Opens a connection and says on it what it is for.
pub(super) async fn open(address: SocketAddr, mode: Option<Mode>) -> Result<TcpStream, Failure> {
    let opened = timeout(OPEN_PATIENCE, async {
        let mut stream = TcpStream::connect(address).await.map_err(|_| Failure::Unconnected)?;
        stream.set_nodelay(true)?;
        if let Some(mode) = mode {
            stream.write_all(&mode.preamble()).await?;
        }
        Ok(stream)
    });
    opened.await.unwrap_or(Err(Failure::Unconnected))
}
