//! `sock_diag`: the kernel's own list of sockets, for what netstat2 does not ask: sockets that are bound but do not
//! listen, `IPV6_V6ONLY`, the state of UDP sockets and the cgroup of a socket. Works for every user.
//!
//! Layout from `linux/inet_diag.h` and `linux/netlink.h`; numbers are in the byte order of the host, ports and
//! addresses in that of the network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with, sockopt,
};

use crate::host::sockets::{Row, v6only};
use crate::model::{Endpoint, Port, Protocol, SocketState};

/// TCP states to ask for, one bit each: listening (10), and bound but inactive (13, from Linux 6.8 on).
pub(super) const LISTENING_AND_BOUND: u32 = 1 << 10 | 1 << 13;
/// Every TCP state up to and with 13.
pub(super) const EVERY_STATE: u32 = 0x3fff;
/// UDP: unconnected (7) and connected (1).
const UDP_STATES: u32 = 1 << 7 | 1 << 1;

/// The kernel fills at most 32 KiB of a dump into one message.
const BUFFER: usize = 64 << 10;
/// A dump is made while it is read, so a kernel that keeps us waiting this long is broken.
const PATIENCE: Duration = Duration::from_secs(2);
/// 65,535 ports on 64 addresses; beyond it the answer is not one to trust.
const MOST_ROWS: usize = 1 << 22;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const TCPDIAG_GETSOCK: u16 = 18;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_A_DUMP: u16 = 0x301;
const HEADER: usize = 16;
const MESSAGE: usize = 72;
/// No filter by address.
const NO_ADDRESS: [u8; 48] = [0; 48];
const ATTRIBUTE_HEADER: usize = 4;
const ATTRIBUTE_V6ONLY: u16 = 11;
const ATTRIBUTE_CGROUP: u16 = 21;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_UDP: u8 = 17;

/// Lists the TCP sockets in `tcp_states`, and all UDP sockets with a port.
pub(super) fn list(tcp_states: u32) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut buffer = vec![0; BUFFER];
    dump(&tcp_request(tcp_states), Protocol::Tcp, &mut buffer, &mut rows)?;
    for family in [AF_INET, AF_INET6] {
        dump(&udp_request(family), Protocol::Udp, &mut buffer, &mut rows)?;
    }
    Ok(rows)
}

