//! Connection: the messages of one WebSocket, and how the peer's side of it ended.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use rlay_core::{
    Error, Frame, Result,
    net::{lost, lost_by},
    wire::{HANDSHAKE_FRAME, too_large},
};
use tungstenite::protocol::{
    Role,
    frame::coding::{CloseCode, Control},
};

use crate::{
    reader::{Event, Fault, Reader},
    socket::Socket,
    writer::{Masks, Outgoing},
};

/// At least so many bytes are received while no call asks for them, so that the pings behind a few small frames are
/// answered.
const READ_AHEAD: usize = HANDSHAKE_FRAME;
/// What a frame counts for beside its bytes, so that empty frames are not free.
const COST: usize = 64;
/// Messages that are read before other tasks have their turn.
const TURNS: usize = 32;
/// Control messages of so many bytes may wait; a peer that reads nothing is not answered any further.
const CONTROL: usize = 4 << 10;

/// A connection after its opening handshake. Calls of both directions share it, and a task that keeps it alive.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    socket: Socket,
    reader: Reader,
    masks: Masks,
    max_frame: usize,
    /// Frames that no call has asked for yet, and what they count for.
    inbox: VecDeque<Frame>,
    ahead: usize,
    /// Whether a frame was announced that is longer than the limit was then.
    is_too_long: bool,
    /// How the peer's side ended: on purpose, or with an error.
    end: Option<Result<()>>,
    /// Control messages to be sent between frames.
    control: Vec<u8>,
    /// A part of a frame was sent.
    is_amid: bool,
    /// A send was cancelled amid its frame.
    is_broken: bool,
    /// The closing message of this side is sent, or waits.
    is_closed: bool,
    /// What the socket had received at the last look.
    heard: u64,
    /// Looks in a row that found nothing received.
    silent: u32,
}

/// Marks a connection as broken unless the frame under way is sent.
pub(crate) struct Sending<'a>(&'a Connection);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_broken |= state.is_amid;
    }
}

impl Connection {
    /// A connection of frames of at most `max_frame` bytes. The bytes of `tail` have arrived already.
    pub(crate) fn new(socket: Socket, tail: &[u8], role: Role, peer: String, max_frame: usize) -> Self {
        let state = State {
            heard: socket.received(),
            socket,
            reader: Reader::new(role, tail),
            masks: Masks::new(role),
            max_frame,
            inbox: VecDeque::new(),
            ahead: 0,
            is_too_long: false,
            end: None,
            control: vec![],
            is_amid: false,
            is_broken: false,
            is_closed: false,
            silent: 0,
        };
        Self { peer, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_max_frame(&self, max_frame: usize) {
        let mut state = self.state();
        state.max_frame = max_frame;
        state.is_too_long = false;
    }

    /// Whether an earlier send was cancelled amid its frame.
    pub(crate) fn is_broken(&self) -> bool {
        self.state().is_broken
    }

    /// The next frame, or how the peer's side ended.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        let mut state = self.state();
        state.socket.set_reader(cx);
        state.is_too_long = false;
        for _ in 0..TURNS {
            if let Some(frame) = state.inbox.pop_front() {
                state.ahead -= frame.len() + COST;
                return Poll::Ready(Ok(Some(frame)));
            }
            if let Some(end) = &state.end {
                return Poll::Ready(end.clone().map(|()| None));
            }
            if state.read_one(&self.peer, true).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A frame to [send](Self::poll_send).
    pub(crate) fn frame<'a>(&self, head: &'a [u8], body: &'a [u8]) -> Result<Outgoing<'a>> {
        self.state().masks.message(head, body)
    }

    /// Watches over a send that may be cancelled.
    pub(crate) fn sending(&self) -> Sending<'_> {
        Sending(self)
    }

    /// Sends a frame.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, frame: &mut Outgoing<'_>) -> Poll<Result<()>> {
        let mut state = self.state();
        state.socket.set_writer(cx);
        let result = state.send(&self.peer, frame);
        if result.is_ready() {
            // If the connection is over, what the peer had sent before can still be read.
            state.is_amid = false;
            let _ = state.flush();
        }
        result
    }

    /// Sends the control messages that wait.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.state();
        state.socket.set_writer(cx);
        state.check_open(&self.peer)?;
        match state.flush() {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(state.socket.check_sent(&self.peer)),
        }
    }

