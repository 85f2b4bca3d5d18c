//! Tokens of clients, what the server keeps of them, and the proofs that both sides give, after SCRAM (RFC 5802).
//!
//! The token is 256 random bits, so there is no salt and no stretching. The server keeps two keys from which the token
//! cannot be computed, so a stolen database lets nobody in; the client sends a proof that is good for one connection.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// What every token begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "pwt_";

/// Letters after the prefix: 40 bytes in base 32.
const LETTERS: usize = 64;

/// Names what is computed, so that no key or proof can stand for another.
const CLIENT_KEY: &[u8] = b"portwright client key";
const SERVER_KEY: &[u8] = b"portwright server key";
const SESSION: &[u8] = b"portwright session 1";
const DATA_CONNECTIONS: &[u8] = b"portwright data connections";
const JOIN: &[u8] = b"portwright join";

/// The public name of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TokenId(pub(crate) [u8; 8]);

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for TokenId {
    type Err = TokenFault;

    fn from_str(text: &str) -> Result<Self, TokenFault> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| TokenFault)?;
        bytes.try_into().map(Self).map_err(|_| TokenFault)
    }
}

/// What a client proves that it has. `Debug` and `Display` show stars; only [`Token::expose`] gives the text.
#[derive(Clone)]
pub(crate) struct Token {
    id: TokenId,
    secret: [u8; 32],
}

/// A text that is no token, or not a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenFault;

impl Token {
    /// Makes a token from the system's randomness.
    pub(crate) fn random() -> Self {
        let mut system = UnwrapErr(SysRng);
        Self { id: TokenId(system.random()), secret: system.random() }
    }

    /// Puts a token together from its parts.
    pub(crate) const fn from_parts(id: TokenId, secret: [u8; 32]) -> Self {
        Self { id, secret }
    }

    /// Returns the public name.
    pub(crate) const fn id(&self) -> TokenId {
        self.id
    }

    /// Returns the secret bytes, for a join code.
    pub(crate) const fn expose_secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Returns the text, for the one place that shows it once or writes it to a private file.
    pub(crate) fn expose(&self) -> String {
        let bytes = [&self.id.0[..], &self.secret].concat();
        format!("{PREFIX}{}", base32(&bytes))
    }

    /// Returns what the server keeps.
    pub(crate) fn verifier(&self) -> Verifier {
        let client_key = mac(&self.secret, &[CLIENT_KEY]);
        Verifier { stored_key: Sha256::digest(client_key).into(), server_key: mac(&self.secret, &[SERVER_KEY]) }
    }

    /// Returns the client's proof for this transcript.
    pub(crate) fn prove(&self, transcript: &Transcript) -> [u8; 32] {
        let client_key = mac(&self.secret, &[CLIENT_KEY]);
        exclusive_or(&client_key, &mac(&Sha256::digest(client_key), &[&transcript.0]))
    }

    /// Tells whether the server's signature is that of one who keeps this token.
    pub(crate) fn recognises(
        &self,
        signature: &[u8; 32],
        transcript: &Transcript,
        session: &[u8; 16],
        name: &str,
    ) -> bool {
        let signed = self.verifier().sign(transcript, session, name);
        signed.ct_eq(signature).into()
    }

    /// Returns the key of the session's data connections.
    pub(crate) fn session_key(&self, transcript: &Transcript) -> SessionKey {
        SessionKey::derive(&mac(&self.secret, &[CLIENT_KEY]), transcript)
    }
}

impl FromStr for Token {
    type Err = TokenFault;

    /// Reads a token in either case; blanks around it, as files and terminals add them, do not matter.
    fn from_str(text: &str) -> Result<Self, TokenFault> {
        let text = text.trim();
        let (prefix, letters) = text.split_at_checked(PREFIX.len()).ok_or(TokenFault)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) || letters.len() != LETTERS {
            return Err(TokenFault);
        }
        let bytes = from_base32(letters).ok_or(TokenFault)?;
        let (id, secret) = bytes.split_first_chunk().ok_or(TokenFault)?;
        Ok(Self { id: TokenId(*id), secret: secret.try_into().map_err(|_| TokenFault)? })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}***")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}***")
    }
}

