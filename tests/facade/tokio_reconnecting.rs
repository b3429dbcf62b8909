//! Inside tokio, too, a connection that is dropped while both ends live costs only time.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rlay::{
    Address, AgentOptions, Channel, ConnectionOptions, Env, EnvError, ErrorKind, Frame, HostOptions, Listener,
    ServerBackend, Space, Tcp, Token, Transport, TransportOptions, Value, asynchronous::AsyncEnv,
};
use rlay_testkit::CountingEnv;
use tokio::{runtime::Builder, time};

use crate::{
    reconnecting::{NETWORKS, enduring},
    support::{Gate, Gated, HOLD, PATIENCE, Relay, bounded, counting_with, eventually, fresh, patient},
};

pub(crate) fn on_tokio(test: impl Future<Output = Result<(), EnvError>>) -> Result<(), EnvError> {
    Builder::new_current_thread().enable_all().build()?.block_on(test)
}

/// A counting environment behind a relay.
fn behind(scheme: &str, options: ConnectionOptions) -> Result<(ServerBackend, Relay), EnvError> {
    let (backend, address) = counting_with(&fresh(scheme), HostOptions::new(options))?;
    Ok((backend, Relay::to(&address)))
}

/// The same with a gate.
fn gated(scheme: &str) -> Result<(ServerBackend, Relay, Gate), EnvError> {
    let gate = Gate::default();
    let for_env = gate.clone();
    let make = move |_: &_| Ok(Gated { env: CountingEnv::new(None), gate: for_env.clone() });
    let backend = ServerBackend::bind(make, &fresh(scheme), HostOptions::new(enduring()))?;
    backend.start()?;
    let relay = Relay::to(&backend.address().to_string());
    Ok((backend, relay, gate))
}

/// Steps in parallel with a local environment, and calls `cut` before every `every`th step.
pub(crate) async fn walk(env: &mut AsyncEnv, steps: i64, every: i64, cut: impl Fn()) -> Result<(), EnvError> {
    let mut local = CountingEnv::new(None);
    let space = local.observation_space().clone();
    let (here, there) = (local.reset(Some(3), &Value::None)?, env.reset(Some(3), &Value::None).await?);
    assert_eq!((space.to_value(&here.observation), here.info), (there.observation, there.info));
    for step in 0..steps {
        if step % every == every - 1 {
            cut();
        }
        let (here, there) = (local.step(step)?, env.step(&Value::Int(step)).await?);
        assert_eq!((space.to_value(&here.observation), here.reward), (there.observation, there.reward), "step {step}");
    }
    Ok(())
}

