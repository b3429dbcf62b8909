//! The channel over one side of a link: the framing that stream transports use.

use async_trait::async_trait;
use rlay_core::{
    Channel, Error, ErrorKind, Frame, Result,
    wire::{END, Framing},
};

use super::link::{Broken, Side};

/// The name of the other end in messages.
pub(super) const PEER: &str = "the other end of a faulty link";

#[derive(Debug)]
pub(super) struct FaultyChannel {
    side: Side,
    framing: Framing,
    /// A part of a frame was sent, and the rest never will be.
    cut_short: bool,
    closed: bool,
}

impl FaultyChannel {
    pub(super) fn new(side: Side, max_frame: usize) -> Self {
        Self { side, framing: Framing::new(max_frame), cut_short: false, closed: false }
    }

    fn check_usable(&self) -> Result<()> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "the channel was closed"));
        }
        if self.cut_short {
            return Err(Error::new(ErrorKind::ConnectionLost, "an earlier send was given up half-way"));
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let n = self.side.write(bytes).await.map_err(lost)?;
            bytes = &bytes[n..];
            self.cut_short = !bytes.is_empty();
        }
        Ok(())
    }
}

fn lost(_: Broken) -> Error {
    Error::new(ErrorKind::ConnectionLost, format!("{PEER} is gone, or the link was cut"))
}

#[async_trait]
impl Channel for FaultyChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.check_usable()?;
        let prefix = self.framing.prefix(head.len() + body.len())?;
        self.write(&[&prefix, head, body].concat()).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        self.check_usable()?;
        loop {
            if let Some(frame) = self.framing.take()? {
                return Ok(Some(frame));
            }
            if self.framing.ended() {
                return Ok(None);
            }
            let n = self.side.read(self.framing.space()).await.map_err(lost)?;
            self.framing.filled(n);
        }
    }

    async fn close(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        self.check_usable()?;
        // A peer that is gone needs no goodbye.
        let _ = self.write(&END).await;
        self.closed = true;
        Ok(())
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.framing.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        PEER.to_owned()
    }
}
