//! The core of RLay: everything but the sockets.
//!
//! Read it in this order: [`Space`] → [`Env`] → [`Policy`] → [`wire`] (messages as bytes) →
//! [`session`] (the conversation) → [`channel`] (how frames travel) → the endpoints
//! [`ClientEnv`], [`ServerEnv`], [`ServerBackend`], [`ClientBackend`].
//!
//! |  | dials | listens |
//! |---|---|---|
//! | **agent** holds | [`ClientEnv`] | [`ServerEnv`] |
//! | **env** is hosted by | [`ClientBackend`] | [`ServerBackend`] |

pub mod address;
mod bridge;
mod cancel_token;
pub mod channel;
mod dtype;
pub mod endpoint;
mod env;
mod error;
pub mod frame;
mod guard;
pub mod host;
mod host_threads;
pub mod host_vector;
mod host_work;
mod hosted_vector;
mod mem;
pub mod net;
mod offers;
mod policy;
pub mod printable;
mod registry;
mod repr;
mod rng;
pub mod session;
mod space;
mod stream;
mod token;
mod value;
mod vector_env;
mod wake_flag;
pub mod wire;

pub use address::Address;
pub use bridge::{open as open_bridged, timeout as timeout_error};
pub use cancel_token::CancelToken;
pub use channel::{
    BlockingChannel, BlockingListener, Channel, Incoming, Listener, Readiness, Transport, TransportOptions, Watch,
};
pub use dtype::{DType, Scalar};
pub use endpoint::{
    AgentOptions, ClientBackend, ClientEnv, ClientVectorEnv, ConnectionOptions, Contract, HostOptions, Late,
    ListenerOptions, OnLoss, PolicyServer, PolledEnv, PolledVectorEnv, RemoteEnv, RemoteVectorEnv, ServerBackend,
    ServerEnv, ServerVectorEnv, Turn, asynchronous,
};
pub use env::{Action, Env, Metadata, Observation, ResetResult, StepResult, render_modes};
pub use error::{EnvError, EnvFailure, Error, ErrorKind, Result};
pub use frame::{Frame, Pool};
pub use host::{HostEnv, Hosted, Outcome};
pub use host_threads::HostThreads;
pub use host_vector::{HostSlots, HostVectorEnv, HostedEnv, VectorOutcome};
pub use hosted_vector::HostedVector;
pub use mem::Mem;
pub use offers::Offers;
pub use policy::{Episode, Policy, rollout};
pub use registry::Registry;
pub use rng::Rng;
pub use space::{
    AnyBox, AnySpace, BatchSpace, Bound, BoxSpace, Dict, Discrete, Elements, FrameArray, GraphSpace, Members,
    MultiBinary, MultiDiscrete, OneOf, Sequence, Slabs, SlabsMut, Space, Text, difference, violation,
};
pub use stream::StreamChannel;
pub use token::{TOKEN_VARIABLE, Token};
pub use value::{Array, Graph, Map, Value};
pub use vector_env::{Actions, Observations, ResetRows, StepRows, VectorEnv, VectorInfos};
pub use wire::{AutoresetMode, Limits};
