//! Building: Python objects of received values. A peer chooses how many there are, so building may take seconds; other
//! threads run meanwhile, and signals and the caller's deadline are polled.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use pyo3::{
    IntoPyObjectExt,
    exceptions::{PyException, PyMemoryError},
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};
use rlay_core::{Error, ErrorKind, Map, Value, printable};

use crate::{
    array, error,
    value::{graph_type, support},
};

/// After so many objects (some milliseconds) other threads may run.
const OBJECTS_PER_LOOK: u32 = 4096;

/// A key that may collide with thousands of others counts as so many objects.
const OBJECTS_PER_KEY: u32 = 64;

/// Why an object was not built.
#[derive(Debug)]
pub(crate) enum Unbuilt {
    /// The deadline has passed.
    Late,
    /// A signal handler has raised this.
    Interrupted(PyErr),
    /// Python has no such object.
    Malformed(PyErr),
}

impl From<PyErr> for Unbuilt {
    /// Python's own code checks signals, too, and Ctrl-C is no mistake of the value's.
    fn from(raised: PyErr) -> Self {
        match Python::attach(|py| raised.is_instance_of::<PyException>(py)) {
            true => Self::Malformed(raised),
            false => Self::Interrupted(raised),
        }
    }
}

impl Unbuilt {
    /// The exception for this failure.
    pub(crate) fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Late => error::new(
                py,
                ErrorKind::Timeout,
                "the timeout passed while objects were made of what had come; late() fetches it, reset() drops it",
            ),
            Self::Interrupted(raised) => raised,
            Self::Malformed(raised) if raised.is_instance_of::<PyMemoryError>(py) || error::is_own(py, &raised) => {
                raised
            }
            Self::Malformed(raised) => {
                let text = format!("the peer sent what Python cannot hold: {}", error::text(py, &raised));
                error::new(py, ErrorKind::Protocol, text)
            }
        }
    }

    /// The error that is sent to the peer that sent the value.
    pub(crate) fn into_refusal(self, py: Python<'_>) -> Error {
        Error::protocol(error::text(py, &self.into_error(py)))
    }
}

type Built<'py> = Result<Bound<'py, PyAny>, Unbuilt>;

/// Builds objects for a caller that waits until a deadline, or without one.
pub(crate) struct Builder<'py> {
    py: Python<'py>,
    deadline: Option<Instant>,
    left: Cell<u32>,
}

/// The Python object that `value` stands for, without a deadline.
pub(crate) fn from_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Builder::new(py, None).build(value).map_err(|unbuilt| unbuilt.into_error(py))
}

impl<'py> Builder<'py> {
    pub(crate) fn new(py: Python<'py>, deadline: Option<Instant>) -> Self {
        Self { py, deadline, left: Cell::new(OBJECTS_PER_LOOK) }
    }

    pub(crate) fn py(&self) -> Python<'py> {
        self.py
    }

    /// The deadline of a call that may take `timeout` from now on.
    pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
        timeout.and_then(|timeout| Instant::now().checked_add(timeout))
    }

    /// The Python object that `value` stands for.
    pub(crate) fn build(&self, value: &Value) -> Built<'py> {
        let py = self.py;
        self.count(1)?;
        Ok(match value {
            Value::None => py.None().into_bound(py),
            Value::Bool(x) => x.into_bound_py_any(py)?,
            Value::Int(x) => x.into_bound_py_any(py)?,
            Value::BigInt(bytes) => support(py)?.call_method1("int_from_bytes", (PyBytes::new(py, bytes),))?,
            Value::Float(x) => x.into_bound_py_any(py)?,
            Value::Str(text) => text.into_bound_py_any(py)?,
            Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
            Value::List(items) => PyList::new(py, self.all(items)?)?.into_any(),
            Value::Tuple(items) => PyTuple::new(py, self.all(items)?)?.into_any(),
            Value::Dict(map) => self.dict(map)?.into_any(),
            Value::Array(a) => array::copy(py, a.dtype, a.big_endian, &a.shape, &a.data)?,
            Value::Scalar(a) => array::scalar(py, a.dtype, a.big_endian, &a.data)?,
            Value::Graph(graph) => {
                let parts = (self.build(&graph.nodes)?, self.build(&graph.edges)?, self.build(&graph.edge_links)?);
                graph_type(py)?.call1(parts)?
            }
            Value::Opaque { type_name, repr } => {
                let shown = (printable::sentence(type_name), printable::text(repr));
                support(py)?.getattr("Opaque")?.call1(shown)?
            }
        })
    }

    fn all(&self, items: &[Value]) -> Result<Vec<Bound<'py, PyAny>>, Unbuilt> {
        items.iter().map(|item| self.build(item)).collect()
    }

    fn dict(&self, map: &Map) -> Result<Bound<'py, PyDict>, Unbuilt> {
        let dict = PyDict::new(self.py);
        for (key, value) in &map.0 {
            // Never interned: from Python 3.12 on, what was interned stays for good.
            let key = match key {
                Value::Str(text) => PyString::new(self.py, text).into_any(),
                _ => {
                    self.count(OBJECTS_PER_KEY)?;
                    self.build(key)?
                }
            };
            dict.set_item(key, self.build(value)?)?;
        }
        Ok(dict)
    }

    /// Lets other threads run, once `n` more objects make that due.
    fn count(&self, n: u32) -> Result<(), Unbuilt> {
        if let Some(left) = self.left.get().checked_sub(n) {
            self.left.set(left);
            return Ok(());
        }
        self.left.set(OBJECTS_PER_LOOK);
        // Python gives the interpreter to the thread that has asked for it meanwhile.
        self.py.detach(|| ());
        self.py.check_signals().map_err(Unbuilt::Interrupted)?;
        if self.deadline.is_some_and(|end| Instant::now() >= end) { Err(Unbuilt::Late) } else { Ok(()) }
    }
}

/// The object that `bytes` are on the wire, as the peer of their sender builds it: for tests that make bytes up.
#[pyfunction]
pub(crate) fn read_value<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = rlay_core::wire::Reader::new(bytes, 0, &rlay_core::Limits::default());
    from_value(py, &reader.value().map_err(|e| error::raise(py, &e))?)
}
