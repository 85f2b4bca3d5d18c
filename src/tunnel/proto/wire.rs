//! Reading and writing of payloads. Every read is total: a payload that is too short or too long is a fault.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut, BytesMut};

use super::frame::{HEADER_BYTES, Header, kind};
use super::limits::{HOST_BYTES_MAX, TEXT_BYTES_MAX};
use super::{Fault, GoAwayReason, Kind, Open, Proxy, Reason};

/// The header and the stream id of a Data frame.
pub(crate) const DATA_HEAD_BYTES: usize = HEADER_BYTES + STREAM_ID_BYTES;

/// A stream id on the wire.
pub(crate) const STREAM_ID_BYTES: usize = 4;

/// The same, as lengths of the wire are counted.
pub(crate) const STREAM_ID_LENGTH: u32 = 4;

/// A payload that is read from its front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload<'a>(&'a [u8]);

impl<'a> Payload<'a> {
    /// A whole payload.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (front, rest) = self.0.split_first_chunk().ok_or(Fault::protocol("a payload that is too short"))?;
        self.0 = rest;
        Ok(*front)
    }

    /// Reads one byte.
    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Reads two bytes.
    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Reads four bytes.
    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Reads eight bytes.
    pub(crate) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Reads the id of a stream, which is not 0.
    pub(crate) fn stream(&mut self) -> Result<u32, Fault> {
        match self.u32()? {
            0 => Err(Fault::protocol("a frame for stream 0")),
            id => Ok(id),
        }
    }

    /// Reads so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(Fault::protocol("a payload that is too short"))?;
        self.0 = rest;
        Ok(front)
    }

    /// Takes what is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Makes sure that nothing is left.
    pub(crate) const fn end(self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::protocol("a payload that is too long")) }
    }

    fn addr(&mut self) -> Result<Option<SocketAddr>, Fault> {
        let ip = match self.u8()? {
            0 => return Ok(None),
            4 => IpAddr::V4(Ipv4Addr::from(self.array::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.array::<16>()?)),
            _ => return Err(Fault::protocol("an address of a family that does not exist")),
        };
        Ok(Some(SocketAddr::new(ip, self.u16()?)))
    }
}

/// Whether a host may stand in Open.
pub(crate) fn host_is_fit(host: &[u8]) -> bool {
    host.len() <= HOST_BYTES_MAX && host.iter().all(u8::is_ascii_graphic)
}

/// Reads Open behind its stream id: the credit, and the rest.
pub(crate) fn read_open(mut payload: Payload<'_>) -> Result<(u32, Open), Fault> {
    let kind = match payload.u8()? {
        1 => Kind::Tcp,
        2 => Kind::Udp,
        _ => return Err(Fault::protocol("a stream of a kind that does not exist")),
    };
    let proxy = match payload.u8()? {
        0 => Proxy::Off,
        1 => Proxy::V1,
        2 => Proxy::V2,
        _ => return Err(Fault::protocol("a PROXY header that does not exist")),
    };
    let credit = payload.u32()?;
    let target_port = payload.u16()?;
    let host_length = payload.u8()?;
    let host = payload.bytes(usize::from(host_length))?;
    if !host_is_fit(host) {
        return Err(Fault::protocol("a host that is not printable ASCII"));
    }
    let host = String::from_utf8_lossy(host).into_owned();
    let visitor = payload.addr()?;
    let public = payload.addr()?;
    payload.end()?;
    Ok((credit, Open { kind, proxy, target_port, host, visitor, public }))
}

/// Reads `GoAway`.
pub(crate) fn read_go_away(mut payload: Payload<'_>) -> Result<(u32, GoAwayReason, &str), Fault> {
    let last = payload.u32()?;
    let reason = GoAwayReason::from_code(payload.u16()?)?;
    let text = payload.rest();
    if text.len() > TEXT_BYTES_MAX {
        return Err(Fault::protocol("a text that is too long"));
    }
    let text = std::str::from_utf8(text).map_err(|_| Fault::protocol("a text that is not UTF-8"))?;
    Ok((last, reason, text))
}

