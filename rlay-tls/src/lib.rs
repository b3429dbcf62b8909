//! TLS 1.3 for the transports that offer it: certificates, which of them to trust, and one set of address options.
//!
//! `tls://`, `quic://` and `wss://` take the same options and apply the same rules of trust. A listener has a certificate: its
//! own development certificate, made on first use, or one from files. A dialer says which certificate it expects: the
//! one with a fingerprint, as the listener prints it in its address, or one that a CA signed for the name that is
//! dialed. A listener may request a certificate in return.
//!
//! | option | at | |
//! |---|---|---|
//! | `pin=sha256:HEX` | dialer | The fingerprint of the listener's certificate. (A listener checks that it is its own.) |
//! | `ca=FILE` | dialer | The listener's certificate must be signed by one of these, for the name that is dialed. |
//! | `name=NAME` | dialer | The name that the certificate must be for, where it is not the one that is dialed. |
//! | `insecure_skip_verification=yes` | dialer | Takes any certificate: encrypted, not authenticated. |
//! | `cert=FILE` | both | A certificate of one's own and those that lead to its CA, instead of the development certificate. |
//! | `key=FILE` | both | Its key, where `cert` does not hold it, too. |
//! | `ca=FILE` | listener | Dialers must show a certificate that is signed by one of these. |
//! | `clients=FILE` | listener | Dialers must show a certificate with a fingerprint listed here, one on a line. |
//! | `insecure_allow_remote=yes` | listener | Listens for other machines, though nothing authenticates dialers. |
//!
//! Files are PEM, but for the list of clients. A listener checks its files again at each connection: to rotate a
//! certificate, to admit a client or exclude one, change the file; no restart is needed. Files that cannot be used,
//! such as a certificate with its key not replaced yet, are logged and their previous content stays in use. Sessions
//! that are under way are unaffected.
//!
//! A fingerprint names one certificate, so its subject, its signer and its expiry are not checked; to withdraw the
//! certificate, take its fingerprint out of the list.
//!
//! ```
//! use rlay_core::Address;
//! use rlay_tls::{ALPN, TlsOptions};
//!
//! let address: Address = "tls://learner.example:5005?pin=sha256:0f".parse()?;
//! let error = TlsOptions::default().take(&address, "pin", "sha256:0f").unwrap_err();
//! assert!(error.to_string().contains("64 hexadecimal digits"));
//! # Ok::<(), rlay_core::Error>(())
//! ```

mod explain;
mod files;
mod identity;
mod options;
mod pin;
mod session;
mod verifier;

pub use explain::{explain, explain_alert, explain_own_alert};
pub use options::{Dialer, Listening, TlsOptions};
pub use pin::Pin;
pub use session::TlsSession;

/// The name of the protocol inside, which both sides offer in the handshake (RFC 7301).
pub const ALPN: &[u8] = b"rlay";

/// The one provider of cryptography. Chosen here and nowhere else, for rustls would otherwise pick the one that another
/// crate of the program requested.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}
