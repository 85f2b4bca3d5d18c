//! The kernel's own answer: a real bind, closed at once.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::model::{Endpoint, ProbeOutcome, Protocol};

/// One waiting connection is enough: nothing is ever accepted.
const BACKLOG: i32 = 1;

/// "Address family not supported" (`EAFNOSUPPORT`, `WSAEAFNOSUPPORT`), which the standard library has no kind for.
#[cfg(target_os = "linux")]
const NO_FAMILY: i32 = 97;
#[cfg(target_os = "macos")]
const NO_FAMILY: i32 = 47;
#[cfg(windows)]
const NO_FAMILY: i32 = 10047;

/// Binds `endpoint` for real, says what the kernel answered and closes the socket; nothing is sent.
///
/// TCP is bound as servers and engines do it, with `SO_REUSEADDR` on Unix, and listens for some microseconds, because
/// two sockets with that option may both be bound but not both listen. UDP is bound without the option, which would
/// steal the port. `SO_REUSEPORT` is never set: with it a taken port looks free. On Windows no option is set at all,
/// and a wildcard beside a specific address may look free there; the list of sockets decides those.
#[must_use]
pub fn probe(endpoint: &Endpoint) -> ProbeOutcome {
    match bind(endpoint) {
        Ok(()) => ProbeOutcome::Free,
        Err(error) => outcome(&error),
    }
}

fn bind(endpoint: &Endpoint) -> io::Result<()> {
    let address = SocketAddr::new(endpoint.address, endpoint.port.get());
    let kind = match endpoint.protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if let IpAddr::V6(v6) = endpoint.address {
        // A mapped address on a socket that is `V6ONLY` is EINVAL.
        socket.set_only_v6(endpoint.v6only && v6.to_ipv4_mapped().is_none())?;
    }
    #[cfg(unix)]
    if endpoint.protocol == Protocol::Tcp {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if endpoint.protocol == Protocol::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(())
}

/// Binds a TCP socket that a service may listen on or connect from: with `SO_REUSEADDR` on Unix, so that the service may
/// bind the port beside it and listen, while connections of others no longer get it from the system.
pub fn bind_for_later(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn outcome(error: &io::Error) -> ProbeOutcome {
    match error.kind() {
        io::ErrorKind::AddrInUse => ProbeOutcome::InUse,
        io::ErrorKind::PermissionDenied => ProbeOutcome::Denied,
        io::ErrorKind::AddrNotAvailable => ProbeOutcome::NotLocal,
        _ if error.raw_os_error() == Some(NO_FAMILY) => ProbeOutcome::NoFamily,
        _ => ProbeOutcome::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, `EAFNOSUPPORT`, `EMFILE`.
    #[cfg(unix)]
    const REFUSALS: [i32; 5] = {
        use rustix::io::Errno;
        [
            Errno::ADDRINUSE.raw_os_error(),
            Errno::ACCESS.raw_os_error(),
            Errno::ADDRNOTAVAIL.raw_os_error(),
            Errno::AFNOSUPPORT.raw_os_error(),
            Errno::MFILE.raw_os_error(),
        ]
    };
    /// The same of Winsock: "Windows Sockets Error Codes", learn.microsoft.com.
    #[cfg(windows)]
    const REFUSALS: [i32; 5] = [10_048, 10_013, 10_049, 10_047, 10_024];

    #[test]
    fn every_refusal_of_the_kernel_has_its_own_answer() {
        let [in_use, denied, not_local, no_family, full] =
            REFUSALS.map(|code| outcome(&io::Error::from_raw_os_error(code)));
        assert_eq!(in_use, ProbeOutcome::InUse);
        assert_eq!(denied, ProbeOutcome::Denied);
        assert_eq!(not_local, ProbeOutcome::NotLocal);
        assert_eq!(no_family, ProbeOutcome::NoFamily);
        assert!(matches!(full, ProbeOutcome::Failed(text) if text.len() > 5));
    }

    #[test]
    fn an_address_of_another_host_is_not_local() {
        let port = crate::model::Port::new(18_080).expect("a port");
        let address = "192.0.2.1".parse().expect("an address");
        let endpoint = Endpoint { address, port, protocol: Protocol::Tcp, v6only: false };
        assert_eq!(probe(&endpoint), ProbeOutcome::NotLocal);
    }
}
