//! SessionPool: the sessions of a host: where the next one comes from, when it may, and how many there are.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    host::{Factory, Host},
    host_loop::serve,
    running::Running,
};
use crate::{
    address::Address,
    bridge::timeout,
    cancel_token::CancelToken,
    endpoint::{
        accept::acceptor::Acceptor,
        connect::{
            connection::Connection,
            dial::{dial, dial_next},
        },
        history::History,
        options::HostOptions,
        programs::launched::is_launcher,
        wait::{Notice, SLICE, Wait},
    },
    error::{Error, ErrorKind, Result},
    wire::{Make, Role},
};

/// The sessions of one host. [`ServerBackend`](crate::ServerBackend) and [`ClientBackend`](crate::ClientBackend) have a
/// thread take one after the other and host each on a thread of its own, and so does a binding to another language,
/// with that language's threads.
///
/// A pool that listens gives sessions as agents dial in. One that dials has one session wait for an agent at any time:
/// the next one is dialed once that is taken, which it is when its environment is made, and there is room for it
/// ([`HostOptions::max_sessions`]); after sessions that ended before their first step only after a pause of 20 ms,
/// which doubles each time up to 5 s.
///
/// Clones are the same pool.
///
/// ```no_run
/// use rlay::{HostedEnv, Result, endpoint::{SessionPool, Wait}, wire::Make};
///
/// let pool = SessionPool::listen("mem://arena", rlay::host_options().max_sessions(1), None)?;
/// pool.claim()?;
/// while let Some(session) = pool.next(&mut Wait::default())? {
///     // With one session at a time it is hosted on this very thread.
///     let mut factory = |_: &Make| -> Result<HostedEnv<'_>> { todo!("make an environment") };
///     let _ = session.serve(&mut factory, &mut Wait::default());
/// }
/// pool.release();
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionPool(Arc<Inner>);

struct Inner {
    origin: Origin,
    options: HostOptions,
    cancel: CancelToken,
    running: Running,
    history: History,
    sessions: Mutex<Sessions>,
    changed: Condvar,
}

/// Where sessions come from.
enum Origin {
    Accepted(Acceptor),
    Dialed(Address),
}

/// The sessions that a pool has dialed.
#[derive(Default)]
struct Sessions {
    /// Those that an agent has taken.
    taken: usize,
    /// Whether there is one that no agent has taken yet.
    has_spare: bool,
    /// Whether the next one is being dialed, and when the last one was.
    is_dialing: bool,
    dialed: Option<Instant>,
    /// Whether one was admitted.
    have_begun: bool,
}

impl fmt::Debug for SessionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionPool({})", self.address())
    }
}

impl SessionPool {
    /// Listens at `address` for agents; those that dial before [`claim`](Self::claim) wait, and are told so. `full` is
    /// what agents without room are told; `None`: that all sessions are taken.
    pub fn listen(address: &str, options: HostOptions, full: Option<String>) -> Result<Self> {
        options.offers.check_attributes()?;
        let acceptor = Acceptor::bind_host(&address.parse()?, &options.connection, full)?;
        Ok(Self::new(Origin::Accepted(acceptor), options))
    }

    /// Will dial `address`.
    pub fn dial(address: &str, options: HostOptions) -> Result<Self> {
        let address: Address = address.parse()?;
        options.connection.registry.find(&address)?;
        options.offers.check_attributes()?;
        options.connection.check()?;
        Ok(Self::new(Origin::Dialed(address), options))
    }

