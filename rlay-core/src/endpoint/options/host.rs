//! What hosts are told: what agents may ask for, and what they learn of failures.

use std::time::Duration;

use super::{ConnectionOptions, ListenerOptions, connection::connection_setters};
use crate::{
    channel::Transport, endpoint::hosts::host::MAX_SLOTS, offers::Offers, registry::Registry, token::Token,
    wire::Limits,
};

/// Options of what hosts an environment: [`ServerBackend`](crate::ServerBackend),
/// [`ClientBackend`](crate::ClientBackend) and [`PolledEnv`](crate::PolledEnv).
///
/// `rlay::host_options()` has every transport that the crate `rlay` was built with. There is no `Default`, for without
/// a transport no address can be dialed.
///
/// ```
/// let options = rlay::host_options().max_sessions(1).tracebacks(false);
/// ```
///
/// ```compile_fail
/// let options = rlay::HostOptions::default();
/// ```
#[must_use = "options do nothing until an endpoint is made with them"]
#[derive(Debug, Clone)]
pub struct HostOptions {
    pub(crate) connection: ConnectionOptions,
    pub(crate) offers: Offers,
    pub(crate) tracebacks: bool,
    pub(crate) max_slots: u32,
    pub(crate) threads: u32,
}

connection_setters!(HostOptions);

impl HostOptions {
    /// The defaults, over these connections.
    ///
    /// ```
    /// use rlay::{ConnectionOptions, HostOptions, Registry};
    /// let within_this_program = HostOptions::new(ConnectionOptions::new(Registry::default()));
    /// ```
    pub fn new(connection: ConnectionOptions) -> Self {
        Self { connection, offers: Offers::default(), tracebacks: true, max_slots: MAX_SLOTS, threads: 1 }
    }

    /// The defaults, with one transport and `mem`.
    ///
    /// ```
    /// use rlay::{HostOptions, Mem};
    /// let options = HostOptions::over(Mem);
    /// ```
    pub fn over(transport: impl Transport + 'static) -> Self {
        Self::new(ConnectionOptions::new(Registry::default().with(transport)))
    }

    /// What agents may ask for. By default nothing. The poll form takes only attributes, for its environment is there
    /// already; in the async form it is [`Host::offering`](super::super::Host::offering).
    ///
    /// ```
    /// use rlay::Offers;
    ///
    /// let offers = Offers {
    ///     env_ids: vec!["arena".into(), "maze".into()],
    ///     kwargs: vec!["size".into()],
    ///     attributes: vec!["gravity".into()],
    /// };
    /// let options = rlay::host_options().offers(offers);
    /// ```
    pub fn offers(mut self, offers: Offers) -> Self {
        self.offers = offers;
        self
    }

    /// Whether the tracebacks of errors are sent to the agent. By default they are.
    pub fn tracebacks(mut self, are_sent: bool) -> Self {
        self.tracebacks = are_sent;
        self
    }

    /// Most environments that the agent of one session may ask for, as a vector environment does. By default 1024; 0
    /// counts as 1. The poll form has one environment whatever this says.
    ///
    /// ```
    /// // Each environment takes a gigabyte.
    /// let options = rlay::host_options().max_slots(4);
    /// ```
    pub fn max_slots(mut self, count: u32) -> Self {
        self.max_slots = count.max(1);
        self
    }

    /// Most threads that step the environments of one session, for the sessions of
    /// [`ServerBackend`](crate::ServerBackend) and [`ClientBackend`](crate::ClientBackend). By default 1, the thread of the
    /// session, which steps one environment after another; 0 counts as 1.
    ///
    /// With more, each thread makes, steps and closes some of the environments, which lie side by side: of 8 environments
    /// on 2 threads, one has slots 0 to 3. An environment never changes its thread. Each request is answered as soon as
    /// its own environments have answered, so that of an agent that asks for them apart a slow one delays only those on
    /// its thread; with as many threads as environments it delays none. The factory is called on these threads, for one
    /// environment after another, in the order of slots.
    ///
    /// Handing a step to other threads takes 50 to 70 µs. That pays where the environments of each
    /// thread compute for longer than that in a step, or wait for something; `docs/train-on-many.md` has numbers.
    ///
    /// ```
    /// // Simulators that compute for a millisecond, on a machine of 16 cores of which the agent has one.
    /// let options = rlay::host_options().threads(15);
    /// ```
    pub fn threads(mut self, count: u32) -> Self {
        self.threads = count.max(1);
        self
    }

    /// What these options say of connections, for the functions that serve agents and hosts alike.
    pub fn connection(&self) -> &ConnectionOptions {
        &self.connection
    }

    fn connection_mut(&mut self) -> &mut ConnectionOptions {
        &mut self.connection
    }
}
