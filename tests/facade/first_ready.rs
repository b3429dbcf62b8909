//! First ready: the rows of a vector come when their environments are ready, in whatever order, over any transport.

use rlay::{
    AgentOptions, BoxSpace, ClientBackend, ClientVectorEnv, Discrete, ErrorKind, HostOptions, RemoteVectorEnv, Result,
    ServerBackend, ServerVectorEnv, Value,
};
use rlay_testkit::CountingEnv;

use crate::{
    reconnecting::{NETWORKS, enduring},
    support::{Gate, Gated, HOLD, HURRY, PATIENCE, Relay, bounded, fresh, patient, patient_host},
};

type Vector = RemoteVectorEnv<BoxSpace<f64, [f64; 4]>, Discrete>;

fn schemes() -> Vec<&'static str> {
    let others = ["mem", "unix"].into_iter().chain(cfg!(feature = "shm").then_some("shm"));
    others.chain(NETWORKS.iter().copied()).collect()
}

/// So many environments that have dialed in, each in a session of its own.
fn lanes(scheme: &str, number: u32, gate: &Gate, options: AgentOptions) -> Result<(Vector, Vec<ClientBackend>)> {
    let server = ServerVectorEnv::bind(&fresh(scheme), options.num_envs(number))?;
    let dial = |_| {
        let gate = gate.clone();
        let make = move |_: &_| Ok(Gated { env: CountingEnv::new(None), gate: gate.clone() });
        let backend = ClientBackend::new(make, &server.address().to_string(), patient_host().max_sessions(1))?;
        backend.start()?;
        Ok(backend)
    };
    let backends = (0..number).map(dial).collect::<Result<Vec<_>>>()?;
    let envs = server.accept()?.typed()?;
    Ok((envs, backends))
}

fn seeds(slots: u32) -> Vec<(u32, Option<u64>)> {
    (0..slots).map(|slot| (slot, Some(u64::from(slot)))).collect()
}

#[test]
fn a_slow_one_holds_none_of_the_others() {
    for scheme in schemes() {
        bounded(move || -> Result<()> {
            let gate = Gate::default();
            let (mut envs, backends) = lanes(scheme, 3, &gate, patient())?;
            envs.send_resets(&seeds(3), &Value::None)?;
            let mut first = Vec::new();
            while first.len() < 3 {
                first.extend_from_slice(envs.recv(1, 3, Some(PATIENCE))?);
            }
            envs.send(&[0, 1, 2], &[1, HOLD, 1])?;
            let mut counts = [0; 3];
            while counts[0] < 20 || counts[2] < 20 {
                let slots = envs.recv(1, 1, Some(PATIENCE))?.to_vec();
                assert_eq!(slots.len(), 1, "{scheme}");
                counts[slots[0] as usize] += 1;
                envs.send(&slots, &[1])?;
            }
            assert_eq!(counts[1], 0, "{scheme}");
            let busy = envs.send(&[1], &[1]).expect_err("it is under way");
            assert_eq!(busy.kind(), ErrorKind::Busy, "{scheme}: {busy}");
            gate.open();
            let mut rest = Vec::new();
            while rest.len() < 3 {
                rest.extend_from_slice(envs.recv(1, 3, Some(PATIENCE))?);
            }
            rest.sort_unstable();
            assert_eq!(rest, [0, 1, 2], "{scheme}");
            assert_eq!(envs.recv(1, 1, None).expect_err("nothing is under way").kind(), ErrorKind::Usage);
            envs.close()?;
            backends.iter().for_each(ClientBackend::close);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{scheme}: {error}"));
    }
}

#[test]
fn a_connection_that_is_cut_costs_no_row() {
    for scheme in NETWORKS {
        bounded(move || -> Result<()> {
            let gate = Gate::default();
            let own = gate.clone();
            let make = move |_: &_| Ok(Gated { env: CountingEnv::new(None), gate: own.clone() });
            let backend = ServerBackend::bind(make, &fresh(scheme), HostOptions::new(enduring()))?;
            backend.start()?;
            let relay = Relay::to(&backend.address().to_string());
            let near = ClientVectorEnv::connect(relay.address(), AgentOptions::new(enduring()).num_envs(2))?;
            let far =
                ClientVectorEnv::connect(&backend.address().to_string(), AgentOptions::new(enduring()).num_envs(1))?;
            let mut envs: Vector = RemoteVectorEnv::join([near, far])?.typed()?;
            envs.reset(Some(1), &Value::None)?;
            envs.send(&[0, 1, 2], &[HOLD, 1, 1])?;
            assert_eq!(envs.recv(1, 3, Some(PATIENCE))?, [2], "{scheme}");
            relay.cut();
            assert!(envs.recv(1, 3, Some(HURRY))?.is_empty(), "{scheme}");
            gate.open();
            let mut came = Vec::new();
            while came.len() < 2 {
                came.extend_from_slice(envs.recv(1, 3, Some(PATIENCE))?);
            }
            came.sort_unstable();
            assert_eq!(came, [0, 1], "{scheme}");
            let counts: Vec<_> = (0..3).map(|slot| envs.observation(slot)).collect::<Result<_>>()?;
            envs.step(&[1, 1, 1])?;
            let after: Vec<_> = (0..3).map(|slot| envs.observation(slot)).collect::<Result<_>>()?;
            assert!(
                counts.iter().zip(&after).all(|(before, after)| before != after),
                "{scheme}: each took one step more"
            );
            envs.close()?;
            backend.close();
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{scheme}: {error}"));
    }
}

#[test]
fn actions_and_answers_that_fill_the_channel_pass() -> Result<()> {
    bounded(|| {
        let (slots, gate) = (64, Gate::default());
        let host = {
            let gate = gate.clone();
            let make = move |_: &_| Ok(Gated { env: CountingEnv::new(None), gate: gate.clone() });
            ServerBackend::bind(make, &fresh("unix"), patient_host())?
        };
        host.start()?;
        let envs = ClientVectorEnv::connect(&host.address().to_string(), patient().num_envs(slots))?;
        let mut envs: Vector = envs.typed()?;
        envs.reset(Some(100), &Value::None)?;
        let all: Vec<u32> = (0..slots).collect();
        // The host is held meanwhile, and reads nothing.
        let mut actions = vec![1; slots as usize];
        actions[0] = HOLD;
        for _ in 0..10 {
            gate.open();
            envs.send(&all, &actions)?;
            let mut came = Vec::new();
            while came.len() < slots as usize {
                came.extend_from_slice(envs.recv(7, 13, Some(PATIENCE))?);
            }
            came.sort_unstable();
            assert_eq!(came, all);
        }
        envs.close()?;
        host.close();
        Ok(())
    })
}
