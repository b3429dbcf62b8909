//! The plugin: what is hosted, where, and in which schedules.

use std::{sync::Arc, time::Duration};

use bevy_app::{App, FixedFirst, FixedLast, Plugin, PostStartup};
use bevy_ecs::prelude::*;
use bevy_time::TimeUpdateStrategy;
use rlay::{Error, ErrorKind, HostOptions, Metadata, PolledVectorEnv, Space, endpoint::Acceptor};

use crate::{
    agent::{Agent, exit},
    components::Slot,
};

/// How long a headless game waits for a request before it looks whether it is to end.
const HEADLESS_WAIT: Duration = Duration::from_millis(100);

/// Hosts the entities that have a [`Slot`] as environments, all of them in one session with an agent.
///
/// Each run of Bevy's `FixedMain` schedule is a step. In `FixedFirst` the plugin takes what the agent wants, an
/// [`Action`](crate::Action) or a [`Reset`](crate::Reset); in `FixedUpdate` the game's own systems move and write the
/// [`Outcome`](crate::Outcome)s; in `FixedLast` the plugin sends these. It never blocks a frame, except in a
/// [`headless`](Self::headless) game.
#[derive(Clone)]
pub struct RlayPlugin<O, A> {
    side: Side,
    address: String,
    observation_space: O,
    action_space: A,
    metadata: Metadata,
    options: HostOptions,
    is_headless: bool,
}

#[derive(Clone, Copy)]
enum Side {
    Listener,
    Dialer,
}

impl<O, A> RlayPlugin<O, A> {
    /// Agents dial this address, one after another. The log says `listening at` and the port that it has.
    pub fn listen(address: impl Into<String>, observation_space: O, action_space: A) -> Self {
        Self::new(Side::Listener, address.into(), observation_space, action_space)
    }

    /// Dials the agent that listens there, and again when that has left.
    pub fn dial(address: impl Into<String>, observation_space: O, action_space: A) -> Self {
        Self::new(Side::Dialer, address.into(), observation_space, action_space)
    }

    fn new(side: Side, address: String, observation_space: O, action_space: A) -> Self {
        let (metadata, options) = (Metadata::default(), rlay::host_options());
        Self { side, address, observation_space, action_space, metadata, options, is_headless: false }
    }

    /// Gymnasium's metadata of each environment.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Tokens, limits and timeouts; by default [`rlay::host_options`], whose token is that of `RLAY_TOKEN`.
    #[must_use]
    pub fn options(mut self, options: HostOptions) -> Self {
        self.options = options;
        self
    }

    /// As fast as the agent: each update of the app is one tick, whatever a clock says, and waits for a request. It
    /// wants a runner without pauses, such as `ScheduleRunnerPlugin::default()`.
    #[must_use]
    pub fn headless(mut self) -> Self {
        self.is_headless = true;
        self
    }
}

impl<O, A> Plugin for RlayPlugin<O, A>
where
    O: Space<Element: Clone + Send + Sync + 'static> + Clone + Send + Sync + 'static,
    A: Space<Element: Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    fn build(&self, app: &mut App) {
        if self.is_headless {
            app.insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
        }
        let plugin = self.clone();
        app.add_systems(PostStartup, move |world: &mut World| match plugin.open(world) {
            Ok(agent) => world.insert_resource(agent),
            Err(error) => exit(world, &error),
        });
        let is_open = resource_exists::<Agent<O, A>>;
        app.add_systems(FixedFirst, Agent::<O, A>::take.run_if(is_open));
        app.add_systems(FixedLast, Agent::<O, A>::answer.run_if(is_open));
    }
}

impl<O, A> RlayPlugin<O, A>
where
    O: Space<Element: Clone + Send + Sync + 'static> + Clone + Send + Sync + 'static,
    A: Space<Element: Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    fn open(&self, world: &mut World) -> rlay::Result<Agent<O, A>> {
        let entities = entities(world)?;
        let (observations, actions) = (self.observation_space.clone(), self.action_space.clone());
        let (num_envs, options) = (u32::try_from(entities.len()).unwrap_or(u32::MAX), self.options.clone());
        let session = match self.side {
            Side::Listener => {
                let acceptor = Acceptor::bind_host(&self.address.parse()?, options.connection(), None)?;
                tracing::info!("listening at {}", acceptor.address());
                let acceptor = Arc::new(acceptor);
                PolledVectorEnv::accepting(observations, actions, num_envs, &self.metadata, acceptor, options)?
            }
            Side::Dialer => {
                PolledVectorEnv::new(observations, actions, num_envs, &self.metadata, &self.address, options)?
            }
        };
        let wait = if self.is_headless { HEADLESS_WAIT } else { Duration::ZERO };
        Ok(Agent::new(session, self.action_space.clone(), entities, wait))
    }
}

/// The entities that are environments, by slot.
fn entities(world: &mut World) -> rlay::Result<Vec<Entity>> {
    let mut slots: Vec<(Slot, Entity)> = world.query::<(&Slot, Entity)>().iter(world).map(|(s, e)| (*s, e)).collect();
    slots.sort();
    let numbers: Vec<usize> = slots.iter().map(|(slot, _)| slot.0).collect();
    if numbers.is_empty() || !numbers.iter().copied().eq(0..numbers.len()) {
        let text = format!("the slots are {numbers:?}; spawn entities with Slot(0), Slot(1) and so on in Startup");
        return Err(Error::new(ErrorKind::Usage, text));
    }
    Ok(slots.into_iter().map(|(_, entity)| entity).collect())
}
