//! New connections a second, and connections that only exist.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::exchange::echo_mode;
use super::load::{Course, FAILURE_PAUSE, on_connections, without_connections};
use super::outcome::{Failure, Tally};
use super::plan::{Kind, Step};

/// The byte that a new connection sends; no preamble begins with it.
const BYTE: u8 = b'c';

/// Pause after the system had no local port left: closed connections give theirs back within a second on loopback.
const NO_PORT_PAUSE: Duration = Duration::from_millis(5);

/// Time between two idle connections that are asked whether they live, so that they do not all wake at once.
const ASK_PACE: Duration = Duration::from_micros(50);

/// Measures new connections: connect, one byte there and back, close.
pub(super) fn connect(address: SocketAddr, step: Step) -> Tally {
    without_connections(address, step, move |lane| async move {
        loop {
            one(&lane.course).await;
            if !lane.course.goes_on() {
                break;
            }
        }
        lane.course.work_done();
        Ok(())
    })
}

/// Holds connections open, and finds out at the end which of them still live.
pub(super) fn idle(address: SocketAddr, step: Step) -> Tally {
    on_connections(
        address,
        step,
        move |_| echo_mode(step),
        move |lane, mut stream| async move {
            let course = &lane.course;
            if step.kind != Kind::Silent {
                // A forwarder may accept long before the far side is there.
                echo_byte(&mut stream).await?;
            }
            let turn = ASK_PACE.saturating_mul(u32::try_from(lane.index).unwrap_or(u32::MAX));
            sleep_until(course.end + turn).await;
            let before = Instant::now();
            if step.kind == Kind::Silent {
                still_open(&stream)?;
                course.tally.borrow_mut().operations += 1;
            } else {
                echo_byte(&mut stream).await?;
                course.tally.borrow_mut().count(1, before.elapsed());
            }
            course.tally.borrow_mut().elapsed = step.duration;
            Ok(())
        },
    )
}

/// A silent connection lives as long as there is no end to read.
fn still_open(stream: &TcpStream) -> Result<(), Failure> {
    match stream.try_read(&mut [0; 1024]) {
        Ok(0) => Err(Failure::Closed),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(Failure::Closed),
        _ => Ok(()),
    }
}

/// A connection that fails is counted, and the next is made.
async fn one(course: &Rc<Course>) {
    let before = Instant::now();
    let connected = TcpStream::connect(course.address).await;
    let done = match connected {
        // The generator's own limit says nothing about the target.
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return sleep(NO_PORT_PAUSE).await,
        Err(_) => Err(Failure::Unconnected),
        Ok(_) if course.step.kind == Kind::Silent => Ok(()),
        Ok(mut stream) => echo_byte(&mut stream).await,
    };
    match done {
        Ok(()) => course.tally.borrow_mut().count(1, before.elapsed()),
        Err(failure) => {
            course.tally.borrow_mut().fail(failure);
            sleep(FAILURE_PAUSE).await;
        }
    }
}

/// Sends a byte and wants the same one back.
async fn echo_byte(stream: &mut TcpStream) -> Result<(), Failure> {
    stream.write_all(&[BYTE]).await?;
    let mut back = [0];
    stream.read_exact(&mut back).await?;
    if back == [BYTE] { Ok(()) } else { Err(Failure::Damaged) }
}
