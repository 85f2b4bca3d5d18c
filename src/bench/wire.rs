//! What the load test and its own target say to each other: a preamble of 16 bytes that chooses a mode, a pattern that
//! both sides know, and the record that ends a stream of it.
//!
//! The end is told in the stream itself and not by closing half of the connection, because not every forwarder passes
//! that on.

/// How every connection of ours begins. The first byte is not text in any encoding, so no ordinary client of a plain
/// echo sends it by chance.
const MAGIC: [u8; 8] = *b"\xF7pwbench";

/// Length of a preamble in bytes: magic, mode, and a number of seven bytes.
pub(super) const PREAMBLE_BYTES: usize = 16;

/// Length of the pattern's period in bytes: a prime, so that frames of any size, lost or swapped, show.
pub(super) const PERIOD: usize = 131_071;

/// Largest piece of the pattern that can be had at once, in bytes.
pub(super) const PIECE_BYTES_MAX: usize = 1 << 20;

/// First byte of a period of the pattern.
const DATA: u8 = 0xD7;

/// First byte of the record that stands where a period would begin and ends the stream.
const END: u8 = 0xE5;

/// Length of the end record in bytes: its first byte and the number of bytes that went before it.
pub(super) const END_BYTES: usize = 9;

/// Length of the sink's reply in bytes: how many bytes came, and how many of these were right.
pub(super) const REPLY_BYTES: usize = 16;

/// Where the pattern begins: any number will do, as long as both sides have the same.
const SEED: u64 = 0x706f_7274_7772_6967;

/// What the target does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Answers with [`greeting`], so that a client knows whom it talks to.
    Hello,
    /// Takes the pattern, and answers with two counts.
    Sink,
    /// Sends the pattern for this many milliseconds.
    Source(u64),
    /// Sends back what comes, with reads of at most this many bytes.
    Echo(u64),
    /// Sends back this many bytes, then the SHA-256 of what came, and closes.
    Digest(u64),
}

/// Version of the preamble, asked for and answered in the first words.
const VERSION: u64 = 1;

/// What stands in place of a mode in the answer to [`Mode::Hello`].
const GREETING: u8 = 0xFF;

/// Length of a SHA-256 in bytes.
pub(super) const DIGEST_BYTES: usize = 32;

/// Largest number that fits a preamble.
const NUMBER_MAX: u64 = (1 << 56) - 1;

impl Mode {
    /// Returns the preamble that asks for this mode.
    pub(super) fn preamble(self) -> [u8; PREAMBLE_BYTES] {
        let (mode, number) = match self {
            Self::Hello => (0u8, VERSION),
            Self::Sink => (1, 0),
            Self::Source(milliseconds) => (2, milliseconds),
            Self::Echo(buffer) => (3, buffer),
            Self::Digest(total) => (4, total),
        };
        sixteen(mode, number)
    }
}

/// Returns the answer to [`Mode::Hello`], which no echo of it is.
pub(super) fn greeting() -> [u8; PREAMBLE_BYTES] {
    sixteen(GREETING, VERSION)
}

fn sixteen(mode: u8, number: u64) -> [u8; PREAMBLE_BYTES] {
    let word = (u64::from(mode) << 56) | number.min(NUMBER_MAX);
    let mut bytes = [0; PREAMBLE_BYTES];
    let (magic, rest) = bytes.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    rest.copy_from_slice(&word.to_be_bytes());
    bytes
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Too few to tell.
    Undecided,
    /// A preamble of ours.
    Ours(Mode),
    /// Anything else: the connection wants a plain echo.
    Foreign,
}

/// Judges the first bytes of a connection, at most [`PREAMBLE_BYTES`] of them.
pub(super) fn opening(bytes: &[u8]) -> Opening {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Opening::Foreign;
    }
    let Some(word) = bytes.get(MAGIC.len()..PREAMBLE_BYTES).and_then(number) else { return Opening::Undecided };
    match (word >> 56, word & NUMBER_MAX) {
        (0, _) => Opening::Ours(Mode::Hello),
        (1, _) => Opening::Ours(Mode::Sink),
        (2, milliseconds) => Opening::Ours(Mode::Source(milliseconds)),
        (3, buffer) => Opening::Ours(Mode::Echo(buffer)),
        (4, total) => Opening::Ours(Mode::Digest(total)),
        _ => Opening::Foreign,
    }
}

/// Reads a big-endian number of exactly eight bytes.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Returns the record that ends a stream of `total` bytes.
pub(super) fn end_record(total: u64) -> [u8; END_BYTES] {
    let mut bytes = [END; END_BYTES];
    let (_, rest) = bytes.split_at_mut(1);
    rest.copy_from_slice(&total.to_be_bytes());
    bytes
}

