//! The conversation as state machines that see no socket, clock, thread or runtime.
//!
//! There is one conversation with two roles, and it does not matter which side dialed. [`AgentSession`] asks,
//! [`EnvSession`] answers. Both turn the same way: *commands* (`make`, `reset`, `step`, … and the
//! replies) write one frame into a buffer for the caller to send; *inputs* (`handle`) take one
//! received frame and say what happened. A protocol violation is an `Err` from `handle`; the session
//! is then over for good and says so again on every later call.
//!
//! ```
//! use rlay::session::{AgentEvent, AgentSession, EnvEvent, EnvSession};
//! use rlay::{Discrete, Map, Space, wire::{AutoresetMode, Limits, Make, Spec}};
//!
//! let (mut agent, mut env) = (AgentSession::new(), EnvSession::new());
//! let (limits, mut frame) = (Limits::default(), Vec::new());
//!
//! agent.make(&Make::default(), &mut frame)?;
//! let EnvEvent::Make { .. } = env.handle(&frame, &limits)? else { panic!() };
//! let space = Discrete::new(2).describe();
//! let spec = Spec {
//!     env_id: String::new(), observation_space: space.clone(), action_space: space, slots: 1,
//!     autoreset_mode: AutoresetMode::Disabled, render_mode: None, metadata: Map::new().into(),
//!     details: Map::new().into(), attributes: vec![],
//! };
//! env.spec(&spec, &mut frame)?;
//! assert!(matches!(agent.handle(&frame, &limits)?, AgentEvent::Spec(_)));
//! # Ok::<(), rlay::Error>(())
//! ```

mod agent;
pub(crate) mod agent_core;
mod env;
mod handshake;
#[cfg(test)]
mod model;
mod mutant;
mod numbering;
pub(crate) mod observations;
pub(crate) mod received;
pub(crate) mod recovery;
pub(crate) mod redial;
pub(crate) mod retransmit;
pub(crate) mod takeover;

pub use agent::{AgentEvent, AgentSession, Call};
pub use env::{EnvEvent, EnvSession};
pub(crate) use handshake::agree;
pub use handshake::{ClientHandshake, Grant, Local, ServerHandshake, reject};
