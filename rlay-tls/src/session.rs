//! The session of TLS on one connection, sans-io: bytes for the wire and bytes from it, on memory alone.

use std::{
    fmt,
    io::{IoSlice, Read, Write},
    ops::Range,
};

use rlay_core::Error;
use rustls::Connection;

use crate::explain::explain_to;

/// The bytes requested from the connection at once, at most...
const FLIGHT: usize = 128 << 10;
/// ...and at first, for most sessions never have more.
const SMALL: usize = 16 << 10;
/// The number of first bytes of a peer that are kept: they say which protocol it speaks if that is not TLS.
const FIRST: usize = 10;

/// Encrypts outgoing bytes and decrypts received ones.
///
/// The channel that moves the bytes writes [`outgoing`](Self::outgoing) to the connection, reports how much was
/// [sent](Self::sent), reads into [`space`](Self::space) and reports how much was [received](Self::filled). Until
/// [`is_shaking`](Self::is_shaking) is false, the channel does nothing else.
pub struct TlsSession {
    connection: Connection,
    outgoing: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
    /// Received bytes that are not decrypted yet.
    arrived: Range<usize>,
    /// A read has filled the buffer, so more bytes may be available than it holds.
    is_full: bool,
    /// The first bytes that arrived, and their number.
    first: ([u8; FIRST], usize),
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shaking, outgoing) = (self.is_shaking(), self.outgoing().len());
        f.debug_struct("TlsSession").field("shaking", &shaking).field("outgoing", &outgoing).finish_non_exhaustive()
    }
}

impl TlsSession {
    /// Begins a session on a new connection.
    pub fn new(connection: impl Into<Connection>) -> Self {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(FLIGHT));
        let mut session = Self {
            connection,
            outgoing: vec![],
            sent: 0,
            incoming: vec![],
            arrived: 0..0,
            is_full: false,
            first: ([0; FIRST], 0),
        };
        session.collect();
        session
    }

    /// Whether the handshake is under way.
    pub fn is_shaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes as much plaintext as fits at once; always some once the handshake is complete and nothing is outgoing,
    /// unless the session has failed.
    pub fn seal(&mut self, plain: &[IoSlice<'_>]) -> usize {
        let taken = self.connection.writer().write_vectored(plain).unwrap_or(0);
        self.collect();
        taken
    }

    /// Tells the peer that nothing follows.
    pub fn finish(&mut self) {
        self.connection.send_close_notify();
        self.collect();
    }

    /// Bytes for the wire.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// `n` bytes of [`outgoing`](Self::outgoing) were sent.
    pub fn sent(&mut self, n: usize) {
        self.sent += n;
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
    }

    /// The [outgoing](Self::outgoing) bytes are discarded: the connection takes no more. Received bytes stay valid.
    pub fn give_up(&mut self) {
        self.sent(self.outgoing().len());
    }

    /// Where to read bytes from the wire to. Never empty once [`open`](Self::open) returned nothing.
    pub fn space(&mut self) -> &mut [u8] {
        if self.is_full || self.incoming.is_empty() {
            let larger = (2 * self.incoming.len()).clamp(SMALL, FLIGHT);
            self.incoming.resize(larger, 0);
            self.is_full = false;
        }
        if self.arrived.is_empty() {
            self.arrived = 0..0;
        }
        &mut self.incoming[self.arrived.end..]
    }

    /// `n` bytes arrived in [`space`](Self::space).
    pub fn filled(&mut self, n: usize) {
        let (first, known) = &mut self.first;
        if *known < FIRST {
            let more = n.min(FIRST - *known);
            first[*known..][..more].copy_from_slice(&self.incoming[self.arrived.end..][..more]);
            *known += more;
        }
        self.arrived.end += n;
        self.is_full = self.arrived.end == self.incoming.len();
    }

    /// Whether bytes have arrived that [`open`](Self::open) has not returned yet, if only the peer's closing alert.
    pub fn is_holding(&self) -> bool {
        !self.arrived.is_empty() || !self.connection.wants_read()
    }

    /// The error for a fault that [`open`](Self::open) found with `peer`.
    pub fn explain(&self, peer: &str, error: &rustls::Error) -> Error {
        let (first, known) = &self.first;
        explain_to(peer, error, &first[..*known])
    }

    /// Decrypts into `plain`; zero bytes say that more must arrive. After an error, which is the peer's, the
    /// [outgoing](Self::outgoing) bytes tell the peer about it.
    pub fn open(&mut self, plain: &mut [u8]) -> Result<usize, rustls::Error> {
        loop {
            // No data and a peer that sent its closing alert look alike: after the alert nothing arrives any more.
            if let Ok(n @ 1..) = self.connection.reader().read(plain) {
                return Ok(n);
            }
            let mut arrived = &self.incoming[self.arrived.clone()];
            if arrived.is_empty() || !self.connection.wants_read() {
                return Ok(0);
            }
            let taken = self.connection.read_tls(&mut arrived).unwrap_or(0);
            self.arrived.start += taken;
            let processed = self.connection.process_new_packets();
            self.collect();
            processed?;
            if taken == 0 {
                return Ok(0);
            }
        }
    }

    fn collect(&mut self) {
        while self.connection.wants_write() {
            // Writing to memory does not fail.
            if !matches!(self.connection.write_tls(&mut self.outgoing), Ok(1..)) {
                return;
            }
        }
    }
}
