//! Local: sockets of this machine, how to dial one if its listener has no room, and what happens to its file.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{SocketAddr, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use tokio::time;

use super::{bind_error, in_use};
use crate::{
    address::Address,
    error::{Error, Result},
};

/// How long a task tries. A dialer in a task is told at the deadline only that the deadline has passed.
const TRY: Duration = Duration::from_millis(500);
/// How long to wait before the next attempt where the listener's queue is full. The kernel does not signal room in it.
const PAUSE: Duration = Duration::from_millis(10);

/// Connects to a Unix socket, as a socket that does not block. Retries until the deadline while the listener's queue is
/// full.
///
/// ```
/// use std::os::unix::net::SocketAddr;
///
/// let unused = SocketAddr::from_pathname("/nowhere/at.all")?;
/// assert!(rlay::net::dial_local(&unused, None).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn dial_local(to: &SocketAddr, deadline: Option<Instant>) -> io::Result<UnixStream> {
    loop {
        match attempt(to) {
            Err(error) if is_full(&error) => {
                if deadline.is_some_and(|deadline| Instant::now() + PAUSE >= deadline) {
                    return Err(full());
                }
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// The same inside tokio, for half a second at most.
///
/// # Cancel safety
///
/// If the future is dropped, there is no connection: it waits only between attempts, each of which is over at once.
pub async fn dial_local_async(to: &SocketAddr) -> io::Result<UnixStream> {
    let deadline = Instant::now() + TRY;
    loop {
        match attempt(to) {
            Err(error) if is_full(&error) && Instant::now() >= deadline => return Err(full()),
            Err(error) if is_full(&error) => time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

/// Connects without waiting for anything.
fn attempt(to: &SocketAddr) -> io::Result<UnixStream> {
    let name = match to.as_pathname() {
        Some(path) => SocketAddrUnix::new(path)?,
        None => unnamed(to)?,
    };
    let socket = UnixStream::from(new_socket()?);
    socket.set_nonblocking(true)?;
    rustix::net::connect(&socket, &name)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn new_socket() -> rustix::io::Result<std::os::fd::OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, rustix::net::SocketFlags::CLOEXEC, None)
}

#[cfg(not(target_os = "linux"))]
fn new_socket() -> rustix::io::Result<std::os::fd::OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok(socket)
}

/// A name that is no file's.
#[cfg(target_os = "linux")]
fn unnamed(to: &SocketAddr) -> io::Result<SocketAddrUnix> {
    use std::os::linux::net::SocketAddrExt;
    Ok(SocketAddrUnix::new_abstract_name(to.as_abstract_name().unwrap_or_default())?)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &SocketAddr) -> io::Result<SocketAddrUnix> {
    Err(io::ErrorKind::InvalidInput.into())
}

/// Whether the listener's queue has no room (connect(2), EAGAIN).
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn full() -> io::Error {
    let text =
        "the listener's queue is full, for it accepts no dialer; is it stopped, or the socket of another program?";
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Makes a socket file one that only this user can open. Call it between `bind` and `listen`.
pub fn owner_only(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Binds a socket file. Replaces a file that no listener answers on, left behind by a listener that was killed.
pub fn bind_file<T>(address: &Address, path: &Path, bind: impl Fn() -> io::Result<T>) -> Result<(T, SocketFile)> {
    let bound = match bind() {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if !fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
                return Err(address.error("there is a file of this name that is not a socket; choose another path"));
            }
            let probed = SocketAddr::from_pathname(path).and_then(|to| attempt(&to));
            // A full queue belongs to a listener, and so may a socket that this user is kept out of.
            if !probed.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
                return Err(in_use(address));
            }
            fs::remove_file(path).map_err(|e| bind_error(address, e))?;
            bind()
        }
        bound => bound,
    };
    let file = |bound| SocketFile::new(path).map(|file| (bound, file));
    bound.and_then(file).map_err(|e: io::Error| -> Error { bind_error(address, e) })
}

/// The file of a listening socket, removed on drop: unless the drop happens in a forked child, or another listener has
/// the path since.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// The device and number of the file.
    named: (u64, u64),
    pid: u32,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), named: named(path)?, pid: std::process::id() })
    }
}

fn named(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.pid == std::process::id() && named(&self.path).is_ok_and(|named| named == self.named) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
