//! Registry: which transport serves which scheme. A value, not a global; nothing runs before `main`.

use std::sync::Arc;

use crate::{
    address::Address,
    channel::Transport,
    error::{Error, ErrorKind, Result},
    mem::Mem,
};

/// The transports a program was built with. `mem` is always there.
///
/// ```
/// use rlay_core::Registry;
///
/// let error = Registry::default().find(&"pigeon://roof".parse()?).unwrap_err();
/// assert!(error.to_string().contains("there are: mem"));
/// # Ok::<(), rlay_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Registry(Vec<Arc<dyn Transport>>);

impl Default for Registry {
    fn default() -> Self {
        Self(vec![Arc::new(Mem)])
    }
}

/// Schemes this project knows, and the feature of the `rlay` crate that brings each.
const FEATURES: [(&str, &str); 7] = [
    ("tcp", "tcp"),
    ("tls", "tls"),
    ("unix", "tcp"),
    ("zmq", "zmq"),
    ("zmq+ipc", "zmq"),
    ("quic", "quic"),
    ("shm", "shm"),
];

impl Registry {
    /// The same transports and one more; it wins where two serve the same scheme.
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
            let hint = FEATURES.iter().find(|(known, _)| *known == scheme);
            let hint = hint.map(|(_, feature)| format!("; enable the feature {feature:?} of the crate rlay"));
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
