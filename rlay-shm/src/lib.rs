//! `shm://name`: RLay frames through memory that two processes on one host share. Linux only.
//!
//! The listener accepts on a Unix socket in the abstract namespace, so that no file is left behind when a process is
//! killed, and hands each dialer a memfd with one ring of bytes per direction. A frame of any size passes through it. A
//! side that waits spins for a few microseconds where that pays, then stores in the shared memory that it sleeps, and
//! how it is woken: by a futex for the first 5 ms, then by a byte on the socket. The socket's end means that the peer
//! is gone. `docs/wire.md`, "Shared memory", has the layout.
//!
//! Both ends must run as the same user; the kernel tells each end the other's user (`SO_PEERCRED`, unix(7)).
//!
//! ```
//! use rlay_core::{Registry, TransportOptions};
//!
//! let registry = Registry::default().with(rlay_shm::Shm);
//! let address = "shm://doc-example".parse()?;
//! let listener = registry.find(&address)?.listen_blocking(&address, &TransportOptions::default());
//! assert_eq!(listener.is_ok(), cfg!(target_os = "linux"));
//! # Ok::<(), rlay_core::Error>(())
//! ```

#[cfg(target_os = "linux")]
mod accepted;
#[cfg(target_os = "linux")]
mod asynchronous;
#[cfg(target_os = "linux")]
mod blocking;
#[cfg(target_os = "linux")]
mod listener;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
mod region;
#[cfg(target_os = "linux")]
mod rendezvous;
#[cfg(target_os = "linux")]
mod spin;
#[cfg(target_os = "linux")]
mod stream;

use std::time::Instant;

use async_trait::async_trait;
use rlay_core::{Address, BlockingChannel, BlockingListener, Channel, Listener, Result, Transport, TransportOptions};

/// The transport of `shm://`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shm;

#[cfg(target_os = "linux")]
#[async_trait]
impl Transport for Shm {
    fn schemes(&self) -> &'static [&'static str] {
        &["shm"]
    }

    fn is_network(&self, _: &str) -> bool {
        false
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

#[cfg(not(target_os = "linux"))]
fn elsewhere<T>(address: &Address) -> Result<T> {
    Err(address.error("shared memory works on Linux only; use unix:///tmp/rlay.sock, which is nearly as fast parked"))
}

#[cfg(not(target_os = "linux"))]
#[async_trait]
impl Transport for Shm {
    fn schemes(&self) -> &'static [&'static str] {
        &["shm"]
    }

    fn is_network(&self, _: &str) -> bool {
        false
    }

    async fn connect(&self, address: &Address, _: &TransportOptions) -> Result<Box<dyn Channel>> {
        elsewhere(address)
    }

    async fn listen(&self, address: &Address, _: &TransportOptions) -> Result<Box<dyn Listener>> {
        elsewhere(address)
    }

    fn connect_blocking(
        &self,
        address: &Address,
        _: &TransportOptions,
        _: Option<Instant>,
    ) -> Result<Box<dyn BlockingChannel>> {
        elsewhere(address)
    }

    fn listen_blocking(&self, address: &Address, _: &TransportOptions) -> Result<Box<dyn BlockingListener>> {
        elsewhere(address)
    }
}
