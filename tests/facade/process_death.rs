//! A process that is killed takes no other with it, and no call waits for it.

use std::{thread, time::Duration};

use rlay::{ClientBackend, ClientEnv, Env, EnvError, Error, ErrorKind, HostOptions, ServerBackend, ServerEnv, Value};

use crate::support::{
    Gate, Gated, HOLD, Paradigm, Process, bounded, counting_with, eventually, fresh, patient, patient_host, remote,
};

/// Options of a host that does not wait half a minute for an agent to reconnect.
fn brief() -> HostOptions {
    patient_host().reconnect_timeout(Duration::from_secs(1))
}

fn lost(error: &EnvError) -> bool {
    error.downcast_ref::<Error>().expect("an error of RLay").kind() == ErrorKind::ConnectionLost
}

#[test]
fn an_agent_that_waits_in_step_learns_that_the_env_was_killed() {
    for scheme in ["tcp", "unix"] {
        for paradigm in [Paradigm::Client, Paradigm::Server] {
            bounded(move || {
                let (mut env, mut host) = remote("stuck", scheme, paradigm)?;
                env.reset(None, &Value::None)?;
                let agent = thread::spawn(move || {
                    let error = env.step(Value::Int(HOLD)).unwrap_err(); // no timeout is set
                    (env, error)
                });
                while host.line() != "stuck" {}
                host.kill();
                let (mut env, error) = agent.join().expect("it does not panic");
                assert!(lost(&error), "{error}");
                assert!(lost(&env.reset(None, &Value::None).unwrap_err()), "and it stays lost");
                env.close()
            })
            .unwrap();
        }
    }
}

#[test]
fn the_session_of_a_killed_agent_is_freed() {
    for scheme in ["tcp", "unix"] {
        bounded(move || {
            let (backend, address) = counting_with(&fresh(scheme), brief())?;
            let mut agent = Process::start(scheme, "idle-agent", &address);
            assert_eq!(agent.line(), "ready");
            let mut other = ClientEnv::connect(&address, patient())?;
            other.reset(None, &Value::None)?;
            assert_eq!(backend.sessions(), 2);
            agent.kill();
            eventually("only the other session is left", || backend.sessions() == 1);
            other.step(Value::Int(1))?;
            other.close()?;
            eventually("no session is left", || backend.sessions() == 0);
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn an_agent_killed_while_its_env_is_busy_is_missed_when_the_env_answers() {
    bounded(|| {
        let gate = Gate::default();
        let for_env = gate.clone();
        let factory = move |_: &_| Ok(Gated { env: rlay_testkit::CountingEnv::new(None), gate: for_env.clone() });
        let backend = ServerBackend::bind(factory, &fresh("tcp"), brief())?;
        backend.start()?;
        let mut agent = Process::other("stepping-agent", &backend.address().to_string());
        eventually("the env is in its step", || gate.visits() == 1);
        agent.kill();
        gate.open();
        eventually("the session has ended", || backend.sessions() == 0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_env_that_died_in_the_queue_is_passed_over() {
    for scheme in ["tcp", "unix"] {
        bounded(move || {
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let address = server.address().to_string();
            let mut dead = Process::other("wait-in-queue", &address);
            assert_eq!(dead.line(), "dialed");
            dead.kill();
            let factory = |_: &_| Ok(rlay_testkit::CountingEnv::new(None));
            let backend = ClientBackend::new(factory, &address, patient_host())?;
            backend.start()?;
            let mut env = server.accept()?;
            env.reset(None, &Value::None)?;
            env.close()?;
            backend.close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}
