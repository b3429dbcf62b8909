//! The network of the model: connections that come one after another, and the two ends that recover from their loss.

use std::{collections::VecDeque, time::Instant};

use super::{AGENT, ENV};
use crate::{
    error::Error,
    session::{
        recovery::{Recovery, ResendFailed},
        retransmit::{LastFrame, RetransmitBuffer, ToRetransmit},
        takeover::{Attempt, ReceivedCount, Takeover},
    },
    wire::{Limits, Role},
};

/// A connection: the frames that are on the way to each side.
type Connection = [VecDeque<Vec<u8>>; 2];

/// What one side has for its recovery, beside its session: all of it is what the endpoints use.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct End {
    pub(super) recovery: Recovery,
    pub(super) takeover: Takeover<usize>,
    pub(super) received: ReceivedCount,
    kept: RetransmitBuffer,
    last: (u64, Vec<u8>),
    /// The connection that it reads and writes, or did last.
    pub(super) channel: usize,
}

/// A handshake of the dialer that has reached the listener, which is about to offer the connection to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Offer {
    attempt: Attempt,
    channel: usize,
    peer_received: u64,
}

/// The handshake that the dialer is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Dialing {
    attempt: Attempt,
    channel: usize,
    /// What the listener has received, once its Welcome is on the way.
    welcome: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub(super) struct Network {
    pub(super) ends: [End; 2],
    connections: Vec<Connection>,
    pub(super) dialer: usize,
    pub(super) dialing: Option<Dialing>,
    /// Hellos on the way: the connection, and what the dialer has received.
    pub(super) hellos: Vec<(usize, u64)>,
    pub(super) offers: Vec<Offer>,
    /// The connection of the last Hello that reached the listener.
    last_hello: usize,
    /// There is no clock: nothing here depends on time.
    now: Instant,
}

impl Network {
    pub(super) fn new(dialer: usize, received: [u64; 2], last: [(u64, Vec<u8>); 2], now: Instant) -> Self {
        let ends = [AGENT, ENV].map(|side| {
            let count = ReceivedCount::default();
            (0..received[side]).for_each(|n| assert!(count.count(n)));
            let role = if side == AGENT { Role::Agent } else { Role::Env };
            let minute = std::time::Duration::from_secs(60);
            let recovery = Recovery::new(role, minute, minute);
            let (takeover, kept) = (Takeover::default(), RetransmitBuffer::default());
            End { recovery, takeover, received: count, kept, last: last[side].clone(), channel: 0 }
        });
        let connections = vec![Connection::default()];
        let (dialing, hellos, offers) = (None, vec![], vec![]);
        Self { ends, connections, dialer, dialing, hellos, offers, last_hello: 0, now }
    }

    fn listener(&self) -> usize {
        1 - self.dialer
    }

    /// Before a side writes another frame: keeps the last one, of which the peer may not have so many.
    pub(super) fn retain_unacked(&mut self, side: usize, unacknowledged: u64) {
        let End { kept, last, .. } = &mut self.ends[side];
        let last = LastFrame { number: last.0, head: &last.1, body: &[] };
        kept.retain_unacked(last, unacknowledged, Limits::default().frame);
    }

    /// A side sends a frame, over its connection if it has one.
    pub(super) fn send(&mut self, side: usize, number: u64, frame: Vec<u8>) {
        let end = &mut self.ends[side];
        end.last = (number, frame.clone());
        if end.recovery.has_connection() && !end.received.is_given_up() {
            self.put(side, frame);
        }
    }

    /// Puts a frame on the way. What can arrive nowhere is no part of the state.
    fn put(&mut self, side: usize, frame: Vec<u8>) {
        let channel = self.ends[side].channel;
        if self.holds(1 - side, channel) {
            self.connections[channel][1 - side].push_back(frame);
        }
    }

    /// Whether a side has a connection open: in its session, in a handshake, or offered to the session.
    fn holds(&self, side: usize, channel: usize) -> bool {
        let end = &self.ends[side];
        let in_handshake = match side == self.dialer {
            true => self.dialing.is_some_and(|dialing| dialing.channel == channel),
            false => {
                self.hellos.iter().any(|(hello, _)| *hello == channel)
                    || self.offers.iter().any(|offer| offer.channel == channel)
            }
        };
        in_handshake
            || (end.recovery.has_connection() && end.channel == channel)
            || end.takeover.offered() == Some(&channel)
    }

    /// Forgets what is on the way over connections that are closed: it is no part of the state.
    pub(super) fn forget_closed(&mut self) {
        for channel in 0..self.connections.len() {
            for side in [AGENT, ENV] {
                if !self.connections[channel][side].is_empty() && !self.holds(side, channel) {
                    self.connections[channel][side].clear();
                }
            }
        }
    }

    /// The frames on the way to a side which it may yet receive.
    pub(super) fn to(&mut self, side: usize) -> &mut VecDeque<Vec<u8>> {
        &mut self.connections[self.ends[side].channel][side]
    }

    /// The frames on the way from one side to the other over the connection of both.
    pub(super) fn on_the_way(&self, side: usize) -> impl Iterator<Item = &Vec<u8>> {
        self.connections[self.ends[side].channel][side].iter()
    }

    /// Whether there is a frame that a side can receive.
    pub(super) fn can_receive(&self, side: usize) -> bool {
        let end = &self.ends[side];
        end.recovery.has_connection() && !self.connections[end.channel][side].is_empty()
    }

