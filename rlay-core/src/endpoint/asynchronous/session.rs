//! AsyncSession: an agent's session and its connection, inside tokio.

use std::time::Duration;

use tokio::time;

use super::{GOODBYE_TIME, connection::AsyncConnection};
use crate::{
    endpoint::agents::agent::{REPORT, START_AGAIN, not_made},
    error::{Error, ErrorKind, Result},
    frame::Frame,
    session::agent_core::{AgentCore, Reply},
    wire::{Goodbye, Make, Spec},
};

/// A session whose environments were made. A request is written by [`core`](Self::core), then sent; its answer is
/// received.
#[derive(Debug)]
pub(super) struct AsyncSession {
    connection: AsyncConnection,
    pub(super) core: AgentCore,
}

impl AsyncSession {
    /// Asks for environments, for `left` at most.
    pub(super) async fn make(connection: AsyncConnection, make: &Make, left: Duration) -> Result<Self> {
        let peer = connection.peer();
        let made = time::timeout(left, Self::ask(connection, make)).await;
        made.unwrap_or_else(|_| Err(not_made(peer, left)))
    }

    /// The same for as long as that takes.
    async fn ask(connection: AsyncConnection, make: &Make) -> Result<Self> {
        let mut core = AgentCore::new(*connection.limits());
        core.make(make)?;
        let mut session = Self { connection, core };
        session.send().await?;
        let frame = session.next().await?;
        match session.core.handle(frame) {
            Ok(Reply::Made) => Ok(session),
            Ok(Reply::Failed(error) | Reply::Over(error)) => Err(error),
            Ok(_) => Err(Error::protocol("the environment's host answered Make with something else")),
            Err(error) => Err(session.abort(error).await),
        }
    }

    /// What the host told.
    pub(super) fn spec(&self) -> &Spec {
        self.core.spec()
    }

    /// Call before each request: answers still to come belong to calls that were cancelled.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.connection.begin()?;
        self.core.give_up();
        Ok(())
    }

    /// Receives and drops the answers to calls that were cancelled.
    pub(super) async fn drop_late(&mut self) -> Result<()> {
        while self.core.is_late() {
            let came = self.receive().await;
            self.core.drop_late(came)?;
        }
        Ok(())
    }

    /// Sends the request that was written.
    pub(super) async fn send(&mut self) -> Result<()> {
        self.connection.send(self.core.request()).await
    }

    /// The answer to a request under way, which may be that it has failed. An error says that the session is over.
    pub(super) async fn receive(&mut self) -> Result<Reply> {
        let frame = self.next().await?;
        match self.core.handle(frame) {
            Ok(Reply::Over(error)) => Err(self.lost(error)),
            Ok(Reply::Made) => Err(Error::protocol("an answer to no request")),
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.abort(error).await),
        }
    }

    async fn next(&mut self) -> Result<Frame> {
        let Self { connection, core } = self;
        match connection.next(core.received(), |peer_received| core.to_retransmit(peer_received)).await {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => {
                Err(self.lost(Error::new(ErrorKind::ConnectionLost, "the environment's host closed the connection")))
            }
            Err(error) if error.kind() == ErrorKind::Protocol => Err(self.abort(error).await),
            Err(error) if error.kind() == ErrorKind::ConnectionLost => Err(self.lost(error)),
            Err(error) => Err(error),
        }
    }

    /// Ends the session and tells the host why.
    pub(super) async fn leave(&mut self, why: &Error) {
        if self.core.goodbye(&Goodbye::because(why)).is_ok() {
            let _ = time::timeout(GOODBYE_TIME, self.connection.finish(self.core.request()[0])).await;
        }
    }

    /// The same, but waits for nothing.
    pub(super) fn leave_later(&mut self, goodbye: &Goodbye) {
        if self.connection.is_ready() && self.core.goodbye(goodbye).is_ok() {
            self.connection.finish_later(self.core.request()[0].to_vec());
        }
    }

    /// Ends the session. A host that does not listen is left after half a second.
    pub(super) async fn close(mut self) -> Result<()> {
        let leave = async {
            let Self { connection, core } = &mut self;
            connection.begin()?;
            // A host whose connection is lost would keep the environment for long.
            connection.recover(core.received(), &|peer_received| core.to_retransmit(peer_received)).await?;
            core.goodbye(&Goodbye { code: 0, message: "the agent closed the environment".into() })?;
            connection.finish(core.request()[0]).await
        };
        time::timeout(GOODBYE_TIME, leave).await.unwrap_or(Ok(()))
    }

    /// Ends the session because the connection did.
    fn lost(&mut self, error: Error) -> Error {
        let error = if error.kind() == ErrorKind::ConnectionLost { error.advice(START_AGAIN) } else { error };
        self.connection.end(error.clone());
        error
    }

    /// Ends the session because the peer broke the protocol, and tells it so.
    async fn abort(&mut self, error: Error) -> Error {
        self.core.abort(&error);
        let error = error.advice(REPORT);
        self.connection.end(error.clone());
        let _ = time::timeout(GOODBYE_TIME, self.connection.finish(self.core.request()[0])).await;
        error
    }
}

impl Drop for AsyncSession {
    /// Says goodbye but waits for nothing; `close` is the orderly way, and the only one outside of the runtime.
    fn drop(&mut self) {
        self.leave_later(&Goodbye { code: 0, message: "the agent dropped the environment".into() });
    }
}