/// What the server keeps of a token: enough to recognise it, too little to present it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    /// The digest of the key that a proof reveals.
    pub(crate) stored_key: [u8; 32],
    /// The key of the server's own proof.
    pub(crate) server_key: [u8; 32],
}

impl Verifier {
    /// Returns keys that no token has, to spend the same time on a name that nobody has.
    pub(crate) fn of_nobody() -> Self {
        let mut rng = rand::rng();
        Self { stored_key: rng.random(), server_key: rng.random() }
    }

    /// Judges a proof in constant time; what it reveals is the key of the session's data connections.
    pub(crate) fn judge(&self, proof: &[u8; 32], transcript: &Transcript) -> Verdict {
        let client_key = exclusive_or(proof, &mac(&self.stored_key, &[&transcript.0]));
        let right = Sha256::digest(client_key).as_slice().ct_eq(&self.stored_key);
        Verdict { right, session_key: SessionKey::derive(&client_key, transcript) }
    }

    /// Returns the server's signature.
    pub(crate) fn sign(&self, transcript: &Transcript, session: &[u8; 16], name: &str) -> [u8; 32] {
        mac(&self.server_key, &[&transcript.0, session, name.as_bytes()])
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Verifier(***)")
    }
}

/// What came of a proof. The key is worth something only where the proof was right.
pub(crate) struct Verdict {
    right: Choice,
    session_key: SessionKey,
}

impl Verdict {
    /// Returns the key of the session's data connections when the proof was right.
    pub(crate) fn session_key(self) -> Option<SessionKey> {
        bool::from(self.right).then_some(self.session_key)
    }
}

/// Everything that both sides said before the proof, and the connection that they said it on.
#[derive(Clone)]
pub(crate) struct Transcript(Vec<u8>);

impl Transcript {
    /// Takes the whole frames, because their headers say where each ends, and the exporter of the connection.
    pub(crate) fn new(hello: &[u8], challenge: &[u8], exporter: &[u8; 32]) -> Self {
        Self([SESSION, hello, challenge, exporter].concat())
    }
}

/// The key that ties data connections to their session.
#[derive(Clone)]
pub(crate) struct SessionKey([u8; 32]);

impl SessionKey {
    fn derive(client_key: &[u8; 32], transcript: &Transcript) -> Self {
        Self(mac(client_key, &[DATA_CONNECTIONS, &transcript.0]))
    }

    /// Returns a key that no session has.
    pub(crate) fn of_nobody() -> Self {
        Self(rand::rng().random())
    }

    /// Returns the proof that a data connection belongs to a stream of the session.
    pub(crate) fn join_mac(&self, session: &[u8; 16], stream: u32, nonce: &[u8; 16], exporter: &[u8; 32]) -> [u8; 32] {
        mac(&self.0, &[JOIN, session, &stream.to_be_bytes(), nonce, exporter])
    }

    /// Tells in constant time whether `offered` is the proof of these.
    pub(crate) fn admits(
        &self,
        offered: &[u8; 32],
        session: &[u8; 16],
        stream: u32,
        nonce: &[u8; 16],
        exporter: &[u8; 32],
    ) -> bool {
        self.join_mac(session, stream, nonce, exporter).ct_eq(offered).into()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionKey(***)")
    }
}

/// HMAC-SHA-256 over the parts, one behind the other.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of HMAC may have any length; an empty one is what a failure would leave, and it proves nothing.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn exclusive_or(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut out = *left;
    out.iter_mut().zip(right).for_each(|(byte, other)| *byte ^= other);
    out
}

