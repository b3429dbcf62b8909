//! An environment in a process that is killed: the user chooses what happens to the episode, and to the next.

use std::time::{Duration, Instant};

use rlay::{
    AgentOptions, BoxSpace, ClientEnv, Discrete, Env, EnvError, Error, ErrorKind, FrameArray, OnLoss, RemoteEnv,
    ServerEnv, Space, Value,
};
use rlay_testkit::CountingEnv;

use crate::support::{Paradigm, Process, bounded, fresh, patient};

const BOTH: [Paradigm; 2] = [Paradigm::Client, Paradigm::Server];

fn kind(error: &EnvError) -> ErrorKind {
    error.downcast_ref::<Error>().expect("an error of RLay").kind()
}

fn on_loss(on_loss: OnLoss) -> AgentOptions {
    // A lost environment takes no slot away from the one that follows it.
    patient().on_loss(on_loss).max_sessions(1)
}

/// Where games of one kind run, one at a time.
struct Place {
    paradigm: Paradigm,
    address: String,
    game: Process,
}

impl Place {
    /// An environment of a counting game, in a process of its own.
    fn meet(paradigm: Paradigm, options: AgentOptions) -> Result<(RemoteEnv, Self), EnvError> {
        Ok(match paradigm {
            Paradigm::Client => {
                let game = Process::other("host-counting", &fresh("tcp"));
                let address = game.line();
                (ClientEnv::connect(&address, options)?, Self { paradigm, address, game })
            }
            Paradigm::Server => {
                let server = ServerEnv::bind(&fresh("tcp"), options)?;
                let address = server.address().to_string();
                let game = Process::other("dial-counting", &address);
                (server.accept()?, Self { paradigm, address, game })
            }
        })
    }

    /// Kills the game, without a goodbye.
    fn kill(&mut self) {
        self.game.kill();
    }

    /// Starts another game in its place.
    fn start(&mut self, kind: &str) {
        match self.paradigm {
            Paradigm::Client => {
                self.game = Process::other(&format!("host-{kind}"), &self.address);
                self.game.line();
            }
            Paradigm::Server => self.game = Process::other(&format!("dial-{kind}"), &self.address),
        }
    }
}

/// Plays a few steps, as they would be locally.
fn play(env: &mut RemoteEnv) -> Result<(), EnvError> {
    let mut local = CountingEnv::new(None);
    let space = local.observation_space().clone();
    let (here, there) = (local.reset(Some(5), &Value::None)?, env.reset(Some(5), &Value::None)?);
    assert_eq!((space.to_value(&here.observation), here.info), (there.observation, there.info));
    for action in 0..3 {
        let (here, there) = (local.step(action)?, env.step(Value::Int(action))?);
        assert_eq!((space.to_value(&here.observation), here.reward), (there.observation, there.reward));
    }
    Ok(())
}

#[test]
fn an_environment_that_was_killed() {
    for choice in [OnLoss::Raise, OnLoss::Replace, OnLoss::Truncate] {
        for paradigm in BOTH {
            bounded(move || {
                let (mut env, mut place) = Place::meet(paradigm, on_loss(choice))?;
                env.reset(Some(1), &Value::None)?;
                let last = env.step(Value::Int(1))?.observation;
                place.kill();
                let began = Instant::now();
                if choice == OnLoss::Truncate {
                    let end = env.step(Value::Int(2))?;
                    assert_eq!((end.observation, end.reward), (last, 0.0));
                    assert_eq!((end.terminated, end.truncated), (false, true));
                    assert!(matches!(end.info.get("lost"), Some(Value::Str(_))), "{:?}", end.info);
                }
                assert_eq!(kind(&env.step(Value::Int(2)).unwrap_err()), ErrorKind::ConnectionLost);
                // An agent that dialed finds no listener at the address; one that listened waits a little.
                assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
                place.start("counting");
                if choice == OnLoss::Raise {
                    assert_eq!(kind(&env.reset(None, &Value::None).unwrap_err()), ErrorKind::ConnectionLost);
                } else {
                    play(&mut env)?;
                }
                env.close()
            })
            .unwrap_or_else(|error| panic!("{choice:?}, {paradigm:?}: {error}"));
        }
    }
}

#[test]
fn a_reset_goes_on_with_another_environment_at_once() {
    for paradigm in BOTH {
        bounded(move || {
            let (mut env, mut place) = Place::meet(paradigm, on_loss(OnLoss::Replace))?;
            // More than once, and with an answer outstanding or not.
            for _ in 0..2 {
                play(&mut env)?;
                place.kill();
                place.start("counting");
            }
            play(&mut env)?;
            env.close()
        })
        .unwrap_or_else(|error| panic!("{paradigm:?}: {error}"));
    }
}

#[test]
fn plain_types_stay_what_they_are() {
    for paradigm in BOTH {
        bounded(move || {
            let (env, mut place) = Place::meet(paradigm, on_loss(OnLoss::Truncate))?;
            // An observation that is left in its frame is returned once more, too.
            let mut env = env.typed::<BoxSpace<f64, FrameArray<f64>>, Discrete>()?;
            env.reset(Some(1), &Value::None)?;
            let last = env.step(7)?.observation;
            place.kill();
            let end = env.step(8)?;
            assert_eq!((&end.observation[..], end.truncated), (&last[..], true));
            place.start("counting");
            let mut local = CountingEnv::new(None);
            assert_eq!(
                env.reset(Some(2), &Value::None)?.observation[..],
                local.reset(Some(2), &Value::None)?.observation
            );
            assert_eq!(env.step(9)?.observation[..], local.step(9)?.observation);
            env.close()
        })
        .unwrap_or_else(|error| panic!("{paradigm:?}: {error}"));
    }
}

#[test]
fn another_environment_has_the_same_spaces() {
    for paradigm in BOTH {
        bounded(move || {
            let (mut env, mut place) = Place::meet(paradigm, on_loss(OnLoss::Replace))?;
            env.reset(None, &Value::None)?;
            place.kill();
            place.start("cartpole");
            let error = env.reset(None, &Value::None).unwrap_err();
            assert_eq!(kind(&error), ErrorKind::Incompatible, "{error}");
            assert!(
                error
                    .to_string()
                    .contains("has another observation_space than before: Box(-1.0, inf, (4,), float64) is not "),
                "{error}"
            );
            place.kill();
            place.start("counting");
            // The other game may have dialed in once more before it was killed, and counts as one that died since.
            play(&mut env)?;
            env.close()
        })
        .unwrap_or_else(|error| panic!("{paradigm:?}: {error}"));
    }
}

#[test]
fn another_environment_is_waited_for_no_longer_than_connect_timeout() {
    for paradigm in BOTH {
        bounded(move || {
            let options = on_loss(OnLoss::Replace).connect_timeout(Duration::from_secs(5));
            let (mut env, mut place) = Place::meet(paradigm, options)?;
            env.reset(None, &Value::None)?;
            place.kill();
            let began = Instant::now();
            let error = env.reset(None, &Value::None).unwrap_err();
            let expected = match paradigm {
                Paradigm::Client => ErrorKind::ConnectionLost,
                Paradigm::Server => ErrorKind::Timeout,
            };
            assert_eq!(kind(&error), expected, "{error}");
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
            // And another environment is found later.
            place.start("counting");
            play(&mut env)?;
            env.close()
        })
        .unwrap_or_else(|error| panic!("{paradigm:?}: {error}"));
    }
}
