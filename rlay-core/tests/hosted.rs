//! Hosted: what an environment returns and changes contrary to its spec, as the host sees it.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use rlay_core::{
    AnySpace, BoxSpace, Discrete, Env, EnvError, ErrorKind, HostEnv, Hosted, Map, Outcome, ResetResult, Space,
    StepResult, Value,
};
use tracing::{Event, Subscriber, field};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

/// Keeps the texts of what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text<'a>(&'a Log);
        impl field::Visit for Text<'_> {
            fn record_debug(&mut self, _: &field::Field, value: &dyn fmt::Debug) {
                self.0.0.lock().unwrap().push(format!("{value:?}"));
            }
        }
        event.record(&mut Text(self));
    }
}

/// What is logged while `run` runs.
fn logged(run: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    tracing::subscriber::with_default(Registry::default().with(log.clone()), run);
    log.0.lock().unwrap().clone()
}

/// Has a cell more in every episode after the second.
struct Growing {
    cells: BoxSpace<f32>,
    actions: Discrete,
    episodes: u64,
}

impl Env for Growing {
    type ObservationSpace = BoxSpace<f32>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &BoxSpace<f32> {
        &self.cells
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, _seed: Option<u64>, _options: &Value) -> Result<ResetResult<Vec<f32>>, EnvError> {
        self.episodes += 1;
        let n = self.episodes.max(2);
        self.cells = BoxSpace::new([n], -1.0, 1.0);
        Ok(ResetResult { observation: vec![0.0; n as usize], info: Map::new() })
    }

    fn step(&mut self, _action: i64) -> Result<StepResult<Vec<f32>>, EnvError> {
        unreachable!("it is only reset")
    }
}

#[test]
fn spaces_that_a_reset_changes_are_told_once() {
    let growing = Growing { cells: BoxSpace::new([2], -1.0, 1.0), actions: Discrete::new(2), episodes: 0 };
    let mut host = Hosted::new(growing, None);
    let mut outcome = Outcome::default();
    let mut reset = || host.reset_into(None, &Value::None, &mut outcome).unwrap();
    assert_eq!(logged(&mut reset), Vec::<String>::new());
    assert_eq!(logged(&mut reset), Vec::<String>::new(), "another space, but an equal one");
    let words = logged(&mut reset);
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(
        words[0].ends_with(
            "Growing: reset() has changed observation_space, from before to after: Box(-1.0, 1.0, (2,), float32) is \
             not Box(-1.0, 1.0, (3,), float32); the agent keeps the first spaces, so make a new session for others"
        ),
        "{}",
        words[0]
    );
    assert_eq!(logged(&mut reset), Vec::<String>::new(), "it is known");
}

/// Observes whatever it is given.
struct Any {
    space: AnySpace,
    actions: Discrete,
    observation: Value,
}

impl Env for Any {
    type ObservationSpace = AnySpace;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &AnySpace {
        &self.space
    }

    fn action_space(&self) -> &Discrete {
        &self.actions
    }

    fn reset(&mut self, _seed: Option<u64>, _options: &Value) -> Result<ResetResult<Value>, EnvError> {
        Ok(ResetResult { observation: self.observation.clone(), info: Map::from([("engine", opaque())]) })
    }

    fn step(&mut self, _action: i64) -> Result<StepResult<Value>, EnvError> {
        unreachable!("it is only reset")
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        Ok(Value::List(vec![opaque()]))
    }
}

fn opaque() -> Value {
    Value::Opaque { type_name: "Engine".into(), repr: "<Engine>".into() }
}

#[test]
fn an_observation_holds_no_stand_in_for_an_object() {
    let space = AnySpace::Dict(vec![("x".into(), AnySpace::Tuple(vec![Discrete::new(2).describe()]))]);
    let mut outcome = Outcome::default();
    let mut reset = |x: Value| {
        let observation = Map::from([("x", Value::Tuple(vec![x]))]).into();
        let env = Any { space: space.clone(), actions: Discrete::new(2), observation };
        Hosted::new(env, None).reset_into(None, &Value::None, &mut outcome)
    };
    reset(1.into()).expect("in info there may be one");
    for (mode, is_sent) in [("rgb_array", false), ("human", true)] {
        let env = Any { space: Discrete::new(2).describe(), actions: Discrete::new(2), observation: 1.into() };
        let frame = Hosted::new(env, Some(mode.to_owned())).render();
        assert_eq!(frame.is_ok(), is_sent, "{mode}: {frame:?}");
    }
    let error = reset(opaque()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Env);
    assert!(error.to_string().starts_with("TypeError: observation[\"x\"][0]: an Opaque only stands for"), "{error}");
    assert!(error.to_string().contains("; give numbers, text, bytes, arrays, or lists, tuples and dicts"), "{error}");
}
