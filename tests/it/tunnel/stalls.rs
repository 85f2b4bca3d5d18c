//! Whoever stops reading stops nobody but itself, and gets everything once it reads again.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::running::{Link, PATIENCE, Tunnel, lasts, wait_until};
use super::targets::{Neighbour, Target, content, digest, expect_echo, read_all, send_all, visit};

const MIB: usize = 1024 * 1024;

/// How long a stall lasts: longer than the two seconds after which the predecessor gave up.
const STALL: Duration = Duration::from_secs(3);

over_every_link!(
    visitors_that_never_read_stop_nobody_and_get_everything_later,
    a_target_that_stops_reading_stops_nobody_and_gets_everything_later,
);

/// Exchanges with an echo, opens connections and downloads something large, all while `STALL` lasts.
fn others_go_on(echo: SocketAddr, source: SocketAddr, expected: &[u8]) {
    let neighbour = Neighbour::start(echo);
    let (stop, stopped) = mpsc::channel::<()>();
    let newcomers = thread::spawn(move || {
        let mut count = 0;
        while stopped
            .recv_timeout(Duration::from_millis(50))
            .is_err_and(|error| error == mpsc::RecvTimeoutError::Timeout)
        {
            expect_echo(&mut visit(echo));
            count += 1;
        }
        count
    });
    let mut download = visit(source);
    lasts(STALL);
    assert!(read_all(&mut download) == expected, "a large download beside the stall");
    drop(stop);
    assert!(newcomers.join().expect("served newcomers") > 10);
    neighbour.expect_undisturbed(Duration::from_secs(1));
}

fn visitors_that_never_read_stop_nobody_and_get_everything_later(link: Link) {
    let tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let (large, small) = (Target::source(5, 50 * MIB), Target::source(6, 20 * MIB));
    let (large_port, small_port, echo_port) =
        (tunnel.map(large.address), tunnel.map(small.address), tunnel.map(echo.address));
    let mut stalled: Vec<TcpStream> = (0..2).map(|_| visit(large_port)).collect();
    wait_until("both at the target", PATIENCE, || large.accepted() == 2);
    others_go_on(echo_port, small_port, &content(6, 20 * MIB));
    for process in [&tunnel.server.process, &tunnel.client.process] {
        let resident = process.resident_kib();
        assert!(resident < 160 * 1024, "{resident} KiB for two stalled downloads");
    }
    let expected = digest(&content(5, 50 * MIB));
    for visitor in &mut stalled {
        assert_eq!(digest(&read_all(visitor)), expected);
    }
}

fn a_target_that_stops_reading_stops_nobody_and_gets_everything_later(link: Link) {
    let tunnel = Tunnel::start(link);
    let (go_on, waits) = mpsc::channel::<()>();
    let (address, receiving) = Target::once(move |mut stream| {
        stream.read_exact(&mut [0; 1000]).expect("a beginning");
        waits.recv().expect("a sign");
        digest(&read_all(&mut stream))
    });
    let (echo, small) = (Target::echo(), Target::source(6, 5 * MIB));
    let public = tunnel.map(address);
    let uploading = thread::spawn(move || {
        let mut visitor = visit(public);
        visitor.write_all(&[0; 1000]).expect("a beginning");
        send_all(&mut visitor, &content(7, 50 * MIB));
        assert!(read_all(&mut visitor).is_empty());
    });
    others_go_on(tunnel.map(echo.address), tunnel.map(small.address), &content(6, 5 * MIB));
    go_on.send(()).expect("the target waits");
    assert_eq!(receiving.join().expect("the target"), digest(&content(7, 50 * MIB)));
    uploading.join().expect("the visitor");
}
