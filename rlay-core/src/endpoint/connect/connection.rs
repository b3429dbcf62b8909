//! Connection: the channel of a session on a thread that blocks, and how the session gets another one when it is lost.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    reconnect_slot::ReconnectSlot,
    reconnector::{Reconnector, Target},
    wake_group::WakeGroup,
};
use crate::{
    address::Address,
    bridge::timeout,
    cancel_token::CancelToken,
    channel::{BlockingChannel, Readiness},
    endpoint::{
        accept::permits::SessionPermit,
        history::History,
        options::ConnectionOptions,
        wait::{NOTICE_AFTER, SLICE, Wait},
    },
    error::{Error, ErrorKind, Result},
    frame::Frame,
    printable::log_entry,
    session::{
        recovery::{Recovery, ResendFailed},
        retransmit::ToRetransmit,
    },
    wake_flag::WakeFlag,
    wire::{Limits, Role, Ticket},
};

/// How often a wake flag is looked at where the channel does not look itself.
const WAKE_INTERVAL: Duration = Duration::from_millis(1);

/// A channel whose handshake is over. If its transport is a network and both ends allow it, the session that is held
/// over it goes on over another one when it is lost (`docs/wire.md`, section 21).
#[derive(Debug)]
pub struct Connection {
    channel: Box<dyn BlockingChannel>,
    limits: Limits,
    /// [`ConnectionOptions::notice_after`].
    notice_after: Duration,
    recovery: Recovery,
    /// Where another channel comes from, if one can.
    slot: Option<ReconnectSlot>,
    /// What brings it there, if it is this side that dials.
    reconnector: Option<Reconnector>,
    /// What ends the waits on the channel, and whether the channel looks at that itself.
    cancel: Option<CancelToken>,
    wakes_on_cancel: bool,
    /// Of a listener: what wakes its sessions when a dialer has come back, and this session's subscription.
    wake_group: Option<WakeGroup>,
    woken: Option<CancelToken>,
    /// What else wakes this session, and whether it is to be woken by that.
    wake_flag: Option<WakeFlag>,
    is_armed: bool,
    /// What the log says of its connections.
    history: History,
    /// The permit among the sessions of a listener, given back with the connection.
    permit: Option<SessionPermit>,
}

impl Connection {
    /// One that ends with its channel.
    pub fn new(channel: Box<dyn BlockingChannel>, limits: Limits) -> Self {
        let (slot, reconnector) = (None, None);
        let (recovery, history) = (Recovery::disabled(), History::default());
        let (cancel, wakes_on_cancel, wake_group, woken, permit) = (None, false, None, None, None);
        let (wake_flag, is_armed) = (None, false);
        let notice_after = NOTICE_AFTER;
        Self {
            channel,
            limits,
            notice_after,
            recovery,
            slot,
            reconnector,
            cancel,
            wakes_on_cancel,
            wake_group,
            woken,
            wake_flag,
            is_armed,
            history,
            permit,
        }
    }

    /// The same, dialed at `address`, for a session that the ticket names.
    pub(in crate::endpoint) fn dialed(
        self,
        address: &Address,
        role: Role,
        options: &ConnectionOptions,
        ticket: Option<Ticket>,
    ) -> Self {
        let (limits, watch) = (self.limits, self.channel.watch());
        let keep = |ticket| {
            let slot = ReconnectSlot::of_dialer(limits);
            let target = Target { address: address.clone(), role, options: options.clone(), ticket };
            match Reconnector::start(target, slot.clone(), watch) {
                Ok(reconnector) => Some((slot, reconnector)),
                Err(error) => {
                    tracing::warn!("{}; the session ends with its connection", log_entry(&error.to_string()));
                    None
                }
            }
        };
        let (slot, reconnector) = ticket.and_then(keep).unzip();
        Self { reconnector, ..self.resumed_at(slot, role, options) }
    }

    /// The same, accepted by a listener: of a network, if it has a wake group.
    pub(in crate::endpoint) fn accepted(
        self,
        role: Role,
        options: &ConnectionOptions,
        (wake_group, slot): (Option<WakeGroup>, Option<ReconnectSlot>),
        permit: SessionPermit,
    ) -> Self {
        Self { wake_group, permit: Some(permit), ..self.resumed_at(slot, role, options) }
    }

