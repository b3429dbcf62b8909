//! What agents and hosts are told alike: transports, limits, secrets, and how long to wait for a connection.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    channel::{Transport, TransportOptions},
    endpoint::wait::NOTICE_AFTER,
    error::{Error, ErrorKind, Result},
    registry::Registry,
    session::{Local, recovery::Recovery},
    token::Token,
    wire::{HANDSHAKE_FRAME, Limits, Role},
};

/// What [`ConnectionOptions::liveness`] can be. Transports divide it into intervals, and a kernel's last less than ten
/// hours.
const LIVENESS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Options of connections and of the sessions over them, which [`AgentOptions`](super::AgentOptions) and
/// [`HostOptions`](super::HostOptions) contain and which their setters of the same names set.
///
/// `rlay::connection_options()` has every transport that the crate `rlay` was built with. There is no `Default`, for
/// without a transport no address can be dialed.
///
/// ```
/// use rlay::{AgentOptions, HostOptions, Token};
///
/// // An agent and a host that share a secret.
/// let shared = rlay::connection_options().token(Token::new("correct horse battery staple")?);
/// let (agent, host) = (AgentOptions::new(shared.clone()), HostOptions::new(shared));
/// # Ok::<(), rlay::Error>(())
/// ```
///
/// ```compile_fail
/// let options = rlay::ConnectionOptions::default();
/// ```
#[must_use = "options do nothing until an endpoint is made with them"]
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    pub(crate) registry: Registry,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) reconnect_timeout: Option<Duration>,
    pub(crate) liveness: Duration,
    pub(crate) notice_after: Duration,
    pub(crate) limits: Limits,
    pub(crate) token: Option<Token>,
    pub(crate) max_sessions: usize,
    pub(crate) listener: ListenerOptions,
}

/// Bounds on what dials a listener and is not admitted yet. Endpoints that dial ignore them.
///
/// ```
/// use rlay::ListenerOptions;
///
/// let options = rlay::host_options().listener(ListenerOptions::default().max_handshakes(8));
/// ```
#[must_use = "options do nothing until an endpoint is made with them"]
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    pub(crate) max_handshakes: usize,
    pub(crate) max_handshake_frame: usize,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self { max_handshakes: 64, max_handshake_frame: HANDSHAKE_FRAME }
    }
}

impl ListenerOptions {
    /// Most handshakes under way at a time; when there are more, the oldest is given up. By default 64; 0 counts as 1.
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.max_handshakes = count;
        self
    }

    /// Longest frame of a handshake in bytes. By default 64 KiB, which is the most that the protocol has.
    pub fn max_handshake_frame(mut self, bytes: usize) -> Self {
        self.max_handshake_frame = bytes;
        self
    }
}

