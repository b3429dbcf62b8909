//! RawEnv: an environment in another process, below typed spaces and Python's objects: bytes in, bytes out. Here it is
//! decided what becomes of an environment that is lost.

use std::{path::Path, sync::Arc, time::Instant};

use smallvec::smallvec;

use super::{
    agent::{Agent, Answer},
    replaceable::{Replaceable, Search},
    source::{Origin, Source},
};
use crate::{
    endpoint::{
        accept::acceptor::Acceptor,
        connect::connection::Connection,
        options::{AgentOptions, OnLoss},
        wait::Wait,
    },
    error::{Error, ErrorKind, Result},
    session::{Call, received::Received},
    value::Value,
    wire::{Access, Attribute, Reset, Row, Seed, Spec},
};

/// An environment in another process, and another one in its place when it is lost ([`OnLoss`]).
///
/// [`RemoteEnv`](crate::RemoteEnv) gives it typed spaces, and a binding to another language that language's objects.
/// Every call takes a [`Wait`], whose deadline bounds it, and whose check and flag end it. At the deadline the error's
/// kind is [`Timeout`](ErrorKind::Timeout), and the answer is late: [`late`](Self::late) fetches it, and
/// [`reset`](Self::reset) drops it.
///
/// ```no_run
/// use rlay::{Value, endpoint::{RawEnv, Wait}};
///
/// let mut env = RawEnv::connect("mem://cartpole", rlay::agent_options(), &mut Wait::default())?;
/// let (_, first) = env.reset(None, &Value::None, &mut Wait::default())?;
/// let mut action = 1_i64.to_le_bytes().to_vec();
/// let (row, next) = env.step(true, &mut action, &mut Wait::default())?;
/// assert!(first.packed && next.packed && !row.truncated);
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug)]
pub struct RawEnv {
    session: Replaceable,
    /// The last observation of an episode that may have to be ended here.
    last: Option<Received>,
}

impl RawEnv {
    /// Dials the host at `address` and has it make an environment, as
    /// [`ClientEnv::connect`](crate::ClientEnv::connect) does. All in all that takes `connect_timeout` at most,
    /// whatever the deadline of `wait` is; so does every search for another environment.
    pub fn connect(address: &str, options: AgentOptions, wait: &mut Wait<'_>) -> Result<Self> {
        Self::open(Source::at(address, options.of_one())?, wait)
    }

    /// Starts a program that hosts an environment, as [`ClientEnv::launch`](crate::ClientEnv::launch) does.
    #[cfg(unix)]
    pub fn launch(command: Vec<String>, options: AgentOptions, wait: &mut Wait<'_>) -> Result<Self> {
        Self::open(Source::launched(command, options.of_one()), wait)
    }

    /// Takes the next environment that dials in. While this environment lives, so does the listener.
    pub fn accept(acceptor: Arc<Acceptor>, options: AgentOptions, wait: &mut Wait<'_>) -> Result<Self> {
        Self::open(Source::new(Origin::Listened(acceptor), options.of_one()), wait)
    }

    /// Takes the environment at the other end of a connection, which nothing replaces.
    pub fn over(connection: Connection, options: &AgentOptions, wait: &mut Wait<'_>) -> Result<Self> {
        let agent = Agent::open(
            connection,
            &options.clone().of_one().make(),
            &mut wait.without_deadline().within(options.connection.connect_timeout),
        )?;
        Ok(Self { session: Replaceable::of(agent, options.on_loss), last: None })
    }

    fn open(source: Source, wait: &mut Wait<'_>) -> Result<Self> {
        Ok(Self { session: Replaceable::open(source, wait)?, last: None })
    }

    /// Lets go of where another environment would come from, if none is to come while `on_loss` is what it is: the
    /// listener may end.
    pub(in crate::endpoint) fn let_go_of_source(&mut self) {
        self.session.let_go_of_source();
    }

