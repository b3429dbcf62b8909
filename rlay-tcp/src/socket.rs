//! What both forms share: addresses, sockets with their options, and errors in plain words.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

pub(crate) use rlay_core::net::{broken, lost};
use rlay_core::{
    Address, BlockingChannel, Channel, Error, Incoming, Result, TransportOptions,
    net::{self, ALLOW_REMOTE},
};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait for `accept`.
const BACKLOG: i32 = 1024;

/// Where an address leads.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

impl Target {
    /// Resolves host names; takes as long as the system's resolver does.
    pub(crate) fn resolve(address: &Address) -> Result<Self> {
        Ok(match address.scheme() {
            "unix" => Self::Unix(net::file(address)?.into()),
            _ => Self::Tcp(net::resolve(address)?),
        })
    }

    /// The addresses to try, in order.
    pub(crate) fn candidates(&self, address: &Address) -> Result<Vec<SockAddr>> {
        match self {
            Self::Tcp(found) => Ok(found.iter().map(|a| SockAddr::from(*a)).collect()),
            Self::Unix(path) => Ok(vec![SockAddr::unix(path).map_err(|e| address.error(e))?]),
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

/// Binds and listens; the address then has the real port.
pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<(Socket, Address, Option<PathBuf>)> {
    let target = Target::resolve(address)?;
    let allow_remote = match address.options().collect::<Vec<_>>()[..] {
        [] => false,
        [(ALLOW_REMOTE, "yes")] if matches!(target, Target::Tcp(_)) => true,
        _ => return Err(address.error(format_args!("a listener has no option but {ALLOW_REMOTE}=yes, for tcp"))),
    };
    let candidates = target.candidates(address)?;
    let bind = || bind(&candidates[0], options);
    let socket = match &target {
        Target::Tcp(found) => {
            let (is_wanted, lacks) = match options.is_authenticated {
                true => (true, "nothing here is encrypted"),
                false => (allow_remote, "nothing here authenticates or encrypts"),
            };
            net::check_exposure(address, found, is_wanted, lacks, net::SET_A_TOKEN)?;
            bind().map_err(|e| net::bind_error(address, &e))?
        }
        Target::Unix(path) => {
            return Ok((net::bind_file(address, path, bind)?, address.clone(), Some(path.clone())));
        }
    };
    let local = socket.local_addr().map_err(|e| net::bind_error(address, &e))?;
    let local = local.as_socket().ok_or_else(|| address.error("not an internet address"))?;
    Ok((socket, Address::new("tcp", local.to_string()), None))
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
    lost(peer, "the connection ended without a goodbye; the process at the other end was killed or crashed")
}

/// The name of the other end, for messages.
pub(crate) fn peer_name(socket: &Socket) -> String {
    match socket.peer_addr().ok().and_then(|a| a.as_socket()) {
        Some(a) => format!("tcp://{a}"),
        None => "unix socket".to_owned(),
    }
}

/// An accepted connection, before it belongs to a thread or runtime.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) options: TransportOptions,
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
        peer_name(&self.socket)
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        self.check_user()?;
        crate::asynchronous::open(self.socket, &self.options)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        self.check_user()?;
        crate::blocking::open(self.socket, &self.options)
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
