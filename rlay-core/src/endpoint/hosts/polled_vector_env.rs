//! PolledVectorEnv: many environments in one engine, whose own loop asks whether the agent wants something of them.

use std::{sync::Arc, time::Duration};

use super::{
    polled_env::{spec_of, typed},
    raw_poll::RawPoll,
    turn::Turn,
};
use crate::{
    endpoint::{accept::acceptor::Acceptor, options::HostOptions, wait::Wait},
    env::{Metadata, ResetResult, StepResult},
    error::{EnvFailure, Error, ErrorKind, Result},
    host::{Outcome, check_frame, write_info, write_observation},
    space::Space,
    value::{Map, Value},
    wire::Spec,
};

/// Many environments in one engine, such as the arenas of a game that simulates all of them in each tick: what a
/// [`PolledEnv`](crate::PolledEnv) is for one.
///
/// Turns and replies are about one environment, which has a *slot* from 0 to `num_envs - 1`. An agent mostly asks of all at
/// once: then one turn comes for each, without a pause, and the engine replies to them in any order, whenever it likes. The
/// answer goes out with the last reply. When an episode has ended, the agent asks for the next by a reset of that slot
/// alone; the engine does nothing for that.
///
/// ```no_run
/// use rlay::{Discrete, Map, Metadata, PolledVectorEnv, ResetResult, StepResult, Turn};
/// use std::time::Duration;
///
/// let (observation_space, action_space, metadata) = (Discrete::new(10), Discrete::new(2), Metadata::default());
/// let options = rlay::host_options();
/// let mut agent = PolledVectorEnv::new(observation_space, action_space, 16, &metadata, "mem://arenas", options)?;
/// let (mut arenas, mut actions) = ([0; 16], [None; 16]);
/// loop { // the engine's own loop
///     // Until all that the agent wants at present is known; a turn of no time never waits.
///     while actions.contains(&None) && let Some((slot, turn)) = agent.turn(Duration::ZERO)? {
///         match turn {
///             Turn::Reset { .. } => {
///                 arenas[slot] = 0;
///                 agent.reply_reset(slot, &ResetResult { observation: 0, info: Map::new() })?;
///             }
///             Turn::Step(action) => actions[slot] = Some(action),
///             Turn::Render => agent.reply_frame(slot, rlay::Value::None)?,
///             Turn::Attribute { .. } => unreachable!("this host lists none"),
///             Turn::Close(_) => actions = [None; 16], // nothing is to be answered any more
///         }
///     }
///     // One tick of all arenas.
///     for (slot, arena) in arenas.iter_mut().enumerate() {
///         let Some(action) = actions[slot].take() else { continue };
///         *arena += action;
///         let (reward, terminated) = (1.0, *arena == 9);
///         let result = StepResult { observation: *arena, reward, terminated, truncated: false, info: Map::new() };
///         agent.reply(slot, &result)?;
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), rlay::Error>(())
/// ```
#[derive(Debug)]
pub struct PolledVectorEnv<O: Space, A: Space> {
    raw: RawPoll,
    observation_space: O,
    action_space: A,
    outcome: Outcome,
}

impl<O: Space, A: Space> PolledVectorEnv<O, A> {
    /// Will dial `address` and offer so many environments with these spaces. A [`ServerVectorEnv`](crate::ServerVectorEnv)
    /// takes all of them.
    pub fn new(
        single_observation_space: O,
        single_action_space: A,
        num_envs: u32,
        metadata: &Metadata,
        address: &str,
        options: HostOptions,
    ) -> Result<Self> {
        let spec = spec(&single_observation_space, &single_action_space, num_envs, metadata)?;
        let raw = RawPoll::new(spec, address, options)?;
        Ok(Self::over(raw, single_observation_space, single_action_space))
    }

