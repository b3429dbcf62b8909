//! The end that listens.

use std::{
    any::Any,
    fs, io,
    net::TcpListener,
    os::fd::AsRawFd,
    os::unix::net::UnixListener,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use async_trait::async_trait;
use futures_util::StreamExt;
use rlay_core::{
    Address, BlockingChannel, Channel, Error, ErrorKind, Incoming, Listener, Result, TransportOptions,
    net::{self, ALLOW_REMOTE, Reserve, SocketFile},
};
use socket2::{Domain, SockAddr, Type};
use tokio::sync::mpsc;
use zeromq::{RouterSocket, Socket};

use crate::hub::{AcceptQueue, Arrival, Hub, Links, Outbox, Reader, Writer, backlog};

/// The kernel's backlog of connections.
const BACKLOG: i32 = 1024;

pub(crate) async fn listen(address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
    let (listener, descriptor, address, file) = bind(address)?;
    let unusable = |e: zeromq::ZmqError| address.error(format_args!("cannot listen: {e}"));
    let mut socket = RouterSocket::new();
    let events = socket.monitor().fuse();
    socket.bind_listener(listener).await.map_err(unusable)?;
    // Keeps the socket listening; the type has no public name.
    let listening: Box<dyn Any + Send + Sync> = Box::new(std::sync::Mutex::new(std::mem::take(socket.binds())));
    let (writer, reader) = socket.split();
    let (accepted, backlog) = backlog();
    let door = Some(AcceptQueue {
        accepted,
        max_frame: options.max_frame,
        name: address.to_string(),
        reserve: Reserve::default(),
    });
    let (reader, writer, links) = (Reader::Router(reader), Writer::Router(writer), Links::default());
    let hub = Hub { reader, writer, events, links, door, liveness: options.liveness };
    Ok(Box::new(ZmqListener { backlog, address, descriptor, _file: file, _listening: listening, _outbox: hub.spawn() }))
}

/// A bound socket, its descriptor, the address with the real port, and the socket file, if any.
fn bind(address: &Address) -> Result<(zeromq::Listener, i32, Address, Option<SocketFile>)> {
    let allow_remote = match address.options().collect::<Vec<_>>()[..] {
        [] => false,
        [(ALLOW_REMOTE, "yes")] if address.scheme() == "zmq" => true,
        _ => return Err(address.error(format_args!("a listener has no option but {ALLOW_REMOTE}=yes, for zmq"))),
    };
    if address.scheme() == "zmq+ipc" {
        let path = net::file(address)?;
        let (listener, file) = net::bind_file(address, path, || bind_under_another_name(path))?;
        let descriptor = listener.as_raw_fd();
        return Ok((listener.into(), descriptor, address.clone(), Some(file)));
    }
    let found = net::resolve(address)?;
    let lacks = "nothing here authenticates or encrypts, and a foreign peer can end the process";
    net::check_exposure(address, &found, allow_remote, lacks, "")?;
    // The standard library's listener has SO_REUSEADDR.
    let listener = TcpListener::bind(found[0]).map_err(|e| net::bind_error(address, e))?;
    let local = net::dialable("zmq", listener.local_addr().map_err(|e| net::bind_error(address, e))?);
    let descriptor = listener.as_raw_fd();
    Ok((listener.into(), descriptor, Address::new("zmq", local.to_string()), None))
}

/// A socket that listens at a file. The crate removes the file that its listener was bound to, but some time after that
/// listener is gone, when another listener may have the address already. So the socket is bound under a temporary name,
/// which is removed once `path` is linked to it.
fn bind_under_another_name(path: &Path) -> io::Result<UnixListener> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let own = path.with_file_name(format!(".{:x}-{:x}", std::process::id(), COUNT.fetch_add(1, Relaxed)));
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(&own)?)?;
    let give_name = || {
        net::owner_only(&own)?;
        socket.listen(BACKLOG)?;
        fs::hard_link(&own, path)
    };
    let named = give_name();
    let _ = fs::remove_file(&own);
    match named {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(io::ErrorKind::AddrInUse.into()),
        named => named.map(|()| socket.into()),
    }
}

struct ZmqListener {
    backlog: mpsc::Receiver<Arrival>,
    address: Address,
    descriptor: i32,
    _file: Option<SocketFile>,
    _listening: Box<dyn Any + Send + Sync>,
    _outbox: Outbox,
}

#[async_trait]
impl Listener for ZmqListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        match self.backlog.recv().await {
            Some(Ok(channel)) => Ok(Box::new(channel)),
            Some(Err(error)) => Ok(Box::new(TurnedAway { error, listener: self.address.to_string() })),
            None => Err(Error::new(ErrorKind::Closed, "the listener was closed")),
        }
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.descriptor)
    }
}

/// A dialer that was not a ZeroMQ peer, for the log.
#[derive(Debug)]
struct TurnedAway {
    error: Error,
    listener: String,
}

impl Incoming for TurnedAway {
    fn peer(&self) -> String {
        self.listener.clone()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        Err(self.error)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        Err(self.error)
    }
}

impl std::fmt::Debug for ZmqListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZmqListener").field("address", &self.address).finish_non_exhaustive()
    }
}
