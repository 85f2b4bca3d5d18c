//! The header that tells a target who its visitor is: the PROXY protocol of `HAProxy`, versions 1 and 2
//! (`doc/proxy-protocol.txt` in its repository).
//!
//! Pure.

use std::net::{IpAddr, SocketAddr};

use super::proto::{Kind, Proxy};

/// The twelve bytes that begin version 2 (section 2.2).
const SIGNATURE: [u8; 12] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A];

/// Version 2, command PROXY.
const PROXIED: u8 = 0x21;

/// Version 2, command LOCAL: nothing is known about the visitor.
const LOCAL: u8 = 0x20;

/// Returns the header for a connection that `visitor` made to `public`; empty when none is wanted.
pub(crate) fn header(proxy: Proxy, kind: Kind, visitor: Option<SocketAddr>, public: Option<SocketAddr>) -> Vec<u8> {
    let pair = visitor.zip(public).map(|(visitor, public)| (canonical(visitor), canonical(public)));
    let pair = pair.filter(|(visitor, public)| visitor.is_ipv4() == public.is_ipv4());
    match proxy {
        Proxy::Off => Vec::new(),
        Proxy::V1 => text(pair),
        Proxy::V2 => bytes(kind, pair),
    }
}

/// An IPv4 visitor of a listener for both families is an IPv4 visitor.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn text(pair: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((visitor, public)) = pair else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if visitor.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (visitor.ip(), public.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", visitor.port(), public.port()).into_bytes()
}

fn bytes(kind: Kind, pair: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((visitor, public)) = pair else {
        header.extend([LOCAL, 0, 0, 0]);
        return header;
    };
    let transport = match kind {
        Kind::Tcp => 1,
        Kind::Udp => 2,
    };
    let (family, length) = if visitor.is_ipv4() { (0x10, 12) } else { (0x20, 36) };
    header.extend([PROXIED, family | transport, 0, length]);
    for address in [visitor.ip(), public.ip()] {
        match address {
            IpAddr::V4(v4) => header.extend(v4.octets()),
            IpAddr::V6(v6) => header.extend(v6.octets()),
        }
    }
    header.extend(visitor.port().to_be_bytes());
    header.extend(public.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }

    #[test]
    fn version_1_is_the_line_of_the_specification() {
        let line = |visitor, public| String::from_utf8(header(Proxy::V1, Kind::Tcp, visitor, public)).expect("text");
        assert_eq!(
            line(address("255.255.255.255:65535"), address("192.168.0.11:443")),
            "PROXY TCP4 255.255.255.255 192.168.0.11 65535 443\r\n"
        );
        assert_eq!(line(address("[::1]:1"), address("[2001:db8::2]:2")), "PROXY TCP6 ::1 2001:db8::2 1 2\r\n");
        assert_eq!(
            line(address("[::ffff:10.0.0.1]:1"), address("[::ffff:10.0.0.2]:2")),
            "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"
        );
        assert_eq!(line(None, address("10.0.0.1:1")), "PROXY UNKNOWN\r\n");
        assert_eq!(line(address("10.0.0.1:1"), address("[::1]:1")), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_2_has_the_bytes_of_the_specification() {
        let made = header(Proxy::V2, Kind::Tcp, address("127.0.0.1:4660"), address("10.1.2.3:80"));
        let wanted = [&SIGNATURE[..], &[0x21, 0x11, 0, 12], &[127, 0, 0, 1, 10, 1, 2, 3], &[0x12, 0x34, 0, 80]];
        assert_eq!(made, wanted.concat());
        let made = header(Proxy::V2, Kind::Udp, address("[::1]:1"), address("[::2]:2"));
        assert_eq!((&made[12..16], made.len()), (&[0x21, 0x22, 0, 36][..], 16 + 36));
        assert_eq!(header(Proxy::V2, Kind::Tcp, None, None)[12..], [0x20, 0, 0, 0]);
        assert!(header(Proxy::Off, Kind::Tcp, None, None).is_empty());
    }
}