/// Writes base 32 in small letters: `a` to `z` and `2` to `7`, so neither 0 and o nor 1 and l can be mixed up.
pub(crate) fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Reads base 32 in either case.
pub(crate) fn from_base32(text: &str) -> Option<Vec<u8>> {
    BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::from_parts(
            TokenId(*b"\x01\x23\x45\x67\x89\xab\xcd\xef"),
            std::array::from_fn(|at| u8::try_from(at).unwrap()),
        )
    }

    fn transcript() -> Transcript {
        Transcript::new(b"hello", b"challenge", &[0x5a; 32])
    }

    fn hex(bytes: &[u8]) -> String {
        HEXLOWER.encode(bytes)
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_hides_itself() {
        let token = token();
        let text = token.expose();
        assert_eq!(text, "pwt_aerukz4jvpg66aabaibqibiga4eascqlbqgq4dyqcejbgfavcylrqgi2dmob2hq7");
        for spelt in [text.clone(), text.to_ascii_uppercase(), format!(" {text}\r\n")] {
            assert_eq!(spelt.parse::<Token>().expect("a token").expose(), text);
        }
        for broken in
            ["", "pwt_", &text[..67], &format!("{text}a"), &text.replace("pwt_", "pwj_"), &text.replace('a', "1")]
        {
            assert_eq!(broken.parse::<Token>().err(), Some(TokenFault), "{broken}");
        }
        assert_eq!(format!("{token} {token:?} {:?}", token.verifier()), "pwt_*** pwt_*** Verifier(***)");
        assert_eq!(token.id().to_string(), "0123456789abcdef");
        assert_eq!("0123456789ABCDEF".parse(), Ok(token.id()));
        assert!("0123".parse::<TokenId>().is_err());
        assert_ne!(Token::random().expose(), Token::random().expose());
    }

    /// Computed with Python's `hmac` and `hashlib`.
    #[test]
    fn keys_and_proofs_are_those_of_the_document() {
        let (token, transcript) = (token(), transcript());
        let verifier = token.verifier();
        assert_eq!(hex(&verifier.stored_key), "7793b87e7445ea63ae9d1c65a3d33149f05f3889ebbc3950783f454b22cf8e18");
        assert_eq!(hex(&verifier.server_key), "e5e6b21d820c881af8e550c61d9b4625208c7108b7e6e0e0544dda36c5a85af9");
        assert_eq!(hex(&token.prove(&transcript)), "33ecdef4d29d2ae94458b111da254b2b98aafd5cae7f64a5133fdd9788f388d6");
        assert_eq!(
            hex(&verifier.sign(&transcript, &[7; 16], "nas")),
            "ca2ab4125eef3728748988bb67ed27581fff7237cbd1652d083869ef866c9daf"
        );
        let mac = token.session_key(&transcript).join_mac(&[7; 16], 9, &[8; 16], &[0; 32]);
        assert_eq!(hex(&mac), "887a3f90e316c82851c9606d1fbd8a0ce615ee042b4e9359f002e2e529e8b431");
    }

    #[test]
    fn a_right_proof_gives_both_sides_one_key_and_any_other_gives_none() {
        let (token, transcript) = (token(), transcript());
        let verifier = token.verifier();
        let proof = token.prove(&transcript);
        let key = verifier.judge(&proof, &transcript).session_key().expect("right");
        let mac = token.session_key(&transcript).join_mac(&[1; 16], 2, &[3; 16], &[4; 32]);
        assert!(key.admits(&mac, &[1; 16], 2, &[3; 16], &[4; 32]));
        assert!(!key.admits(&mac, &[1; 16], 3, &[3; 16], &[4; 32]));
        assert!(!key.admits(&mac, &[1; 16], 2, &[3; 16], &[5; 32]));
        let elsewhere = Transcript::new(b"hello", b"challenge", &[0x5b; 32]);
        assert!(verifier.judge(&proof, &elsewhere).session_key().is_none(), "another connection");
        assert!(Token::random().verifier().judge(&proof, &transcript).session_key().is_none(), "another token");
        assert!(Verifier::of_nobody().judge(&proof, &transcript).session_key().is_none());
        for bit in 0..256 {
            let mut wrong = proof;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(verifier.judge(&wrong, &transcript).session_key().is_none(), "bit {bit}");
        }
    }

    #[test]
    fn the_server_proves_that_it_knows_the_token() {
        let (token, transcript) = (token(), transcript());
        let signature = token.verifier().sign(&transcript, &[7; 16], "nas");
        assert!(token.recognises(&signature, &transcript, &[7; 16], "nas"));
        assert!(!token.recognises(&signature, &transcript, &[7; 16], "nas/other"));
        assert!(!token.recognises(&signature, &transcript, &[8; 16], "nas"));
        assert!(!Token::random().recognises(&signature, &transcript, &[7; 16], "nas"));
    }
}
