//! Messages there and back: one after the other as fast as they return, or at a fixed pace.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::flow::READ_BYTES;
use super::load::{Course, on_connections};
use super::outcome::{Failure, Tally};
use super::plan::Step;
use super::wire::{Mode, PERIOD};

/// Reads of the echo that answers, in bytes.
const ECHO_BYTES: u64 = 64 * 1024;

/// How far the next message of a connection begins from the last in the pattern: a prime, so that no message is like
/// the one before it, whatever its size.
const STRIDE: usize = 7_919;

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
            while before < course.end {
                exchange(course, &mut stream, place).await?;
                let now = Instant::now();
                course.tally.borrow_mut().count(step.size as u64, now - before);
                before = now;
                place = (place + STRIDE) % PERIOD;
            }
            Ok(())
        },
    )
}

/// Returns the preamble for messages: none for a plain echo.
pub(super) fn echo_mode(step: Step) -> Option<Mode> {
    (!step.echo).then_some(Mode::Echo(ECHO_BYTES))
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
