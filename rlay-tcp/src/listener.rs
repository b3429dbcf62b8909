//! Listeners of both forms: binding, and accepting connections until the listener is dropped.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::Instant,
};

use async_trait::async_trait;
use rlay_core::{
    Address, BlockingListener, CancelToken, Incoming, Listener, Result, TransportOptions,
    net::{self, Reserve, SocketFile, is_vain, lost_by, wait_to_accept},
};
use socket2::{SockAddr, Socket};
use tokio::{
    net::{TcpListener, UnixListener},
    time,
};

use crate::{
    accepted::Accepted,
    layer::Security,
    socket::{Target, new_socket},
};

/// The kernel's backlog of connections.
const BACKLOG: i32 = 1024;

/// A listening socket.
#[derive(Debug)]
struct Listening {
    /// The file of a Unix socket. Dropped before the socket, for afterwards its inode may be another file's.
    file: Option<SocketFile>,
    socket: Socket,
    /// The address with the real port, and with all else that a dialer must know.
    address: Address,
    security: Security,
}

/// Binds and listens.
fn bind(address: &Address, options: &TransportOptions) -> Result<Listening> {
    let target = Target::new(address, net::resolve)?;
    let security = Security::listen(address)?;
    let candidates = target.candidates(address)?;
    let bind = || bind_socket(&candidates[0], options);
    let socket = match &target {
        Target::Tcp(found) => {
            security.check_exposure(address, found, options.is_authenticated)?;
            bind().map_err(|e| net::bind_error(address, e))?
        }
        Target::Unix(path) => {
            let (socket, file) = net::bind_file(address, path, bind)?;
            return Ok(Listening { socket, address: address.clone(), file: Some(file), security });
        }
    };
    let local = socket.local_addr().map_err(|e| net::bind_error(address, e))?;
    let local = local.as_socket().ok_or_else(|| address.error("not an internet address"))?;
    let local = net::dialable(security.scheme(), local);
    let address = match &security {
        #[cfg(feature = "tls")]
        Security::Listener(tls) => format!("tls://{local}?pin={}", tls.pin).parse()?,
        _ => Address::new("tcp", local.to_string()),
    };
    Ok(Listening { socket, address, file: None, security })
}

fn bind_socket(to: &SockAddr, options: &TransportOptions) -> io::Result<Socket> {
    let socket = new_socket(to, options)?;
    if !to.is_unix() {
        // A port in TIME_WAIT can be bound again; one in use cannot.
        socket.set_reuse_address(true)?;
    }
    socket.bind(to)?;
    if let Some(path) = to.as_pathname() {
        net::owner_only(path)?;
    }
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Listens, for threads that may block.
pub(crate) fn listen_blocking(address: &Address, options: &TransportOptions) -> Result<Box<dyn BlockingListener>> {
    let listening = bind(address, options)?;
    listening.socket.set_nonblocking(true).map_err(|e| lost_by("cannot listen", e))?;
    Ok(Box::new(BlockingStreamListener {
        listening,
        options: options.clone(),
        cancel: None,
        reserve: Reserve::default(),
    }))
}

#[derive(Debug)]
struct BlockingStreamListener {
    listening: Listening,
    options: TransportOptions,
    cancel: Option<CancelToken>,
    reserve: Reserve,
}

impl BlockingListener for BlockingStreamListener {
    fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>> {
        loop {
            match self.listening.socket.accept() {
                Ok((socket, _)) => {
                    self.reserve.regain();
                    let (options, security) = (self.options.clone(), self.listening.security.clone());
                    return Ok(Box::new(Accepted { socket, options, security }));
                }
                Err(error) if is_vain(&error) => {}
                // The dialer disconnected while it waited, or descriptors ran out: neither ends the listener.
                Err(error) => std::thread::sleep(self.reserve.refused(&error, &self.listening.socket)),
            }
            wait_to_accept(&self.listening.socket, deadline, self.cancel.as_ref())?;
        }
    }

    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        self.cancel = cancel.filter(|cancel| cancel.pipe().is_some()).cloned();
        self.cancel.is_some()
    }

    fn address(&self) -> &Address {
        &self.listening.address
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.listening.socket.as_raw_fd())
    }
}

/// Listens, for code inside tokio.
pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
    let Listening { socket, address, file, security } = bind(address, options)?;
    let register = || {
        socket.set_nonblocking(true)?;
        if file.is_some() {
            Ok(Sockets::Unix(UnixListener::from_std(socket.into())?))
        } else {
            Ok(Sockets::Tcp(TcpListener::from_std(socket.into())?))
        }
    };
    let sockets = register().map_err(|e: io::Error| lost_by("cannot listen", e))?;
    let options = options.clone();
    Ok(Box::new(StreamListener { sockets, address, _file: file, security, options, reserve: Reserve::default() }))
}

#[derive(Debug)]
enum Sockets {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for Sockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

#[derive(Debug)]
struct StreamListener {
    /// Dropped before the socket, for afterwards its inode may be another file's.
    _file: Option<SocketFile>,
    sockets: Sockets,
    address: Address,
    security: Security,
    options: TransportOptions,
    reserve: Reserve,
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
                Ok(socket) => {
                    self.reserve.regain();
                    let (options, security) = (self.options.clone(), self.security.clone());
                    return Ok(Box::new(Accepted { socket, options, security }));
                }
                // The dialer disconnected while it waited, or descriptors ran out: neither ends the listener.
                Err(error) => time::sleep(self.reserve.refused(&error, &self.sockets)).await,
            }
        }
    }

    fn address(&self) -> &Address {
        &self.address
    }
}
