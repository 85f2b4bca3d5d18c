//! Options of TCP connections that every visitor and target gets: no delay for small writes, and a question after a
//! silence whether the peer is still there. And the queue before a listener.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// The silence after which the system asks whether a peer is still there, and the time between two questions.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Connections that wait to be accepted. The kernel takes the least of this and `net.core.somaxconn`, 4096 by default.
pub(super) const BACKLOG: i32 = 65_535;

/// Lets as many connections wait to be accepted as the system allows. The standard library asks for 128: of a rush of
/// visitors the rest would be dropped, and try again only after a second.
///
/// # Errors
/// When the system refuses.
pub fn lengthen_backlog(listener: &TcpListener) -> io::Result<()> {
    // Asking again is allowed, and changes the queue of a listener that is in use: listen(2) in Linux and POSIX.
    SockRef::from(listener).listen(BACKLOG)
}

/// Sets the options on a listener, its backlog with them. Linux hands them down to every connection that is accepted,
/// which saves five system calls for each.
///
/// # Errors
/// When the system refuses an option.
pub fn prepare_listener(listener: &TcpListener) -> io::Result<()> {
    lengthen_backlog(listener)?;
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// 128 is what the standard library asks for; the least that a system may be set to is not known here.
    #[test]
    fn a_rush_of_connections_waits_to_be_accepted() {
        let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("a limit");
        let rush = somaxconn.trim().parse::<usize>().expect("a number").min(1000);
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            lengthen_backlog(&listener).expect("a longer queue");
            let address = listener.local_addr().expect("an address");
            let mut waiting = Vec::new();
            for _ in 0..rush {
                let connecting = tokio::time::timeout(Duration::from_millis(900), TcpStream::connect(address));
                waiting.push(connecting.await.expect("before the kernel asks again").expect("connected"));
            }
            assert_eq!(waiting.len(), rush, "and nobody has accepted one");
        });
    }
}
