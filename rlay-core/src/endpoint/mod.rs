//! The four endpoints, the poll form, the policy server and the async form, on top of sessions and channels.

mod accept;
mod agent;
mod backend;
mod client_backend;
mod closing;
#[cfg(unix)]
mod command;
mod connect;
mod contract;
mod history;
mod host_core;
mod host_loop;
#[cfg(unix)]
mod launch;
mod launched;
mod options;
#[cfg(unix)]
mod output;
mod policy_server;
mod polled;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod program;
mod raw_env;
mod remote_env;
mod running;
mod server_backend;
mod session_pool;
#[cfg(unix)]
mod siblings;
mod source;
mod take;
mod visit;
mod wait;

pub mod asynchronous;

pub use crate::session::received::Received;
pub use accept::acceptor::Acceptor;
pub use agent::{Agent, Answer};
pub use client_backend::ClientBackend;
pub use closing::close_all;
#[cfg(unix)]
pub use command::command;
pub use connect::{
    connection::Connection,
    dial::{dial, dial_next},
};
pub use history::History;
pub use host_loop::{Factory, Host, Turn as HostTurn, serve};
#[cfg(unix)]
use launch::launch;
pub use launched::ADDRESS_VARIABLE;
pub use options::{AgentOptions, ConnectionOptions, Contract, HostOptions, ListenerOptions, OnLoss};
pub use policy_server::PolicyServer;
pub use polled::{PolledEnv, RawPoll, RawTurn, Turn};
pub use raw_env::{RawEnv, Search};
pub use remote_env::{ClientEnv, Late, RemoteEnv, ServerEnv};
pub use server_backend::ServerBackend;
pub use session_pool::{HostedSession, SessionPool};
#[cfg(unix)]
pub use siblings::await_programs;
pub use wait::{Notice, Wait};
