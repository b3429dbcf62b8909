//! The async form, for code inside tokio.

use std::{
    io::{self, IoSlice},
    os::unix::net::SocketAddr,
    time::Instant,
};

use async_trait::async_trait;
use rlay_core::{
    Address, Channel, Error, ErrorKind, Frame, Result, TransportOptions,
    net::{LAST_WORD, LINGER, cannot_connect, check_not_itself, check_user, dial_local_async, file, goodbye, look_up},
    wire::{END, Framing},
};
use socket2::{SockRef, Socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time,
};

use crate::{
    layer::{Layer, Security},
    liveness::LivenessMonitor,
    socket::{self, Owner, broken, crashed, lost_by},
};

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    let security = Security::dial(address)?;
    let failed = |e: io::Error| cannot_connect(address, e);
    let stream = match address.scheme() {
        "unix" => {
            let to = SocketAddr::from_pathname(file(address)?).map_err(failed)?;
            let stream = dial_local_async(&to).await.and_then(UnixStream::from_std).map_err(failed)?;
            check_user(&stream)?;
            Stream::Unix(stream)
        }
        _ => {
            let found = look_up(address).await?;
            let stream = TcpStream::connect(&found[..]).await.map_err(failed)?;
            let ends = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?)));
            ends.and_then(|(own, peer)| check_not_itself(&stream, own, peer)).map_err(failed)?;
            Stream::Tcp(stream)
        }
    };
    Ok(Box::new(stream.channel(options, &security)?))
}

pub(crate) fn open(socket: Socket, options: &TransportOptions, security: &Security) -> Result<Box<dyn Channel>> {
    let run = || {
        socket.set_nonblocking(true)?;
        if socket.domain()? == socket2::Domain::UNIX {
            Ok(Stream::Unix(UnixStream::from_std(socket.into())?))
        } else {
            Ok(Stream::Tcp(TcpStream::from_std(socket.into())?))
        }
    };
    let stream = run().map_err(|e: io::Error| lost_by("cannot use the connection", e))?;
    Ok(Box::new(stream.channel(options, security)?))
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn channel(self, options: &TransportOptions, security: &Security) -> Result<StreamChannel> {
        let (peer, layer) = (socket::peer_name(&self.socket(), security), security.layer()?);
        socket::configure(&self.socket(), options).map_err(|e| lost_by("cannot use the connection", e))?;
        let framing = Framing::new(options.max_frame);
        let liveness = LivenessMonitor::new(&self.socket(), options.liveness);
        Ok(StreamChannel { stream: self, layer, framing, peer, is_sending: false, liveness, owner: Owner::new() })
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }

    async fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(space).await,
            Self::Unix(stream) => stream.read(space).await,
        }
    }

    async fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices).await,
            Self::Unix(stream) => stream.write_vectored(slices).await,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Unix(stream) => stream.shutdown().await,
        }
    }
}

#[derive(Debug)]
struct StreamChannel {
    stream: Stream,
    layer: Layer,
    framing: Framing,
    peer: String,
    /// Set while a frame is partly sent; still set at the next call if that send was cancelled.
    is_sending: bool,
    liveness: LivenessMonitor,
    owner: Owner,
}

impl StreamChannel {
    fn usable(&self) -> Result<()> {
        if self.owner.is_closed() {
            return Err(Error::new(ErrorKind::Closed, "the channel was closed"));
        }
        if self.is_sending { Err(broken(&self.peer)) } else { Ok(()) }
    }

    fn check_liveness(&mut self) -> Result<()> {
        self.liveness.check(&self.stream.socket(), &self.peer, Instant::now())
    }

