//! Env: what a person writes to make an environment in Rust, in Gymnasium's own words.

use crate::{
    error::EnvError,
    host::no_attribute,
    space::Space,
    value::{Map, Value},
};

/// The observation type of an environment.
pub type Observation<E> = <<E as Env>::ObservationSpace as Space>::Element;
/// The action type of an environment.
pub type Action<E> = <<E as Env>::ActionSpace as Space>::Element;

/// An environment: typed spaces, plain Rust observations and actions.
///
/// ```
/// use rlay::{Discrete, Env, EnvError, Map, ResetResult, StepResult, Value};
///
/// /// Counts to ten; action 1 counts, action 0 waits.
/// struct Counter { space: Discrete, actions: Discrete, count: i64 }
///
/// impl Env for Counter {
///     type ObservationSpace = Discrete;
///     type ActionSpace = Discrete;
///
///     fn observation_space(&self) -> &Discrete { &self.space }
///     fn action_space(&self) -> &Discrete { &self.actions }
///
///     fn reset(&mut self, _seed: Option<u64>, _options: &Value) -> Result<ResetResult<i64>, EnvError> {
///         self.count = 0;
///         Ok(ResetResult { observation: 0, info: Map::new() })
///     }
///
///     fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> {
///         self.count += action;
///         Ok(StepResult {
///             observation: self.count,
///             reward: action as f64,
///             terminated: self.count == 10,
///             truncated: false,
///             info: Map::new(),
///         })
///     }
/// }
///
/// let mut env = Counter { space: Discrete::new(11), actions: Discrete::new(2), count: 0 };
/// env.reset(Some(7), &Value::None)?;
/// assert_eq!(env.step(1)?.observation, 1);
/// # Ok::<(), EnvError>(())
/// ```
pub trait Env {
    /// The type of the space of observations.
    type ObservationSpace: Space;
    /// The type of the space of actions.
    type ActionSpace: Space;

    /// The space of observations. Agents receive the space once, when the environment is made, and keep it; if a reset
    /// changes the space, that is logged.
    fn observation_space(&self) -> &Self::ObservationSpace;

    /// The space of actions, of which the same is true.
    fn action_space(&self) -> &Self::ActionSpace;

    /// Starts an episode. `None` as seed keeps the random generator as it is; `options` is Gymnasium's,
    /// [`Value::None`] if the agent gave none.
    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Observation<Self>>, EnvError>;

    /// Takes one action.
    fn step(&mut self, action: Action<Self>) -> Result<StepResult<Observation<Self>>, EnvError>;

    /// Renders in the mode the environment was made with: a `uint8` array of shape (height, width, 3)
    /// for `rgb_array`, a string for `ansi`, [`Value::None`] for `human`.
    fn render(&mut self) -> Result<Value, EnvError> {
        Ok(Value::None)
    }

    /// The value of the attribute `name`, as Gymnasium's `get_wrapper_attr`; `None` if it is a function, for
    /// [`call`](Self::call). Agents get only what the host offers ([`Offers::attributes`](crate::Offers::attributes)).
    /// By default there are no attributes, which is an `AttributeError` in Python.
    ///
    /// ```
    /// use rlay::{EnvError, EnvFailure, Map, Value};
    ///
    /// struct World { gravity: f64 }
    ///
    /// // Of an impl of Env; action_masks() is what learners of maskable policies call.
    /// impl World {
    ///     fn get_attr(&mut self, name: &str) -> Result<Option<Value>, EnvError> {
    ///         match name {
    ///             "gravity" => Ok(Some(self.gravity.into())),
    ///             "action_masks" => Ok(None),
    ///             _ => Err(EnvFailure::new("AttributeError", format!("no attribute {name:?}")).into()),
    ///         }
    ///     }
    ///
    ///     fn set_attr(&mut self, name: &str, value: &Value) -> Result<(), EnvError> {
    ///         match (name, value.as_f64()) {
    ///             ("gravity", Some(gravity)) => Ok(self.gravity = gravity),
    ///             _ => Err(EnvFailure::new("AttributeError", format!("cannot set {name:?} to {value:?}")).into()),
    ///         }
    ///     }
    ///
    ///     fn call(&mut self, _name: &str, _args: &[Value], _kwargs: &Map) -> Result<Value, EnvError> {
    ///         Ok(vec![Value::from(true), Value::from(false)].into())
    ///     }
    /// }
    /// # let mut world = World { gravity: 9.8 };
    /// # world.set_attr("gravity", &Value::from(1.6))?;
    /// # assert_eq!(world.get_attr("gravity")?, Some(Value::from(1.6)));
    /// # world.call("action_masks", &[], &Map::new())?;
    /// # Ok::<(), EnvError>(())
    /// ```
    fn get_attr(&mut self, name: &str) -> Result<Option<Value>, EnvError> {
        Err(no_attribute(name).into())
    }

