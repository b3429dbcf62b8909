//! What a Python environment returns: checked and written in one place, whether a host calls the environment or an
//! engine answers in the poll form.

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBool, PyDict, PyTuple},
};
use rlay_core::{Outcome, Value, wire::put_value};

use crate::{
    array,
    packing::Tree,
    value::{Refusal, array_like, kind, to_data, to_dict, to_value},
};

/// How many items a message names by their types, at most.
const NAMED: usize = 8;

/// What a call of the environment returned, as the tuple that was due.
pub(crate) fn items<'py>(result: &Bound<'py, PyAny>, call: &str, due: &[&str]) -> PyResult<Bound<'py, PyTuple>> {
    let found = match result.cast::<PyTuple>() {
        Ok(tuple) if tuple.len() == due.len() => return Ok(tuple.clone()),
        Ok(tuple) => {
            let mut types: Vec<String> = Vec::new();
            for item in tuple.iter().take(NAMED) {
                types.push(kind(&item)?);
            }
            let more = if tuple.len() > NAMED { ", …" } else { "" };
            format!("a tuple of {} ({}{more})", tuple.len(), types.join(", "))
        }
        Err(_) => kind(result)?,
    };
    let (n, names) = (due.len(), due.join(", "));
    let old = if call == "step" && result.cast::<PyTuple>().is_ok_and(|tuple| tuple.len() == 4) {
        "; an environment of the old Gym, with one flag, has to be wrapped"
    } else {
        ""
    };
    Err(PyTypeError::new_err(format!("{call} returned {found} where a tuple of {n} was due; return ({names}){old}")))
}

/// A reward. Many environments make an array of one element of it.
pub(crate) fn reward(reward: &Bound<'_, PyAny>) -> PyResult<f64> {
    let one = |array: &Bound<'_, PyAny>| array.call_method0("item").and_then(|item| item.extract());
    let found = match array::exact(reward) {
        Some(array) => one(array),
        None => reward.extract().or_else(|error| match array_like(reward) {
            Ok(Some(array)) => one(&array),
            _ => Err(error),
        }),
    };
    found.map_err(|_| match kind(reward) {
        Ok(found) => PyTypeError::new_err(format!("the reward is {found}, which is not a number; return a float")),
        Err(error) => error,
    })
}

/// `terminated` or `truncated`.
pub(crate) fn flag(flag: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
    if let Ok(flag) = flag.cast_exact::<PyBool>() {
        return Ok(flag.is_true());
    }
    flag.is_truthy().map_err(|error| match kind(flag) {
        Ok(found) => PyTypeError::new_err(format!(
            "{name} is {found}, which is neither true nor false ({}); return a bool",
            error.value(flag.py())
        )),
        Err(error) => error,
    })
}

/// Reward and flags of a step.
pub(crate) fn facts(
    reward: &Bound<'_, PyAny>,
    terminated: &Bound<'_, PyAny>,
    truncated: &Bound<'_, PyAny>,
    outcome: &mut Outcome,
) -> PyResult<()> {
    outcome.reward = self::reward(reward)?;
    outcome.terminated = flag(terminated, "terminated")?;
    outcome.truncated = flag(truncated, "truncated")?;
    Ok(())
}

/// An observation. An object that no value holds is an error, for a stand-in would tell agents only that it exists.
pub(crate) fn observation(space: &Tree, observation: &Bound<'_, PyAny>, outcome: &mut Outcome) -> PyResult<()> {
    outcome.packed =
        space.write(observation, &mut outcome.observation, "observation").map_err(Refusal::into_type_error)?;
    Ok(())
}

/// `info`, in which objects that no value holds are named.
pub(crate) fn info(info: &Bound<'_, PyAny>, outcome: &mut Outcome, call: &str) -> PyResult<()> {
    if !info.is_instance_of::<PyDict>() {
        let found = kind(info)?;
        return Err(PyTypeError::new_err(format!("{call} returned an info that is {found} and no dict; return {{}}")));
    }
    outcome.info.clear();
    put_value(&mut outcome.info, &to_dict(info, "info")?);
    Ok(())
}

/// A frame, which is data as an observation is. What `render` returns in the mode `human` is of no use to the agent,
/// and may be named.
pub(crate) fn frame(frame: &Bound<'_, PyAny>, mode: Option<&str>) -> PyResult<Value> {
    match mode {
        Some("human") => to_value(frame),
        _ => to_data(frame, "frame").map_err(Refusal::into_type_error),
    }
}

/// The spaces with which an environment was announced: `_hosting.Announced`.
pub(crate) struct Announced(Py<PyAny>);

impl Announced {
    /// The spaces that `env` has now.
    pub(crate) fn new(env: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(env.py().import("rlay._hosting")?.call_method1("Announced", (env,))?.unbind()))
    }

    /// Compares the announced spaces with the environment's spaces after a reset.
    pub(crate) fn compare(&self, py: Python<'_>) -> PyResult<()> {
        self.0.bind(py).call_method0("compare").map(drop)
    }
}
