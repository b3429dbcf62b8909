//! Subject: the facts about a transport that the conformance suite needs.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rlay_core::{Address, Transport};

/// Which of the two forms of a channel is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// [`rlay_core::BlockingChannel`], each end on a thread of its own.
    Blocking,
    /// [`rlay_core::Channel`], both ends on one current-thread runtime of tokio.
    Async,
}

impl Form {
    /// The other form.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Blocking => Self::Async,
            Self::Async => Self::Blocking,
        }
    }
}

/// A transport under test: how to reach it, and which promises it declares not to keep.
#[derive(Clone)]
pub struct Subject {
    pub(crate) transport: Arc<dyn Transport>,
    address: Arc<dyn Fn(u64) -> String + Send + Sync>,
    pub(crate) takes_two: bool,
    exceptions: Vec<(&'static str, &'static str)>,
}

impl Subject {
    /// A transport, and a function from a number that is never given twice to an address to listen on.
    pub fn new(transport: impl Transport + 'static, address: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        Self { transport: Arc::new(transport), address: Arc::new(address), takes_two: false, exceptions: vec![] }
    }

    /// The same transport, which does not keep `promise` for this `reason`.
    #[must_use]
    pub fn except(mut self, promise: &'static str, reason: &'static str) -> Self {
        self.exceptions.push((promise, reason));
        self
    }

    /// Whether the first frame only moves while both ends are in a call, as with TLS. Then the suite has one
    /// exchanged on every connection before it begins.
    #[must_use]
    pub fn takes_two(self, takes_two: bool) -> Self {
        Self { takes_two, ..self }
    }

    /// Why the transport does not keep `promise`, if it declares so.
    pub fn exception(&self, promise: &str) -> Option<&'static str> {
        self.exceptions.iter().find(|(name, _)| *name == promise).map(|(_, reason)| *reason)
    }

    /// An address to listen on that no other test uses.
    pub fn fresh_address(&self) -> Address {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let text = (self.address)(NEXT.fetch_add(1, Ordering::Relaxed));
        text.parse().expect("the subject's function gives an address")
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("transport", &self.transport)
            .field("exceptions", &self.exceptions)
            .finish_non_exhaustive()
    }
}
