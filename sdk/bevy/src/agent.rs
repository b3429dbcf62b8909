//! The agent, as the game's schedules see it: asked at the start of each tick, answered at its end.

use std::{mem, sync::Mutex, time::Duration};

use bevy_app::AppExit;
use bevy_ecs::prelude::*;
use rlay::{EnvFailure, Error, ErrorKind, PolledVectorEnv, ResetResult, Space, Turn, Value};

use crate::components::{Action, Outcome, Render, Reset};

/// What the agent waits for in a slot.
#[derive(Clone, Copy)]
enum Owed {
    Nothing,
    Reset,
    Step,
}

/// The session with the agent.
#[derive(Resource)]
pub(crate) struct Agent<O, A>
where
    O: Space<Element: Clone + Send + Sync + 'static> + Send + Sync + 'static,
    A: Space<Element: Send + Sync + 'static> + Send + Sync + 'static,
{
    /// The mutex makes it `Sync`, as resources are; it is never locked.
    session: Mutex<PolledVectorEnv<O, A>>,
    action_space: A,
    /// By slot.
    entities: Vec<Entity>,
    owed: Vec<Owed>,
    /// How long a tick waits for a request.
    wait: Duration,
}

impl<O, A> Agent<O, A>
where
    O: Space<Element: Clone + Send + Sync + 'static> + Send + Sync + 'static,
    A: Space<Element: Send + Sync + 'static> + Send + Sync + 'static,
{
    pub(crate) fn new(session: PolledVectorEnv<O, A>, action_space: A, entities: Vec<Entity>, wait: Duration) -> Self {
        let owed = vec![Owed::Nothing; entities.len()];
        Self { session: Mutex::new(session), action_space, entities, owed, wait }
    }

    /// The system that makes events and components of what the agent wants.
    pub(crate) fn take(world: &mut World) {
        Self::exchange(world, Self::take_requests);
    }

    /// The system that answers.
    pub(crate) fn answer(world: &mut World) {
        Self::exchange(world, Self::send_outcomes);
    }

    fn exchange(world: &mut World, exchange: fn(&mut Self, &mut World) -> rlay::Result<()>) {
        if let Err(error) = world.resource_scope(|world, mut agent: Mut<Self>| exchange(&mut agent, world)) {
            exit(world, &error);
        }
    }

    fn take_requests(&mut self, world: &mut World) -> rlay::Result<()> {
        let Self { session, action_space, entities, owed, wait } = self;
        let session = session.get_mut().expect("it is never locked");
        let (mut wait, mut unasked) = (*wait, entities.len());
        while unasked > 0
            && let Some((slot, turn)) = session.turn(wait)?
        {
            wait = Duration::ZERO;
            let entity = entities[slot];
            match turn {
                Turn::Reset { seed, options } => {
                    outcome::<O>(world, entity)?.clear();
                    world.trigger(Reset { entity, seed, options });
                    (owed[slot], unasked) = (Owed::Reset, unasked - 1);
                }
                Turn::Step(action) if !action_space.contains(&action) => {
                    let text = format!("the action is not in {}", action_space.describe());
                    session.reply_error(slot, EnvFailure::new("ValueError", text))?;
                }
                Turn::Step(action) => {
                    outcome::<O>(world, entity)?.clear();
                    world.entity_mut(entity).insert(Action(action));
                    (owed[slot], unasked) = (Owed::Step, unasked - 1);
                }
                Turn::Render => {
                    let mode = session.render_mode().unwrap_or_default().to_owned();
                    let mut render = Render { entity, mode, frame: Value::None };
                    world.trigger_ref(&mut render);
                    session.reply_frame(slot, render.frame)?;
                }
                Turn::Attribute { name, .. } => {
                    let text = format!("a game in Bevy has no attribute {name:?}");
                    session.reply_error(slot, EnvFailure::new("AttributeError", text))?;
                }
                Turn::Close(_) => {
                    for (entity, owed) in entities.iter().zip(owed.iter_mut()) {
                        *owed = Owed::Nothing;
                        end_tick::<A>(world, *entity);
                    }
                    unasked = entities.len();
                }
            }
        }
        Ok(())
    }

    fn send_outcomes(&mut self, world: &mut World) -> rlay::Result<()> {
        let session = self.session.get_mut().expect("it is never locked");
        for (slot, (entity, owed)) in self.entities.iter().zip(&mut self.owed).enumerate() {
            match mem::replace(owed, Owed::Nothing) {
                Owed::Nothing => {}
                Owed::Reset => {
                    let outcome = outcome::<O>(world, *entity)?;
                    let (observation, info) = (outcome.observation.clone(), outcome.info.clone());
                    session.reply_reset(slot, &ResetResult { observation, info })?;
                }
                Owed::Step => {
                    let outcome = outcome::<O>(world, *entity)?;
                    session.reply(slot, &outcome)?;
                    end_tick::<A>(world, *entity);
                }
            }
        }
        Ok(())
    }
}

/// Ends the game: with an error, unless the agent that launched this program is done with it.
pub(crate) fn exit(world: &mut World, error: &Error) {
    if error.kind() == ErrorKind::Closed {
        tracing::info!("{error}");
        world.write_message(AppExit::Success);
    } else {
        tracing::error!("{error}");
        world.write_message(AppExit::error());
    }
}

fn outcome<O>(world: &mut World, entity: Entity) -> rlay::Result<Mut<'_, Outcome<O::Element>>>
where
    O: Space<Element: Send + Sync + 'static>,
{
    world.get_mut(entity).ok_or_else(|| {
        let text = "an entity with a Slot was despawned or has no Outcome of the observation space's element; \
                    keep it and its Outcome, and begin its next episode when Reset asks for that";
        Error::new(ErrorKind::Usage, text)
    })
}

fn end_tick<A>(world: &mut World, entity: Entity)
where
    A: Space<Element: Send + Sync + 'static>,
{
    if let Ok(mut entity) = world.get_entity_mut(entity) {
        entity.remove::<Action<A::Element>>();
    }
}
