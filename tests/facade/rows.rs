//! The row returned by the k-th step is the environment's answer to the k-th action, wherever the environment is.

use rlay::{BoxSpace, Discrete, Env, EnvError, Map, Value, wire::put_value};
use rlay_testkit::CountingEnv;

use crate::support::{Paradigm, bounded, remote};

/// `info` as bytes, for it holds NaN, which equals nothing.
fn bytes(info: Map) -> Vec<u8> {
    let mut out = Vec::new();
    put_value(&mut out, &Value::Dict(info));
    out
}

/// Plays four episodes, over their ends, against a local copy of the environment.
fn answers_are_its_own(scheme: &'static str, paradigm: Paradigm) {
    bounded(move || {
        let (env, host) = remote("counting", scheme, paradigm)?;
        let mut env = env.typed::<BoxSpace<f64, [f64; 4]>, Discrete>()?;
        let mut local = CountingEnv::new(None);
        let options = Value::Dict(Map::from([("level", 3)]));
        let resets =
            [(Some(5), Value::None), (None, Value::Dict(Map::new())), (Some(u64::MAX), options), (None, Value::None)];
        for (episode, (seed, options)) in resets.into_iter().enumerate() {
            let (here, there) = (local.reset(seed, &options)?, env.reset(seed, &options)?);
            assert_eq!(here.observation, there.observation);
            assert_eq!(bytes(here.info), bytes(there.info));
            for k in 0..15 {
                let action = (episode as i64 * 100 + k * 7) % 1000;
                let (here, there) = (local.step(action)?, env.step(action)?);
                assert_eq!(here.observation, there.observation, "step {k} of episode {episode}");
                assert_eq!(
                    (here.reward, here.terminated, here.truncated),
                    (there.reward, there.terminated, there.truncated)
                );
                assert_eq!(bytes(here.info), bytes(there.info));
            }
        }
        env.close()?;
        drop(host);
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

macro_rules! answers_are_its_own {
    ($($name:ident: $scheme:literal, $paradigm:ident;)*) => {$(
        #[test]
        fn $name() {
            answers_are_its_own($scheme, Paradigm::$paradigm);
        }
    )*};
}
answers_are_its_own! {
    over_mem_where_the_agent_dials: "mem", Client;
    over_mem_where_the_env_dials: "mem", Server;
    over_tcp_where_the_agent_dials: "tcp", Client;
    over_tcp_where_the_env_dials: "tcp", Server;
    over_unix_where_the_agent_dials: "unix", Client;
    over_unix_where_the_env_dials: "unix", Server;
}
