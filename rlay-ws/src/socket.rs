//! Socket: TCP, with TLS or without it, as the WebSocket library reads and writes it: without waiting.

use std::{
    io::{self, IoSlice, Read, Write},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use rlay_core::{
    Error,
    net::{lost, lost_by},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

/// A TCP connection that counts what is received, and takes no notice of bytes that it cannot send any more: what the
/// peer had sent before can still be read.
#[derive(Debug)]
pub(crate) struct Tcp {
    stream: TcpStream,
    received: u64,
    is_unsendable: bool,
    failure: Option<io::Error>,
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, received: 0, is_unsendable: false, failure: None }
    }

    fn sent(&mut self, result: Poll<io::Result<usize>>, len: usize) -> Poll<io::Result<usize>> {
        result.map(|result| {
            Ok(result.unwrap_or_else(|error| {
                self.is_unsendable = true;
                self.failure = Some(error);
                len
            }))
        })
    }
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = space.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, space);
        self.received += (space.filled().len() - before) as u64;
        result
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_unsendable {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(result, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        if self.is_unsendable {
            return Poll::Ready(Ok(len));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.sent(result, len)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Debug)]
pub(crate) enum Layer {
    Plain(Tcp),
    Tls(Box<TlsStream<Tcp>>),
}

/// The connection with the wakers of the calls that wait for it: one that reads, one that writes.
#[derive(Debug)]
pub(crate) struct Socket {
    layer: Layer,
    reader: Waker,
    writer: Waker,
    /// What was received during the opening handshake, as long as that lasts.
    opening: Option<Vec<u8>>,
}

impl Socket {
    pub(crate) fn new(layer: Layer) -> Self {
        Self { layer, reader: Waker::noop().clone(), writer: Waker::noop().clone(), opening: Some(vec![]) }
    }

    /// The opening handshake is over. Returns what the peer sent behind it, which the library has read with it.
    pub(crate) fn opened(&mut self) -> Vec<u8> {
        const END: &[u8] = b"\r\n\r\n";
        let mut opening = self.opening.take().unwrap_or_default();
        let end = opening.windows(END.len()).position(|bytes| bytes == END).map_or(opening.len(), |at| at + END.len());
        opening.split_off(end)
    }

    /// From now on `cx` is woken once there is something to read.
    pub(crate) fn set_reader(&mut self, cx: &Context<'_>) {
        self.reader.clone_from(cx.waker());
    }

    /// From now on `cx` is woken once there is room to write.
    pub(crate) fn set_writer(&mut self, cx: &Context<'_>) {
        self.writer.clone_from(cx.waker());
    }

    /// Wakes both calls, after something has changed without the socket.
    pub(crate) fn wake(&self) {
        self.reader.wake_by_ref();
        self.writer.wake_by_ref();
    }

    fn tcp(&self) -> &Tcp {
        match &self.layer {
            Layer::Plain(tcp) => tcp,
            Layer::Tls(tls) => tls.get_ref().0,
        }
    }

    fn tcp_mut(&mut self) -> &mut Tcp {
        match &mut self.layer {
            Layer::Plain(tcp) => tcp,
            Layer::Tls(tls) => tls.get_mut().0,
        }
    }

    /// How many bytes were received so far.
    pub(crate) fn received(&self) -> u64 {
        self.tcp().received
    }

    /// Fails if something could not be sent.
    pub(crate) fn check_sent(&mut self, peer: &str) -> Result<(), Error> {
        let tcp = self.tcp_mut();
        match (tcp.is_unsendable, tcp.failure.take()) {
            (false, _) => Ok(()),
            (true, Some(error)) => Err(lost_by(peer, error)),
            (true, None) => Err(lost(peer, "the connection is gone")),
        }
    }

    /// Ends the connection for both sides, though a forked child may hold another descriptor of it.
    pub(crate) fn shut_down(&mut self) {
        if let Layer::Tls(tls) = &mut self.layer {
            // TLS's own goodbye, if there is room for it.
            let _ = Pin::new(tls).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
        let _ = SockRef::from(&self.tcp().stream).shutdown(Shutdown::Both);
    }
}

fn without_waiting<T>(result: Poll<io::Result<T>>) -> io::Result<T> {
    match result {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Socket {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let (mut space, mut cx) = (ReadBuf::new(space), Context::from_waker(&self.reader));
        without_waiting(match &mut self.layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_read(&mut cx, &mut space),
            Layer::Tls(tls) => Pin::new(tls).poll_read(&mut cx, &mut space),
        })?;
        if let Some(opening) = &mut self.opening {
            opening.extend_from_slice(space.filled());
        }
        Ok(space.filled().len())
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.writer);
        without_waiting(match &mut self.layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_write(&mut cx, bytes),
            Layer::Tls(tls) => Pin::new(tls).poll_write(&mut cx, bytes),
        })
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.writer);
        without_waiting(match &mut self.layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_write_vectored(&mut cx, slices),
            Layer::Tls(tls) => Pin::new(tls).poll_write_vectored(&mut cx, slices),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.writer);
        without_waiting(match &mut self.layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_flush(&mut cx),
            Layer::Tls(tls) => Pin::new(tls).poll_flush(&mut cx),
        })
    }
}
