//! Listening and dialing from Python: peers whose handshake is over, to be made an agent of or hosted.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};
use rlay_core::{
    Error, ErrorKind, Offers,
    endpoint::{self, Acceptor as CoreAcceptor, Connection, History as CoreHistory, Wait},
    wire::Role,
};

use crate::{
    agent::{self, Agent},
    error::{self, raise},
    host,
    options::Options,
    waiting::{wait_raw, wait_unless},
};

fn role(name: &str) -> PyResult<Role> {
    match name {
        "agent" => Ok(Role::Agent),
        "env" => Ok(Role::Env),
        _ => Err(PyValueError::new_err("a role is 'agent' or 'env'")),
    }
}

/// A flag that ends the waits of the sessions it was given to.
#[pyclass(frozen, module = "rlay._rlay")]
#[derive(Default)]
pub(crate) struct Stop(pub(crate) rlay_core::Stop);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn set(&self) {
        self.0.set();
    }

    fn is_set(&self) -> bool {
        self.0.is_set()
    }
}

/// What an endpoint remembers of sessions that ended: the back-off between those that come to nothing, and what was
/// said in the log.
#[pyclass(frozen, module = "rlay._rlay")]
#[derive(Default)]
pub(crate) struct History(pub(crate) Arc<CoreHistory>);

#[pymethods]
impl History {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Seconds to wait before the next session.
    fn pause(&self) -> f64 {
        self.0.pause().as_secs_f64()
    }

    /// Seconds after a session was dialed until the next may be.
    fn pace(&self) -> f64 {
        self.0.pace().as_secs_f64()
    }

    fn played(&self) {
        self.0.played();
    }

    fn came_to_nothing(&self) {
        self.0.came_to_nothing();
    }

    fn has_played(&self) -> bool {
        self.0.has_played()
    }

    /// Whether any session has played since this was last asked.
    fn take_played(&self) -> bool {
        self.0.take_played()
    }

    /// How often `text` was to be said, if it is to be said once more.
    fn count(&self, text: &str) -> Option<u64> {
        self.0.count(text)
    }

    /// The line to log for `text` about `peer`, if it is due again.
    fn line(&self, peer: &str, text: &str) -> Option<String> {
        self.0.line(peer, text).map(|(line, _)| line)
    }
}

/// Listens at one address for peers of the other role.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct Acceptor(CoreAcceptor);

#[pymethods]
impl Acceptor {
    /// `full` is what a host tells agents for whom there is no room. A host lets them in from `set_ready` on.
    #[new]
    #[pyo3(signature = (address, own_role, options, full=None))]
    fn new(py: Python<'_>, address: &str, own_role: &str, options: Options, full: Option<String>) -> PyResult<Self> {
        let (role, options) = (role(own_role)?, options.to_core(py)?);
        let bound = py.detach(|| match (address.parse()?, role) {
            (address, Role::Env) => CoreAcceptor::bind_host(&address, &options, full),
            (address, Role::Agent) => CoreAcceptor::bind(&address, role, &options),
        });
        bound.map(Self).map_err(|e: Error| raise(py, &e))
    }

    fn set_ready(&self) {
        self.0.set_ready();
    }

    #[getter]
    fn address(&self) -> String {
        self.0.address().to_string()
    }

    #[getter]
    fn descriptor(&self) -> Option<i32> {
        self.0.descriptor()
    }

    /// Sessions under way, queued ones included.
    #[getter]
    fn sessions(&self) -> usize {
        self.0.sessions()
    }

    /// The next peer, or None once the acceptor is closed. Raises Timeout at the timeout.
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Session>> {
        match wait_raw(py, timeout, |wait| self.0.next(wait))? {
            Ok(connection) => Ok(Some(Session(Mutex::new(Some(connection))))),
            Err(error) if error.kind() == ErrorKind::Closed => Ok(None),
            Err(error) => Err(raise(py, &error)),
        }
    }

