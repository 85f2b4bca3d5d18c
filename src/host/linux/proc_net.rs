//! `/proc/net/{tcp,tcp6,udp,udp6}`: the list of sockets where `sock_diag` is not to be had (gVisor, WSL 1).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::sockets::Row;
use crate::model::{Endpoint, Port, Protocol, SocketState};

const LISTS: [(&str, Protocol); 4] = [
    ("/proc/net/tcp", Protocol::Tcp),
    ("/proc/net/tcp6", Protocol::Tcp),
    ("/proc/net/udp", Protocol::Udp),
    ("/proc/net/udp6", Protocol::Udp),
];

/// Lists all sockets with a port; a family that the kernel does not have is no error.
pub(super) fn list() -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (path, protocol) in LISTS {
        match fs::read_to_string(path) {
            Ok(text) => rows.extend(parse(&text, protocol)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

fn parse(text: &str, protocol: Protocol) -> impl Iterator<Item = Row> {
    text.lines().skip(1).filter_map(move |line| row(line, protocol))
}

fn row(line: &str, protocol: Protocol) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    let state = fields.nth(1)?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let address = address_of(address)?;
    let port = Port::new(u16::from_str_radix(port, 16).ok()?)?;
    let state = match (protocol, state) {
        (Protocol::Tcp, "0A") => SocketState::Listen,
        (Protocol::Tcp, "06") => SocketState::TimeWait,
        (Protocol::Udp, "07") => SocketState::Open,
        _ => SocketState::Connected,
    };
    let endpoint = Endpoint { address, port, protocol, v6only: false };
    Some(Row { endpoint, state, uid: Some(uid), inode, pid: None, cgroup: None })
}

/// Reads words of 32 bits in the byte order of the host.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |start: usize| {
        let digits = hex.get(start..start.checked_add(8)?)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 637 1 00000000681755bb 100 0 0 10 0
   1: 0100007F:A1B2 0100007F:1F90 06 00000000:00000000 03:00000E1D 00000000     0        0 0 3 0000000000000000
";
    const UDP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  204: 00000000000000000000000001000000:14E9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 15213 2 00000000a0b1c2d3 0
";

    #[test]
    fn the_text_lists_are_read() {
        let tcp: Vec<Row> = parse(TCP, Protocol::Tcp).collect();
        let told: Vec<_> = tcp.iter().map(|row| (row.endpoint.to_string(), row.state, row.inode)).collect();
        let expected =
            [("0.0.0.0:2024/tcp", SocketState::Listen, 637), ("127.0.0.1:41394/tcp", SocketState::TimeWait, 0)];
        assert_eq!(told, expected.map(|(endpoint, state, inode)| (endpoint.to_owned(), state, inode)));
        let udp = parse(UDP6, Protocol::Udp).next().expect("a row");
        assert_eq!(udp.endpoint.to_string(), "[::1]:5353/udp");
        assert_eq!((udp.state, udp.uid, udp.inode), (SocketState::Open, Some(108), 15213));
    }

    #[test]
    fn lines_that_are_cut_off_are_left_out() {
        for end in 0..TCP.len() {
            if let Some(cut) = TCP.get(..end) {
                assert!(parse(cut, Protocol::Tcp).count() <= 2);
            }
        }
    }
}
