//! `faulty://`: a byte stream inside one process that fails as and when its options say.

mod channel;
mod link;
mod plan;

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError, atomic::Ordering::SeqCst},
};

use async_trait::async_trait;
use rlay_core::{
    Address, BlockingChannel, Channel, Error, ErrorKind, Incoming, Listener, Result, Transport, TransportOptions,
    open_bridged,
};
use tokio::sync::mpsc;

use self::{
    channel::FaultyChannel,
    link::{Link, Side},
    plan::{Breaks, Plan},
};

/// The transport behind `faulty://name?option=value`: frames over an unreliable byte stream.
///
/// Without options it keeps every promise of a channel, over the framing that stream transports use.
/// The options of the address that is dialed say what goes wrong; a listener's own options are part
/// of the address it tells to dial. Equal options and equal traffic give equal failures.
///
/// | option | what it does |
/// |---|---|
/// | `cut_up=k` | the connection breaks once the dialer has sent `k` bytes, length prefixes and the goodbye of `close` included |
/// | `cut_down=k` | the same for the bytes of the end that accepted |
/// | `cuts=n` | only the first `n` connections that are dialed with these very options break; by default all do |
/// | `end=eof` | what was sent before the cut arrives, then the stream ends (the default) |
/// | `end=reset` | what was sent before the cut and not yet read is lost in both directions |
/// | `chop=n` | no read gives more than `n` bytes |
/// | `delay=ms` | bytes arrive that many milliseconds after they were sent |
///
/// The `send` that crosses the cut succeeds, as it does where a kernel buffers; every later one fails.
///
/// ```
/// use rlay::{ErrorKind, Registry, TransportOptions};
/// use rlay_testkit::Faulty;
///
/// let registry = Registry::default().with(Faulty);
/// let address = "faulty://doc?cut_up=14".parse()?;
/// let transport = registry.find(&address)?;
/// let options = TransportOptions::default();
///
/// let mut listener = transport.listen_blocking(&address, &options)?;
/// let mut dialer = transport.connect_blocking(&address, &options, None)?;
/// let mut accepted = listener.accept(None)?.open_blocking()?;
/// dialer.send(b"whole", b"", None)?; // 4 + 5 bytes
/// dialer.send(b"in two", b"", None)?; // 4 + 6 bytes, of which the last 5 are lost
/// assert_eq!(&accepted.recv(None)?.unwrap()[..], b"whole");
/// assert_eq!(accepted.recv(None).unwrap_err().kind(), ErrorKind::ConnectionLost);
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Faulty;

impl Faulty {
    /// How many connections have broken of those that were dialed at this address, which has the option `cuts`.
    pub fn breaks(address: &str) -> usize {
        let dialed = DIALED.lock().unwrap_or_else(PoisonError::into_inner);
        dialed.get(address).map_or(0, |(_, breaks)| breaks.load(SeqCst))
    }
}

type Names = Mutex<HashMap<String, mpsc::UnboundedSender<Dialed>>>;
static NAMES: LazyLock<Names> = LazyLock::new(Names::default);
/// Of each address with the option `cuts`: how often it was dialed, and how many of those connections have broken.
static DIALED: LazyLock<Mutex<HashMap<String, (usize, Breaks)>>> = LazyLock::new(Mutex::default);

#[async_trait]
impl Transport for Faulty {
    fn schemes(&self) -> &'static [&'static str] {
        &["faulty"]
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        let mut plan = Plan::read(address)?;
        if let Some(cuts) = plan.cuts {
            let mut dialed = DIALED.lock().unwrap_or_else(PoisonError::into_inner);
            let (dialed, breaks) = dialed.entry(address.to_string()).or_default();
            *dialed += 1;
            if *dialed > cuts {
                plan.cut = [None; 2];
            }
            plan.breaks = breaks.clone();
        }
        let refused = || Error::gone(format!("{address}: nothing listens there"));
        let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = names.get(address.rest()).ok_or_else(refused)?;
        let [dialer, accepted] = Link::sides(&plan);
        listener.send(Dialed { side: accepted, max_frame: 0 }).map_err(|_| refused())?;
        Ok(Box::new(FaultyChannel::new(dialer, options.max_frame)))
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        Plan::read(address)?;
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, listener| !listener.is_closed());
        if names.contains_key(address.rest()) {
            return Err(Error::new(ErrorKind::AddressInUse, format!("{address}: another listener has this name")));
        }
        let (sender, incoming) = mpsc::unbounded_channel();
        names.insert(address.rest().to_owned(), sender);
        Ok(Box::new(FaultyListener { address: address.clone(), max_frame: options.max_frame, incoming }))
    }
}

#[derive(Debug)]
struct FaultyListener {
    address: Address,
    max_frame: usize,
    incoming: mpsc::UnboundedReceiver<Dialed>,
}

#[async_trait]
impl Listener for FaultyListener {
    async fn accept(&mut self) -> Result<Box<dyn Incoming>> {
        let dialed = self.incoming.recv().await;
        let dialed = dialed.ok_or_else(|| Error::new(ErrorKind::Closed, "the listener was closed"))?;
        Ok(Box::new(Dialed { max_frame: self.max_frame, ..dialed }))
    }

    fn address(&self) -> &Address {
        &self.address
    }
}

/// The end of a connection that has yet to be accepted and opened.
#[derive(Debug)]
struct Dialed {
    side: Side,
    max_frame: usize,
}

impl Incoming for Dialed {
    fn peer(&self) -> String {
        channel::PEER.to_owned()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        Ok(Box::new(FaultyChannel::new(self.side, self.max_frame)))
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        open_bridged(self)
    }
}
