//! Records of an established TLS 1.3 connection, protected and opened in the buffers that they travel in (RFC 8446,
//! sections 5 and 7).
//!
//! rustls makes the connection: it judges certificates, agrees on keys and proves both ends. What follows is one
//! authenticated encryption for each record under those keys, which is *ring*'s, as it is below rustls. rustls would copy
//! each byte three times on its way in and once on its way out; nothing here copies a byte of a record.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod rehearsal;

use std::fmt;
use std::ops::Range;

use ring::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{self, KeyType, Okm, Prk};
use tokio_rustls::rustls::ConnectionTrafficSecrets;

/// Type, version and length before each record.
pub(crate) const HEADER_BYTES: usize = 5;

/// The most data of one record, in bytes (RFC 8446, section 5.1).
pub(crate) const DATA_MAX: usize = 1 << 14;

/// A record full of data, as we send it: header, data, type and tag.
pub(crate) const RECORD_MAX: usize = HEADER_BYTES + DATA_MAX + 1 + TAG_BYTES;

/// The most that may follow a header: data, type, padding and tag (RFC 8446, section 5.2).
const BODY_MAX: usize = DATA_MAX + 256;

/// The tag of each of the three ciphers of TLS 1.3 (RFC 5116, section 5.1; RFC 8439, section 2.8).
const TAG_BYTES: usize = 16;

/// What every record says that it is, whatever is inside, and the version that all of TLS 1.3 pretends to be.
const OUTER: [u8; 3] = [content::DATA, 3, 3];

/// Records under one key of AES-GCM, after which the sender changes it; RFC 8446, section 5.5, allows 2 to the power of
/// 24.5. In full records that is 256 GiB.
const GCM_RECORDS_MAX: u64 = 1 << 24;

/// The message that says that the sender's next record has a new key, and asks for no new one of the peer (RFC 8446,
/// section 4.6.3).
const KEY_UPDATE: [u8; 5] = [message::KEY_UPDATE, 0, 0, 1, 0];

/// What a record can carry (RFC 8446, section 5.1).
pub(crate) mod content {
    /// A warning, or the end.
    pub(crate) const ALERT: u8 = 21;
    /// A message of the handshake, which may come after it, too.
    pub(crate) const HANDSHAKE: u8 = 22;
    /// Data of the application.
    pub(crate) const DATA: u8 = 23;
}

/// What an alert can say without being an error (RFC 8446, section 6).
pub(crate) mod alert {
    /// The sender sends nothing more.
    pub(crate) const CLOSE_NOTIFY: u8 = 0;
    /// The sender has lost interest; its farewell follows.
    pub(crate) const USER_CANCELED: u8 = 90;
}

/// Messages that may come after the handshake (RFC 8446, section 4.6).
pub(crate) mod message {
    /// What a client can resume the session with.
    pub(crate) const TICKET: u8 = 4;
    /// The sender's keys change.
    pub(crate) const KEY_UPDATE: u8 = 24;
}

/// Why a record cannot be read: somebody changed it, or the peer broke a rule. Nothing more is taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadRecord(pub(crate) &'static str);

impl fmt::Display for BadRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TLS: {}", self.0)
    }
}

impl std::error::Error for BadRecord {}

/// How a suite of ciphers protects.
#[derive(Clone, Copy)]
struct Suite {
    aead: &'static aead::Algorithm,
    hash: hkdf::Algorithm,
    records_max: u64,
}

impl Suite {
    fn of(secrets: &ConnectionTrafficSecrets) -> Option<(Self, &[u8])> {
        let (aead, hash, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { iv, .. } => (&aead::AES_128_GCM, hkdf::HKDF_SHA256, iv),
            ConnectionTrafficSecrets::Aes256Gcm { iv, .. } => (&aead::AES_256_GCM, hkdf::HKDF_SHA384, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { iv, .. } => (&aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256, iv),
            _ => return None,
        };
        let records_max = if *aead == aead::CHACHA20_POLY1305 { u64::MAX } else { GCM_RECORDS_MAX };
        Some((Self { aead, hash, records_max }, iv.as_ref()))
    }
}

/// The keys of one direction.
struct Keys {
    suite: Suite,
    secret: Prk,
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// Records so far under this key.
    sequence: u64,
}

impl Keys {
    /// Derives the keys of a direction from its secret (RFC 8446, section 7.3), from which `sequence` records have
    /// come already. They have to be those that rustls has: it may have changed them since it told the secret.
    fn new(secret: &[u8], (sequence, theirs): (u64, &ConnectionTrafficSecrets)) -> Option<Self> {
        let (suite, iv) = Suite::of(theirs)?;
        let keys = Self::derive(suite, Prk::new_less_safe(suite.hash, secret), sequence)?;
        (keys.iv == iv).then_some(keys)
    }

