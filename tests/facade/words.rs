//! Messages that made people stop: each as it reads now, and the part of it that says what to do next.

use std::fmt::Display;

use rlay::{
    AnySpace, BoxSpace, ClientEnv, Contract, Dict, Discrete, Env, EnvError, Error, ErrorKind, Map, Options, RemoteEnv,
    ResetResult, ServerBackend, Space, StepResult, Value,
};

use crate::support::{bounded, fresh, patient};

/// Asserts that `message` reads as `pattern`, where … stands for any text, and says to do `advice`.
#[allow(dead_code)]
#[track_caller]
fn reads(message: impl Display, pattern: &str, advice: &str) {
    let text = message.to_string();
    assert!(matches(&text, pattern), "{text}");
    assert!(text.contains(advice), "{text:?} does not say {advice:?}");
}

fn matches(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        (rest, last) = (&rest[at + part.len()..], Some(part));
    }
    match last {
        None => rest.is_empty(),
        Some(last) => text.ends_with(last),
    }
}

#[test]
fn a_pattern_tells_texts_apart() {
    for (text, pattern, is_so) in [
        ("it broke; mend it", "it …; mend it", true),
        ("it broke; mend it", "it broke", false),
        ("it broke; mend it", "…mend …", true),
        ("it broke", "it broke", true),
        ("it broke", "they …", false),
    ] {
        assert_eq!(matches(text, pattern), is_so, "{text} {pattern}");
    }
}

// -- values, spaces, options

/// Observes what is not in its space, or what is of another dtype, as its action says.
struct Flawed {
    space: Dict<(Discrete, BoxSpace<u8>)>,
    actions: Discrete,
}

impl Env for Flawed {
    type ObservationSpace = Dict<(Discrete, BoxSpace<u8>)>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        &self.space
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, _seed: Option<u64>, _options: &Value) -> Result<ResetResult<(i64, Vec<u8>)>, EnvError> {
        Ok(ResetResult { observation: (3, vec![0; 4]), info: Map::new() })
    }

    fn step(&mut self, lives: i64) -> Result<StepResult<(i64, Vec<u8>)>, EnvError> {
        let pixels = if lives == 2 { vec![0, 0, 200, 0] } else { vec![0; 3] };
        let observation = (lives, pixels);
        Ok(StepResult { observation, reward: 0.0, terminated: false, truncated: false, info: Map::new() })
    }
}

fn flawed(contract: Contract) -> Result<(ServerBackend, RemoteEnv), Error> {
    let make = |_: &_| {
        let space = Dict::new(["lives", "image"], (Discrete::new(4), BoxSpace::new([2, 2], 0, 9)));
        Ok(Flawed { space, actions: Discrete::new(100) })
    };
    let backend = ServerBackend::bind(make, &fresh("mem"), patient())?;
    backend.start();
    let env = ClientEnv::connect(&backend.address().to_string(), Options { contract, ..patient() })?;
    Ok((backend, env))
}