    /// Lets the goodbye follow what was sent.
    pub(crate) fn say_goodbye(&self) {
        self.state().close(CloseCode::Normal);
    }

    /// Whether the peer will send nothing that matters any more. What still comes is not kept.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        state.socket.set_reader(cx);
        for _ in 0..TURNS {
            if state.end.is_some() {
                return Poll::Ready(());
            }
            state.inbox.clear();
            state.ahead = 0;
            if state.read_one(&self.peer, true).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends the connection.
    pub(crate) fn shut_down(&self) {
        self.state().socket.shut_down();
    }

    /// Fails once the connection is lost and nothing is left to be received.
    pub(crate) fn watch(&self) -> Result<()> {
        let mut state = self.state();
        state.read_ahead(&self.peer);
        match &state.end {
            Some(end) if state.inbox.is_empty() => end.clone(),
            _ => Ok(()),
        }
    }

    /// Takes in what the peer has sent, and gives the peer up if `patience` looks in a row have found nothing. Sends a
    /// ping if `is_to_ping`. False once there is nothing left to look after.
    pub(crate) fn look(&self, patience: u32, is_to_ping: bool) -> bool {
        let mut state = self.state();
        if state.is_broken {
            return false;
        }
        let is_blind = state.read_ahead(&self.peer);
        let received = state.socket.received();
        let is_silent = received == state.heard && !is_blind;
        state.heard = received;
        state.silent = if is_silent { state.silent + 1 } else { 0 };
        if state.silent >= patience && state.end.is_none() {
            let why = "nothing was heard for too long; its machine or the network is gone, or it was killed";
            state.end = Some(Err(lost(&self.peer, why)));
            state.socket.shut_down();
            state.socket.wake();
        }
        if state.end.is_some() {
            return false;
        }
        // A ping that is still to be sent is enough.
        if is_to_ping && state.control.is_empty() {
            state.control(Control::Ping, &[]);
        }
        let _ = state.flush();
        true
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl State {
    /// Fails if the peer receives nothing any more.
    fn check_open(&self, peer: &str) -> Result<()> {
        match &self.end {
            None => Ok(()),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) => Err(lost(peer, "the other end has closed the channel")),
        }
    }

    fn send(&mut self, peer: &str, frame: &mut Outgoing<'_>) -> Poll<Result<()>> {
        self.check_open(peer)?;
        if !self.is_amid && self.flush().is_pending() {
            return Poll::Pending;
        }
        loop {
            let next = frame.next();
            if next.iter().all(|slice| slice.is_empty()) {
                break;
            }
            match self.socket.write_vectored(&next) {
                Ok(n) => {
                    self.is_amid = true;
                    frame.sent(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(explain_io(peer, error))),
            }
            self.socket.check_sent(peer)?;
        }
        // TLS holds a part of it.
        match self.socket.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(explain_io(peer, error))),
            Ok(()) => Poll::Ready(self.socket.check_sent(peer)),
        }
    }

    /// Ready once no control message waits. Errors are the socket's to remember.
    fn flush(&mut self) -> Poll<()> {
        if self.is_amid {
            return Poll::Pending;
        }
        while !self.control.is_empty() {
            match self.socket.write(&self.control) {
                Ok(n) => drop(self.control.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(_) => self.control.clear(),
            }
        }
        match self.socket.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Lets a control message wait for its turn, unless many do or this side has said its last.
    fn control(&mut self, kind: Control, payload: &[u8]) {
        if !self.is_closed && self.control.len() < CONTROL {
            // Without random bytes no frame is sent either, and that fails loudly.
            self.control.extend(self.masks.control(kind, payload).unwrap_or_default());
        }
    }

    /// Lets the closing message be the last of this side.
    fn close(&mut self, code: CloseCode) {
        self.control(Control::Close, &u16::from(code).to_be_bytes());
        self.is_closed = true;
    }

    /// The peer has broken the protocol; says so, if it still listens.
    fn refuse(&mut self, code: CloseCode, error: Error) {
        self.end = Some(Err(error));
        self.close(code);
        let _ = self.flush();
    }

    /// Receives while no call asks for it. True if so much waits that nothing more was asked of the peer.
    fn read_ahead(&mut self, peer: &str) -> bool {
        for _ in 0..TURNS {
            if self.end.is_some() {
                return false;
            }
            if self.ahead >= READ_AHEAD || self.is_too_long || self.is_broken {
                return true;
            }
            if self.read_one(peer, false).is_pending() {
                return self.is_too_long;
            }
            self.socket.wake();
        }
        false
    }

    /// Reads a message, if one is there. A frame that is too long for now is refused if `is_final`, for then no call can
    /// raise the limit any more that this frame came under.
    fn read_one(&mut self, peer: &str, is_final: bool) -> Poll<()> {
        loop {
            match self.reader.next(self.max_frame) {
                Ok(Some(event)) => {
                    self.take(peer, event);
                    return Poll::Ready(());
                }
                Ok(None) => {}
                Err(Fault::TooLong(_)) if !is_final => {
                    self.is_too_long = true;
                    return Poll::Pending;
                }
                Err(fault) => {
                    self.refuse_fault(peer, fault);
                    return Poll::Ready(());
                }
            }
            match self.socket.read(self.reader.space()) {
                Ok(0) => {
                    let why =
                        "the connection ended without a goodbye; the process at the other end was killed or crashed";
                    self.end = Some(Err(lost(peer, why)));
                    return Poll::Ready(());
                }
                Ok(n) => self.reader.filled(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => {
                    self.end = Some(Err(explain_io(peer, error)));
                    return Poll::Ready(());
                }
            }
        }
    }

    fn take(&mut self, peer: &str, event: Event) {
        match event {
            Event::Message(frame) => {
                self.ahead += frame.len() + COST;
                self.inbox.push_back(frame);
            }
            Event::Ping(payload) => {
                self.control(Control::Pong, &payload);
                let _ = self.flush();
            }
            Event::Pong => {}
            Event::Close(close) => {
                self.end = Some(match close {
                    Some((1000, _)) => Ok(()),
                    close => Err(lost(peer, ended(close))),
                });
                self.close(CloseCode::Normal);
                let _ = self.flush();
            }
        }
    }

    fn refuse_fault(&mut self, peer: &str, fault: Fault) {
        match fault {
            Fault::TooLong(len) => self.refuse(CloseCode::Size, too_large("peer's", len, self.max_frame)),
            Fault::Text => {
                let text = "it sent a message of text; frames of RLay are binary messages. Is it an RLay endpoint?";
                self.refuse(CloseCode::Unsupported, Error::protocol(format!("{peer}: {text}")));
            }
            Fault::Violation(what) => {
                let text = format!("{peer}: it sent {what}; is it a WebSocket peer?");
                self.refuse(CloseCode::Protocol, Error::protocol(text));
            }
        }
    }
}

fn ended(close: Option<(u16, String)>) -> String {
    match close {
        None => {
            "it closed the connection without a code, as no RLay endpoint does; code 1000 is the goodbye".to_owned()
        }
        Some((1001, _)) => "its page was left, or its program ends (code 1001)".to_owned(),
        Some((code @ (1002 | 1003 | 1009), _)) => {
            format!("it refuses what it was sent (code {code}); its log says why")
        }
        Some((code, reason)) if reason.is_empty() => format!("it closed the connection with code {code}"),
        Some((code, reason)) => format!("it closed the connection with code {code}: {reason}"),
    }
}

/// The error of a connection that broke, whose cause may be TLS's.
pub(crate) fn explain_io(peer: &str, error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => rlay_tls::explain(peer, tls),
        None => lost_by(peer, error),
    }
}
