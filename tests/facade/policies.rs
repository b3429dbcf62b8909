//! PolicyServer: every environment that dials in is played by a policy of its own.

use std::{
    sync::mpsc::{Sender, channel},
    thread,
};

use rlay::{BoxSpace, ClientBackend, Discrete, Env, EnvError, PolicyServer, ResetResult, ServerEnv, StepResult, Value};
use rlay_testkit::CountingEnv;

use crate::{
    cartpole::CartPole,
    support::{PATIENCE, bounded, fresh, patient, patient_host},
};

/// Reports which action it was given after which observation.
struct Told {
    env: CountingEnv,
    last: [f64; 4],
    tell: Sender<([f64; 4], i64)>,
}

impl Env for Told {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        let result = self.env.reset(seed, options)?;
        self.last = result.observation;
        Ok(result)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        let _ = self.tell.send((self.last, action)); // the test may have received enough
        let result = self.env.step(action)?;
        self.last = result.observation;
        Ok(result)
    }
}

#[test]
fn a_policy_answers_each_observation_over_many_episodes() {
    bounded(|| {
        let server = PolicyServer::bind(&fresh("tcp"), patient())?;
        let address = server.address().to_string();
        let serving = {
            let server = server.clone();
            thread::spawn(move || {
                server.run::<BoxSpace<f64, [f64; 4]>, Discrete, _>(|| {
                    let mut calls = 0;
                    move |seen: &[f64; 4]| {
                        calls += 1; // a policy may remember, and each session has its own
                        (seen[1] * 10.0 + seen[2]) as i64 * 10 + calls % 10
                    }
                })
            })
        };

        // An environment with other spaces is refused, and disturbs no other.
        let other = ClientBackend::new(|_: &_| Ok(CartPole::new(None)), &address, patient_host())?;
        other.start()?;
        let (tell, told) = channel();
        let factory = move |_: &_| Ok(Told { env: CountingEnv::new(None), last: [0.0; 4], tell: tell.clone() });
        let options = patient_host().max_sessions(1);
        let backend = ClientBackend::new(factory, &address, options)?;
        backend.start()?;

        for call in 1..=35 {
            let (seen, action) = told.recv_timeout(PATIENCE)?;
            assert_eq!(action, (seen[1] * 10.0 + seen[2]) as i64 * 10 + call % 10);
            // Ten steps, then twelve, then ten, …
            let expected = [(1.0, 10), (2.0, 12), (3.0, 10), (4.0, 12)];
            let mut k = call - 1;
            let (episode, _) = expected
                .into_iter()
                .find(|(_, steps)| {
                    k -= steps;
                    k < 0
                })
                .expect("of four episodes");
            assert_eq!(seen[1], episode, "in call {call}");
        }
        other.close();
        backend.close();
        server.close();
        serving.join().expect("it does not panic")?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_address_serves_one_policy() {
    bounded(|| {
        let server = PolicyServer::bind(&fresh("tcp"), patient())?;
        let error = ServerEnv::bind(&server.address().to_string(), patient()).unwrap_err();
        assert_eq!(error.kind(), rlay::ErrorKind::AddressInUse);
        server.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
