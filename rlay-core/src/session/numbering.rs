//! Numbering of frames: every request has a number, every reply names it, and none goes missing unseen.

use super::mutant::{Mutant, is};
use crate::{
    error::{Error, ErrorKind, Result},
    wire::{Header, Kind},
};

/// Counters of one side of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Numbering {
    sent: u64,
    received: u64,
    /// The highest of one's own that the peer has said it received.
    acknowledged: u64,
}

impl Numbering {
    /// The header of the next frame.
    pub(super) fn next(&mut self, kind: Kind, re: u64) -> Header {
        if !(is(Mutant::CountsBadly) && kind == Kind::Frames) {
            self.sent += 1;
        }
        Header { kind, seq: self.sent, ack: self.received, re }
    }

    /// Accounts for a received frame.
    pub(super) fn receive(&mut self, header: &Header) -> Result<()> {
        if header.seq != self.received + 1 && !(is(Mutant::Repeats) && header.seq <= self.received) {
            return Err(Error::protocol(format!(
                "frame {} arrived where frame {} was due; the channel lost or repeated something",
                header.seq,
                self.received + 1
            )));
        }
        if header.ack > self.sent || header.re > self.sent {
            let number = header.ack.max(header.re);
            return Err(Error::protocol(format!("the peer refers to frame {number}, which was never sent")));
        }
        self.received = header.seq;
        // An answer says so, too.
        self.acknowledged = self.acknowledged.max(header.ack).max(header.re);
        Ok(())
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// How many of the last frames the peer may not have.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.sent - self.acknowledged
    }

    /// How many of the last frames are to be sent again over a new connection whose other end has received the frames up
    /// to number `peer_received`. An error of kind `ConnectionLost` says that it has received more by now: the connection
    /// is an old one, whose handshake was overtaken by that of another.
    pub(super) fn frames_to_retransmit(&self, peer_received: u64) -> Result<u64> {
        if is(Mutant::SendsAgain) && peer_received > 0 && peer_received == self.sent {
            return Ok(1);
        }
        if is(Mutant::ForgetsWhatWasLost) {
            return Ok(0);
        }
        if peer_received > self.sent {
            let text = format!("the peer goes on after frame {peer_received}, and {} were sent", self.sent);
            return Err(Error::protocol(text));
        }
        if peer_received < self.acknowledged {
            let kind = if is(Mutant::AccusesTheOvertaken) { ErrorKind::Protocol } else { ErrorKind::ConnectionLost };
            return Err(Error::plain(kind, "a handshake was overtaken by that of another connection"));
        }
        Ok(self.sent - peer_received)
    }

    pub(super) fn last_sent(&self) -> u64 {
        self.sent
    }
}

/// The error of every call after the session ended.
pub(super) fn over() -> Error {
    Error::new(ErrorKind::Closed, "the session is over; open a new one")
}
