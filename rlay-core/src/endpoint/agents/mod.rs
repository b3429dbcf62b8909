//! What an agent holds: an environment at the other end of a connection, and where another one comes from.

pub(super) mod agent;
pub(super) mod closing;
pub(super) mod contract;
pub(super) mod lane;
pub(super) mod policy_server;
pub(super) mod raw_env;
pub(super) mod raw_vector_env;
pub(super) mod remote_env;
pub(super) mod remote_vector_env;
pub(super) mod replaceable;
pub(super) mod source;
pub(super) mod take;
pub(super) mod vector_actions;
pub(super) mod vector_results;
