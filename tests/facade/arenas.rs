//! PolledVectorEnv: an engine of many environments that polls for the agent's requests, slot by slot, and replies in its
//! own order and time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rlay::{
    AgentOptions, BoxSpace, ClientVectorEnv, Discrete, Env, EnvFailure, Error, ErrorKind, HostOptions, Map, Metadata,
    PolledVectorEnv, RemoteVectorEnv, ResetResult, Result, Rng, ServerBackend, ServerEnv, ServerVectorEnv, StepResult,
    Turn, Value,
    endpoint::{Acceptor, RawVectorEnv, Wait},
    wire::{AutoresetMode, Role},
};

use crate::{
    cartpole::CartPole,
    reconnecting::enduring,
    support::{PATIENCE, Relay, bounded, fresh, patient, patient_host},
};

type Poles = BoxSpace<f32, [f32; 4]>;

const MODES: [AutoresetMode; 3] = [AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep];
const SLOTS: u32 = 8;

fn engine(address: &str) -> Result<PolledVectorEnv<Poles, Discrete>> {
    engine_with(address, patient_host())
}

fn engine_with(address: &str, options: HostOptions) -> Result<PolledVectorEnv<Poles, Discrete>> {
    let pole = CartPole::new(None);
    let (observations, actions) = (pole.observation_space().clone(), pole.action_space().clone());
    PolledVectorEnv::new(observations, actions, SLOTS, &pole.metadata(), address, options)
}

/// An engine that takes what there is to do, and then replies in all slots where a tick is over, in another order each
/// time. Ends with the agent.
fn run(mut agent: PolledVectorEnv<Poles, Discrete>) -> Result<()> {
    let mut arenas: Vec<CartPole> = (0..SLOTS).map(|_| CartPole::new(Some("ansi"))).collect();
    let mut rng = Rng::seeded(8);
    let mut staged: Vec<(usize, Turn<i64>)> = Vec::new();
    loop {
        while staged.len() < SLOTS as usize
            && let Some(turn) = agent.turn(Duration::ZERO)?
        {
            match turn {
                (0, Turn::Close(_)) => return Ok(()),
                other => staged.push(other),
            }
        }
        thread::yield_now();
        // Some of them wait for the next tick.
        for i in (0..staged.len()).rev() {
            let other = rng.below(i as u64 + 1) as usize;
            staged.swap(i, other);
        }
        let keep = if rng.below(2) == 0 { staged.len() / 2 } else { 0 };
        for (slot, turn) in staged.drain(keep..) {
            match turn {
                Turn::Reset { seed, options } => {
                    agent.reply_reset(slot, &arenas[slot].reset(seed, &options).expect("it never fails"))?;
                }
                Turn::Step(action) => match arenas[slot].step(action) {
                    Ok(result) => agent.reply(slot, &result)?,
                    Err(error) => agent.reply_error(slot, EnvFailure::from(error))?,
                },
                Turn::Render => agent.reply_frame(slot, arenas[slot].render().expect("it never fails"))?,
                Turn::Attribute { .. } => unreachable!("it offers none"),
                Turn::Close(_) => unreachable!("see above"),
            }
        }
    }
}

/// An agent's environments, which are those of an engine.
fn arenas(
    scheme: &str,
    mode: AutoresetMode,
    run: impl FnOnce(PolledVectorEnv<Poles, Discrete>) -> Result<()> + Send + 'static,
) -> Result<(RemoteVectorEnv, JoinHandle<Result<()>>)> {
    let options = patient().num_envs(SLOTS).autoreset_mode(mode).render_mode("ansi");
    let server = ServerVectorEnv::bind(&fresh(scheme), options)?;
    let agent = engine(&server.address().to_string())?;
    let engine = thread::spawn(move || run(agent));
    Ok((server.accept()?, engine))
}

