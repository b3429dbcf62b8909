//! The listener's handshake with one dialer, and its admission: frames in, frames out.

use super::admission::{Admission, Admitted, NewSession};
use crate::{
    endpoint::{connect::reconnect_slot::ReconnectSlot, options::ConnectionOptions},
    error::{Error, ErrorKind, Result},
    session::{Grant, ServerHandshake, reject, takeover::Attempt},
    token::nonce,
    wire::{HANDSHAKE_FRAME, Role},
};

/// The handshake of a listener whose channels are of the kind `C`. It sees no channel: any loop can drive it, by
/// receiving a frame, giving it to [`take`](Self::take) and sending the answer.
pub(in crate::endpoint) struct ListenerHandshake<'a, C> {
    handshake: ServerHandshake,
    admission: &'a Admission<C>,
    is_resumable: bool,
}

/// What comes after the answer was sent.
pub(in crate::endpoint) enum Next<C> {
    /// The next frame.
    Receive,
    /// A new session.
    New(NewSession<C>),
    /// The session goes on: offer the channel to its slot.
    Resume { slot: ReconnectSlot<C>, attempt: Attempt, peer_received: u64 },
    /// The end. The answer is empty for a peer that is no endpoint; another deserves a reason.
    Refuse(Error),
}

impl<'a, C> ListenerHandshake<'a, C> {
    /// For one dialer. `is_network`: whether the connections of the listener can be lost.
    pub(in crate::endpoint) fn new(
        admission: &'a Admission<C>,
        role: Role,
        options: &ConnectionOptions,
        is_network: bool,
    ) -> Result<Self> {
        let local = options.local(role, is_network);
        let is_resumable = local.is_resumable;
        Ok(Self { handshake: ServerHandshake::new(local, nonce()?), admission, is_resumable })
    }

    /// The longest frame that a dialer may send before it is admitted.
    pub(in crate::endpoint) fn max_frame(options: &ConnectionOptions) -> usize {
        options.listener.max_handshake_frame.min(HANDSHAKE_FRAME)
    }

    /// Takes what was received from the dialer. `answer` is the frame to send, then.
    pub(in crate::endpoint) fn take(&mut self, frame: Option<&[u8]>, answer: &mut Vec<u8>) -> Next<C> {
        answer.clear();
        let Some(frame) = frame else {
            return Next::Refuse(Error::protocol("handshake failed: the peer closed without a word"));
        };
        let admitted = match self.handshake.take(frame, answer) {
            Ok(None) => return Next::Receive,
            Ok(Some(hello)) => self.admission.admit(hello, self.is_resumable),
            Err(error) => Err(error),
        };
        match admitted {
            Ok(Admitted::New(session)) => {
                self.handshake.welcome(Grant::New { ticket: session.ticket }, answer);
                Next::New(session)
            }
            Ok(Admitted::Resumed { slot, peer_received }) => {
                let attempt = slot.begin();
                self.handshake.welcome(Grant::Resumed { received: attempt.received }, answer);
                Next::Resume { slot, attempt, peer_received }
            }
            Err(error) => {
                answer.clear();
                // A peer that is no endpoint gets no answer; one of another version or role deserves a reason.
                if error.kind() != ErrorKind::Protocol {
                    reject(&error, answer);
                }
                Next::Refuse(error.context("handshake refused"))
            }
        }
    }
}
