//! A remote environment returns bit for bit what a local one returns.

use rlay::{BoxSpace, Discrete, Env, EnvError, Metadata, Observation, Space, Value, difference};

use crate::{
    cartpole::CartPole,
    support::{Paradigm, bounded, remote},
};

/// A policy that lets poles fall now and then, so that episodes end in both ways.
fn push(pole: &[f32; 4], k: usize) -> i64 {
    if k % 1000 < 700 { i64::from(pole[2] + 0.3 * pole[3] > 0.0) } else { (k % 2) as i64 }
}

/// Observation, reward, terminated, truncated.
type Row = ([f32; 4], f64, bool, bool);

/// Everything that CartPole returns in two thousand steps.
fn local() -> Result<Vec<Row>, EnvError> {
    let mut env = CartPole::new(None);
    let mut rows = vec![(env.reset(Some(11), &Value::None)?.observation, 0.0, false, false)];
    for k in 0..2000 {
        let action = push(&rows[rows.len() - 1].0, k);
        let result = env.step(action)?;
        rows.push((result.observation, result.reward, result.terminated, result.truncated));
        if result.terminated || result.truncated {
            let seed = (k % 3 == 0).then_some(k as u64); // else the generator continues
            rows.push((env.reset(seed, &Value::None)?.observation, 0.0, false, false));
        }
    }
    assert!(rows.iter().any(|row| row.2) && rows.iter().any(|row| row.3), "both ends of an episode are played");
    Ok(rows)
}

/// Plays the same against `env`; `observe` and `act` convert between its elements and plain ones.
fn same_as_local<E: Env>(
    env: &mut E,
    observe: impl Fn(Observation<E>) -> [f32; 4],
    act: impl Fn(i64) -> <E::ActionSpace as Space>::Element,
) -> Result<(), EnvError> {
    let mut expected = local()?.into_iter();
    let mut expect = |row: Row| {
        let local = expected.next().expect("as many rows");
        assert_eq!(row.0.map(f32::to_bits), local.0.map(f32::to_bits));
        assert_eq!((row.1.to_bits(), row.2, row.3), (local.1.to_bits(), local.2, local.3));
        row.0
    };
    let mut pole = expect((observe(env.reset(Some(11), &Value::None)?.observation), 0.0, false, false));
    for k in 0..2000 {
        let result = env.step(act(push(&pole, k)))?;
        pole = expect((observe(result.observation), result.reward, result.terminated, result.truncated));
        if result.terminated || result.truncated {
            let seed = (k % 3 == 0).then_some(k as u64);
            pole = expect((observe(env.reset(seed, &Value::None)?.observation), 0.0, false, false));
        }
    }
    assert!(expected.next().is_none());
    env.close()
}

fn array(value: Value) -> [f32; 4] {
    match value {
        Value::Array(array) => array.to_vec().and_then(|x| x.try_into().ok()).expect("four float32"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn typed_and_dynamic_rollouts_are_bit_equal_to_local_ones() {
    for paradigm in [Paradigm::Client, Paradigm::Server] {
        bounded(move || {
            let (env, _host) = remote("cartpole", "tcp", paradigm)?;
            same_as_local(&mut env.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?, |pole| pole, |action| action)?;
            let (mut env, _host) = remote("cartpole", "unix", paradigm)?;
            let actions = Discrete::new(2);
            same_as_local(&mut env, array, |action| actions.to_value(&action))
        })
        .unwrap();
    }
}

#[test]
fn spaces_and_metadata_are_those_of_the_env() {
    bounded(|| {
        let (env, _host) = remote("cartpole", "tcp", Paradigm::Client)?;
        let local = CartPole::new(None);
        assert_eq!(difference(env.observation_space(), &local.observation_space().describe()), None);
        assert_eq!(difference(env.action_space(), &local.action_space().describe()), None);
        let Metadata { reward_threshold, max_episode_steps, .. } = env.metadata();
        assert_eq!((reward_threshold, max_episode_steps), (Some(475.0), Some(500)));
        assert_eq!(env.metadata(), local.metadata());
        let error = env.typed::<BoxSpace<f32, [f32; 5]>, Discrete>().unwrap_err();
        assert!(error.to_string().starts_with("observation_space: a Box whose elements are [f32; 5] was"), "{error}");
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
