//! What both forms share: addresses, sockets with their options, and errors in plain words.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

pub(crate) use rlay_core::net::{broken, lost_by};
use rlay_core::{
    Address, BlockingChannel, Channel, Error, Incoming, Result, TransportOptions,
    net::{self, SocketFile},
};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::layer::Security;

/// Connections that may wait for `accept`.
const BACKLOG: i32 = 1024;

/// Where an address leads.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

impl Target {
    /// A file, or sockets that `look_up` finds.
    pub(crate) fn new(address: &Address, look_up: impl FnOnce(&Address) -> Result<Vec<SocketAddr>>) -> Result<Self> {
        Ok(match address.scheme() {
            "unix" => Self::Unix(net::file(address)?.into()),
            _ => Self::Tcp(look_up(address)?),
        })
    }

    /// The addresses to try, in order.
    pub(crate) fn candidates(&self, address: &Address) -> Result<Vec<SockAddr>> {
        match self {
            Self::Tcp(found) => Ok(found.iter().map(|a| SockAddr::from(*a)).collect()),
            Self::Unix(path) => Ok(vec![SockAddr::unix(path).map_err(|e| address.error(&e).with_source(e))?]),
        }
    }
}

/// A new socket for `to`, set to give up on a vanished peer after `options.liveness`.
pub(crate) fn new_socket(to: &SockAddr, options: &TransportOptions) -> io::Result<Socket> {
    let socket = Socket::new(to.domain(), Type::STREAM, None)?;
    configure(&socket, options)?;
    Ok(socket)
}

/// No delay for small frames; keep-alive probes while idle.
pub(crate) fn configure(socket: &Socket, options: &TransportOptions) -> io::Result<()> {
    if socket.domain()? == Domain::UNIX {
        return Ok(());
    }
    socket.set_tcp_nodelay(true)?;
    // The kernel counts in whole seconds: one wait and three probes fit into the liveness bound.
    let quarter = (options.liveness / 4).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(quarter).with_interval(quarter);
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    // No TCP_USER_TIMEOUT: vigil.rs says why.
    Ok(())
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The file it has, if it has one. Dropped before the socket, for then its inode may be another file's.
    pub(crate) file: Option<SocketFile>,
    pub(crate) socket: Socket,
    /// With the real port, and what else a dialer must know.
    pub(crate) address: Address,
    pub(crate) security: Security,
}

/// Binds and listens.
pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<Listening> {
    let target = Target::new(address, net::resolve)?;
    let security = Security::listen(address)?;
    let candidates = target.candidates(address)?;
    let bind = || bind(&candidates[0], options);
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

fn bind(to: &SockAddr, options: &TransportOptions) -> io::Result<Socket> {
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

/// The error of a stream that ended without the peer's word that nothing follows.
pub(crate) fn crashed(peer: &str) -> Error {
    net::lost(peer, "the connection ended without a goodbye; the process at the other end was killed or crashed")
}

/// The name of the other end, for messages.
pub(crate) fn peer_name(socket: &Socket, security: &Security) -> String {
    let scheme = security.scheme();
    match socket.peer_addr().map(|a| (a.is_unix(), a.as_socket())) {
        Ok((true, _)) => "unix socket".to_owned(),
        Ok((_, Some(a))) => format!("{scheme}://{a}"),
        _ => format!("{scheme} peer"),
    }
}

/// An accepted connection, before it belongs to a thread or runtime.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) options: TransportOptions,
    pub(crate) security: Security,
}

impl Accepted {
    fn check_user(&self) -> Result<()> {
        match self.socket.domain() {
            Ok(Domain::UNIX) => net::check_user(&self.socket),
            _ => Ok(()),
        }
    }
}

impl Incoming for Accepted {
    fn peer(&self) -> String {
        peer_name(&self.socket, &self.security)
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        self.check_user()?;
        crate::asynchronous::open(self.socket, &self.options, &self.security)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        self.check_user()?;
        crate::blocking::open(self.socket, &self.options, &self.security)
    }
}

/// Ends the connection when its owner goes, unless this is a forked child: then only the
/// descriptor is closed, for the connection is still the parent's.
#[derive(Debug)]
pub(crate) struct Owner {
    pid: u32,
    closed: bool,
}

impl Owner {
    pub(crate) fn new() -> Self {
        Self { pid: std::process::id(), closed: false }
    }

    pub(crate) fn closed(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_this_process(&self) -> bool {
        self.pid == std::process::id()
    }

    /// Call from `drop`.
    pub(crate) fn end(&self, socket: &SockRef<'_>) {
        if !self.closed && self.is_this_process() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}
