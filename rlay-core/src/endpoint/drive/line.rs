//! Line: the channel of a session inside tokio, and how the session gets another one when it is lost.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{io, runtime::Handle, time};

use super::{
    super::{
        ConnectionOptions, History,
        dial::{CONNECT_TIME, FIRST_PAUSE, Pauses, is_final, longer},
        journal::Missing,
        places::Place,
        seat::Seat,
    },
    GOODBYE_TIME, dial, shake,
};
use crate::{
    address::Address,
    bridge::timeout,
    channel::{Channel, Transport, TransportOptions},
    error::{Error, ErrorKind, Result},
    frame::Frame,
    printable::log_entry,
    session::Local,
    stream::StreamChannel,
    wire::{Limits, Resume, Role, Ticket},
};

/// A connection that came back and lasted no longer, with nothing that arrived over it, is none.
const BRIEF: Duration = Duration::from_secs(1);

/// A channel whose handshake is over, for a session inside tokio. If its transport is a network and both ends allow it,
/// the session goes on over another one when it is lost, which a call that waits on the line sees to.
///
/// Whatever waits on it may be cancelled; the next call goes on from there.
#[derive(Debug)]
pub struct Line {
    channel: Box<dyn Channel>,
    limits: Limits,
    source: Source,
    /// How long a lost channel may be gone, and how long if nothing has come over it yet.
    reconnect_timeout: Duration,
    handshake_timeout: Duration,
    state: State,
    /// The pauses before it is dialed again, and what the log says of that.
    pauses: Pauses,
    /// When it is dialed again, once its connection is lost.
    dials_at: Option<Instant>,
    history: History,
    /// Set while a frame is on its way; still set at the next call if that one was cancelled.
    is_sending: bool,
    /// The place among the sessions of a listener, given back with the line.
    place: Option<Place>,
}

/// Where another channel comes from when this one is lost.
#[derive(Debug)]
enum Source {
    /// From nowhere: the session ends with its channel.
    Nowhere,
    Redial(Box<Redial>),
    Seat(Seat<Box<dyn Channel>>),
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

/// Whom to dial again, as whom, and for which session.
#[derive(Debug)]
struct Redial {
    address: Address,
    role: Role,
    options: ConnectionOptions,
    ticket: Ticket,
}

impl Line {
    /// One that ends with its channel.
    pub fn new(channel: Box<dyn Channel>, limits: Limits) -> Self {
        let (source, state, is_sending, place) = (Source::Nowhere, State::Whole, false, None);
        let (reconnect_timeout, handshake_timeout) = (Duration::ZERO, Duration::ZERO);
        let (pauses, history) = (Pauses::default(), History::default());
        Self {
            channel,
            limits,
            source,
            reconnect_timeout,
            handshake_timeout,
            state,
            pauses,
            dials_at: None,
            history,
            is_sending,
            place,
        }
    }

    fn with(self, source: Source, role: Role, options: &ConnectionOptions) -> Self {
        let (reconnect_timeout, handshake_timeout) = (options.reconnects_for(role), options.handshake_timeout);
        Self { source, reconnect_timeout, handshake_timeout, ..self }
    }

    /// Dials once. If the connection is one that can be lost, the session may go on over another.
    pub(super) async fn dial(address: &Address, role: Role, options: &ConnectionOptions) -> Result<Self> {
        let local = local(options.registry.find(address)?.as_ref(), address, role, options);
        let (channel, limits, ticket) = dial(address, local, options).await?;
        let redial = |ticket| Box::new(Redial { address: address.clone(), role, options: options.clone(), ticket });
        let source = ticket.map_or(Source::Nowhere, |ticket| Source::Redial(redial(ticket)));
        Ok(Self::new(channel, limits).with(source, role, options))
    }

    /// The same, accepted by a listener.
    pub(super) fn accepted(
        self,
        seat: Option<Seat<Box<dyn Channel>>>,
        place: Place,
        role: Role,
        options: &ConnectionOptions,
    ) -> Self {
        let source = seat.map_or(Source::Nowhere, Source::Seat);
        Self { place: Some(place), ..self.with(source, role, options) }
    }

    /// The limits both sides accept.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Who is at the other end, for messages to people.
    pub fn peer(&self) -> String {
        self.channel.peer()
    }

