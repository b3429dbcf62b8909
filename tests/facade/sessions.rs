//! Several sessions at once, and their orderly end.

use std::{
    thread,
    time::{Duration, Instant},
};

use rlay::{BoxSpace, ClientBackend, ClientEnv, Discrete, Env, EnvError, Error, ErrorKind, ServerEnv, Value};
use rlay_testkit::CountingEnv;

use crate::support::{PATIENCE, bounded, counting, eventually, fresh, patient, patient_host};

/// `close` promises two seconds; a busy machine gets ten.
const CLOSES: Duration = Duration::from_secs(10);

fn kind(error: &EnvError) -> ErrorKind {
    error.downcast_ref::<Error>().expect("an error of RLay").kind()
}

#[test]
fn each_session_has_an_env_of_its_own() {
    for scheme in ["mem", "tcp", "unix"] {
        bounded(move || {
            let (backend, address) = counting(&fresh(scheme))?;
            let agents: Vec<_> = (0..8_u64)
                .map(|i| {
                    let address = address.clone();
                    thread::spawn(move || {
                        let env = ClientEnv::connect(&address, patient())?;
                        let mut env = env.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
                        for episode in 1..=5_u64 {
                            env.reset(Some(i), &Value::None)?;
                            for k in 1..=20_u64 {
                                let action = (i * 100 + k) as i64;
                                let result = env.step(action)?;
                                assert_eq!(result.observation, [i as f64, episode as f64, k as f64, action as f64]);
                            }
                        }
                        env.close()
                    })
                })
                .collect();
            for agent in agents {
                agent.join().expect("no assertion fails")?;
            }
            eventually("all sessions have ended", || backend.sessions() == 0);
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn one_session_too_many_is_told_so() {
    bounded(|| {
        let options = patient_host().max_sessions(2);
        let backend = rlay::ServerBackend::bind(|_: &_| Ok(CountingEnv::new(None)), &fresh("tcp"), options)?;
        backend.start()?;
        let address = backend.address().to_string();
        let mut first = ClientEnv::connect(&address, patient())?;
        let _second = ClientEnv::connect(&address, patient())?;
        let soon = rlay::agent_options().connect_timeout(Duration::from_secs(3));
        let error = ClientEnv::connect(&address, soon).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.to_string().contains("all 2 sessions are taken"), "{error}");
        first.reset(None, &Value::None)?; // was not disturbed

        // An agent that can wait gets the slot of the first that leaves.
        let waiting = thread::spawn(move || ClientEnv::connect(&address, patient()));
        first.close()?;
        waiting.join().expect("it does not panic")?.reset(None, &Value::None)?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn closing_a_backend_ends_idle_sessions_soon_and_twice() {
    for scheme in ["mem", "tcp", "unix"] {
        bounded(move || {
            let (backend, address) = counting(&fresh(scheme))?;
            let mut agents = vec![];
            for _ in 0..4 {
                let mut env = ClientEnv::connect(&address, patient())?;
                env.reset(None, &Value::None)?;
                agents.push(env);
            }
            for _ in 0..2 {
                let started = Instant::now();
                backend.close();
                assert!(started.elapsed() < CLOSES, "it took {:?}", started.elapsed());
            }
            for mut env in agents {
                let error = env.step(Value::Int(1)).unwrap_err();
                assert!(matches!(kind(&error), ErrorKind::ConnectionLost | ErrorKind::Closed), "{error}");
                assert!(error.to_string().contains("closing"), "it says why: {error}");
            }
            // A process that another test starts at this moment holds our descriptors for an instant.
            eventually("the address is free", || {
                counting(&address).is_ok_and(|(backend, _)| {
                    backend.close();
                    true
                })
            });
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn closing_reaches_an_agent_that_waits_for_its_env() {
    bounded(|| {
        let server = ServerEnv::bind(&fresh("tcp"), patient())?;
        let waiting = {
            let server = server.clone();
            thread::spawn(move || server.accept())
        };
        server.close();
        let error = waiting.join().expect("it does not panic").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::Closed);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn closing_a_client_backend_ends_its_sessions_and_its_run() {
    bounded(|| {
        let server = ServerEnv::bind(&fresh("tcp"), patient())?;
        let backend =
            ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &server.address().to_string(), patient_host())?;
        let running = {
            let backend = backend.clone();
            thread::spawn(move || backend.run())
        };
        let mut env = server.accept()?;
        env.reset(None, &Value::None)?;
        for _ in 0..2 {
            let started = Instant::now();
            backend.close();
            assert!(started.elapsed() < CLOSES, "it took {:?}", started.elapsed());
        }
        running.join().expect("it does not panic")?;
        let error = env.step(Value::Int(1)).unwrap_err();
        assert!(matches!(kind(&error), ErrorKind::ConnectionLost | ErrorKind::Closed), "{error}");
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_client_backend_gives_up_when_nobody_listens() {
    bounded(|| {
        let address = {
            let server = ServerEnv::bind(&fresh("tcp"), patient())?;
            server.close();
            server.address().to_string()
        };
        let options = rlay::host_options().connect_timeout(Duration::from_millis(200));
        let error = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), &address, options)?.run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionLost);
        assert!(error.to_string().contains(&address), "{error}");
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_env_that_is_dropped_ends_its_session() {
    bounded(|| {
        let (backend, address) = counting(&fresh("tcp"))?;
        let env = ClientEnv::connect(&address, patient().timeout(PATIENCE))?;
        assert_eq!(backend.sessions(), 1);
        drop(env);
        eventually("the session has ended", || backend.sessions() == 0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