    /// Will take the agents that dial in, one after another: [`RawPoll::accepting`] with so many environments. A
    /// [`ClientVectorEnv`](crate::ClientVectorEnv) asks for all of them.
    ///
    /// ```
    /// use rlay::{Discrete, Mem, Metadata, PolledVectorEnv, endpoint::Acceptor};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let options = rlay::HostOptions::over(Mem);
    /// let acceptor = Arc::new(Acceptor::bind_host(&"mem://yard".parse()?, options.connection(), None)?);
    /// let (observation_space, action_space) = (Discrete::new(10), Discrete::new(2));
    /// let mut agent =
    ///     PolledVectorEnv::accepting(observation_space, action_space, 16, &Metadata::default(), acceptor, options)?;
    /// assert!(agent.turn(Duration::ZERO)?.is_none());
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn accepting(
        single_observation_space: O,
        single_action_space: A,
        num_envs: u32,
        metadata: &Metadata,
        acceptor: Arc<Acceptor>,
        options: HostOptions,
    ) -> Result<Self> {
        let spec = spec(&single_observation_space, &single_action_space, num_envs, metadata)?;
        let raw = RawPoll::accepting(spec, acceptor, options)?;
        Ok(Self::over(raw, single_observation_space, single_action_space))
    }

    fn over(raw: RawPoll, observation_space: O, action_space: A) -> Self {
        Self { raw, observation_space, action_space, outcome: Outcome::default() }
    }

    /// A slot and what the agent wants of it, waited for at most `timeout`; `None` if nothing yet, or no agent is there.
    /// Zero waits for nothing, as in [`PolledEnv::turn`](crate::PolledEnv::turn). An error of kind
    /// [`Usage`](ErrorKind::Usage) if every slot waits for a reply.
    ///
    /// [`Turn::Close`] is about all of them, and comes with slot 0: nothing is to be answered any more.
    pub fn turn(&mut self, timeout: Duration) -> Result<Option<(usize, Turn<A::Element>)>> {
        let actions = &self.action_space;
        self.raw.turn_as(&mut Wait::new(Some(timeout)), |slot, turn| Ok((slot as usize, typed(turn, actions)?)))
    }

    /// The mode that the agent wants frames in.
    pub fn render_mode(&self) -> Option<&str> {
        self.raw.render_mode()
    }

    /// Answers the reset of a slot.
    pub fn reply_reset(&mut self, slot: usize, result: &ResetResult<O::Element>) -> Result<()> {
        (self.outcome.reward, self.outcome.terminated, self.outcome.truncated) = (0.0, false, false);
        self.send(slot, &result.observation, &result.info)
    }

    /// Answers the step of a slot.
    pub fn reply(&mut self, slot: usize, result: &StepResult<O::Element>) -> Result<()> {
        self.outcome.reward = result.reward;
        (self.outcome.terminated, self.outcome.truncated) = (result.terminated, result.truncated);
        self.send(slot, &result.observation, &result.info)
    }

    /// Answers the render of a slot.
    pub fn reply_frame(&mut self, slot: usize, frame: Value) -> Result<()> {
        check_frame(&frame, self.raw.render_mode())?;
        self.raw.reply_frame(raw(slot), frame, &mut Wait::default())
    }

    /// Answers an attribute of a slot; see [`PolledEnv::reply_attribute`](crate::PolledEnv::reply_attribute).
    pub fn reply_attribute(&mut self, slot: usize, value: Option<Value>) -> Result<()> {
        self.raw.reply_attribute(raw(slot), value, &mut Wait::default())
    }

    /// Answers any request of a slot with the news that it failed. The agent learns of it, and of nothing else that it
    /// asked at once with that, when all of those slots are answered.
    pub fn reply_error(&mut self, slot: usize, failure: EnvFailure) -> Result<()> {
        self.raw.reply_error(raw(slot), failure, &mut Wait::default())
    }

    /// Ends the session; a later [`turn`](Self::turn) dials again.
    pub fn close(&mut self) {
        self.raw.close();
    }

    fn send(&mut self, slot: usize, observation: &O::Element, info: &Map) -> Result<()> {
        write_info(info, &mut self.outcome)?;
        write_observation(&self.observation_space, true, observation, &mut self.outcome)?;
        self.raw.reply(raw(slot), &mut self.outcome, &mut Wait::default())
    }
}

/// The description of an engine of so many environments.
fn spec(observation_space: &impl Space, action_space: &impl Space, num_envs: u32, metadata: &Metadata) -> Result<Spec> {
    if num_envs == 0 {
        return Err(Error::new(ErrorKind::Usage, "an engine of no environments; let num_envs be one or more"));
    }
    Ok(spec_of(observation_space, action_space, num_envs, metadata))
}

/// A slot that there cannot be stays one.
fn raw(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}
