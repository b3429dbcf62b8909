//! Agent: a session and its channel, as the deciding side uses them. One env slot, blocking.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[cfg(unix)]
use crate::endpoint::programs::program::Program;
use crate::{
    channel::Readiness,
    endpoint::{connect::connection::Connection, wait::Wait},
    error::{Error, ErrorKind, Result},
    frame::Frame,
    session::{
        Call,
        agent_core::{AgentCore, Reply},
        received::Received,
    },
    value::Value,
    wire::{Attribute, Goodbye, Limits, Make, Reset, Row, Rows, Spec},
};

/// How long `close` waits for the environment's answer, and for the channel's.
const CLOSE_TIME: Duration = Duration::from_millis(1500);
/// How long a goodbye may take, and how long where other programs are to be told, too.
const GOODBYE_TIME: Duration = Duration::from_millis(500);
const SHORT_GOODBYE_TIME: Duration = Duration::from_millis(50);

/// How long the goodbye of a session may take that is dropped.
const DROP_TIME: Duration = Duration::from_millis(20);

/// A session with one environment, below typed spaces and Python objects.
///
/// Requests (`send_…`) and answers ([`receive`](Agent::receive)) are separate, so that a caller can
/// look at signals in between and an answer can be late.
#[derive(Debug)]
pub struct Agent {
    connection: Connection,
    core: AgentCore,
    over: Option<Error>,
    /// Whether a step was ever answered.
    has_played: bool,
    /// What came last, and when.
    heard: (&'static str, Instant),
    /// When the environments were asked to be closed.
    asked_to_close: Option<Instant>,
    /// The program at the other end, if this side started it.
    #[cfg(unix)]
    program: Option<Program>,
    log: Option<PathBuf>,
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// To a reset or step.
    Row(Row, Received),
    /// To a render.
    Frame(Value),
    /// To an attribute. `None` of one that was got: it is a function.
    Returned(Option<Value>),
    /// To close.
    Closed,
}

impl Answer {
    /// The answer to a request about one slot.
    pub(in crate::endpoint) fn of_one_slot(reply: Reply) -> Result<Self> {
        match reply {
            Reply::Rows(_, mut rows, received) if rows.len() == 1 => Ok(Self::Row(rows.remove(0), received)),
            Reply::Frames(mut frames) if frames.0.len() == 1 => Ok(Self::Frame(frames.0.remove(0).1)),
            Reply::Returned(mut returned) if returned.0.len() == 1 => Ok(Self::Returned(returned.0.remove(0).1)),
            Reply::Closed => Ok(Self::Closed),
            _ => Err(Error::protocol("an answer about several slots to a request about one")),
        }
    }
}

impl Agent {
    /// Asks for an environment over a channel whose handshake is over. `wait` is what is left of `connect_timeout`.
    pub fn open(connection: Connection, make: &Make, wait: &mut Wait<'_>) -> Result<Self> {
        let mut agent = Self::ask(connection, make, wait)?;
        agent.take_spec(wait).map_err(|error| match error.kind() {
            ErrorKind::Timeout => agent.not_made(),
            _ => error,
        })?;
        Ok(agent)
    }

    /// The same without waiting for the environment, which [`take_spec`](Self::take_spec) does.
    pub(in crate::endpoint) fn ask(mut connection: Connection, make: &Make, wait: &mut Wait<'_>) -> Result<Self> {
        connection.attend(None);
        // Where environments dial in, others may be waiting, and one that is not gone dials anew.
        connection.set_resumable(connection.is_dialed());
        let mut core = AgentCore::new(connection.limits());
        core.make(make)?;
        let mut agent = Self {
            connection,
            core,
            over: None,
            has_played: false,
            heard: ("the handshake", Instant::now()),
            asked_to_close: None,
            #[cfg(unix)]
            program: None,
            log: None,
        };
        agent.send(wait)?;
        Ok(agent)
    }

    /// Waits for the environment that was asked for. At the deadline the error's kind is
    /// [`Timeout`](ErrorKind::Timeout) and it may still come; after any other error there is none.
    pub(in crate::endpoint) fn take_spec(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        let frame = self.next_frame(wait)?;
        match self.core.handle(frame) {
            Ok(Reply::Made) => {
                let fit = self.spec().check_spaces(self.limits());
                self.heard = ("its description", Instant::now());
                self.connection.set_resumable(true);
                if let Err(error) = &fit {
                    self.leave(error);
                }
                fit
            }
            Ok(Reply::Failed(error)) => {
                self.say_goodbye(GOODBYE_TIME);
                Err(error)
            }
            Ok(Reply::Over(error)) => Err(error),
            Ok(_) => Err(Error::protocol("the environment's host answered Make with something else")),
            Err(error) => Err(self.abort(error)),
        }
    }

