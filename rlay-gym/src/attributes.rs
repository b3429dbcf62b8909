//! Attributes: what agents get, set and call, as Python's objects and as values.

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyTuple},
};
use rlay_core::{
    ErrorKind, Map, Offers, Result, Value,
    wire::{Access, Attribute, Returned},
};

use crate::{
    building::{Builder, Unbuilt},
    value::{Refusal, to_data},
};

/// Raises if a host cannot offer attributes of these names.
#[pyfunction]
pub(crate) fn check_attributes(names: Vec<String>) -> PyResult<()> {
    let offers = Offers { attributes: names, ..Offers::default() };
    offers.check_attributes().map_err(|error| PyValueError::new_err(error.to_string()))
}

/// What an agent does with an attribute: `how` is `get`, `set` or `call`. Of `set`, `values` has one for each slot; of
/// `call`, the arguments.
pub(crate) fn to_access(how: &str, values: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> PyResult<Access> {
    let py = values.py();
    let data = |object: &Bound<'_, PyAny>, name: &str| {
        to_data(object, name).map_err(|refusal| refusal.into_error(py, ErrorKind::Usage))
    };
    let items = |value: Value| match value {
        Value::Tuple(items) => items,
        _ => Vec::new(),
    };
    match how {
        "get" => Ok(Access::Get),
        "set" => {
            let values = values.iter().enumerate().map(|(i, value)| data(&value, &format!("values[{i}]")));
            Ok(Access::Set(values.collect::<PyResult<_>>()?))
        }
        "call" => {
            let kwargs = match data(kwargs, "kwargs")? {
                Value::Dict(kwargs) => kwargs,
                _ => Map::new(),
            };
            Ok(Access::Call(items(data(values, "args")?), kwargs))
        }
        _ => Err(PyValueError::new_err("an attribute is got, set or called")),
    }
}

/// What a host's Python code is called with: `get`, `set` or `call`, the values or arguments, and keyword arguments.
pub(crate) type Asked<'py> = (&'static str, Bound<'py, PyTuple>, Bound<'py, PyDict>);

/// The arguments of the functions in `rlay._attributes`, built of what an agent has sent.
pub(crate) fn asked<'py>(py: Python<'py>, access: &Access) -> Result<Asked<'py>, Unbuilt> {
    let builder = Builder::new(py, None);
    let all = |values: &[Value]| -> Result<_, Unbuilt> {
        let items: Result<Vec<_>, Unbuilt> = values.iter().map(|value| builder.build(value)).collect();
        Ok(PyTuple::new(py, items?)?)
    };
    match access {
        Access::Get => Ok(("get", PyTuple::empty(py), PyDict::new(py))),
        Access::Set(values) => Ok(("set", all(values)?, PyDict::new(py))),
        Access::Call(args, kwargs) => {
            let kwargs = builder.build(&Value::Dict(kwargs.clone()))?;
            Ok(("call", all(args)?, kwargs.cast_into::<PyDict>().map_err(PyErr::from)?))
        }
    }
}

/// A value that a host's Python code has returned for `name`: what `rlay._attributes.access` returns. An object that no
/// value holds is an error, for a stand-in would tell agents only that it exists.
pub(crate) fn to_returned(result: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Value>> {
    let (value, is_function): (Bound<'_, PyAny>, bool) = result.extract()?;
    if is_function {
        return Ok(None);
    }
    to_data(&value, name).map(Some).map_err(Refusal::into_type_error)
}

/// What an agent's Python code gets of it: (value, whether it is a function).
pub(crate) fn from_returned<'py>(builder: &Builder<'py>, value: Option<&Value>) -> Result<Bound<'py, PyAny>, Unbuilt> {
    let py = builder.py();
    let built = value.map_or_else(|| Ok(py.None().into_bound(py)), |value| builder.build(value))?;
    Ok((built, value.is_none()).into_pyobject(py)?.into_any())
}

/// What all slots have returned, as a tuple; None for a function.
pub(crate) fn build_returned<'py>(py: Python<'py>, values: &[Option<Value>]) -> PyResult<Bound<'py, PyTuple>> {
    let builder = Builder::new(py, None);
    let built: Result<Vec<_>, Unbuilt> =
        values.iter().map(|value| builder.build(value.as_ref().unwrap_or(&Value::None))).collect();
    PyTuple::new(py, built.map_err(|unbuilt| unbuilt.into_error(py))?)
}

/// Has the Python environment `env` do what an agent asks for.
pub(crate) fn access<'py>(env: &Bound<'py, PyAny>, name: &str, asked: Asked<'py>) -> PyResult<Option<Value>> {
    let (how, values, kwargs) = asked;
    let result = env.py().import("rlay._attributes")?.call_method1("access", (env, name, how, values, kwargs))?;
    to_returned(&result, name)
}

/// The names that an agent may use, for Python.
pub(crate) fn names<'py>(py: Python<'py>, names: &[String]) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyTuple::new(py, names)?.into_any())
}

/// The rows of a request about these slots, each with the value that `value` gives for its slot.
pub(crate) fn rows(
    attribute: &Attribute,
    mut value: impl FnMut(usize) -> PyResult<Option<Value>>,
) -> PyResult<Returned> {
    let rows = attribute.slots.iter().map(|slot| Ok((*slot, value(*slot as usize)?)));
    rows.collect::<PyResult<_>>().map(Returned)
}
