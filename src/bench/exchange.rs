//! Messages there and back: one after the other as fast as they return, or at a fixed pace.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::flow::READ_BYTES;
use super::load::{Course, on_connections};
use super::outcome::{Failure, Tally, as_float};
use super::plan::{Kind, Step};
use super::wire::{Mode, PERIOD};

/// Reads of the echo that answers, in bytes.
const ECHO_BYTES: u64 = 64 * 1024;

/// How far the next message of a connection begins from the last in the pattern: a prime, so that no message is like
/// the one before it, whatever its size.
const STRIDE: usize = 7_919;

/// How often a connection sends a message at a fixed pace.
const PACE: Duration = Duration::from_millis(10);

/// The least time between two messages of all connections together, so that many connections are no flood.
const PACE_OF_ALL: Duration = Duration::from_micros(50);

/// Measures messages that follow each other without a pause.
pub(super) fn ping_pong(address: SocketAddr, step: Step) -> Tally {
    on_connections(
        address,
        step,
        move |_| echo_mode(step),
        move |lane, mut stream| async move {
            let course = &lane.course;
            let mut place = lane.index * STRIDE;
            let mut before = Instant::now();
            loop {
                exchange(course, &mut stream, place).await?;
                let now = Instant::now();
                course.tally.borrow_mut().count(step.size as u64, now - before);
                if now >= course.end {
                    break;
                }
                before = now;
                place = (place + STRIDE) % PERIOD;
            }
            course.work_done();
            Ok(())
        },
    )
}

/// Measures messages at a fixed pace.
///
/// A message that is due while the last one is still under way is timed from when it was due: the wait is the
/// target's doing. One that is sent late because the clock woke us late is timed from when it was sent.
pub(super) fn paced(address: SocketAddr, step: Step) -> Tally {
    let lanes = u32::try_from(step.connections).unwrap_or(u32::MAX);
    let interval = PACE.max(PACE_OF_ALL.saturating_mul(lanes));
    on_connections(
        address,
        step,
        move |_| echo_mode(step),
        move |lane, mut stream| async move {
            let course = &lane.course;
            let mut place = lane.index * STRIDE;
            let mut due = course.start + interval.mul_f64(as_float(lane.index as u64) / f64::from(lanes));
            loop {
                let is_late = Instant::now() >= due;
                sleep_until(due).await;
                let from = if is_late { due } else { Instant::now() };
                exchange(course, &mut stream, place).await?;
                course.tally.borrow_mut().count(step.size as u64, from.elapsed());
                due += interval;
                if due >= course.end {
                    break;
                }
                place = (place + STRIDE) % PERIOD;
            }
            course.work_done();
            Ok(())
        },
    )
}

/// Returns the preamble for messages: none for a plain echo.
pub(super) fn echo_mode(step: Step) -> Option<Mode> {
    (step.kind == Kind::Bench).then_some(Mode::Echo(ECHO_BYTES))
}

/// Sends a message and takes it back, both at once: a large one does not fit the buffers on the way.
pub(super) async fn exchange(course: &Course, stream: &mut TcpStream, place: usize) -> Result<(), Failure> {
    let message = course.desk.pattern.piece(place, course.step.size);
    let (mut sent, mut returned) = (0, 0);
    poll_fn(|context| {
        while returned < message.len() {
            let mut moved = false;
            if let Some(rest @ [_, ..]) = message.get(sent..)
                && let Poll::Ready(written) = Pin::new(&mut *stream).poll_write(context, rest)
            {
                sent += written?;
                moved = true;
            }
            let mut compare = |bytes: &[u8], _: &TcpStream| {
                let expected = message.get(returned..returned + bytes.len());
                (bytes.len(), expected == Some(bytes))
            };
            match course.desk.poll_read(context, stream, READ_BYTES, &mut compare) {
                Poll::Ready(read) => match read? {
                    (0, _) => return Poll::Ready(Err(Failure::Closed)),
                    (count, true) => returned += count,
                    (_, false) => return Poll::Ready(Err(Failure::Damaged)),
                },
                Poll::Pending if moved => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}