    /// The error of an environment that was asked for and is not there in time.
    pub(in crate::endpoint) fn not_made(&self) -> Error {
        let (_, asked) = self.heard;
        not_made(&self.connection, asked.elapsed())
    }

    /// The address of the peer, for messages.
    pub(in crate::endpoint) fn peer(&self) -> String {
        self.connection.peer()
    }

    /// Ends the session, for another one is taken, and waits for nothing.
    pub(in crate::endpoint) fn turn_away(&mut self, why: &Error) {
        self.send_goodbye(&Goodbye::because(why), &mut Wait::new(Some(DROP_TIME)));
    }

    /// From now on the program ends with the session, and errors say how it ended.
    #[cfg(unix)]
    pub(in crate::endpoint) fn run_by(&mut self, program: Program) {
        self.log = Some(program.log().to_path_buf());
        self.program = Some(program);
    }

    /// Where the log lies of the program at the other end, if this side launched it. After an end in good order it is
    /// there no more, unless it was asked for.
    pub fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// Whether the connection was lost. Then every call fails.
    pub fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    /// How the connection was lost, if it was.
    pub(in crate::endpoint) fn loss(&self) -> Option<&Error> {
        self.over.as_ref().filter(|error| error.kind() == ErrorKind::ConnectionLost)
    }

    /// Whether the environment has taken a step since this was last asked.
    pub fn take_played(&mut self) -> bool {
        std::mem::take(&mut self.has_played)
    }

    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        self.core.spec()
    }

    /// The bounds of this session.
    pub fn limits(&self) -> &Limits {
        self.core.limits()
    }

    /// The request under way, and whether it was given up.
    pub fn waiting(&self) -> Option<(Call, bool)> {
        self.core.waiting()
    }

    /// Whether the episode of `slot` is over, and no request about it under way.
    pub(in crate::endpoint) fn is_done(&self, slot: u32) -> bool {
        self.core.is_done(slot)
    }

    /// Whether `slot` was never reset.
    pub(in crate::endpoint) fn needs_reset(&self, slot: u32) -> bool {
        self.core.needs_reset(slot)
    }

    /// Whether a request about `slot` is under way.
    pub(in crate::endpoint) fn is_waiting(&self, slot: u32) -> bool {
        self.core.is_waiting(slot)
    }

    /// Whether the connection is lost and another is looked for.
    pub(in crate::endpoint) fn seeks_connection(&self) -> bool {
        self.connection.is_lost()
    }

    /// [`ConnectionOptions::notice_after`](crate::ConnectionOptions::notice_after).
    pub(in crate::endpoint) fn notice_after(&self) -> Duration {
        self.connection.notice_after()
    }

    /// Begins a wait for answers beside those of others, once a receive has timed out.
    pub(in crate::endpoint) fn begin_readiness_wait(&mut self) -> Readiness {
        self.connection.begin_readiness_wait()
    }

    /// Ends that wait.
    pub(in crate::endpoint) fn end_readiness_wait(&mut self, is_ready: bool) {
        self.connection.end_readiness_wait(is_ready);
    }

    /// Gives up the answer under way: it will be late.
    pub fn give_up(&mut self) {
        self.core.give_up();
    }

    /// The same because it did not come in time; the error that says so.
    pub fn overdue(&mut self) -> Error {
        self.core.give_up();
        let error = Error::plain(
            ErrorKind::Timeout,
            "the environment did not answer before the timeout; its answer may still come: late() fetches it, reset() \
             drops it",
        );
        #[cfg(unix)]
        if let Some(program) = &self.program {
            return error.advice(&program.last_lines());
        }
        error
    }

    /// Ends the session because no answer has come in time; the error, which every later call fails with, too.
    pub(in crate::endpoint) fn leave_overdue(&mut self) -> Error {
        let why = Error::new(ErrorKind::Busy, "the environment did not answer in time; another is taken");
        // The environments beside it wait for this.
        self.part(&Goodbye::because(&why), SHORT_GOODBYE_TIME);
        let error = Error::new(ErrorKind::ConnectionLost, "the environment did not answer before the timeout");
        self.over = Some(error.clone());
        error
    }

    /// Asks for episodes.
    pub fn send_reset(&mut self, reset: &Reset, wait: &mut Wait<'_>) -> Result<()> {
        self.alive()?;
        self.core.reset(reset)?;
        self.send(wait)
    }

