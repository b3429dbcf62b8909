//! StreamChannel: a channel over any pair of byte streams, for transports that have nothing better.

use std::fmt;

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time,
};

use crate::{
    bridge,
    channel::{BlockingChannel, Channel, Incoming, TransportOptions},
    error::{Error, ErrorKind, Result},
    frame::Frame,
    net::{LINGER, broken, goodbye, lost, lost_by},
    wire::{END, Framing},
};

/// Frames on two streams of bytes: one to read and one to write. It keeps the promises of a
/// [`Channel`] if the streams end when the other side's end is dropped, bound what lies between the two
/// sides, and deliver what was written before a stream was shut down.
///
/// Also an [`Incoming`], so that a listener can return the channel as it is.
///
/// ```
/// use rlay::{Channel, StreamChannel, TransportOptions};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let (near, far) = tokio::io::duplex(4096);
/// let options = TransportOptions::default();
/// let channel = |stream, name: &str| {
///     let (read, write) = tokio::io::split(stream);
///     StreamChannel::new(read, write, name, &options)
/// };
/// let (mut near, mut far) = (channel(near, "far"), channel(far, "near"));
/// near.send(b"pi", b"ng").await?;
/// assert_eq!(&far.recv().await?.unwrap()[..], b"ping");
/// # Ok::<(), rlay::Error>(())
/// # }).unwrap();
/// ```
pub struct StreamChannel<R, W> {
    read: R,
    /// `None` once it is closed.
    write: Option<W>,
    framing: Framing,
    peer: String,
    /// Set while part of a frame is out; still set at the next call if that send was cancelled.
    is_sending: bool,
}

impl<R: AsyncRead + Send + Unpin, W: AsyncWrite + Send + Unpin> StreamChannel<R, W> {
    /// A channel that reads from `read` and writes to `write`. `peer` names the other end, for messages.
    pub fn new(read: R, write: W, peer: impl Into<String>, options: &TransportOptions) -> Self {
        let framing = Framing::new(options.max_frame);
        Self { read, write: Some(write), framing, peer: peer.into(), is_sending: false }
    }

    fn usable(&self) -> Result<()> {
        if self.write.is_none() {
            return Err(Error::new(ErrorKind::Closed, "the channel was closed"));
        }
        if self.is_sending { Err(broken(&self.peer)) } else { Ok(()) }
    }

    async fn write(&mut self, parts: [&[u8]; 3]) -> Result<()> {
        self.usable()?;
        let Some(write) = &mut self.write else { return Ok(()) };
        let is_sending = &mut self.is_sending;
        let written = async {
            for mut part in parts {
                while !part.is_empty() {
                    let n = write.write(part).await?;
                    if n == 0 {
                        return Err(std::io::ErrorKind::WriteZero.into());
                    }
                    *is_sending = true;
                    part = &part[n..];
                }
            }
            write.flush().await
        }
        .await;
        // If the peer is gone, data that it sent before can still be read.
        self.is_sending = false;
        written.map_err(|e| lost_by(&self.peer, e))
    }
}

#[async_trait]
impl<R: AsyncRead + Send + Unpin, W: AsyncWrite + Send + Unpin> Channel for StreamChannel<R, W> {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        let prefix = self.framing.prefix(head.len() + body.len())?;
        self.write([&prefix, head, body]).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        self.usable()?;
        loop {
            if let Some(frame) = self.framing.take()? {
                return Ok(Some(frame));
            }
            if self.framing.ended() {
                return Ok(None);
            }
            match self.read.read(self.framing.space()).await {
                Ok(0) => return Err(lost(&self.peer, "the stream ended without a goodbye")),
                Ok(n) => self.framing.filled(n),
                Err(error) => return Err(lost_by(&self.peer, error)),
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        if self.write.is_none() {
            return Ok(());
        }
        let said = match self.usable() {
            Ok(()) => goodbye(self.write([&END, &[], &[]]).await),
            broken => broken,
        };
        let write = self.write.take().filter(|_| said.is_ok());
        if let Some(mut write) = write
            && write.shutdown().await.is_ok()
        {
            drop(write);
            // Some streams discard data that the peer has not read yet if they are dropped with unread bytes.
            let mut waste = [0; 4096];
            let drain = async { while matches!(self.read.read(&mut waste).await, Ok(n) if n > 0) {} };
            let _ = time::timeout(LINGER, drain).await;
        }
        said
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.framing.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}

impl<R, W> Incoming for StreamChannel<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    fn peer(&self) -> String {
        self.peer.clone()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        Ok(self)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        bridge::open(self)
    }
}

impl<R, W> fmt::Debug for StreamChannel<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamChannel").field("peer", &self.peer).finish_non_exhaustive()
    }
}
