//! Token: a secret that both ends know, and the proofs of knowing the secret, which cross the wire in its place.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// The environment variable that holds the token of endpoints that are given none.
pub const TOKEN_VARIABLE: &str = "RLAY_TOKEN";

/// Bytes of a proof: HMAC-SHA256 (RFC 2104, FIPS 180-4).
pub(crate) const PROOF: usize = 32;
/// Random bytes that make each proof different.
pub(crate) const NONCE: usize = 32;
/// Minimum number of visible characters in a token.
const SHORTEST: usize = 8;

/// A secret that both ends know. It is never sent and never shown; `{:?}` prints `Token(…)`.
///
/// An eavesdropper on a handshake over an open network can test guesses offline, so make the token long and random.
///
/// ```
/// use rlay::Token;
///
/// let token = Token::new("vC8v2gGm4Zp1QkT0sYxJ7w")?;
/// assert_eq!(format!("{token:?}"), "Token(…)");
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Arc<[u8]>);

impl Token {
    /// The token `secret`. It must have at least eight characters that are visible: neither white space nor control
    /// characters.
    pub fn new(secret: &str) -> Result<Self> {
        let token = Self(secret.as_bytes().into());
        token.check().map(|()| token)
    }

    /// The token in the environment variable [`RLAY_TOKEN`](TOKEN_VARIABLE), if it is set and not empty. One that
    /// [`new`](Self::new) would refuse is refused by the endpoint that is given it.
    pub fn from_env() -> Option<Self> {
        let secret = std::env::var_os(TOKEN_VARIABLE).filter(|secret| !secret.is_empty());
        secret.map(|secret| Self(secret.as_encoded_bytes().into()))
    }

    /// An unguessable token.
    #[cfg(unix)]
    pub(crate) fn random() -> Result<Self> {
        let digits = nonce()?.map(|byte| format!("{byte:02x}"));
        Self::new(&digits.concat())
    }

    /// Refuses a token that could be guessed at once.
    pub(crate) fn check(&self) -> Result<()> {
        let is_visible = |c: &char| !c.is_whitespace() && !c.is_control();
        let why = match std::str::from_utf8(&self.0) {
            Ok(text) if text.chars().filter(is_visible).count() >= SHORTEST => return Ok(()),
            Ok(_) => "has less than eight visible characters",
            Err(_) => "is no text in UTF-8",
        };
        Err(Error::new(
            ErrorKind::Usage,
            format!(
                "the token, of token= or {TOKEN_VARIABLE}, {why}; make a long and random one: \
                 python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
            ),
        ))
    }

    /// The secret as an environment variable holds it, for a child process.
    #[cfg(unix)]
    pub(crate) fn secret(&self) -> std::ffi::OsString {
        std::os::unix::ffi::OsStringExt::from_vec(self.0.to_vec())
    }

    /// The proof of knowing the token that the given side sends in the handshake of these two frames.
    pub(crate) fn prove(&self, who: Prover, hello: &[u8], challenge: &[u8]) -> [u8; PROOF] {
        self.mac(who, hello, challenge).finalize().into_bytes().into()
    }

    /// Whether `proof` is that side's proof, compared in a time that does not depend on where the two differ.
    pub(crate) fn is_proven(&self, who: Prover, hello: &[u8], challenge: &[u8], proof: &[u8]) -> bool {
        self.mac(who, hello, challenge).verify_slice(proof).is_ok()
    }

    fn mac(&self, who: Prover, hello: &[u8], challenge: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key()).expect("a key may have any length");
        mac.update(match who {
            Prover::Dialer => b"rlay dialer",
            Prover::Listener => b"rlay listener",
        });
        mac.update(hello);
        mac.update(challenge);
        mac
    }

    /// Hashes the token, with its length, to the key of its proofs. HMAC itself takes a key for the same with zeros
    /// behind it, and a long key for its hash.
    fn key(&self) -> [u8; 32] {
        let length = (self.0.len() as u64).to_le_bytes();
        Sha256::new().chain_update(length).chain_update(&self.0).finalize().into()
    }
}

/// The side that a proof is from, so that neither side can send back the proof of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prover {
    Dialer,
    Listener,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Random bytes of the operating system.