    /// Asks for a step of each of `slots`. `action` is packed, or one encoded value for each; another buffer, of any
    /// content, is left in its place if the request is made.
    pub fn send_step(&mut self, slots: &[u32], packed: bool, action: &mut Vec<u8>, wait: &mut Wait<'_>) -> Result<()> {
        self.alive()?;
        self.core.step(slots, packed, action)?;
        self.send(wait)
    }

    /// Asks for a rendered frame of each of `slots`.
    pub fn send_render(&mut self, slots: &[u32], wait: &mut Wait<'_>) -> Result<()> {
        self.alive()?;
        self.core.render(slots)?;
        self.send(wait)
    }

    /// Asks for an attribute, if the host offers it.
    pub fn send_attribute(&mut self, attribute: &Attribute, wait: &mut Wait<'_>) -> Result<()> {
        self.alive()?;
        self.core.attribute(attribute)?;
        self.send(wait)
    }

    /// Receives and drops the answer to a request that was given up, whatever it is: a new episode makes it void.
    pub fn drop_late(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        while self.core.is_late() {
            let came = self.receive_reply(wait);
            self.core.drop_late(came)?;
        }
        Ok(())
    }

    /// The answer to the request under way, if that was about one slot. At the deadline the error's kind is
    /// [`Timeout`](ErrorKind::Timeout) and the answer may still come.
    pub fn receive(&mut self, wait: &mut Wait<'_>) -> Result<Answer> {
        self.receive_reply(wait).and_then(Answer::of_one_slot)
    }

    /// The answer to a request under way, of any slots: rows, frames, what came of an attribute, or that the environment
    /// is closed. What else there is, is an error.
    pub(in crate::endpoint) fn receive_reply(&mut self, wait: &mut Wait<'_>) -> Result<Reply> {
        self.alive()?;
        let frame = self.next_frame(wait)?;
        let reply = match self.core.handle(frame) {
            Ok(reply) => reply,
            Err(error) => return Err(self.abort(error)),
        };
        self.heard = (what_came(&reply), Instant::now());
        match reply {
            Reply::Rows(call, ..) => {
                self.has_played |= call == Call::Step;
                Ok(reply)
            }
            Reply::Frames(_) | Reply::Returned(_) | Reply::Closed => Ok(reply),
            Reply::Failed(error) => Err(error),
            Reply::Over(error) => Err(self.lost(error)),
            Reply::Made => Err(self.abort(Error::protocol("a second Spec"))),
        }
    }

    /// Closes the environment and ends the session, within two seconds. What the environment's own `close` raised is
    /// the error.
    ///
    /// A program that was launched is waited for until it has ended, and is made to in the end
    /// ([`close_timeout`](crate::AgentOptions::close_timeout)). So that several end side by side, the wait is short
    /// while this process has others whose environments are open: a thread goes on with it, and closing the last of
    /// them waits for all. What the environment raises later than that is lost.
    pub fn close(&mut self) -> Result<()> {
        self.close_unless(&mut Wait::default())
    }

    /// The same for as long as `wait` allows. Where that is over first, a program that was launched is killed.
    pub fn close_unless(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        #[cfg(unix)]
        if let Some(program) = self.program.take() {
            if self.is_lost() {
                return program.end(Duration::MAX, "after its connection was lost", wait);
            }
            let began = Instant::now();
            let result = self.end(program.answer_time(), wait);
            let ended = program.close(began, wait);
            return result.and(ended);
        }
        self.end(CLOSE_TIME, wait)
    }

    /// Asks for the environments to be closed, which [`close_unless`](Self::close_unless) then waits for: of several
    /// sessions all are asked before any is waited for.
    pub(in crate::endpoint) fn ask_to_close(&mut self, wait: &mut Wait<'_>) {
        if self.core.is_over() || self.alive().is_err() || self.asked_to_close.is_some() {
            return;
        }
        // An environment that would have to dial in is not waited for to be told that it is over.
        self.connection.set_resumable(self.connection.is_dialed());
        let began = Instant::now();
        if self.core.close().is_ok() && self.send(&mut wait.within(CLOSE_TIME)).is_ok() {
            self.asked_to_close = Some(began);
        }
    }

