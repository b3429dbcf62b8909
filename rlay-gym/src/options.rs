//! Options: the Python options of every endpoint, converted to the library's own.

use std::{path::PathBuf, time::Duration};

use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};
use rlay_core::{ConnectionOptions, ErrorKind, Limits, ListenerOptions, Offers, OnLoss, Token, Value};

use crate::{error::raise, value::to_data, waiting::seconds};

/// The fields of `rlay._options.Options`.
#[derive(FromPyObject)]
pub(crate) struct Options {
    token: Option<String>,
    max_frame: Option<usize>,
    reconnect_timeout: Option<f64>,
    liveness: f64,
    notice_after: f64,
    connect_timeout: f64,
    max_sessions: usize,
    handshake_timeout: f64,
    max_handshakes: usize,
    close_timeout: f64,
}

impl Options {
    /// The same options for the library, with every transport that the package is built with.
    pub(crate) fn to_core(&self, py: Python<'_>) -> PyResult<ConnectionOptions> {
        let limits = Limits::default();
        // Python has already read the token from its other source, when the endpoint was made.
        let token = self.token.as_deref().map(Token::new).transpose().map_err(|e| raise(py, &e))?;
        Ok(rlay::connection_options()
            .token(token)
            .limits(Limits { frame: self.max_frame.unwrap_or(limits.frame), ..limits })
            .reconnect_timeout(self.reconnect_timeout.map(duration))
            .liveness(duration(self.liveness))
            .notice_after(duration(self.notice_after))
            .connect_timeout(duration(self.connect_timeout))
            .max_sessions(self.max_sessions)
            .handshake_timeout(duration(self.handshake_timeout))
            .listener(ListenerOptions::default().max_handshakes(self.max_handshakes)))
    }
}

/// A time in seconds, which may be infinite.
fn duration(timeout: f64) -> Duration {
    seconds(Some(timeout)).unwrap_or(Duration::MAX)
}

/// An agent's further options: the fields of `rlay._options.AgentOptions`.
#[derive(FromPyObject)]
pub(crate) struct AgentOptions<'py> {
    options: Options,
    render_mode: Option<String>,
    env_id: Option<String>,
    env_kwargs: Bound<'py, PyDict>,
    on_loss: String,
    log: Option<PathBuf>,
    restarts: u32,
}

impl AgentOptions<'_> {
    /// The same for the library.
    pub(crate) fn into_core(self, py: Python<'_>) -> PyResult<rlay_core::AgentOptions> {
        let Self { options, render_mode, env_id, env_kwargs, on_loss, log, restarts } = self;
        let kwargs = to_data(&env_kwargs, "env_kwargs").map_err(|refusal| refusal.into_error(py, ErrorKind::Usage))?;
        let Value::Dict(kwargs) = kwargs else { unreachable!("a dict is one") };
        let on_loss = self::on_loss(&on_loss)?;
        let mut core = rlay_core::AgentOptions::new(options.to_core(py)?).kwargs(kwargs).on_loss(on_loss);
        core = core.restarts(restarts).close_timeout(duration(options.close_timeout));
        if let Some(render_mode) = render_mode {
            core = core.render_mode(render_mode);
        }
        if let Some(env_id) = env_id {
            core = core.env_id(env_id);
        }
        Ok(match log {
            Some(log) => core.log(log),
            None => core,
        })
    }
}

/// What to do about an environment that vanished for good, by the name that it has in Python.
pub(crate) fn on_loss(name: &str) -> PyResult<OnLoss> {
    match name {
        "raise" => Ok(OnLoss::Raise),
        "replace" => Ok(OnLoss::Replace),
        "truncate" => Ok(OnLoss::Truncate),
        _ => Err(PyValueError::new_err("on_loss is 'raise', 'replace' or 'truncate'")),
    }
}

/// A host's further options: the fields of `rlay._options.HostOptions`.
#[derive(FromPyObject)]
pub(crate) struct HostOptions {
    options: Options,
    tracebacks: bool,
    max_slots: u32,
    env_ids: Vec<String>,
    env_kwargs: Vec<String>,
    attributes: Vec<String>,
}

impl HostOptions {
    /// The same for the library.
    pub(crate) fn into_core(self, py: Python<'_>) -> PyResult<rlay_core::HostOptions> {
        let Self { env_ids, env_kwargs: kwargs, attributes, .. } = self;
        let offers = Offers { env_ids, kwargs, attributes };
        let core = rlay_core::HostOptions::new(self.options.to_core(py)?).max_slots(self.max_slots);
        Ok(core.offers(offers).tracebacks(self.tracebacks))
    }
}

/// Raises if no endpoint can have these options.
#[pyfunction]
pub(crate) fn check(py: Python<'_>, options: Options) -> PyResult<()> {
    options.to_core(py).map(drop)
}
