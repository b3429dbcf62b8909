//! The channel: length-prefixed frames on the one stream of a connection.

use std::time::Duration;

use async_trait::async_trait;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use rlay_core::{
    Channel, Error, ErrorKind, Frame, Result, TransportOptions, Watch,
    net::{broken, goodbye, lost, lost_by},
    wire::{END, Framing},
};
use rlay_tls::{explain_alert, explain_own_alert};

use crate::{
    endpoint::PendingHandshake,
    liveness::{self, GIVEN_UP},
    options::window,
};

/// The error code of a connection after its channel was closed.
const CLOSED: VarInt = VarInt::from_u32(0);
/// The error code of a connection after its channel was dropped.
const DROPPED: VarInt = VarInt::from_u32(1);
/// Below this many bytes, prefix, head and body are copied together, for one call instead of three.
const TOGETHER: usize = 16 << 10;

/// A connection and its stream.
#[derive(Debug)]
pub(crate) struct Streams {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

impl Streams {
    /// From now on the connection ends if nothing is received for the liveness bound.
    pub(crate) fn new(connection: Connection, (send, receive): (SendStream, RecvStream), liveness: Duration) -> Self {
        tokio::spawn(liveness::keep(connection.clone(), liveness));
        Self { connection, send, receive }
    }
}

impl Drop for Streams {
    /// Tells the peer that the channel was dropped, unless the connection was closed before.
    fn drop(&mut self) {
        self.connection.close(DROPPED, b"");
    }
}

#[derive(Debug)]
enum State {
    PendingHandshake(PendingHandshake),
    Open(Streams),
    /// The handshake failed.
    Failed(Error),
    Closed,
}

#[derive(Debug)]
pub(crate) struct QuicChannel {
    state: State,
    framing: Framing,
    peer: String,
    /// Whether this is the listener's end, where a dialer is unauthenticated at first.
    is_accepted: bool,
    /// Set while a frame is partly sent; still set at the next call if that send was cancelled.
    is_sending: bool,
    /// Prefix, head and body of a small frame.
    together: Vec<u8>,
}

impl QuicChannel {
    pub(crate) fn open(streams: Streams, peer: String, options: &TransportOptions) -> Self {
        Self::new(State::Open(streams), false, peer, options)
    }

    pub(crate) fn meet(handshake: PendingHandshake, peer: String, options: &TransportOptions) -> Self {
        Self::new(State::PendingHandshake(handshake), true, peer, options)
    }

    fn new(state: State, is_accepted: bool, peer: String, options: &TransportOptions) -> Self {
        let framing = Framing::new(options.max_frame);
        Self { state, framing, peer, is_accepted, is_sending: false, together: vec![] }
    }

    /// Waits for the handshake, if it is not over yet.
    async fn usable(&mut self) -> Result<()> {
        if let State::PendingHandshake(handshake) = &mut self.state {
            self.state = match handshake.streams().await {
                Ok(streams) => State::Open(streams),
                Err(error) => State::Failed(error),
            };
            self.widen();
        }
        match &self.state {
            State::Closed => Err(Error::new(ErrorKind::Closed, "the channel was closed")),
            State::Failed(error) => Err(error.clone()),
            _ if self.is_sending => Err(broken(&self.peer)),
            _ => Ok(()),
        }
    }

    /// At the listener's end: widens the peer's window to what its longest frames need.
    fn widen(&self) {
        if let (true, State::Open(Streams { connection, .. })) = (self.is_accepted, &self.state) {
            connection.set_receive_window(window(self.framing.max_frame()));
        }
    }