/// The pattern: a period of bytes that look random, repeated so that a piece can be had from any place of it.
#[derive(Debug)]
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    /// Makes the pattern; takes about a millisecond.
    pub(super) fn new() -> Self {
        let mut state = SEED;
        let mut period = Vec::with_capacity(PERIOD + 8);
        while period.len() < PERIOD {
            period.extend_from_slice(&split_mix(&mut state).to_be_bytes());
        }
        period.truncate(PERIOD);
        if let Some(first) = period.first_mut() {
            *first = DATA;
        }
        Self(period.into_iter().cycle().take(PERIOD + PIECE_BYTES_MAX).collect())
    }

    /// Returns `length` bytes (at most [`PIECE_BYTES_MAX`]) from `place`, counted from the beginning of a period.
    pub(super) fn piece(&self, place: usize, length: usize) -> &[u8] {
        let place = place % PERIOD;
        self.0.get(place..place + length.min(PIECE_BYTES_MAX)).unwrap_or_default()
    }
}

/// `SplitMix64`: the next of a row of numbers without visible order.
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What is known of a stream of the pattern so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All right, and more will come.
    More,
    /// The end came, and everything before it was right.
    Whole,
    /// A byte is not what it must be.
    Wrong,
}

/// Compares a stream with the pattern as it arrives.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    place: usize,
    /// How many bytes of the pattern came and were right.
    pub(super) right: u64,
    end: Vec<u8>,
}

impl Verifier {
    /// Takes the next bytes of the stream; after [`Verdict::Wrong`] the place in the stream is lost.
    pub(super) fn take(&mut self, pattern: &Pattern, mut bytes: &[u8]) -> Verdict {
        while !bytes.is_empty() {
            if self.place == 0 && (!self.end.is_empty() || bytes.first() == Some(&END)) {
                return self.take_end(bytes);
            }
            let count = bytes.len().min(PERIOD - self.place);
            let (now, later) = bytes.split_at(count);
            if now != pattern.piece(self.place, count) {
                return Verdict::Wrong;
            }
            self.place = (self.place + count) % PERIOD;
            self.right += count as u64;
            bytes = later;
        }
        Verdict::More
    }

    fn take_end(&mut self, bytes: &[u8]) -> Verdict {
        self.end.extend_from_slice(bytes.get(..END_BYTES.min(bytes.len())).unwrap_or_default());
        let expected = end_record(self.right);
        let known = self.end.len().min(END_BYTES);
        let fits = self.end.get(..known) == expected.get(..known) && self.end.len() <= END_BYTES;
        match (fits, known) {
            (false, _) => Verdict::Wrong,
            (true, END_BYTES) => Verdict::Whole,
            (true, _) => Verdict::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preamble_is_read_as_it_was_written_and_anything_else_is_foreign() {
        for mode in [Mode::Hello, Mode::Sink, Mode::Source(2_000), Mode::Echo(8_192), Mode::Digest(7)] {
            let bytes = mode.preamble();
            assert_eq!(opening(&bytes), Opening::Ours(mode));
            for cut in 0..PREAMBLE_BYTES {
                assert_eq!(opening(&bytes[..cut]), Opening::Undecided, "{cut} bytes of {mode:?}");
            }
        }
        assert_ne!(greeting(), Mode::Hello.preamble());
        assert_eq!(opening(&greeting()), Opening::Foreign);
        for foreign in [&b"G"[..], b"GET / HTTP/1.1\r\n", b"\xF7pwbencX", b"\0"] {
            assert_eq!(opening(foreign), Opening::Foreign);
        }
    }

    fn stream(pattern: &Pattern, periods: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..periods).flat_map(|_| pattern.piece(0, PERIOD).to_vec()).collect();
        let total = bytes.len() as u64;
        bytes.extend_from_slice(&end_record(total));
        bytes
    }

    #[test]
    fn a_stream_is_whole_however_it_is_cut() {
        let pattern = Pattern::new();
        let bytes = stream(&pattern, 3);
        for cut in [1, 7, 4_096, 65_536, PERIOD, bytes.len()] {
            let mut verifier = Verifier::default();
            let verdicts: Vec<_> = bytes.chunks(cut).map(|chunk| verifier.take(&pattern, chunk)).collect();
            assert_eq!(verdicts.last(), Some(&Verdict::Whole), "in pieces of {cut}");
            assert!(verdicts.iter().rev().skip(1).all(|verdict| *verdict == Verdict::More));
            assert_eq!(verifier.right, 3 * PERIOD as u64);
        }
    }

    #[test]
    fn a_changed_lost_doubled_or_swapped_byte_is_found() {
        let pattern = Pattern::new();
        let whole = stream(&pattern, 2);
        let damages: [fn(&mut Vec<u8>); 5] = [
            |bytes| bytes[200_000] ^= 1,
            |bytes| drop(bytes.drain(77..78)),
            |bytes| bytes.insert(131_071, 0xD7),
            |bytes| bytes.rotate_left(65_536),
            |bytes| drop(bytes.drain(..PERIOD)),
        ];
        for (index, damage) in damages.iter().enumerate() {
            let mut bytes = whole.clone();
            damage(&mut bytes);
            assert_eq!(Verifier::default().take(&pattern, &bytes), Verdict::Wrong, "damage {index}");
        }
    }
}
