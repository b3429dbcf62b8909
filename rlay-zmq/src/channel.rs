//! The channel: frames under credit.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rlay_core::{
    BlockingChannel, Channel, Error, ErrorKind, Frame, Incoming, Pool, Result, Watch, open_bridged, wire::too_large,
};
use tokio::sync::mpsc;

use crate::{
    hub::Outbox,
    link::{Link, WINDOW},
    message::{COST, Message},
};

#[derive(Debug)]
pub(crate) struct ZmqChannel {
    link: Arc<Link>,
    arrived: mpsc::UnboundedReceiver<Bytes>,
    /// Outgoing messages, and the peer that they are for.
    outbox: (Outbox, Bytes),
    max_frame: usize,
    pool: Pool,
    /// Frames that were received and not credited to the peer yet.
    owed: u64,
    is_closed: bool,
    /// An oversize frame arrived: nothing after it is received.
    refused: Option<Error>,
}

impl ZmqChannel {
    pub(crate) fn new(
        link: Arc<Link>,
        arrived: mpsc::UnboundedReceiver<Bytes>,
        outbox: (Outbox, Bytes),
        max_frame: usize,
    ) -> Self {
        Self { link, arrived, outbox, max_frame, pool: Pool::new(), owed: 0, is_closed: false, refused: None }
    }

    fn usable(&self) -> Result<()> {
        if self.is_closed { Err(Error::new(ErrorKind::Closed, "the channel was closed")) } else { Ok(()) }
    }

    /// Hands a message to the hub. If it cannot be sent, the link reports it.
    fn write(&self, message: Bytes) {
        let (outbox, identity) = &self.outbox;
        let _ = outbox.send((identity.clone(), message));
    }

    /// The next frame or how the peer's side ended. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        // Frames that arrived before the end are returned before it.
        if let Ok(frame) = self.arrived.try_recv() {
            return Ok(Some(frame));
        }
        let ended = self.link.wait(|state| state.end.clone());
        tokio::select! {
            biased;
            frame = self.arrived.recv() => Ok(frame),
            end = ended => match self.arrived.try_recv() {
                Ok(frame) => Ok(Some(frame)),
                Err(_) => end.map(|()| None),
            },
        }
    }
}

#[async_trait]
impl Channel for ZmqChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.usable()?;
        let len = head.len() + body.len();
        if len > self.max_frame {
            return Err(too_large("own", len, self.max_frame));
        }
        self.link.spend(len).await?;
        self.write(Message::data(head, body));
        Ok(())
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        self.usable()?;
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        if self.owed >= WINDOW / 2 {
            let owed = std::mem::take(&mut self.owed);
            self.link.grant(owed);
            self.write(Message::Credit(owed).encode());
        }
        let Some(bytes) = self.next().await? else { return Ok(None) };
        self.link.received();
        if bytes.len() > self.max_frame {
            let error = too_large("peer's", bytes.len(), self.max_frame);
            self.refused = Some(error.clone());
            return Err(error);
        }
        self.owed += bytes.len() as u64 + COST as u64;
        Ok(Some(Frame::copy_of(&self.pool, &bytes)))
    }

    async fn close(&mut self) -> Result<()> {
        if self.is_closed {
            return Ok(());
        }
        self.write(Message::Bye.encode());
        // A peer that has closed, too, reads no more; the hub gives up a peer that does not answer.
        self.link.wait(|state| (state.bye_acked || state.end.is_some()).then_some(())).await;
        self.is_closed = true;
        self.link.state().is_left = true;
        Ok(())
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    fn peer(&self) -> String {
        self.link.peer.clone()
    }

    fn watch(&self) -> Option<Watch> {
        let link = Arc::downgrade(&self.link);
        Some(Box::new(move || link.upgrade().map_or(Ok(()), |link| link.look())))
    }
}

impl Drop for ZmqChannel {
    fn drop(&mut self) {
        let is_over = matches!(self.link.state().end, Some(Err(_)));
        if !self.is_closed && !is_over {
            self.write(Message::Abort.encode());
        }
        self.link.state().is_left = true;
    }
}

impl Incoming for ZmqChannel {
    fn peer(&self) -> String {
        self.link.peer.clone()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        Ok(self)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        open_bridged(self)
    }
}
