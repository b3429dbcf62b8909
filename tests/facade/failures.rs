//! An environment's failure is its own error: the text reaches the agent, and nothing else breaks.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use rlay::{
    AgentOptions, BoxSpace, ClientBackend, ClientEnv, Discrete, Env, EnvError, Error, ErrorKind, Map, RemoteEnv,
    ResetResult, ServerBackend, ServerEnv, StepResult, Value,
};
use rlay_testkit::CountingEnv;

use crate::support::{Deed, HOLD, PATIENCE, Trouble, WORDS, bounded, fresh, patient, patient_host};

fn with_ansi() -> AgentOptions {
    patient().render_mode("ansi").timeout(PATIENCE)
}

/// Asserts that the remote environment did `deed`.
fn assert_env(error: &EnvError, deed: Deed) {
    let error = error.downcast_ref::<Error>().expect("an error of RLay");
    assert_eq!(error.kind(), ErrorKind::Env, "{error}");
    let failure = error.env_failure().expect("what the environment raised");
    assert_eq!((failure.error_type.as_str(), failure.message.as_str()), (deed.class(), WORDS));
    assert!(error.to_string().contains(WORDS));
}

/// Every call fails once and works the next time.
fn every_call(env: RemoteEnv, deed: Deed) -> Result<(), EnvError> {
    let mut env = env.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
    assert_env(&env.reset(Some(HOLD as u64), &Value::None).unwrap_err(), deed);
    assert_eq!(env.reset(Some(1), &Value::None)?.observation, [1.0, 1.0, 0.0, -1.0]);
    assert_env(&env.step(HOLD).unwrap_err(), deed);
    assert_eq!(env.step(5)?.observation, [1.0, 1.0, 1.0, 5.0]);
    assert_env(&env.render().unwrap_err(), deed);
    assert_eq!(env.render()?, "episode 1, step 1".into());
    assert_env(&env.reset(Some(HOLD as u64), &Value::None).unwrap_err(), deed);
    assert_eq!(env.step(6)?.observation, [1.0, 1.0, 2.0, 6.0], "a failed reset changes nothing");
    assert_env(&env.close().unwrap_err(), deed);
    env.close() // the environment is closed all the same
}

fn trouble(deed: Deed, mode: Option<&str>) -> Trouble {
    Trouble { env: CountingEnv::new(mode), deed, renders: 0 }
}

#[test]
fn every_call_may_fail_and_panic() {
    for deed in [Deed::Fail, Deed::Panic] {
        for scheme in ["mem", "tcp"] {
            bounded(move || {
                let made = AtomicBool::new(false);
                let factory = move |make: &rlay::wire::Make| match made.swap(true, SeqCst) {
                    false => Err(deed.happen()),
                    true => Ok(trouble(deed, make.render_mode.as_deref())),
                };
                let backend = ServerBackend::bind(factory, &fresh(scheme), patient_host())?;
                backend.start()?;
                let address = backend.address().to_string();
                assert_env(&ClientEnv::connect(&address, with_ansi()).unwrap_err().into(), deed);

                let mut other =
                    ClientEnv::connect(&address, with_ansi())?.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
                other.reset(Some(9), &Value::None)?;
                every_call(ClientEnv::connect(&address, with_ansi())?, deed)?;
                assert_eq!(other.step(1)?.observation, [9.0, 1.0, 1.0, 1.0], "the other session is as it was");
                backend.close();
                Ok::<_, EnvError>(())
            })
            .unwrap();
        }
    }
}

#[test]
fn every_call_may_fail_and_panic_where_the_env_dials() {
    for deed in [Deed::Fail, Deed::Panic] {
        bounded(move || {
            let server = ServerEnv::bind(&fresh("unix"), with_ansi())?;
            let made = AtomicBool::new(false);
            let factory = move |make: &rlay::wire::Make| match made.swap(true, SeqCst) {
                false => Err(deed.happen()),
                true => Ok(trouble(deed, make.render_mode.as_deref())),
            };
            let backend = ClientBackend::new(factory, &server.address().to_string(), patient_host())?;
            backend.start()?;
            assert_env(&server.accept().unwrap_err().into(), deed);
            every_call(server.accept()?, deed)?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

/// Declares three numbers, and returns two.
struct Short(BoxSpace<f32>, Discrete);

impl Env for Short {
    type ObservationSpace = BoxSpace<f32>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &BoxSpace<f32> {
        &self.0
    }

    fn action_space(&self) -> &Discrete {
        &self.1
    }

    fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<Vec<f32>>, EnvError> {
        Ok(ResetResult { observation: vec![0.0; 3], info: Map::new() })
    }

    fn step(&mut self, _: i64) -> Result<StepResult<Vec<f32>>, EnvError> {
        Ok(StepResult { observation: vec![0.0; 2], reward: 0.0, terminated: false, truncated: false, info: Map::new() })
    }
}

#[test]
fn an_observation_of_another_shape_is_named() {
    bounded(|| {
        let short = |_: &_| Ok(Short(BoxSpace::new([3], -1.0, 1.0), Discrete::new(2)));
        let backend = ServerBackend::bind(short, &fresh("tcp"), patient_host())?;
        backend.start()?;
        let mut env = ClientEnv::connect(&backend.address().to_string(), with_timeout())?;
        env.reset(None, &Value::None)?;
        let error = env.step(Value::Int(1)).unwrap_err().to_string();
        assert!(
            error.contains("observation: a float32 array of shape (2,) is no element of Box(-1.0, 1.0, (3,), float32)"),
            "{error}"
        );
        env.reset(None, &Value::None)?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

fn with_timeout() -> AgentOptions {
    patient().timeout(PATIENCE)
}

#[test]
fn an_action_of_another_structure_is_refused_before_it_is_sent() {
    bounded(|| {
        let (backend, address) = crate::support::counting(&fresh("tcp"))?;
        let mut env = ClientEnv::connect(&address, patient())?;
        env.reset(Some(3), &Value::None)?;
        for action in [Value::Str("left".into()), Value::List(vec![]), Value::Dict(Map::new())] {
            let error = env.step(action).unwrap_err();
            assert_eq!(error.downcast_ref::<Error>().expect("of RLay").kind(), ErrorKind::InvalidAction, "{error}");
        }
        // An action outside the space is for the environment to refuse, as it is locally.
        let error = env.step(Value::Int(1000)).unwrap_err();
        assert_eq!(error.downcast_ref::<Error>().expect("of RLay").kind(), ErrorKind::Env, "{error}");
        assert_eq!(env.step(Value::Int(4))?.reward, 104.0, "it is the first step");
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_answer_larger_than_a_frame_is_an_error_and_the_session_goes_on() {
    bounded(|| {
        let (backend, address) = crate::support::counting(&fresh("tcp"))?;
        let small = rlay::Limits { frame: 64 << 10, ..rlay::Limits::default() };
        let mut env = ClientEnv::connect(&address, patient().limits(small))?;
        let options = Value::Bytes(vec![0; (64 << 10) - 200]); // returned in `info`, which then is too large
        let error = env.reset(Some(1), &options).unwrap_err();
        assert_eq!(error.downcast_ref::<Error>().expect("of RLay").kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains("frame limit"), "{error}");
        env.reset(Some(2), &Value::None)?;
        assert_eq!(env.step(Value::Int(1))?.reward, 101.0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
