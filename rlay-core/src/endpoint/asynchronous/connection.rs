//! AsyncConnection: the channel of a session inside tokio, and how the session gets another one when it is lost.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{io, runtime::Handle, time};

use super::{GOODBYE_TIME, dial, handshake};
use crate::{
    address::Address,
    bridge::timeout,
    channel::{Channel, Transport, TransportOptions},
    endpoint::{
        accept::permits::SessionPermit,
        connect::{dial::CONNECT_TIME, reconnect_slot::ReconnectSlot, reconnector::Target},
        history::History,
        options::ConnectionOptions,
    },
    error::{Error, ErrorKind, Result},
    frame::Frame,
    printable::log_entry,
    session::{
        Local,
        recovery::{Recovery, ResendFailed},
        redial::{LossPauses, Redial},
        retransmit::ToRetransmit,
    },
    stream::StreamChannel,
    wire::{Limits, Resume, Role},
};

/// A channel whose handshake is over, for a session inside tokio. If its transport is a network and both ends allow it,
/// the session goes on over another one when it is lost, which a call that waits on the connection sees to.
///
/// # Cancel safety
///
/// Whatever waits on it may be cancelled; the next call goes on from there. A call that is cancelled while it sends a
/// part of a frame breaks the channel, and another one brings the frame.
#[derive(Debug)]
pub struct AsyncConnection {
    channel: Box<dyn Channel>,
    limits: Limits,
    recovery: Recovery,
    source: Source,
    /// The pauses before it is dialed again, and when that is, once the connection is lost.
    pauses: LossPauses,
    dials_at: Option<Instant>,
    /// What the log says of its connections.
    history: History,
    /// Set while a frame is on its way; still set at the next call if that one was cancelled.
    is_sending: bool,
    /// The permit among the sessions of a listener, given back with the connection.
    permit: Option<SessionPermit>,
}

/// Where another channel comes from when this one is lost.
#[derive(Debug)]
enum Source {
    /// The session ends with its channel.
    Nowhere,
    Dial(Box<Target>),
    Listener(ReconnectSlot<Box<dyn Channel>>),
}

impl AsyncConnection {
    /// One that ends with its channel.
    pub fn new(channel: Box<dyn Channel>, limits: Limits) -> Self {
        let (recovery, source, is_sending, permit) = (Recovery::disabled(), Source::Nowhere, false, None);
        let (pauses, dials_at, history) = (LossPauses::default(), None, History::default());
        Self { channel, limits, recovery, source, pauses, dials_at, history, is_sending, permit }
    }

    fn resumed_from(self, source: Source, role: Role, options: &ConnectionOptions) -> Self {
        let recovery = match source {
            Source::Nowhere => Recovery::disabled(),
            _ => options.recovery(role),
        };
        Self { source, recovery, ..self }
    }

    /// Dials once. If the connection is one that can be lost, the session may go on over another.
    pub(super) async fn dial(address: &Address, role: Role, options: &ConnectionOptions) -> Result<Self> {
        let local = local(options.registry.find(address)?.as_ref(), address, role, options);
        let (channel, limits, ticket) = dial(address, local, options).await?;
        let target = |ticket| Box::new(Target { address: address.clone(), role, options: options.clone(), ticket });
        let source = ticket.map_or(Source::Nowhere, |ticket| Source::Dial(target(ticket)));
        Ok(Self::new(channel, limits).resumed_from(source, role, options))
    }

    /// The same, accepted by a listener.
    pub(super) fn accepted(
        self,
        slot: Option<ReconnectSlot<Box<dyn Channel>>>,
        permit: SessionPermit,
        role: Role,
        options: &ConnectionOptions,
    ) -> Self {
        let source = slot.map_or(Source::Nowhere, Source::Listener);
        Self { permit: Some(permit), ..self.resumed_from(source, role, options) }
    }

    /// The limits both sides accept.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The address of the other end, for messages to people.
    pub fn peer(&self) -> String {
        self.channel.peer()
    }

    /// Keeps the permit of a session that has begun; an error if another session has it already.
    pub(super) fn keep_permit(&mut self) -> Result<()> {
        self.permit.as_mut().map_or(Ok(()), SessionPermit::keep)
    }

    /// Whether a frame can be sent as things are.
    pub(super) fn is_ready(&self) -> bool {
        !self.is_sending && self.recovery.has_connection()
    }