    async fn write(&mut self, parts: &[&[u8]]) -> Result<()> {
        let State::Open(Streams { send, connection, .. }) = &mut self.state else { return Ok(()) };
        let is_sending = &mut self.is_sending;
        let result = async {
            for part in parts {
                let mut rest = *part;
                while !rest.is_empty() {
                    rest = &rest[send.write(rest).await?..];
                    *is_sending = true;
                }
            }
            Ok(())
        }
        .await;
        // If the connection is over, what the peer had sent before can still be read.
        self.is_sending = false;
        result.map_err(|error| match error {
            WriteError::ConnectionLost(reason) => explain(&self.peer, &reason),
            other => explain_or(&self.peer, connection, other),
        })
    }
}

/// Why a connection is over, in plain words. This end closes no connection in use, unless it gives the connection up.
pub(crate) fn explain(peer: &str, reason: &ConnectionError) -> Error {
    let error = match reason {
        ConnectionError::TimedOut | ConnectionError::LocallyClosed => {
            lost(peer, "nothing was heard for too long; its machine or the network is gone, or it was killed")
        }
        ConnectionError::ApplicationClosed(end) if end.error_code == GIVEN_UP => {
            lost(peer, "the other end heard nothing for too long and gave the connection up; did this one stand still?")
        }
        ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => {
            lost(peer, "the connection ended without a goodbye; the other end dropped it, crashed or was restarted")
        }
        ConnectionError::ConnectionClosed(why) => {
            // RFC 9001, section 4.8: an alert of TLS is the low byte of such a code.
            let code = u64::from(why.error_code);
            let alert = (code & !0xff == 0x100).then(|| explain_alert(peer, code as u8)).flatten();
            alert.unwrap_or_else(|| lost(peer, why))
        }
        ConnectionError::TransportError(why) => {
            let code = u64::from(why.code);
            match code & !0xff == 0x100 {
                true => explain_own_alert(peer, code as u8, &why.reason),
                false => lost(peer, why),
            }
        }
        ConnectionError::VersionMismatch => {
            Error::protocol(format!("{peer}: it speaks another version of QUIC; is it an RLay endpoint?"))
        }
        other => lost(peer, other),
    };
    error.with_source(reason.clone())
}

fn explain_or(peer: &str, connection: &Connection, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    match connection.close_reason() {
        Some(reason) => explain(peer, &reason),
        None => lost_by(peer, error),
    }
}

#[async_trait]
impl Channel for QuicChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        let prefix = self.framing.prefix(head.len() + body.len())?;
        self.usable().await?;
        if head.len() + body.len() > TOGETHER {
            return self.write(&[&prefix, head, body]).await;
        }
        let mut together = std::mem::take(&mut self.together);
        together.clear();
        [&prefix, head, body].iter().for_each(|part| together.extend_from_slice(part));
        let result = self.write(&[&together]).await;
        self.together = together;
        result
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        self.usable().await?;
        let State::Open(Streams { receive, connection, .. }) = &mut self.state else {
            return Err(lost(&self.peer, "no connection"));
        };
        loop {
            if let Some(frame) = self.framing.take()? {
                return Ok(Some(frame));
            }
            if self.framing.ended() {
                return Ok(None);
            }
            match receive.read(self.framing.space()).await {
                Ok(Some(n)) => self.framing.filled(n),
                Ok(None) => return Err(lost(&self.peer, "the stream ended without a goodbye")),
                Err(ReadError::ConnectionLost(reason)) => return Err(explain(&self.peer, &reason)),
                Err(error) => return Err(explain_or(&self.peer, connection, error)),
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        if matches!(self.state, State::Closed) {
            return Ok(());
        }
        let said = match self.usable().await {
            Err(_) if matches!(self.state, State::Failed(_)) => Ok(()),
            Ok(()) => goodbye(self.write(&[&END]).await),
            broken => broken,
        };
        if let State::Open(Streams { send, .. }) = &mut self.state
            && said.is_ok()
        {
            let _ = send.finish();
            // Acknowledged means received by the peer's QUIC endpoint: the peer can still read what it has not read
            // yet. An error means that the connection is over, which `close` reports it to be.
            let _ = send.stopped().await;
        }
        if let State::Open(streams) = std::mem::replace(&mut self.state, State::Closed) {
            streams.connection.close(if said.is_ok() { CLOSED } else { DROPPED }, b"");
        }
        said
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.framing.set_max_frame(max_frame);
        self.widen();
    }

    fn watch(&self) -> Option<Watch> {
        let State::Open(Streams { connection, .. }) = &self.state else { return None };
        let (connection, peer) = (connection.clone(), self.peer.clone());
        Some(Box::new(move || match connection.close_reason() {
            None => Ok(()),
            Some(ConnectionError::ApplicationClosed(end)) if end.error_code == CLOSED => Ok(()),
            Some(reason) => Err(explain(&peer, &reason)),
        }))
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}
