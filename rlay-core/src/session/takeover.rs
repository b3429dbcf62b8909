//! Takeover: which of several connections is a session's, and after which frame each end goes on over another one.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Instant,
};

use super::mutant::{Mutant, is};
use crate::error::{Error, Result};

/// Set in a [`ReceivedCount`] once another connection takes over.
const GIVEN_UP: u64 = 1 << 63;

/// The number of frames that a session has received, until its connection is given up: from then on it stays what it
/// is, for the other end has been told. The session and the bringer of another connection share it without a lock.
#[derive(Debug, Default)]
pub(crate) struct ReceivedCount(AtomicU64);

impl ReceivedCount {
    /// Counts the frame that follows `received` others. False if the connection it came over was given up: the frame
    /// is void, and comes again over another.
    pub(crate) fn count(&self, received: u64) -> bool {
        self.0.compare_exchange(received, received + 1, SeqCst, SeqCst).is_ok() || is(Mutant::CountsLateFrames)
    }

    /// Whether the connection was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        self.0.load(SeqCst) & GIVEN_UP != 0
    }

    fn give_up(&self) -> u64 {
        self.0.fetch_or(GIVEN_UP, SeqCst) & !GIVEN_UP
    }

    fn renew(&self) {
        self.0.fetch_and(!GIVEN_UP, SeqCst);
    }
}

/// One attempt to bring another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    /// Counts the attempts of a session. Only the last one may bring a connection.
    pub(crate) number: u64,
    /// The number of the last frame that this end has received, for the other end to go on after.
    pub(crate) received: u64,
}

/// The takeover of a session by connections whose channels are of the kind `C`. Holds at most one that waits for the
/// session to go on over it.
#[derive(Debug)]
pub(crate) struct Takeover<C> {
    /// Another channel, and the number of the last frame that its other end has received.
    offered: Option<(C, u64)>,
    attempts: u64,
    /// Since when the session has no channel.
    lost_since: Option<Instant>,
    /// Why the last channel was given up, if the session does not know.
    lost: Option<Error>,
    /// Why no other channel comes any more.
    closed: Option<Error>,
}

impl<C> Default for Takeover<C> {
    fn default() -> Self {
        Self { offered: None, attempts: 0, lost_since: None, lost: None, closed: None }
    }
}

impl<C> Takeover<C> {
    /// Begins an attempt. From now on frames that the old connection still brings are void.
    pub(crate) fn begin(&mut self, count: &ReceivedCount) -> Attempt {
        self.attempts += 1;
        self.offered = None;
        Attempt { number: self.attempts, received: count.give_up() }
    }

    /// Offers the channel that an attempt has brought; `peer_received` frames have arrived at its other end. False if a
    /// later attempt has begun, or the session needs no channel any more: then the channel is dropped.
    pub(crate) fn offer(&mut self, attempt: Attempt, channel: C, peer_received: u64) -> bool {
        let is_last = self.attempts == attempt.number || is(Mutant::TakesAnyOffer);
        if !is_last || self.closed.is_some() {
            return false;
        }
        self.offered = Some((channel, peer_received));
        self.lost_since = None;
        true
    }

    /// The session has lost its channel. Whether that is news to the bringer of another.
    pub(crate) fn lose(&mut self, count: &ReceivedCount, now: Instant) -> bool {
        count.give_up();
        let is_news = self.offered.is_none() && self.lost_since.is_none();
        if is_news {
            self.lost_since = Some(now);
        }
        is_news
    }

    /// The channel that was offered to the session and what its other end has received, or why none ever will be; `None`
    /// as long as neither is known.
    pub(crate) fn take(&mut self, count: &ReceivedCount) -> Option<Result<(C, u64)>> {
        match (self.offered.take(), &self.closed) {
            (Some(offered), _) => {
                if !is(Mutant::StaysGivenUp) {
                    count.renew();
                }
                (self.lost_since, self.lost) = (None, None);
                Some(Ok(offered))
            }
            (None, Some(why)) => Some(Err(why.clone())),
            (None, None) => None,
        }
    }

    /// Whether the session has no channel, and none is offered to it.
    pub(crate) fn is_needed(&self) -> bool {
        self.offered.is_none() && self.lost_since.is_some()
    }

    /// Since when the session has had no channel.
    pub(crate) fn lost_since(&self) -> Option<Instant> {
        self.lost_since
    }

    /// Notes why the channel is lost, which the session will learn.
    pub(crate) fn note_loss(&mut self, why: Error) {
        self.lost = Some(why);
    }

    /// Why the channel was given up, if that was noted.
    pub(crate) fn loss(&self) -> Option<&Error> {
        self.lost.as_ref()
    }

    /// No other channel comes any more.
    pub(crate) fn close(&mut self, why: Error) {
        self.closed.get_or_insert(why);
    }

    /// Whether no other channel comes any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }
}

#[cfg(test)]
mod for_the_model_checker {
    use std::hash::{Hash, Hasher};

    use super::*;

    impl<C> Takeover<C> {
        /// The channel that waits for the session.
        pub(in crate::session) fn offered(&self) -> Option<&C> {
            self.offered.as_ref().map(|(channel, _)| channel)
        }
    }

    impl Clone for ReceivedCount {
        fn clone(&self) -> Self {
            Self(AtomicU64::new(self.0.load(SeqCst)))
        }
    }

    impl PartialEq for ReceivedCount {
        fn eq(&self, other: &Self) -> bool {
            self.0.load(SeqCst) == other.0.load(SeqCst)
        }
    }

    impl Eq for ReceivedCount {}

    impl Hash for ReceivedCount {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.load(SeqCst).hash(state);
        }
    }

    impl<C: Clone> Clone for Takeover<C> {
        fn clone(&self) -> Self {
            let Self { offered, attempts, lost_since, lost, closed } = self;
            let (offered, lost, closed) = (offered.clone(), lost.clone(), closed.clone());
            Self { offered, attempts: *attempts, lost_since: *lost_since, lost, closed }
        }
    }

    /// Texts make no difference.
    impl<C: PartialEq> PartialEq for Takeover<C> {
        fn eq(&self, other: &Self) -> bool {
            (&self.offered, self.attempts, self.lost_since, self.is_closed())
                == (&other.offered, other.attempts, other.lost_since, other.is_closed())
        }
    }

    impl<C: Hash> Hash for Takeover<C> {
        fn hash<H: Hasher>(&self, state: &mut H) {
            (&self.offered, self.attempts, self.lost_since, self.is_closed()).hash(state);
        }
    }
}
