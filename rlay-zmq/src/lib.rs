//! `zmq://host:port` and `zmq+ipc:///path`: RLay frames as messages of ZeroMQ, for programs that have ZeroMQ already.
//!
//! A dialer has a DEALER socket, a listener a ROUTER socket with any number of peers. The first byte of a message is
//! its type ([`wire`](self#on-the-wire)); flow control, liveness and the goodbye are RLay's own, because the `zeromq`
//! crate has none.
//!
//! The crate neither authenticates nor encrypts, and reserves as much memory as a peer announces, before RLay's code
//! sees the message: any peer that can connect can end the process. Keep to loopback and socket files; use `quic://`
//! between machines.
//!
//! # On the wire
//!
//! `docs/wire.md`, "ZeroMQ", has the table: data, credit, ping, pong, bye, bye-ack, abort.
//!
//! ```
//! use rlay_core::{Registry, TransportOptions};
//!
//! let registry = Registry::default().with(rlay_zmq::Zmq);
//! let address = "zmq://127.0.0.1:0".parse()?;
//! let listener = registry.find(&address)?.listen_blocking(&address, &TransportOptions::default())?;
//! assert_ne!(listener.address().to_string(), "zmq://127.0.0.1:0"); // the real port
//! # Ok::<(), rlay_core::Error>(())
//! ```

mod channel;
mod dealer;
mod hub;
mod link;
mod message;
mod router;

use async_trait::async_trait;
use rlay_core::{Address, Channel, Listener, Result, Transport, TransportOptions};

/// The transport behind `zmq://` and `zmq+ipc://`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Zmq;

#[async_trait]
impl Transport for Zmq {
    fn schemes(&self) -> &'static [&'static str] {
        &["zmq", "zmq+ipc"]
    }

    fn is_network(&self, scheme: &str) -> bool {
        scheme == "zmq"
    }

    /// The sockets' own tasks, and pings.
    fn works_in_background(&self) -> bool {
        true
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        dealer::connect(address, options).await
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        router::listen(address, options).await
    }
}
