//! The user that owns the process at the other end of a Unix socket.

use std::os::fd::AsFd;

use crate::error::{Error, ErrorKind, Result};

/// The user that this process acts as.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Fails unless the kernel reports that the process at the other end acts as the same user.
#[cfg(target_os = "linux")]
pub fn check_user(socket: impl AsFd) -> Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(socket)
        .map_err(|e| super::lost_by("the user at the other end is unknown", e))?
        .uid
        .as_raw();
    if peer == own_uid() {
        return Ok(());
    }
    let text = format!(
        "the process at the other end runs as user {peer}, this one as {}; use the same user at both ends, or tcp",
        own_uid()
    );
    Err(Error::new(ErrorKind::Incompatible, text))
}

/// Elsewhere the mode of the socket file has to suffice.
#[cfg(not(target_os = "linux"))]
pub fn check_user(_: impl AsFd) -> Result<()> {
    Ok(())
}
