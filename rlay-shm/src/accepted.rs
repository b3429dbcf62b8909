//! Accepted: a connection that was accepted and belongs to no thread or runtime yet.

use std::os::unix::net::UnixStream;

use rlay_core::{Address, BlockingChannel, Channel, ErrorKind, Incoming, Result, TransportOptions, net::Reserve};

use crate::{asynchronous, blocking, region::Side, rendezvous, stream::Stream};

/// The dialer has its memory already.
#[derive(Debug)]
pub(crate) struct Accepted(Stream);

impl Accepted {
    /// Hands new memory to the dialer at the other end of `socket`.
    pub(crate) fn new(
        socket: UnixStream,
        reserve: &mut Reserve,
        address: &Address,
        options: &TransportOptions,
    ) -> Result<Self> {
        let region = match rendezvous::hand_over(&socket) {
            Err(error) if error.kind() == ErrorKind::Busy => {
                reserve.spend();
                rendezvous::hand_over(&socket)?
            }
            region => region?,
        };
        Ok(Self(Stream::new(region, Side::Listener, socket, address.to_string(), options)))
    }
}

impl Incoming for Accepted {
    fn peer(&self) -> String {
        self.0.peer().to_owned()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        asynchronous::open(self.0)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        blocking::open(self.0)
    }
}
