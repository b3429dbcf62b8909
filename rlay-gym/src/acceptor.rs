//! Listening from Python for environments that dial in, and what an endpoint remembers of sessions that ended.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rlay_core::{
    Error, ErrorKind,
    endpoint::{
        Acceptor as CoreAcceptor, Connection, History as CoreHistory, RawEnv as CoreEnv, RawVectorEnv as CoreVectorEnv,
    },
    wire::Role,
};

use crate::{
    error::{self, raise},
    options::{AgentOptions, Options},
    raw_env::RawEnv,
    raw_vector_env::{self, RawVectorEnv},
    waiting::{wait, wait_raw},
};

/// What an endpoint remembers of sessions that ended, for the log when such ends repeat.
#[pyclass(frozen, module = "rlay._rlay")]
#[derive(Default)]
pub(crate) struct History(CoreHistory);

#[pymethods]
impl History {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// How often `text` has occurred, if `text` is due to be logged again.
    fn count(&self, text: &str) -> Option<u64> {
        self.0.count(text)
    }

    /// The line to log for `text` about `peer`, if `text` is due again.
    fn line(&self, peer: &str, text: &str) -> Option<String> {
        self.0.line(peer, text).map(|(line, _)| line)
    }
}

/// Listens at one address for environments.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct Acceptor(Arc<CoreAcceptor>);

#[pymethods]
impl Acceptor {
    #[new]
    fn new(py: Python<'_>, address: &str, options: Options) -> PyResult<Self> {
        let options = options.to_core(py)?;
        let bound = py.detach(|| CoreAcceptor::bind(&address.parse()?, Role::Agent, &options));
        bound.map(|bound| Self(Arc::new(bound))).map_err(|e: Error| raise(py, &e))
    }

    #[getter]
    fn address(&self) -> String {
        self.0.address().to_string()
    }

    #[getter]
    fn descriptor(&self) -> Option<i32> {
        self.0.descriptor()
    }

    /// The next environment that dials in and is made, or None once the acceptor is closed. Raises Timeout at the end
    /// of `connect_timeout`.
    fn take(&self, py: Python<'_>, options: AgentOptions<'_>) -> PyResult<Option<RawEnv>> {
        let options = options.into_core(py)?;
        match wait_raw(py, None, |wait| CoreEnv::accept(self.0.clone(), options, wait))? {
            Ok(raw) => RawEnv::new(py, raw).map(Some),
            Err(error) if error.kind() == ErrorKind::Closed && self.0.is_closed() => Ok(None),
            Err(error) => Err(raise(py, &error)),
        }
    }

    /// So many environments that dial in, or None once the acceptor is closed. Raises Timeout at the end of
    /// `connect_timeout`, if there are fewer than `min_ready`.
    fn take_several(
        &self,
        py: Python<'_>,
        options: AgentOptions<'_>,
        slots: u32,
        min_ready: u32,
        mode: &str,
    ) -> PyResult<Option<RawVectorEnv>> {
        let (options, mode) = (options.into_core(py)?, raw_vector_env::mode(mode)?);
        let options = options.num_envs(slots).min_ready(min_ready).autoreset_mode(mode);
        match wait_raw(py, None, |wait| CoreVectorEnv::accept(&self.0, options, wait))? {
            Ok(raw) => RawVectorEnv::new(py, raw).map(Some),
            Err(error) if error.kind() == ErrorKind::Closed && self.0.is_closed() => Ok(None),
            Err(error) => Err(raise(py, &error)),
        }
    }

    /// The next environment that dials in, or None once the acceptor is closed. Raises Timeout at the timeout.
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Session>> {
        match wait_raw(py, timeout, |wait| self.0.next(wait))? {
            Ok(connection) => Ok(Some(Session { peer: connection.peer(), connection: Mutex::new(Some(connection)) })),
            Err(error) if error.kind() == ErrorKind::Closed => Ok(None),
            Err(error) => Err(raise(py, &error)),
        }
    }

    /// What went wrong with foreign peers since the last call.
    fn notices(&self) -> Vec<String> {
        self.0.notices()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    /// Drops the queue without a goodbye to the peers: this is a forked child.
    fn abandon(&self) {
        self.0.abandon();
    }
}

/// An environment that has dialed in and is not made yet. Opened once.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct Session {
    peer: String,
    connection: Mutex<Option<Connection>>,
}

#[pymethods]
impl Session {
    /// The address from which the environment has dialed.
    #[getter]
    fn peer(&self) -> &str {
        &self.peer
    }

    /// Asks for the environment.
    fn open(&self, py: Python<'_>, options: AgentOptions<'_>) -> PyResult<RawEnv> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = connection.ok_or_else(|| error::new(py, ErrorKind::Usage, "the session was used already"))?;
        let options = options.into_core(py)?;
        let raw = wait(py, None, |wait| CoreEnv::over(connection, &options, wait))?;
        RawEnv::new(py, raw)
    }
}
