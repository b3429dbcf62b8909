//! Both forms of the listener.

use std::{
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    thread,
    time::Instant,
};

use async_trait::async_trait;
use rlay_core::{
    Address, BlockingListener, CancelToken, Incoming, Listener, Result, TransportOptions,
    net::{Reserve, bind_error, is_vain, wait_to_accept},
};
use tokio::{net, time};

use crate::{accepted::Accepted, rendezvous};

pub(crate) fn listen(address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
    let socket = net::UnixListener::from_std(rendezvous::listen(address)?);
    let socket = socket.map_err(|e| bind_error(address, e))?;
    Ok(Box::new(AsyncListener { socket, listening: Listening::new(address, options) }))
}

pub(crate) fn listen_blocking(address: &Address, options: &TransportOptions) -> Result<Box<dyn BlockingListener>> {
    let socket = rendezvous::listen(address)?;
    Ok(Box::new(ThreadListener { socket, listening: Listening::new(address, options), cancel: None }))
}

/// The state that both forms share.
#[derive(Debug)]
struct Listening {
    address: Address,
    options: TransportOptions,
    reserve: Reserve,
}

impl Listening {
    fn new(address: &Address, options: &TransportOptions) -> Self {
        let reserve = Reserve::of(rendezvous::DESCRIPTORS);
        Self { address: address.clone(), options: options.clone(), reserve }
    }

    /// Accepts a dialer's connection, or logs why not.
    fn take(&mut self, socket: UnixStream) -> Option<Box<dyn Incoming>> {
        match Accepted::new(socket, &mut self.reserve, &self.address, &self.options) {
            Ok(accepted) => {
                self.reserve.regain();
                Some(Box::new(accepted))
            }
            Err(error) => {
                tracing::warn!("a connection to {} was refused: {error}", self.address);
                None
            }
        }
    }
}

/// The async form.
#[derive(Debug)]
struct AsyncListener {
    socket: net::UnixListener,
    listening: Listening,
}

#[async_trait]
impl Listener for AsyncListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        loop {
            match self.socket.accept().await.and_then(|(socket, _)| socket.into_std()) {
                Ok(socket) => {
                    if let Some(accepted) = self.listening.take(socket) {
                        return Ok(accepted);
                    }
                }
                Err(error) => time::sleep(self.listening.reserve.refused(&error, &self.socket)).await,
            }
        }
    }

    fn address(&self) -> &Address {
        &self.listening.address
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.socket.as_raw_fd())
    }
}

/// The blocking form.
#[derive(Debug)]
struct ThreadListener {
    socket: UnixListener,
    listening: Listening,
    cancel: Option<CancelToken>,
}

impl BlockingListener for ThreadListener {
    fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>> {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => {
                    if let Some(accepted) = self.listening.take(socket) {
                        return Ok(accepted);
                    }
                }
                Err(error) if is_vain(&error) => {}
                // The dialer disconnected while it waited, or descriptors ran out: neither ends the listener.
                Err(error) => thread::sleep(self.listening.reserve.refused(&error, &self.socket)),
            }
            wait_to_accept(&self.socket, deadline, self.cancel.as_ref())?;
        }
    }

    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        self.cancel = cancel.filter(|cancel| cancel.pipe().is_some()).cloned();
        self.cancel.is_some()
    }

    fn address(&self) -> &Address {
        &self.listening.address
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.socket.as_raw_fd())
    }
}
