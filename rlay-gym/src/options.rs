//! Options: what Python tells every endpoint, as the library's own.

use std::time::Duration;

use pyo3::prelude::*;
use rlay_core::{ConnectionOptions, Limits, ListenerOptions, Token};

use crate::{error::raise, waiting::seconds};

/// The fields of `rlay._options.Options`.
#[derive(FromPyObject)]
pub(crate) struct Options {
    token: Option<String>,
    max_frame: Option<usize>,
    reconnect_timeout: Option<f64>,
    pub(crate) connect_timeout: f64,
    max_sessions: usize,
    handshake_timeout: f64,
    max_handshakes: usize,
    pub(crate) close_timeout: f64,
}

impl Options {
    /// The same for the library, with every transport the package is built with.
    pub(crate) fn to_core(&self, py: Python<'_>) -> PyResult<ConnectionOptions> {
        let limits = Limits::default();
        // Where it may come from otherwise is settled in Python, when an endpoint is made.
        let token = self.token.as_deref().map(Token::new).transpose().map_err(|e| raise(py, &e))?;
        Ok(rlay::connection_options()
            .token(token)
            .limits(Limits { frame: self.max_frame.unwrap_or(limits.frame), ..limits })
            .reconnect_timeout(self.reconnect_timeout.map(duration))
            .connect_timeout(duration(self.connect_timeout))
            .max_sessions(self.max_sessions)
            .handshake_timeout(duration(self.handshake_timeout))
            .listener(ListenerOptions::default().max_handshakes(self.max_handshakes)))
    }
}

/// A time in seconds, which may be for ever.
pub(crate) fn duration(timeout: f64) -> Duration {
    seconds(Some(timeout)).unwrap_or(Duration::MAX)
}

/// Raises if no endpoint can have these options.
#[pyfunction]
pub(crate) fn check(py: Python<'_>, options: Options) -> PyResult<()> {
    options.to_core(py).map(drop)
}

/// Raises if there is no such address, or no transport for it.
#[pyfunction]
pub(crate) fn check_address(py: Python<'_>, address: &str) -> PyResult<()> {
    let found = address.parse().and_then(|address| rlay::connection_options().registry().find(&address).map(drop));
    found.map_err(|e| raise(py, &e))
}
