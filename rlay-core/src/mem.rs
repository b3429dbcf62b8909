//! `mem://name`: channels inside one process. The reference implementation of the contract.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{
    address::Address,
    bridge,
    channel::{BlockingChannel, Channel, Incoming, Listener, Transport, TransportOptions},
    error::{Error, ErrorKind, Result},
    frame::{Frame, Pool},
    wire::too_large,
};

/// Frames that may wait in a channel before `send` waits too.
const QUEUE: usize = 4;
/// Connections that may wait for `accept`.
const BACKLOG: usize = 128;

/// The transport behind `mem://`, always registered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mem;

type Names = Mutex<HashMap<String, mpsc::Sender<MemChannel>>>;
static NAMES: LazyLock<Names> = LazyLock::new(Names::default);

/// An item in transit: a frame, or the mark that nothing follows.
#[derive(Debug)]
enum Item {
    Frame(Frame),
    End,
}

#[derive(Debug)]
struct MemChannel {
    name: String,
    max_frame: usize,
    pool: Pool,
    sender: Option<mpsc::Sender<Item>>,
    receiver: mpsc::Receiver<Item>,
    /// How the receiving side ended, once it has: the result of every later `recv`.
    end: Option<Result<()>>,
}

#[async_trait]
impl Transport for Mem {
    fn schemes(&self) -> &'static [&'static str] {
        &["mem"]
    }

    fn is_network(&self, _: &str) -> bool {
        false
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        address.no_options()?;
        let name = address.rest();
        let listener = NAMES.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let refused = || Error::gone(format!("{address}: nothing listens there"));
        let listener = listener.ok_or_else(refused)?;
        let ((to, from_peer), (to_peer, from)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let channel = |sender, receiver| MemChannel {
            name: name.to_owned(),
            max_frame: options.max_frame,
            pool: Pool::new(),
            sender: Some(sender),
            receiver,
            end: None,
        };
        listener.send(channel(to_peer, from_peer)).await.map_err(|_| refused())?;
        Ok(Box::new(channel(to, from)))
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        address.no_options()?;
        let (sender, incoming) = mpsc::channel(BACKLOG);
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, listener| !listener.is_closed());
        if names.contains_key(address.rest()) {
            return Err(Error::new(
                ErrorKind::AddressInUse,
                format!("{address}: another listener has this name; close it or choose another"),
            ));
        }
        names.insert(address.rest().to_owned(), sender);
        Ok(Box::new(MemListener { address: address.clone(), max_frame: options.max_frame, incoming }))
    }
}

#[derive(Debug)]
struct MemListener {
    address: Address,
    max_frame: usize,
    incoming: mpsc::Receiver<MemChannel>,
}

#[async_trait]
impl Listener for MemListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        let channel = self.incoming.recv().await;
        let mut channel = channel.ok_or_else(|| Error::new(ErrorKind::Closed, "the listener was replaced"))?;
        channel.max_frame = self.max_frame;
        Ok(Box::new(channel))
    }

    fn address(&self) -> &Address {
        &self.address
    }
}

impl Incoming for MemChannel {
    fn peer(&self) -> String {
        format!("mem://{}", self.name)
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        Ok(self)
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        bridge::open(self)
    }
}

impl MemChannel {
    fn check(&self, whose: &str, len: usize) -> Result<()> {
        if len > self.max_frame {
            return Err(too_large(whose, len, self.max_frame));
        }
        Ok(())
    }

    async fn put(&mut self, item: Item) -> Result<()> {
        let sender = self.sender.as_ref().ok_or_else(|| Error::new(ErrorKind::Closed, "the channel was closed"))?;
        sender.send(item).await.map_err(|_| lost())
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::ConnectionLost, "the peer is gone; it dropped the connection without a goodbye")
}

#[async_trait]
impl Channel for MemChannel {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.check("own", head.len() + body.len())?;
        let mut frame = self.pool.take(head.len() + body.len());
        frame[..head.len()].copy_from_slice(head);
        frame[head.len()..].copy_from_slice(body);
        self.put(Item::Frame(frame)).await
    }

    async fn recv(&mut self) -> Result<Option<Frame>> {
        let end = match &self.end {
            Some(end) => end.clone(),
            None => match self.receiver.recv().await {
                Some(Item::Frame(frame)) => match self.check("peer's", frame.len()) {
                    Ok(()) => return Ok(Some(frame)),
                    refused => refused,
                },
                Some(Item::End) => Ok(()),
                None => Err(lost()),
            },
        };
        self.end = Some(end.clone());
        end.map(|()| None)
    }

    async fn close(&mut self) -> Result<()> {
        if self.sender.is_some() {
            // A peer that is already gone does not wait for the mark.
            let _ = self.put(Item::End).await;
            self.sender = None;
        }
        Ok(())
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    fn peer(&self) -> String {
        format!("mem://{}", self.name)
    }
}
