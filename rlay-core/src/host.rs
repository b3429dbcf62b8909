//! HostEnv: the object-safe form of an environment that a session hosts. Bytes in, bytes out.

use std::fmt;

use crate::{
    env::{Env, Observation, StepResult},
    error::{EnvError, EnvFailure, Error, ErrorKind, Result},
    guard::guard,
    printable::log_entry,
    space::{Space, difference, stacked::SlabSizes},
    value::{Map, Value},
    wire::{Access, Attribute, AutoresetMode, Keys, Payload, Seed, Spec, put_map_value, put_value},
};

/// The results of a reset or step, in buffers that are reused for the next one.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The reward; means nothing after a reset.
    pub reward: f64,
    /// Whether the task ended the episode.
    pub terminated: bool,
    /// Whether something else ended the episode.
    pub truncated: bool,
    /// `info` as an encoded value ([`put_value`]).
    pub info: Vec<u8>,
    /// Whether the observation is in packed form; otherwise it is an encoded value.
    pub packed: bool,
    /// The observation, unless [`HostEnv::observation`] has it.
    pub observation: Vec<u8>,
}

/// An environment as a session uses it. Implemented by [`Hosted`] for every [`Env`], and by language bindings directly.
pub trait HostEnv: fmt::Debug {
    /// Spaces, metadata and everything else that the agent receives about the environment.
    fn spec(&self) -> Spec;

    /// Gymnasium's `reset`, the results into `outcome`.
    fn reset_into(&mut self, seed: Option<&Seed>, options: &Value, outcome: &mut Outcome) -> Result<()>;

    /// Gymnasium's `step`, the results into `outcome`.
    fn step_into(&mut self, action: Payload<'_>, outcome: &mut Outcome) -> Result<()>;

    /// The last observation's packed form where it lies in memory, if it need not be copied into the outcome.
    fn observation(&self) -> Option<&[u8]> {
        None
    }

    /// Gymnasium's `render`.
    fn render(&mut self) -> Result<Value>;

    /// The value of an attribute; `None`: it is a function, for [`call`](Self::call). By default there are no
    /// attributes.
    fn get_attr(&mut self, name: &str) -> Result<Option<Value>> {
        Err(no_attribute(name).into())
    }

    /// Sets an attribute.
    fn set_attr(&mut self, name: &str, _value: &Value) -> Result<()> {
        Err(no_attribute(name).into())
    }

    /// Calls an attribute; if that is no function, its value.
    fn call(&mut self, name: &str, _args: &[Value], _kwargs: &Map) -> Result<Value> {
        Err(no_attribute(name).into())
    }

    /// Gymnasium's `close`.
    fn close(&mut self) -> Result<()>;
}

/// The error of an environment that has no such attribute, which is an `AttributeError` in Python.
pub(crate) fn no_attribute(name: &str) -> EnvFailure {
    EnvFailure::new("AttributeError", format!("the environment has no attribute {name:?}"))
}

/// Does what `attribute` says, of which this environment's slot is the one at `row`.
pub(crate) fn access(env: &mut dyn HostEnv, attribute: &Attribute, row: usize) -> Result<Option<Value>> {
    let name = &attribute.name;
    match &attribute.access {
        Access::Get => env.get_attr(name),
        Access::Set(values) => env.set_attr(name, &values[row]).map(|()| Some(Value::None)),
        Access::Call(args, kwargs) => env.call(name, args, kwargs).map(Some),
    }
}

/// Below this many bytes an observation is copied next to its header, which is cheaper than a second buffer.
const IN_PLACE: usize = 4 << 10;

/// Any [`Env`] as a [`HostEnv`]. A panic in the environment becomes an error of the environment.
pub struct Hosted<E: Env> {
    env: E,
    spec: Spec,
    fixed: bool,
    /// Whether an observation is so large that it is not copied where its memory can be sent.
    is_large: bool,
    last: Option<Observation<E>>,
    /// Whether it is logged already that the spaces differ from those in `spec`.
    told: bool,
}

impl<E: Env> Hosted<E> {
    /// Hosts `env`, which was made to render in `render_mode`.
    pub fn new(env: E, render_mode: Option<String>) -> Self {
        let metadata = env.metadata();
        let spec = Spec {
            env_id: String::new(),
            observation_space: env.observation_space().describe(),
            action_space: env.action_space().describe(),
            slots: 1,
            autoreset_mode: AutoresetMode::Disabled,
            render_mode,
            metadata: metadata.to_value(),
            details: metadata.details(),
            attributes: Vec::new(),
        };
        let sizes = SlabSizes::of(&spec.observation_space);
        let (fixed, is_large) = (sizes.is_some(), sizes.is_some_and(|sizes| sizes.len(1) >= IN_PLACE));
        Self { env, spec, fixed, is_large, last: None, told: false }
    }

    fn observe(&mut self, observation: Observation<E>, info: &Map, outcome: &mut Outcome) -> Result<(), EnvError> {
        let space = self.env.observation_space();
        write_info(info, outcome)?;
        if self.is_large && space.slab(&observation).is_some() {
            outcome.observation.clear();
            outcome.packed = true;
            self.last = Some(observation);
            return Ok(());
        }
        Ok(write_observation(space, self.fixed, &observation, outcome)?)
    }

