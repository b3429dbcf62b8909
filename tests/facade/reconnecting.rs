//! A connection that is dropped while both ends live costs only time, over every transport that can lose one.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rlay::{
    AgentOptions, BoxSpace, ClientBackend, ClientEnv, ConnectionOptions, Discrete, Env, EnvError, Error, ErrorKind,
    HostOptions, RemoteEnv, ServerBackend, ServerEnv, Token, Value,
};
use rlay_testkit::CountingEnv;

use crate::support::{
    Gate, Gated, HOLD, PATIENCE, Paradigm, Relay, bounded, counting_with, eventually, fresh, patient,
};

/// Those of the built-in transports.
pub(crate) const NETWORKS: &[&str] = &[
    "tcp",
    #[cfg(feature = "tls")]
    "tls",
    #[cfg(feature = "zmq")]
    "zmq",
    #[cfg(feature = "quic")]
    "quic",
    #[cfg(feature = "ws")]
    "ws",
];

/// Options that soon detect a silent peer, and wait long for a replacement connection.
pub(crate) fn enduring() -> ConnectionOptions {
    patient().connection().clone().reconnect_timeout(PATIENCE).liveness(Duration::from_secs(2))
}

/// The hosting endpoint, for as long as the environment is needed.
enum Host {
    Server(ServerBackend),
    Client(ClientBackend),
}

impl Host {
    fn close(self) {
        match self {
            Self::Server(backend) => backend.close(),
            Self::Client(backend) => backend.close(),
        }
    }
}

/// An environment of this factory behind a relay.
fn behind<E: Env + 'static>(
    scheme: &str,
    paradigm: Paradigm,
    options: &ConnectionOptions,
    make: impl Fn() -> E + Send + Sync + 'static,
) -> Result<(RemoteEnv, Relay, Host), EnvError> {
    match paradigm {
        Paradigm::Client => {
            let backend = ServerBackend::bind(move |_| Ok(make()), &fresh(scheme), HostOptions::new(options.clone()))?;
            backend.start()?;
            let relay = Relay::to(&backend.address().to_string());
            Ok((ClientEnv::connect(relay.address(), AgentOptions::new(options.clone()))?, relay, Host::Server(backend)))
        }
        Paradigm::Server => {
            let server = ServerEnv::bind(&fresh(scheme), AgentOptions::new(options.clone()))?;
            let relay = Relay::to(&server.address().to_string());
            let only = HostOptions::new(options.clone()).max_sessions(1);
            let backend = ClientBackend::new(move |_| Ok(make()), relay.address(), only)?;
            backend.start()?;
            let env = server.accept()?;
            // The listener must outlive the session: the environment dials it again.
            std::mem::forget(server);
            Ok((env, relay, Host::Client(backend)))
        }
    }
}

/// Steps in parallel with a local environment, and has the connection cut before every `every`th step.
pub(crate) fn walk(env: RemoteEnv, relay: &Relay, steps: i64, every: i64) -> Result<(), EnvError> {
    let mut env = env.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
    let mut local = CountingEnv::new(None);
    assert_eq!(env.reset(Some(3), &Value::None)?, local.reset(Some(3), &Value::None)?);
    for step in 0..steps {
        if step % every == every - 1 {
            assert_ne!(relay.cut(), 0, "there is nothing to cut");
        }
        assert_eq!(env.step(step % 900)?, local.step(step % 900)?, "step {step}");
    }
    env.close()
}

#[test]
fn a_session_outlasts_its_connections() {
    for scheme in NETWORKS {
        for paradigm in [Paradigm::Client, Paradigm::Server] {
            bounded(move || {
                let (env, relay, host) = behind(scheme, paradigm, &enduring(), || CountingEnv::new(None))?;
                // Over datagrams a cut is silence, which is detected only after a while.
                let (steps, every) = if *scheme == "quic" { (40, 20) } else { (200, 5) };
                walk(env, &relay, steps, every).unwrap_or_else(|error| panic!("{scheme} {paradigm:?}: {error}"));
                host.close();
                Ok::<_, EnvError>(())
            })
            .unwrap();
        }
    }
}