fn dump(request: &[u8], protocol: Protocol, buffer: &mut [u8], rows: &mut Vec<Row>) -> io::Result<()> {
    let protocol_number = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol_number)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    send(&socket, request, SendFlags::empty())?;
    loop {
        let (length, _) = recv(&socket, &mut *buffer, RecvFlags::empty())?;
        let datagram = buffer.get(..length).unwrap_or_default();
        if read(datagram, protocol, rows)? == Dump::Complete {
            return Ok(());
        }
        if length == 0 || rows.len() > MOST_ROWS {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// The request for TCP of both families: the older form, which alone takes "any family". The kernel walks every bound
/// port to find sockets that do not listen, `TIME_WAIT` included: 7 ms for 35,000 of them, so once is enough.
fn tcp_request(states: u32) -> Vec<u8> {
    // Any family, no lengths of addresses, no extensions: the attributes wanted here come without asking.
    let mut body = vec![0; 4];
    body.extend(NO_ADDRESS);
    body.extend(states.to_ne_bytes());
    // No table of the debugging kind.
    body.extend([0; 4]);
    message(TCPDIAG_GETSOCK, &body)
}

fn udp_request(family: u8) -> Vec<u8> {
    let mut body = vec![family, IPPROTO_UDP, 0, 0];
    body.extend(UDP_STATES.to_ne_bytes());
    body.extend(NO_ADDRESS);
    message(SOCK_DIAG_BY_FAMILY, &body)
}

/// Puts the header before a request; sequence number and port are 0: one request a socket, answered to the sender.
fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(REQUEST_A_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

#[derive(Debug, PartialEq, Eq)]
enum Dump {
    Continues,
    Complete,
}

/// Reads the messages of one datagram into `rows`.
fn read(mut datagram: &[u8], protocol: Protocol, rows: &mut Vec<Row>) -> io::Result<Dump> {
    while !datagram.is_empty() {
        let length = u32_at(datagram, 0).and_then(|length| usize::try_from(length).ok());
        let kind = u16_at(datagram, 4);
        let body = length.and_then(|length| datagram.get(HEADER..length));
        let (Some(length), Some(kind), Some(body)) = (length, kind, body) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match kind {
            SOCK_DIAG_BY_FAMILY | TCPDIAG_GETSOCK => rows.extend(row(body, protocol)),
            NLMSG_DONE | NLMSG_ERROR => {
                let code = u32_at(body, 0).map_or(0, u32::cast_signed);
                return if code < 0 {
                    Err(io::Error::from_raw_os_error(code.saturating_neg()))
                } else {
                    Ok(Dump::Complete)
                };
            }
            _ => {}
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Dump::Continues)
}

fn row(message: &[u8], protocol: Protocol) -> Option<Row> {
    let family = *message.first()?;
    let state = state(*message.get(1)?, protocol);
    let port = Port::new(u16::from_be_bytes(array_at(message, 4)?))?;
    let address = match family {
        AF_INET => IpAddr::from(Ipv4Addr::from(array_at::<4>(message, 8)?)),
        AF_INET6 => IpAddr::from(Ipv6Addr::from(array_at::<16>(message, 8)?)),
        _ => return None,
    };
    let uid = u32_at(message, 64)?;
    let inode = u32_at(message, 68)?;
    let attributes = attributes(message.get(MESSAGE..)?);
    let v6only = v6only(address, attributes.v6only);
    let endpoint = Endpoint { address, port, protocol, v6only };
    Some(Row { endpoint, state, uid: Some(uid), inode, pid: None, cgroup: attributes.cgroup })
}

const fn state(number: u8, protocol: Protocol) -> SocketState {
    match (protocol, number) {
        (Protocol::Tcp, 10) => SocketState::Listen,
        (Protocol::Tcp, 6) => SocketState::TimeWait,
        // A bound socket is asked for as state 13 and answered as 7, closed.
        (Protocol::Tcp, 7 | 13) => SocketState::Bound,
        (Protocol::Udp, 7) => SocketState::Open,
        _ => SocketState::Connected,
    }
}

#[derive(Default)]
struct Attributes {
    v6only: bool,
    cgroup: Option<u64>,
}

fn attributes(mut bytes: &[u8]) -> Attributes {
    let mut found = Attributes::default();
    while let (Some(length), Some(kind)) = (u16_at(bytes, 0).map(usize::from), u16_at(bytes, 2)) {
        let Some(value) = bytes.get(ATTRIBUTE_HEADER..length) else { break };
        match kind {
            ATTRIBUTE_V6ONLY => found.v6only = value.first().is_some_and(|flag| *flag != 0),
            ATTRIBUTE_CGROUP => found.cgroup = array_at(value, 0).map(u64::from_ne_bytes),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn array_at<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], start: usize) -> Option<u16> {
    array_at(bytes, start).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], start: usize) -> Option<u32> {
    array_at(bytes, start).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listener_on_all_of_ipv6() -> Vec<u8> {
        let mut body = vec![0; MESSAGE];
        body[0] = AF_INET6;
        body[1] = 10;
        body[4..6].copy_from_slice(&8000_u16.to_be_bytes());
        body[64..68].copy_from_slice(&1000_u32.to_ne_bytes());
        body[68..72].copy_from_slice(&4711_u32.to_ne_bytes());
        body.extend([5_u16.to_ne_bytes(), ATTRIBUTE_V6ONLY.to_ne_bytes()].concat());
        body.extend([1, 0, 0, 0]);
        body.extend([12_u16.to_ne_bytes(), ATTRIBUTE_CGROUP.to_ne_bytes()].concat());
        body.extend(1982_u64.to_ne_bytes());
        body
    }

    #[test]
    fn a_message_gives_address_port_user_number_v6only_and_cgroup() {
        let mut datagram = message(SOCK_DIAG_BY_FAMILY, &listener_on_all_of_ipv6());
        datagram.extend(message(NLMSG_DONE, &[0; 4]));
        let mut rows = Vec::new();
        assert_eq!(read(&datagram, Protocol::Tcp, &mut rows).expect("well formed"), Dump::Complete);
        let row = rows.first().expect("one row");
        assert_eq!(row.endpoint.to_string(), "[::]:8000/tcp");
        assert!(row.endpoint.v6only);
        assert_eq!((row.state, row.uid, row.inode, row.cgroup), (SocketState::Listen, Some(1000), 4711, Some(1982)));
    }

    #[test]
    fn a_refusal_of_the_kernel_is_its_error() {
        let datagram = message(NLMSG_ERROR, &(-2_i32).to_ne_bytes());
        let error = read(&datagram, Protocol::Tcp, &mut Vec::new()).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(read(&bytes, Protocol::Udp, &mut Vec::new()));
            drop(read(&message(SOCK_DIAG_BY_FAMILY, &bytes), Protocol::Tcp, &mut Vec::new()));
        }
    }
}
