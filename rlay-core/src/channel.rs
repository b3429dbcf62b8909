//! Channel, Listener, Transport: everything that RLay requires of a way to move bytes.
//!
//! # The contract
//!
//! Every channel, in its async and in its blocking form, keeps these promises. Each has a test of
//! the same name in `rlay-testkit`, which every transport runs with one macro line.
//!
//! 1. `frames_arrive_whole_in_order_exactly_once` — a frame is what one `send` was given, head and
//!    body joined; its first byte lies at a multiple of 64 bytes in memory.
//! 2. `an_empty_frame_is_a_frame`.
//! 3. `the_frame_limit_is_exact` — a frame of `max_frame` bytes passes; one byte more is refused by
//!    the sender before anything is sent, and by the receiver before anything is allocated.
//! 4. `recv_loses_nothing_when_it_is_cancelled_or_times_out` — what had arrived stays for the next call.
//! 5. `a_cancelled_send_breaks_the_channel_loudly` — if it had sent a part; every later call fails.
//!    A send that is still waiting to begin leaves the channel as it was.
//! 6. `close_implies_flush` — frames sent before `close` arrive.
//! 7. `a_clean_close_reads_none_and_a_crash_reads_an_error` — after all frames that came before it, even if
//!    one's own `send` has failed meanwhile because the peer was gone.
//! 8. `a_dead_peer_is_noticed` — by a blocked `recv`, within [`TransportOptions::liveness`].
//! 9. `a_slow_reader_stops_the_writer` — `send` waits; memory on the way is bounded.
//! 10. `port_zero_is_resolved` — [`Listener::address`] can be dialed as it is.
//! 11. `two_listeners_on_one_address_is_an_error` — of kind `AddressInUse`.
//! 12. `drop_aborts` — it never blocks, and the peer sees an error, not a clean close.
//! 13. `silence_is_not_death` — however long a living peer sends nothing, while it computes or is not even waiting, the
//!     connection stays.
//! 14. `a_cancel_token_ends_a_wait` — at once where `set_cancel_token` promises it, and takes nothing that has arrived.
//!     (Blocking forms.)
//! 15. `a_look_ends_a_send` — that waits; the look is polled during the wait. (Blocking forms.)
//! 16. `a_watch_tells_a_crash_from_a_clean_close` — within [`TransportOptions::liveness`], if there is one.
//! 17. `a_wait_for_several_misses_none` — whose frame, or end, comes before the wait begins, or after it. (Blocking forms.)
//!
//! `connect` completes even if the other end does not open the connection. The first call on a channel may need the
//! other end to open it, as TLS does for its handshake.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::{address::Address, bridge, cancel_token::CancelToken, error::Result, frame::Frame};

/// Checks a channel from another thread: an error once the connection is lost. The check neither blocks nor keeps the
/// connection open. Data that has arrived but was not received may be dropped after an error; a channel that can detect
/// such data waits until it is received.
pub type Watch = Box<dyn FnMut() -> Result<()> + Send>;

/// How a thread waits for a channel beside others; see [`BlockingChannel::begin_readiness_wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// `recv` is worth a call now.
    Now,
    /// Once this descriptor is readable.
    Descriptor(i32),
    /// Only a call of `recv` tells.
    Unknown,
}

/// A pipe of whole frames, in order, that fails for good if it fails. For code inside tokio.
#[async_trait]
pub trait Channel: Send + Debug {
    /// Sends one frame, `head` followed by `body`.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe. If the future is dropped after a part of the frame was sent, the channel is broken: every later
    /// call fails with [`ConnectionLost`](crate::ErrorKind::ConnectionLost). If nothing was sent yet, the channel is as
    /// it was, and the frame is not sent.
    async fn send(&mut self, head: &[u8], body: &[u8]) -> Result<()>;

    /// The next frame; `None` once the peer has closed the channel on purpose.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe. What has arrived of a frame stays in the channel for the next call.
    async fn recv(&mut self) -> Result<Option<Frame>>;

    /// Delivers what was sent, then tells the peer that nothing follows. Waits for a slow peer as long as that peer is
    /// alive.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe. If the future is dropped, the peer may or may not have been told that nothing follows, and
    /// frames that were sent may be lost. What is left to do with the channel is to drop it.
    async fn close(&mut self) -> Result<()>;

    /// Changes the longest frame that is sent or received.
    fn set_max_frame(&mut self, max_frame: usize);

    /// A way for another thread to detect that the connection is lost, if there is one; see [`BlockingChannel::watch`].
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// Names the other end, for messages to people.
    fn peer(&self) -> String;
}

/// The same pipe for threads that may block. `deadline` bounds one call; `None` means as long as the peer is alive.
pub trait BlockingChannel: Send + Debug {
    /// Sends one frame, `head` followed by `body`.
    fn send(&mut self, head: &[u8], body: &[u8], deadline: Option<Instant>) -> Result<()> {
        self.send_while(head, body, deadline, &mut || Ok(()))
    }

