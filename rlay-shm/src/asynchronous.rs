//! The async form, for code inside tokio. It never spins: the thread has other tasks.

use std::io;

use async_trait::async_trait;
use rlay_core::{
    Address, Channel, Frame, Result, TransportOptions,
    net::{cannot_connect, goodbye, lost_by},
};
use tokio::{io::Interest, net};

use crate::{
    pipe::{Need, Sleep},
    region::Side,
    rendezvous,
    stream::{Look, Stream},
};

pub(crate) async fn connect(address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
    let cannot = |e: io::Error| cannot_connect(address, e);
    let socket = rendezvous::dial_async(address).await?;
    let readiness = net::UnixStream::from_std(socket.try_clone().map_err(cannot)?).map_err(cannot)?;
    let region = loop {
        readiness.readable().await.map_err(cannot)?;
        match readiness.try_io(Interest::READABLE, || rendezvous::take_over(&socket)) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            region => break region.map_err(cannot)?,
        }
    };
    drop(readiness);
    open(Stream::new(region, Side::Dialer, socket, address.to_string(), options))
}

pub(crate) fn open(stream: Stream) -> Result<Box<dyn Channel>> {
    let set_up = || {
        stream.socket.set_nonblocking(true)?;
        net::UnixStream::from_std(stream.socket.try_clone()?)
    };
    let readiness = set_up().map_err(|e| lost_by("cannot use the connection", e))?;
    Ok(Box::new(ShmChannel { readiness, stream }))
}

#[derive(Debug)]
struct ShmChannel {
    /// A duplicate of the stream's socket, registered with the runtime.
    readiness: net::UnixStream,
    stream: Stream,
}

impl ShmChannel {
    /// Waits until the need is met, or the peer is gone. If it is cancelled, a spurious wake-up may follow.
    async fn wait(&mut self, need: Need) -> Result<()> {
        self.stream.pipe.set_asleep(need, Sleep::Socket);
        if !self.stream.pipe.has(need)? {
            let unusable = |e: io::Error| lost_by("cannot use the connection", e);
            self.readiness.readable().await.map_err(unusable)?;
            match self.readiness.try_io(Interest::READABLE, || self.stream.take_wakeups()) {
                Err(e) if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    return Err(lost_by(self.stream.peer(), e));
                }
                _ => {}
            }
        }
        self.stream.pipe.set_awake();
        Ok(())
    }

    async fn write(&mut self, parts: &[&[u8]]) -> Result<()> {
        let mut sent = 0;
        loop {
            let put = self.stream.put(parts, &mut sent);
            self.stream.is_sending = sent > 0 && matches!(put, Ok(false));
            if put? {
                return Ok(());
            }
            if let Err(error) = self.wait(Need::Room).await {
                self.stream.is_sending = false;
                return Err(error);
            }
        }
    }
}

#[async_trait]
impl Channel for ShmChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.stream.usable()?;
        let prefix = self.stream.prefix(head.len() + body.len())?;
        self.write(&[&prefix, head, body]).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        self.stream.usable()?;
        loop {
            match self.stream.get()? {
                Look::Frame(frame) => return Ok(Some(frame)),
                Look::End => return Ok(None),
                Look::Wait => self.wait(Need::Data).await?,
            }
        }
    }

    async fn close(&mut self) -> Result<()> {
        if self.stream.is_closed() {
            return Ok(());
        }
        let said = match self.stream.usable() {
            Ok(()) => goodbye(self.write(&Stream::END).await),
            broken => broken,
        };
        self.stream.end();
        said
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.stream.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.stream.peer().to_owned()
    }
}
