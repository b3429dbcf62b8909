//! The channel: one frame in each binary message.

use std::{future::poll_fn, sync::Arc};

use async_trait::async_trait;
use rlay_core::{
    Channel, Error, ErrorKind, Frame, Result, TransportOptions, Watch,
    net::{broken, goodbye},
    wire::too_large,
};
use tungstenite::protocol::Role;

use crate::{
    connection::Connection,
    endpoint::{Keeper, PendingHandshake},
    handshake::Opened,
    liveness,
};

/// A connection and the task that looks after it.
#[derive(Debug)]
struct Kept {
    connection: Arc<Connection>,
    _keeper: Keeper,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.connection.shut_down();
    }
}

#[derive(Debug)]
enum State {
    PendingHandshake(PendingHandshake),
    Open(Kept),
    /// The handshake failed.
    Failed(Error),
    Closed,
}

#[derive(Debug)]
pub(crate) struct WsChannel {
    state: State,
    peer: String,
    max_frame: usize,
}

impl WsChannel {
    /// The end that has dialed.
    pub(crate) fn open((socket, tail): Opened, peer: String, options: &TransportOptions) -> Self {
        let connection = Connection::new(socket, &tail, Role::Client, peer.clone(), options.max_frame);
        let connection = Arc::new(connection);
        let keeper = Keeper(tokio::spawn(liveness::keep(connection.clone(), options.liveness)));
        Self::new(State::Open(Kept { connection, _keeper: keeper }), peer, options)
    }

    /// The listener's end.
    pub(crate) fn meet(handshake: PendingHandshake, peer: String, options: &TransportOptions) -> Self {
        Self::new(State::PendingHandshake(handshake), peer, options)
    }

    fn new(state: State, peer: String, options: &TransportOptions) -> Self {
        Self { state, peer, max_frame: options.max_frame }
    }

    /// Waits for the opening handshake, if it is not over yet.
    async fn usable(&mut self) -> Result<Arc<Connection>> {
        if let State::PendingHandshake(handshake) = &mut self.state {
            let met = handshake.connection().await;
            self.state = match (met, std::mem::replace(&mut self.state, State::Closed)) {
                (Ok(connection), State::PendingHandshake(PendingHandshake { keeper, .. })) => {
                    connection.set_max_frame(self.max_frame);
                    State::Open(Kept { connection, _keeper: keeper })
                }
                (Ok(_), other) => other,
                (Err(error), _) => State::Failed(error),
            };
        }
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Open(kept) if kept.connection.is_broken() => Err(broken(&self.peer)),
            State::Open(kept) => Ok(kept.connection.clone()),
            _ => Err(Error::new(ErrorKind::Closed, "the channel was closed")),
        }
    }
}

async fn flushed(connection: &Connection) -> Result<()> {
    poll_fn(|cx| connection.poll_flush(cx)).await
}

#[async_trait]
impl Channel for WsChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        let len = head.len() + body.len();
        if len > self.max_frame {
            return Err(too_large("own", len, self.max_frame));
        }
        let connection = self.usable().await?;
        let mut frame = connection.frame(head, body)?;
        let _sending = connection.sending();
        poll_fn(|cx| connection.poll_send(cx, &mut frame)).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        let connection = self.usable().await?;
        poll_fn(|cx| connection.poll_recv(cx)).await
    }

    async fn close(&mut self) -> Result<()> {
        if matches!(self.state, State::Closed) {
            return Ok(());
        }
        let said = match self.usable().await {
            Err(_) if matches!(self.state, State::Failed(_)) => Ok(()),
            Err(broken) => Err(broken),
            Ok(connection) => {
                connection.say_goodbye();
                // A peer that broke the protocol was told so instead.
                let said = goodbye(flushed(&connection).await)
                    .or_else(|e| if e.kind() == ErrorKind::Protocol { Ok(()) } else { Err(e) });
                // The peer answers once it has read the goodbye, and the connection's task gives up a peer that is
                // gone. Before that, a ping of the peer would meet a closed socket, whose answer discards what
                // is still on its way.
                poll_fn(|cx| connection.poll_over(cx)).await;
                said
            }
        };
        self.state = State::Closed;
        said
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
        if let State::Open(kept) = &self.state {
            kept.connection.set_max_frame(max_frame);
        }
    }

    fn watch(&self) -> Option<Watch> {
        let State::Open(kept) = &self.state else { return None };
        let connection = Arc::downgrade(&kept.connection);
        Some(Box::new(move || connection.upgrade().map_or(Ok(()), |connection| connection.watch())))
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}
