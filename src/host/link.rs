//! Options of a long-lived TCP connection, so that a dead link is noticed.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// How long sent bytes may stay unacknowledged, and how long a silent peer may be gone, before the system gives the
/// connection up; its own defaults are minutes and hours.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// The silence after which the system asks whether the peer is there, and the pause between two questions.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Makes the system send small writes at once and give up a dead connection within some 15 s: on Linux unacknowledged
/// bytes count (`TCP_USER_TIMEOUT`), elsewhere keep-alive questions alone.
pub fn watch_link(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1))?;
    give_up_after(&socket, SILENCE_MAX)
}

/// Takes back the limit on unacknowledged bytes: Linux also counts a peer that acknowledges but has no room
/// (`tcp_probe_timer` in `tcp_timer.c`), and the reader of a data connection may pause for as long as it likes.
pub fn let_link_wait(stream: &TcpStream) -> io::Result<()> {
    give_up_after(&SockRef::from(stream), Duration::ZERO)
}

/// Zero stands for the system's own limit.
#[cfg(target_os = "linux")]
fn give_up_after(socket: &SockRef<'_>, silence: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(silence))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Linux")]
fn give_up_after(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watched_link_has_its_options() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        watch_link(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE_MAX));
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
    }
}
