//! SessionPool: the sessions of `ServerBackend` and `ClientBackend`, each hosted on a thread of Python's.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use rlay_core::{
    ErrorKind,
    endpoint::{Acceptor, HostedSession as CoreSession, SessionPool as CorePool},
};

use crate::{
    error::{self, raise},
    host,
    options::HostOptions,
    waiting::{wait, wait_raw},
};

/// Where a host's sessions come from, when the next one may start, and how many there are.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct SessionPool(pub(crate) CorePool);

#[pymethods]
impl SessionPool {
    /// Listens at `address`. `full` is what agents without room are told.
    #[staticmethod]
    fn listen(py: Python<'_>, address: &str, options: HostOptions, full: Option<String>) -> PyResult<Self> {
        let options = options.into_core(py)?;
        py.detach(|| CorePool::listen(address, options, full)).map(Self).map_err(|e| raise(py, &e))
    }

    /// Dials `address` later.
    #[staticmethod]
    fn dial(py: Python<'_>, address: &str, options: HostOptions) -> PyResult<Self> {
        CorePool::dial(address, options.into_core(py)?).map(Self).map_err(|e| raise(py, &e))
    }

    #[getter]
    fn address(&self) -> String {
        self.0.address().to_string()
    }

    /// The listening descriptor, for a forked child to close.
    #[getter]
    fn descriptor(&self) -> Option<i32> {
        self.0.acceptor().and_then(Acceptor::descriptor)
    }

    /// Begins to serve, until `release`. Raises if it serves already, or was closed.
    fn claim(&self, py: Python<'_>) -> PyResult<()> {
        self.0.claim().map_err(|e| raise(py, &e))
    }

    fn release(&self) {
        self.0.release();
    }

    fn is_serving(&self) -> bool {
        self.0.is_serving()
    }

    /// The next session, for the serving thread; None once there is to be none.
    fn next(&self, py: Python<'_>) -> PyResult<Option<HostedSession>> {
        let next = wait(py, None, |wait| self.0.next(wait))?;
        Ok(next.map(|session| HostedSession(Mutex::new(Some(session)))))
    }

    /// What went wrong with foreign peers, once there is something; None once the pool is closed.
    fn next_notices(&self, py: Python<'_>) -> PyResult<Option<Vec<String>>> {
        let Some(acceptor) = self.0.acceptor() else { return Ok(None) };
        Ok(wait_raw(py, None, |wait| acceptor.next_notices(wait))?.ok())
    }

    /// Admits no agent any more and ends every session.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    fn is_closed(&self) -> bool {
        self.0.cancel_token().is_cancelled()
    }

    /// Waits for at most so many seconds until the thread that serves does no more, unless it is this one.
    fn wait_for_end(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        wait(py, Some(timeout), |wait| {
            self.0.wait_for_end(wait);
            Ok(())
        })
    }

    /// Leaves the listener to the parent: this is a forked child.
    fn abandon(&self) {
        self.0.abandon();
    }
}

/// A session that was admitted, to be hosted once.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct HostedSession(Mutex<Option<CoreSession>>);

#[pymethods]
impl HostedSession {
    /// Hosts, on this thread, the environment that `make(render_mode, env_id, kwargs)` returns, until the session ends.
    /// What ends the session is logged, not raised.
    fn serve(&self, py: Python<'_>, make: &Bound<'_, PyAny>) -> PyResult<()> {
        let session = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let session = session.ok_or_else(|| error::new(py, ErrorKind::Usage, "the session was served already"))?;
        host::serve(py, session, make)
    }
}
