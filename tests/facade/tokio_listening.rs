//! Inside tokio, a listener takes many peers, and resumes those that have lost their connection.

use std::{
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rlay::{
    AgentOptions, ClientBackend, ClientEnv, ConnectionOptions, Env, EnvError, Error, ErrorKind, HostOptions, Hosted,
    HostedEnv, ServerEnv, Token, Value,
    asynchronous::{self, AsyncAcceptor, AsyncConnection, AsyncEnv},
    endpoint::Host,
    wire::{Make, Role},
};
use rlay_testkit::CountingEnv;
use tokio::{
    sync::oneshot,
    task::{self, LocalSet},
    time,
};

use crate::{
    reconnecting::{NETWORKS, enduring, walk, walk_among_the_overtaken},
    support::{Gate, Gated, HOLD, PATIENCE, Relay, bounded, eventually, fresh, patient},
    tokio_reconnecting::{self, on_tokio},
};

/// Hosts one session of an environment of this factory on this task.
async fn serve<E: Env + 'static>(mut line: AsyncConnection, make: impl Fn() -> E) -> rlay::Result<()> {
    let mut make = |asked: &Make| Ok(HostedEnv::One(Box::new(Hosted::new(make(), asked.render_mode.clone()))));
    let limits = *line.limits();
    asynchronous::serve(&mut line, &mut Host::new(&mut make, limits, true)).await
}

