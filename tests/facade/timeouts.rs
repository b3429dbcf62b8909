//! A deadline ends a call, not the session: the answer may be late, and then answers no other call.

use std::time::Duration;

use rlay::{
    AgentOptions, BoxSpace, ClientBackend, ClientEnv, Discrete, Env, EnvError, Error, ErrorKind, Late, RemoteEnv,
    ServerBackend, ServerEnv, Value, asynchronous, wire::Make,
};
use rlay_testkit::CountingEnv;

use crate::support::{
    Gate, Gated, HOLD, HURRY, PATIENCE, Process, bounded, eventually, fresh, hasty, patient, patient_host,
};

type Counting = RemoteEnv<BoxSpace<f64, [f64; 4]>, Discrete>;

/// A backend, a gate in its environment, and an agent with calls that soon time out.
fn gated(scheme: &str) -> Result<(ServerBackend, Gate, Counting), EnvError> {
    let gate = Gate::default();
    let for_env = gate.clone();
    let factory =
        move |make: &Make| Ok(Gated { env: CountingEnv::new(make.render_mode.as_deref()), gate: for_env.clone() });
    let options = hasty().render_mode("ansi");
    let backend = ServerBackend::bind(factory, &fresh(scheme), patient_host())?;
    backend.start()?;
    // The first answer may take a while on a busy machine; only blocked answers are to be late.
    let patient = options.timeout(PATIENCE);
    let env = ClientEnv::connect(&backend.address().to_string(), patient)?;
    Ok((backend, gate, env.typed()?))
}

/// Makes a call that times out because the gate is closed.
fn late<T: std::fmt::Debug>(env: &mut Counting, call: impl FnOnce(&mut Counting) -> Result<T, EnvError>) {
    env.timeout = Some(HURRY);
    let error = kind(call(env).unwrap_err());
    assert_eq!(error, ErrorKind::Timeout);
    env.timeout = Some(PATIENCE);
}

fn kind(error: EnvError) -> ErrorKind {
    error.downcast_ref::<Error>().expect("an error of RLay").kind()
}