    /// An agent of the next environment that dials in and is made, or None once the acceptor is closed. Raises Timeout at
    /// the timeout.
    fn take(
        &self,
        py: Python<'_>,
        render_mode: Option<String>,
        env_id: Option<String>,
        kwargs: &Bound<'_, PyDict>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Agent>> {
        let make = agent::make(render_mode, env_id, kwargs)?;
        let mut tell = |wait: &mut Wait<'_>| {
            self.0.notices().iter().for_each(|notice| wait.warn(&format!("{}: {notice}", self.0.address())));
        };
        match wait_raw(py, timeout, |wait| endpoint::take(&self.0, &make, wait, &mut tell))? {
            Ok(taken) => Agent::new(py, taken).map(Some),
            Err(error) if error.kind() == ErrorKind::Closed && self.0.is_closed() => Ok(None),
            Err(error) => Err(raise(py, &error)),
        }
    }

    /// What went wrong with strangers since the last call.
    fn notices(&self) -> Vec<String> {
        self.0.notices()
    }

    /// The same, once there is something; None once the acceptor is closed.
    fn next_notices(&self, py: Python<'_>) -> PyResult<Option<Vec<String>>> {
        Ok(wait_raw(py, None, |wait| self.0.next_notices(wait))?.ok())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    /// Forgets the queue without a word to the peers: this is a forked child.
    fn abandon(&self) {
        self.0.abandon();
    }
}

/// A peer whose handshake is over. Used once: `agent` or `serve`.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct Session(Mutex<Option<Connection>>);

impl Session {
    fn take(&self, py: Python<'_>) -> PyResult<Connection> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        connection.ok_or_else(|| error::new(py, ErrorKind::Usage, "the session was used already"))
    }
}

#[pymethods]
impl Session {
    /// Asks the peer for an environment.
    fn agent(
        &self,
        py: Python<'_>,
        render_mode: Option<String>,
        env_id: Option<String>,
        kwargs: &Bound<'_, PyDict>,
        timeout: Option<f64>,
    ) -> PyResult<Agent> {
        let make = agent::make(render_mode, env_id, kwargs)?;
        agent::open(py, self.take(py)?, &make, timeout)
    }

    /// Who is at the other end; None once the session was used.
    #[getter]
    fn peer(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Connection::peer)
    }

    /// Hosts, on this thread, the environment that `make(render_mode, env_id, kwargs)` gives, until the session
    /// ends. Agents may ask for these ids and give these keyword arguments.
    fn serve(
        &self,
        py: Python<'_>,
        make: &Bound<'_, PyAny>,
        stop: &Stop,
        tracebacks: bool,
        offers: (Vec<String>, Vec<String>),
        history: &History,
    ) -> PyResult<()> {
        let mut connection = self.take(py)?;
        let terms = host::Terms {
            tracebacks,
            offers: Offers { env_ids: offers.0, kwargs: offers.1 },
            history: history.0.clone(),
        };
        let result = host::serve(py, &mut connection, make, &stop.0, terms);
        py.detach(|| drop(connection));
        result
    }
}

/// Dials `address` as `own_role`, trying again while nobody listens, up to `connect_timeout`. None once `stop` is set,
/// and for a host that `was_there` if the agent that launched this program wants no other environment.
#[pyfunction]
#[pyo3(signature = (address, own_role, options, stop=None, was_there=false))]
pub(crate) fn dial(
    py: Python<'_>,
    address: &str,
    own_role: &str,
    options: Options,
    stop: Option<&Stop>,
    was_there: bool,
) -> PyResult<Option<Session>> {
    let role = role(own_role)?;
    let core = options.to_core(py)?;
    let address: rlay_core::Address = address.parse().map_err(|e: Error| raise(py, &e))?;
    let stop = stop.map(|stop| &stop.0);
    let dialed = wait_unless(py, stop, Some(options.connect_timeout), |wait| match was_there {
        false => endpoint::dial(&address, role, &core, wait),
        true => endpoint::dial_next(&address, &core, wait),
    });
    match dialed? {
        Ok(connection) => Ok(Some(Session(Mutex::new(Some(connection))))),
        Err(error) if error.kind() == ErrorKind::Closed => Ok(None),
        Err(error) => Err(raise(py, &error)),
    }
}
