//! Token: a secret that both ends know, and the proofs of that which cross the wire instead of it.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Error, ErrorKind, Result};

/// The environment variable that holds the token of endpoints that are given none.
pub const TOKEN_VARIABLE: &str = "RLAY_TOKEN";

/// Bytes of a proof: HMAC-SHA256 (RFC 2104, FIPS 180-4).
pub(crate) const PROOF: usize = 32;
/// Random bytes that make each proof another one.
pub(crate) const NONCE: usize = 32;

/// A secret that both ends know. It is never sent and never shown; `{:?}` prints `Token(…)`.
///
/// Whoever overhears a handshake over an open network can try out guesses at home, so make it long and random.
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
    /// The token `secret`, which must not be empty.
    pub fn new(secret: &str) -> Result<Self> {
        Self::from_bytes(secret.as_bytes()).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "an empty token protects nothing; make one of at least 16 random characters")
        })
    }

    /// The token in the environment variable [`RLAY_TOKEN`](TOKEN_VARIABLE), if it is set and not empty.
    pub fn from_env() -> Option<Self> {
        std::env::var_os(TOKEN_VARIABLE).and_then(|secret| Self::from_bytes(secret.as_encoded_bytes()))
    }

    /// The secret as an environment variable holds it, for a child process.
    #[cfg(unix)]
    pub(crate) fn secret(&self) -> std::ffi::OsString {
        std::os::unix::ffi::OsStringExt::from_vec(self.0.to_vec())
    }

    fn from_bytes(secret: &[u8]) -> Option<Self> {
        (!secret.is_empty()).then(|| Self(secret.into()))
    }

    /// What `who` sends to prove that it knows the token, in the handshake of these two frames.
    pub(crate) fn prove(&self, who: Prover, hello: &[u8], challenge: &[u8]) -> [u8; PROOF] {
        self.mac(who, hello, challenge).finalize().into_bytes().into()
    }

    /// Whether `proof` is that, found out in a time that does not depend on where they differ.
    pub(crate) fn is_proven(&self, who: Prover, hello: &[u8], challenge: &[u8], proof: &[u8]) -> bool {
        self.mac(who, hello, challenge).verify_slice(proof).is_ok()
    }

    fn mac(&self, who: Prover, hello: &[u8], challenge: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        mac.update(match who {
            Prover::Dialer => b"rlay dialer",
            Prover::Listener => b"rlay listener",
        });
        mac.update(hello);
        mac.update(challenge);
        mac
    }
}

/// Whose proof it is, so that nobody can send back what the other one sent.
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

    #[test]
    fn a_proof_is_of_one_token_one_side_and_one_handshake() {
        let token = Token::new("secret").unwrap();
        let proof = token.prove(Prover::Dialer, b"hello", b"challenge");
        assert!(token.is_proven(Prover::Dialer, b"hello", b"challenge", &proof));
        assert!(!token.is_proven(Prover::Listener, b"hello", b"challenge", &proof));
        assert!(!token.is_proven(Prover::Dialer, b"hello", b"another", &proof));
        assert!(!token.is_proven(Prover::Dialer, b"other", b"challenge", &proof));
        assert!(!token.is_proven(Prover::Dialer, b"hello", b"challenge", &proof[..31]));
        assert!(!token.is_proven(Prover::Dialer, b"hello", b"challenge", &[]));
        assert!(!Token::new("Secret").unwrap().is_proven(Prover::Dialer, b"hello", b"challenge", &proof));
    }

    #[test]
    fn an_empty_token_is_refused() {
        assert_eq!(Token::new("").unwrap_err().kind(), ErrorKind::Usage);
    }
}
