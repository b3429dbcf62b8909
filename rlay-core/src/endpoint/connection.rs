//! Connection: the channel of a session, and how the session gets another one when it is lost.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    History, Options, Wait,
    journal::Missing,
    keeper::{Keeper, Redial},
    places::Place,
    seat::{Bell, Seat},
};
use crate::{
    address::Address,
    channel::BlockingChannel,
    error::{Error, ErrorKind, Result},
    frame::Frame,
    printable::log_entry,
    stop::Stop,
    wire::{Limits, Role, Ticket},
};

/// A channel whose handshake is over. If its transport is a network and both ends allow it, the session that is held
/// over it goes on over another one when it is lost (`docs/wire.md`, section 21).
#[derive(Debug)]
pub struct Connection {
    channel: Box<dyn BlockingChannel>,
    limits: Limits,
    /// Where another channel comes from, if from anywhere.
    seat: Option<Seat>,
    /// What brings it there, if it is this side that dials.
    keeper: Option<Keeper>,
    role: Role,
    /// Whether the session is worth waiting for.
    is_begun: bool,
    /// How long a lost channel may be gone, and how long if nothing has come over it yet.
    reconnect_timeout: Duration,
    handshake_timeout: Duration,
    state: State,
    /// What ends the waits on the channel, and whether it looks at that itself.
    stop: Option<Stop>,
    is_heeded: bool,
    /// Of a listener: what tells that a dialer has come back, and what was heard of it.
    bell: Option<Bell>,
    ring: Option<Stop>,
    /// What the log says of its connections.
    history: History,
    /// The place among the sessions of a listener, given back with the connection.
    place: Option<Place>,
}

/// A connection that came back and lasted no longer, with nothing that arrived over it, is none.
const BRIEF: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum State {
    Whole,
    /// Another one was waited for so long, up to then.
    Lost {
        waited: Duration,
        at: Instant,
        error: Error,
    },
    /// There is a new channel, for which that was so long, and nothing has arrived over it yet.
    Regained {
        waited: Duration,
        at: Instant,
    },
}

impl Connection {
    /// One that ends with its channel.
    pub fn new(channel: Box<dyn BlockingChannel>, limits: Limits) -> Self {
        let (seat, keeper, role) = (None, None, Role::Agent);
        let (reconnect_timeout, handshake_timeout) = (Duration::ZERO, Duration::ZERO);
        let (state, stop, is_heeded) = (State::Whole, None, false);
        let (is_begun, bell, ring, history, place) = (true, None, None, History::default(), None);
        Self {
            channel,
            limits,
            seat,
            keeper,
            role,
            is_begun,
            reconnect_timeout,
            handshake_timeout,
            state,
            stop,
            is_heeded,
            bell,
            ring,
            history,
            place,
        }
    }

    /// The same, dialed at `address`, for a session that the ticket names.
    pub(super) fn dialed(self, address: &Address, role: Role, options: &Options, ticket: Option<Ticket>) -> Self {
        let (limits, watch) = (self.limits, self.channel.watch());
        let keep = |ticket| {
            let (address, options, seat) = (address.clone(), options.clone(), Seat::of_a_dialer(limits));
            match Keeper::new(Redial { address, role, options, ticket }, seat.clone(), watch) {
                Ok(keeper) => Some((seat, keeper)),
                Err(error) => {
                    tracing::warn!("{}; the session ends with its connection", log_entry(&error.to_string()));
                    None
                }
            }
        };
        let (seat, keeper) = ticket.and_then(keep).unzip();
        Self { seat, keeper, ..self.with(role, options) }
    }

    /// The same, accepted by a listener: of a network, if it has a bell.
    pub(super) fn accepted(
        self,
        role: Role,
        options: &Options,
        (bell, seat): (Option<Bell>, Option<Seat>),
        place: Place,
    ) -> Self {
        Self { seat, bell, place: Some(place), ..self.with(role, options) }
    }

    fn with(self, role: Role, options: &Options) -> Self {
        let (reconnect_timeout, handshake_timeout) = (options.reconnects_for(role), options.handshake_timeout);
        Self { role, reconnect_timeout, handshake_timeout, ..self }
    }

    /// The limits both sides accept.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Who is at the other end, for messages to people.
    pub fn peer(&self) -> String {
        self.channel.peer()
    }

    /// Whether the session may go on over another channel.
    pub(super) fn lasts(&self) -> bool {
        self.is_begun && self.seat.is_some()
    }

    /// Whether it is this side that dials again.
    pub(super) fn is_dialed(&self) -> bool {
        self.keeper.is_some()
    }

    /// The session has begun, and keeps its place at a listener; an error of kind [`Busy`](ErrorKind::Busy) if another one
    /// has that already.
    pub(super) fn keep_place(&mut self) -> Result<()> {
        self.place.as_mut().map_or(Ok(()), Place::keep)
    }