    fn resumed_at(self, slot: Option<ReconnectSlot>, role: Role, options: &ConnectionOptions) -> Self {
        let recovery = slot.as_ref().map_or_else(Recovery::disabled, |_| options.recovery(role));
        Self { slot, recovery, notice_after: options.notice_after, ..self }
    }

    /// The limits both sides accept.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// After how long a wait for its peer is mentioned in the log.
    pub(in crate::endpoint) fn notice_after(&self) -> Duration {
        self.notice_after
    }

    /// The address of the other end, for messages to people.
    pub fn peer(&self) -> String {
        self.channel.peer()
    }

    /// Whether it is this side that dials again.
    pub(in crate::endpoint) fn is_dialed(&self) -> bool {
        self.reconnector.is_some()
    }

    /// Keeps the permit of a session that has begun; an error of kind [`Busy`](ErrorKind::Busy) if another session has
    /// it already.
    pub(in crate::endpoint) fn keep_permit(&mut self) -> Result<()> {
        self.permit.as_mut().map_or(Ok(()), SessionPermit::keep)
    }

    /// An error of kind [`Busy`](ErrorKind::Busy) if another session has the permit of this one.
    pub(in crate::endpoint) fn check_permit(&self) -> Result<()> {
        self.permit.as_ref().map_or(Ok(()), SessionPermit::check)
    }

    /// Says whether the session may go on over another channel: before it has begun it ends with its channel, for
    /// nothing is lost with that.
    pub(in crate::endpoint) fn set_resumable(&mut self, is_resumable: bool) {
        self.recovery.set_possible(is_resumable && self.slot.is_some());
    }

    /// From now on waits end once `cancel` is set.
    pub(in crate::endpoint) fn attend(&mut self, cancel: Option<&CancelToken>) {
        self.cancel = cancel.cloned();
        self.subscribe();
    }

    /// Makes the channel's waits end with the token, and when a dialer of this listener has come back.
    fn subscribe(&mut self) {
        self.woken = self.wake_group.as_ref().map(|group| group.subscribe(self.cancel.as_ref()));
        if let (Some(flag), Some(token)) = (&self.wake_flag, self.woken.as_ref().or(self.cancel.as_ref())) {
            token.adopt(flag.token());
        }
        self.set_cancel_token();
    }

    fn set_cancel_token(&mut self) {
        let armed = self.wake_flag.as_ref().filter(|_| self.is_armed);
        let token = armed.map(WakeFlag::token).or(self.woken.as_ref()).or(self.cancel.as_ref());
        self.wakes_on_cancel = self.channel.set_cancel_token(token);
    }

    /// Whether `flag`, which is always the same, ends a wait for a frame. While it is set, that fails with an error of
    /// kind [`Timeout`](ErrorKind::Timeout) where no frame is there.
    pub(in crate::endpoint) fn arm(&mut self, flag: &WakeFlag, is_armed: bool) {
        if self.wake_flag.is_none() {
            self.wake_flag = Some(flag.clone());
            self.is_armed = is_armed;
            self.subscribe();
        } else if self.is_armed != is_armed {
            self.is_armed = is_armed;
            self.set_cancel_token();
        }
    }

    /// Sends one frame. A channel that is lost is not an error while another may come: [`next`](Self::next) sees to
    /// it, and has the frame sent again. Neither is the frame lost where the wait ends and another may come.
    pub(in crate::endpoint) fn send(&mut self, head: &[u8], body: &[u8], wait: &mut Wait<'_>) -> Result<()> {
        if !self.recovery.has_connection() || self.is_given_up() {
            return self.recovery.check();
        }
        match self.send_here(head, body, wait) {
            // What the peer has said before it went is still to be read.
            Err(error) if error.kind() == ErrorKind::ConnectionLost && self.recovery.is_possible() => Ok(()),
            // A part of the frame may be on its way.
            Err(error) if error.kind() == ErrorKind::Timeout && self.recovery.is_possible() => {
                self.recovery.break_off(error.clone(), Instant::now());
                self.let_go();
                Err(error)
            }
            result => result,
        }
    }

