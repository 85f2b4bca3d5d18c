//! Upload and download, alone or both at once: the pattern as fast as it goes, compared byte by byte where it arrives.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::flow::{READ_BYTES, send_pattern};
use super::load::{Lane, on_connections};
use super::outcome::{Failure, Tally};
use super::plan::{Step, Test};
use super::wire::{Mode, REPLY_BYTES, Verdict, Verifier, number};

/// Measures a bulk test.
pub(super) fn bulk(address: SocketAddr, step: Step) -> Tally {
    let is_upload = move |index: usize| match step.test {
        Test::Upload => true,
        Test::Download => false,
        _ => index.is_multiple_of(2),
    };
    let source = Mode::Source(u64::try_from(step.duration.as_millis()).unwrap_or(u64::MAX));
    // A source begins when it is asked to, so it is asked only when the clock has started.
    let mode = move |index| is_upload(index).then_some(Mode::Sink);
    on_connections(address, step, mode, move |lane, stream| async move {
        if is_upload(lane.index) { upload(lane, stream).await } else { download(lane, stream, source).await }
    })
}

/// Sends until the end, then waits for the sink's word: only what it confirms is counted, and the time until then.
async fn upload(lane: Lane, mut stream: TcpStream) -> Result<(), Failure> {
    let course = &lane.course;
    let sent = send_pattern(&mut stream, &course.desk.pattern, course.step.size, || course.goes_on()).await;
    let mut reply = [0; REPLY_BYTES];
    // A sink that found a wrong byte may have said so before it stopped reading.
    let replied = stream.read_exact(&mut reply).await;
    let sent = sent?;
    replied?;
    let (came, right) = reply.split_at(REPLY_BYTES / 2);
    let (came, right) = (number(came).unwrap_or(0), number(right).unwrap_or(0));
    let mut tally = course.tally.borrow_mut();
    tally.bytes += right;
    tally.operations += 1;
    drop(tally);
    course.work_done();
    match (came == right, right == sent) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::Lost),
        (false, _) => Err(Failure::Damaged),
    }
}

/// Reads to the end and compares; what came until the end of the measurement is counted, or what came first after it.
async fn download(lane: Lane, mut stream: TcpStream, source: Mode) -> Result<(), Failure> {
    let course = &lane.course;
    tokio::io::AsyncWriteExt::write_all(&mut stream, &source.preamble()).await?;
    let mut verifier = Verifier::default();
    let (mut counted, mut elapsed) = (0, course.step.duration);
    loop {
        let seen = course
            .desk
            .read(&mut stream, READ_BYTES, |bytes, _| (bytes.len(), verifier.take(&course.desk.pattern, bytes)));
        let (count, verdict) = seen.await?;
        if course.goes_on() {
            counted = verifier.right;
        } else if counted == 0 {
            (counted, elapsed) = (verifier.right, course.start.elapsed());
        }
        match (count, verdict) {
            (_, Verdict::Wrong) => return Err(Failure::Damaged),
            (0, Verdict::More) => return Err(Failure::Lost),
            (_, Verdict::More) => {}
            (_, Verdict::Whole) => break,
        }
    }
    let mut tally = course.tally.borrow_mut();
    tally.bytes += counted;
    tally.operations += 1;
    tally.elapsed = tally.elapsed.max(elapsed);
    Ok(())
}
