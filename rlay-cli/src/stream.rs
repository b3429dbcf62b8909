//! ByteStream: a bare socket of tcp:// or unix://, for bytes that no channel would send.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use rlay::{Address, wire::Framing};

use crate::connection::Event;

/// Socket operations that both kinds share.
trait Socket: Read + Write + Send {
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout)).and_then(|()| self.set_write_timeout(Some(timeout)))
    }
}

impl Socket for UnixStream {
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout)).and_then(|()| self.set_write_timeout(Some(timeout)))
    }
}

/// A connection on which any bytes can be written.
pub(crate) struct ByteStream {
    socket: Box<dyn Socket>,
    framing: Framing,
}

impl ByteStream {
    /// Whether such addresses can be dialed without a channel.
    pub(crate) fn reaches(address: &Address) -> bool {
        matches!(address.scheme(), "tcp" | "unix") && address.options().next().is_none()
    }

    /// Dials.
    pub(crate) fn dial(address: &Address, timeout: Duration) -> io::Result<Self> {
        let socket: Box<dyn Socket> = match address.scheme() {
            "unix" => Box::new(UnixStream::connect(address.rest())?),
            _ => {
                let socket = TcpStream::connect(address.rest())?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        };
        socket.set_timeouts(timeout)?;
        Ok(Self { socket, framing: Framing::new(64 << 20) })
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// The next frame, or how the stream ended.
    pub(crate) fn receive(&mut self, timeout: Duration) -> Event {
        let deadline = Instant::now() + timeout;
        loop {
            match self.framing.take() {
                Err(error) => return Event::Malformed(error.to_string()),
                Ok(Some(frame)) => return Event::Frame(frame.to_vec()),
                Ok(None) if self.framing.ended() => return Event::Closed,
                Ok(None) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Silence;
            }
            if let Err(error) = self.socket.set_timeouts(left) {
                return Event::Lost(error.to_string());
            }
            match self.socket.read(self.framing.space()) {
                Ok(0) => return Event::Lost("the stream ended without the close mark".to_owned()),
                Ok(n) => self.framing.filled(n),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Event::Silence;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Event::Lost(e.to_string()),
            }
        }
    }
}
