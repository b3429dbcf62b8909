//! PolledEnv: an engine that polls for the agent's requests, and is never blocked.

use std::{thread, time::Duration};

use rlay::{
    BoxSpace, Discrete, Env, EnvError, EnvFailure, Error, ErrorKind, Limits, Metadata, PolledEnv, RemoteEnv, ServerEnv,
    Turn, Value,
};
use rlay_testkit::CountingEnv;

use crate::support::{PATIENCE, bounded, counting, fresh, patient, patient_host};

type Numbers = BoxSpace<f64, [f64; 4]>;

fn engine(address: &str) -> rlay::Result<PolledEnv<Numbers, Discrete>> {
    let world = CountingEnv::new(None);
    let (observations, actions) = (world.observation_space().clone(), world.action_space().clone());
    PolledEnv::new(observations, actions, &world.metadata(), address, patient_host())
}

/// An engine's loop around a counting world, until `agents` of them have left.
fn run(mut agent: PolledEnv<Numbers, Discrete>, agents: usize) -> rlay::Result<()> {
    let mut world = CountingEnv::new(Some("ansi"));
    let mut left = 0;
    while left < agents {
        match agent.turn(Duration::ZERO)? {
            None => thread::yield_now(),
            Some(Turn::Reset { seed, options }) => {
                agent.reply_reset(&world.reset(seed, &options).expect("it never fails"))?;
            }
            Some(Turn::Step(action)) => match world.step(action) {
                Ok(result) => agent.reply(&result)?,
                Err(error) => agent.reply_error(EnvFailure::from(error))?,
            },
            Some(Turn::Attribute { .. }) => unreachable!("none is offered"),
            Some(Turn::Render) => {
                assert_eq!(agent.render_mode(), Some("ansi"));
                agent.reply_frame(world.render().expect("it never fails"))?;
            }
            Some(Turn::Close(reason)) => {
                assert!(!reason.is_empty());
                left += 1;
            }
        }
    }
    Ok(())
}

#[test]
fn an_engine_serves_one_agent_after_the_other() {
    for scheme in ["mem", "tcp", "unix"] {
        bounded(move || {
            let options = patient().render_mode("ansi");
            let server = ServerEnv::bind(&fresh(scheme), options)?;
            let agent = engine(&server.address().to_string())?;
            let engine = thread::spawn(move || run(agent, 2));
            let mut env = server.accept()?.typed::<Numbers, Discrete>()?;
            let mut local = CountingEnv::new(None);
            for seed in [Some(3), None] {
                assert_eq!(env.reset(seed, &Value::None)?.observation, local.reset(seed, &Value::None)?.observation);
                for action in 0..30 {
                    let (here, there) = (local.step(action)?, env.step(action)?);
                    assert_eq!((here.observation, here.reward), (there.observation, there.reward));
                    assert_eq!((here.terminated, here.truncated), (there.terminated, there.truncated));
                }
            }
            assert_eq!(env.render()?, "episode 2, step 30".into());
            let error = env.step(1000).unwrap_err();
            let error = error.downcast_ref::<Error>().expect("an error of RLay");
            assert_eq!(error.env_failure().expect("the engine's").error_type, "ValueError");
            env.step(1)?;
            env.close()?;

            let mut next = server.accept()?;
            next.reset(None, &Value::None)?;
            drop(next); // without a message to the environment
            engine.join().expect("it does not panic")?;
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn a_turn_of_no_time_never_waits() {
    bounded(|| {
        // A thousand turns that each waited a tenth of a second would take longer than the test may.
        const TURNS: usize = 1000;
        let address = fresh("unix");
        let mut agent = engine(&address)?;
        for _ in 0..TURNS {
            assert_eq!(agent.turn(Duration::ZERO)?, None, "nobody listens yet");
        }
        let server = ServerEnv::bind(&address, patient())?;
        let accepting = {
            let server = server.clone();
            thread::spawn(move || server.accept())
        };
        while !accepting.is_finished() {
            assert_eq!(agent.turn(Duration::ZERO)?, None, "making an env is no turn");
        }
        let mut env: RemoteEnv = accepting.join().expect("it does not panic")?;
        for _ in 0..TURNS {
            assert_eq!(agent.turn(Duration::ZERO)?, None, "the agent is idle");
        }
        let waiting = thread::spawn(move || env.reset(Some(9), &Value::None).map(|result| result.info.len()));
        assert_eq!(agent.turn(Duration::MAX)?, Some(Turn::Reset { seed: Some(9), options: Value::None }));
        assert_eq!(agent.turn(Duration::ZERO).unwrap_err().kind(), ErrorKind::Usage, "it was not answered yet");
        assert_eq!(agent.reply_frame(Value::None).unwrap_err().kind(), ErrorKind::Usage, "not a render");
        agent.reply_reset(&CountingEnv::new(None).reset(Some(9), &Value::None)?)?;
        assert_eq!(agent.reply_frame(Value::None).unwrap_err().kind(), ErrorKind::Usage, "it was answered");
        assert!(waiting.join().expect("it does not panic")? > 0);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_answer_too_large_to_send_is_news_to_both() {
    bounded(|| {
        let limits = Limits { frame: 64 << 10, ..Limits::default() };
        let options = patient().limits(limits).timeout(PATIENCE);
        let server = ServerEnv::bind(&fresh("tcp"), options)?;
        let space = BoxSpace::<u8>::new([100, 600], 0, 255);
        let metadata = Metadata::default();
        let mut agent =
            PolledEnv::new(space, Discrete::new(2), &metadata, &server.address().to_string(), patient_host())?;
        let playing = thread::spawn(move || {
            let mut env = server.accept()?;
            let error = env.reset(None, &Value::None).unwrap_err();
            Ok::<_, EnvError>((env.reset(None, &Value::None).unwrap_err(), error))
        });
        let info = rlay::Map(vec![("map".into(), Value::Bytes(vec![0; 10_000]))]);
        let result = rlay::ResetResult { observation: vec![0; 60_000], info };
        for _ in 0..2 {
            assert!(matches!(agent.turn(PATIENCE)?, Some(Turn::Reset { .. })));
            assert_eq!(agent.reply_reset(&result).unwrap_err().kind(), ErrorKind::Usage);
        }
        let (second, first) = playing.join().expect("it does not panic")?;
        for error in [first, second] {
            assert!(error.to_string().contains("frame limit"), "{error}");
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_engine_learns_that_it_is_refused() {
    bounded(|| {
        // An engine that hosts environments itself.
        let (backend, address) = counting(&fresh("unix"))?;
        let mut agent = engine(&address)?;
        for _ in 0..2 {
            assert_eq!(agent.turn(PATIENCE).unwrap_err().kind(), ErrorKind::Incompatible, "and tries again");
        }
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