    fn derive(suite: Suite, secret: Prk, sequence: u64) -> Option<Self> {
        let key = expand(&secret, "key", suite.aead, |okm| Some(LessSafeKey::new(UnboundKey::from(okm))))?;
        let iv = expand(&secret, "iv", IvBytes, |okm| {
            let mut iv = [0; NONCE_LEN];
            okm.fill(&mut iv).ok().map(|()| iv)
        })?;
        Some(Self { suite, secret, key, iv, sequence })
    }

    /// Changes to the next keys (RFC 8446, section 7.2).
    fn update(&mut self) -> Result<(), BadRecord> {
        let next = expand(&self.secret, "traffic upd", self.suite.hash, |okm| Some(Prk::from(okm)));
        *self = next.and_then(|secret| Self::derive(self.suite, secret, 0)).ok_or(BadRecord("no next key"))?;
        Ok(())
    }

    /// Returns the nonce of the next record, which no other record has (RFC 8446, section 5.3).
    fn nonce(&mut self) -> Result<Nonce, BadRecord> {
        let mut nonce = self.iv;
        for (byte, count) in nonce.iter_mut().skip(NONCE_LEN - 8).zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        self.sequence = self.sequence.checked_add(1).ok_or(BadRecord("too many records"))?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// The length of an initialisation vector, as [`hkdf`] asks for it.
#[derive(Clone, Copy)]
struct IvBytes;

impl KeyType for IvBytes {
    fn len(&self) -> usize {
        NONCE_LEN
    }
}

/// `HKDF-Expand-Label` with an empty context (RFC 8446, section 7.1).
fn expand<L: KeyType + Copy, T>(
    secret: &Prk,
    label: &str,
    kind: L,
    take: impl FnOnce(Okm<'_, L>) -> Option<T>,
) -> Option<T> {
    let length = u16::try_from(kind.len()).ok()?.to_be_bytes();
    let prefix = "tls13 ";
    let label_bytes = [u8::try_from(prefix.len() + label.len()).ok()?];
    let info = [&length[..], &label_bytes, prefix.as_bytes(), label.as_bytes(), &[0]];
    let okm = secret.expand(&info, kind).ok()?;
    take(okm)
}

/// Returns the header of a record with a body of this length.
fn header(body: usize) -> Option<[u8; HEADER_BYTES]> {
    let [first, second, third] = OUTER;
    let [high, low] = u16::try_from(body).ok()?.to_be_bytes();
    Some([first, second, third, high, low])
}

/// Protects what we send.
pub(crate) struct Sealer(Keys);

impl Sealer {
    /// Goes on where rustls stopped; `None` when these are not the keys that it has.
    pub(crate) fn new(secret: &[u8], theirs: (u64, &ConnectionTrafficSecrets)) -> Option<Self> {
        Keys::new(secret, theirs).map(Self)
    }

    /// Changes the keys after so many records.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn wear_out_after(&mut self, records: u64) {
        self.0.suite.records_max = records;
    }

    /// Tells whether the keys have to change before as many records as `records`.
    pub(crate) fn is_worn(&self, records: u64) -> bool {
        self.0.sequence.saturating_add(records) > self.0.suite.records_max
    }

    /// Makes a record of `length` bytes of `content` in place and returns how long it is. They lie in `room` behind
    /// [`HEADER_BYTES`], and there is room behind them for type and tag.
    pub(crate) fn seal(&mut self, content: u8, length: usize, room: &mut [u8]) -> Result<usize, BadRecord> {
        let cramped = BadRecord("no room for a record");
        let header = header(length + 1 + TAG_BYTES).ok_or(cramped)?;
        let (head, rest) = room.split_first_chunk_mut::<HEADER_BYTES>().ok_or(cramped)?;
        let (body, rest) = rest.split_at_mut_checked(length + 1).ok_or(cramped)?;
        let (tag_room, _) = rest.split_first_chunk_mut::<TAG_BYTES>().ok_or(cramped)?;
        *head = header;
        *body.last_mut().ok_or(cramped)? = content;
        let nonce = self.0.nonce()?;
        let tag = self.0.key.seal_in_place_separate_tag(nonce, Aad::from(header), body).map_err(|_| cramped)?;
        tag_room.copy_from_slice(tag.as_ref());
        Ok(HEADER_BYTES + length + 1 + TAG_BYTES)
    }

    /// Makes the farewell after which we send nothing more (RFC 8446, section 6.1).
    pub(crate) fn farewell(&mut self, room: &mut [u8]) -> Result<usize, BadRecord> {
        self.message(content::ALERT, [1, alert::CLOSE_NOTIFY], room)
    }

    /// Makes the record that tells the peer that our keys change, and changes them.
    pub(crate) fn update(&mut self, room: &mut [u8]) -> Result<usize, BadRecord> {
        let length = self.message(content::HANDSHAKE, KEY_UPDATE, room)?;
        self.0.update()?;
        Ok(length)
    }

    fn message<const N: usize>(&mut self, content: u8, message: [u8; N], room: &mut [u8]) -> Result<usize, BadRecord> {
        let place = room.get_mut(HEADER_BYTES..).and_then(|room| room.first_chunk_mut::<N>());
        *place.ok_or(BadRecord("no room for a record"))? = message;
        self.seal(content, N, room)
    }
}

/// Opens what the peer sends.
pub(crate) struct Opener(Keys);

/// What was in a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// What kind of thing, of [`content`].
    pub(crate) content: u8,
    /// Where it is in the record.
    pub(crate) place: Range<usize>,
}

impl Opener {
    /// Goes on where rustls stopped; `None` when these are not the keys that it has.
    pub(crate) fn new(secret: &[u8], theirs: (u64, &ConnectionTrafficSecrets)) -> Option<Self> {
        Keys::new(secret, theirs).map(Self)
    }

