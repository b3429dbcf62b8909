//! ForeignProtocol: a peer of another protocol, recognized by the first bytes that it sends.

use std::fmt;

/// The protocol of a peer that does not speak RLay.
///
/// ```
/// use rlay::wire::ForeignProtocol;
///
/// assert_eq!(ForeignProtocol::recognize(b"GET / HTTP/1.1"), Some(ForeignProtocol::Http));
/// assert_eq!(ForeignProtocol::Tls.to_string(), "a TLS peer");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignProtocol {
    /// A browser, or a server of the web.
    Http,
    /// TLS, as `tls` has it.
    Tls,
    /// ZeroMQ, as `zmq` has it.
    Zmq,
}

impl ForeignProtocol {
    /// The protocol that begins with these bytes; ten are enough. `None` while there are too few to tell.
    pub fn recognize(first: &[u8]) -> Option<Self> {
        const METHODS: [&[u8]; 7] = [b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"HTTP", b"PRI "];
        match first {
            // RFC 8446, 5.1: an alert or a handshake.
            [0x15 | 0x16, 0x03, ..] => Some(Self::Tls),
            // ZMTP 3.1, "signature": a frame of RLay with these bytes would be of kind 0, of which there is none.
            [0xff, 0, 0, 0, 0, 0, 0, 0, _, 0x7f, ..] => Some(Self::Zmq),
            _ if METHODS.iter().any(|word| first.starts_with(word)) => Some(Self::Http),
            _ => None,
        }
    }

    /// What to do about it, at either end.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Http => "check the address and port at both ends, or use ws:// at both ends for a WebSocket",
            Self::Tls => "use tls:// at both ends, or at neither",
            Self::Zmq => "use zmq:// at both ends (zmq+ipc:// for a file), or at neither",
        }
    }
}

impl fmt::Display for ForeignProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "an HTTP peer",
            Self::Tls => "a TLS peer",
            Self::Zmq => "a ZeroMQ peer",
        })
    }
}