/// A host with its sessions as tasks of one thread.
pub(crate) struct Hosting {
    pub(crate) address: String,
    acceptor: AsyncAcceptor,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Hosting {
    fn start<E: Env + 'static>(
        scheme: &str,
        options: ConnectionOptions,
        make: impl Fn() -> E + Send + 'static,
    ) -> Self {
        let (tell, told) = mpsc::channel();
        let (stop, mut stopped) = oneshot::channel();
        let address = fresh(scheme);
        let accept = move || async move {
            let (mut listener, acceptor) = AsyncAcceptor::listen(&address.parse()?, Role::Env, &options).await?;
            tell.send((listener.address().to_string(), acceptor.clone())).expect("the test waits for it");
            let make = Rc::new(make);
            loop {
                let incoming = tokio::select! {
                    incoming = listener.accept() => incoming?,
                    _ = &mut stopped => return Ok(()),
                };
                let (acceptor, make) = (acceptor.clone(), make.clone());
                task::spawn_local(async move {
                    // Failures are for the agents to see.
                    if let Ok(Some(line)) = acceptor.handshake(incoming).await {
                        let _ = serve(line, &*make).await;
                    }
                });
            }
        };
        let thread = thread::spawn(move || {
            on_tokio(async { LocalSet::new().run_until(accept()).await }).expect("a listener");
        });
        let (address, acceptor) = told.recv_timeout(PATIENCE).expect("it listens");
        Self { address, acceptor, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn counting(scheme: &str, options: ConnectionOptions) -> Self {
        Self::start(scheme, options, || CountingEnv::new(None))
    }
}

impl Drop for Hosting {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// How many steps, and after how many there is a cut: over datagrams a cut is silence, which is detected after a while.
fn paces(scheme: &str) -> (i64, i64) {
    if scheme == "quic" { (20, 10) } else { (100, 5) }
}

#[test]
fn the_sessions_of_a_host_outlast_their_connections() {
    for scheme in NETWORKS {
        bounded(move || {
            let host = Hosting::counting(scheme, enduring());
            let relay = Relay::to(&host.address);
            let (steps, every) = paces(scheme);
            walk(ClientEnv::connect(relay.address(), AgentOptions::new(enduring()))?, &relay, steps, every)?;
            eventually("the session has ended", || host.acceptor.sessions() == 0);
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

#[test]
fn a_token_is_proven_again() {
    bounded(|| {
        let options = enduring().token(Token::new("correct horse battery staple")?);
        let host = Hosting::counting("tcp", options.clone());
        let relay = Relay::to(&host.address);
        walk(ClientEnv::connect(relay.address(), AgentOptions::new(options))?, &relay, 20, 5)?;
        let error = ClientEnv::connect(&host.address, AgentOptions::new(enduring())).expect_err("it has no token");
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn the_sessions_of_an_agent_outlast_their_connections() {
    for scheme in NETWORKS {
        bounded(move || {
            on_tokio(async {
                let (mut listener, acceptor) =
                    AsyncAcceptor::listen(&fresh(scheme).parse()?, Role::Agent, &enduring()).await?;
                let relay = Relay::to(&listener.address().to_string());
                let only = HostOptions::new(enduring()).max_sessions(1);
                let backend = ClientBackend::new(|_| Ok(CountingEnv::new(None)), relay.address(), only)?;
                backend.start()?;
                let line = acceptor.handshake(listener.accept().await?).await?.expect("a new session");
                let (steps, every) = paces(scheme);
                let play = async {
                    let mut env = AsyncEnv::open(line, &AgentOptions::new(enduring())).await?;
                    tokio_reconnecting::walk(&mut env, steps, every, || assert_ne!(relay.cut(), 0)).await?;
                    // A call that is cancelled while no peer is connected is followed by others.
                    for seed in 0..3 {
                        relay.cut();
                        let _ = time::timeout(Duration::from_millis(10), env.step(&Value::Int(1))).await;
                        assert_eq!(
                            env.reset(Some(seed), &Value::None).await?.info.get("seed"),
                            Some(&Value::Int(seed as i64))
                        );
                    }
                    Ok::<_, EnvError>(env.close().await?)
                };
                let receive = async {
                    loop {
                        let back = acceptor.handshake(listener.accept().await?).await;
                        // A connection that the relay cut in the middle of a handshake is an error.
                        assert!(!matches!(back, Ok(Some(_))), "it comes back to its own session");
                    }
                };
                let played = tokio::select! {
                    played = play => played,
                    failed = receive => failed,
                };
                task::spawn_blocking(move || backend.close()).await?;
                played
            })
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

#[test]
fn an_environment_that_dials_comes_back() {
    for scheme in NETWORKS {
        bounded(move || {
            let server = ServerEnv::bind(&fresh(scheme), AgentOptions::new(enduring()))?;
            let relay = Relay::to(&server.address().to_string());
            let to = relay.address().parse()?;
            let hosting = thread::spawn(move || {
                on_tokio(async move {
                    let line = asynchronous::connect(&to, Role::Env, &enduring()).await?;
                    Ok(serve(line, || CountingEnv::new(None)).await?)
                })
            });
            let (steps, every) = paces(scheme);
            walk(server.accept()?, &relay, steps, every)?;
            hosting.join().expect("it does not panic")?;
            Ok::<_, EnvError>(())
        })
        .unwrap_or_else(|error| panic!("over {scheme}: {error}"));
    }
}

#[test]
fn a_step_that_is_under_way_is_taken_once() {
    bounded(|| {
        let gate = Gate::default();
        let for_env = gate.clone();
        let make = move || Gated { env: CountingEnv::new(None), gate: for_env.clone() };
        let host = Hosting::start("tcp", enduring(), make);
        let relay = Relay::to(&host.address);
        let mut env = ClientEnv::connect(relay.address(), AgentOptions::new(enduring()))?;
        env.reset(None, &Value::None)?;
        let waiting = thread::spawn(move || env.step(Value::Int(HOLD)).map(|result| (env, result.observation)));
        eventually("the environment steps", || gate.visits() == 1);
        for _ in 0..2 {
            relay.cut();
            thread::sleep(Duration::from_millis(300));
        }
        gate.open();
        let (mut env, observation) = waiting.join().expect("it does not panic")?;
        assert_eq!(gate.visits(), 1);
        assert_eq!(observation, Value::Array(rlay::Array::new(&[4], &[-1.0, 1.0, 1.0, HOLD as f64])));
        env.close()
    })
    .unwrap();
}

#[test]
fn a_handshake_that_was_overtaken_costs_only_time() {
    bounded(|| {
        let host = Hosting::counting("tcp", enduring());
        let relay = Relay::to(&host.address);
        walk_among_the_overtaken(ClientEnv::connect(relay.address(), AgentOptions::new(enduring()))?, &relay)
    })
    .unwrap();
}

#[test]
fn there_are_at_most_max_sessions() {
    bounded(|| {
        let host = Hosting::counting("tcp", enduring().max_sessions(1));
        let relay = Relay::to(&host.address);
        let mut first = ClientEnv::connect(relay.address(), AgentOptions::new(enduring()))?;
        first.reset(None, &Value::None)?;
        let hasty = patient().connect_timeout(Duration::from_secs(2));
        let error = ClientEnv::connect(&host.address, hasty).expect_err("it is full");
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        // As if its agent had been killed: a session that waits for the agent makes room.
        relay.shut();
        let mut second = ClientEnv::connect(&host.address, AgentOptions::new(enduring()))?;
        second.reset(None, &Value::None)?;
        second.close()?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn nobody_waits_for_longer_than_reconnect_timeout() {
    bounded(|| {
        let host = Hosting::counting("tcp", enduring().reconnect_timeout(Duration::from_secs(1)));
        let relay = Relay::to(&host.address);
        let mut env = ClientEnv::connect(relay.address(), AgentOptions::new(enduring()))?;
        env.reset(None, &Value::None)?;
        let began = Instant::now();
        relay.shut();
        eventually("the environment was given up", || host.acceptor.sessions() == 0);
        assert!((1..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        relay.open();
        // The agent is told that the session does not exist any more, and does not retry for a minute.
        let error = env.step(Value::Int(1)).unwrap_err();
        assert_eq!(error.downcast_ref::<Error>().expect("an error of RLay").kind(), ErrorKind::ConnectionLost);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_lobby_that_is_closed_brings_nobody_back() {
    bounded(|| {
        on_tokio(async {
            let (mut listener, acceptor) =
                AsyncAcceptor::listen(&fresh("tcp").parse()?, Role::Agent, &enduring()).await?;
            let relay = Relay::to(&listener.address().to_string());
            let to = relay.address().parse()?;
            let dialed = tokio::spawn(async move { asynchronous::connect(&to, Role::Env, &enduring()).await });
            let line = acceptor.handshake(listener.accept().await?).await?.expect("a new session");
            let dialed = dialed.await??;
            drop(acceptor);
            relay.shut();
            let error = AsyncEnv::open(line, &AgentOptions::new(enduring())).await.expect_err("no dialer comes back");
            assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
            assert!(error.to_string().contains("takes no dialer back any more"), "{error}");
            drop(dialed);
            Ok(())
        })
    })
    .unwrap();
}