    /// Opens a whole record in place.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<Opened, BadRecord> {
        let Some((header, body)) = record.split_first_chunk_mut::<HEADER_BYTES>() else {
            return Err(BadRecord("a cut record"));
        };
        if header.first() != OUTER.first() {
            return Err(BadRecord("a record without protection"));
        }
        let nonce = self.0.nonce()?;
        let plain = self.0.key.open_in_place(nonce, Aad::from(*header), body);
        let plain = plain.map_err(|_| BadRecord("a record that was changed on its way"))?;
        // The type is the last byte that is not padding.
        let length = plain.iter().rposition(|byte| *byte != 0).ok_or(BadRecord("a record without a type"))?;
        if length > DATA_MAX {
            return Err(BadRecord("a record too long"));
        }
        let content = plain.get(length).copied().unwrap_or_default();
        Ok(Opened { content, place: HEADER_BYTES..HEADER_BYTES + length })
    }

    /// Takes the next keys of the peer.
    pub(crate) fn update(&mut self) -> Result<(), BadRecord> {
        self.0.update()
    }
}

/// Returns the length of the record that `bytes` begin with, header included, or `None` while its header is not there.
pub(crate) fn record_length(bytes: &[u8]) -> Result<Option<usize>, BadRecord> {
    let Some([_, _, _, high, low]) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let body = usize::from(u16::from_be_bytes([*high, *low]));
    if body > BODY_MAX { Err(BadRecord("a record too long")) } else { Ok(Some(HEADER_BYTES + body)) }
}

#[cfg(test)]
mod tests {
    use super::rehearsal::{ends, keys, sealed, sealed_raw};
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// RFC 8448, section 3: the client's data and farewell.
    #[test]
    fn the_records_of_rfc_8448_come_out_and_are_read() {
        let secret = bytes("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
        let of = || keys((&aead::AES_128_GCM, hkdf::HKDF_SHA256), &secret);
        assert_eq!(of().iv.to_vec(), bytes("5b78923dee08579033e523d9"));
        let (mut sealer, mut opener) = (Sealer(of()), Opener(of()));
        let data: Vec<u8> = (0..50).collect();
        let record = bytes(
            "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a62
             92a2977014bd1e3deae63aeebb21694915e4",
        );
        let farewell = bytes("1703030013c9872760655666b74d7ff1153efd6db6d0b0e3");
        assert_eq!(sealed(&mut sealer, content::DATA, &data), record);
        let mut room = [0; 64];
        let length = sealer.farewell(&mut room).expect("sealed");
        assert_eq!(room[..length], farewell);
        let (mut first, mut second) = (record.clone(), farewell);
        let inside = opener.open(&mut first).expect("opened");
        assert_eq!((inside.content, &first[inside.place]), (content::DATA, &data[..]));
        let inside = opener.open(&mut second).expect("opened");
        assert_eq!((inside.content, &second[inside.place]), (content::ALERT, &[1, 0][..]));
        assert_eq!(record_length(&record), Ok(Some(record.len())));
    }

    #[test]
    fn a_record_that_was_changed_repeated_or_left_out_is_refused() {
        let (mut sealer, mut opener) = ends();
        let record = sealed(&mut sealer, content::DATA, b"data");
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[at] ^= 1 << bit;
                assert!(ends().1.open(&mut changed).is_err(), "bit {bit} of byte {at}");
            }
        }
        for length in 0..record.len() {
            assert!(ends().1.open(&mut record[..length].to_vec()).is_err(), "{length} bytes");
        }
        let later = sealed(&mut sealer, content::DATA, b"later");
        assert!(ends().1.open(&mut later.clone()).is_err(), "the first one is missing");
        assert!(opener.open(&mut record.clone()).is_ok());
        assert!(opener.open(&mut record.clone()).is_err(), "once more");
    }