    /// A side receives the next frame, having received so many; `None` if its connection was given up meanwhile.
    pub(super) fn receive(&mut self, side: usize, received: u64) -> Option<Vec<u8>> {
        let frame = self.to(side).pop_front()?;
        if !self.ends[side].received.count(received) {
            self.lose(side);
            return None;
        }
        self.ends[side].recovery.delivered();
        Some(frame)
    }

    /// A side finds that it has lost its connection, as `Connection::lose` does.
    pub(super) fn lose(&mut self, side: usize) {
        let now = self.now;
        self.ends[side].recovery.lose(Error::new(crate::error::ErrorKind::ConnectionLost, "lost"), now);
        self.let_go(side);
    }

    fn let_go(&mut self, side: usize) {
        let now = self.now;
        let End { takeover, received, .. } = &mut self.ends[side];
        takeover.lose(received, now);
    }

    /// Whether a side can notice that it has lost its connection: the other has left it, or a handshake has taken over.
    pub(super) fn can_notice(&self, side: usize) -> bool {
        let end = &self.ends[side];
        let is_left = !self.holds(1 - side, end.channel) && self.connections[end.channel][side].is_empty();
        end.recovery.has_connection() && (end.received.is_given_up() || is_left)
    }

    /// Whether the dialer is to dial again, as `Reconnector` does.
    pub(super) fn can_redial(&self) -> bool {
        self.dialing.is_none() && self.ends[self.dialer].takeover.is_needed()
    }

    /// How often the dialer has dialed again.
    pub(super) fn dials(&self) -> usize {
        self.connections.len() - 1
    }

    pub(super) fn redial(&mut self) {
        let End { takeover, received, .. } = &mut self.ends[self.dialer];
        let attempt = takeover.begin(received);
        self.hello(attempt);
    }

    /// Whether the handshake that the dialer is in may be lost, after which it tries again.
    pub(super) fn can_lose_handshake(&self) -> bool {
        self.dialing.is_some()
    }

    pub(super) fn lose_handshake(&mut self) {
        if let Some(dialing) = self.dialing {
            self.hello(dialing.attempt);
        }
    }

    fn hello(&mut self, attempt: Attempt) {
        let channel = self.connections.len();
        self.connections.push(Connection::default());
        self.hellos.push((channel, attempt.received));
        self.dialing = Some(Dialing { attempt, channel, welcome: None });
    }

    /// A Hello reaches the listener, which welcomes the dialer back.
    pub(super) fn welcome(&mut self, hello: usize) {
        let (channel, peer_received) = self.hellos.remove(hello);
        let listener = self.listener();
        let End { takeover, received, .. } = &mut self.ends[listener];
        let attempt = takeover.begin(received);
        self.last_hello = channel;
        self.offers.push(Offer { attempt, channel, peer_received });
        if let Some(dialing) = self.dialing.as_mut().filter(|dialing| dialing.channel == channel) {
            dialing.welcome = Some(attempt.received);
        }
    }

    /// The listener offers a connection to its session.
    pub(super) fn offer(&mut self, offer: usize) {
        let Offer { attempt, channel, peer_received } = self.offers.remove(offer);
        let listener = self.listener();
        self.ends[listener].takeover.offer(attempt, channel, peer_received);
    }

    /// The Welcome reaches the dialer.
    pub(super) fn can_be_welcomed(&self) -> bool {
        self.dialing.is_some_and(|dialing| dialing.welcome.is_some())
    }

    pub(super) fn be_welcomed(&mut self) {
        if let Some(Dialing { attempt, channel, welcome: Some(received) }) = self.dialing.take() {
            self.ends[self.dialer].takeover.offer(attempt, channel, received);
        }
    }

    /// A side goes on over the connection that was offered to it, as `Connection::next` does; `frames_to_retransmit` is its
    /// session's. `None`: there is none. The property that was broken, if any.
    pub(super) fn go_on(
        &mut self,
        side: usize,
        frames_to_retransmit: impl Fn(u64) -> Result<u64, Error>,
    ) -> Option<Result<(), &'static str>> {
        let end = &mut self.ends[side];
        if end.recovery.has_connection() {
            return None;
        }
        let (channel, peer_received) = end.takeover.take(&end.received)?.ok()?;
        end.channel = channel;
        end.recovery.replace(self.now);
        if side != self.dialer && channel != self.last_hello {
            return Some(Err("P9"));
        }
        let last = LastFrame { number: end.last.0, head: &end.last.1, body: &[] };
        let again = frames_to_retransmit(peer_received).and_then(|count| {
            let frames: ToRetransmit<'_> = end.kept.last_frames(last, count)?;
            Ok(frames.iter().map(|frame| frame.concat()).collect::<Vec<_>>())
        });
        match again {
            Ok(frames) => frames.into_iter().for_each(|frame| self.put(side, frame)),
            Err(error) => match end.recovery.resend_failed(error, self.now) {
                ResendFailed::Lost(_) => self.let_go(side),
                ResendFailed::End(_) | ResendFailed::Abandon(_) => return Some(Err("P8")),
            },
        }
        Some(Ok(()))
    }

    /// The network is gone for good.
    pub(super) fn cut(&mut self) {
        self.connections.iter_mut().flatten().for_each(VecDeque::clear);
        (self.dialing, self.hellos, self.offers) = (None, vec![], vec![]);
    }

    /// Whether both ends are on one connection, and know it.
    pub(super) fn is_whole(&self) -> bool {
        let [agent, env] = &self.ends;
        let is_settled = |end: &End| end.recovery.has_connection() && !end.received.is_given_up();
        agent.channel == env.channel && is_settled(agent) && is_settled(env)
    }
}
