//! Where the environment dials: the first to start waits for the other, and every accept gets another environment.

use std::{thread, time::Duration};

use rlay::{BoxSpace, ClientBackend, ClientEnv, Discrete, Env, EnvError, ErrorKind, HostOptions, ServerEnv, Value};
use rlay_testkit::CountingEnv;

use crate::support::{Paradigm, bounded, counting, fresh, patient, patient_host, remote};

fn dial_in(address: &str, options: HostOptions) -> rlay::Result<ClientBackend> {
    let backend = ClientBackend::new(|_: &_| Ok(CountingEnv::new(None)), address, options)?;
    backend.start()?;
    Ok(backend)
}

#[test]
fn the_env_may_come_before_the_agent_listens() {
    for scheme in ["mem", "unix"] {
        bounded(move || {
            let address = fresh(scheme); // known before the listener exists, which a free port is not
            let backend = dial_in(&address, patient_host())?;
            let server = ServerEnv::bind(&address, patient())?;
            server.accept()?.reset(None, &Value::None)?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn the_env_may_come_before_and_after_the_agent_waits() {
    for scheme in ["mem", "tcp", "unix"] {
        bounded(move || {
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let waiting = {
                let server = server.clone();
                thread::spawn(move || server.accept())
            };
            let backend = dial_in(&server.address().to_string(), patient_host())?;
            waiting.join().expect("it does not panic")?.reset(None, &Value::None)?;
            // By now the next environment is queued, or soon will be.
            server.accept()?.reset(None, &Value::None)?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn an_agent_may_come_before_its_backend() {
    bounded(|| {
        let address = fresh("unix");
        let waiting = {
            let address = address.clone();
            thread::spawn(move || ClientEnv::connect(&address, patient()))
        };
        let (backend, _) = counting(&address)?;
        waiting.join().expect("it does not panic")?.reset(None, &Value::None)?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn every_accept_gets_another_env_from_one_backend() {
    for scheme in ["mem", "tcp"] {
        bounded(move || {
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let backend = dial_in(&server.address().to_string(), patient_host())?;
            // Spare sessions connect as they are needed.
            let mut envs = vec![];
            for _ in 0..5 {
                envs.push(server.accept()?.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?);
            }
            for (i, env) in envs.iter_mut().enumerate() {
                for episode in 1..=i + 1 {
                    assert_eq!(env.reset(Some(7), &Value::None)?.observation[1], episode as f64);
                }
            }
            for (i, env) in envs.iter_mut().enumerate() {
                assert_eq!(env.step(3)?.observation, [7.0, i as f64 + 1.0, 1.0, 3.0]);
            }
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn a_backend_offers_no_more_sessions_than_it_may() {
    bounded(|| {
        let server = ServerEnv::bind(&fresh("tcp"), patient().connect_timeout(Duration::from_millis(300)))?;
        let backend = dial_in(&server.address().to_string(), patient_host().max_sessions(1))?;
        let mut only = loop {
            // The backend may take longer than the short time that the agent waits here.
            match server.accept() {
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                result => break result?,
            }
        };
        assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::Timeout);
        only.reset(None, &Value::None)?;
        only.close()?;
        let mut next = loop {
            match server.accept() {
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                result => break result?,
            }
        };
        next.reset(None, &Value::None)?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn two_processes_are_two_envs() {
    bounded(|| {
        let (first, _a) = remote("counting", "tcp", Paradigm::Server)?;
        let (mut second, _b) = remote("counting", "tcp", Paradigm::Server)?;
        let mut first = first.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
        first.reset(Some(1), &Value::None)?;
        second.reset(Some(2), &Value::None)?;
        assert_eq!(first.step(5)?.observation, [1.0, 1.0, 1.0, 5.0]);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_agent_that_waits_in_vain_learns_where_it_waited() {
    bounded(|| {
        for scheme in ["mem", "tcp", "unix"] {
            let options = rlay::agent_options().connect_timeout(Duration::from_millis(100));
            let server = ServerEnv::bind(&fresh(scheme), options.clone())?;
            let error = server.accept().unwrap_err();
            let address = server.address().to_string();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.to_string().contains(&address) && error.to_string().contains("connect_timeout"), "{error}");

            server.close();
            let error = ClientEnv::connect(&address, options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionLost);
            assert!(error.to_string().contains(&address) && error.to_string().contains("connect_timeout"), "{error}");
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
