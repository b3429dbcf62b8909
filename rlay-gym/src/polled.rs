//! Poll: the form of `ClientBackend` that an engine's own loop polls, every frame, without blocking.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::{IntoPyObjectExt, prelude::*, types::PyString};
use rlay_core::{
    ErrorKind, Outcome, Value,
    endpoint::{RawPoll, RawTurn},
    wire::{Attribute, AutoresetMode, Seed, Spec},
};

use crate::{
    attributes,
    building::{Builder, Unbuilt},
    error::{self, raise},
    host::seed_object,
    packing::Tree,
    results::{self, Announced},
    session_pool::SessionPool,
    space,
    value::to_dict,
    waiting::wait_unless,
};

/// A session that is polled.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct Poll {
    state: Mutex<State>,
    pool: Py<SessionPool>,
}

struct State {
    raw: RawPoll,
    observations: Tree,
    actions: Tree,
    outcome: Outcome,
    /// `None`: there are several, whose spaces are looked at once.
    announced: Option<Announced>,
    /// Whether the turn to be answered is a reset.
    resets: bool,
}

impl Poll {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        let locked = self.state.try_lock();
        locked.map_err(|_| error::new(py, ErrorKind::Busy, "another thread is in a call of this backend"))
    }
}

/// A request to an engine: the kind of a turn, and its arguments.
type Asked = (&'static str, Py<PyAny>, Py<PyAny>);

/// The request of a turn. The inner error is what a signal handler raised; the outer one is the agent's error: bytes
/// that stand for no object, or do not fit the space.
fn asked(py: Python<'_>, actions: &Tree, turn: RawTurn) -> rlay_core::Result<PyResult<Asked>> {
    let built = match turn {
        RawTurn::Reset { seed, options } => reset(py, seed.as_ref(), &options),
        RawTurn::Step(action) => match action.packed {
            true => actions.read_packed(py, action).map_err(Unbuilt::from),
            false => actions.read_payload(py, &action.payload()),
        }
        .map(|action| ("step", action.unbind(), py.None())),
        RawTurn::Make(_) => return Err(rlay_core::Error::new(ErrorKind::Usage, "this engine makes no environments")),
        RawTurn::Render => Ok(("render", py.None(), py.None())),
        RawTurn::Attribute(attribute) => attribute_turn(py, &attribute),
        RawTurn::Close(reason) => Ok(("close", PyString::new(py, &reason).into_any().unbind(), py.None())),
    };
    match built {
        Ok(asked) => Ok(Ok(asked)),
        Err(Unbuilt::Interrupted(raised)) => Ok(Err(raised)),
        Err(unbuilt) => Err(unbuilt.into_refusal(py)),
    }
}

/// An attribute as a request to an engine: (name, how), and (values, kwargs).
fn attribute_turn(py: Python<'_>, attribute: &Attribute) -> Result<Asked, Unbuilt> {
    let (how, values, kwargs) = attributes::asked(py, &attribute.access)?;
    let what = (attribute.name.as_str(), how).into_bound_py_any(py)?;
    Ok(("attribute", what.unbind(), (values, kwargs).into_bound_py_any(py)?.unbind()))
}

/// A reset as a request to an engine.
fn reset(py: Python<'_>, seed: Option<&Seed>, options: &Value) -> Result<Asked, Unbuilt> {
    Ok(("reset", seed_object(py, seed)?.unbind(), Builder::new(py, None).build(options)?.unbind()))
}

#[pymethods]
impl Poll {
    /// `described` is what the host's factory returns, see `_hosting.describe`. The session dials where the sessions of
    /// `pool` would, and ends when `pool` is closed.
    #[new]
    fn new(py: Python<'_>, described: &Bound<'_, PyAny>, pool: Py<SessionPool>) -> PyResult<Self> {
        let get = |i: usize| described.get_item(i);
        let several: Option<(u32, String)> = get(8)?.extract()?;
        let spec = Spec {
            env_id: get(1)?.extract()?,
            observation_space: space::from_py(&get(2)?)?,
            action_space: space::from_py(&get(3)?)?,
            slots: several.as_ref().map_or(1, |(slots, _)| *slots),
            autoreset_mode: AutoresetMode::Disabled,
            render_mode: None,
            metadata: to_dict(&get(5)?, "metadata")?,
            details: to_dict(&get(6)?, "details")?,
            attributes: Vec::new(),
        };
        let observations = Tree::new(py, &spec.observation_space)?;
        let actions = Tree::new(py, &spec.action_space)?;
        let (address, options) = (pool.get().0.address().to_string(), pool.get().0.options().clone());
        let raw = RawPoll::new(spec, &address, options).map_err(|e| raise(py, &e))?;
        let announced = if several.is_none() { Some(Announced::new(&get(0)?)?) } else { None };
        let outcome = Outcome::default();
        let state = State { raw, observations, actions, outcome, announced, resets: false };
        Ok(Self { state: Mutex::new(state), pool })
    }

    /// The agent's request as (kind, a, b) and the slot that it is about, waited for at most `timeout` seconds. Raises
    /// Closed once the pool is closed.
    fn turn<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut guard = self.lock(py)?;
        let (State { raw, actions, resets, .. }, cancel) = (&mut *guard, self.pool.get().0.cancel_token());
        let mut build = |slot, turn| Python::attach(|py| Ok((slot, asked(py, actions, turn)?)));
        let turn = match wait_unless(py, Some(cancel), Some(timeout), |wait| raw.turn_as(wait, &mut build))? {
            Ok(None) => return Ok(None),
            Ok(Some((slot, Ok((kind, a, b))))) => (kind, a, b, slot),
            Ok(Some((slot, Err(raised)))) => {
                // The engine never learns of this request, so nothing else answers it.
                let failure = error::failure(py, &raised);
                wait_unless(py, Some(cancel), None, |wait| raw.reply_error(slot, failure, wait))?
                    .map_err(|e| raise(py, &e))?;
                return Err(raised);
            }
            Err(error) if error.kind() == ErrorKind::Closed && cancel.is_cancelled() => {
                return Err(error::new(py, ErrorKind::Closed, "the backend was closed; make a new one"));
            }
            Err(error) => return Err(raise(py, &error)),
        };
        *resets |= turn.0 == "reset";
        turn.into_bound_py_any(py).map(Some)
    }

    /// Answers a reset or step of a slot. What a hosted environment may not return is refused; another answer may follow.
    #[allow(clippy::too_many_arguments)] // those of Gymnasium's step
    fn reply(
        &self,
        py: Python<'_>,
        slot: u32,
        observation: &Bound<'_, PyAny>,
        reward: &Bound<'_, PyAny>,
        terminated: &Bound<'_, PyAny>,
        truncated: &Bound<'_, PyAny>,
        info: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let mut guard = self.lock(py)?;
        let State { raw, observations, outcome, announced, resets, .. } = &mut *guard;
        results::facts(reward, terminated, truncated, outcome)?;
        results::observation(observations, observation, outcome)?;
        results::info(info, outcome, "the engine")?;
        if let (true, Some(announced)) = (std::mem::take(resets), announced) {
            announced.compare(py)?;
        }
        let cancel = self.pool.get().0.cancel_token();
        wait_unless(py, Some(cancel), None, |wait| raw.reply(slot, outcome, wait))?.map_err(|e| raise(py, &e))
    }

    /// Answers a render of a slot.
    fn reply_frame(&self, py: Python<'_>, slot: u32, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        let (mut state, cancel) = (self.lock(py)?, self.pool.get().0.cancel_token());
        let frame = results::frame(frame, state.raw.render_mode())?;
        let raw = &mut state.raw;
        wait_unless(py, Some(cancel), None, |wait| raw.reply_frame(slot, frame, wait))?.map_err(|e| raise(py, &e))
    }

    /// Answers an attribute with what `access` returns, which is called as `rlay._attributes.access` is; an exception is
    /// the environment's failure.
    fn reply_attribute(&self, py: Python<'_>, slot: u32, name: &str, access: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = access.call0().and_then(|result| attributes::to_returned(&result, name));
        let reply = value.as_ref().map_err(|raised| error::failure(py, raised));
        let (mut state, cancel) = (self.lock(py)?, self.pool.get().0.cancel_token());
        let raw = &mut state.raw;
        let sent = wait_unless(py, Some(cancel), None, |wait| match reply {
            Ok(value) => raw.reply_attribute(slot, value.clone(), wait),
            Err(failure) => raw.reply_error(slot, failure, wait),
        })?;
        // Ctrl-C in the environment's own code is the engine's, too.
        match value {
            Err(raised) if error::is_interrupt(py, &raised) => Err(raised),
            _ => sent.map_err(|e| raise(py, &e)),
        }
    }

    /// Ends the session. The pool is closed, so that a turn in another thread ends soon.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.state.lock().unwrap_or_else(PoisonError::into_inner).raw.close());
    }

    /// Drops the connection without a goodbye to the agent: this is a forked child.
    fn abandon(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.raw.abandon();
        }
    }
}
