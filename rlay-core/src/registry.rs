//! Registry: which transport serves which scheme. A value, not a global; nothing runs before `main`.

use std::sync::Arc;

use crate::{
    address::Address,
    channel::Transport,
    error::{Error, ErrorKind, Result},
    mem::Mem,
};

/// The transports that endpoints may use. The default has `mem` alone; the options that `rlay::agent_options()` and
/// `rlay::host_options()` make have the transports of the features that the crate `rlay` was built with.
///
/// ```
/// use rlay::Registry;
///
/// let error = Registry::default().find(&"pigeon://roof".parse()?).unwrap_err();
/// assert!(error.to_string().contains("there are: mem"));
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Registry(Vec<Arc<dyn Transport>>);

impl Default for Registry {
    fn default() -> Self {
        Self(vec![Arc::new(Mem)])
    }
}

/// Schemes of this project: the feature of the crate rlay that enables each, and the transport behind it.
const FEATURES: [(&str, &str, &str); 9] = [
    ("tcp", "tcp", "rlay_tcp::Tcp"),
    ("tls", "tls", "rlay_tcp::Tcp"),
    ("unix", "tcp", "rlay_tcp::Tcp"),
    ("zmq", "zmq", "rlay_zmq::Zmq"),
    ("zmq+ipc", "zmq", "rlay_zmq::Zmq"),
    ("quic", "quic", "rlay_quic::Quic"),
    ("shm", "shm", "rlay_shm::Shm"),
    ("ws", "ws", "rlay_ws::Ws"),
    ("wss", "ws", "rlay_ws::Ws"),
];

impl Registry {
    /// The same transports and one more, which takes precedence where two serve the same scheme.
    #[must_use]
    pub fn with(mut self, transport: impl Transport + 'static) -> Self {
        self.0.insert(0, Arc::new(transport));
        self
    }

    /// The transport for the scheme of `address`.
    pub fn find(&self, address: &Address) -> Result<&Arc<dyn Transport>> {
        let scheme = address.scheme();
        self.0.iter().find(|transport| transport.schemes().contains(&scheme)).ok_or_else(|| {
            let mut known: Vec<_> = self.0.iter().flat_map(|transport| transport.schemes()).copied().collect();
            known.sort_unstable();
            known.dedup(); // a transport that replaced another
            let hint = FEATURES.iter().find(|(known, ..)| *known == scheme).map(|(_, feature, transport)| {
                format!(
                    "; take rlay::agent_options() or rlay::host_options(), with the feature {feature:?} of the crate \
                     rlay, which enables {scheme}://, or add the transport by .transport({transport})"
                )
            });
            Error::new(
                ErrorKind::Address,
                format!(
                    "{address}: no transport for {scheme:?}; there are: {}{}",
                    known.join(", "),
                    hint.unwrap_or_default()
                ),
            )
        })
    }
}