pub(crate) fn nonce() -> Result<[u8; NONCE]> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce)
        .map_err(|e| Error::new(ErrorKind::Usage, format!("the system gives no random bytes: {e}")))?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgentOptions, ClientEnv, HostOptions, Mem, ServerEnv, endpoint::Acceptor};

    #[test]
    fn a_proof_is_of_one_token_one_side_and_one_handshake() {
        let token = Token::new("the secret").unwrap();
        let proof = token.prove(Prover::Dialer, b"hello", b"challenge");
        assert!(token.is_proven(Prover::Dialer, b"hello", b"challenge", &proof));
        assert!(!token.is_proven(Prover::Listener, b"hello", b"challenge", &proof));
        assert!(!token.is_proven(Prover::Dialer, b"hello", b"another", &proof));
        assert!(!token.is_proven(Prover::Dialer, b"other", b"challenge", &proof));
        assert!(!token.is_proven(Prover::Dialer, b"hello", b"challenge", &proof[..31]));
        assert!(!token.is_proven(Prover::Dialer, b"hello", b"challenge", &[]));
        assert!(!Token::new("The secret").unwrap().is_proven(Prover::Dialer, b"hello", b"challenge", &proof));
    }

    #[test]
    fn tokens_that_differ_have_different_proofs() {
        let token = |secret: &str| Token::new(secret).unwrap();
        let long = "long enough ".repeat(8);
        // HMAC alone would give both of each pair the same proof.
        for (one, other) in [("12345678", "12345678\0"), ("12345678\0", "12345678\0\0"), (&long, &format!("{long}\0"))]
        {
            let proof = token(one).prove(Prover::Dialer, b"hello", b"challenge");
            assert!(!token(other).is_proven(Prover::Dialer, b"hello", b"challenge", &proof), "{one:?}, {other:?}");
        }
    }

    #[test]
    fn a_proof_is_that_of_the_specification() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let read = |file: &str| std::fs::read_to_string(docs.join(file)).expect("a file of the repository");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&read("vectors/frames.json")).expect("vectors");
        let frame = |name: &str| {
            let vector = vectors.iter().find(|vector| vector["name"] == name).expect("a vector");
            let hex = vector["hex"].as_str().expect("a text");
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect::<Vec<_>>()
        };
        let (hello, challenge) = (frame("frame/hello/with-a-token"), frame("frame/challenge"));
        let (token, page) = (Token::new("an example of a token").unwrap(), read("wire.md"));
        assert!(page.contains(&format!("| key | `{}` |", hex(&token.key()))));
        for (who, name) in [(Prover::Dialer, "dialer"), (Prover::Listener, "listener")] {
            let proof = hex(&token.prove(who, &hello, &challenge));
            assert!(page.contains(&format!("| the {name}'s proof | `{proof}` |")), "{name}: {proof}");
        }
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        for weak in ["", " ", "1234567", "1234567 ", "        ", "\0\0\0\0\0\0\0\0", "1 2 3 4 5 6 7\n\u{a0}"] {
            let error = Token::new(weak).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("token_urlsafe"), "{error}");
            // An endpoint refuses a weak token from any source.
            let weak = Token(weak.as_bytes().into());
            let (agent, host) = (AgentOptions::over(Mem).token(weak.clone()), HostOptions::over(Mem).token(weak));
            let kind = |result: Result<()>| result.unwrap_err().kind();
            assert_eq!(kind(ServerEnv::bind("mem://weak", agent.clone()).map(drop)), ErrorKind::Usage);
            assert_eq!(kind(ClientEnv::connect("mem://weak", agent).map(drop)), ErrorKind::Usage);
            let address = "mem://weak".parse().unwrap();
            assert_eq!(kind(Acceptor::bind_host(&address, host.connection(), None).map(drop)), ErrorKind::Usage);
        }
        for good in ["12345678", "ein Schlüssel", "八个字符就够了吗"] {
            assert!(Token::new(good).is_ok(), "{good}");
        }
        assert!(Token(Arc::from(&b"12345678\xff"[..])).check().unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    #[cfg(unix)]
    fn random_ones_are() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert!(one != other && one.secret().len() == 2 * NONCE);
    }
}
