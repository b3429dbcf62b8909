//! Acceptor: one thread per listener that accepts, bounds and times handshakes, and queues the connections that passed.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    admission::{Admission, NewSession},
    handshake::{ListenerHandshake, Next},
};
#[cfg(unix)]
use crate::net::spare_for_handshake;
use crate::{
    address::Address,
    bridge::{refuse_inside_tokio, timeout},
    cancel_token::CancelToken,
    channel::{BlockingChannel, BlockingListener, Incoming},
    endpoint::{
        connect::connection::Connection,
        history::History,
        options::ConnectionOptions,
        wait::{SLICE, Wait, absent_after},
    },
    error::{Error, ErrorKind, Result},
    net::LAST_WORD,
    printable::log_entry,
    session::{AgentSession, EnvSession},
    wire::{Goodbye, Role},
};

/// How long the goodbye to a peer that was never taken may last, and those to all such peers together.
const GOODBYE_TIME: Duration = Duration::from_millis(50);
/// How long `close` waits for handshakes under way, which it has ended: one may be telling its peer why it is refused.
const HANDSHAKES_END: Duration = LAST_WORD.saturating_add(Duration::from_millis(100));
/// How often notices are repeated.
pub(in crate::endpoint) const REPEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Notices kept for [`Acceptor::notices`].
const NOTICES: usize = 100;

/// Listens at one address and hands out peers whose handshake is over.
#[derive(Debug)]
pub struct Acceptor {
    address: Address,
    shared: Arc<Shared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    descriptor: Option<i32>,
    /// Whether this is a forked child's copy; the thread is the parent's then.
    abandoned: AtomicBool,
}

#[derive(Debug)]
struct Shared {
    role: Role,
    options: ConnectionOptions,
    /// Whether its connections can be lost.
    is_network: bool,
    state: Mutex<State>,
    changed: Condvar,
    cancel: CancelToken,
    admission: Admission<Box<dyn BlockingChannel>>,
    /// Which dialers were told that they have to wait.
    history: History,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Connection>,
    /// What ends each handshake under way, the oldest first.
    handshakes: VecDeque<CancelToken>,
    /// Those, and others that are being ended.
    threads: usize,
    notices: VecDeque<String>,
    unauthorized: Option<Error>,
}

impl Acceptor {
    /// Binds `address` for peers of the other role. Connections are accepted from now on.
    pub fn bind(address: &Address, role: Role, options: &ConnectionOptions) -> Result<Self> {
        Self::listen(address, role, options, Admission::new(role, options))
    }

    /// Binds `address` for agents. Until [`set_ready`](Self::set_ready) they are told that the host does not serve yet,
    /// and try again; `full` is what refused agents are told when all sessions are taken.
    pub fn bind_host(address: &Address, options: &ConnectionOptions, full: Option<String>) -> Result<Self> {
        Self::listen(address, Role::Env, options, Admission::of_host(options, full))
    }

    fn listen(
        address: &Address,
        role: Role,
        options: &ConnectionOptions,
        admission: Admission<Box<dyn BlockingChannel>>,
    ) -> Result<Self> {
        refuse_inside_tokio()?;
        options.check()?;
        let transport = options.registry.find(address)?;
        let listener = transport.listen_blocking(address, &options.for_transport())?;
        let (address, descriptor) = (listener.address().clone(), listener.descriptor());
        let shared = Arc::new(Shared {
            role,
            options: options.clone(),
            is_network: transport.is_network(address.scheme()),
            state: Mutex::default(),
            changed: Condvar::new(),
            cancel: CancelToken::default(),
            admission,
            history: History::default(),
        });
        let for_thread = shared.clone();
        let thread = thread::Builder::new().name("rlay-accept".into()).spawn(move || for_thread.accept(listener));
        let thread = thread.map_err(Error::no_thread)?;
        Ok(Self { address, shared, thread: Mutex::new(Some(thread)), descriptor, abandoned: AtomicBool::new(false) })
    }

    /// Admits agents from now on, where [`bind_host`](Self::bind_host) made this.
    pub fn set_ready(&self) {
        self.shared.admission.set_ready();
    }

    /// The address to dial, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The listening descriptor, for a forked child to close; `None` once this is closed, for the system gives its
    /// number to something else then.
    pub fn descriptor(&self) -> Option<i32> {
        self.descriptor.filter(|_| !self.is_closed())
    }

    /// The next peer whose handshake is over.
    pub fn next(&self, wait: &mut Wait<'_>) -> Result<Connection> {
        let keeps = self.shared.role == Role::Agent;
        loop {
            let mut connection = self.wait_for(wait, |state| state.ready.pop_front())?;
            // An environment keeps its permit from now on; an agent has to ask for one first.
            match if keeps { connection.keep_permit() } else { Ok(()) } {
                Ok(()) => return Ok(connection),
                Err(why) => self.shared.turn_away(connection, &why),
            }
        }
    }

