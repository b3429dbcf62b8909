//! A listener: accepts connections, shakes hands, and admits dialers to new sessions or back to old ones.

pub(super) mod acceptor;
pub(super) mod admission;
pub(super) mod handshake;
pub(super) mod permits;
mod resumable_sessions;
