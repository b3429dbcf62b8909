//! What the agent wants of an engine that polls: with plain Rust types, and below them.

use crate::{
    session::received::Received,
    value::Value,
    wire::{Access, Attribute, Make, Seed},
};

/// What the agent wants of the engine; see [`PolledEnv`](crate::endpoint::PolledEnv).
#[derive(Debug, PartialEq)]
pub enum Turn<A> {
    /// Start an episode, then reply with its first observation.
    Reset {
        /// Gymnasium's seed.
        seed: Option<u64>,
        /// Gymnasium's options.
        options: Value,
    },
    /// Take this action, then reply with what came of it.
    Step(A),
    /// Draw a frame, then reply with it.
    Render,
    /// Get, set or call an attribute, then reply with its value. Only those come that
    /// [`Offers::attributes`](crate::Offers::attributes) lists.
    Attribute {
        /// The name.
        name: String,
        /// What to do with it.
        access: Access,
    },
    /// The agent is gone; the next turn belongs to another.
    Close(String),
}

/// The same below typed spaces: bytes in, bytes out. Language bindings build on it.
#[derive(Debug)]
pub enum RawTurn {
    /// Make an environment, then reply with its description or with why there is none. Only a session that was told to
    /// [ask](crate::endpoint::RawPoll::asking_make) has this turn. It says slot 0, and no slot is asked for anything else before the reply.
    Make(Make),
    /// Start an episode.
    Reset {
        /// Gymnasium's seed.
        seed: Option<Seed>,
        /// Gymnasium's options.
        options: Value,
    },
    /// Take this action.
    Step(Received),
    /// Draw a frame.
    Render,
    /// Get, set or call an attribute.
    Attribute(Attribute),
    /// The agent is gone.
    Close(String),
}