    /// An error of kind [`Busy`](ErrorKind::Busy) if another session has the place of this one.
    pub(super) fn check_place(&self) -> Result<()> {
        self.place.as_ref().map_or(Ok(()), Place::check)
    }

    /// Says whether the session has begun: until then it ends with its channel, for nothing is lost with it.
    pub(super) fn begun(&mut self, is_begun: bool) {
        self.is_begun = is_begun;
    }

    /// From now on waits end once `stop` is set.
    pub(super) fn attend(&mut self, stop: Option<&Stop>) {
        self.stop = stop.cloned();
        self.heed();
    }

    fn heed(&mut self) {
        self.ring = self.bell.as_ref().map(|bell| bell.hear(self.stop.as_ref()));
        self.is_heeded = self.channel.heed(self.ring.as_ref().or(self.stop.as_ref()));
    }

    /// Sends one frame. A channel that is lost is not an error while another may come: [`next`](Self::next) sees to
    /// it, and has the frame sent again. Neither is the frame lost where the wait ends and another may come.
    pub(super) fn send(&mut self, head: &[u8], body: &[u8], wait: &mut Wait<'_>) -> Result<()> {
        if matches!(self.state, State::Lost { .. }) || self.has_moved() {
            return Ok(());
        }
        match self.send_here(head, body, wait) {
            // What the peer has said before it went is still to be read.
            Err(error) if error.kind() == ErrorKind::ConnectionLost && self.lasts() => Ok(()),
            // A part of the frame may be on its way.
            Err(error) if error.kind() == ErrorKind::Timeout && self.lasts() => {
                self.leave(Duration::ZERO, error.clone());
                Err(error)
            }
            result => result,
        }
    }

    /// The same over this channel alone, for as long as it is the session's.
    fn send_here(&mut self, head: &[u8], body: &[u8], wait: &mut Wait<'_>) -> Result<()> {
        let (seat, place) = (self.seat.as_ref(), self.place.as_ref());
        self.channel.send_while(head, body, wait.deadline, &mut || match seat.filter(|seat| seat.has_moved()) {
            Some(seat) => Err(seat.why()),
            // Who takes no answers in has asked for no environment either, where another one has its place.
            None => place.map_or(Ok(()), Place::check).and_then(|()| wait.look()),
        })
    }

