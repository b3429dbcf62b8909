//! The async form, for code inside tokio.

use std::{
    io::{self, IoSlice},
    path::PathBuf,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rlay_core::{
    Address, Channel, Error, ErrorKind, Frame, Incoming, Listener, Result, TransportOptions,
    net::{LINGER, check_user, goodbye},
    wire::{END, Framing},
};
use socket2::{SockRef, Socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time,
};

use crate::{
    socket::{self, Accepted, Owner, Target, broken, crashed, lost},
    vigil::Vigil,
};

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    address.no_options()?;
    let failed = |e: io::Error| lost(format_args!("cannot connect to {address}"), &e);
    let stream = match Target::resolve(address)? {
        Target::Tcp(found) => {
            let stream = TcpStream::connect(&found[..]).await.map_err(failed)?;
            Stream::Tcp(stream)
        }
        Target::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            check_user(&stream)?;
            Stream::Unix(stream)
        }
    };
    stream.channel(options)
}

pub(crate) fn open(socket: Socket, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    let run = || {
        socket.set_nonblocking(true)?;
        if socket.domain()? == socket2::Domain::UNIX {
            Ok(Stream::Unix(UnixStream::from_std(socket.into())?))
        } else {
            Ok(Stream::Tcp(TcpStream::from_std(socket.into())?))
        }
    };
    run().map_err(|e: io::Error| lost("cannot use the connection", &e))?.channel(options)
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn channel(self, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        let peer = match &self {
            Self::Tcp(stream) => stream.peer_addr().map_or_else(|_| "tcp peer".to_owned(), |a| format!("tcp://{a}")),
            Self::Unix(_) => "unix socket".to_owned(),
        };
        socket::configure(&self.socket(), options).map_err(|e| lost("cannot use the connection", &e))?;
        let framing = Framing::new(options.max_frame);
        let vigil = Vigil::new(&self.socket(), options.liveness);
        Ok(Box::new(StreamChannel { stream: self, framing, peer, is_sending: false, vigil, owner: Owner::new() }))
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
    framing: Framing,
    peer: String,
    /// Set while part of a frame is out; still set at the next call if that send was cancelled.
    is_sending: bool,
    vigil: Vigil,
    owner: Owner,
}

impl StreamChannel {
    fn usable(&self) -> Result<()> {
        if self.owner.is_closed() {
            return Err(Error::new(ErrorKind::Closed, "the channel was closed"));
        }
        if self.is_sending { Err(broken(&self.peer)) } else { Ok(()) }
    }

    fn look(&mut self) -> Result<()> {
        self.vigil.look(&self.stream.socket(), &self.peer, Instant::now())
    }

    async fn write(&mut self, parts: [&[u8]; 3]) -> Result<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        while sent < total {
            let mut skip = sent;
            let slices = parts.map(|part| {
                let from = skip.min(part.len());
                skip -= from;
                IoSlice::new(&part[from..])
            });
            let written = time::timeout(self.vigil.pause(), self.stream.write(&slices)).await;
            match written {
                Err(_) => self.look()?,
                Ok(Ok(n)) if n > 0 => {
                    self.vigil.heard();
                    sent += n;
                }
                Ok(result) => {
                    // The peer has gone: the kernel says so again at the next send, and what the peer had
                    // sent can still be read.
                    self.is_sending = false;
                    return Err(result.map_or_else(|e| lost(&self.peer, &e), |_| crashed(&self.peer)));
                }
            }
            self.is_sending = sent < total;
        }
        Ok(())
    }
}

#[async_trait]
impl Channel for StreamChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.usable()?;
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
            match time::timeout(self.vigil.pause(), self.stream.read(self.framing.space())).await {
                Err(_) => self.look()?,
                Ok(Ok(0)) => return Err(crashed(&self.peer)),
                Ok(Ok(n)) => {
                    self.vigil.heard();
                    self.framing.filled(n);
                }
                Ok(Err(error)) => return Err(lost(&self.peer, &error)),
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        if self.owner.is_closed() {
            return Ok(());
        }
        let said = match self.usable() {
            Ok(()) => goodbye(self.write([&END, &[], &[]]).await),
            broken => broken,
        };
        if said.is_ok() && self.stream.shutdown().await.is_ok() {
            // Closing with unread bytes resets the connection and takes what the peer has not read yet.
            let mut waste = [0; 4096];
            let drain = async { while matches!(self.stream.read(&mut waste).await, Ok(n) if n > 0) {} };
            let _ = time::timeout(LINGER, drain).await;
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

pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
    let (socket, address, path) = socket::listen(address, options)?;
    let run = || {
        socket.set_nonblocking(true)?;
        if path.is_some() {
            Ok(Sockets::Unix(UnixListener::from_std(socket.into())?))
        } else {
            Ok(Sockets::Tcp(TcpListener::from_std(socket.into())?))
        }
    };
    let sockets = run().map_err(|e: io::Error| lost("cannot listen", &e))?;
    Ok(Box::new(StreamListener { sockets, address, path, options: options.clone(), owner: Owner::new() }))
}

#[derive(Debug)]
enum Sockets {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
struct StreamListener {
    sockets: Sockets,
    address: Address,
    path: Option<PathBuf>,
    options: TransportOptions,
    owner: Owner,
}

#[async_trait]
impl Listener for StreamListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        loop {
            let accepted = match &self.sockets {
                Sockets::Tcp(listener) => {
                    listener.accept().await.and_then(|(stream, _)| stream.into_std()).map(Socket::from)
                }
                Sockets::Unix(listener) => {
                    listener.accept().await.and_then(|(stream, _)| stream.into_std()).map(Socket::from)
                }
            };
            match accepted {
                Ok(socket) => return Ok(Box::new(Accepted { socket, options: self.options.clone() })),
                // The dialer went away while it waited, or descriptors ran out: neither ends the listener.
                Err(_) => time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for StreamListener {
    fn drop(&mut self) {
        if let Some(path) = self.path.as_ref().filter(|_| self.owner.is_this_process()) {
            let _ = std::fs::remove_file(path);
        }
    }
}