#[test]
fn other_spaces_than_were_asked_for() {
    bounded(|| {
        for kind in 0..5 {
            let (backend, env) = flawed(Contract::Warn)?;
            let (error, pattern, advice) = match kind {
                0 => (
                    env.typed::<Dict<(Discrete, BoxSpace<f32>)>, Discrete>().err(),
                    "observation_space[\"image\"]: a float32 Box was asked for, it is Box(0, 9, (2, 2), uint8); …",
                    "the Rust type of that is BoxSpace<u8>, or AnySpace",
                ),
                1 => (
                    env.typed::<Dict<(Discrete, BoxSpace<u8, [u8; 5]>)>, Discrete>().err(),
                    "observation_space[\"image\"]: a Box whose elements are [u8; 5] was asked for, it is Box(0, 9, (2, 2), uint8); …",
                    "the Rust type of that is BoxSpace<u8>",
                ),
                2 => (
                    env.typed::<BoxSpace<f32>, Discrete>().err(),
                    "observation_space: a float32 Box was asked for, it is Dict('lives': Discrete(4), 'image': Box(0, 9, (2, 2), uint8)); …",
                    "the Rust type of that is Dict<(Discrete, BoxSpace<u8>)>, or AnySpace",
                ),
                3 => (
                    env.typed::<Dict<(Discrete,)>, Discrete>().err(),
                    "observation_space: 1 members were asked for, there are 2; …",
                    "ask for as many",
                ),
                _ => (
                    env.typed::<AnySpace, BoxSpace<f32>>().err(),
                    "action_space: a float32 Box was asked for, it is Discrete(100); …",
                    "the Rust type of that is Discrete",
                ),
            };
            let error = error.expect("they are others");
            assert_eq!(error.kind(), ErrorKind::Incompatible);
            reads(error, pattern, advice);
            backend.close();
        }
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn an_observation_that_is_not_in_its_space() {
    bounded(|| {
        for typed in [false, true] {
            let (backend, mut env) = flawed(Contract::Strict)?;
            env.reset(None, &Value::None)?;
            let out_of_bounds = "the environment broke its contract: observation[\"image\"] is not in \
                                 Box(0, 9, (2, 2), uint8): element [1, 0] is 200, above 9; …";
            let mend =
                "mend the environment (make a new session if its spaces change in reset), or take Contract::Warn";
            if typed {
                let mut env = env.typed::<Dict<(Discrete, BoxSpace<u8>)>, Discrete>()?;
                reads(env.step(2).unwrap_err(), out_of_bounds, mend);
                let unreadable = "the environment broke its contract: observation[\"image\"]: a uint8 array of shape \
                                  (3,) is no element of Box(0, 9, (2, 2), uint8); …";
                reads(env.step(1).unwrap_err(), unreadable, "mend the environment");
            } else {
                reads(env.step(2.into()).unwrap_err(), out_of_bounds, mend);
            }
            backend.close();
        }
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn nothing_that_stands_for_something_else_is_sent_to_an_environment() {
    let opaque = || Value::Opaque { type_name: "Engine".into(), repr: "<Engine>".into() };
    let what = "an Opaque only stands for an object that did not cross the wire; …";
    let advice = "give numbers, text, bytes, arrays, or lists, tuples and dicts of these";
    bounded(move || {
        let (backend, mut env) = flawed(Contract::Warn)?;
        let options = Map::from([("level", Value::List(vec![1.into(), opaque()]))]).into();
        reads(env.reset(None, &options).unwrap_err(), &format!("options[\"level\"][1]: {what}"), advice);
        env.reset(None, &Value::None)?;
        let action = Value::List(vec![Map::from([("goal", opaque())]).into()]);
        let error = env.step(action).unwrap_err();
        assert_eq!(error.downcast_ref::<Error>().expect("of RLay").kind(), ErrorKind::InvalidAction);
        reads(error, &format!("action[0][\"goal\"]: {what}"), advice);
        assert_eq!(env.step(2.into())?.reward, 0.0, "the session goes on");
        let kwargs = Map::from([("size", opaque())]);
        let refused = ClientEnv::connect(&backend.address().to_string(), Options { kwargs, ..patient() });
        reads(refused.unwrap_err(), &format!("env_kwargs[\"size\"]: {what}"), advice);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_action_of_another_structure() {
    let space =
        AnySpace::Dict(vec![("go".into(), AnySpace::Tuple(vec![BoxSpace::<f32>::new([2], -1.0, 1.0).describe()]))]);
    let action = |value: Value| Value::from(Map::from([("go", value)]));
    for (value, pattern) in [
        (action(Value::Int(1)), "[\"go\"]: an int is no element of Tuple(Box(-1.0, 1.0, (2,), float32))"),
        (
            action(Value::Tuple(vec![rlay::Array::new(&[3], &[0.0f32; 3]).into()])),
            "[\"go\"][0]: a float32 array of shape (3,) is no element of Box(-1.0, 1.0, (2,), float32)",
        ),
        (Map::from([("gone", 1)]).into(), "a dict of 1 is no element of Dict(…): the key \"go\" is missing"),
    ] {
        reads(space.from_value(&value).unwrap_err(), pattern, "is no element of");
    }
}

// -- hosting

// -- launching

// -- transports and waits