#[test]
fn rows_are_those_of_environments_that_are_hosted() {
    for scheme in ["mem", "tcp"] {
        bounded(move || {
            for mode in MODES {
                let (mut ours, engine) = arenas(scheme, mode, run)?;
                let backend = ServerBackend::bind(|_| Ok(CartPole::new(None)), &fresh(scheme), patient_host())?;
                backend.start()?;
                let options = patient().num_envs(SLOTS).autoreset_mode(mode);
                let mut theirs = ClientVectorEnv::connect(&backend.address().to_string(), options)?;
                ours.reset(Some(3), &Value::None)?;
                theirs.reset(Some(3), &Value::None)?;
                let (mut rng, mut ends) = (Rng::seeded(1), 0);
                for step in 0..60u64 {
                    let actions: Vec<Value> = (0..SLOTS).map(|_| Value::from(rng.below(2))).collect();
                    let (here, there) = (ours.step(&actions)?, theirs.step(&actions)?);
                    assert_eq!(format!("{here:?}"), format!("{there:?}"), "{mode:?}, step {step}");
                    let ended: Vec<_> = (0..SLOTS).filter(|slot| here.terminations[*slot as usize]).collect();
                    ends += ended.len();
                    if mode == AutoresetMode::Disabled && !ended.is_empty() {
                        let rows: Vec<_> = ended.iter().map(|slot| (*slot, Some(step))).collect();
                        ours.reset_some(&rows, &Value::None)?;
                        theirs.reset_some(&rows, &Value::None)?;
                    }
                    for slot in 0..SLOTS as usize {
                        assert_eq!(ours.observation(slot)?, theirs.observation(slot)?, "{mode:?}, step {step}");
                    }
                }
                assert!(ends > 10, "{ends}");
                assert_eq!(ours.render()?.0.len(), SLOTS as usize);
                // One fails, and the others have taken their steps.
                let mut actions = vec![Value::from(1); SLOTS as usize];
                actions[5] = 2.into();
                let error = ours.step(&actions).unwrap_err();
                assert_eq!((error.kind(), error.slot()), (ErrorKind::Env, Some(5)), "{error}");
                assert!(error.to_string().contains("2 is neither 0 (left) nor 1 (right)"), "{error}");
                actions[5] = 1.into();
                ours.step(&actions)?;
                ours.close()?;
                engine.join().expect("it does not panic")?;
                backend.close();
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

#[test]
fn an_engine_takes_the_agents_that_dial_in() {
    bounded(|| {
        let options = patient_host();
        let acceptor = Arc::new(Acceptor::bind_host(&fresh("tcp").parse()?, options.connection(), None)?);
        let address = acceptor.address().to_string();
        let pole = CartPole::new(None);
        let (observations, actions) = (pole.observation_space().clone(), pole.action_space().clone());
        let metadata = pole.metadata();
        let engine = |num_envs| {
            let (observations, actions) = (observations.clone(), actions.clone());
            PolledVectorEnv::accepting(observations, actions, num_envs, &metadata, acceptor.clone(), options.clone())
        };
        // The two share the listener; each ends with its agent.
        let engines = [engine(SLOTS)?, engine(SLOTS)?].map(|engine| thread::spawn(move || run(engine)));
        for _ in 0..2 {
            let options = patient().num_envs(SLOTS).autoreset_mode(AutoresetMode::Disabled);
            let mut envs = ClientVectorEnv::connect(&address, options)?;
            envs.reset(Some(3), &Value::None)?;
            let actions = vec![Value::from(1); SLOTS as usize];
            assert_eq!(envs.step(&actions)?.rewards, [1.0; SLOTS as usize]);
            envs.close()?;
        }
        for engine in engines {
            engine.join().expect("it does not panic")?;
        }
        assert_eq!(engine(0).unwrap_err().kind(), ErrorKind::Usage);
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn an_action_that_cannot_be_read_reaches_no_arena() {
    bounded(|| {
        let (options, space) = (patient().num_envs(2), Discrete::new(9));
        let acceptor = Arc::new(Acceptor::bind(&fresh("mem").parse()?, Role::Agent, options.connection())?);
        let address = acceptor.address().to_string();
        let mut agent = PolledVectorEnv::new(space.clone(), space, 2, &Metadata::default(), &address, patient_host())?;
        let playing = thread::spawn(move || {
            let wait = &mut Wait::new(Some(PATIENCE));
            let mut envs = RawVectorEnv::accept(&acceptor, options, wait)?;
            envs.reset(&[(0, None), (1, None)], &Value::None, wait)?;
            // Two actions and their marks.
            let actions = |marks: [u8; 2]| {
                [3u64.to_le_bytes(), 4u64.to_le_bytes(), [marks[0], marks[1], 0, 0, 0, 0, 0, 0]].concat()
            };
            let error = envs.step(true, &mut actions([1, 2]), wait).unwrap_err();
            assert!(error.to_string().contains("env slot 1") && error.to_string().contains("mark"), "{error}");
            assert!(envs.step(true, &mut vec![0; 16], wait).is_err(), "fewer than there are slots");
            envs.step(true, &mut actions([1, 0]), wait)?;
            envs.close(wait)
        });
        let mut seen = Vec::new();
        loop {
            let Some((slot, turn)) = agent.turn(PATIENCE)? else { continue };
            let result =
                StepResult { observation: 0, reward: 0.0, terminated: false, truncated: false, info: Map::new() };
            match turn {
                Turn::Reset { .. } => {
                    agent.reply_reset(slot, &ResetResult { observation: 0, info: Map::new() })?;
                }
                Turn::Step(action) => {
                    seen.push((slot, action));
                    agent.reply(slot, &result)?;
                }
                Turn::Render | Turn::Attribute { .. } => unreachable!("no agent asks for that"),
                Turn::Close(_) => break,
            }
        }
        assert_eq!(seen, [(0, 3), (0, 3), (1, 4)]);
        playing.join().expect("it does not panic")
    })
    .unwrap();
}

#[test]
fn what_an_engine_may_not_say_is_an_error_that_says_so() {
    bounded(|| {
        let server = ServerVectorEnv::bind(&fresh("tcp"), patient().num_envs(SLOTS))?;
        let mut agent = engine(&server.address().to_string())?;
        let accepting = thread::spawn(move || server.accept());
        while !accepting.is_finished() {
            assert_eq!(agent.turn(Duration::ZERO)?, None, "making envs is no turn");
        }
        let mut envs = accepting.join().expect("it does not panic")?;
        let world = CartPole::new(None).reset(Some(1), &Value::None).expect("it can");
        let error = agent.reply_reset(3, &world).unwrap_err();
        assert!(error.to_string().contains("there is nothing to reply to in env slot 3"), "{error}");
        let playing = thread::spawn(move || {
            envs.reset(Some(9), &Value::None)?;
            Ok::<_, Error>(envs)
        });
        for slot in 0..SLOTS as usize {
            // Only the first is waited for.
            let timeout = if slot == 0 { Duration::MAX } else { Duration::ZERO };
            let turn = Turn::Reset { seed: Some(9 + slot as u64), options: Value::None };
            assert_eq!(agent.turn(timeout)?, Some((slot, turn)));
        }
        let error = agent.turn(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert_eq!(agent.reply_frame(2, Value::None).unwrap_err().kind(), ErrorKind::Usage, "not a render");
        for slot in (0..SLOTS as usize).rev() {
            assert!(!playing.is_finished(), "some slots have not answered");
            agent.reply_reset(slot, &world)?;
            assert!(agent.reply_reset(slot, &world).is_err(), "it was answered");
        }
        let mut envs = playing.join().expect("it does not panic")?;
        assert_eq!(envs.observation(7)?, envs.observation(0)?);
        // An agent that leaves while slots are to be answered.
        let stepping = thread::spawn(move || envs.step(&vec![Value::from(1); SLOTS as usize]).map(|_| ()));
        let (slot, _) = agent.turn(Duration::MAX)?.expect("a step");
        agent.close();
        assert!(stepping.join().expect("it does not panic").is_err());
        let step = StepResult {
            observation: world.observation,
            reward: 0.0,
            terminated: false,
            truncated: false,
            info: Map::new(),
        };
        assert_eq!(agent.reply(slot, &step).unwrap_err().kind(), ErrorKind::Usage);
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn an_engine_of_many_is_no_single_environment() {
    bounded(|| {
        let server = ServerEnv::bind(&fresh("mem"), patient())?;
        let agent = engine(&server.address().to_string())?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let engine = thread::spawn(move || {
            let mut agent = agent;
            while !over.load(SeqCst) {
                let _ = agent.turn(Duration::from_millis(5));
            }
        });
        let error = server.accept().unwrap_err();
        assert!(error.to_string().contains("the engine has 8 environments at once; ask for as many"), "{error}");
        is_over.store(true, SeqCst);
        engine.join().expect("it does not panic");
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn answers_outlast_their_connection() {
    bounded(|| {
        let options = AgentOptions::new(enduring()).num_envs(SLOTS);
        let server = ServerVectorEnv::bind(&fresh("tcp"), options)?;
        let relay = Relay::to(&server.address().to_string());
        let agent = engine_with(relay.address(), HostOptions::new(enduring()))?;
        let engine = thread::spawn(move || run(agent));
        let mut ours = server.accept()?;
        let backend = ServerBackend::bind(|_| Ok(CartPole::new(None)), &fresh("mem"), patient_host())?;
        backend.start()?;
        let mut theirs = ClientVectorEnv::connect(&backend.address().to_string(), patient().num_envs(SLOTS))?;
        ours.reset(Some(6), &Value::None)?;
        theirs.reset(Some(6), &Value::None)?;
        let mut rng = Rng::seeded(2);
        // Episodes end, so that a step of some and a reset of others are under way at once.
        for step in 0..60 {
            if step % 4 == 3 {
                assert_ne!(relay.cut(), 0, "there is nothing to cut");
            }
            let actions: Vec<Value> = (0..SLOTS).map(|_| Value::from(rng.below(2))).collect();
            let (here, there) = (ours.step(&actions)?, theirs.step(&actions)?);
            assert_eq!(format!("{here:?}"), format!("{there:?}"), "step {step}");
        }
        ours.close()?;
        engine.join().expect("it does not panic")?;
        backend.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}
