//! `ws://host:port[/path]` and `wss://host:port[/path]`: one frame in each binary message of a WebSocket, as browsers
//! speak it.
//!
//! A page in a browser dials, and so may any RLay endpoint; listeners are RLay's. `wss` is the same inside TLS and takes
//! the options of `rlay-tls`. Beside these there are
//!
//! | option | at | |
//! |---|---|---|
//! | `origin=https://example.org` | listener | Pages of this origin may dial, too; several are separated by commas. |
//! | `insecure_allow_remote=yes` | listener | Listens for other machines, though nothing authenticates dialers. |
//!
//! A browser says where the page that dials is from. Without the option, pages from `localhost`, `127.0.0.1` and `[::1]`
//! may dial, whatever their port, and pages from the listener's own host and port; others are refused with HTTP 403.
//! Without this check, any site that is open in a browser could play with what listens on the same machine.
//!
//! ```
//! use rlay_core::{Registry, TransportOptions};
//!
//! let registry = Registry::default().with(rlay_ws::Ws);
//! let address = "ws://127.0.0.1:0/game?origin=https://example.org".parse()?;
//! let listener = registry.find(&address)?.listen_blocking(&address, &TransportOptions::default())?;
//! assert!(listener.address().to_string().ends_with("/game")); // with the real port
//! # Ok::<(), rlay_core::Error>(())
//! ```

mod channel;
mod connection;
mod endpoint;
mod handshake;
mod liveness;
mod options;
mod origin;
mod reader;
mod socket;
mod writer;

use async_trait::async_trait;
use rlay_core::{Address, Channel, Listener, Result, Transport, TransportOptions};

/// The transport of `ws://` and `wss://`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ws;

#[async_trait]
impl Transport for Ws {
    fn schemes(&self) -> &'static [&'static str] {
        &["ws", "wss"]
    }

    /// Pings are sent and answered by tasks.
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
