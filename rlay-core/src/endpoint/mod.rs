//! The four endpoints, the poll form, the policy server and the async form, on top of sessions and channels.

mod acceptor;
mod agent;
mod client_backend;
mod connection;
mod contract;
mod dial;
mod history;
mod host_loop;
mod journal;
mod keeper;
#[cfg(unix)]
mod launch;
mod options;
mod policy_server;
mod polled;
#[cfg(unix)]
mod program;
mod reception;
mod remote_env;
mod running;
mod seat;
mod server_backend;
mod source;
mod visit;
mod wait;

pub mod drive;

pub use acceptor::Acceptor;
pub use agent::{Agent, Answer, Received};
pub use client_backend::ClientBackend;
pub use connection::Connection;
pub use dial::dial;
pub use history::History;
pub use host_loop::{Factory, Host, Turn as HostTurn, serve};
#[cfg(unix)]
pub use launch::{command, launch};
pub use options::{Contract, OnLoss, Options};
pub use policy_server::PolicyServer;
pub use polled::{PolledEnv, RawPoll, RawTurn, Turn};
#[cfg(unix)]
pub use program::ADDRESS_VARIABLE;
pub use remote_env::{ClientEnv, Late, RemoteEnv, ServerEnv};
pub use server_backend::ServerBackend;
pub use wait::{Notice, Wait};
