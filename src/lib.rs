//! RLay lets any program be a [Gymnasium](https://gymnasium.farama.org) environment, and any program train on it.
//!
//! An environment in Rust, hosted for agents in other processes and languages:
//!
//! ```
//! use rlay::{Discrete, Env, EnvError, Map, ResetResult, StepResult, Value};
//!
//! struct Coin { side: i64, sides: Discrete }
//!
//! impl Env for Coin {
//!     type ObservationSpace = Discrete;
//!     type ActionSpace = Discrete;
//!     fn observation_space(&self) -> &Discrete { &self.sides }
//!     fn action_space(&self) -> &Discrete { &self.sides }
//!     fn reset(&mut self, seed: Option<u64>, _options: &Value) -> Result<ResetResult<i64>, EnvError> {
//!         self.side = seed.map_or(self.side, |seed| (seed % 2) as i64);
//!         Ok(ResetResult { observation: self.side, info: Map::new() })
//!     }
//!     fn step(&mut self, guess: i64) -> Result<StepResult<i64>, EnvError> {
//!         let reward = f64::from(guess == self.side);
//!         Ok(StepResult { observation: self.side, reward, terminated: true, truncated: false, info: Map::new() })
//!     }
//! }
//!
//! # #[cfg(feature = "tcp")] {
//! let coin = |_: &_| Ok(Coin { side: 0, sides: Discrete::new(2) });
//! let backend = rlay::ServerBackend::bind(coin, "tcp://127.0.0.1:0", rlay::host_options())?;
//! backend.start()?;
//!
//! // An agent in Rust; it may as well be another program. In Python it is rlay.ClientEnv(address).
//! let env = rlay::ClientEnv::connect(&backend.address().to_string(), rlay::agent_options())?;
//! let mut env = env.typed::<Discrete, Discrete>()?;
//! let side = env.reset(Some(7), &Value::None)?.observation;
//! assert_eq!(env.step(side)?.reward, 1.0);
//! # env.close()?;
//! # backend.close();
//! # }
//! # Ok::<(), EnvError>(())
//! ```
//!
//! Which side dials and which listens is a free choice:
//!
//! |  | dials | listens |
//! |---|---|---|
//! | **agent** holds | [`ClientEnv`] | [`ServerEnv`] |
//! | **env** is hosted by | [`ClientBackend`] | [`ServerBackend`] |
//!
//! Many environments that step at once are a [`ClientVectorEnv`] or [`ServerVectorEnv`], and one simulator of many a
//! [`VectorEnv`]. An engine that must not give up its own loop uses [`PolledEnv`] or [`PolledVectorEnv`], code inside
//! tokio [`asynchronous`], and a policy that waits for environments [`PolicyServer`].
//!
//! # Features
//!
//! Each enables the addresses of a transport; the scheme of an address then selects it.
//!
//! - `tcp` (default): `tcp://host:port` and `unix:///path`.
//! - `tls`: `tls://host:port?pin=sha256:…`, encrypted.
//! - `zmq`: `zmq://host:port` and `zmq+ipc:///path`, by the `zeromq` crate.
//! - `quic`: `quic://host:port?pin=sha256:…`, encrypted.
//! - `shm`: `shm://name`, two processes on one Linux host.
//! - `ws`: `ws://host:port` and `wss://host:port?pin=sha256:…`, WebSocket, as pages in browsers dial it.
//!
//! `mem://name`, for two threads of one program, is always there.

#[doc(inline)]
pub use rlay_core::*;
#[cfg(feature = "quic")]
pub use rlay_quic::Quic;
#[cfg(feature = "shm")]
pub use rlay_shm::Shm;
#[cfg(feature = "tcp")]
pub use rlay_tcp::Tcp;
#[cfg(feature = "ws")]
pub use rlay_ws::Ws;
#[cfg(feature = "zmq")]
pub use rlay_zmq::Zmq;

/// The default options of an endpoint that holds a remote environment, with every transport that this crate was built
/// with.
///
/// ```
/// use std::time::Duration;
///
/// let patient = rlay::agent_options().connect_timeout(Duration::from_secs(60));
/// ```
pub fn agent_options() -> AgentOptions {
    AgentOptions::new(connection_options())
}

/// The default options of an endpoint that hosts an environment, with every transport that this crate was built with.
///
/// ```
/// // A game that is played by one agent at a time.
/// let options = rlay::host_options().max_sessions(1);
/// ```
pub fn host_options() -> HostOptions {
    HostOptions::new(connection_options())
}

/// The options that [`agent_options`] and [`host_options`] begin with: the default options of connections, with every
/// transport that this crate was built with.
///
/// ```
/// # #[cfg(feature = "tcp")]
/// assert!(rlay::connection_options().registry().find(&"tcp://127.0.0.1:5005".parse()?).is_ok());
/// # Ok::<(), rlay::Error>(())
/// ```
pub fn connection_options() -> ConnectionOptions {
    let registry = Registry::default();
    #[cfg(feature = "tcp")]
    let registry = registry.with(Tcp);
    #[cfg(feature = "zmq")]
    let registry = registry.with(Zmq);
    #[cfg(feature = "quic")]
    let registry = registry.with(Quic);
    #[cfg(feature = "shm")]
    let registry = registry.with(Shm);
    #[cfg(feature = "ws")]
    let registry = registry.with(Ws);
    ConnectionOptions::new(registry)
}

/// The code of docs/custom-transport.md compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../docs/custom-transport.md")]
mod custom_transport {}

/// The agent of docs/train-on-many.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/train-on-many.md")]
mod train_on_many {}

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
