//! A peer that sends records of all kinds in pieces of all lengths, and an application that takes what it likes.
//!
//! What is taken is the beginning of what was sent, whatever happens; all of it, where the peer keeps to the rules.

use super::*;
use crate::tunnel::fuzzing::Script;
use crate::tunnel::tls::record::rehearsal::{ends, sealed, sealed_raw};

/// Bytes after which a script has said enough.
const SENT_MAX: usize = 1 << 20;

/// Both ends of a direction and what is between them.
struct Pipe {
    outgoing: Outgoing,
    /// What is on its way.
    stream: BytesMut,
    incoming: Incoming,
    /// Data that was sent, and how much of it was taken.
    sent: Vec<u8>,
    taken: usize,
    /// Records in a row that bring no data.
    empty: usize,
    /// Something was sent that is against the rules, or may be.
    doubtful: bool,
    /// The farewell was said.
    ended: bool,
}

/// Drives both ends.
pub(in crate::tunnel) fn drive(mut script: Script<'_>) {
    let (mut sealer, opener) = ends();
    sealer.wear_out_after(RECORDS as u64 + u64::from(script.byte()));
    let mut pipe = Pipe {
        outgoing: Outgoing { sealer, slab: None, waiting: 0..0, finished: false },
        stream: BytesMut::new(),
        incoming: Incoming::new(opener, BytesMut::new(), false),
        sent: Vec::new(),
        taken: 0,
        empty: 0,
        doubtful: false,
        ended: false,
    };
    while !script.0.is_empty() && pipe.sent.len() < SENT_MAX {
        if let Err(error) = pipe.step(&mut script) {
            assert!(pipe.doubtful, "{error}");
            return;
        }
    }
    while pipe.incoming.held > 0 || !pipe.stream.is_empty() && !pipe.incoming.ended {
        pipe.take(usize::MAX);
        if let Err(error) = pipe.arrive(usize::MAX) {
            assert!(pipe.doubtful, "{error}");
            return;
        }
    }
    if !pipe.doubtful {
        assert_eq!((pipe.taken, pipe.incoming.ended), (pipe.sent.len(), pipe.ended));
    }
}

/// Returns the byte of data at this place. No two stretches of some bytes are alike, so one in the place of another is seen.
fn telling(place: usize) -> u8 {
    let [_, _, _, byte, ..] = place.wrapping_mul(0x9E37_79B1).to_le_bytes();
    byte
}

impl Pipe {
    fn step(&mut self, script: &mut Script<'_>) -> Result<(), BadRecord> {
        let what = script.byte();
        let much = usize::from(script.byte());
        match what % 16 {
            0..=2 => self.send(much * 3),
            3 => self.send(much * 1_500),
            4 => self.send(DATA_MAX * (much % 20)),
            5 => self.renew(),
            6 => self.utter(content::DATA, b""),
            7 => self.utter(content::HANDSHAKE, &[message::TICKET, 0, 0, 1, 0]),
            8 => self.utter(content::ALERT, &[1, alert::USER_CANCELED]),
            9 if what == 9 => self.finish(),
            10 => self.pad(script.take(usize::from(what)), much * 66),
            11 if what > 0x80 => self.disturb(script.take(much)),
            12 => self.incoming.rest(),
            13 => self.take(much * 100),
            14 => return self.arrive(much),
            _ => return self.arrive(much * 2_000),
        }
        Ok(())
    }

    /// Sends data that tells where it belongs.
    fn send(&mut self, length: usize) {
        self.renew_when_worn();
        let mut data = Vec::new();
        for place in self.outgoing.places(length) {
            let from = self.sent.len() + data.len();
            let piece: Vec<u8> = (from..from + place.len()).map(telling).collect();
            place.copy_from_slice(&piece);
            data.extend_from_slice(&piece);
        }
        assert_eq!(data.len(), length.min(RECORDS * DATA_MAX));
        self.outgoing.seal(data.len()).expect("sealed");
        self.dispatch();
        if !data.is_empty() {
            self.note(&data);
        }
    }

    /// Data in a record of its own, with zeros behind it.
    fn pad(&mut self, data: &[u8], zeros: usize) {
        self.renew_when_worn();
        let record = sealed_raw(&mut self.outgoing.sealer, &[data, &[content::DATA], &vec![0; zeros]].concat());
        self.doubtful |= record_length(&record).is_err();
        self.note(data);
        self.stream.extend_from_slice(&record);
    }

    /// A record that brings no data.
    fn utter(&mut self, content: u8, inner: &[u8]) {
        self.renew_when_worn();
        let record = sealed(&mut self.outgoing.sealer, content, inner);
        self.note(b"");
        self.stream.extend_from_slice(&record);
    }

    fn renew_when_worn(&mut self) {
        if self.outgoing.is_worn() {
            self.renew();
        }
    }

    fn renew(&mut self) {
        self.outgoing.renew().expect("renewed");
        self.note(b"");
        self.dispatch();
    }

    fn finish(&mut self) {
        self.outgoing.finish().expect("a farewell");
        self.note(b"");
        self.ended = true;
        self.dispatch();
    }

    /// Something that the script thinks of: inside a record or instead of it.
    fn disturb(&mut self, bytes: &[u8]) {
        self.doubtful = true;
        match bytes.split_first() {
            Some((0..0x80, inner)) => {
                self.stream.extend_from_slice(&sealed_raw(&mut self.outgoing.sealer, inner));
                let length = inner.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                if let Some((&content::DATA, data)) = inner.get(..length).and_then(<[u8]>::split_last) {
                    self.note(data);
                }
            }
            Some((_, raw)) => self.stream.extend_from_slice(raw),
            None => {}
        }
    }

    /// Takes note of a record with this data.
    fn note(&mut self, data: &[u8]) {
        self.empty = if data.is_empty() { self.empty + 1 } else { 0 };
        self.doubtful |= self.empty > EMPTY_MAX;
        if !self.ended {
            self.sent.extend_from_slice(data);
        }
    }

    /// Gives to the network what was sealed.
    fn dispatch(&mut self) {
        self.stream.extend_from_slice(self.outgoing.records().unwrap_or_default());
        self.outgoing.waiting = 0..0;
        self.outgoing.rest();
    }

    /// Lets up to `most` bytes arrive, as a socket would: when all data was taken.
    fn arrive(&mut self, most: usize) -> Result<(), BadRecord> {
        if self.incoming.held > 0 {
            return Ok(());
        }
        self.incoming.take(0);
        if self.incoming.ended {
            return Ok(());
        }
        lend(&mut self.incoming.bytes);
        let room = SPARE_BYTES - self.incoming.bytes.len();
        assert!(room > 0, "a socket that is read into no room seems to have ended");
        let piece = self.stream.split_to(most.min(room).min(self.stream.len()));
        self.incoming.bytes.extend_from_slice(&piece);
        let opened = self.incoming.open();
        let there: usize = self.incoming.pieces(usize::MAX).map(<[u8]>::len).sum();
        assert_eq!(there, self.incoming.held);
        opened
    }

    fn take(&mut self, most: usize) {
        let taken: usize = self
            .incoming
            .pieces(most)
            .map(|piece| {
                let end = self.taken + piece.len();
                assert_eq!(self.sent.get(self.taken..end), Some(piece), "what was sent at {}", self.taken);
                self.taken = end;
                piece.len()
            })
            .sum();
        assert_eq!(taken, most.min(self.incoming.held));
        self.incoming.take(taken);
    }
}
