//! Tells the service manager how the service is, as `sd_notify(3)` and `sd_watchdog_enabled(3)` describe.

use std::collections::BTreeMap;
use std::time::Duration;

/// The variable that names the manager's socket: a path, or a name behind `@` in Linux's abstract namespace.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The variables of the watchdog: microseconds, and whose they are.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// A service manager that wants to be told; nobody, where none does.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    /// The socket as the manager names it; `None` where nobody listens.
    socket: Option<String>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads from the variables of this process whom to tell.
    #[must_use]
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Self {
        let socket = variables.get(SOCKET).filter(|name| name.starts_with(['/', '@'])).cloned();
        let process = variables.get(WATCHDOG_PROCESS).map(|pid| pid.parse::<u32>().ok());
        let ours = process.is_none_or(|pid| pid == Some(std::process::id()));
        let within = variables.get(WATCHDOG).and_then(|text| text.parse::<u64>().ok()).filter(|within| *within > 0);
        let watchdog = within.filter(|_| ours && socket.is_some()).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// Returns how often [`Self::alive`] is to be said: twice within the time that the manager waits.
    #[must_use]
    pub fn beat(&self) -> Option<Duration> {
        self.watchdog.map(|within| within / 2)
    }

    /// Says that the service does its work from now on.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that the service is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that the service is not stuck.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Says in a line of English what the service is doing, for whoever asks the manager.
    pub fn status(&self, text: &str) {
        // A line end would begin another assignment.
        self.tell(&format!("STATUS={}", text.replace(char::is_control, " ")));
    }

    fn tell(&self, assignment: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = imp::send(socket, assignment.as_bytes()) {
            // The manager notices by itself that it is not told, and says so; the service works on.
            tracing::debug!(%error, assignment, "the service manager was not told");
        }
    }
}

#[cfg(unix)]
mod imp {
    use std::io;
    use std::os::unix::net::UnixDatagram;

    pub(super) fn send(name: &str, message: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        // A manager whose queue is full must not hold the service up.
        socket.set_nonblocking(true)?;
        match name.strip_prefix('@') {
            Some(name) => abstract_to(&socket, name, message),
            None => socket.send_to(message, name).map(|_| ()),
        }
    }

    #[cfg(target_os = "linux")]
    fn abstract_to(socket: &UnixDatagram, name: &str, message: &[u8]) -> io::Result<()> {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let address = SocketAddr::from_abstract_name(name)?;
        socket.send_to_addr(message, &address).map(|_| ())
    }

    #[cfg(not(target_os = "linux"))]
    fn abstract_to(_: &UnixDatagram, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;

    pub(super) fn send(_: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn notifier(pairs: &[(&str, &str)]) -> Notifier {
        Notifier::from_variables(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()
    }

    #[test]
    fn the_manager_is_told_over_a_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let notifier = notifier(&[("NOTIFY_SOCKET", path.to_str().expect("text"))]);
        notifier.ready();
        notifier.status("connected to\nREADY=0");
        notifier.stopping();
        assert_eq!(heard(&socket), "READY=1");
        assert_eq!(heard(&socket), "STATUS=connected to READY=0");
        assert_eq!(heard(&socket), "STOPPING=1");
        drop(socket);
        notifier.alive();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_manager_is_told_over_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let name = format!("portwright-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        notifier(&[("NOTIFY_SOCKET", &format!("@{name}"))]).alive();
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        let of = |pid: &str| notifier(&[("NOTIFY_SOCKET", "/x"), ("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", pid)]);
        assert_eq!(of(&own).beat(), Some(Duration::from_secs(30)));
        assert_eq!((of("1").beat(), of("x").beat()), (None, None));
        assert_eq!(notifier(&[("WATCHDOG_USEC", "60000000")]).beat(), None, "nobody to tell");
        assert_eq!(notifier(&[("NOTIFY_SOCKET", "/x"), ("WATCHDOG_USEC", "0")]).beat(), None);
        assert!(notifier(&[("NOTIFY_SOCKET", "vsock:2:1")]).socket.is_none());
    }
}
