//! What transports over sockets share: where an address leads, which may be listened on, errors in plain words.

#[cfg(unix)]
mod local;
mod names;
mod poll_set;
mod reach;
#[cfg(unix)]
mod readiness_wait;
#[cfg(unix)]
mod reserve;
#[cfg(unix)]
mod user;

use std::{fmt, io, net::SocketAddr, os::fd::AsFd, path::Path, time::Duration};

use crate::{
    address::Address,
    error::{Error, ErrorKind, Result},
};

#[cfg(unix)]
pub use local::{SocketFile, bind_file, dial_local, dial_local_async, owner_only};
pub(crate) use names::unheard;
pub use names::{look_up, look_up_blocking, resolve};
pub use poll_set::PollSet;
pub use reach::dialable;
#[cfg(unix)]
pub use readiness_wait::{ReadinessWait, Want, is_vain, wait_to_accept};
#[cfg(unix)]
pub use reserve::{Reserve, check_descriptors, spare_descriptor};
#[cfg(unix)]
pub(crate) use reserve::{is_exhausted, spare_for_handshake, why};
#[cfg(unix)]
pub use user::{check_user, own_uid};

/// The address option that lets a listener be reached by other machines.
pub const ALLOW_REMOTE: &str = "insecure_allow_remote";

/// The remedy where a token makes up for what is missing, for [`check_exposure`].
pub const SET_A_TOKEN: &str = "set a token (RLAY_TOKEN, at both ends), ";

/// How long a refused peer may take to receive the reason.
pub const LAST_WORD: Duration = Duration::from_millis(300);

/// How long `close` lets the peer read what was sent, over streams that discard what the peer has not read.
pub const LINGER: Duration = Duration::from_secs(1);

/// Refuses to listen where other machines can dial, unless that is wanted. `lacks` says what is missing, and
/// `remedy` what else would help.
pub fn check_exposure(
    address: &Address,
    found: &[SocketAddr],
    is_wanted: bool,
    lacks: &str,
    remedy: &str,
) -> Result<()> {
    let Some(remote) = found.iter().find(|a| !a.ip().is_loopback()) else { return Ok(()) };
    if !is_wanted {
        return Err(address.error(format_args!(
            "{} can be reached by other machines, and {lacks}; listen on 127.0.0.1, {remedy}\
             or append the option {ALLOW_REMOTE}=yes if the network is trusted",
            remote.ip()
        )));
    }
    tracing::warn!("{address}: listening for other machines although {lacks}");
    Ok(())
}

/// Whether `error` says that the process or the system has no descriptors left.
#[cfg(not(unix))]
pub(crate) fn is_exhausted(_: &io::Error) -> bool {
    false
}

/// The text of a system error, in plain words.
#[cfg(not(unix))]
pub(crate) fn why(error: &io::Error) -> String {
    error.to_string()
}

/// The error of a listener that could not be bound.
pub fn bind_error(address: &Address, error: io::Error) -> Error {
    let text = format!("cannot listen: {}", why(&error));
    let refused = match error.kind() {
        io::ErrorKind::AddrInUse => in_use(address),
        _ if is_exhausted(&error) => Error::new(ErrorKind::ResourceExhausted, format!("{address}: {text}")),
        _ => address.error(text),
    };
    refused.with_source(error)
}

/// The error of an address that another listener has.
pub fn in_use(address: &Address) -> Error {
    Error::new(
        ErrorKind::AddressInUse,
        format!("{address}: address in use by another listener; close it, or choose another (port 0 takes a free one)"),
    )
}

/// The error of a connection that could not be made or broke.
pub fn lost(what: impl fmt::Display, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::ConnectionLost, format!("{what}: {why}"))
}

/// The same where `cause` is the error that ended the connection; it becomes the [source](std::error::Error::source).
pub fn lost_by(what: impl fmt::Display, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    lost(what, &cause).with_source(cause)
}

/// The error of a connection to `address` that could not be made.
pub fn cannot_connect(address: &Address, error: io::Error) -> Error {
    let text = format!("cannot connect to {address}: {}", why(&error));
    let failed = match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::gone(text),
        _ if is_exhausted(&error) => Error::new(ErrorKind::ResourceExhausted, text),
        _ => Error::new(ErrorKind::ConnectionLost, text),
    };
    failed.with_source(error)
}

/// Refuses a connection of a socket to itself, as the kernel makes one where nothing listens at a port out of which it
/// takes those of dialers, and takes this one. A listener may have the port as soon as the socket is closed.
pub fn check_not_itself(socket: impl AsFd, own: SocketAddr, peer: SocketAddr) -> io::Result<()> {
    if own != peer {
        return Ok(());
    }
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
    Err(io::ErrorKind::ConnectionRefused.into())
}

/// The error of every call on a channel that broke before.
pub fn broken(peer: &str) -> Error {
    lost(peer, "the channel is broken by an earlier failed or cancelled send")
}

/// The result of `close` when its last message had the result `said`: a peer that is already gone needs no message.
pub fn goodbye(said: Result<()>) -> Result<()> {
    said.or_else(|e| if e.kind() == ErrorKind::ConnectionLost { Ok(()) } else { Err(e) })
}

/// The path in an address that names a socket file.
pub fn file(address: &Address) -> Result<&Path> {
    // What a sockaddr_un can hold (unix(7)).
    const LONGEST: usize = 107;
    let path = address.rest();
    if !path.starts_with('/') {
        let scheme = address.scheme();
        return Err(address.error(format_args!("the path must be absolute, as in {scheme}:///tmp/rlay.sock")));
    }
    if path.len() > LONGEST {
        return Err(address.error("the path is too long for a socket; use one of under 100 bytes"));
    }
    Ok(Path::new(path))
}
