//! `tcp://host:port`, `tls://host:port` and `unix:///path`: RLay frames over stream sockets.
//!
//! `tls` needs the feature of that name; its options are those of `rlay-tls`.
//!
//! ```
//! use rlay_core::{Registry, TransportOptions};
//!
//! let registry = Registry::default().with(rlay_tcp::Tcp);
//! let address = "tcp://127.0.0.1:0".parse()?;
//! let mut listener = registry.find(&address)?.listen_blocking(&address, &TransportOptions::default())?;
//! assert_ne!(listener.address().to_string(), "tcp://127.0.0.1:0"); // the real port
//! # Ok::<(), rlay_core::Error>(())
//! ```

mod accepted;
mod asynchronous;
mod blocking;
mod layer;
mod listener;
mod liveness;
mod socket;

use std::time::Instant;

use async_trait::async_trait;
use rlay_core::{Address, BlockingChannel, BlockingListener, Channel, Listener, Result, Transport, TransportOptions};

/// The transport of `tcp://`, `unix://` and, with the feature `tls`, `tls://`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

#[async_trait]
impl Transport for Tcp {
    fn schemes(&self) -> &'static [&'static str] {
        &[
            "tcp",
            #[cfg(feature = "tls")]
            "tls",
            "unix",
        ]
    }

    fn is_network(&self, scheme: &str) -> bool {
        scheme != "unix"
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        asynchronous::connect(address, options).await
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        listener::listen(address, options)
    }

    fn connect_blocking(
        &self,
        address: &Address,
        options: &TransportOptions,
        deadline: Option<Instant>,
    ) -> Result<Box<dyn BlockingChannel>> {
        blocking::connect(address, options, deadline)
    }

    fn listen_blocking(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn BlockingListener>> {
        listener::listen_blocking(address, options)
    }
}
