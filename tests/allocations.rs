//! A step allocates nothing once everything is warm, neither at the agent nor at the host.

use std::{thread, time::Duration};

use rlay::{
    Action, Actions, AutoresetMode, BoxSpace, ClientEnv, ClientVectorEnv, Discrete, Env, EnvError, FrameArray, Map,
    Metadata, Observation, PolledVectorEnv, ResetResult, ResetRows, ServerBackend, ServerVectorEnv, Space, StepResult,
    StepRows, Turn, Value, VectorEnv,
    endpoint::{RawVectorEnv, Wait},
    wire::{Make, Seed},
};
use rlay_testkit::{
    ImageEnv,
    allocations::{self, CountingAllocator, count_here, count_others},
};

#[path = "../examples/cartpole/mod.rs"]
#[allow(dead_code)]
mod cartpole;
#[path = "../examples/cartpoles/mod.rs"]
mod cartpoles;

use cartpole::CartPole;
use cartpoles::CartPoles;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const WARM: u64 = 500;
const STEPS: u64 = 5_000;

/// Steps of many environments.
const MANY: u64 = 1_000;
const SLOTS: u32 = 64;

/// An environment that has its thread, which is the session's, counted from step [`WARM`] on, for so many steps.
struct Watched<E> {
    env: E,
    steps: u64,
    counted: u64,
}

impl<E> Watched<E> {
    fn new(env: E, counted: u64) -> Self {
        Self { env, steps: 0, counted }
    }

    /// One more call: of many environments some are reset while the others take a step.
    fn count(&mut self) {
        self.steps += 1;
        count_here((WARM..WARM + self.counted).contains(&self.steps));
    }
}

impl<E: Env> Env for Watched<E> {
    type ObservationSpace = E::ObservationSpace;
    type ActionSpace = E::ActionSpace;

    fn observation_space(&self) -> &E::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &E::ActionSpace {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Observation<E>>, EnvError> {
        self.count();
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: Action<E>) -> Result<StepResult<Observation<E>>, EnvError> {
        self.count();
        self.env.step(action)
    }
}

impl VectorEnv for Watched<CartPoles> {
    type ObservationSpace = BoxSpace<f32, [f32; 4]>;
    type ActionSpace = Discrete;

    fn num_envs(&self) -> usize {
        self.env.num_envs()
    }

    fn single_observation_space(&self) -> &Self::ObservationSpace {
        self.env.single_observation_space()
    }

    fn single_action_space(&self) -> &Discrete {
        self.env.single_action_space()
    }