    /// Writes all of `parts`, and what the layer owes the peer.
    async fn write(&mut self, parts: [&[u8]; 3]) -> Result<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        // Bytes that the layer has taken cannot be returned by a send that is cancelled.
        while !self.layer.is_plain() && time::timeout(self.liveness.interval(), self.stream.writable()).await.is_err() {
            self.check_liveness()?;
        }
        while sent < total || self.layer.is_owing() {
            let mut skip = sent;
            let slices = parts.map(|part| {
                let from = skip.min(part.len());
                skip -= from;
                IoSlice::new(&part[from..])
            });
            let before = sent;
            let slices = match self.layer.seal(&slices, &mut sent) {
                None => &slices[..],
                Some(sealed) => &[IoSlice::new(sealed)],
            };
            // A send that is cancelled from now on leaves part of a frame with the layer.
            self.is_sending |= sent > before;
            let written = time::timeout(self.liveness.interval(), self.stream.write(slices)).await;
            match written {
                Err(_) => self.check_liveness()?,
                Ok(Ok(n)) if n > 0 => {
                    self.liveness.on_progress();
                    if self.layer.is_plain() {
                        sent += n;
                        self.is_sending = sent < total;
                    } else {
                        self.layer.sent(n);
                    }
                }
                Ok(result) => {
                    // If the peer is gone, the kernel reports it again at the next send, and what the peer had sent can
                    // still be read.
                    self.is_sending &= total == 0;
                    self.layer.give_up();
                    return Err(result.map_or_else(|e| lost_by(&self.peer, e), |_| crashed(&self.peer)));
                }
            }
        }
        self.is_sending &= total == 0;
        Ok(())
    }

    /// Reads once.
    async fn fill(&mut self) -> Result<()> {
        loop {
            let space = self.layer.space(&mut self.framing);
            match time::timeout(self.liveness.interval(), self.stream.read(space)).await {
                Err(_) => self.check_liveness()?,
                Ok(Ok(0)) => return Err(crashed(&self.peer)),
                Ok(Ok(n)) => {
                    self.liveness.on_progress();
                    self.layer.filled(&mut self.framing, n);
                    return Ok(());
                }
                Ok(Err(error)) => return Err(lost_by(&self.peer, error)),
            }
        }
    }

    /// Returns what the layer makes of the received bytes, and writes what the layer owes the peer; whether there was
    /// anything to return.
    async fn open_layer(&mut self) -> Result<bool> {
        let opened = self.layer.open(&mut self.framing, &self.peer);
        if opened.is_err() {
            self.is_sending = true;
            let tell = async {
                if self.write([&[]; 3]).await.is_ok() && self.stream.shutdown().await.is_ok() {
                    self.drain().await;
                }
            };
            let _ = time::timeout(LAST_WORD, tell).await;
        } else if self.layer.is_owing() {
            let answered = self.write([&[]; 3]).await;
            if matches!(opened, Ok(false)) {
                answered?;
            }
        }
        opened
    }

    /// The handshake of the layer, if it has one that is not complete; see the blocking form.
    async fn shake(&mut self) -> Result<()> {
        while self.layer.is_shaking() {
            self.open_layer().await?;
            if self.layer.is_shaking() {
                let failed = |e: Error| e.context("the TLS handshake did not end; is the peer's address a tls:// one?");
                self.fill().await.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn drain(&mut self) {
        let mut waste = [0; 4096];
        while matches!(self.stream.read(&mut waste).await, Ok(n) if n > 0) {}
    }
}

#[async_trait]
impl Channel for StreamChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.usable()?;
        let prefix = self.framing.prefix(head.len() + body.len())?;
        self.shake().await?;
        self.write([&prefix, head, body]).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        self.usable()?;
        self.shake().await?;
        loop {
            if let Some(frame) = self.framing.take()? {
                return Ok(Some(frame));
            }
            if self.framing.ended() {
                return Ok(None);
            }
            if !self.open_layer().await? {
                self.fill().await?;
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        if self.owner.is_closed() {
            return Ok(());
        }
        let said = match self.usable() {
            // No peer is connected yet that could be told.
            Ok(()) if self.layer.is_shaking() => Ok(()),
            Ok(()) => {
                let said = goodbye(self.write([&END, &[], &[]]).await);
                self.layer.finish();
                match said {
                    Ok(()) => goodbye(self.write([&[]; 3]).await),
                    failed => failed,
                }
            }
            broken => broken,
        };
        if said.is_ok() && self.stream.shutdown().await.is_ok() {
            // Closing with unread bytes resets the connection and discards what the peer has not read yet.
            let _ = time::timeout(LINGER, self.drain()).await;
        }
        let _ = self.stream.socket().shutdown(std::net::Shutdown::Both);
        self.owner.closed();
        said
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.framing.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}

impl Drop for StreamChannel {
    fn drop(&mut self) {
        self.owner.end(&self.stream.socket());
    }
}
