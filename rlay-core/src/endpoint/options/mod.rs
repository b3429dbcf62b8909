//! Options: everything an endpoint can be told, told apart by what the endpoint is.

mod agent;
mod connection;
mod host;

pub use agent::{AgentOptions, Contract, OnLoss};
pub use connection::{ConnectionOptions, ListenerOptions};
pub use host::HostOptions;
