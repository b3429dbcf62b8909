//! What both forms share: addresses, sockets with their options, and errors in plain words.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use rlay_core::{Address, BlockingChannel, Channel, Error, ErrorKind, Incoming, Result, TransportOptions};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait for `accept`.
const BACKLOG: i32 = 1024;

/// The address option that lets a listener be reached by other machines.
const ALLOW_REMOTE: &str = "insecure_allow_remote";

/// Where an address leads.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

impl Target {
    /// Resolves host names; takes as long as the system's resolver does.
    pub(crate) fn resolve(address: &Address) -> Result<Self> {
        if address.scheme() == "unix" {
            if !address.rest().starts_with('/') {
                return Err(address.error("a unix address holds an absolute path, such as unix:///tmp/rlay.sock"));
            }
            return Ok(Self::Unix(address.rest().into()));
        }
        let found = address.rest().to_socket_addrs().map_err(|e| {
            address.error(format_args!("{e}; a tcp address holds host and port, such as tcp://127.0.0.1:5005"))
        })?;
        let found: Vec<_> = found.collect();
        if found.is_empty() { Err(address.error("the host has no address")) } else { Ok(Self::Tcp(found)) }
    }

    /// The addresses to try, in order.
    pub(crate) fn candidates(&self, address: &Address) -> Result<Vec<SockAddr>> {
        match self {
            Self::Tcp(found) => Ok(found.iter().map(|a| SockAddr::from(*a)).collect()),
            Self::Unix(path) => Ok(vec![unix_addr(path, address)?]),
        }
    }
}

fn unix_addr(path: &Path, address: &Address) -> Result<SockAddr> {
    SockAddr::unix(path).map_err(|_| address.error("the path is too long for a socket; use one of under 100 bytes"))
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
    match &target {
        Target::Tcp(found) => {
            let remote = found.iter().find(|a| !a.ip().is_loopback());
            if let Some(a) = remote {
                if !allow_remote {
                    return Err(address.error(format_args!(
                        "{} can be reached by other machines, and nothing here authenticates or encrypts; \
                         listen on 127.0.0.1, or append ?{ALLOW_REMOTE}=yes if the network is trusted",
                        a.ip()
                    )));
                }
                tracing::warn!("{address}: listening for other machines without authentication or encryption");
            }
            let (socket, _) = bind(address, &target, options)?;
            let local = socket.local_addr().map_err(|e| bind_error(address, &e))?;
            let local = local.as_socket().ok_or_else(|| address.error("not an internet address"))?;
            Ok((socket, Address::new("tcp", local.to_string()), None))
        }
        Target::Unix(path) => {
            let result = bind(address, &target, options);
            let socket = match result {
                Ok((socket, _)) => socket,
                // A file that nobody answers on is what a killed listener left behind.
                Err(error) if error.kind() == ErrorKind::AddressInUse && !is_answered(path, address)? => {
                    std::fs::remove_file(path).map_err(|e| bind_error(address, &e))?;
                    bind(address, &target, options)?.0
                }
                Err(error) => return Err(error),
            };
            Ok((socket, address.clone(), Some(path.clone())))
        }
    }
}

fn bind(address: &Address, target: &Target, options: &TransportOptions) -> Result<(Socket, SockAddr)> {
    let candidates = target.candidates(address)?;
    let to = candidates.into_iter().next().ok_or_else(|| address.error("nothing to bind"))?;
    let run = || {
        let socket = new_socket(&to, options)?;
        if to.is_unix() {
            socket.bind(&to)?;
            if let Some(path) = to.as_pathname() {
                owner_only(path)?;
            }
        } else {
            // A port in TIME_WAIT can be bound again; one in use cannot.
            socket.set_reuse_address(true)?;
            socket.bind(&to)?;
        }
        socket.listen(BACKLOG)?;
        Ok(socket)
    };
    run().map(|socket| (socket, to.clone())).map_err(|e: io::Error| bind_error(address, &e))
}

fn owner_only(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

fn is_answered(path: &Path, address: &Address) -> Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if !is_socket {
        return Err(address.error("there is a file of this name that is not a socket; choose another path"));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|e| bind_error(address, &e))?;
    Ok(socket.connect(&unix_addr(path, address)?).is_ok())
}

fn bind_error(address: &Address, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::new(
            ErrorKind::AddressInUse,
            format!(
                "{address}: address in use by another listener; close it, or choose another (port 0 takes a free one)"
            ),
        ),
        _ => address.error(format_args!("cannot listen: {error}")),
    }
}

/// The error of a connection that could not be made or broke.
pub(crate) fn lost(what: impl std::fmt::Display, error: &io::Error) -> Error {
    Error::new(ErrorKind::ConnectionLost, format!("{what}: {error}"))
}

/// The error of a stream that ended without the peer's word that nothing follows.
pub(crate) fn crashed(peer: &str) -> Error {
    Error::new(
        ErrorKind::ConnectionLost,
        format!("{peer}: the connection ended without a goodbye; the process at the other end was killed or crashed"),
    )
}

/// The error of every call on a channel that broke before.
pub(crate) fn broken(peer: &str) -> Error {
    Error::new(
        ErrorKind::ConnectionLost,
        format!("{peer}: the channel is broken by an earlier failed or cancelled send"),
    )
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

impl Incoming for Accepted {
    fn peer(&self) -> String {
        peer_name(&self.socket)
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        crate::asynchronous::open(self.socket, &self.options)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
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
