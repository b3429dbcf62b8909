//! Many environments inside tokio: their rows are those of the blocking form, and a call that is cancelled leaves no
//! answer for another.

use std::future::Future;

use rlay::{
    BoxSpace, ClientBackend, ClientVectorEnv, Discrete, Error, ErrorKind, RemoteVectorEnv, Result, ServerBackend,
    Value,
    asynchronous::{AsyncAcceptor, AsyncVectorEnv},
    wire::{AutoresetMode, Role},
};
use tokio::{
    runtime::{Builder, Runtime},
    time,
};

use crate::{
    cartpoles::CartPoles,
    support::{Deed, Gate, HOLD, HURRY, bounded, fresh, patient, patient_host},
    vector::{Counter, KINDS, Kind, MODES, Plain, SLOTS, backend, host},
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn on_tokio<T>(run: impl Future<Output = T>) -> T {
    runtime().block_on(run)
}

/// A host of environments that `make` makes; `is_plain`, one that begins no episode.
fn hosted(
    is_plain: bool,
    make: impl Fn(u32) -> Counter + Send + Sync + 'static,
) -> Result<(String, Box<dyn std::any::Any>)> {
    if is_plain {
        let (address, thread) = host(usize::MAX, move || Plain::new((0..SLOTS).map(make).collect()))?;
        return Ok((address, Box::new(thread)));
    }
    let backend = backend(patient_host(), make)?;
    Ok((backend.address().to_string(), Box::new(backend)))
}

fn everywhere(test: impl Fn(Kind, AutoresetMode, bool) -> Result<()> + Send + 'static) {
    bounded(move || {
        for (kind, mode) in KINDS.into_iter().flat_map(|kind| MODES.map(|mode| (kind, mode))) {
            for is_plain in [false, true] {
                test(kind, mode, is_plain).unwrap_or_else(|e| panic!("{kind:?} {mode:?}, plain {is_plain}: {e}"));
            }
        }
    });
}

/// Compares all that the last calls brought.
fn compare(here: &mut RemoteVectorEnv, there: &mut AsyncVectorEnv, at: &str) {
    assert_eq!(format!("{:?}", here.results()), format!("{:?}", there.results()), "{at}");
    for slot in 0..SLOTS as usize {
        assert_eq!(here.observation(slot).expect("it is there"), there.observation(slot).expect("it is there"), "{at}");
    }
}

#[test]
fn every_row_is_that_of_the_blocking_form() {
    everywhere(|kind, mode, is_plain| {
        let options = patient().render_mode("ansi").num_envs(SLOTS).autoreset_mode(mode);
        let (blocking, _host) = hosted(is_plain, move |slot| Counter::new(kind, slot))?;
        let (address, _other_host) = hosted(is_plain, move |slot| Counter::new(kind, slot))?;
        let mut here = ClientVectorEnv::connect(&blocking, options.clone())?;
        let tokio = runtime();
        let mut there = tokio.block_on(AsyncVectorEnv::connect(&address, &options))?;
        assert_eq!(here.spec(), there.spec());
        here.reset(Some(4), &Value::None)?;
        tokio.block_on(there.reset(Some(4), &Value::None))?;
        for n in 1..60 {
            let at = format!("{kind:?} {mode:?}, plain {is_plain}, after {n}");
            if n % 11 == 0 {
                let rows = [(3, Some(n as u64)), (1, None), (n as u32 % 2 * 4, Some(7))];
                here.reset_some(&rows, &Value::None)?;
                tokio.block_on(there.reset_some(&rows, &Value::None))?;
                compare(&mut here, &mut there, &at);
            }
            let actions: Vec<_> = (0..i64::from(SLOTS)).map(|slot| kind.action(n * 7 % 90 + slot + 20)).collect();
            here.step(&actions)?;
            tokio.block_on(there.step(&actions))?;
            compare(&mut here, &mut there, &at);
        }
        assert_eq!(here.render()?, tokio.block_on(there.render())?);
        tokio.block_on(there.close())?;
        here.close()
    });
}

#[test]
fn a_call_that_is_cancelled_leaves_no_answer_for_another() {
    everywhere(|kind, mode, is_plain| {
        if kind == Kind::Mixed {
            return Ok(()); // each deadline takes its time
        }
        let gate = Gate::default();
        let for_env = gate.clone();
        let (address, _host) = hosted(is_plain, move |slot| match slot {
            3 => Counter::new(kind, slot).with_gate(&for_env),
            _ => Counter::new(kind, slot),
        })?;
        on_tokio(async {
            let options = patient().render_mode("ansi").num_envs(SLOTS).autoreset_mode(mode);
            let mut envs = AsyncVectorEnv::connect(&address, &options).await?;
            envs.reset(None, &Value::None).await?;
            let holding: Vec<_> = (0..SLOTS).map(|slot| kind.action(if slot == 3 { HOLD } else { 1 })).collect();
            let ones = vec![kind.action(1); SLOTS as usize];
            for round in 0..2 {
                // In the second round an episode has ended, so that the agent of a plain host asks twice.
                if round == 1 {
                    envs.step(&ones).await?;
                }
                assert!(time::timeout(HURRY, envs.step(&holding)).await.is_err(), "it waits for slot 3");
                assert_eq!(envs.step(&ones).await.unwrap_err().kind(), ErrorKind::Busy);
                assert_eq!(envs.render().await.unwrap_err().kind(), ErrorKind::Busy);
                let reset = time::timeout(HURRY, envs.reset(Some(9), &Value::None)).await;
                assert!(reset.is_err(), "it waits for the late answer, too");
                gate.open();
                let results = envs.reset(Some(9), &Value::None).await?;
                assert_eq!(results.terminations, vec![false; SLOTS as usize]);
                // The rewards are those of an episode's first step, in each slot.
                let rewards = envs.step(&ones).await?.rewards.clone();
                assert!(rewards.iter().all(|reward| *reward % 1000.0 == 10.125), "{rewards:?}");
            }
            envs.close().await
        })
    });
}

#[test]
fn what_fails_in_one_slot_says_so_and_the_others_have_stepped() {
    everywhere(|kind, mode, is_plain| {
        let troubled = move |slot| match slot {
            3 => Counter::new(kind, slot).with_trouble(Deed::Fail),
            _ => Counter::new(kind, slot),
        };
        let (address, _host) = hosted(is_plain, troubled)?;
        on_tokio(async {
            let options = patient().num_envs(SLOTS).autoreset_mode(mode);
            let mut envs = AsyncVectorEnv::connect(&address, &options).await?;
            envs.reset(None, &Value::None).await?;
            let mut actions = vec![kind.action(1); SLOTS as usize];
            assert_eq!(envs.step(&actions[..4]).await.unwrap_err().kind(), ErrorKind::InvalidAction);
            actions[3] = kind.action(HOLD);
            let error = envs.step(&actions).await.unwrap_err();
            assert_eq!((error.kind(), error.slot()), (ErrorKind::Env, Some(3)), "{error}");
            actions[3] = kind.action(1);
            envs.step(&actions).await?;
            envs.close().await
        })
    });
}

#[test]
fn sessions_of_several_hosts_step_side_by_side() {
    bounded(|| {
        let options = patient().num_envs(4);
        let backend = ServerBackend::bind_vector(|_| Ok(CartPoles::new(4)), &fresh("tcp"), patient_host())?;
        backend.start()?;
        on_tokio(async {
            let near = AsyncVectorEnv::connect(&backend.address().to_string(), &options).await?;
            let mut near = near.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;

            let address = fresh("tcp").parse()?;
            let (mut listener, acceptor) = AsyncAcceptor::listen(&address, Role::Agent, options.connection()).await?;
            let address = listener.address().to_string();
            let game = ClientBackend::vector(|_| Ok(CartPoles::new(4)), &address, patient_host())?;
            game.start()?;
            let connection = acceptor.handshake(listener.accept().await?).await?.expect("a new session");
            let mut far = AsyncVectorEnv::open(connection, &options).await?;

            assert_eq!(near.observation_batch().unwrap_err().kind(), ErrorKind::ResetNeeded);
            let (here, there) = tokio::join!(near.reset(Some(3), &Value::None), far.reset(Some(3), &Value::None));
            assert_eq!(format!("{:?}", here?), format!("{:?}", there?));
            for step in 0..100 {
                let push = step / 3 % 2;
                let (right, left) = ([push; 4], vec![Value::from(push); 4]);
                let (here, there) = tokio::join!(near.step(&right), far.step(&left));
                assert_eq!(format!("{:?}", here?), format!("{:?}", there?));
            }
            let second = near.observation(1)?;
            assert_eq!(near.observation_batch()?[4..8], second);
            // A call is a future that another thread may drive.
            fn is_send<T: Send>(x: T) -> T {
                x
            }
            is_send(far.step(&vec![Value::from(0); 4])).await?;
            far.close().await?;
            near.close().await?;

            let address = backend.address().to_string();
            let error = AsyncVectorEnv::connect(&address, &options.clone().num_envs(3)).await.unwrap_err();
            assert!(error.to_string().contains("steps 4 environments at once; ask for as many"), "{error}");
            let other = AsyncVectorEnv::connect(&address, &options).await?.typed::<Discrete, Discrete>();
            assert_eq!(other.unwrap_err().kind(), ErrorKind::Incompatible);
            Ok::<_, Error>(())
        })?;
        backend.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}
