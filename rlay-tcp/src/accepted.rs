//! Accepted: a connection that a listener accepted, before it becomes a channel of either form.

use rlay_core::{BlockingChannel, Channel, Incoming, Result, TransportOptions, net};
use socket2::{Domain, Socket};

use crate::{asynchronous, blocking, layer::Security, socket::peer_name};

/// An accepted connection, which belongs to no thread or runtime yet.
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
        asynchronous::open(self.socket, &self.options, &self.security)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        self.check_user()?;
        blocking::open(self.socket, &self.options, &self.security)
    }
}
