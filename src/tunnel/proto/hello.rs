//! The frames before a session: `Hello`, `Challenge`, `Proof`, `Welcome`, `Rejected`, and `Join` of a data connection.
//!
//! `encode` writes a whole frame with its header; `decode` reads a payload and answers any bytes with a message or a
//! fault. Optional fields that a later version may add are skipped.

use bytes::{BufMut, BytesMut};

use super::Fault;
use super::frame::{HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, kind};
use super::limits::Limits;

/// The version of the session that follows; the header's version byte stays what version 1 made it.
pub(crate) const SESSION_VERSION: u16 = 1;

/// The longest payload of a frame of the handshake: all of ours are below 1 KiB, the rest is for later fields.
pub(crate) const HANDSHAKE_BYTES_MAX: u32 = 4096;

/// The longest name or agent in an optional field, in bytes; it ends up in logs and lists.
const FIELD_BYTES_MAX: usize = 256;

/// The longest text of `Rejected`, in bytes: two sentences.
const REJECTED_BYTES_MAX: usize = 512;

/// The smallest frame limit that can be worked with: the longest control frame, `Open`, takes some 310 bytes.
const FRAME_BYTES_MIN: u32 = 1024;

/// The largest credit; more would overflow the 31 bits that are counted.
const CREDIT_MAX: u32 = i32::MAX.cast_unsigned();

/// Tags of optional fields.
const TAG_NAME: u8 = 1;
const TAG_AGENT: u8 = 2;
const TAG_CLOCK: u8 = 3;

const SHORT: Fault = Fault::protocol("a frame of the handshake is cut short");
const LONG: Fault = Fault::protocol("a frame of the handshake is too long");

/// The client begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The lowest version that the client speaks.
    pub(crate) lowest: u16,
    /// The highest version that the client speaks.
    pub(crate) highest: u16,
    /// Fresh random bytes.
    pub(crate) nonce: [u8; 32],
    /// Which token the client is about to prove.
    pub(crate) token: [u8; 8],
    /// What the client is ready to hold.
    pub(crate) limits: Limits,
    /// The name that the client wishes for.
    pub(crate) name: Option<String>,
    /// Program and version.
    pub(crate) agent: Option<String>,
}

/// The server asks for proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The version that both will speak.
    pub(crate) version: u16,
    /// Fresh random bytes.
    pub(crate) nonce: [u8; 32],
    /// Program and version.
    pub(crate) agent: Option<String>,
    /// The server's clock, in seconds since 1970.
    pub(crate) clock_s: Option<u64>,
}

/// The client proves that it holds the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof(pub(crate) [u8; 32]);

/// The server proves that it knows the token, and the session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// The name of the session, for `Join`.
    pub(crate) session: [u8; 16],
    /// The server's proof.
    pub(crate) signature: [u8; 32],
    /// What the server is ready to hold.
    pub(crate) limits: Limits,
    /// The client's name as the server resolved it.
    pub(crate) name: Option<String>,
    /// Program and version.
    pub(crate) agent: Option<String>,
}

/// The server does not begin a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Why.
    pub(crate) code: RejectCode,
    /// When to try again, in seconds; 0 leaves it to the client.
    pub(crate) retry_after_s: u16,
    /// The reason for people, in English.
    pub(crate) text: String,
}

/// The first frame of a data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Join {
    /// The session that it belongs to.
    pub(crate) session: [u8; 16],
    /// The stream that it carries.
    pub(crate) stream: u32,
    /// Fresh random bytes.
    pub(crate) nonce: [u8; 16],
    /// The proof that the same client sends it.
    pub(crate) mac: [u8; 32],
}

/// Why no session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RejectCode {
    /// No version in common.
    Version,
    /// Unknown token, wrong proof or revoked token: which of them, a stranger is not told.
    Token,
    /// A wrong proof, for servers that tell it apart; ours does not.
    Proof,
    /// A revoked token, for servers that tell it apart; ours does not.
    Revoked,
    /// A client of this name is connected and answers.
    Connected,
    /// The name cannot be had.
    Name,
    /// Too much to do.
    Busy,
    /// The server stops.
    ShuttingDown,
    /// The server wants TLS.
    Plaintext,
    /// A rule of the protocol was broken.
    Protocol,
    /// A code of a later version.
    Other(u16),
}

