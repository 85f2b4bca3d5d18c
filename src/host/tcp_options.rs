//! Options of TCP connections that every visitor and target gets: no delay for small writes, and a question after a
//! silence whether the peer is still there.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// The silence after which the system asks whether a peer is still there, and the time between two questions.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Sets the options on a listener. Linux hands them down to every connection that is accepted, which saves five system
/// calls for each.
///
/// # Errors
/// When the system refuses an option.
pub fn prepare_listener(listener: &TcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())
}

/// Sets the options on an accepted connection, where the listener has not handed them down.
pub fn prepare_accepted(stream: &TcpStream) {
    if !cfg!(target_os = "linux") {
        prepare_connected(stream);
    }
}

/// Sets the options on a connection that was made.
pub fn prepare_connected(stream: &TcpStream) {
    // A socket that died meanwhile refuses options; whoever reads it finds out at once.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive());
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE)
}