    fn new(origin: Origin, options: HostOptions) -> Self {
        Self(Arc::new(Inner {
            origin,
            options,
            cancel: CancelToken::default(),
            running: Running::default(),
            history: History::default(),
            sessions: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Where agents dial, with the real port; or what is dialed.
    pub fn address(&self) -> &Address {
        self.0.address()
    }

    /// What every session is hosted with.
    pub fn options(&self) -> &HostOptions {
        &self.0.options
    }

    /// What listens, unless the pool dials.
    pub fn acceptor(&self) -> Option<&Acceptor> {
        match &self.0.origin {
            Origin::Accepted(acceptor) => Some(acceptor),
            Origin::Dialed(_) => None,
        }
    }

    /// What ends every session once it is set, which [`close`](Self::close) does.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.0.cancel
    }

    /// Begins to serve, until [`release`](Self::release): agents are admitted. An error if the pool serves already or
    /// was closed.
    pub fn claim(&self) -> Result<()> {
        self.0.running.claim(&self.0.cancel)?;
        if let Some(acceptor) = self.acceptor() {
            acceptor.set_ready();
        }
        Ok(())
    }

    /// Whether it serves.
    pub fn is_serving(&self) -> bool {
        self.0.running.is_claimed()
    }

    /// Says that no thread serves any more.
    pub fn release(&self) {
        self.0.running.end();
    }

    /// The next session, for the thread that serves; `None` once the pool was closed. Where the pool dials, also if no
    /// agent is found for `connect_timeout` and the last session has ended, which is an error unless one has played;
    /// and if the agent that launched this program has closed its environment.
    ///
    /// `wait` is told what went wrong with foreign peers; its deadline does not count.
    pub fn next(&self, wait: &mut Wait<'_>) -> Result<Option<HostedSession>> {
        let inner = &self.0;
        inner.running.here();
        let mut wait = wait.without_deadline().with_cancel(&inner.cancel);
        let next = match &inner.origin {
            Origin::Accepted(acceptor) => acceptor.next_repeating(&mut wait, |_| ()),
            Origin::Dialed(address) => inner.dial(address, &mut wait),
        };
        match next {
            Ok(connection) => Ok(Some(HostedSession { connection, entry: PoolEntry::new(inner.clone()) })),
            Err(error) => inner.end(error, &mut wait).map(|()| None),
        }
    }

    /// Admits no agent any more and ends every session.
    pub fn close(&self) {
        self.0.cancel.cancel();
        if let Some(acceptor) = self.acceptor() {
            acceptor.close();
        }
        self.0.change(|_| ());
    }

    /// Waits until the thread that serves does no more, unless it is this one, for as long as `wait` allows.
    pub fn wait_for_end(&self, wait: &mut Wait<'_>) {
        self.0.running.wait(wait);
    }

    /// Leaves the listener to the parent, for a forked child: see [`Acceptor::abandon`].
    pub fn abandon(&self) {
        self.0.cancel.cancel();
        if let Some(acceptor) = self.acceptor() {
            acceptor.abandon();
        }
    }
}

impl Inner {
    fn address(&self) -> &Address {
        match &self.origin {
            Origin::Accepted(acceptor) => acceptor.address(),
            Origin::Dialed(address) => address,
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Sessions) -> T) -> T {
        let changed = change(&mut self.sessions());
        self.changed.notify_all();
        changed
    }

    /// Dials once that is due.
    fn dial(&self, address: &Address, wait: &mut Wait<'_>) -> Result<Connection> {
        let most = self.options.connection.max_sessions;
        self.wait_until(|sessions| !sessions.has_spare && sessions.taken < most, wait)?;
        let dialed = self.sessions().dialed;
        // A session that begins to play ends the pause.
        let left = || dialed.map(|dialed| self.history.pace().saturating_sub(dialed.elapsed())).unwrap_or_default();
        while !left().is_zero() {
            wait.sleep(left().min(SLICE))?;
        }
        let have_begun = self.change(|sessions| {
            (sessions.is_dialing, sessions.dialed) = (true, Some(Instant::now()));
            sessions.have_begun
        });
        self.tell_wait(wait);
        let wait = &mut wait.within(self.options.connection.connect_timeout);
        let connection = match have_begun {
            false => dial(address, Role::Env, &self.options.connection, wait),
            true => dial_next(address, &self.options.connection, wait),
        };
        self.change(|sessions| {
            sessions.is_dialing = false;
            sessions.have_begun |= connection.is_ok();
        });
        connection
    }

    /// There is no next session, because of `error`. Whether that is one of the host.
    fn end(&self, error: Error, wait: &mut Wait<'_>) -> Result<()> {
        match error.kind() {
            // The pool was closed, or the agent that launched this program wants no other environment.
            ErrorKind::Closed => {
                let _ = self.wait_until(|sessions| sessions.taken == 0, wait);
                Ok(())
            }
            // The check of `wait` has ended it.
            ErrorKind::Timeout => Err(error),
            // The listener is gone. Sessions under way go on; when the last ends, so does the host.
            kind => {
                match self.wait_until(|sessions| sessions.taken == 0, wait) {
                    Err(closed) if closed.kind() == ErrorKind::Closed => return Ok(()),
                    ended => ended?,
                }
                if !self.history.has_played()
                    || !matches!(kind, ErrorKind::ConnectionLost | ErrorKind::Busy | ErrorKind::ResourceExhausted)
                {
                    return Err(error);
                }
                wait.tell(Notice::Info(&format!("{}: the agent left, and no other came: {error}", self.address())));
                Ok(())
            }
        }
    }

    /// Tells, once after each session that played, that its agent has left and another one is awaited.
    fn tell_wait(&self, wait: &mut Wait<'_>) {
        let is_alone = {
            let sessions = self.sessions();
            sessions.taken == 0 && sessions.is_dialing
        };
        if is_alone && !self.cancel.is_cancelled() && !is_launcher(self.address()) && self.history.take_played() {
            let waiting = match self.options.connection.connect_timeout {
                Duration::MAX => "waiting".to_owned(),
                timeout => format!("waiting {} s", timeout.as_secs_f64()),
            };
            wait.tell(Notice::Info(&format!("{}: the agent left; {waiting} for another", self.address())));
        }
    }

    /// Waits until the sessions are as wanted; an error of kind [`Closed`](ErrorKind::Closed) once the pool was closed.
    fn wait_until(&self, is_so: impl Fn(&Sessions) -> bool, wait: &mut Wait<'_>) -> Result<()> {
        wait.run(|deadline| {
            let mut sessions = self.sessions();
            loop {
                self.cancel.check()?;
                if is_so(&sessions) {
                    return Ok(());
                }
                let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                if left.is_some_and(|left| left.is_zero()) {
                    return Err(timeout());
                }
                let waited = self.changed.wait_timeout(sessions, left.unwrap_or(SLICE));
                sessions = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        })
    }
}

/// A session that was admitted, to be hosted on one thread. Dropping it ends it.
#[derive(Debug)]
pub struct HostedSession {
    connection: Connection,
    entry: PoolEntry,
}

impl HostedSession {
    /// Hosts, on this thread, the environment that `factory` makes once the agent asks for it, until the session ends
    /// or its pool is closed: see [`serve`](crate::endpoint::serve).
    pub fn serve<'m>(self, factory: &'m mut Factory<'m>, wait: &mut Wait<'_>) -> Result<()> {
        let Self { mut connection, mut entry } = self;
        let pool = entry.pool.clone();
        let mut wait = wait.without_deadline().with_cancel(&pool.cancel);
        let result = {
            // Not before: an agent that waits long for an environment asks the next session in its queue, which must
            // not be the spare one of the same program.
            let mut factory = |make: &Make| {
                let made = factory(make);
                entry.take();
                made
            };
            let mut host = Host::new(&mut factory, connection.limits(), pool.options.tracebacks);
            host = host.offering(pool.options.offers.clone()).with_max_slots(pool.options.max_slots);
            host = host.recalling(&pool.history);
            serve(&mut connection, &mut host, &mut wait)
        };
        drop(entry);
        pool.tell_wait(&mut wait);
        result
    }
}

/// Counts a session among those of its pool, as spare or taken.
struct PoolEntry {
    pool: Arc<Inner>,
    is_taken: bool,
}

impl PoolEntry {
    fn new(pool: Arc<Inner>) -> Self {
        pool.change(|sessions| sessions.has_spare = true);
        Self { pool, is_taken: false }
    }

    /// An agent has taken the session.
    fn take(&mut self) {
        if !std::mem::replace(&mut self.is_taken, true) {
            self.pool.change(|sessions| (sessions.has_spare, sessions.taken) = (false, sessions.taken + 1));
        }
    }
}

impl Drop for PoolEntry {
    fn drop(&mut self) {
        self.pool.change(|sessions| match self.is_taken {
            true => sessions.taken -= 1,
            false => sessions.has_spare = false, // it is to be replaced
        });
    }
}

impl fmt::Debug for PoolEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolEntry").field("is_taken", &self.is_taken).finish_non_exhaustive()
    }
}