    /// Changes what is done about an environment that vanished for good.
    pub fn set_on_loss(&mut self, on_loss: OnLoss) {
        self.session.on_loss = on_loss;
    }

    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        self.session.agent.spec()
    }

    /// Where the log lies of a program that was launched; `None` for what was not.
    pub fn log(&self) -> Option<&Path> {
        self.session.agent.log()
    }

    /// How often [`reset`](Self::reset) may still launch the program again.
    pub fn restarts(&self) -> u32 {
        self.session.restarts()
    }

    /// Whether the environment vanished for good. Only `reset` may go on then, with another one.
    pub fn is_lost(&self) -> bool {
        self.session.agent.is_lost()
    }

    /// The search for another environment, for a thread that may want to end it.
    pub fn search(&self) -> &Search {
        self.session.search()
    }

    /// Gymnasium's `reset`, in another environment if this one is lost and [`on_loss`](AgentOptions::on_loss) or
    /// `restarts` allow for that. The deadline of `wait` is put off by what it takes to get that.
    ///
    /// A late answer is waited for and dropped, for the new episode makes it void.
    pub fn reset(&mut self, seed: Option<Seed>, options: &Value, wait: &mut Wait<'_>) -> Result<(Row, Received)> {
        self.last = None;
        let timeout = wait.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let put_off = |wait: &mut Wait<'_>| wait.deadline = timeout.and_then(|time| Instant::now().checked_add(time));
        if self.session.replace(wait)? {
            put_off(wait);
        }
        match self.begin(seed.clone(), options, wait) {
            // Nothing is lost with an environment that was to begin anew.
            Err(_) if self.session.replace(wait)? => {
                put_off(wait);
                self.begin(seed, options, wait)
            }
            result => result,
        }
    }

    /// Gymnasium's `step`. `action` is packed or an encoded value; another buffer, of any content, is left in its place
    /// if the request is made.
    ///
    /// Where the environment is lost and [`on_loss`](AgentOptions::on_loss) says so, the result ends the episode: the last
    /// observation once more, reward 0.0, truncated, and `info["lost"]` says why.
    pub fn step(&mut self, packed: bool, action: &mut Vec<u8>, wait: &mut Wait<'_>) -> Result<(Row, Received)> {
        self.take(packed, action, wait).or_else(|error| self.truncate(error, wait))
    }

    /// Gymnasium's `render`.
    pub fn render(&mut self, wait: &mut Wait<'_>) -> Result<Value> {
        self.session.agent.send_render(&[0], wait).map_err(|error| self.late_yet(error))?;
        match self.receive(wait)? {
            Answer::Frame(frame) => Ok(frame),
            _ => Err(Error::protocol("a render was answered with something else")),
        }
    }

    /// Gets, sets or calls an attribute, of which [`Spec::attributes`] has to have the name. `None` of one that is got: it
    /// is a function. An environment that has no such attribute fails with an `AttributeError`.
    pub fn attribute(&mut self, name: &str, access: Access, wait: &mut Wait<'_>) -> Result<Option<Value>> {
        let attribute = Attribute { slots: smallvec![0], name: name.to_owned(), access };
        self.session.agent.send_attribute(&attribute, wait).map_err(|error| self.late_yet(error))?;
        match self.receive(wait)? {
            Answer::Returned(value) => Ok(value),
            _ => Err(Error::protocol("an attribute was answered with something else")),
        }
    }

    /// The answer to a call that ran into its deadline or was [given up](Self::give_up), and which call that was.
    pub fn late(&mut self, wait: &mut Wait<'_>) -> Result<(Call, Answer)> {
        let Some((call, true)) = self.session.agent.waiting() else {
            return Err(Error::new(ErrorKind::Usage, "no answer is late; late() follows a call that timed out"));
        };
        Ok((call, self.receive(wait)?))
    }

    /// Says that the answer under way, if any, is not waited for any more: it is late.
    pub fn give_up(&mut self) {
        self.session.agent.give_up();
    }

    /// Closes the environment and ends the session: see [`Agent::close_unless`].
    pub fn close(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        self.session.agent.close_unless(wait)
    }

    /// Ends the session, and tells the environment's host why.
    pub fn leave(&mut self, why: &Error) {
        self.session.agent.leave(why);
    }

    /// Says goodbye but waits for nothing. A thread sees to the end of a program that was launched.
    pub fn let_go(&mut self) {
        self.session.agent.let_go();
    }

    /// Forgets the connection without a word to the peer, for a forked child: it is still the parent's.
    pub fn abandon(&mut self) {
        self.session.agent.abandon();
    }

    /// Begins an episode in the environment that there is.
    fn begin(&mut self, seed: Option<Seed>, options: &Value, wait: &mut Wait<'_>) -> Result<(Row, Received)> {
        let reset = Reset { rows: smallvec![(0, seed)], options: options.clone() };
        let sent = self.session.agent.drop_late(wait).and_then(|()| self.session.agent.send_reset(&reset, wait));
        sent.map_err(|error| self.late_yet(error))?;
        match self.receive(wait)? {
            Answer::Row(row, observation) => Ok((row, observation)),
            _ => Err(Error::protocol("a reset was answered with something else")),
        }
    }

    /// Takes the action in the environment that there is.
    fn take(&mut self, packed: bool, action: &mut Vec<u8>, wait: &mut Wait<'_>) -> Result<(Row, Received)> {
        self.session.agent.send_step(&[0], packed, action, wait).map_err(|error| self.late_yet(error))?;
        match self.receive(wait)? {
            Answer::Row(row, observation) => Ok((row, observation)),
            _ => Err(Error::protocol("a step was answered with something else")),
        }
    }

    /// Ends the episode where a step has failed because the environment is lost, if that is wanted.
    fn truncate(&mut self, error: Error, wait: &mut Wait<'_>) -> Result<(Row, Received)> {
        let is_wanted = self.session.on_loss == OnLoss::Truncate && self.session.agent.is_lost();
        let Some(last) = self.last.take_if(|_| is_wanted) else { return Err(error) };
        let why = error.to_string();
        wait.warn(&format!("the environment is lost, and the episode ends: {why}"));
        let info = Value::Dict([("lost", Value::from(why))].into());
        Ok((Row { slot: 0, first: false, last: false, terminated: false, truncated: true, reward: 0.0, info }, last))
    }

    fn receive(&mut self, wait: &mut Wait<'_>) -> Result<Answer> {
        let answer = self.session.agent.receive(wait).map_err(|error| self.late_yet(error))?;
        if let Answer::Row(_, observation) = &answer
            && self.session.on_loss == OnLoss::Truncate
        {
            self.last = Some(observation.clone());
        }
        Ok(answer)
    }

    /// Says what to do about an answer that may still come.
    fn late_yet(&mut self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Timeout => self.session.agent.overdue(),
            _ => error,
        }
    }
}