impl RejectCode {
    const KNOWN: [(u16, Self); 10] = [
        (1, Self::Version),
        (2, Self::Token),
        (3, Self::Proof),
        (4, Self::Revoked),
        (5, Self::Connected),
        (6, Self::Name),
        (7, Self::Busy),
        (8, Self::ShuttingDown),
        (9, Self::Plaintext),
        (10, Self::Protocol),
    ];

    /// Returns the code on the wire.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Other(code) => code,
            known => Self::KNOWN.iter().find(|(_, meaning)| *meaning == known).map_or(0, |(code, _)| *code),
        }
    }

    /// Reads a code; one that is not known stays as it is.
    pub(crate) fn of(code: u16) -> Self {
        Self::KNOWN.iter().find(|(known, _)| *known == code).map_or(Self::Other(code), |(_, meaning)| *meaning)
    }
}

impl Hello {
    /// Writes the whole frame.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        frame(out, kind::HELLO, |out| {
            out.put_u16(self.lowest);
            out.put_u16(self.highest);
            out.put_slice(&self.nonce);
            out.put_slice(&self.token);
            put_limits(out, &self.limits);
            put_field(out, TAG_NAME, self.name.as_deref());
            put_field(out, TAG_AGENT, self.agent.as_deref());
        });
    }

    /// Reads a payload.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader(payload);
        let (lowest, highest) = (reader.u16()?, reader.u16()?);
        if lowest > highest {
            return Err(Fault::protocol("a Hello with no versions"));
        }
        let (nonce, token, limits) = (reader.array()?, reader.array()?, reader.limits()?);
        let Fields { name, agent, .. } = reader.fields()?;
        Ok(Self { lowest, highest, nonce, token, limits, name, agent })
    }
}

impl Challenge {
    /// Writes the whole frame.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        frame(out, kind::CHALLENGE, |out| {
            out.put_u16(self.version);
            out.put_slice(&self.nonce);
            put_field(out, TAG_AGENT, self.agent.as_deref());
            if let Some(clock_s) = self.clock_s {
                out.put_u8(TAG_CLOCK);
                out.put_u16(8);
                out.put_u64(clock_s);
            }
        });
    }

    /// Reads a payload.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader(payload);
        let (version, nonce) = (reader.u16()?, reader.array()?);
        let Fields { agent, clock_s, .. } = reader.fields()?;
        Ok(Self { version, nonce, agent, clock_s })
    }
}

impl Proof {
    /// Writes the whole frame.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        frame(out, kind::PROOF, |out| out.put_slice(&self.0));
    }

    /// Reads a payload.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader(payload);
        let proof = reader.array()?;
        reader.end()?;
        Ok(Self(proof))
    }
}

impl Welcome {
    /// Writes the whole frame.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        frame(out, kind::WELCOME, |out| {
            out.put_slice(&self.session);
            out.put_slice(&self.signature);
            put_limits(out, &self.limits);
            put_field(out, TAG_NAME, self.name.as_deref());
            put_field(out, TAG_AGENT, self.agent.as_deref());
        });
    }

    /// Reads a payload.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader(payload);
        let (session, signature, limits) = (reader.array()?, reader.array()?, reader.limits()?);
        let Fields { name, agent, .. } = reader.fields()?;
        Ok(Self { session, signature, limits, name, agent })
    }
}

impl Rejected {
    /// Writes the whole frame; a text that is too long is cut.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        frame(out, kind::REJECTED, |out| {
            out.put_u16(self.code.code());
            out.put_u16(self.retry_after_s);
            out.put_slice(cut(&self.text, REJECTED_BYTES_MAX).as_bytes());
        });
    }

    /// Reads a payload; control characters of the text become spaces, because it is shown to people.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader(payload);
        let (code, retry_after_s) = (RejectCode::of(reader.u16()?), reader.u16()?);
        if reader.0.len() > REJECTED_BYTES_MAX {
            return Err(LONG);
        }
        let text = std::str::from_utf8(reader.0).map_err(|_| Fault::protocol("a text that is not UTF-8"))?;
        let text = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        Ok(Self { code, retry_after_s, text })
    }
}