    /// Waits until `look` finds something.
    fn wait_for<T>(&self, wait: &mut Wait<'_>, mut look: impl FnMut(&mut State) -> Option<T>) -> Result<T> {
        wait.run(|deadline| {
            let mut state = self.shared.state();
            loop {
                if let Some(found) = look(&mut state) {
                    return Ok(found);
                }
                if self.shared.cancel.is_cancelled() {
                    return Err(Error::new(ErrorKind::Closed, format!("{}: the endpoint was closed", self.address)));
                }
                let left = match deadline {
                    Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                    None => Duration::from_secs(3600),
                };
                if left.is_zero() {
                    return Err(timeout());
                }
                state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        })
    }

    /// What went wrong with foreign peers since the last call, for a log.
    pub fn notices(&self) -> Vec<String> {
        self.shared.state().notices.drain(..).collect()
    }

    /// The same, and repeats the notices about every second. `meanwhile` is called at least as often, while there is
    /// none.
    pub(in crate::endpoint) fn next_repeating(
        &self,
        wait: &mut Wait<'_>,
        mut meanwhile: impl FnMut(&mut Wait<'_>),
    ) -> Result<Connection> {
        let interval = REPEAT_INTERVAL.min(absent_after(self.options().notice_after));
        loop {
            let next = self.next(&mut wait.within(interval));
            self.repeat_notices(wait);
            match next {
                Err(error) if error.kind() == ErrorKind::Timeout => wait.check_interrupts()?,
                next => return next,
            }
            meanwhile(wait);
        }
    }

    /// Repeats the notices since the last call for `wait`, where `tracing` is not what people read.
    pub(in crate::endpoint) fn repeat_notices(&self, wait: &mut Wait<'_>) {
        self.notices().iter().for_each(|notice| wait.repeat(&format!("{}: {notice}", self.address)));
    }

    /// The same, once there is something; an error of kind [`Closed`](ErrorKind::Closed) once this is closed.
    pub fn next_notices(&self, wait: &mut Wait<'_>) -> Result<Vec<String>> {
        self.wait_for(wait, |state| (!state.notices.is_empty()).then(|| state.notices.drain(..).collect()))
    }

    /// Why the last one was refused that lacked the token, or a certificate.
    pub(in crate::endpoint) fn unauthorized(&self) -> Option<Error> {
        self.shared.state().unauthorized.clone()
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.cancel.is_cancelled()
    }

    /// The options with which it listens.
    pub(in crate::endpoint) fn options(&self) -> &ConnectionOptions {
        &self.shared.options
    }

    /// Sessions under way, queued ones included.
    pub fn sessions(&self) -> usize {
        self.shared.admission.sessions()
    }

    /// Forgets the queue without a word to the peers, for a forked child; see [`descriptor`](Self::descriptor).
    pub fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
        self.shared.cancel.cancel();
        // The lock may be held by a thread that no longer exists.
        if let Ok(mut state) = self.shared.state.try_lock() {
            state.ready.clear();
        }
    }

    /// Stops accepting, within half a second. Then the address is free; over a transport whose connections share the
    /// listener's socket, such as `quic`, once its sessions are over, too. Peers still in the queue are told.
    pub fn close(&self) {
        if self.abandoned.load(SeqCst) {
            return;
        }
        self.shared.cancel.cancel();
        let began = Instant::now();
        let queued = std::mem::take(&mut self.shared.state().ready);
        self.shared.changed.notify_all();
        for mut connection in queued {
            let _ = connection.close(Some(began + GOODBYE_TIME));
        }
        self.shared.admission.close(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let left = (began + HANDSHAKES_END).saturating_duration_since(Instant::now());
        let state = self.shared.state();
        let _ = self.shared.changed.wait_timeout_while(state, left, |state| state.threads > 0);
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        self.shared.changed.notify_all();
        let is_abandoned = self.abandoned.load(SeqCst);
        self.shared.admission.close(!is_abandoned);
        // Frees the address before it returns, so that the next listener can bind it. Polls rather than joins: a forked
        // child has no such thread.
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let end = Instant::now() + 2 * SLICE;
        while !is_abandoned && thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, mut listener: Box<dyn BlockingListener>) {
        let wakes_on_cancel = listener.set_cancel_token(Some(&self.cancel));
        while !self.cancel.is_cancelled() {
            let slice = (!wakes_on_cancel).then(|| Instant::now() + SLICE);
            let Ok(incoming) = listener.accept(slice) else { continue };
            #[cfg(unix)]
            if let Err(error) = spare_for_handshake() {
                if let Some((line, _)) = self.history.line(&incoming.peer(), &format!("turned away: {error}")) {
                    self.notice(&line);
                }
                continue;
            }
            let Some(handshake) = self.begin() else {
                self.notice(&format!("{}: turned away, too many handshakes are under way", incoming.peer()));
                continue;
            };
            let shared = self.clone();
            let (peer, own) = (incoming.peer(), handshake.clone());
            let spawned = thread::Builder::new().name("rlay-handshake".into()).spawn(move || {
                if let Err(error) = shared.handshake(incoming, &own)
                    && !shared.cancel.is_cancelled()
                {
                    // A dialer that has to wait tries again and again, which is one line.
                    let line = match error.kind() {
                        ErrorKind::Busy | ErrorKind::ResourceExhausted => {
                            shared.history.line(&peer, &error.to_string()).map(|(line, _)| line)
                        }
                        _ => Some(format!("{peer}: {error}")),
                    };
                    line.into_iter().for_each(|line| shared.notice(&line));
                }
                shared.end(&own);
            });
            if spawned.is_err() {
                self.end(&handshake);
            }
        }
    }

    /// Makes room for one more handshake, if it must by ending the oldest: an honest one takes milliseconds.
    fn begin(&self) -> Option<CancelToken> {
        let most = self.options.listener.max_handshakes.max(1);
        let mut state = self.state();
        // A peer that was refused may take a moment to go.
        if state.threads >= 2 * most {
            return None;
        }
        if state.handshakes.len() >= most
            && let Some(oldest) = state.handshakes.pop_front()
        {
            oldest.cancel();
        }
        // Ended with all else, too.
        let handshake = self.cancel.child();
        state.handshakes.push_back(handshake.clone());
        state.threads += 1;
        Some(handshake)
    }

    fn end(&self, handshake: &CancelToken) {
        let mut state = self.state();
        state.handshakes.retain(|other| other != handshake);
        state.threads -= 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the sessions in the queue whose permit another one has now.
    fn make_room(&self) {
        let mut state = self.state();
        let queue = std::mem::take(&mut state.ready).into_iter();
        let (ready, lost): (Vec<_>, Vec<_>) = queue.partition(|connection| connection.check_permit().is_ok());
        state.ready = VecDeque::from(ready);
        drop(state);
        for connection in lost {
            if let Err(why) = connection.check_permit() {
                self.turn_away(connection, &why);
            }
        }
    }

    /// Ends a session of the queue with a goodbye that gives the reason.
    fn turn_away(&self, mut connection: Connection, why: &Error) {
        let (goodbye, mut frame) = (Goodbye::because(why), Vec::new());
        let written = match self.role {
            Role::Agent => AgentSession::new().goodbye(&goodbye, &mut frame),
            Role::Env => EnvSession::new().goodbye(&goodbye, &mut frame),
        };
        let mut wait = Wait::new(Some(GOODBYE_TIME));
        if written.is_ok() && connection.send(&frame, &[], &mut wait).is_ok() {
            let _ = connection.close(wait.deadline);
        }
    }

    fn notice(&self, text: &str) {
        let text = log_entry(text).into_owned();
        tracing::warn!("{text}");
        let mut state = self.state();
        if state.notices.len() == NOTICES {
            state.notices.pop_front();
        }
        state.notices.push_back(text);
        drop(state);
        self.changed.notify_all();
    }

    fn handshake(&self, incoming: Box<dyn Incoming>, handshake: &CancelToken) -> Result<()> {
        let mut wait = Wait::new(Some(self.options.handshake_timeout)).with_cancel(handshake);
        let deadline = wait.deadline;
        let mut channel = incoming.open_blocking()?;
        wait.on(channel.as_mut());
        channel.set_max_frame(ListenerHandshake::<Box<dyn BlockingChannel>>::max_frame(&self.options));
        let (role, options, is_network) = (self.role, &self.options, self.is_network);
        let mut handshake = ListenerHandshake::new(&self.admission, role, options, is_network)?;
        let mut answer = Vec::new();
        let session = loop {
            let frame = wait.run(|deadline| channel.recv(deadline)).map_err(|e| match e.kind() {
                ErrorKind::Closed => {
                    Error::new(ErrorKind::Busy, "handshake ended: too many newer ones are under way").with_source(e)
                }
                _ => e.context("handshake failed"),
            })?;
            match handshake.take(frame.as_deref(), &mut answer) {
                Next::Receive => channel.send(&answer, &[], deadline)?,
                Next::New(session) => break session,
                Next::Resume { slot, attempt, peer_received } => {
                    channel.send(&answer, &[], deadline)?;
                    channel.set_max_frame(slot.limits().frame);
                    channel.set_cancel_token(None);
                    slot.offer(attempt, channel, peer_received);
                    return Ok(());
                }
                Next::Refuse(error) => {
                    if error.kind() == ErrorKind::Unauthorized {
                        self.state().unauthorized = Some(error.clone());
                    }
                    if !answer.is_empty() {
                        // Whether or not the dialer is still there to learn of it, that is what happened.
                        let _ = channel.send(&answer, &[], deadline);
                        let _ = channel.close(Some(Instant::now() + LAST_WORD));
                    }
                    return Err(error);
                }
            }
        };
        self.make_room();
        channel.send(&answer, &[], deadline)?;
        let NewSession { limits, permit, slot, .. } = session;
        channel.set_max_frame(limits.frame);
        channel.set_cancel_token(None);
        let wake_group = is_network.then(|| self.admission.wake_group());
        let mut connection = Connection::new(channel, limits).accepted(role, options, (wake_group, slot), permit);
        // `close` sets the flag before it empties the queue, so nothing is left in it for ever.
        let mut state = self.state();
        if self.cancel.is_cancelled() {
            drop(state);
            return connection.close(Some(Instant::now() + GOODBYE_TIME));
        }
        state.ready.push_back(connection);
        self.changed.notify_all();
        Ok(())
    }
}