#[test]
fn a_token_is_proven_again() {
    bounded(|| {
        let options = enduring().token(Token::new("correct horse battery staple")?);
        let (env, relay, host) = behind("tcp", Paradigm::Client, &options, || CountingEnv::new(None))?;
        walk(env, &relay, 20, 5)?;
        host.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_step_that_is_under_way_is_taken_once() {
    for scheme in ["tcp", "zmq"].into_iter().filter(|scheme| NETWORKS.contains(scheme)) {
        for paradigm in [Paradigm::Client, Paradigm::Server] {
            bounded(move || {
                let gate = Gate::default();
                let (mut env, relay, host) = {
                    let gate = gate.clone();
                    behind(scheme, paradigm, &enduring(), move || Gated {
                        env: CountingEnv::new(None),
                        gate: gate.clone(),
                    })?
                };
                env.reset(None, &Value::None)?;
                let waiting = thread::spawn(move || env.step(Value::Int(HOLD)).map(|result| (env, result.observation)));
                eventually("the environment steps", || gate.visits() == 1);
                // Both ends lose the connection, one in the middle of a step; and once more, if it is the agent that
                // redials.
                for _ in 0..2 {
                    relay.cut();
                    thread::sleep(Duration::from_millis(300));
                }
                gate.open();
                let (mut env, observation) = waiting.join().expect("it does not panic")?;
                assert_eq!(gate.visits(), 1, "over {scheme}, {paradigm:?}");
                let expected = Value::Array(rlay::Array::new(&[4], &[-1.0, 1.0, 1.0, HOLD as f64]));
                assert_eq!(observation, expected, "over {scheme}, {paradigm:?}");
                env.close()?;
                host.close();
                Ok::<_, EnvError>(())
            })
            .unwrap();
        }
    }
}

#[test]
fn a_listener_that_does_not_know_of_the_loss_is_told_by_the_return() {
    bounded(|| {
        // Nothing else would report the loss for a minute.
        let options = enduring().liveness(PATIENCE);
        for paradigm in [Paradigm::Client, Paradigm::Server] {
            let (env, relay, host) = behind("tcp", paradigm, &options, || CountingEnv::new(None))?;
            let mut env = env.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
            env.reset(None, &Value::None)?;
            for step in 1..4 {
                relay.cut_half();
                // An environment that dials notices at once, an agent at its next call.
                thread::sleep(Duration::from_millis(200));
                assert_eq!(env.step(0)?.observation[2], f64::from(step));
            }
            env.close()?;
            host.close();
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

/// Steps, and replays old handshakes that were overtaken by later ones.
pub(crate) fn walk_among_the_overtaken(env: RemoteEnv, relay: &Relay) -> Result<(), EnvError> {
    let mut env = env.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
    env.reset(None, &Value::None)?;
    let mut steps = 0..12;
    for _ in 0..3 {
        relay.cut();
        for step in steps.by_ref().take(3) {
            assert_eq!(env.step(0)?.observation[2], f64::from(step + 1));
        }
        // The bytes that the network has held back arrive, from a connection that its dialer gave up long ago.
        let mut late = TcpStream::connect(relay.address().trim_start_matches("tcp://"))?;
        late.write_all(&relay.last_opening())?;
        assert_eq!(late.read(&mut [0])?, 1, "it is admitted");
    }
    for step in steps {
        assert_eq!(env.step(0)?.observation[2], f64::from(step + 1));
    }
    env.close()
}

#[test]
fn a_handshake_that_was_overtaken_costs_only_time() {
    bounded(|| {
        for paradigm in [Paradigm::Client, Paradigm::Server] {
            let (env, relay, host) = behind("tcp", paradigm, &enduring(), || CountingEnv::new(None))?;
            walk_among_the_overtaken(env, &relay).unwrap_or_else(|error| panic!("{paradigm:?}: {error}"));
            host.close();
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_answer_that_takes_long_is_brought_again_whole() {
    bounded(|| {
        let (mut env, relay, host) = behind("tcp", Paradigm::Client, &enduring(), || CountingEnv::new(None))?;
        relay.slow_down();
        let large = Value::Bytes(vec![7; 24 << 20]);
        let waiting = {
            let large = large.clone();
            thread::spawn(move || env.reset(Some(5), &large).map(|result| (env, result)))
        };
        // The options are under way to the environment for some eight seconds, and then on their way back.
        thread::sleep(Duration::from_secs(11));
        relay.cut();
        let (mut env, result) = waiting.join().expect("it does not panic")?;
        assert_eq!(result.info.get("options"), Some(&large));
        env.close()?;
        host.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_agent_that_is_closed_while_its_connection_is_away_never_comes_back() {
    bounded(|| {
        let options = enduring().reconnect_timeout(None);
        let (backend, address) = counting_with(&fresh("tcp"), HostOptions::new(options.clone()))?;
        let relay = Relay::to(&address);
        let mut env = ClientEnv::connect(relay.address(), AgentOptions::new(options))?;
        env.reset(None, &Value::None)?;
        relay.shut();
        env.close()?;
        // An attempt may still be under way.
        thread::sleep(Duration::from_secs(3));
        relay.open();
        let dialed = relay.last_opening();
        thread::sleep(Duration::from_secs(3));
        assert_eq!(relay.last_opening(), dialed, "nobody dials");
        assert_eq!(relay.cut(), 0);
        drop(env);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

/// Options with which no side waits longer than four seconds.
fn impatient() -> ConnectionOptions {
    enduring().reconnect_timeout(Duration::from_secs(4))
}

/// Longer than any wait, with all that a busy machine may add.
const LONG: Duration = Duration::from_secs(8);

/// Runs one test for each network, all at the same time, for the tests mostly wait.
fn over_each_network(test: fn(&'static str) -> Result<(), EnvError>) {
    let run = |scheme: &'static str| thread::spawn(move || bounded(move || test(scheme)));
    let threads: Vec<_> = NETWORKS.iter().map(|scheme| (scheme, run(scheme))).collect();
    for (scheme, thread) in threads {
        thread.join().expect("it does not panic").unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

#[test]
fn an_environment_comes_back_in_the_middle_of_a_long_step() {
    over_each_network(|scheme| {
        let gate = Gate::default();
        let (mut env, relay, host) = {
            let gate = gate.clone();
            behind(scheme, Paradigm::Server, &impatient(), move || Gated {
                env: CountingEnv::new(None),
                gate: gate.clone(),
            })?
        };
        env.reset(None, &Value::None)?;
        let waiting = thread::spawn(move || env.step(Value::Int(HOLD)).map(|_| env));
        eventually("the environment steps", || gate.visits() == 1);
        relay.cut();
        thread::sleep(LONG);
        gate.open();
        let mut env = waiting.join().expect("it does not panic")?;
        assert_eq!(gate.visits(), 1, "over {scheme}");
        env.close()?;
        host.close();
        Ok(())
    });
}

#[test]
fn an_agent_comes_back_while_it_thinks() {
    over_each_network(|scheme| {
        let (mut env, relay, host) = behind(scheme, Paradigm::Client, &impatient(), || CountingEnv::new(None))?;
        env.reset(None, &Value::None)?;
        for _ in 0..2 {
            relay.cut();
            thread::sleep(LONG);
            env.step(Value::Int(1))?;
        }
        env.close()?;
        host.close();
        Ok(())
    });
}

#[test]
fn with_zero_a_session_ends_with_its_connection() {
    bounded(|| {
        let options = patient().connection().clone().reconnect_timeout(Duration::ZERO);
        for paradigm in [Paradigm::Client, Paradigm::Server] {
            let (mut env, relay, host) = behind("tcp", paradigm, &options, || CountingEnv::new(None))?;
            env.reset(None, &Value::None)?;
            relay.cut();
            let error = env.step(Value::Int(1)).unwrap_err();
            assert_eq!(error.downcast_ref::<Error>().expect("an error of RLay").kind(), ErrorKind::ConnectionLost);
            host.close();
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_environment_that_is_gone_is_not_waited_for() {
    for scheme in NETWORKS {
        bounded(move || {
            // A side that waits for its peer would wait for a minute.
            let (backend, address) = counting_with(&fresh(scheme), HostOptions::new(enduring()))?;
            let relay = Relay::to(&address);
            let mut env = ClientEnv::connect(relay.address(), AgentOptions::new(enduring()))?;
            env.reset(None, &Value::None)?;
            backend.close();
            let start = Instant::now();
            assert!(env.step(Value::Int(1)).is_err(), "over {scheme}");
            assert!(start.elapsed() < Duration::from_secs(20), "over {scheme}: {:?}", start.elapsed());
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn a_session_that_waits_for_its_agent_makes_room_for_another() {
    bounded(|| {
        let options = HostOptions::new(enduring()).max_sessions(1);
        let (backend, address) = counting_with(&fresh("tcp"), options)?;
        let relay = Relay::to(&address);
        let mut first = ClientEnv::connect(relay.address(), AgentOptions::new(enduring()))?;
        first.reset(None, &Value::None)?;
        // As if the agent had been killed.
        relay.shut();
        let mut second = ClientEnv::connect(&address, AgentOptions::new(enduring()))?;
        second.reset(None, &Value::None)?;
        second.close()?;
        drop(first);
        eventually("no session is left", || backend.sessions() == 0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_environment_that_is_cut_off_before_anybody_took_it_dials_anew() {
    bounded(|| {
        let server = ServerEnv::bind(&fresh("tcp"), AgentOptions::new(enduring()))?;
        let relay = Relay::to(&server.address().to_string());
        let only = HostOptions::new(enduring()).max_sessions(1);
        let backend = ClientBackend::new(|_| Ok(CountingEnv::new(None)), relay.address(), only)?;
        backend.start()?;
        for _ in 0..3 {
            // The environment waits to be accepted; a connection that is cut is resumed, or replaced.
            eventually("the environment has dialed in", || relay.cut() > 0);
            thread::sleep(Duration::from_millis(100));
        }
        let mut env = server.accept()?;
        env.reset(None, &Value::None)?;
        env.step(Value::Int(1))?;
        env.close()?;
        backend.close();
        server.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
