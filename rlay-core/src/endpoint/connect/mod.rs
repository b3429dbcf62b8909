//! The connection of a session: how it is dialed, and how another one takes its place.

pub(super) mod connection;
pub(super) mod dial;
pub(super) mod reconnect_slot;
pub(super) mod reconnector;
pub(super) mod wake_group;
