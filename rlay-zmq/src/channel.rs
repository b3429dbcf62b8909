//! The channel: frames under credit.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rlay_core::{
    BlockingChannel, Channel, Error, ErrorKind, Frame, Incoming, Pool, Result,
    net::{broken, goodbye, lost, too_large},
    open_bridged,
};
use tokio::sync::mpsc;

use crate::{
    hub::{Stop, Writer},
    link::{Link, WINDOW},
    message::{COST, Message},
};

#[derive(Debug)]
pub(crate) struct ZmqChannel {
    link: Arc<Link>,
    arrived: mpsc::UnboundedReceiver<Bytes>,
    writer: Writer,
    max_frame: usize,
    pool: Pool,
    /// What was received and the peer has no credit for yet.
    owed: u64,
    /// Set while a frame is handed over; still set at the next call if that send was cancelled.
    is_sending: bool,
    is_closed: bool,
    /// An oversize frame came: nothing after it is received.
    refused: Option<Error>,
    _stop: Arc<Stop>,
}

impl ZmqChannel {
    pub(crate) fn new(
        link: Arc<Link>,
        arrived: mpsc::UnboundedReceiver<Bytes>,
        writer: Writer,
        max_frame: usize,
        stop: Arc<Stop>,
    ) -> Self {
        let pool = Pool::new();
        Self {
            link,
            arrived,
            writer,
            max_frame,
            pool,
            owed: 0,
            is_sending: false,
            is_closed: false,
            refused: None,
            _stop: stop,
        }
    }

    fn usable(&self) -> Result<()> {
        if self.is_closed {
            return Err(Error::new(ErrorKind::Closed, "the channel was closed"));
        }
        if self.is_sending { Err(broken(&self.link.peer)) } else { Ok(()) }
    }

    async fn write(&mut self, message: Bytes) -> Result<()> {
        self.is_sending = true;
        let sent = self.writer.send(message).await;
        self.is_sending = false;
        sent.map_err(|why| lost(&self.link.peer, why))
    }

    /// The next frame or how the peer's side ended. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        // What arrived before the end comes before it.
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
        self.write(Message::data(head, body)).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        self.usable()?;
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        if self.owed >= WINDOW / 2 {
            let owed = std::mem::take(&mut self.owed);
            self.link.grant(owed);
            // A failure means that the peer is gone, which the link will say after its last frames.
            let _ = self.write(Message::Credit(owed).encode()).await;
        }
        let Some(bytes) = self.next().await? else { return Ok(None) };
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
        let said = match self.usable() {
            Ok(()) => self.write(Message::Bye.encode()).await,
            broken => broken,
        };
        if said.is_ok() {
            // A peer that has closed, too, reads no more; one that does not answer is given up by the hub.
            self.link.wait(|state| (state.bye_acked || state.end.is_some()).then_some(())).await;
        }
        let was_broken = self.is_sending;
        self.is_closed = true;
        self.link.state().is_left = true;
        if was_broken { said } else { goodbye(said) }
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    fn peer(&self) -> String {
        self.link.peer.clone()
    }
}

impl Drop for ZmqChannel {
    fn drop(&mut self) {
        let is_over = matches!(self.link.state().end, Some(Err(_)));
        if !self.is_closed && !is_over {
            self.writer.send_now(&Message::Abort);
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
