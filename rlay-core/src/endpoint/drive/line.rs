//! Line: the channel of an agent's session inside tokio, and how the session gets another one when it is lost.
//!
//! Every call on it may be cancelled; the next one goes on from there.

use std::{
    future::Future,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use tokio::{io, runtime::Handle, time};

use super::{
    super::{
        Options,
        dial::{CONNECT_TIME, FIRST_PAUSE, is_final, longer},
    },
    GOODBYE_TIME, dial, shake,
};
use crate::{
    address::Address,
    bridge::timeout,
    channel::{Channel, Transport, TransportOptions},
    error::{Error, ErrorKind, Result},
    frame::Frame,
    session::{AgentSession, Local},
    stream::StreamChannel,
    wire::{Limits, Resume, Role, Ticket},
};

/// A connection that came back and lasted no longer, with nothing that arrived over it, is none.
const BRIEF: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Line {
    channel: Box<dyn Channel>,
    limits: Limits,
    /// Where another channel comes from when this one is lost; `None`: the session ends with it.
    redial: Option<Box<Redial>>,
    state: State,
    /// Set while a frame is on its way; still set at the next call if that one was cancelled.
    is_sending: bool,
}

#[derive(Debug)]
enum State {
    Whole,
    /// Calls have waited for another channel so long.
    Lost {
        waited: Duration,
        error: Error,
    },
    /// There is another, for which they have waited so long, and nothing has arrived over it yet.
    Regained {
        waited: Duration,
        at: Instant,
    },
}

/// Whom to dial again, and for which session.
#[derive(Debug)]
struct Redial {
    address: Address,
    options: Options,
    ticket: Ticket,
}

impl Line {
    /// One that ends with its channel.
    pub(super) fn new(channel: Box<dyn Channel>, limits: Limits) -> Self {
        Self { channel, limits, redial: None, state: State::Whole, is_sending: false }
    }

    /// Dials once. If the connection is one that can be lost, the session may go on over another.
    pub(super) async fn dial(address: Address, options: &Options) -> Result<Self> {
        let local = local(options.registry.find(&address)?.as_ref(), &address, options);
        let (channel, limits, ticket) = dial(&address, local, options).await?;
        let redial = ticket.map(|ticket| Box::new(Redial { address, options: options.clone(), ticket }));
        Ok(Self { redial, ..Self::new(channel, limits) })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a frame can be sent as things are.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_sending && !matches!(self.state, State::Lost { .. })
    }

    /// Call before each request; an error says that there is nobody to ask any more. A frame that an earlier call was
    /// cancelled in the middle of breaks its channel, and another one brings it.
    pub(super) fn begin(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_sending) {
            let text = "an earlier call was cancelled while its request was being sent, which breaks a connection";
            self.lose(Error::new(ErrorKind::ConnectionLost, text));
        }
        match (&self.state, &self.redial) {
            (State::Lost { error, .. }, None) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Sends one frame. A channel that is lost is not an error: [`next`](Self::next) reads what the peer has said before
    /// it went, and has the frame sent again.
    pub(super) async fn send(&mut self, [head, body]: [&[u8]; 2]) -> Result<()> {
        if let State::Lost { .. } = self.state {
            return Ok(());
        }
        self.is_sending = true;
        let sent = self.channel.send(head, body).await;
        self.is_sending = false;
        sent.or_else(|error| if error.kind() == ErrorKind::ConnectionLost { Ok(()) } else { Err(error) })
    }

    /// The next frame. Where the channel is lost and another comes, `last` is sent over that if it is missing.
    pub(super) async fn next(&mut self, session: &AgentSession, last: [&[u8]; 2]) -> Result<Frame> {
        loop {
            self.mend(session, last).await?;
            match self.channel.recv().await {
                Ok(Some(frame)) => {
                    self.state = State::Whole;
                    return Ok(frame);
                }
                Ok(None) => {
                    let text = "the environment's host closed the connection";
                    self.end(Error::new(ErrorKind::ConnectionLost, text));
                }
                Err(error) if error.kind() == ErrorKind::ConnectionLost => self.lose(error),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sees to another channel if this one is lost, and sends `last` over that if its other end has not received it.
    ///
    /// An agent here makes no request before the last is answered, so that one is all that can be missing.
    pub(super) async fn mend(&mut self, session: &AgentSession, last: [&[u8]; 2]) -> Result<()> {
        while let State::Lost { waited, error } = &mut self.state {
            let Some(redial) = &self.redial else { return Err(error.clone()) };
            let most = redial.patience(session.received());
            let left = most.saturating_sub(*waited);
            let clock = Clock { sum: waited, since: Instant::now() };
            let back = time::timeout(left, redial.again(session.received(), self.limits)).await;
            drop(clock);
            let why = match back {
                Ok(Ok((mut channel, heard))) => {
                    let waited = *waited;
                    let sent = match session.unheard(heard) {
                        Ok(0) => Ok(()),
                        Ok(_) => channel.send(last[0], last[1]).await,
                        Err(violation) => {
                            // Over this one the peer can be told.
                            self.channel = channel;
                            return Err(violation);
                        }
                    };
                    match sent {
                        Ok(()) => {
                            tracing::warn!("{}: the session goes on over another connection", channel.peer());
                            self.channel = channel;
                            self.state = State::Regained { waited, at: Instant::now() };
                        }
                        Err(error) if error.kind() == ErrorKind::ConnectionLost => self.lose(error),
                        Err(error) => return Err(error),
                    }
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no other connection came within {most:?}; see reconnect_timeout"),
            };
            let error = Error::new(ErrorKind::ConnectionLost, format!("{error}; {why}"));
            self.end(error);
        }
        Ok(())
    }

    /// There is nothing to go on with: from now on every call fails.
    pub(super) fn end(&mut self, error: Error) {
        self.redial = None;
        self.state = State::Lost { waited: Duration::ZERO, error };
    }

    fn lose(&mut self, error: Error) {
        if self.redial.is_some() {
            tracing::warn!("{}: {error}; waiting for another connection", self.channel.peer());
        }
        let waited = match self.state {
            State::Lost { waited, .. } => waited,
            // A connection that breaks again and again brings nothing, though there is always another.
            State::Regained { waited, at } if at.elapsed() < BRIEF => waited + at.elapsed(),
            _ => Duration::ZERO,
        };
        self.state = State::Lost { waited, error };
    }

    /// Sends the last frame, and tells the peer that nothing follows.
    pub(super) async fn finish(&mut self, frame: &[u8]) -> Result<()> {
        self.channel.send(frame, &[]).await?;
        self.channel.close().await
    }

    /// The same without waiting for it: what does not happen at once is left to a task.
    pub(super) fn finish_later(&mut self, frame: Vec<u8>) {
        // Sockets and timers are the runtime's.
        let Ok(runtime) = Handle::try_current() else { return };
        let nobody = StreamChannel::new(io::empty(), io::empty(), "nobody", &TransportOptions::default());
        let mut channel = std::mem::replace(&mut self.channel, Box::new(nobody));
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

impl Redial {
    /// How long calls wait for another channel in all. A peer that has said nothing yet is given no longer than a
    /// handshake.
    fn patience(&self, received: u64) -> Duration {
        let most = if received == 0 { self.options.handshake_timeout } else { Duration::MAX };
        most.min(self.options.reconnects_for(Role::Agent))
    }

    /// Connects again and again, until the listener is back or gone. Gives the channel and the number of the last
    /// frame that the listener has received.
    async fn again(&self, received: u64, limits: Limits) -> Result<(Box<dyn Channel>, u64)> {
        let (transport, options) = (self.options.registry.find(&self.address)?.as_ref(), self.options.for_transport());
        let mut pause = FIRST_PAUSE;
        loop {
            let connecting = transport.connect(&self.address, &options);
            let (error, is_connected) = match within(CONNECT_TIME, connecting).await {
                Ok(mut channel) => {
                    let session = Resume { ticket: self.ticket, received };
                    let local = local(transport, &self.address, &self.options);
                    let shaking = shake(channel.as_mut(), local, Some(session));
                    match within(self.options.handshake_timeout, shaking).await {
                        Ok(welcome) => {
                            channel.set_max_frame(limits.frame);
                            return Ok((channel, welcome.received.unwrap_or_default()));
                        }
                        Err(error) => (error, true),
                    }
                }
                Err(error) => (error, false),
            };
            if is_final(&error, is_connected, &self.options) {
                return Err(error);
            }
            time::sleep(pause).await;
            pause = longer(pause);
        }
    }
}

/// Adds up the time for which it lives, also where whoever waits is cancelled.
struct Clock<'a> {
    sum: &'a mut Duration,
    since: Instant,
}

impl Drop for Clock<'_> {
    fn drop(&mut self) {
        *self.sum += self.since.elapsed();
    }
}

/// What the handshake says of an agent that dials `address`.
fn local(transport: &dyn Transport, address: &Address, options: &Options) -> Local {
    options.local(Role::Agent, transport.is_network(address.scheme()))
}

async fn within<T>(time: Duration, run: impl Future<Output = Result<T>>) -> Result<T> {
    time::timeout(time, run).await.unwrap_or_else(|_| Err(timeout()))
}