    fn end(&mut self, timeout: Duration, wait: &mut Wait<'_>) -> Result<()> {
        if self.core.is_over() || self.over.is_some() {
            return Ok(());
        }
        let (mut result, mut is_answered) = (Ok(()), false);
        let waited = self.asked_to_close.map(|asked| asked.elapsed()).unwrap_or_default();
        let timeout = timeout.saturating_sub(waited);
        self.ask_to_close(&mut wait.within(timeout));
        if self.asked_to_close.is_some() {
            // Answers to requests that were given up may come first.
            let mut wait = wait.within(timeout);
            loop {
                let under_way = self.core.under_way();
                match self.receive_reply(&mut wait) {
                    Ok(Reply::Closed) => {
                        is_answered = true;
                        break;
                    }
                    Ok(_) => {}
                    Err(_) if self.core.under_way() < under_way => {}
                    Err(error) => {
                        if error.kind() == ErrorKind::Env {
                            result = Err(error);
                        }
                        break;
                    }
                }
            }
        }
        // What takes its time to close does so after a goodbye, too.
        self.say_goodbye(if is_answered || timeout >= CLOSE_TIME { GOODBYE_TIME } else { SHORT_GOODBYE_TIME });
        result
    }

    /// Takes rows back, whose memory the next ones use again.
    pub(in crate::endpoint) fn reuse(&mut self, rows: Rows) {
        self.core.reuse(rows);
    }

    /// Forgets the connection without a word to the peer, for a forked child: it is still the parent's.
    pub fn abandon(&mut self) {
        self.over = Some(Error::new(
            ErrorKind::Usage,
            "this environment was opened before the process forked and belongs to the parent; open it in the child",
        ));
        self.connection.abandon();
    }

    /// Lets go of what a session that was lost still holds: its program, and its permit among those of a listener.
    pub(in crate::endpoint) fn release(&mut self) {
        let _ = self.close();
        self.connection.abandon();
    }

    fn say_goodbye(&mut self, time: Duration) {
        self.part(&Goodbye { code: 0, message: "the agent closed the environment".into() }, time);
    }

    /// Ends the session, and tells the host why: the environment cannot be used, or not any more.
    pub fn leave(&mut self, why: &Error) {
        if self.over.is_none() {
            self.part(&Goodbye::because(why), GOODBYE_TIME);
        }
    }

    /// Says goodbye but waits for nothing. A thread sees to the end of a program that was launched.
    pub fn let_go(&mut self) {
        self.say_dropped();
        #[cfg(unix)]
        if let Some(program) = self.program.take() {
            program.leave();
        }
    }

    fn say_dropped(&mut self) {
        if self.over.is_none() && !self.core.is_over() {
            let goodbye = Goodbye { code: 0, message: "the agent dropped the environment".into() };
            self.send_goodbye(&goodbye, &mut Wait::new(Some(DROP_TIME)));
        }
    }

    fn part(&mut self, goodbye: &Goodbye, time: Duration) {
        let mut wait = Wait::new(Some(time));
        if self.send_goodbye(goodbye, &mut wait) {
            let _ = self.connection.close(wait.deadline);
        }
    }

    /// Sends a goodbye, after which a closed connection is no loss; returns whether it was sent.
    fn send_goodbye(&mut self, goodbye: &Goodbye, wait: &mut Wait<'_>) -> bool {
        if self.core.goodbye(goodbye).is_err() {
            return false;
        }
        self.connection.disable_reconnect();
        let [head, body] = self.core.request();
        self.connection.send(head, body, wait).is_ok()
    }

    /// Why the session is over, if it is.
    pub(in crate::endpoint) fn alive(&self) -> Result<()> {
        let Some(error) = &self.over else { return Ok(()) };
        #[cfg(unix)]
        if let Some(end) =
            self.program.as_ref().filter(|_| self.is_lost()).and_then(|program| program.exit_report(true))
        {
            // It may have run on for a while when its connection was lost.
            return Err(Error::new(error.kind(), end).with_source(error.clone()));
        }
        Err(error.clone())
    }

    fn send(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        let [head, body] = self.core.request();
        let sent = self.connection.send(head, body, wait);
        sent.map_err(|error| {
            // Another connection brings it, so its answer may come yet.
            if self.connection.is_lost() {
                return error;
            }
            // Before it went, the peer may have said why.
            let last = match self.receive_frame(&mut Wait::new(Some(Duration::ZERO))) {
                Ok(Some(frame)) => match self.core.handle(frame) {
                    Ok(Reply::Over(reason)) => reason,
                    _ => error,
                },
                // Not a late answer: there is none to a request that was not sent.
                _ if error.kind() == ErrorKind::Timeout => {
                    let text =
                        format!("{} did not take the whole request in time; the session is over", self.connection);
                    Error::new(ErrorKind::ConnectionLost, text).with_source(error)
                }
                _ => error,
            };
            let last = self.lost(last);
            // Nothing can follow half a frame, and the peer is not to wait for the rest.
            self.connection.abandon();
            last
        })
    }