#[test]
fn a_late_answer_is_fetched_or_in_nobodys_way() {
    for scheme in ["mem", "tcp", "unix"] {
        bounded(move || {
            let (backend, gate, mut env) = gated(scheme)?;
            env.reset(Some(1), &Value::None)?;
            assert_eq!(env.step(1)?.observation, [1.0, 1.0, 1.0, 1.0]);

            late(&mut env, |env| env.step(HOLD));
            // No other request is accepted while the answer is outstanding.
            assert_eq!(kind(env.step(2).unwrap_err()), ErrorKind::Busy);
            assert_eq!(kind(env.render().unwrap_err()), ErrorKind::Busy);
            assert_eq!(env.late(Some(HURRY)).unwrap_err().kind(), ErrorKind::Timeout, "it is still to come");
            gate.open();
            let Late::Step(result) = env.late(Some(PATIENCE))? else { panic!("not a step") };
            assert_eq!((result.observation, result.reward), ([1.0, 1.0, 2.0, 13.0], 213.0));
            assert_eq!(env.late(None).unwrap_err().kind(), ErrorKind::Usage, "it came already");
            assert_eq!(env.step(3)?.observation, [1.0, 1.0, 3.0, 3.0]);

            late(&mut env, |env| env.step(HOLD));
            gate.open();
            // Whether the late row has arrived by now or not, the reset does not return it.
            assert_eq!(env.reset(Some(2), &Value::None)?.observation, [2.0, 2.0, 0.0, -1.0]);
            assert_eq!(env.step(4)?.observation, [2.0, 2.0, 1.0, 4.0]);
            env.close()?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn a_reset_and_a_render_can_be_late_too() {
    bounded(|| {
        let (backend, gate, mut env) = gated("tcp")?;
        late(&mut env, |env| env.reset(Some(HOLD as u64), &Value::None));
        assert_eq!(kind(env.step(1).unwrap_err()), ErrorKind::Busy);
        gate.open();
        let Late::Reset(result) = env.late(Some(PATIENCE))? else { panic!("not a reset") };
        assert_eq!(result.observation, [13.0, 1.0, 0.0, -1.0]);

        late(&mut env, |env| env.render());
        gate.open();
        let Late::Render(frame) = env.late(Some(PATIENCE))? else { panic!("not a frame") };
        assert_eq!(frame, "episode 1, step 0".into());
        assert_eq!(env.step(5)?.observation, [13.0, 1.0, 1.0, 5.0]);
        env.close()?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_reset_that_cannot_drop_the_late_answer_times_out_and_can_be_made_again() {
    bounded(|| {
        let (backend, gate, mut env) = gated("unix")?;
        env.reset(None, &Value::None)?;
        late(&mut env, |env| env.step(HOLD));
        late(&mut env, |env| env.reset(Some(3), &Value::None));
        gate.open();
        assert_eq!(env.reset(Some(4), &Value::None)?.observation, [4.0, 2.0, 0.0, -1.0], "one reset, not two");
        assert_eq!(gate.visits(), 1);
        env.close()?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn closing_does_not_wait_for_ever_for_a_late_answer() {
    bounded(|| {
        let (backend, gate, mut env) = gated("tcp")?;
        env.reset(None, &Value::None)?;
        late(&mut env, |env| env.step(HOLD));
        env.close()?;
        assert_eq!(kind(env.step(1).unwrap_err()), ErrorKind::Closed);
        gate.open();
        eventually("the session has ended", || backend.sessions() == 0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_request_that_a_stopped_peer_does_not_take_ends_the_session_unless_another_connection_may_bring_it() {
    bounded(|| {
        let large = Value::Bytes(vec![7; 32 << 20]);
        let stopped = |scheme| {
            // Actions of CountingEnv are small; its options are not bounded.
            let host = Process::start(scheme, "host-counting", &fresh(scheme));
            let mut env = ClientEnv::connect(&host.line(), hasty().timeout(PATIENCE))?;
            env.reset(None, &Value::None)?;
            host.freeze();
            env.timeout = Some(HURRY);
            Ok::<_, EnvError>((host, env))
        };
        let (host, mut env) = stopped("tcp")?;
        assert_eq!(kind(env.reset(Some(1), &large).unwrap_err()), ErrorKind::Timeout);
        assert_eq!(kind(env.step(Value::Int(1)).unwrap_err()), ErrorKind::Busy, "its answer may come yet");
        host.thaw();
        let Late::Reset(late) = env.late(Some(PATIENCE))? else { panic!("it was a reset") };
        assert_eq!(late.info.get("seed"), Some(&Value::Int(1)));
        env.timeout = Some(PATIENCE);
        env.close()?;

        let (_host, mut env) = stopped("unix")?;
        let error = env.reset(None, &large).unwrap_err();
        assert_eq!(kind(error), ErrorKind::ConnectionLost, "no answer is late, for there is none");
        assert_eq!(kind(env.step(Value::Int(1)).unwrap_err()), ErrorKind::ConnectionLost);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

/// Options of an agent with short timeouts for an environment to be made, or for its answers.
fn for_making() -> [AgentOptions; 2] {
    let hurry = Some(Duration::from_millis(100));
    [patient().connect_timeout(Duration::from_millis(500)), patient().timeout(hurry)]
}

/// Asserts that the environment was not made within `connect_timeout`, and that the error names this option.
fn assert_not_made(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let text = error.to_string();
    assert!(text.contains("did not make the environment within connect_timeout, of which "), "{text}");
    assert!(text.ends_with("raise connect_timeout"), "{text}");
}

#[test]
fn an_environment_is_made_within_connect_timeout_whoever_dials() {
    for paradigm in ["client", "server", "tokio"] {
        bounded(move || {
            let gate = Gate::default();
            let for_env = gate.clone();
            let factory = move |_: &Make| {
                for_env.pass();
                Ok(CountingEnv::new(None))
            };
            let open = |address: &str, options: &AgentOptions| match paradigm {
                "tokio" => {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                    runtime.block_on(asynchronous::AsyncEnv::connect(address, options)).map(drop)
                }
                _ => ClientEnv::connect(address, options.clone()).map(drop),
            };
            let [hasty, slow] = for_making();
            let made_late = |open: &dyn Fn() -> rlay::Result<()>| {
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        // Far longer than a call may take.
                        std::thread::sleep(Duration::from_millis(400));
                        gate.open();
                    });
                    open()
                })
            };
            if paradigm == "server" {
                let server = ServerEnv::bind(&fresh("tcp"), hasty)?;
                let backend = ClientBackend::new(factory.clone(), &server.address().to_string(), patient_host())?;
                backend.start()?;
                assert_not_made(&server.accept().unwrap_err());
                server.close();
                backend.close();
                let server = ServerEnv::bind(&fresh("tcp"), slow)?;
                let backend = ClientBackend::new(factory, &server.address().to_string(), patient_host())?;
                gate.open();
                backend.start()?;
                made_late(&|| server.accept().map(drop))?;
                backend.close();
            } else {
                let backend = ServerBackend::bind(factory, &fresh("tcp"), patient_host())?;
                backend.start()?;
                let address = backend.address().to_string();
                assert_not_made(&open(&address, &hasty).unwrap_err());
                gate.open();
                made_late(&|| open(&address, &slow))?;
                backend.close();
            }
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("{paradigm}: {error}"));
    }
}
