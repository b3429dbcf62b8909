//! Inside tokio: the async form works on one thread, and the blocking form fails with an error that says why.

use std::time::Duration;

use rlay::{
    ClientBackend, ClientEnv, Env, EnvError, Error, ErrorKind, Hosted, HostedEnv, PolicyServer, PolledEnv,
    ServerBackend, ServerEnv, Space, Value, asynchronous,
    endpoint::Host,
    wire::{Make, Role},
};
use rlay_testkit::CountingEnv;
use tokio::{
    runtime::{Builder, Runtime},
    task, time,
};

use crate::support::{Gate, Gated, HOLD, PATIENCE, bounded, counting, eventually, fresh, patient, patient_host};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// One session of a counting environment, hosted by whichever task this is.
async fn host(mut listener: Box<dyn rlay::Listener>, acceptor: asynchronous::AsyncAcceptor) -> rlay::Result<()> {
    let mut line = acceptor.handshake(listener.accept().await?).await?.expect("a new session");
    let mut make = |make: &Make| {
        let env = CountingEnv::new(make.render_mode.as_deref());
        Ok(HostedEnv::One(Box::new(Hosted::new(env, make.render_mode.clone()))))
    };
    let limits = *line.limits();
    asynchronous::serve(&mut line, &mut Host::new(&mut make, limits, true)).await
}

async fn play(address: String) -> Result<(), EnvError> {
    let options = patient().render_mode("ansi");
    let mut env = asynchronous::AsyncEnv::connect(&address, &options).await?;
    let mut local = CountingEnv::new(None);
    let space = local.observation_space().clone();
    for seed in [Some(5), None] {
        let (here, there) = (local.reset(seed, &Value::None)?, env.reset(seed, &Value::None).await?);
        assert_eq!(space.to_value(&here.observation), there.observation);
        for action in 0..20 {
            let (here, there) = (local.step(action)?, env.step(&Value::Int(action)).await?);
            assert_eq!((space.to_value(&here.observation), here.reward), (there.observation, there.reward));
        }
    }
    assert_eq!(env.render().await?, "episode 2, step 20".into());
    assert_eq!(env.step(&Value::Int(1000)).await.unwrap_err().kind(), ErrorKind::Env);
    assert_eq!(env.step(&Value::Str("up".into())).await.unwrap_err().kind(), ErrorKind::InvalidAction);
    env.step(&Value::Int(1)).await?;
    Ok(env.close().await?)
}

#[test]
fn agent_and_host_share_a_current_thread_runtime() {
    for scheme in ["mem", "tcp", "unix"] {
        bounded(move || {
            runtime().block_on(async {
                let (listener, acceptor) =
                    asynchronous::AsyncAcceptor::listen(&fresh(scheme).parse()?, Role::Env, patient().connection())
                        .await?;
                let address = listener.address().to_string();
                let (hosted, played) = tokio::join!(host(listener, acceptor), play(address));
                hosted?;
                played
            })
        })
        .unwrap();
    }
}

#[test]
fn a_cancelled_call_leaves_no_answer_for_another() {
    bounded(|| {
        let gate = Gate::default();
        let for_env = gate.clone();
        let factory = move |_: &Make| Ok(Gated { env: CountingEnv::new(None), gate: for_env.clone() });
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient_host())?;
        backend.start()?;
        let address = backend.address().to_string();
        runtime().block_on(async {
            let mut env = asynchronous::AsyncEnv::connect(&address, &patient()).await?;
            env.reset(Some(1), &Value::None).await?;
            let step = time::timeout(Duration::from_millis(50), env.step(&Value::Int(HOLD)));
            step.await.expect_err("the env waits at the gate");
            assert_eq!(env.step(&Value::Int(2)).await.unwrap_err().kind(), ErrorKind::Busy);
            gate.open();
            let first = env.reset(Some(2), &Value::None).await?;
            assert_eq!(first.info.get("seed"), Some(&Value::Int(2)));
            assert_eq!(env.step(&Value::Int(3)).await?.reward, 103.0);
            env.close().await?;
            Ok::<_, EnvError>(())
        })?;
        eventually("the session has ended", || backend.sessions() == 0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

/// Every blocking call, made where it is not allowed.
fn blocking_calls(address: &str) -> Vec<Error> {
    let factory = |_: &Make| Ok(CountingEnv::new(None));
    let space = || rlay::Discrete::new(2);
    let metadata = rlay::Metadata::default();
    vec![
        ClientEnv::connect(address, patient()).expect_err("it blocks"),
        ServerEnv::bind(&fresh("mem"), patient()).expect_err("it blocks"),
        ServerBackend::bind(factory, &fresh("tcp"), patient_host()).expect_err("it blocks"),
        ClientBackend::new(factory, address, patient_host()).and_then(|backend| backend.run()).expect_err("it blocks"),
        PolledEnv::new(space(), space(), &metadata, address, patient_host()).expect_err("it blocks"),
        PolicyServer::bind(&fresh("tcp"), patient()).expect_err("it blocks"),
    ]
}

#[test]
fn blocking_endpoints_refuse_a_thread_that_runs_tokio() {
    bounded(|| {
        let (backend, address) = counting(&fresh("tcp"))?;
        for runtime in [runtime(), Builder::new_multi_thread().worker_threads(1).enable_all().build()?] {
            let there = address.clone();
            let errors = runtime.block_on(async { blocking_calls(&there) });
            let there = address.clone();
            let spawned = runtime.block_on(async { task::spawn(async move { blocking_calls(&there) }).await })?;
            for error in errors.into_iter().chain(spawned) {
                assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
                assert!(error.to_string().contains("spawn_blocking"), "{error}");
            }
        }
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn blocking_endpoints_work_where_the_refusal_sends_them() {
    for scheme in ["mem", "tcp"] {
        bounded(move || {
            runtime().block_on(async move {
                let playing = task::spawn_blocking(move || {
                    let (backend, address) = counting(&fresh(scheme))?;
                    let mut env = ClientEnv::connect(&address, patient().timeout(PATIENCE))?;
                    env.reset(Some(1), &Value::None)?;
                    let reward = env.step(Value::Int(1))?.reward;
                    env.close()?;
                    backend.close();
                    Ok::<_, EnvError>(reward)
                });
                assert_eq!(playing.await??, 101.0);
                Ok::<_, EnvError>(())
            })
        })
        .unwrap();
    }
}

#[test]
fn endpoints_may_be_dropped_on_a_thread_that_runs_tokio() {
    for scheme in ["mem", "tcp"] {
        bounded(move || {
            let (backend, address) = counting(&fresh(scheme))?;
            let mut env = ClientEnv::connect(&address, patient())?;
            env.reset(None, &Value::None)?;
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let watched = backend.clone();
            runtime().block_on(async move {
                drop(env);
                drop(server);
                drop(backend);
            });
            eventually("the session has ended", || watched.sessions() == 0);
            watched.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}