    fn receive_frame(&mut self, wait: &mut Wait<'_>) -> Result<Option<Frame>> {
        let Self { connection, core, .. } = self;
        connection.next(wait, core.received(), |peer_received| core.to_retransmit(peer_received))
    }

    fn next_frame(&mut self, wait: &mut Wait<'_>) -> Result<Frame> {
        let notice_after = self.connection.notice_after();
        let mut received = self.receive_frame(&mut wait.soft_deadline_in(notice_after));
        if received.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout) {
            wait.check_interrupts()?;
            wait.warn(&self.what_is_awaited());
            received = self.receive_frame(wait);
        }
        match received {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => {
                Err(self.lost(Error::new(ErrorKind::ConnectionLost, "the environment's host closed the connection")))
            }
            Err(error) if error.kind() == ErrorKind::Protocol => Err(self.abort(error)),
            Err(error) if error.kind() == ErrorKind::ConnectionLost => Err(self.lost(error)),
            Err(error) => Err(error),
        }
    }

    /// What a long wait is for.
    pub(in crate::endpoint) fn what_is_awaited(&self) -> String {
        let (peer, (last, when)) = (self.connection.peer(), self.heard);
        let what = match self.waiting() {
            _ if self.connection.is_lost() => "another connection, for it has lost its own".to_owned(),
            Some((call, _)) => format!("the answer to {}", name(call)),
            None => "an answer".to_owned(),
        };
        let ago = when.elapsed().as_secs_f64();
        format!("{peer}: still waiting for {what}; the last that came from it was {last}, {ago:.0} s ago")
    }

    /// Ends the session because the connection did.
    fn lost(&mut self, error: Error) -> Error {
        #[cfg(unix)]
        let explained = self.program.as_ref().map(|program| program.explain(&error));
        #[cfg(not(unix))]
        let explained = None;
        let error = match error.kind() {
            ErrorKind::ConnectionLost => explained.unwrap_or_else(|| error.advice(START_AGAIN)),
            _ => explained.unwrap_or(error),
        };
        let _ = self.core.goodbye(&Goodbye { code: 0, message: String::new() });
        self.connection.disable_reconnect();
        self.over = Some(error.clone());
        error
    }

    /// Ends the session because the peer broke the protocol, and tells it so.
    fn abort(&mut self, error: Error) -> Error {
        self.core.abort(&error);
        self.connection.disable_reconnect();
        let mut wait = Wait::new(Some(Duration::from_millis(200)));
        let [head, body] = self.core.request();
        if self.connection.send(head, body, &mut wait).is_ok() {
            let _ = self.connection.close(wait.deadline);
        }
        let error = error.advice(REPORT);
        self.over = Some(error.clone());
        error
    }
}

impl Drop for Agent {
    /// Says goodbye, but waits for nothing, other than for the end of a program that was launched; `close` is the
    /// orderly way.
    fn drop(&mut self) {
        self.say_dropped();
    }
}

/// What to try next where the other end is gone.
pub(in crate::endpoint) const START_AGAIN: &str =
    "once it runs again, make a new environment, or let reset do that (on_loss)";
/// The same where it breaks the protocol.
pub(in crate::endpoint) const REPORT: &str =
    "install matching releases at both ends; if they do match, report this to who made the other one";

/// The error of an environment that is not there at the end of `connect_timeout`, of which so much was left for it.
pub(in crate::endpoint) fn not_made(peer: impl fmt::Display, waited: Duration) -> Error {
    let waited = waited.as_secs_f64();
    let text = format!(
        "{peer} did not make the environment within connect_timeout, of which {waited:.1} s were left for that; raise \
         connect_timeout"
    );
    Error::new(ErrorKind::Timeout, text)
}

/// Gymnasium's word for a call.
fn name(call: Call) -> &'static str {
    match call {
        Call::Reset => "reset",
        Call::Step => "step",
        Call::Render => "render",
        Call::Attribute => "get, set or call an attribute",
    }
}

fn what_came(reply: &Reply) -> &'static str {
    match reply {
        Reply::Made => "its description",
        Reply::Rows(Call::Reset, ..) => "the answer to reset",
        Reply::Rows(..) => "the answer to step",
        Reply::Frames(_) => "the answer to render",
        Reply::Returned(_) => "an attribute",
        Reply::Failed(_) => "an error",
        Reply::Closed | Reply::Over(_) => "a goodbye",
    }
}