    /// Call before each request; an error says that no answer can come any more. A frame that an earlier call was
    /// cancelled in the middle of breaks its channel, and another one brings it.
    pub(super) fn begin(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_sending) {
            let text = "an earlier call was cancelled while its request was being sent, which breaks a connection";
            self.lose(Error::new(ErrorKind::ConnectionLost, text));
        }
        self.recovery.check()
    }

    /// Sends one frame. A channel that is lost is not an error: [`next`](Self::next) reads what the peer has said
    /// before it went, and has the frame sent again.
    pub(super) async fn send(&mut self, [head, body]: [&[u8]; 2]) -> Result<()> {
        if !self.recovery.has_connection() {
            return Ok(());
        }
        self.is_sending = true;
        let sent = unless_replaced(&self.source, &self.permit, self.channel.send(head, body)).await;
        self.is_sending = false;
        sent.or_else(|error| if error.kind() == ErrorKind::ConnectionLost { Ok(()) } else { Err(error) })
    }

    /// The next frame; `received` is the number of the last one. `None` once the peer has closed the channel on
    /// purpose. After a reconnect, sends what `to_retransmit(n)` gives, `n` being the number of the last frame that the
    /// peer has received.
    pub(super) async fn next<'a, F>(&mut self, received: u64, to_retransmit: F) -> Result<Option<Frame>>
    where
        F: Fn(u64) -> Result<ToRetransmit<'a>>,
    {
        loop {
            self.recover(received, &to_retransmit).await?;
            let frame = unless_replaced(&self.source, &self.permit, self.channel.recv()).await;
            match (frame, &self.source) {
                (Ok(Some(_)), Source::Listener(slot)) if !slot.count(received) => self.lose(slot.why()),
                (Ok(frame), _) => {
                    self.recovery.delivered();
                    return Ok(frame);
                }
                (Err(error), _) if error.kind() == ErrorKind::ConnectionLost => self.lose(error),
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Sees to another channel if this one is lost, and sends over that what its other end has not received.
    pub(super) async fn recover<'a, F>(&mut self, received: u64, to_retransmit: &F) -> Result<()>
    where
        F: Fn(u64) -> Result<ToRetransmit<'a>>,
    {
        if let Source::Listener(slot) = &self.source
            && slot.is_given_up()
            && self.recovery.has_connection()
        {
            self.lose(slot.why());
        }
        while !self.recovery.has_connection() {
            self.recovery.check()?;
            let peer_received = self.reconnect(received).await?;
            let frames = to_retransmit(peer_received);
            let sent = async {
                for [head, body] in frames? {
                    self.channel.send(head, body).await?;
                }
                Ok(())
            };
            // Still set if this is cancelled in the middle of a frame.
            self.is_sending = true;
            let sent = unless_replaced(&self.source, &self.permit, sent).await;
            self.is_sending = false;
            if let Err(error) = sent {
                self.resend_failed(error)?;
            }
        }
        Ok(())
    }

    /// Waits for another channel. Gives the number of the last frame that its other end has received.
    async fn reconnect(&mut self, received: u64) -> Result<u64> {
        let left = self.recovery.begin_wait(received, Instant::now());
        let wait = EndWait(&mut self.recovery);
        let replaced = match &self.source {
            Source::Nowhere => return wait.0.check().and(Err(timeout())),
            Source::Dial(target) => {
                // Once for each connection that was lost: a call that is cancelled begins no other pause.
                let pauses = &mut self.pauses;
                let at = *self.dials_at.get_or_insert_with(|| {
                    let now = Instant::now();
                    now + pauses.next(received, now)
                });
                let resume = async {
                    time::sleep(at.saturating_duration_since(Instant::now())).await;
                    resume(target, received, self.limits).await
                };
                time::timeout(left, resume).await
            }
            Source::Listener(slot) => time::timeout(left, slot.replaced()).await,
        };
        drop(wait);
        let error = match replaced {
            Ok(Ok((channel, peer_received))) => {
                self.channel = channel;
                self.recovery.replace(Instant::now());
                let text = format!("{}: the session goes on over another connection", self.channel.peer());
                if let Some(line) = self.history.again("regained", &text) {
                    tracing::warn!("{line}");
                }
                return Ok(peer_received);
            }
            Ok(Err(error)) => self.recovery.give_up(Some(&error)),
            Err(_) => self.recovery.give_up(None),
        };
        self.source = Source::Nowhere;
        Err(error)
    }

    fn resend_failed(&mut self, error: Error) -> Result<()> {
        match self.recovery.resend_failed(error, Instant::now()) {
            ResendFailed::Lost(error) => {
                self.tell_lost(&error);
                self.let_go();
                Ok(())
            }
            ResendFailed::End(error) => Err(error),
            ResendFailed::Abandon(error) => {
                self.let_go();
                self.end(error.clone());
                Err(error)
            }
        }
    }

    /// There is nothing to go on with: from now on every call fails.
    pub(super) fn end(&mut self, error: Error) {
        self.source = Source::Nowhere;
        self.recovery.fail(error);
    }

    fn lose(&mut self, error: Error) {
        if self.recovery.is_possible() {
            self.tell_lost(&error);
            self.let_go();
        }
        self.recovery.lose(error, Instant::now());
    }

    fn tell_lost(&self, error: &Error) {
        let why = error.to_string();
        let text = format!("{}: {}; waiting for another connection", self.channel.peer(), log_entry(&why));
        if let Some(line) = self.history.again("lost", &text) {
            tracing::warn!("{line}");
        }
    }

    /// Has another channel brought. A peer that counts on this one yet is to notice.
    fn let_go(&mut self) {
        if let Source::Listener(slot) = &self.source {
            slot.lose();
        }
        self.channel = gone(self.channel.peer());
        self.dials_at = None;
    }

    /// Delivers what was sent, then tells the peer that nothing follows.
    pub(super) async fn close(&mut self) -> Result<()> {
        self.channel.close().await
    }

    /// Sends the last frame, and tells the peer that nothing follows.
    pub(super) async fn finish(&mut self, frame: &[u8]) -> Result<()> {
        self.channel.send(frame, &[]).await?;
        self.close().await
    }

    /// The same without waiting for it: what does not happen at once is left to a task.
    pub(super) fn finish_later(&mut self, frame: Vec<u8>) {
        // Sockets and timers are the runtime's.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut channel = std::mem::replace(&mut self.channel, gone(String::new()));
        let mut leaving = Box::pin(async move {
            let finish = async {
                channel.send(&frame, &[]).await?;
                channel.close().await
            };
            let _ = time::timeout(GOODBYE_TIME, finish).await;
        });
        // A runtime that ends now, too, has no time for tasks.
        if leaving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            runtime.spawn(leaving);
        }
    }
}

impl fmt::Display for AsyncConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.channel.peer())
    }
}