impl Join {
    /// Writes the whole frame.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        frame(out, kind::JOIN, |out| {
            out.put_slice(&self.session);
            out.put_u32(self.stream);
            out.put_slice(&self.nonce);
            out.put_slice(&self.mac);
        });
    }

    /// Reads a payload.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader(payload);
        let (session, stream) = (reader.array()?, reader.u32()?);
        let (nonce, mac) = (reader.array()?, reader.array()?);
        reader.end()?;
        Ok(Self { session, stream, nonce, mac })
    }
}

/// Writes a header, lets `write` add the payload, and puts its length into the header.
fn frame(out: &mut BytesMut, kind: u8, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_bytes(0, HEADER_BYTES);
    write(out);
    let length = u32::try_from(out.len() - start - HEADER_BYTES).unwrap_or(u32::MAX);
    if let Some(header) = out.get_mut(start..start + HEADER_BYTES) {
        header.copy_from_slice(&Header { kind, length }.bytes());
    }
}

fn put_limits(out: &mut BytesMut, limits: &Limits) {
    out.put_u32(limits.frame_bytes_max);
    out.put_u32(limits.streams_max);
    out.put_u32(limits.stream_credit);
    out.put_u32(limits.session_credit);
}

fn put_field(out: &mut BytesMut, tag: u8, value: Option<&str>) {
    let Some(value) = value else { return };
    let value = cut(value, FIELD_BYTES_MAX);
    out.put_u8(tag);
    out.put_u16(u16::try_from(value.len()).unwrap_or_default());
    out.put_slice(value.as_bytes());
}

/// Cuts a text to at most `most` bytes, between two characters.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// The optional fields that this version knows.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    agent: Option<String>,
    clock_s: Option<u64>,
}

/// What is left of a payload.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(LONG) }
    }

    fn limits(&mut self) -> Result<Limits, Fault> {
        let [frame, streams, stream, session] = [self.u32()?, self.u32()?, self.u32()?, self.u32()?];
        if frame < FRAME_BYTES_MIN || streams == 0 {
            return Err(Fault::protocol("limits that nothing fits in"));
        }
        if stream > CREDIT_MAX || session > CREDIT_MAX {
            return Err(Fault::protocol("more credit than can be counted"));
        }
        Ok(Limits {
            frame_bytes_max: frame.min(PAYLOAD_BYTES_MAX),
            streams_max: streams,
            stream_credit: stream,
            session_credit: session,
        })
    }

    /// Reads the optional fields to the end of the payload.
    fn fields(&mut self) -> Result<Fields, Fault> {
        let mut fields = Fields::default();
        while !self.0.is_empty() {
            let [tag] = self.array()?;
            let length = usize::from(self.u16()?);
            let (value, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
            self.0 = rest;
            let is_twice = match tag {
                TAG_NAME => fields.name.replace(field_text(value)?).is_some(),
                TAG_AGENT => fields.agent.replace(field_text(value)?).is_some(),
                TAG_CLOCK => {
                    let clock = value.try_into().map_err(|_| Fault::protocol("a clock that is not 8 bytes long"))?;
                    fields.clock_s.replace(u64::from_be_bytes(clock)).is_some()
                }
                _ => false,
            };
            if is_twice {
                return Err(Fault::protocol("an optional field is given twice"));
            }
        }
        Ok(fields)
    }
}