    /// Sets the attribute `name`, as Gymnasium's `set_wrapper_attr`. By default there are none.
    fn set_attr(&mut self, name: &str, _value: &Value) -> Result<(), EnvError> {
        Err(no_attribute(name).into())
    }

    /// Calls the attribute `name`, of which [`get_attr`](Self::get_attr) has said that it is a function. By default
    /// there are none. What the result cannot be is [`Value::Opaque`].
    fn call(&mut self, name: &str, _args: &[Value], _kwargs: &Map) -> Result<Value, EnvError> {
        Err(no_attribute(name).into())
    }

    /// The environment's description of itself.
    fn metadata(&self) -> Metadata {
        Metadata::default()
    }

    /// Releases what the environment holds. Called once, before it is dropped.
    fn close(&mut self) -> Result<(), EnvError> {
        Ok(())
    }
}

/// The result of a reset.
#[derive(Debug, Clone, PartialEq)]
pub struct ResetResult<O> {
    /// The first observation of the episode.
    pub observation: O,
    /// Anything else worth knowing.
    pub info: Map,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepResult<O> {
    /// What the agent sees after the action.
    pub observation: O,
    /// The reward for the action.
    pub reward: f64,
    /// Whether the task ended the episode.
    pub terminated: bool,
    /// Whether something outside the task, such as a time limit, ended the episode.
    pub truncated: bool,
    /// Anything else worth knowing.
    pub info: Map,
}

/// An environment's description of itself: Gymnasium's `metadata` and the facts of its `EnvSpec`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// The modes it can render in, such as `rgb_array`.
    pub render_modes: Vec<String>,
    /// Frames per second at which an episode should be shown.
    pub render_fps: Option<f64>,
    /// The return at which the task counts as solved.
    pub reward_threshold: Option<f64>,
    /// Whether equal seeds and actions may give different episodes.
    pub nondeterministic: bool,
    /// Steps after which the environment itself truncates an episode.
    pub max_episode_steps: Option<u64>,
    /// Further entries of Gymnasium's `metadata`.
    pub extra: Map,
}

impl Metadata {
    /// Gymnasium's `metadata` dict.
    pub fn to_value(&self) -> Value {
        let modes = self.render_modes.iter().map(|mode| Value::from(mode.as_str())).collect::<Vec<_>>();
        let mut map = Map::from([("render_modes", modes)]);
        if let Some(fps) = self.render_fps {
            map.insert("render_fps", if fps.fract() == 0.0 { Value::Int(fps as i64) } else { fps.into() });
        }
        map.0.extend(self.extra.0.iter().cloned());
        Value::Dict(map)
    }

    /// The dict of facts that Gymnasium keeps in an `EnvSpec`.
    pub fn details(&self) -> Value {
        let mut map = Map::new();
        if let Some(threshold) = self.reward_threshold {
            map.insert("reward_threshold", threshold);
        }
        map.insert("nondeterministic", self.nondeterministic);
        if let Some(steps) = self.max_episode_steps {
            map.insert("max_episode_steps", steps);
        }
        Value::Dict(map)
    }
}

/// The render modes that a `metadata` dict declares, as a list, a tuple, the keys of a dict, or a single string.
/// `None`: it declares nothing, which is not the same as none.
///
/// ```
/// use rlay::{Map, Value, render_modes};
///
/// let modes = vec![Value::from("ansi")];
/// assert_eq!(render_modes(&Map::from([("render_modes", modes)]).into()), Some(vec!["ansi"]));
/// assert_eq!(render_modes(&Value::Dict(Map::new())), None);
/// ```
pub fn render_modes(metadata: &Value) -> Option<Vec<&str>> {
    let Value::Dict(map) = metadata else { return None };
    match map.get("render_modes")? {
        Value::List(modes) | Value::Tuple(modes) => Some(modes.iter().filter_map(Value::as_str).collect()),
        Value::Dict(Map(modes)) => Some(modes.iter().filter_map(|(mode, _)| mode.as_str()).collect()),
        Value::Str(mode) => Some(vec![mode]),
        _ => None,
    }
}
