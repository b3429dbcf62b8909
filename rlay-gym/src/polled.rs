//! Poll: the form of `ClientBackend` that an engine's own loop asks, every frame, without blocking.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    types::{PyBytes, PyString},
};
use rlay_core::{
    Error, ErrorKind, Outcome, Value,
    endpoint::{RawPoll, RawTurn},
    wire::{Seed, Spec},
};

use crate::{
    acceptor::Stop,
    building::{Builder, Unbuilt},
    error::{self, raise},
    options::Options,
    packing::Tree,
    results::{self, Announced},
    space,
    value::to_value,
    waiting::{seconds, wait_unless},
};

/// So many requests that cannot be built are answered in a turn, whatever its deadline.
const ROUNDS: usize = 16;

/// A session that is polled.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct Poll {
    state: Mutex<State>,
    stop: Py<Stop>,
}

struct State {
    raw: RawPoll,
    observations: Tree,
    actions: Tree,
    outcome: Outcome,
    announced: Announced,
    /// Whether the turn to be answered is a reset.
    resets: bool,
}

impl Poll {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        let locked = self.state.try_lock();
        locked.map_err(|_| error::new(py, ErrorKind::Busy, "another thread is in a call of this backend"))
    }
}

/// A reset as an engine is told of it.
fn reset<'py>(
    py: Python<'py>,
    seed: Option<&Seed>,
    options: &Value,
) -> Result<(&'static str, Bound<'py, PyAny>, Bound<'py, PyAny>), Unbuilt> {
    let seed = match seed {
        None => py.None().into_bound(py),
        Some(seed) => py.import("rlay._values")?.call_method1("seed_from_bytes", (PyBytes::new(py, &seed.0),))?,
    };
    Ok(("reset", seed, Builder::new(py, None).build(options)?))
}

#[pymethods]
impl Poll {
    /// `described` is what the host's factory gives, see `_hosting.describe`.
    #[new]
    fn new(
        py: Python<'_>,
        described: &Bound<'_, PyAny>,
        address: &str,
        options: Options,
        stop: Py<Stop>,
    ) -> PyResult<Self> {
        let get = |i: usize| described.get_item(i);
        let spec = Spec {
            env_id: get(1)?.extract()?,
            observation_space: space::from_py(&get(2)?)?,
            action_space: space::from_py(&get(3)?)?,
            slots: 1,
            render_mode: None,
            metadata: to_value(&get(5)?)?,
            details: to_value(&get(6)?)?,
        };
        let observations = Tree::new(py, &spec.observation_space)?;
        let actions = Tree::new(py, &spec.action_space)?;
        let raw = RawPoll::new(spec, address, options.to_core(py)?).map_err(|e| raise(py, &e))?;
        let announced = Announced::new(&get(0)?)?;
        let outcome = Outcome::default();
        let state = State { raw, observations, actions, outcome, announced, resets: false };
        Ok(Self { state: Mutex::new(state), stop })
    }

    /// What the agent wants as (kind, a, b), waited for at most `timeout` seconds. Raises Closed once `stop` is set.
    fn turn<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut guard = self.lock(py)?;
        let state = &mut *guard;
        let end = Builder::deadline(seconds(Some(timeout)));
        for round in 0.. {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if round >= ROUNDS && left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let (raw, stop) = (&mut state.raw, &self.stop.get().0);
            let left = left.map_or(timeout, |left| left.as_secs_f64());
            let turn = wait_unless(py, Some(stop), Some(left), |wait| raw.turn(wait))?;
            let turn = turn.map_err(|error| match error.kind() {
                ErrorKind::Closed if stop.is_set() => {
                    error::new(py, ErrorKind::Closed, "the backend was closed; make a new one")
                }
                _ => raise(py, &error),
            })?;
            let none = || py.None().into_bound(py);
            let built = match turn {
                None => return Ok(None),
                Some(RawTurn::Reset { seed, options }) => {
                    state.resets = true;
                    reset(py, seed.as_ref(), &options)
                }
                Some(RawTurn::Step(action)) => {
                    let action = match action.packed {
                        true => state.actions.read_packed(py, action).map_err(Unbuilt::from),
                        false => state.actions.read_payload(py, &action.payload()),
                    };
                    action.map(|action| ("step", action, none()))
                }
                Some(RawTurn::Render) => Ok(("render", none(), none())),
                Some(RawTurn::Close(reason)) => Ok(("close", PyString::new(py, &reason).into_any(), none())),
            };
            let (error, interrupt) = match built {
                Ok(turn) => return turn.into_bound_py_any(py).map(Some),
                Err(Unbuilt::Interrupted(raised)) => (error::failure(py, &raised), Some(raised)),
                // Bytes that stand for no object, or do not fit the space, are the agent's doing.
                Err(unbuilt) => (Error::protocol(error::text(py, &unbuilt.into_error(py))), None),
            };
            // The engine never learns of this request, so nobody else answers it.
            let raw = &mut state.raw;
            let gone = wait_unless(py, Some(stop), None, |wait| raw.refuse(error, wait))?.map_err(|e| raise(py, &e))?;
            if let Some(raised) = interrupt {
                return Err(raised);
            }
            if let Some(RawTurn::Close(reason)) = gone {
                return ("close", reason, none()).into_bound_py_any(py).map(Some);
            }
        }
        Ok(None)
    }

    /// Answers a reset or step. What a hosted environment may not return is refused; another answer may follow.
    fn reply(
        &self,
        py: Python<'_>,
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
        if std::mem::take(resets) {
            announced.compare(py)?;
        }
        let stop = &self.stop.get().0;
        wait_unless(py, Some(stop), None, |wait| raw.reply(outcome, wait))?.map_err(|e| raise(py, &e))
    }

    /// Answers a render.
    fn reply_frame(&self, py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<()> {
        let (mut state, stop) = (self.lock(py)?, &self.stop.get().0);
        let frame = results::frame(frame, state.raw.render_mode())?;
        let raw = &mut state.raw;
        wait_unless(py, Some(stop), None, |wait| raw.reply_frame(frame, wait))?.map_err(|e| raise(py, &e))
    }

    /// Ends the session. `stop` is set, so that a turn in another thread is over soon.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.state.lock().unwrap_or_else(PoisonError::into_inner).raw.close());
    }

    /// Forgets the connection without a word to the agent: this is a forked child.
    fn abandon(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.raw.abandon();
        }
    }
}
