//! A host or policy that is closed says goodbye to its peers before `run` returns, so that a program may end then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use rlay::{
    BoxSpace, ClientBackend, ClientEnv, Discrete, Env, EnvError, ErrorKind, PolicyServer, RemoteEnv, ResetResult,
    ServerBackend, ServerEnv, StepResult, Value,
};
use rlay_testkit::CountingEnv;

use crate::support::{bounded, eventually, fresh, patient, patient_host};

/// An environment that takes a moment to close.
struct Slow {
    env: CountingEnv,
    has_closed: Arc<AtomicBool>,
}

impl Env for Slow {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        self.env.step(action)
    }

    fn close(&mut self) -> Result<(), EnvError> {
        thread::sleep(Duration::from_millis(300));
        self.has_closed.store(true, SeqCst);
        Ok(())
    }
}

/// The agent of a closed host receives the goodbye, and the host's `run` has waited for that.
fn is_told(mut env: RemoteEnv, close: impl FnOnce() + Send + 'static, run: impl FnOnce(), has_closed: &AtomicBool) {
    let closing = thread::spawn(close);
    run();
    assert!(has_closed.load(SeqCst), "run() returned before the session was over");
    let error = env.step(Value::Int(0)).expect_err("it is closed").downcast::<rlay::Error>().expect("of RLay's");
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert!(error.to_string().contains("said goodbye: the host is closing"), "{error}");
    closing.join().expect("it closes");
}

#[test]
fn run_returns_when_the_agents_were_told() {
    bounded(|| {
        let has_closed = Arc::new(AtomicBool::new(false));
        let flag = has_closed.clone();
        let factory = move |_: &_| Ok(Slow { env: CountingEnv::new(None), has_closed: flag.clone() });
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient_host())?;
        let (running, closing, address) = (backend.clone(), backend.clone(), backend.address().to_string());
        let run = thread::spawn(move || running.run());
        let mut env = ClientEnv::connect(&address, patient())?;
        env.reset(None, &Value::None)?;
        is_told(env, move || closing.close(), || run.join().expect("runs").expect("ends"), &has_closed);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn so_it_does_where_the_environment_dials() {
    bounded(|| {
        let has_closed = Arc::new(AtomicBool::new(false));
        let flag = has_closed.clone();
        let factory = move |_: &_| Ok(Slow { env: CountingEnv::new(None), has_closed: flag.clone() });
        let server = ServerEnv::bind(&fresh("tcp"), patient())?;
        let backend = ClientBackend::new(factory, &server.address().to_string(), patient_host())?;
        let (running, closing) = (backend.clone(), backend.clone());
        let run = thread::spawn(move || running.run());
        let mut env = server.accept()?;
        env.reset(None, &Value::None)?;
        is_told(env, move || closing.close(), || run.join().expect("runs").expect("ends"), &has_closed);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_policy_that_is_closed_leaves_its_environments() {
    bounded(|| {
        let has_closed = Arc::new(AtomicBool::new(false));
        let flag = has_closed.clone();
        let server = PolicyServer::bind(&fresh("tcp"), patient())?;
        let (running, address) = (server.clone(), server.address().to_string());
        let steps = Arc::new(AtomicBool::new(false));
        let has_stepped = steps.clone();
        let run = thread::spawn(move || {
            running.run::<BoxSpace<f64, [f64; 4]>, Discrete, _>(move || {
                let steps = steps.clone();
                move |_: &[f64; 4]| {
                    steps.store(true, SeqCst);
                    0
                }
            })
        });
        let factory = move |_: &_| Ok(Slow { env: CountingEnv::new(None), has_closed: flag.clone() });
        let backend = ClientBackend::new(factory, &address, patient_host())?;
        backend.start()?;
        eventually("an episode is under way", || has_stepped.load(SeqCst));
        server.close();
        run.join().expect("runs")?;
        assert!(has_closed.load(SeqCst), "the environment was closed by the policy's goodbye");
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