    /// Logs once that a reset has changed the spaces; the agent was told the first ones.
    fn compare_spaces(&mut self) {
        if self.told {
            return;
        }
        let (observations, actions) = (self.env.observation_space(), self.env.action_space());
        let is_same = (
            observations.is_described_by(&self.spec.observation_space),
            actions.is_described_by(&self.spec.action_space),
        );
        let (name, before, after) = match is_same {
            (true, true) => return,
            (false, _) => ("observation_space", &self.spec.observation_space, observations.describe()),
            _ => ("action_space", &self.spec.action_space, actions.describe()),
        };
        if let Some(how) = difference(before, &after) {
            self.told = true;
            tracing::warn!(
                "{}: reset() has changed {name}, from before to after: {}; the agent keeps the first spaces, so \
                 make a new session for others",
                std::any::type_name::<E>(),
                log_entry(&how)
            );
        }
    }
}

/// Writes `info` into an outcome. Refuses keys that cannot be sent.
///
/// ```
/// use rlay::{Map, Outcome, host::write_info};
///
/// let mut outcome = Outcome::default();
/// write_info(&Map::from([("lives", 3)]), &mut outcome)?;
/// assert!(!outcome.info.is_empty());
/// # Ok::<(), rlay::EnvFailure>(())
/// ```
pub fn write_info(info: &Map, outcome: &mut Outcome) -> Result<(), EnvFailure> {
    Keys::check_map(info).map_err(|why| EnvFailure::new("TypeError", format!("info: {why}")))?;
    outcome.info.clear();
    put_map_value(&mut outcome.info, info);
    Ok(())
}

/// Writes an observation into an outcome: packed, if `may_pack` and it has a packed form. Refuses one that holds a
/// placeholder for an object.
///
/// ```
/// use rlay::{Discrete, Outcome, host::write_observation};
///
/// let mut outcome = Outcome::default();
/// write_observation(&Discrete::new(4), true, &3, &mut outcome)?;
/// assert!(outcome.packed && outcome.observation.len() == 16);
/// # Ok::<(), rlay::EnvFailure>(())
/// ```
pub fn write_observation<S: Space>(
    space: &S,
    may_pack: bool,
    observation: &S::Element,
    outcome: &mut Outcome,
) -> Result<(), EnvFailure> {
    outcome.observation.clear();
    outcome.packed = may_pack && space.pack(observation, &mut outcome.observation);
    if !outcome.packed {
        outcome.observation.clear();
        let value = space.to_value(observation);
        value.check_held("observation").map_err(|text| EnvFailure::new("TypeError", text))?;
        put_value(&mut outcome.observation, &value);
    }
    Ok(())
}

/// Refuses a frame that holds a placeholder for an object, except in the mode `human`, where the agent has no use for
/// it.
///
/// ```
/// assert!(rlay::host::check_frame(&rlay::Value::from("t=1"), Some("ansi")).is_ok());
/// ```
pub fn check_frame(frame: &Value, mode: Option<&str>) -> Result<(), EnvFailure> {
    let checked = match mode {
        Some("human") => Keys::of_a_value().take_all(frame),
        _ => frame.check_held("frame"),
    };
    checked.map_err(|text| EnvFailure::new("TypeError", text))
}

/// Marks an error as one of the action, which cannot be read.
pub(crate) fn of_action(error: Error) -> Error {
    if error.kind() == ErrorKind::InvalidAction { error.at("action") } else { error }
}

/// The seed as environments in Rust take it.
pub(crate) fn small_seed(seed: &Seed) -> Result<u64, EnvFailure> {
    seed.to_u64()
        .ok_or_else(|| EnvFailure::new("ValueError", "this environment takes seeds below 2**64; choose a smaller one"))
}

/// The error of a render without a mode.
pub(crate) fn no_render_mode() -> Error {
    Error::new(ErrorKind::Usage, "render() needs a render mode; give render_mode when the environment is made")
}

impl<E: Env> HostEnv for Hosted<E> {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn reset_into(&mut self, seed: Option<&Seed>, options: &Value, outcome: &mut Outcome) -> Result<()> {
        let seed = seed.map(small_seed).transpose()?;
        self.last = None;
        guard(|| {
            let result = self.env.reset(seed, options)?;
            (outcome.reward, outcome.terminated, outcome.truncated) = (0.0, false, false);
            self.observe(result.observation, &result.info, outcome)
        })?;
        self.compare_spaces();
        Ok(())
    }

    fn step_into(&mut self, action: Payload<'_>, outcome: &mut Outcome) -> Result<()> {
        let action = action.element(self.env.action_space()).map_err(of_action)?;
        // Lets an env that shares its observations write into the memory of the last one again.
        self.last = None;
        guard(|| {
            let StepResult { observation, reward, terminated, truncated, info } = self.env.step(action)?;
            (outcome.reward, outcome.terminated, outcome.truncated) = (reward, terminated, truncated);
            self.observe(observation, &info, outcome)
        })
    }

    fn observation(&self) -> Option<&[u8]> {
        self.last.as_ref().and_then(|observation| self.env.observation_space().slab(observation))
    }

    fn render(&mut self) -> Result<Value> {
        if self.spec.render_mode.is_none() {
            return Err(no_render_mode());
        }
        let frame = guard(|| self.env.render())?;
        check_frame(&frame, self.spec.render_mode.as_deref())?;
        Ok(frame)
    }

    fn get_attr(&mut self, name: &str) -> Result<Option<Value>> {
        guard(|| self.env.get_attr(name))
    }

    fn set_attr(&mut self, name: &str, value: &Value) -> Result<()> {
        guard(|| self.env.set_attr(name, value))
    }

    fn call(&mut self, name: &str, args: &[Value], kwargs: &Map) -> Result<Value> {
        guard(|| match self.env.get_attr(name)? {
            Some(value) => Ok(value),
            None => self.env.call(name, args, kwargs),
        })
    }

    fn close(&mut self) -> Result<()> {
        guard(|| self.env.close())
    }
}

impl<E: Env> fmt::Debug for Hosted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hosted<{}>", std::any::type_name::<E>())
    }
}
