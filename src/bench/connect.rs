//! New connections a second, and connections that only exist.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::load::{Course, without_connections};
use super::outcome::{Failure, Tally};
use super::plan::Step;

/// The byte that a new connection sends; no preamble begins with it.
const BYTE: u8 = b'c';

/// Pause after the system had no local port left: closed connections give theirs back within a second on loopback.
const NO_PORT_PAUSE: Duration = Duration::from_millis(5);

/// Measures new connections: connect, one byte there and back, close.
pub(super) fn connect(address: SocketAddr, step: Step) -> Tally {
    without_connections(address, step, move |lane| async move {
        while lane.course.goes_on() {
            one(&lane.course).await;
        }
        Ok(())
    })
}

/// A connection that fails is counted, and the next is made.
async fn one(course: &Rc<Course>) {
    let before = Instant::now();
    let connected = TcpStream::connect(course.address).await;
    let done = match connected {
        // The generator's own limit says nothing about the target.
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return sleep(NO_PORT_PAUSE).await,
        Err(_) => Err(Failure::Unconnected),
        Ok(mut stream) => echo_byte(&mut stream, BYTE).await,
    };
    let mut tally = course.tally.borrow_mut();
    match done {
        Ok(()) => tally.count(1, before.elapsed()),
        Err(failure) => tally.fail(failure),
    }
}

/// Sends a byte and wants the same one back.
pub(super) async fn echo_byte(stream: &mut TcpStream, byte: u8) -> Result<(), Failure> {
    stream.write_all(&[byte]).await?;
    let mut back = [0];
    stream.read_exact(&mut back).await?;
    if back == [byte] { Ok(()) } else { Err(Failure::Damaged) }
}