    /// The same over this channel alone, for as long as it is the session's.
    fn send_here(&mut self, head: &[u8], body: &[u8], wait: &mut Wait<'_>) -> Result<()> {
        let (slot, permit) = (self.slot.as_ref(), self.permit.as_ref());
        self.channel.send_while(head, body, wait.deadline, &mut || match slot.filter(|slot| slot.is_given_up()) {
            Some(slot) => Err(slot.why()),
            // An agent that takes no answers in has asked for no environment either, where another one has its permit.
            None => permit.map_or(Ok(()), SessionPermit::check).and_then(|()| wait.check_interrupts()),
        })
    }

    /// The next frame; `received` is the number of the last one. After a reconnect, sends what `to_retransmit(n)`
    /// gives, `n` being the number of the last frame that the peer has received. Fails with an error of kind
    /// `ConnectionLost` if no other channel comes in time.
    pub(in crate::endpoint) fn next<'a>(
        &mut self,
        wait: &mut Wait<'_>,
        received: u64,
        to_retransmit: impl Fn(u64) -> Result<ToRetransmit<'a>>,
    ) -> Result<Option<Frame>> {
        loop {
            if self.is_lost() {
                let peer_received = self.reconnect(wait, received)?;
                let sent = to_retransmit(peer_received).and_then(|frames| {
                    // However near the next look is: a channel that is left half-way has brought nothing.
                    let wait = &mut wait.without_soft_deadline();
                    frames.iter().try_for_each(|[head, body]| self.send_here(head, body, wait))
                });
                if let Err(error) = sent {
                    self.resend_failed(error, wait)?;
                    continue;
                }
            }
            self.recovery.check()?;
            match self.next_here(wait, received) {
                Err(error) if error.kind() == ErrorKind::ConnectionLost && self.recovery.is_possible() => {
                    self.lose(error, wait);
                }
                result => return result,
            }
        }
    }

    /// The same over this channel alone.
    fn next_here(&mut self, wait: &mut Wait<'_>, received: u64) -> Result<Option<Frame>> {
        let frame = self.receive(wait)?;
        match &self.slot {
            Some(slot) if frame.is_some() && !slot.count(received) => return Err(slot.why()),
            _ => {}
        }
        self.recovery.delivered();
        Ok(frame)
    }

    fn resend_failed(&mut self, error: Error, wait: &mut Wait<'_>) -> Result<()> {
        match self.recovery.resend_failed(error, Instant::now()) {
            ResendFailed::Lost(error) => {
                self.tell_lost(&error, wait);
                self.let_go();
                wait.check_interrupts()
            }
            ResendFailed::End(error) => {
                if self.recovery.is_lost() {
                    self.let_go();
                }
                Err(error)
            }
            ResendFailed::Abandon(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Whether the channel is lost and another may come.
    pub(in crate::endpoint) fn is_lost(&self) -> bool {
        self.recovery.is_lost()
    }

    /// Whether another channel is to take the place of this one.
    fn is_given_up(&self) -> bool {
        self.slot.as_ref().is_some_and(ReconnectSlot::is_given_up)
    }

    /// Begins a wait for this session beside others, once a receive has timed out.
    pub(in crate::endpoint) fn begin_readiness_wait(&mut self) -> Readiness {
        match self.is_lost() || self.is_given_up() {
            true => Readiness::Unknown,
            false => self.channel.begin_readiness_wait(),
        }
    }

    /// Ends that wait.
    pub(in crate::endpoint) fn end_readiness_wait(&mut self, is_ready: bool) {
        self.channel.end_readiness_wait(is_ready);
    }

    fn receive(&mut self, wait: &mut Wait<'_>) -> Result<Option<Frame>> {
        loop {
            let given_up = self.slot.as_ref().filter(|slot| slot.is_given_up());
            // The group may have been woken before this session subscribed; what that tells of came first.
            if let Some(slot) = given_up {
                return Err(slot.why());
            }
            wait.wakes_on_cancel = self.wakes_on_cancel && wait.cancel == self.cancel.as_ref();
            let armed = self.wake_flag.clone().filter(|_| self.is_armed);
            if armed.is_some() {
                // What the flag said of other tokens may be cleared.
                wait.check_interrupts()?;
                if self.woken.as_ref().is_some_and(CancelToken::is_cancelled) {
                    self.subscribe();
                }
            }
            let interval = match (&armed, &self.wake_group) {
                (Some(flag), _) => Some(if flag.is_set() { Duration::ZERO } else { WAKE_INTERVAL }),
                (None, Some(_)) => Some(SLICE),
                (None, None) => None,
            };
            wait.poll_interval = interval.filter(|_| !self.wakes_on_cancel);
            let (channel, slot, woken) = (&mut self.channel, &self.slot, &self.woken);
            let mut is_woken = false;
            let mut is_flagged = false;
            let result = wait.receive(&mut **channel, |received| match (received, slot) {
                (Err(error), Some(slot)) if error.kind() == ErrorKind::Timeout && slot.is_given_up() => Err(slot.why()),
                (Err(error), _)
                    if error.kind() == ErrorKind::Timeout && woken.as_ref().is_some_and(CancelToken::is_cancelled) =>
                {
                    is_woken = true;
                    Err(Error::plain(ErrorKind::ConnectionLost, "the wake group was woken"))
                }
                (Err(error), _)
                    if error.kind() == ErrorKind::Timeout && armed.as_ref().is_some_and(WakeFlag::is_set) =>
                {
                    is_flagged = true;
                    Err(Error::plain(ErrorKind::ConnectionLost, "the wake flag is set"))
                }
                (result, _) => result,
            });
            if is_flagged {
                return Err(timeout());
            }
            if !is_woken {
                return result;
            }
            // Woken for another session, or for the end of all.
            wait.check_interrupts()?;
            self.subscribe();
        }
    }

    fn lose(&mut self, error: Error, wait: &mut Wait<'_>) {
        self.tell_lost(&error, wait);
        self.recovery.lose(error, Instant::now());
        self.let_go();
    }

    fn tell_lost(&self, error: &Error, wait: &mut Wait<'_>) {
        if let Some(line) = self.history.again("lost", &format!("{error}; waiting for another connection")) {
            wait.warn(&line);
        }
    }

    /// Has another channel brought. A peer that counts on this one yet is to notice.
    fn let_go(&mut self) {
        if let Some(slot) = &self.slot {
            slot.lose();
        }
        self.channel = Box::new(Gone(self.channel.peer()));
    }

    /// Waits for another channel. Gives the number of the last frame that its other end has received.
    fn reconnect(&mut self, wait: &mut Wait<'_>, received: u64) -> Result<u64> {
        let slot = self.slot.as_ref().ok_or_else(|| Error::plain(ErrorKind::ConnectionLost, "no slot"))?;
        let left = self.recovery.begin_wait(received, Instant::now());
        let replaced = wait.within(left).run(|deadline| slot.wait_replaced(deadline));
        self.recovery.end_wait(Instant::now());
        let error = match replaced {
            Ok((channel, peer_received)) => {
                self.channel = channel;
                self.subscribe();
                self.recovery.replace(Instant::now());
                let text = format!("{}: the session goes on over another connection", self.channel.peer());
                if let Some(line) = self.history.again("regained", &text) {
                    wait.warn(&line);
                }
                return Ok(peer_received);
            }
            Err(error) if error.kind() == ErrorKind::Timeout => {
                if !self.recovery.is_exhausted() {
                    wait.check_interrupts()?;
                }
                self.recovery.give_up(None)
            }
            Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
            Err(error) => self.recovery.give_up(Some(&error)),
        };
        self.disable_reconnect();
        Err(error)
    }

    /// The session is over: no other channel is to come.
    pub(in crate::endpoint) fn disable_reconnect(&mut self) {
        (self.slot, self.reconnector) = (None, None);
        self.recovery.set_possible(false);
    }

    /// Lets go of all there is, without a word to the peer.
    pub(in crate::endpoint) fn abandon(&mut self) {
        *self = Self::new(Box::new(Gone(self.channel.peer())), self.limits);
    }

    /// Delivers what was sent, then tells the peer that nothing follows.
    pub(in crate::endpoint) fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.disable_reconnect();
        if !self.recovery.has_connection() {
            return Ok(());
        }
        self.channel.set_cancel_token(None);
        self.channel.close(deadline)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.channel.peer())
    }
}

/// Stands in for a channel that is lost, or belongs to another process. It knows the address of the other end.
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
