//! What hosts environments: one session and its environment, the sessions of a backend, and the poll form.

pub(super) mod agent_search;
pub(super) mod backend;
pub(super) mod client_backend;
pub(super) mod host;
pub(super) mod host_core;
pub(super) mod host_loop;
pub(super) mod polled_env;
pub(super) mod polled_requests;
pub(super) mod polled_vector_env;
pub(super) mod raw_poll;
pub(super) mod running;
pub(super) mod server_backend;
pub(super) mod session_pool;
pub(super) mod session_report;
pub(super) mod turn;
