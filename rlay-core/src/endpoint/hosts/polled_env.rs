//! An environment that is an engine, whose own loop must never block: the poll form of ClientBackend.

use std::{sync::Arc, time::Duration};

use super::{
    raw_poll::RawPoll,
    turn::{RawTurn, Turn},
};
use crate::{
    endpoint::{accept::acceptor::Acceptor, options::HostOptions, wait::Wait},
    env::{Metadata, ResetResult, StepResult},
    error::{EnvFailure, Error, ErrorKind, Result},
    host::{Outcome, check_frame, of_action, small_seed, write_info, write_observation},
    space::Space,
    value::{Map, Value},
    wire::{AutoresetMode, Spec},
};

/// An environment that is an engine: its own loop asks, every frame, whether the agent wants something.
///
/// ```no_run
/// use rlay::{Discrete, Map, Metadata, PolledEnv, StepResult, ResetResult, Turn};
/// use std::time::Duration;
///
/// let (observation_space, action_space, metadata) = (Discrete::new(10), Discrete::new(2), Metadata::default());
/// let options = rlay::host_options();
/// let mut agent = PolledEnv::new(observation_space, action_space, &metadata, "mem://arena", options)?;
/// let mut world = 0;
/// loop { // the engine's own loop
///     match agent.turn(Duration::ZERO)? {
///         None => {} // draw, play sound, wait for the next frame
///         Some(Turn::Reset { .. }) => {
///             world = 0;
///             agent.reply_reset(&ResetResult { observation: world, info: Map::new() })?;
///         }
///         Some(Turn::Step(action)) => {
///             world += action;
///             agent.reply(&StepResult {
///                 observation: world, reward: 1.0, terminated: world == 9, truncated: false, info: Map::new(),
///             })?;
///         }
///         Some(Turn::Render) => agent.reply_frame(rlay::Value::None)?,
///         Some(Turn::Attribute { .. }) => {} // none is offered
///         Some(Turn::Close(_)) => break,
///     }
/// }
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug)]
pub struct PolledEnv<O: Space, A: Space> {
    raw: RawPoll,
    observation_space: O,
    action_space: A,
    outcome: Outcome,
}

impl<O: Space, A: Space> PolledEnv<O, A> {
    /// Will dial `address` and offer an environment with these spaces.
    pub fn new(
        observation_space: O,
        action_space: A,
        metadata: &Metadata,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        let raw = RawPoll::new(spec_of(&observation_space, &action_space, 1, metadata), address, options)?;
        Ok(Self::over(raw, observation_space, action_space))
    }

    /// Will take the agents that dial in, one after another: [`RawPoll::accepting`] with these spaces.
    pub fn accepting(
        observation_space: O,
        action_space: A,
        metadata: &Metadata,
        acceptor: Arc<Acceptor>,
        options: HostOptions,
    ) -> Result<Self> {
        let raw = RawPoll::accepting(spec_of(&observation_space, &action_space, 1, metadata), acceptor, options)?;
        Ok(Self::over(raw, observation_space, action_space))
    }

    fn over(raw: RawPoll, observation_space: O, action_space: A) -> Self {
        Self { raw, observation_space, action_space, outcome: Outcome::default() }
    }

    /// What the agent wants, waited for at most `timeout`; `None` if nothing yet, or no agent is there. Zero waits for
    /// nothing; only an answer whose connection was lost is sent again first, which takes as long as the network does.
    /// An error of kind [`Closed`](ErrorKind::Closed) after [`Turn::Close`] says that the agent which launched this
    /// program wants no other environment.
    pub fn turn(&mut self, timeout: Duration) -> Result<Option<Turn<A::Element>>> {
        let actions = &self.action_space;
        self.raw.turn_as(&mut Wait::new(Some(timeout)), |_, turn| typed(turn, actions))
    }

    /// The mode that the agent wants frames in.
    pub fn render_mode(&self) -> Option<&str> {
        self.raw.render_mode()
    }

    /// Answers a reset.
    pub fn reply_reset(&mut self, result: &ResetResult<O::Element>) -> Result<()> {
        (self.outcome.reward, self.outcome.terminated, self.outcome.truncated) = (0.0, false, false);
        self.send(&result.observation, &result.info)
    }

    /// Answers a step.
    pub fn reply(&mut self, result: &StepResult<O::Element>) -> Result<()> {
        self.outcome.reward = result.reward;
        (self.outcome.terminated, self.outcome.truncated) = (result.terminated, result.truncated);
        self.send(&result.observation, &result.info)
    }

    /// Answers a render.
    pub fn reply_frame(&mut self, frame: Value) -> Result<()> {
        check_frame(&frame, self.raw.render_mode())?;
        self.raw.reply_frame(0, frame, &mut Wait::default())
    }

    /// Answers an attribute: with its value, or what came of the call. `None` in answer to a get says that it is a
    /// function.
    pub fn reply_attribute(&mut self, value: Option<Value>) -> Result<()> {
        self.raw.reply_attribute(0, value, &mut Wait::default())
    }

    /// Answers any request with the news that it failed.
    pub fn reply_error(&mut self, failure: EnvFailure) -> Result<()> {
        self.raw.reply_error(0, failure, &mut Wait::default())
    }

    /// Ends the session; a later [`turn`](Self::turn) dials again.
    pub fn close(&mut self) {
        self.raw.close();
    }

    fn send(&mut self, observation: &O::Element, info: &Map) -> Result<()> {
        write_info(info, &mut self.outcome)?;
        write_observation(&self.observation_space, true, observation, &mut self.outcome)?;
        self.raw.reply(0, &mut self.outcome, &mut Wait::default())
    }
}

/// The description of an engine with these spaces in each of its slots.
pub(super) fn spec_of(
    observation_space: &impl Space,
    action_space: &impl Space,
    slots: u32,
    metadata: &Metadata,
) -> Spec {
    Spec {
        env_id: String::new(),
        observation_space: observation_space.describe(),
        action_space: action_space.describe(),
        slots,
        autoreset_mode: AutoresetMode::Disabled,
        render_mode: None,
        metadata: metadata.to_value(),
        details: metadata.details(),
        attributes: Vec::new(),
    }
}

/// A turn with plain Rust types.
pub(super) fn typed<A: Space>(turn: RawTurn, actions: &A) -> Result<Turn<A::Element>> {
    Ok(match turn {
        RawTurn::Make(_) => return Err(Error::new(ErrorKind::Usage, "this engine makes no environments")),
        RawTurn::Reset { seed, options } => Turn::Reset { seed: seed.as_ref().map(small_seed).transpose()?, options },
        RawTurn::Step(action) => Turn::Step(action.element(actions).map_err(of_action)?),
        RawTurn::Render => Turn::Render,
        RawTurn::Attribute(attribute) => Turn::Attribute { name: attribute.name, access: attribute.access },
        RawTurn::Close(reason) => Turn::Close(reason),
    })
}
