//! Shared code of both forms: addresses, sockets with their options, and errors in plain words.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

pub(crate) use rlay_core::net::{broken, lost_by};
use rlay_core::{Address, Error, Result, TransportOptions, net};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::layer::Security;

/// The destination of an address.
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

    /// The socket addresses to try, in order.
    pub(crate) fn candidates(&self, address: &Address) -> Result<Vec<SockAddr>> {
        match self {
            Self::Tcp(found) => Ok(found.iter().map(|a| SockAddr::from(*a)).collect()),
            Self::Unix(path) => Ok(vec![SockAddr::unix(path).map_err(|e| address.error(&e).with_source(e))?]),
        }
    }
}

/// A new socket for `to`, which gives up a vanished peer after `options.liveness`.
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
    // No TCP_USER_TIMEOUT: liveness.rs says why.
    Ok(())
}

/// The error of a stream that ended without the peer's goodbye.
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

/// Shuts the connection down when its channel is dropped, unless this is a forked child: then only the descriptor is
/// closed, for the connection still belongs to the parent.
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
