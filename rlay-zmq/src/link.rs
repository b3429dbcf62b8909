//! Link: what the channel and the hub know of one connection.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use bytes::Bytes;
use rlay_core::{Error, Result, net::lost};
use tokio::sync::{Notify, mpsc};

use crate::message::{COST, Message};

/// How much may lie unread before the sender waits. One frame of any length may follow the last byte of it.
pub(crate) const WINDOW: u64 = 8 << 20;

/// Pings within one look at the clock; an honest peer sends one. Answers that are not read would fill the memory.
const PATIENCE: u32 = 100;

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: String,
    /// Frames for the channel; it ends when nothing follows.
    frames: mpsc::UnboundedSender<Bytes>,
    /// How many of them it has not received yet.
    unread: AtomicUsize,
    state: Mutex<State>,
    /// The state has changed in a way that a call may wait for.
    changed: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    /// What may still be sent; the last frame may overdraw it.
    credit: i64,
    /// What the peer may still send, by the credit it was given.
    granted: i64,
    /// Something came since the last look.
    pub(crate) heard: bool,
    /// How often the peer asked whether anybody is there since then.
    pub(crate) asked: u32,
    /// For how many looks nothing has come.
    pub(crate) silent: u32,
    /// How the peer's side ended: on purpose, or with an error.
    pub(crate) end: Option<Result<()>>,
    /// The peer has everything that was sent before the bye.
    pub(crate) bye_acked: bool,
    /// The channel is closed or gone.
    pub(crate) is_left: bool,
}

impl Link {
    /// A link, and where its frames come out.
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

    /// Takes a message; what to answer, if anything.
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
                // Not read any more: the channel is gone, and the peer will be told.
                if within {
                    return Some(Message::Abort);
                }
                "it sent more than it was given credit for"
            }
            Some(Message::Credit(bytes)) => {
                // More than this is never outstanding; a peer that claims so must not overflow the sum.
                state.credit = state.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
                drop(state);
                self.changed.notify_waiters();
                return None;
            }
            Some(Message::Ping) => {
                state.asked += 1;
                if state.asked <= PATIENCE {
                    // This end has given the connection up; the peer, which was silent, is back and must hear of it.
                    let is_lost = matches!(state.end, Some(Err(_)));
                    return Some(if is_lost { Message::Abort } else { Message::Pong });
                }
                if state.end.is_some() {
                    return None;
                }
                "it asks too often whether anybody is there"
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

    /// The peer's side is over. What it sent before can still be received.
    pub(crate) fn end(&self, how: Result<()>) {
        self.state().end.get_or_insert(how);
        self.changed.notify_waiters();
    }

    /// Waits until `ready` gives something.
    pub(crate) async fn wait<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before the look, so that no change in between is missed.
            changed.as_mut().enable();
            if let Some(found) = ready(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    /// Takes credit for a frame of `len` bytes once there is some.
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
