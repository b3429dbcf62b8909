//! The four endpoints, the poll form, the policy server and the async form, on top of sessions and channels.

mod accept;
mod agents;
mod connect;
mod history;
mod hosts;
mod options;
mod programs;
mod wait;

pub mod asynchronous;

pub use crate::session::{
    observations::{Element, LastRow, VectorObservations},
    received::Received,
};
pub use crate::space::{SlabSizes, Stack};
pub use accept::acceptor::Acceptor;
pub use agents::agent::{Agent, Answer};
pub use agents::closing::close_all;
pub use agents::policy_server::PolicyServer;
pub use agents::raw_env::RawEnv;
pub use agents::raw_vector_env::RawVectorEnv;
pub use agents::remote_env::{ClientEnv, Late, RemoteEnv, ServerEnv};
pub use agents::remote_vector_env::{ClientVectorEnv, RemoteVectorEnv, ServerVectorEnv};
pub use agents::replaceable::Search;
pub use agents::vector_results::VectorResults;
pub use connect::{
    connection::Connection,
    dial::{dial, dial_next},
};
pub use history::History;
pub use hosts::client_backend::ClientBackend;
pub use hosts::polled_env::PolledEnv;
pub use hosts::polled_vector_env::PolledVectorEnv;
pub use hosts::raw_poll::RawPoll;
pub use hosts::server_backend::ServerBackend;
pub use hosts::session_pool::{HostedSession, SessionPool};
pub use hosts::turn::{RawTurn, Turn};
pub use hosts::{
    host::{Factory, Host, Turn as HostTurn},
    host_loop::serve,
};
pub use options::{AgentOptions, ConnectionOptions, Contract, HostOptions, ListenerOptions, OnLoss};
#[cfg(unix)]
pub use programs::await_programs::await_programs;
#[cfg(unix)]
pub use programs::command::command;
pub use programs::launched::ADDRESS_VARIABLE;
pub use wait::{Notice, Wait};
