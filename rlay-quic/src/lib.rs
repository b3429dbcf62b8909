//! `quic://host:port?pin=sha256:…`: RLay frames over one stream of a QUIC connection, encrypted.
//!
//! The listener makes itself a certificate on first use and prints its fingerprint as part of the address. A dialer of
//! that address reaches that listener or none. Beside the options of `rlay-tls`, by which other certificates are used
//! or trusted, there is
//!
//! | option | at | |
//! |---|---|---|
//! | `mtu=N` | both | The largest UDP payload to try, 1200 to 65527 bytes; measure whether it pays on your network. |
//!
//! ```
//! use rlay_core::{Registry, TransportOptions};
//!
//! let registry = Registry::default().with(rlay_quic::Quic);
//! let address = "quic://127.0.0.1:0".parse()?;
//! let listener = registry.find(&address)?.listen_blocking(&address, &TransportOptions::default())?;
//! assert!(listener.address().to_string().contains("?pin=sha256:"));
//! # Ok::<(), rlay_core::Error>(())
//! ```

mod channel;
mod endpoint;
mod liveness;
mod options;

use async_trait::async_trait;
use rlay_core::{Address, Channel, Listener, Result, Transport, TransportOptions};

/// The transport of `quic://`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quic;

#[async_trait]
impl Transport for Quic {
    fn schemes(&self) -> &'static [&'static str] {
        &["quic"]
    }

    /// Acknowledgements and keep-alives are sent by tasks.
    fn works_in_background(&self) -> bool {
        true
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        endpoint::connect(address, options).await
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        endpoint::listen(address, options)
    }
}