/// Writes the setters of [`ConnectionOptions`] for a type that contains one or is one, as `connection_mut` says.
macro_rules! connection_setters {
    ($options:ident) => {
        impl $options {
            /// Adds a transport. It wins where another one serves the same scheme.
            ///
            /// ```
            /// use rlay::Mem;
            /// let options = rlay::agent_options().transport(Mem);
            /// ```
            pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
                let connection = self.connection_mut();
                connection.registry = connection.registry.clone().with(transport);
                self
            }

            /// How long a dialer tries again while there is no listener, and how long a
            /// [`ServerEnv`](crate::ServerEnv) waits for an environment to dial in. For an agent the environment must
            /// be made within this time, too. By default ten seconds; `Duration::MAX` is for ever. A
            /// [`ServerBackend`](crate::ServerBackend) waits for agents for ever, and the poll form as long as it
            /// takes.
            ///
            /// ```
            /// use std::{ops::RangeInclusive, time::Duration};
            /// let patient = rlay::agent_options().connect_timeout(Duration::from_secs(60));
            /// ```
            pub fn connect_timeout(mut self, timeout: Duration) -> Self {
                self.connection_mut().connect_timeout = timeout;
                self
            }

            /// Bounds a handshake, from the connection on; a peer that takes longer is disconnected. And how long a
            /// session that was admitted keeps its permit before its agent asks for an environment or an agent takes
            /// it, where others dial in vain. By default five seconds.
            pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
                self.connection_mut().handshake_timeout = timeout;
                self
            }

            /// How long a connection that was lost over a network may take to come back; zero: it never does. By
            /// default, which `None` sets again, two seconds for an agent, whose calls wait for it, and thirty for a
            /// host, where no call does. A longer outage is survived only if both ends allow for it.
            ///
            /// ```
            /// use std::{ops::RangeInclusive, time::Duration};
            /// let (agent, host) = (rlay::agent_options(), rlay::host_options());
            /// let minute = Duration::from_secs(60);
            /// let (agent, host) = (agent.reconnect_timeout(minute), host.reconnect_timeout(minute));
            /// ```
            pub fn reconnect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
                self.connection_mut().reconnect_timeout = timeout.into();
                self
            }

            /// Within how long a peer that has vanished without a word is noticed, from a second to a day; see
            /// [`TransportOptions::liveness`](crate::TransportOptions::liveness). By default 18 seconds.
            pub fn liveness(mut self, time: Duration) -> Self {
                self.connection_mut().liveness = time;
                self
            }

            /// When waits are mentioned in the log: a wait for an answer, or for a request of an agent, once it has
            /// lasted this long; a peer that is not there, after a tenth of it. By default ten seconds; less than a
            /// second counts as a second, and `Duration::MAX` is never. The async form logs no waits.
            ///
            /// ```
            /// use std::{ops::RangeInclusive, time::Duration};
            /// // Each step of this simulation takes half a minute.
            /// let options = rlay::agent_options().notice_after(Duration::from_secs(60));
            /// ```
            pub fn notice_after(mut self, time: Duration) -> Self {
                // No interval that is derived from it is zero.
                self.connection_mut().notice_after = time.max(Duration::from_secs(1));
                self
            }

            /// Bounds on what a peer can make this process hold. By default frames of 64 MiB.
            ///
            /// ```
            /// use rlay::Limits;
            /// let options = rlay::agent_options().limits(Limits { frame: 1 << 30, ..Limits::default() });
            /// ```
            pub fn limits(mut self, limits: Limits) -> Self {
                self.connection_mut().limits = limits;
                self
            }

            /// A secret that the peer must prove to know, and that is proven to it; `None`: there is none. By default
            /// what the environment variable `RLAY_TOKEN` held when these options were made, if anything. An agent
            /// that launches a program and has none gives it one of its own.
            ///
            /// ```
            /// use rlay::Token;
            /// let options = rlay::host_options().token(Token::new("correct horse battery staple")?);
            /// # Ok::<(), rlay::Error>(())
            /// ```
            pub fn token(mut self, token: impl Into<Option<Token>>) -> Self {
                self.connection_mut().token = token.into();
                self
            }

            /// Most sessions at a time, of a listener or of a [`ClientBackend`](crate::ClientBackend), from 1 on. By
            /// default 64. With 1 a backend serves on the thread that calls its `run`, else each session has a thread
            /// of its own. A [`ClientEnv`](crate::ClientEnv) and the poll form have one session whatever this says.
            ///
            /// ```
            /// // A game that is played by one agent at a time.
            /// let options = rlay::host_options().max_sessions(1);
            /// ```
            pub fn max_sessions(mut self, count: usize) -> Self {
                self.connection_mut().max_sessions = count;
                self
            }

            /// Bounds on what dials a listener and is not admitted yet.
            pub fn listener(mut self, listener: ListenerOptions) -> Self {
                self.connection_mut().listener = listener;
                self
            }
        }
    };
}
pub(super) use connection_setters;

connection_setters!(ConnectionOptions);

impl ConnectionOptions {
    /// The defaults, with these transports.
    ///
    /// ```
    /// use rlay::{ConnectionOptions, Registry};
    /// let within_this_program = ConnectionOptions::new(Registry::default());
    /// ```
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            reconnect_timeout: None,
            liveness: TransportOptions::default().liveness,
            notice_after: NOTICE_AFTER,
            limits: Limits::default(),
            token: Token::from_env(),
            max_sessions: 64,
            listener: ListenerOptions::default(),
        }
    }

    /// The transports there are.
    ///
    /// ```
    /// let options = rlay::connection_options();
    /// assert!(options.registry().find(&"mem://arena".parse()?).is_ok());
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn connection_mut(&mut self) -> &mut Self {
        self
    }

    /// Refuses what no endpoint can have that takes sessions.
    pub(crate) fn check(&self) -> Result<()> {
        if self.max_sessions == 0 {
            return Err(Error::new(
                ErrorKind::Usage,
                "max_sessions is 0; give the number of sessions there can be, from 1 on",
            ));
        }
        self.check_dialer()
    }

    /// Refuses what no endpoint can have.
    pub(crate) fn check_dialer(&self) -> Result<()> {
        self.token.as_ref().map_or(Ok(()), Token::check)?;
        if !LIVENESS.contains(&self.liveness) {
            let text = format!("liveness is {:?}; give a time from one second to a day", self.liveness);
            return Err(Error::new(ErrorKind::Usage, text));
        }
        self.limits.check()
    }

    /// What the transport is told.
    pub(crate) fn for_transport(&self) -> TransportOptions {
        TransportOptions {
            max_frame: self.limits.frame,
            liveness: self.liveness,
            is_authenticated: self.token.is_some(),
        }
    }

    /// How long an endpoint of this role waits for a lost connection.
    pub(crate) fn reconnects_for(&self, role: Role) -> Duration {
        self.reconnect_timeout.unwrap_or(match role {
            Role::Agent => Duration::from_secs(2),
            Role::Env => Duration::from_secs(30),
        })
    }

    /// The recovery of a session of this role that may go on over another connection.
    pub(crate) fn recovery(&self, role: Role) -> Recovery {
        Recovery::new(role, self.reconnects_for(role), self.handshake_timeout)
    }

    /// What the handshake says of an endpoint with these options; `is_network`: whether its connections can be lost.
    pub(crate) fn local(&self, role: Role, is_network: bool) -> Local {
        let is_resumable = is_network && !self.reconnects_for(role).is_zero();
        Local { role, limits: self.limits, token: self.token.clone(), is_resumable }
    }
}
