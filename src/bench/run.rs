//! The run as a whole: finds out who answers, then goes through rounds and steps, target and direct in turns.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use super::load::OPEN_PATIENCE;
use super::outcome::{Outcome, Tally, ratio};
use super::plan::{Kind, Step, Test};
use super::wire::{Mode, greeting};
use super::{bulk, connect, exchange, integrity};
use crate::error::{Error, ErrorKind, Result};
use crate::host::raise_open_files;
use crate::words::bench::BenchWords;

/// An address that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As it was typed.
    pub name: String,
    /// Where it answered.
    pub address: SocketAddr,
}

/// Which of two addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one to be tested.
    Target,
    /// The one to compare with.
    Direct,
}

/// One step with what came out.
#[derive(Debug, Clone)]
pub struct Row {
    /// The step.
    pub step: Step,
    /// Against the target.
    pub target: Outcome,
    /// Against the address to compare with.
    pub direct: Option<Outcome>,
    /// How fast the target was as a share of direct.
    pub ratio: Option<f64>,
}

/// Finds an address of `name` (`HOST:PORT`) behind which a target of this kind answers.
///
/// # Errors
/// `Missing` when nobody answers, or somebody else does.
pub fn reach(name: &str, kind: Kind) -> Result<Target> {
    let addresses = name.to_socket_addrs().map_err(|error| unreachable(name, &error))?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, OPEN_PATIENCE) {
            Ok(stream) => {
                is_of_kind(stream, kind, name)?;
                return Ok(Target { name: name.to_owned(), address });
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(name, &last))
}

fn unreachable(name: &str, error: &io::Error) -> Error {
    let words = BenchWords::Unreachable { target: name.to_owned(), why: error.to_string() };
    Error::new(ErrorKind::Missing, words).hint(BenchWords::HintUnreachable)
}

fn is_of_kind(mut stream: TcpStream, kind: Kind, name: &str) -> Result<()> {
    let asked = Mode::Hello.preamble();
    let answer = match kind {
        Kind::Silent => return Ok(()),
        Kind::Bench => ask(&mut stream, asked),
        // The first byte alone could be a preamble's.
        Kind::Echo => ask(&mut stream, *b"portwright bench"),
    };
    let target = name.to_owned();
    let (words, hint) = match (kind, answer) {
        (Kind::Bench, Ok(answer)) if answer == greeting() => return Ok(()),
        (Kind::Bench, Ok(answer)) if answer == asked => (BenchWords::OnlyEcho { target }, BenchWords::HintOnlyEcho),
        (Kind::Echo, Ok(answer)) if &answer == b"portwright bench" => return Ok(()),
        (Kind::Echo, _) => (BenchWords::NoEcho { target }, BenchWords::HintNoEcho),
        _ => (BenchWords::Stranger { target }, BenchWords::HintStranger),
    };
    Err(Error::new(ErrorKind::Missing, words).hint(hint))
}

/// Sends 16 bytes and waits for as many.
fn ask(stream: &mut TcpStream, question: [u8; 16]) -> io::Result<[u8; 16]> {
    stream.set_read_timeout(Some(OPEN_PATIENCE))?;
    stream.set_write_timeout(Some(OPEN_PATIENCE))?;
    stream.write_all(&question)?;
    let mut answer = [0; 16];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Runs every step `rounds` times; `on_step` is told of each measurement before it begins.
pub fn run(
    target: &Target,
    direct: Option<&Target>,
    steps: &[Step],
    rounds: u32,
    on_step: &mut dyn FnMut(&Step, Side),
) -> Vec<Row> {
    raise_open_files();
    let mut tallies: Vec<(Vec<Tally>, Vec<Tally>)> = steps.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for round in 0..rounds {
        for (step, (of_target, of_direct)) in steps.iter().zip(&mut tallies) {
            // The other goes first each time, so that neither always finds the machine warmed up.
            let target_first = round.is_multiple_of(2);
            for side in if target_first { [Side::Target, Side::Direct] } else { [Side::Direct, Side::Target] } {
                let (address, kept) = match (side, direct) {
                    (Side::Target, _) => (target.address, &mut *of_target),
                    (Side::Direct, Some(direct)) => (direct.address, &mut *of_direct),
                    (Side::Direct, None) => continue,
                };
                on_step(step, side);
                kept.push(measure(address, *step));
            }
        }
    }
    steps.iter().zip(tallies).map(|(step, (of_target, of_direct))| row(*step, &of_target, &of_direct)).collect()
}

fn row(step: Step, of_target: &[Tally], of_direct: &[Tally]) -> Row {
    Row {
        step,
        target: Outcome::of(of_target),
        direct: (!of_direct.is_empty()).then(|| Outcome::of(of_direct)),
        ratio: ratio(step.test, of_target, of_direct),
    }
}

fn measure(address: SocketAddr, step: Step) -> Tally {
    match step.test {
        Test::Upload | Test::Download | Test::Bandwidth => bulk::bulk(address, step),
        Test::Connect => connect::connect(address, step),
        Test::Idle => connect::idle(address, step),
        Test::Latency => exchange::paced(address, step),
        Test::Reliability => integrity::reliability(address, step),
        Test::PingPong | Test::Sizes | Test::Concurrency => exchange::ping_pong(address, step),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::super::plan::TESTS;
    use super::super::serve::serve;
    use super::*;

    /// A thread that the system wakes only after the end has done its work all the same.
    #[test]
    fn every_test_measures_something_however_short_it_is() {
        let (told, address) = mpsc::channel();
        let (enough, had_enough) = oneshot::channel::<()>();
        let serving = thread::spawn(move || {
            let ready = move |address| {
                told.send(address).expect("awaited");
                Ok(())
            };
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            serve(listen, ready, || Ok(async { drop(had_enough.await) }))
        });
        let address = address.recv().expect("an address");
        for test in TESTS {
            let step = Step { test, connections: 3, size: 1000, duration: Duration::ZERO, kind: Kind::Bench };
            let tally = measure(address, step);
            assert!(tally.operations >= 3 && tally.bytes >= 3 && tally.failures.is_empty(), "{test:?}: {tally:?}");
            assert!(!tally.elapsed.is_zero() || test == Test::Idle, "{test:?}: {tally:?}");
        }
        enough.send(()).expect("serving");
        serving.join().expect("no panic").expect("served");
    }
}
