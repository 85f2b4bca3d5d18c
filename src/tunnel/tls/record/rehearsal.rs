//! Two ends that share a secret, and records that are against the rules: for tests and fuzzing.

use super::*;

/// The keys of a direction with this secret.
pub(super) fn keys(suite: (&'static aead::Algorithm, hkdf::Algorithm), secret: &[u8]) -> Keys {
    let suite = Suite { aead: suite.0, hash: suite.1, records_max: GCM_RECORDS_MAX };
    Keys::derive(suite, Prk::new_less_safe(suite.hash, secret), 0).expect("keys")
}

/// Both ends of a direction.
pub(crate) fn ends() -> (Sealer, Opener) {
    let of = || keys((&aead::AES_128_GCM, hkdf::HKDF_SHA256), &[7; 32]);
    (Sealer(of()), Opener(of()))
}

/// A record as we make it.
pub(crate) fn sealed(sealer: &mut Sealer, content: u8, data: &[u8]) -> Vec<u8> {
    let mut room = [&[0; HEADER_BYTES][..], data, &[0; 1 + TAG_BYTES]].concat();
    let length = sealer.seal(content, data.len(), &mut room).expect("sealed");
    assert_eq!(length, room.len());
    room
}

/// A record with whatever inside, which may be against the rules: data, its type, and padding.
pub(crate) fn sealed_raw(sealer: &mut Sealer, inner: &[u8]) -> Vec<u8> {
    let header = header(inner.len() + TAG_BYTES).expect("a length");
    let mut body = inner.to_vec();
    let nonce = sealer.0.nonce().expect("a nonce");
    let tag = sealer.0.key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut body).expect("sealed");
    [&header[..], &body, tag.as_ref()].concat()
}
