//! Link: the state of one connection that the channel and the hub share.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use bytes::Bytes;
use rlay_core::{Error, Result, net::lost};
use tokio::sync::{Notify, mpsc};

use crate::message::{COST, Message};

/// How many bytes may lie unread before the sender blocks. One frame of any length may follow the last byte of these.
pub(crate) const WINDOW: u64 = 8 << 20;

/// Pings within one check; an honest peer sends one. Answers that are not read would fill the memory.
const PATIENCE: u32 = 100;

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: String,
    /// Frames for the channel; the queue ends when nothing follows.
    frames: mpsc::UnboundedSender<Bytes>,
    /// How many of these frames the channel has not received yet.
    unread: AtomicUsize,
    state: Mutex<State>,
    /// Notified when the state has changed in a way that a call may wait for.
    changed: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    /// The credit left for sending; the last frame may overdraw it.
    credit: i64,
    /// The credit that the peer was given and has not used.
    granted: i64,
    /// Something was received since the last check.
    pub(crate) heard: bool,
    /// How many pings the peer has sent since then.
    pub(crate) asked: u32,
    /// The number of consecutive checks at which nothing had been received.
    pub(crate) silent: u32,
    /// How the peer's side ended: on purpose, or with an error.
    pub(crate) end: Option<Result<()>>,
    /// The peer has everything that was sent before the bye.
    pub(crate) bye_acked: bool,
    /// The channel is closed or gone.
    pub(crate) is_left: bool,
}

impl Link {
    /// A link, and the receiver of its frames.
    pub(crate) fn new(peer: String) -> (Self, mpsc::UnboundedReceiver<Bytes>) {
        let (frames, arrived) = mpsc::unbounded_channel();
        let state = State {
            credit: 0,
            granted: WINDOW as i64,
            heard: true,
            asked: 0,
            silent: 0,
            end: None,
            bye_acked: false,
            is_left: false,
        };
        let (unread, changed) = (AtomicUsize::new(0), Notify::new());
        (Self { peer, frames, unread, state: Mutex::new(state), changed }, arrived)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles a message; returns the answer, if any.
    pub(crate) fn take(&self, message: Option<Message>) -> Option<Message> {
        let mut state = self.state();
        state.heard = true;
        if state.end.is_some() && !matches!(message, Some(Message::ByeAck | Message::Bye | Message::Ping)) {
            return None;
        }
        let violation = match message {
            Some(Message::Data(frame)) => {
                let within = state.granted > 0;
                state.granted -= frame.len() as i64 + COST;
                if within && self.frames.send(frame).is_ok() {
                    self.unread.fetch_add(1, SeqCst);
                    return None;
                }
                // The channel is gone and reads no more, and the peer will be told.
                if within {
                    return Some(Message::Abort);
                }
                "it sent more than it was given credit for"
            }
            Some(Message::Credit(bytes)) => {
                // Credit beyond this is never outstanding; a peer that claims so must not overflow the sum.
                state.credit = state.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
                drop(state);
                self.changed.notify_waiters();
                return None;
            }
            Some(Message::Ping) => {
                state.asked += 1;
                if state.asked <= PATIENCE {
                    // This end has given the connection up; the peer, which was silent, is back and must be told.
                    let is_lost = matches!(state.end, Some(Err(_)));
                    return Some(if is_lost { Message::Abort } else { Message::Pong });
                }
                if state.end.is_some() {
                    return None;
                }
                "it sends more pings than any RLay peer"
            }
            Some(Message::Pong) => return None,
            Some(Message::Bye) => {
                drop(state);
                self.end(Ok(()));
                return Some(Message::ByeAck);
            }
            Some(Message::ByeAck) => {
                state.bye_acked = true;
                drop(state);
                self.changed.notify_waiters();
                return None;
            }
            Some(Message::Abort) => "the other end dropped the channel without a goodbye, or was restarted",
            None => "it is no RLay peer, or one of another release",
        };
        drop(state);
        self.end(Err(lost(&self.peer, violation)));
        Some(Message::Abort).filter(|_| violation.starts_with("it "))
    }

    /// The channel has received a frame.
    pub(crate) fn received(&self) {
        self.unread.fetch_sub(1, SeqCst);
    }

    /// Fails if the connection is lost and nothing is left to be received.
    pub(crate) fn look(&self) -> Result<()> {
        match &self.state().end {
            Some(lost) if self.unread.load(SeqCst) == 0 => lost.clone(),
            _ => Ok(()),
        }
    }

    /// The peer's side is over. Frames that the peer sent before can still be received.
    pub(crate) fn end(&self, how: Result<()>) {
        self.state().end.get_or_insert(how);
        self.changed.notify_waiters();
    }

    /// Blocks until `ready` returns something.
    pub(crate) async fn wait<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before the check, so that no change in between is missed.
            changed.as_mut().enable();
            if let Some(found) = ready(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    /// Takes credit for a frame of `len` bytes once some is available.
    pub(crate) async fn spend(&self, len: usize) -> Result<()> {
        self.wait(|state| {
            if let Some(end) = &state.end {
                return Some(Err(end.clone().err().unwrap_or_else(|| self.gone())));
            }
            (state.credit > 0).then(|| {
                state.credit -= len as i64 + COST;
                Ok(())
            })
        })
        .await
    }

    /// Notes that the peer may send `bytes` more.
    pub(crate) fn grant(&self, bytes: u64) {
        self.state().granted += bytes as i64;
    }

    fn gone(&self) -> Error {
        lost(&self.peer, "the other end has closed the channel")
    }
}