    #[test]
    fn padding_is_taken_off_and_what_no_rule_allows_is_refused() {
        let open = |inner: &[u8]| {
            let (mut sealer, mut opener) = ends();
            let mut record = sealed_raw(&mut sealer, inner);
            opener.open(&mut record).map(|inside| (inside.content, record[inside.place].to_vec()))
        };
        let full = [vec![1; DATA_MAX], vec![content::DATA]].concat();
        assert_eq!(open(&[b"data".as_slice(), &[content::DATA], &[0; 99]].concat()), Ok((23, b"data".to_vec())));
        assert_eq!(open(&[content::DATA]), Ok((content::DATA, vec![])));
        assert_eq!(open(&full), Ok((content::DATA, vec![1; DATA_MAX])));
        assert_eq!(open(&[vec![1], full].concat()), Err(BadRecord("a record too long")));
        assert_eq!(open(&[0; 20]), Err(BadRecord("a record without a type")));
        assert_eq!(open(&[]), Err(BadRecord("a record without a type")));
        assert_eq!(record_length(&[23, 3, 3, 0x41, 0]), Ok(Some(HEADER_BYTES + BODY_MAX)));
        assert_eq!(record_length(&[23, 3, 3, 0x41, 1]), Err(BadRecord("a record too long")));
        assert_eq!(record_length(&[23, 3, 3, 0x41]), Ok(None));
        let mut plain = [22, 3, 3, 0, 1, 0];
        assert_eq!(ends().1.open(&mut plain), Err(BadRecord("a record without protection")));
    }

    #[test]
    fn both_ends_change_their_keys_together() {
        let (mut sealer, mut opener) = ends();
        sealer.wear_out_after(3);
        assert!(!sealer.is_worn(3) && sealer.is_worn(4));
        let mut before = Vec::new();
        for round in 0..5 {
            let mut record = sealed(&mut sealer, content::DATA, b"the same");
            assert_ne!(record, before, "round {round}: a key of its own");
            before.clone_from(&record);
            assert!(opener.open(&mut record).is_ok(), "round {round}");
            let mut room = [0; 64];
            let length = sealer.update(&mut room).expect("sealed");
            let inside = opener.open(&mut room[..length]).expect("opened");
            assert_eq!((inside.content, &room[inside.place]), (content::HANDSHAKE, &KEY_UPDATE[..]));
            opener.update().expect("the next keys");
        }
        assert!(ends().1.open(&mut sealed(&mut sealer, content::DATA, b"x")).is_err(), "under the first key");
    }
}