    fn reset(
        &mut self,
        slots: &[(usize, Option<u64>)],
        options: &Value,
        rows: &mut ResetRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError> {
        self.env.reset(slots, options, rows)
    }

    fn step(
        &mut self,
        slots: &[usize],
        actions: Actions<'_, Self>,
        rows: &mut StepRows<'_, Self::ObservationSpace>,
    ) -> Result<(), EnvError> {
        self.count();
        self.env.step(slots, actions, rows)
    }
}

/// Steps as many environments as that of `backend`, whose episodes end every so often.
fn play_many(backend: &ServerBackend) -> Result<(), EnvError> {
    backend.start()?;
    let address = backend.address().to_string();
    let envs = ClientVectorEnv::connect(&address, rlay::agent_options().num_envs(SLOTS))?;
    let mut envs = envs.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
    envs.reset(Some(7), &Value::None)?;
    let (mut actions, mut ends) = ([0; SLOTS as usize], 0);
    for step in 1..=WARM + MANY {
        count_here(step > WARM);
        let (poles, _) = envs.observation_batch()?.as_chunks::<4>();
        for (action, pole) in actions.iter_mut().zip(poles) {
            *action = i64::from(pole[2] > 0.0);
        }
        let results = envs.step(&actions)?;
        ends += results.terminations.iter().filter(|ended| **ended).count();
    }
    count_here(false);
    assert_eq!(allocations::number(), 0, "in {MANY} steps of {SLOTS} over {address}");
    assert!(ends > 1000, "{ends}");
    envs.close()?;
    backend.close();
    Ok(())
}

/// An engine of many environments that replies to so many steps of each, each tick in all of them.
fn poll(mut agent: PolledVectorEnv<Discrete, Discrete>, steps: u64) -> rlay::Result<()> {
    let mut actions = [None; SLOTS as usize];
    let mut step = 0;
    while step < steps {
        match agent.turn(Duration::MAX)? {
            Some((slot, Turn::Reset { .. })) => {
                agent.reply_reset(slot, &ResetResult { observation: 0, info: Map::new() })?;
            }
            Some((slot, Turn::Step(action))) => actions[slot] = Some(action),
            other => panic!("the agent asks for steps alone, and not for {other:?}"),
        }
        if actions.iter().all(Option::is_some) {
            step += 1;
            count_here((WARM..steps - 1).contains(&step));
            for (slot, action) in actions.iter_mut().enumerate() {
                let (observation, info) = (action.take().unwrap_or_default(), Map::new());
                let result = StepResult { observation, reward: 1.0, terminated: false, truncated: false, info };
                agent.reply(slot, &result)?;
            }
        }
    }
    count_here(false);
    Ok(())
}

/// Steps the environments of an engine.
fn play_engine(address: &str) -> Result<(), EnvError> {
    let options = rlay::agent_options().num_envs(SLOTS).autoreset_mode(AutoresetMode::Disabled);
    let server = ServerVectorEnv::bind(address, options)?;
    let (space, at) = (Discrete::new(2), server.address().to_string());
    let agent = PolledVectorEnv::new(space.clone(), space, SLOTS, &Metadata::default(), &at, rlay::host_options())?;
    let engine = thread::spawn(move || poll(agent, WARM + MANY));
    let mut envs = server.accept()?.typed::<Discrete, Discrete>()?;
    envs.reset(None, &Value::None)?;
    let mut actions = [0; SLOTS as usize];
    for step in 1..=WARM + MANY {
        count_here((WARM..WARM + MANY).contains(&step));
        actions.copy_from_slice(envs.observation_batch()?);
        actions.rotate_left(1);
        envs.step(&actions)?;
    }
    count_here(false);
    engine.join().expect("it does not panic")?;
    assert_eq!(allocations::number(), 0, "in {MANY} steps of an engine over {at}");
    Ok(())
}

/// Steps an environment over `address` with the actions that `policy` derives from its observations.
fn play<E, O>(address: &str, make: fn() -> E, policy: fn(&O::Element) -> i64) -> Result<(), EnvError>
where
    E: Env + Send + 'static,
    O: Space + 'static,
{
    let backend = ServerBackend::bind(move |_| Ok(Watched::new(make(), STEPS)), address, rlay::host_options())?;
    backend.start()?;
    let env = ClientEnv::connect(&backend.address().to_string(), rlay::agent_options())?;
    let mut env = env.typed::<O, Discrete>()?;
    let mut observation = env.reset(Some(7), &Value::None)?.observation;
    for step in 1..=WARM + STEPS {
        count_here(step > WARM);
        observation = env.step(policy(&observation))?.observation;
    }
    count_here(false);
    assert_eq!(allocations::number(), 0, "in {STEPS} steps over {address}");
    env.close()?;
    backend.close();
    Ok(())
}

/// Steps 64 environments of a host with so many threads, over the ends of many episodes.
fn play_on_threads(address: &str, threads: u32) -> Result<(), EnvError> {
    const SLOTS: u32 = 64;
    let options = rlay::host_options().threads(threads);
    let backend = ServerBackend::bind(|_| Ok(CartPole::new(None)), address, options)?;
    backend.start()?;
    let agent = rlay::agent_options().num_envs(SLOTS).autoreset_mode(AutoresetMode::SameStep);
    let mut envs = RawVectorEnv::connect(&backend.address().to_string(), agent, &mut Wait::default())?;
    let rows: Vec<_> = (0..SLOTS).map(|slot| (slot, Some(Seed::from(u64::from(slot))))).collect();
    envs.reset(&rows, &Value::None, &mut Wait::default())?;
    // Buffers grow until as many episodes as ever have ended in one step.
    for step in 0..3000 {
        count_others(step >= 2000);
        let mut actions: Vec<u8> = (0..SLOTS).flat_map(|slot| i64::from((slot + step) % 2).to_le_bytes()).collect();
        actions.resize(actions.len() + SLOTS as usize, 0);
        envs.step(true, &mut actions, &mut Wait::default())?;
    }
    count_others(false);
    assert_eq!(allocations::number(), 0, "in 1000 steps of {SLOTS} over {address} on {threads} threads");
    envs.close(&mut Wait::default())?;
    backend.close();
    Ok(())
}

#[test]
fn a_warm_step_allocates_nothing() -> Result<(), EnvError> {
    let unix = format!("unix://{}/rlay-allocations-{}.sock", std::env::temp_dir().display(), std::process::id());
    for address in ["tcp://127.0.0.1:0", &unix] {
        // The pole is kept upright, so that its episode ends only by the time limit, which is passed.
        play::<_, BoxSpace<f32, [f32; 4]>>(
            address,
            || CartPole::new(None),
            |pole| i64::from(pole[2] + 0.3 * pole[3] + 0.02 * pole[0] + 0.04 * pole[1] > 0.0),
        )?;
        play::<_, BoxSpace<u8, FrameArray<u8>>>(address, || ImageEnv::new([84, 84, 4]), |image| (image[0] % 2).into())?;
    }
    #[cfg(feature = "shm")]
    let shm = Some(format!("shm://allocations-{}", std::process::id()));
    #[cfg(not(feature = "shm"))]
    let shm = None;
    for address in ["tcp://127.0.0.1:0".to_owned()].into_iter().chain(shm) {
        let pole = |_: &Make| Ok(Watched::new(CartPole::new(None), MANY));
        play_many(&ServerBackend::bind(pole, &address, rlay::host_options())?)?;
        let poles = |make: &Make| Ok(Watched::new(CartPoles::new(make.slots as usize), MANY));
        play_many(&ServerBackend::bind_vector(poles, &address, rlay::host_options())?)?;
        play_engine(&address)?;
    }
    // The others are not running any more; the thread that accepts waits for agents.
    for threads in [1, 2] {
        play_on_threads(&unix, threads)?;
    }
    count_here(true);
    drop(std::hint::black_box(vec![1]));
    count_here(false);
    assert_eq!(allocations::number(), 1, "allocations are counted at all");
    Ok(())
}