fn put_header(out: &mut BytesMut, kind: u8, length: u32) {
    out.put_slice(&Header { kind, length }.bytes());
}

/// Writes a frame of a stream id alone.
pub(crate) fn put_stream(out: &mut BytesMut, kind: u8, id: u32) {
    put_header(out, kind, STREAM_ID_LENGTH);
    out.put_u32(id);
}

/// Writes Refused or Reset.
pub(crate) fn put_reason(out: &mut BytesMut, kind: u8, id: u32, reason: Reason) {
    put_header(out, kind, STREAM_ID_LENGTH + 1);
    out.put_u32(id);
    out.put_u8(reason.code());
}

/// Writes Opened or Credit.
pub(crate) fn put_credit(out: &mut BytesMut, kind: u8, id: u32, bytes: u32) {
    put_header(out, kind, STREAM_ID_LENGTH + 4);
    out.put_u32(id);
    out.put_u32(bytes);
}

/// Writes Ping or Pong.
pub(crate) fn put_ping(out: &mut BytesMut, kind: u8, opaque: u64) {
    put_header(out, kind, 8);
    out.put_u64(opaque);
}

/// Writes Data or Datagram in one piece; the caller has made sure that the payload fits.
pub(crate) fn put_payload(out: &mut BytesMut, kind: u8, id: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(STREAM_ID_LENGTH);
    put_header(out, kind, length);
    out.put_u32(id);
    out.put_slice(payload);
}

/// Returns the head of a Data frame.
pub(crate) fn data_head(id: u32, bytes: u32) -> [u8; DATA_HEAD_BYTES] {
    let mut head = [0; DATA_HEAD_BYTES];
    let header = Header { kind: kind::DATA, length: bytes.saturating_add(STREAM_ID_LENGTH) }.bytes();
    for (place, byte) in head.iter_mut().zip(header.into_iter().chain(id.to_be_bytes())) {
        *place = byte;
    }
    head
}

/// Writes Open; the caller has made sure that the host is fit.
pub(crate) fn put_open(out: &mut BytesMut, id: u32, credit: u32, open: &Open) {
    let mut payload = BytesMut::with_capacity(usize::from(u8::MAX) + 64);
    payload.put_u32(id);
    payload.put_u8(match open.kind {
        Kind::Tcp => 1,
        Kind::Udp => 2,
    });
    payload.put_u8(match open.proxy {
        Proxy::Off => 0,
        Proxy::V1 => 1,
        Proxy::V2 => 2,
    });
    payload.put_u32(credit);
    payload.put_u16(open.target_port);
    payload.put_u8(u8::try_from(open.host.len()).unwrap_or(u8::MAX));
    payload.put_slice(open.host.as_bytes());
    put_addr(&mut payload, open.visitor);
    put_addr(&mut payload, open.public);
    put_header(out, kind::OPEN, u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_slice(&payload);
}

fn put_addr(out: &mut BytesMut, addr: Option<SocketAddr>) {
    let Some(addr) = addr else {
        out.put_u8(0);
        return;
    };
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(addr.port());
}

/// Writes `GoAway`; a longer text is cut between two letters.
pub(crate) fn put_go_away(out: &mut BytesMut, last: u32, reason: GoAwayReason, text: &str) {
    let mut text = text;
    while text.len() > TEXT_BYTES_MAX {
        let shorter = text.char_indices().map(|(at, _)| at).rfind(|at| *at <= TEXT_BYTES_MAX).unwrap_or(0);
        text = text.get(..shorter).unwrap_or("");
    }
    put_header(out, kind::GO_AWAY, u32::try_from(text.len() + 6).unwrap_or(u32::MAX));
    out.put_u32(last);
    out.put_u16(reason.code());
    out.put_slice(text.as_bytes());
}