    /// Sends like `send`, and polls `look` while waiting, at least about ten times a second. An error of `look` ends
    /// the call as a deadline does.
    fn send_while(
        &mut self,
        head: &[u8],
        body: &[u8],
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// The next frame; `None` once the peer has closed the channel on purpose. An error of kind
    /// [`Timeout`](crate::ErrorKind::Timeout) at the deadline loses nothing; a deadline in the past polls.
    fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>>;

    /// Receives like `recv` for about a tenth of a second, if the channel can bound that without reading the clock;
    /// else does nothing and returns `None`. Waits that have no deadline begin with this call.
    fn recv_briefly(&mut self) -> Option<Result<Option<Frame>>> {
        None
    }

    /// Delivers what was sent, then tells the peer that nothing follows.
    fn close(&mut self, deadline: Option<Instant>) -> Result<()>;

    /// Makes `recv` end as at its deadline once `cancel` is set and nothing is there to receive; `None` undoes that.
    /// Returns whether `recv` will; if not, the waiting caller polls the flag, ten times a second.
    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        let _ = cancel;
        false
    }

    /// Begins a wait for this channel beside others, once a `recv` has timed out: says how to learn that another call is
    /// worth it. [`end_readiness_wait`](Self::end_readiness_wait) ends it, before anything else is done with the channel.
    ///
    /// A channel that is [`Unknown`](Readiness::Unknown) is polled, about a thousand times a second.
    fn begin_readiness_wait(&mut self) -> Readiness {
        Readiness::Unknown
    }

    /// Ends that wait. `is_ready` says whether the descriptor was readable.
    fn end_readiness_wait(&mut self, is_ready: bool) {
        let _ = is_ready;
    }

    /// Changes the longest frame that is sent or received.
    fn set_max_frame(&mut self, max_frame: usize);

    /// A way for another thread to detect that the connection is lost, if there is one. With it, a session that has
    /// dialed looks for a replacement connection even while its own thread is busy elsewhere, such as in an
    /// environment's step; without it, once that thread sends or receives.
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// Names the other end, for messages to people.
    fn peer(&self) -> String;
}

/// A connection that was accepted but belongs to no thread and no runtime yet.
pub trait Incoming: Send + Debug {
    /// Names the dialer, for messages to people.
    fn peer(&self) -> String;

    /// The channel, for the tokio runtime this is called on.
    fn open(self: Box<Self>) -> Result<Box<dyn Channel>>;

    /// The channel, for a thread that may block.
    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>>;
}

/// Accepts connections, for code inside tokio.
#[async_trait]
pub trait Listener: Send + Debug {
    /// The next connection.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe. A connection that has arrived waits for the next call.
    async fn accept(&mut self) -> Result<Box<dyn Incoming>>;

    /// The address to dial, with the real port; for a listener on every interface see
    /// [`net::dialable`](crate::net::dialable).
    fn address(&self) -> &Address;

    /// The listening descriptor, if there is one; see [`BlockingListener::descriptor`].
    fn descriptor(&self) -> Option<i32> {
        None
    }
}

/// Accepts connections, for threads that may block.
pub trait BlockingListener: Send + Debug {
    /// The next connection, or an error of kind [`Timeout`](crate::ErrorKind::Timeout) at the deadline.
    fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>>;

    /// Makes `accept` end as at its deadline once `cancel` is set; see [`BlockingChannel::set_cancel_token`].
    fn set_cancel_token(&mut self, cancel: Option<&CancelToken>) -> bool {
        let _ = cancel;
        false
    }

    /// The address to dial, with the real port; for a listener on every interface see
    /// [`net::dialable`](crate::net::dialable).
    fn address(&self) -> &Address;

    /// The listening descriptor, if there is one: a forked child closes it, so that the address is free once the parent
    /// has closed its own.
    fn descriptor(&self) -> Option<i32> {
        None
    }
}

/// The options that an endpoint gives a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportOptions {
    /// Longest frame in bytes, in either direction.
    pub max_frame: usize,
    /// Bounds the time until a peer that vanished without notice is detected. By default 18 s: with the two seconds
    /// that an agent's call waits for a replacement connection, the caller is told within twenty.
    pub liveness: Duration,
    /// Listeners: whether each dialer must prove that it knows a [`Token`](crate::Token).
    pub is_authenticated: bool,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self { max_frame: 64 << 20, liveness: Duration::from_secs(18), is_authenticated: false }
    }
}

/// The implementation of a scheme: a way to dial and a way to listen.
#[async_trait]
pub trait Transport: Send + Sync + Debug {
    /// The schemes it serves.
    fn schemes(&self) -> &'static [&'static str];

    /// Dials.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, so is the connection. The listener may have accepted it; then it ends there without a
    /// clean close.
    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>>;

    /// Listens.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing listens, and the address can be bound again.
    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>>;

    /// Whether a connection over `scheme` can be lost while both of its ends live, as in a network. Then a session may
    /// be resumed over a replacement connection.
    fn is_network(&self, scheme: &str) -> bool {
        let _ = scheme;
        true
    }

    /// Whether its connections have work to do while no call sends or receives, such as keep-alives.
    ///
    /// Then the connections of a blocking listener share its runtime, and a thread drives each such runtime while no
    /// other thread does.
    fn works_in_background(&self) -> bool {
        false
    }

    /// Dials, for a thread that may block. By default the async form on a runtime of its own.
    fn connect_blocking(
        &self,
        address: &Address,
        options: &TransportOptions,
        deadline: Option<Instant>,
    ) -> Result<Box<dyn BlockingChannel>> {
        bridge::connect(self.connect(address, options), self.works_in_background(), deadline)
    }

    /// Listens, for a thread that may block. By default the async form on a runtime of its own.
    fn listen_blocking(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn BlockingListener>> {
        bridge::listen(self.listen(address, options), self.works_in_background())
    }
}