/// Stands in for a channel that is gone. It knows the address of the other end.
fn gone(peer: String) -> Box<dyn Channel> {
    Box::new(StreamChannel::new(io::empty(), io::empty(), peer, &TransportOptions::default()))
}

/// Runs a call on a channel, until another channel is to replace it or another session has the permit.
async fn unless_replaced<T>(
    source: &Source,
    permit: &Option<SessionPermit>,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let call = async {
        let Source::Listener(slot) = source else { return call.await };
        let (mut call, mut given_up) = (pin!(call), pin!(slot.given_up()));
        poll_fn(|context| match given_up.as_mut().poll(context) {
            Poll::Ready(why) => Poll::Ready(Err(why)),
            Poll::Pending => call.as_mut().poll(context),
        })
        .await
    };
    match permit {
        Some(permit) => permit.unless_lost(call).await,
        None => call.await,
    }
}

/// Connects again and again, until the listener is back or trying again is pointless. Gives the channel and the number
/// of the last frame that the listener has received.
async fn resume(target: &Target, received: u64, limits: Limits) -> Result<(Box<dyn Channel>, u64)> {
    let (transport, options) =
        (target.options.registry.find(&target.address)?.as_ref(), target.options.for_transport());
    let mut redial = Redial::new(target.options.reconnect_timeout);
    loop {
        let connecting = transport.connect(&target.address, &options);
        let (error, is_connected) = match within(CONNECT_TIME, connecting).await {
            Ok(mut channel) => {
                let session = Resume { ticket: target.ticket, received };
                let local = local(transport, &target.address, target.role, &target.options);
                let handshake = handshake(channel.as_mut(), local, Some(session));
                match within(target.options.handshake_timeout, handshake).await {
                    Ok(welcome) => {
                        channel.set_max_frame(limits.frame);
                        return Ok((channel, welcome.received.unwrap_or_default()));
                    }
                    Err(error) => (error, true),
                }
            }
            Err(error) => (error, false),
        };
        time::sleep(redial.failed(error, is_connected)?).await;
    }
}

/// Ends the wait for another connection, also where the call that waits is cancelled.
struct EndWait<'a>(&'a mut Recovery);

impl Drop for EndWait<'_> {
    fn drop(&mut self) {
        self.0.end_wait(Instant::now());
    }
}

/// What the handshake says of the dialer of `address`.
fn local(transport: &dyn Transport, address: &Address, role: Role, options: &ConnectionOptions) -> Local {
    options.local(role, transport.is_network(address.scheme()))
}

async fn within<T>(time: Duration, run: impl Future<Output = Result<T>>) -> Result<T> {
    time::timeout(time, run).await.unwrap_or_else(|_| Err(timeout()))
}