    /// The next frame; `received` came before it. Where the channel is lost and another comes, `missing` says what that
    /// is to bring after the frame with this number; an error of kind `ConnectionLost` says that none came.
    pub(super) fn next<'a>(
        &mut self,
        wait: &mut Wait<'_>,
        received: u64,
        missing: impl Fn(u64) -> Result<Missing<'a>>,
    ) -> Result<Option<Frame>> {
        loop {
            if self.is_lost() {
                let heard = self.regain(wait, received)?;
                let sent = missing(heard).and_then(|frames| {
                    // However near the next look is: a channel that is left half-way has brought nothing.
                    let wait = &mut wait.far();
                    frames.iter().try_for_each(|[head, body]| self.send_here(head, body, wait))
                });
                match sent {
                    Ok(()) => {}
                    Err(error) if error.is_gone() => {
                        self.abandon();
                        return Err(error);
                    }
                    // It was lost meanwhile.
                    Err(error) if error.kind() == ErrorKind::ConnectionLost => {
                        self.lose(error, wait);
                        wait.look()?;
                        continue;
                    }
                    Err(error) => {
                        if error.kind() == ErrorKind::Timeout {
                            self.leave(Duration::ZERO, error.clone());
                        }
                        return Err(error);
                    }
                }
            }
            match self.next_here(wait, received) {
                Err(error) if error.kind() == ErrorKind::ConnectionLost && self.lasts() => self.lose(error, wait),
                result => return result,
            }
        }
    }

    /// The same over this channel alone.
    fn next_here(&mut self, wait: &mut Wait<'_>, received: u64) -> Result<Option<Frame>> {
        let frame = self.receive(wait)?;
        match &self.seat {
            Some(seat) if frame.is_some() && !seat.admit(received) => return Err(seat.why()),
            _ => {}
        }
        self.state = State::Whole;
        Ok(frame)
    }

    /// Whether the channel is lost and another may come.
    pub(super) fn is_lost(&self) -> bool {
        self.lasts() && matches!(self.state, State::Lost { .. })
    }

    /// Whether another channel is to take the place of this one.
    fn has_moved(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::has_moved)
    }

    fn receive(&mut self, wait: &mut Wait<'_>) -> Result<Option<Frame>> {
        loop {
            let moved = self.seat.as_ref().filter(|seat| seat.has_moved());
            // The bell may have rung before this side heard it; what it tells of came first.
            if let Some(seat) = moved {
                return Err(seat.why());
            }
            wait.is_heeded = self.is_heeded && wait.stop == self.stop.as_ref();
            wait.must_look = self.bell.is_some() && !self.is_heeded;
            let (channel, seat, ring) = (&mut self.channel, &self.seat, &self.ring);
            let mut has_rung = false;
            let result = wait.receive(&mut **channel, |received| match (received, seat) {
                (Err(error), Some(seat)) if error.kind() == ErrorKind::Timeout && seat.has_moved() => Err(seat.why()),
                (Err(error), _) if error.kind() == ErrorKind::Timeout && ring.as_ref().is_some_and(Stop::is_set) => {
                    has_rung = true;
                    Err(Error::plain(ErrorKind::ConnectionLost, "the bell was rung"))
                }
                (result, _) => result,
            });
            if !has_rung {
                return result;
            }
            // It was rung for another session, or for the end of all.
            wait.look()?;
            self.heed();
        }
    }

    fn lose(&mut self, error: Error, wait: &mut Wait<'_>) {
        if let Some(line) = self.history.again("lost", &format!("{error}; waiting for another connection")) {
            wait.warn(&line);
        }
        let waited = match self.state {
            State::Lost { waited, .. } => waited,
            // A connection that breaks again and again brings nothing, though there is always another.
            State::Regained { waited, at } if at.elapsed() < BRIEF => waited + at.elapsed(),
            _ => Duration::ZERO,
        };
        self.leave(waited, error);
    }

    /// Has another channel brought. A peer that counts on this one yet is to notice.
    fn leave(&mut self, waited: Duration, error: Error) {
        if let Some(seat) = &self.seat {
            seat.miss();
        }
        self.channel = Box::new(Gone(self.channel.peer()));
        self.state = State::Lost { waited, at: Instant::now(), error };
    }

    /// Waits for another channel. Gives the number of the last frame that its other end has received.
    fn regain(&mut self, wait: &mut Wait<'_>, received: u64) -> Result<u64> {
        let (State::Lost { waited, at, error }, Some(seat)) = (&mut self.state, &self.seat) else {
            unreachable!("it was lost, and may come back")
        };
        // Between an agent's calls nobody waits: whoever has thought for long is not told that it was too long. An
        // environment waits all the time.
        if self.role == Role::Env {
            *waited += at.elapsed();
        }
        // A peer that has said nothing yet is given no longer than a handshake.
        let most = if received == 0 { self.handshake_timeout } else { Duration::MAX }.min(self.reconnect_timeout);
        let mut near = wait.within(most.saturating_sub(*waited));
        let began = Instant::now();
        let back = near.run(|deadline| seat.take_back(deadline));
        *at = Instant::now();
        *waited += began.elapsed();
        let waited = *waited;
        let why = match back {
            Ok((channel, heard)) => {
                self.channel = channel;
                self.heed();
                self.state = State::Regained { waited, at: Instant::now() };
                let text = format!("{}: the session goes on over another connection", self.channel.peer());
                if let Some(line) = self.history.again("regained", &text) {
                    wait.warn(&line);
                }
                return Ok(heard);
            }
            Err(error) if error.kind() == ErrorKind::Timeout => {
                if waited < most {
                    wait.look()?;
                }
                let of_what = if most < self.reconnect_timeout { "" } else { ", which is reconnect_timeout" };
                format!("no other connection came within {most:?}{of_what}")
            }
            Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
            Err(error) => error.to_string(),
        };
        let error = Error::new(ErrorKind::ConnectionLost, format!("{error}; {why}"));
        self.forgo();
        self.state = State::Lost { waited, at: Instant::now(), error: error.clone() };
        Err(error)
    }

    /// The session is over: nobody is to come back.
    pub(super) fn forgo(&mut self) {
        (self.seat, self.keeper) = (None, None);
    }

    /// Lets go of all there is, without a word to the peer.
    pub(super) fn abandon(&mut self) {
        *self = Self::new(Box::new(Gone(self.channel.peer())), self.limits);
    }

    /// Delivers what was sent, then tells the peer that nothing follows.
    pub(super) fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.forgo();
        if let State::Lost { .. } = self.state {
            return Ok(());
        }
        self.channel.heed(None);
        self.channel.close(deadline)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.channel.peer())
    }
}

/// Stands in for a channel that is lost, or belongs to another process. It says who was at the other end.
#[derive(Debug)]
struct Gone(String);

impl Gone {
    fn error(&self) -> Error {
        Error::new(ErrorKind::ConnectionLost, format!("{}: the connection is gone", self.0))
    }
}

impl BlockingChannel for Gone {
    fn send_while(&mut self, _: &[u8], _: &[u8], _: Option<Instant>, _: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        Err(self.error())
    }

    fn recv(&mut self, _: Option<Instant>) -> Result<Option<Frame>> {
        Err(self.error())
    }

    fn close(&mut self, _: Option<Instant>) -> Result<()> {
        Ok(())
    }

    fn set_max_frame(&mut self, _: usize) {}

    fn peer(&self) -> String {
        self.0.clone()
    }
}