#[test]
fn a_session_outlasts_its_connections() {
    for scheme in NETWORKS {
        bounded(move || {
            let (backend, relay) = behind(scheme, enduring())?;
            // Over datagrams a cut is silence, which is detected only after a while.
            let (steps, every) = if *scheme == "quic" { (20, 10) } else { (200, 5) };
            on_tokio(async {
                let mut env = AsyncEnv::connect(relay.address(), &AgentOptions::new(enduring())).await?;
                walk(&mut env, steps, every, || assert_ne!(relay.cut(), 0, "there is nothing to cut")).await?;
                Ok(env.close().await?)
            })?;
            eventually("the session has ended", || backend.sessions() == 0);
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

#[test]
fn a_token_is_proven_again() {
    bounded(|| {
        let options = AgentOptions::new(enduring()).token(Token::new("correct horse battery staple")?);
        let (backend, relay) = behind("tcp", options.connection().clone())?;
        on_tokio(async {
            let mut env = AsyncEnv::connect(relay.address(), &options).await?;
            walk(&mut env, 20, 5, || assert_ne!(relay.cut(), 0)).await?;
            Ok(env.close().await?)
        })?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_step_that_is_under_way_is_taken_once() {
    for scheme in ["tcp", "zmq"].into_iter().filter(|scheme| NETWORKS.contains(scheme)) {
        bounded(move || {
            let (backend, relay, gate) = gated(scheme)?;
            on_tokio(async {
                let mut env = AsyncEnv::connect(relay.address(), &AgentOptions::new(enduring())).await?;
                env.reset(None, &Value::None).await?;
                let disturb = async {
                    while gate.visits() == 0 {
                        time::sleep(Duration::from_millis(5)).await;
                    }
                    for _ in 0..2 {
                        while relay.cut() == 0 {
                            time::sleep(Duration::from_millis(5)).await;
                        }
                        time::sleep(Duration::from_millis(300)).await;
                    }
                    gate.open();
                };
                let hold = Value::Int(HOLD);
                let (result, ()) = tokio::join!(env.step(&hold), disturb);
                assert_eq!(gate.visits(), 1, "over {scheme}");
                let expected = Value::Array(rlay::Array::new(&[4], &[-1.0, 1.0, 1.0, HOLD as f64]));
                assert_eq!(result?.observation, expected, "over {scheme}");
                Ok(env.close().await?)
            })?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

#[test]
fn a_call_that_is_cancelled_while_it_dials_again_can_be_followed_by_others() {
    bounded(|| {
        let (backend, relay) = behind("tcp", enduring())?;
        on_tokio(async {
            let mut env = AsyncEnv::connect(relay.address(), &AgentOptions::new(enduring())).await?;
            env.reset(Some(1), &Value::None).await?;
            for round in 0..3 {
                relay.shut();
                for _ in 0..3 {
                    let waiting = time::timeout(Duration::from_millis(60), env.step(&Value::Int(2))).await;
                    // The first call waits, and the others find its late answer outstanding.
                    assert!(waiting.is_err() || waiting.is_ok_and(|e| e.unwrap_err().kind() == ErrorKind::Busy));
                }
                let reset = time::timeout(Duration::from_millis(60), env.reset(Some(7), &Value::None)).await;
                reset.expect_err("nobody is there");
                relay.open();
                // The step with the cancelled call was taken, once, before this reset.
                let first = env.reset(Some(round), &Value::None).await?;
                assert_eq!(first.info.get("seed"), Some(&Value::Int(round as i64)));
                assert_eq!(env.step(&Value::Int(3)).await?.reward, 103.0);
            }
            relay.shut();
            time::timeout(Duration::from_millis(60), env.render()).await.expect_err("nobody is there");
            relay.open();
            Ok(env.close().await?)
        })?;
        // The host received the goodbye, and does not wait for an agent that left.
        let began = Instant::now();
        eventually("the session has ended", || backend.sessions() == 0);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

/// TCP with a dialer that blocks within a frame when the test says so.
#[derive(Debug, Clone, Default)]
struct Sticky(Arc<AtomicU8>);

const BEFORE: u8 = 1;
const AFTER: u8 = 2;

#[derive(Debug)]
struct Stuck {
    channel: Box<dyn Channel>,
    when: Arc<AtomicU8>,
}

#[async_trait]
impl Channel for Stuck {
    async fn send(&mut self, head: &[u8], body: &[u8]) -> rlay::Result<()> {
        let when = self.when.swap(0, SeqCst);
        if when == BEFORE {
            std::future::pending::<()>().await;
        }
        self.channel.send(head, body).await?;
        if when == AFTER {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn recv(&mut self) -> rlay::Result<Option<Frame>> {
        self.channel.recv().await
    }

    async fn close(&mut self) -> rlay::Result<()> {
        self.channel.close().await
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.channel.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.channel.peer()
    }
}

#[async_trait]
impl Transport for Sticky {
    fn schemes(&self) -> &'static [&'static str] {
        Tcp.schemes()
    }

    fn is_network(&self, scheme: &str) -> bool {
        Tcp.is_network(scheme)
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> rlay::Result<Box<dyn Channel>> {
        let channel = Tcp.connect(address, options).await?;
        Ok(Box::new(Stuck { channel, when: self.0.clone() }))
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> rlay::Result<Box<dyn Listener>> {
        Tcp.listen(address, options).await
    }
}

#[test]
fn a_call_that_is_cancelled_while_it_sends_is_healed_by_another_connection() {
    for when in [BEFORE, AFTER] {
        bounded(move || {
            let (backend, _, gate) = gated("tcp")?;
            let sticky = Sticky::default();
            let options = AgentOptions::new(enduring()).transport(sticky.clone());
            on_tokio(async {
                let mut env = AsyncEnv::connect(&backend.address().to_string(), &options).await?;
                env.reset(Some(1), &Value::None).await?;
                for round in 1..4 {
                    sticky.0.store(when, SeqCst);
                    let hold = Value::Int(HOLD);
                    time::timeout(Duration::from_millis(50), env.step(&hold)).await.expect_err("it is stuck");
                    assert_eq!(env.step(&Value::Int(2)).await.unwrap_err().kind(), ErrorKind::Busy);
                    gate.open();
                    env.reset(None, &Value::None).await?;
                    assert_eq!(gate.visits(), round, "each step was taken once");
                    assert_eq!(env.step(&Value::Int(3)).await?.reward, 103.0);
                }
                Ok(env.close().await?)
            })?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("{when}: {error}"));
    }
}

#[test]
fn with_zero_a_session_ends_with_its_connection() {
    bounded(|| {
        let options = patient().reconnect_timeout(Duration::ZERO);
        let (backend, relay) = behind("tcp", options.connection().clone())?;
        on_tokio(async {
            let mut env = AsyncEnv::connect(relay.address(), &options).await?;
            env.reset(None, &Value::None).await?;
            relay.cut();
            // However often the call is repeated.
            for _ in 0..2 {
                let error = env.step(&Value::Int(1)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
            }
            assert_eq!(env.reset(None, &Value::None).await.unwrap_err().kind(), ErrorKind::ConnectionLost);
            Ok(())
        })?;
        eventually("the session has ended", || backend.sessions() == 0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn nobody_waits_for_longer_than_reconnect_timeout() {
    bounded(|| {
        let (backend, relay) = behind("tcp", enduring())?;
        let options = patient().reconnect_timeout(Duration::from_secs(1));
        on_tokio(async {
            for is_cancelled in [false, true] {
                let mut env = AsyncEnv::connect(relay.address(), &options).await?;
                env.reset(None, &Value::None).await?;
                relay.shut();
                let began = Instant::now();
                if is_cancelled {
                    // Calls that are cancelled have waited, too.
                    for _ in 0..12 {
                        let _ = time::timeout(Duration::from_millis(90), env.reset(None, &Value::None)).await;
                    }
                }
                let error = env.reset(None, &Value::None).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
                assert!(error.to_string().contains("no other connection came within 1s"), "{error}");
                assert!((1..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
                relay.open();
            }
            Ok(())
        })?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_environment_that_is_gone_is_not_waited_for() {
    bounded(|| {
        // A side that waits for its peer would wait for a minute, or for two seconds.
        for reconnect_timeout in [Some(PATIENCE), None] {
            let (backend, address) = counting_with(&fresh("tcp"), HostOptions::new(enduring()))?;
            on_tokio(async {
                let options = patient().reconnect_timeout(reconnect_timeout);
                let mut env = AsyncEnv::connect(&address, &options).await?;
                env.reset(None, &Value::None).await?;
                backend.close();
                let began = Instant::now();
                let error = env.step(&Value::Int(1)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
                assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
                Ok(())
            })?;
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_environment_that_is_dropped_is_not_kept() {
    for scheme in NETWORKS {
        bounded(move || {
            let (backend, address) = counting_with(&fresh(scheme), HostOptions::new(enduring()))?;
            on_tokio(async {
                let mut env = AsyncEnv::connect(&address, &AgentOptions::new(enduring())).await?;
                env.reset(None, &Value::None).await?;
                drop(env);
                let began = Instant::now();
                while backend.sessions() > 0 {
                    time::sleep(Duration::from_millis(5)).await;
                    assert!(began.elapsed() < Duration::from_secs(20), "over {scheme}: {:?}", began.elapsed());
                }
                Ok(())
            })?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}