    /// The session has begun, and keeps its place at a listener; an error if another one has that already.
    pub(super) fn keep_place(&mut self) -> Result<()> {
        self.place.as_mut().map_or(Ok(()), Place::keep)
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
        match (&self.state, &self.source) {
            (State::Lost { error, .. }, Source::Nowhere) => Err(error.clone()),
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
        let sent = unless_replaced(&self.source, &self.place, self.channel.send(head, body)).await;
        self.is_sending = false;
        sent.or_else(|error| if error.kind() == ErrorKind::ConnectionLost { Ok(()) } else { Err(error) })
    }

    /// The next frame; `received` came before it. `None` once the peer has closed the channel on purpose. Where it is
    /// lost and another comes, `missing` says what that is to bring after the frame with this number.
    pub(super) async fn next<'a, F>(&mut self, received: u64, missing: F) -> Result<Option<Frame>>
    where
        F: Fn(u64) -> Result<Missing<'a>>,
    {
        loop {
            self.mend(received, &missing).await?;
            let frame = unless_replaced(&self.source, &self.place, self.channel.recv()).await;
            match (frame, &self.source) {
                (Ok(Some(_)), Source::Seat(seat)) if !seat.admit(received) => self.lose(seat.why()),
                (Ok(frame), _) => {
                    self.state = State::Whole;
                    return Ok(frame);
                }
                (Err(error), _) if error.kind() == ErrorKind::ConnectionLost => self.lose(error),
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Sees to another channel if this one is lost, and sends over that what its other end has not received.
    pub(super) async fn mend<'a, F>(&mut self, received: u64, missing: &F) -> Result<()>
    where
        F: Fn(u64) -> Result<Missing<'a>>,
    {
        if let Source::Seat(seat) = &self.source
            && seat.has_moved()
            && !matches!(self.state, State::Lost { .. })
        {
            self.lose(seat.why());
        }
        while let State::Lost { waited, error } = &mut self.state {
            // A peer that has said nothing yet is given no longer than a handshake.
            let most = if received == 0 { self.handshake_timeout } else { Duration::MAX }.min(self.reconnect_timeout);
            let clock = Clock { sum: waited, since: Instant::now() };
            let left = most.saturating_sub(*clock.sum);
            let back = match &self.source {
                Source::Nowhere => return Err(error.clone()),
                Source::Redial(redial) => {
                    // Once for each connection that was lost: a call that is cancelled begins no other pause.
                    let pauses = &mut self.pauses;
                    let at = *self.dials_at.get_or_insert_with(|| Instant::now() + pauses.next(received));
                    let again = async {
                        time::sleep(at.saturating_duration_since(Instant::now())).await;
                        redial.again(received, self.limits).await
                    };
                    time::timeout(left, again).await
                }
                Source::Seat(seat) => time::timeout(left, seat.wait_for_return()).await,
            };
            drop(clock);
            let why = match back {
                Ok(Ok((mut channel, heard))) => {
                    let waited = *waited;
                    let frames = match missing(heard) {
                        // Over this one the peer can be told.
                        Err(error) if error.kind() != ErrorKind::ConnectionLost || error.is_gone() => {
                            self.channel = channel;
                            self.state = State::Regained { waited, at: Instant::now() };
                            return Err(error);
                        }
                        frames => frames,
                    };
                    let sent = async {
                        for [head, body] in frames? {
                            channel.send(head, body).await?;
                        }
                        Ok::<_, Error>(())
                    };
                    match unless_replaced(&self.source, &self.place, sent).await {
                        Ok(()) => {
                            let text = format!("{}: the session goes on over another connection", channel.peer());
                            if let Some(line) = self.history.again("regained", &text) {
                                tracing::warn!("{line}");
                            }
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
        self.source = Source::Nowhere;
        self.state = State::Lost { waited: Duration::ZERO, error };
    }

    fn lose(&mut self, error: Error) {
        if !matches!(self.source, Source::Nowhere) {
            let why = error.to_string();
            let text = format!("{}: {}; waiting for another connection", self.channel.peer(), log_entry(&why));
            if let Some(line) = self.history.again("lost", &text) {
                tracing::warn!("{line}");
            }
            // A peer that counts on it yet is to notice.
            self.channel = nobody(self.channel.peer());
        }
        let waited = match self.state {
            State::Lost { waited, .. } => waited,
            // A connection that breaks again and again brings nothing, though there is always another.
            State::Regained { waited, at } if at.elapsed() < BRIEF => waited + at.elapsed(),
            _ => Duration::ZERO,
        };
        self.state = State::Lost { waited, error };
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
        let mut channel = std::mem::replace(&mut self.channel, nobody(String::new()));
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

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.channel.peer())
    }
}

/// Stands in for a channel that is gone. It says who was at the other end.
fn nobody(peer: String) -> Box<dyn Channel> {
    Box::new(StreamChannel::new(io::empty(), io::empty(), peer, &TransportOptions::default()))
}

/// Runs a call on a channel, until another channel or another session has the place of this one.
async fn unless_replaced<T>(
    source: &Source,
    place: &Option<Place>,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let call = async {
        let Source::Seat(seat) = source else { return call.await };
        let (mut call, mut moved) = (pin!(call), pin!(seat.moved()));
        poll_fn(|context| match moved.as_mut().poll(context) {
            Poll::Ready(why) => Poll::Ready(Err(why)),
            Poll::Pending => call.as_mut().poll(context),
        })
        .await
    };
    match place {
        Some(place) => place.unless_lost(call).await,
        None => call.await,
    }
}

impl Redial {
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
                    let local = local(transport, &self.address, self.role, &self.options);
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

/// What the handshake says of whoever dials `address`.
fn local(transport: &dyn Transport, address: &Address, role: Role, options: &ConnectionOptions) -> Local {
    options.local(role, transport.is_network(address.scheme()))
}

async fn within<T>(time: Duration, run: impl Future<Output = Result<T>>) -> Result<T> {
    time::timeout(time, run).await.unwrap_or_else(|_| Err(timeout()))
}
