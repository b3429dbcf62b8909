//! What the game and the plugin share: the components of an environment, and the events about it.

use std::ops::{Deref, DerefMut};

use bevy_ecs::prelude::*;
use rlay::{Map, StepResult, Value};

/// Makes an entity an environment. The numbers begin at 0, and each entity has another one; all are there after
/// `Startup`.
#[derive(Component, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// What the agent does in this tick, an element of the action space. Systems in `FixedUpdate` move the entities that
/// have one. The others wait for their agent, and are to stay as they are.
#[derive(Component, Debug)]
#[component(storage = "SparseSet")] // it comes and goes with each tick
pub struct Action<T: Send + Sync + 'static>(pub T);

/// What comes of a tick, for the agent: a [`StepResult`], whose fields the game's systems set in `FixedUpdate`.
///
/// Before each tick the reward is 0, the flags are false and the info is empty; the observation is the last one. After
/// a [`Reset`] the agent gets the observation and the info.
#[derive(Component, Debug)]
pub struct Outcome<T>(StepResult<T>);

impl<T> Outcome<T> {
    pub(crate) fn clear(&mut self) {
        (self.reward, self.terminated, self.truncated) = (0.0, false, false);
        self.info.0.clear();
    }
}

impl<T: Default> Default for Outcome<T> {
    fn default() -> Self {
        Self(StepResult {
            observation: T::default(),
            reward: 0.0,
            terminated: false,
            truncated: false,
            info: Map::new(),
        })
    }
}

impl<T> Deref for Outcome<T> {
    type Target = StepResult<T>;

    fn deref(&self) -> &StepResult<T> {
        &self.0
    }
}

impl<T> DerefMut for Outcome<T> {
    fn deref_mut(&mut self) -> &mut StepResult<T> {
        &mut self.0
    }
}

/// Begin an episode in this entity; Gymnasium's `reset`. An observer does so before the next `FixedUpdate`.
#[derive(EntityEvent, Debug)]
pub struct Reset {
    /// The environment.
    pub entity: Entity,
    /// Equal seeds are to begin equal episodes. Without one the generator goes on.
    pub seed: Option<u64>,
    /// Gymnasium's options; mostly [`Value::None`].
    pub options: Value,
}

/// Draw this entity; Gymnasium's `render`. Only modes come that the metadata list.
#[derive(EntityEvent, Debug)]
pub struct Render {
    /// The environment.
    pub entity: Entity,
    /// Such as `"ansi"`.
    pub mode: String,
    /// Where an observer puts the frame.
    pub frame: Value,
}