/// Reads a name: short UTF-8 without control characters, because it ends up in logs and on terminals.
fn field_text(value: &[u8]) -> Result<String, Fault> {
    let refused = Fault::protocol("a name that cannot be shown");
    let text = std::str::from_utf8(value).map_err(|_| refused)?;
    let fits = value.len() <= FIELD_BYTES_MAX && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut out);
        let header = Header::read(&out).expect("a header").expect("whole");
        assert_eq!(out.len(), HEADER_BYTES + usize::try_from(header.length).expect("short"));
        out.split_off(HEADER_BYTES).to_vec()
    }

    fn hello() -> Hello {
        Hello {
            lowest: 1,
            highest: 3,
            nonce: [7; 32],
            token: *b"12345678",
            limits: Limits::OURS,
            name: Some("家里".to_owned()),
            agent: Some("portwright 0.1.0".to_owned()),
        }
    }

    #[test]
    fn every_message_comes_back_as_it_was() {
        let hello = hello();
        assert_eq!(Hello::decode(&payload(|out| hello.encode(out))), Ok(hello));
        for clock_s in [None, Some(1_800_000_000)] {
            let challenge = Challenge { version: 1, nonce: [9; 32], agent: None, clock_s };
            assert_eq!(Challenge::decode(&payload(|out| challenge.encode(out))), Ok(challenge));
        }
        assert_eq!(Proof::decode(&payload(|out| Proof([3; 32]).encode(out))), Ok(Proof([3; 32])));
        let name = Some("nas".to_owned());
        let welcome = Welcome { session: [1; 16], signature: [2; 32], limits: Limits::OURS, name, agent: None };
        assert_eq!(Welcome::decode(&payload(|out| welcome.encode(out))), Ok(welcome));
        let join = Join { session: [1; 16], stream: 7, nonce: [2; 16], mac: [3; 32] };
        assert_eq!(Join::decode(&payload(|out| join.encode(out))), Ok(join));
        for code in (1..=11).map(RejectCode::of) {
            let rejected = Rejected { code, retry_after_s: 30, text: "no".to_owned() };
            assert_eq!(Rejected::decode(&payload(|out| rejected.encode(out))), Ok(rejected));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let bytes = payload(|out| hello().encode(out));
        let head = [&[0, 1, 0, 3][..], &[7; 32], b"12345678"].concat();
        assert_eq!(bytes[..44], head);
        assert_eq!(bytes[44..60], [0, 1, 0, 0, 0, 0, 0x40, 0, 0, 4, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[60..69], [1, 0, 6, 0xe5, 0xae, 0xb6, 0xe9, 0x87, 0x8c]);
        let rejected = Rejected { code: RejectCode::Connected, retry_after_s: 2, text: "x".to_owned() };
        let mut out = BytesMut::new();
        rejected.encode(&mut out);
        assert_eq!(&out[..], [1, 0x14, 0, 0, 0, 5, 0, 5, 0, 2, b'x']);
    }

    #[test]
    fn unknown_fields_are_skipped_and_broken_ones_refused() {
        let whole = payload(|out| hello().encode(out));
        let more = [&whole[..], &[99, 0, 2, 1, 2], &[98, 0, 0]].concat();
        assert_eq!(Hello::decode(&more), Ok(hello()));
        for tail in [&[1, 0, 1, b'x'][..], &[3, 0, 1, 0], &[9, 0, 5, 1], &[9, 0], &[9]] {
            assert!(Hello::decode(&[&whole[..], tail].concat()).is_err(), "{tail:?}");
        }
        let bare = &whole[..60];
        assert!(Hello::decode(bare).is_ok());
        for name in [&b"\x1b[2J"[..], b"\xff", &[b'x'; 257]] {
            let length = u16::try_from(name.len()).expect("short").to_be_bytes();
            assert!(Hello::decode(&[bare, &[1], &length, name].concat()).is_err(), "{name:?}");
        }
        for length in 0..60 {
            assert!(Hello::decode(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn limits_that_cannot_be_worked_with_are_refused() {
        let with = |limits: Limits| Hello::decode(&payload(|out| Hello { limits, ..hello() }.encode(out)));
        assert!(with(Limits { frame_bytes_max: 1023, ..Limits::OURS }).is_err());
        assert!(with(Limits { streams_max: 0, ..Limits::OURS }).is_err());
        assert!(with(Limits { stream_credit: 1 << 31, ..Limits::OURS }).is_err());
        assert!(with(Limits { session_credit: u32::MAX, ..Limits::OURS }).is_err());
        let large = with(Limits { frame_bytes_max: u32::MAX, ..Limits::OURS }).expect("cut to the header's own limit");
        assert_eq!(large.limits.frame_bytes_max, PAYLOAD_BYTES_MAX);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_shown_without_control_characters() {
        let text = format!("\u{1b}]0;x\u{7}{}", "长".repeat(300));
        let rejected = Rejected { code: RejectCode::Busy, retry_after_s: 0, text };
        let read = Rejected::decode(&payload(|out| rejected.encode(out))).expect("readable");
        assert!(read.text.len() <= REJECTED_BYTES_MAX && !read.text.chars().any(char::is_control));
        assert!(Rejected::decode(&[0; 4 + REJECTED_BYTES_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Hello::decode(&bytes);
            let _ = Challenge::decode(&bytes);
            let _ = Proof::decode(&bytes);
            let _ = Welcome::decode(&bytes);
            let _ = Rejected::decode(&bytes);
            let _ = Join::decode(&bytes);
        }
    }
}
