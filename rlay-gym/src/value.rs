//! Python objects as values and back, types kept apart.

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyModule, PyString, PyTuple, PyType},
};
use rlay_core::{Array, ErrorKind, Graph, Limits, Map, Value};

use crate::{array, error};

/// Levels of containers in a value. One more, and the peer would refuse the frame: its limit counts
/// the items of the innermost container too.
const DEPTH: u32 = 31;

fn support(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE.get_or_try_init(py, || py.import("rlay._values").map(Bound::unbind)).map(|module| module.bind(py))
}

fn graph_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.import(py, "gymnasium.spaces", "GraphInstance")
}

fn generic_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.import(py, "numpy", "generic")
}

/// A container that is being converted, and the one it is in.
struct Inside<'a, 'py> {
    container: &'a Bound<'py, PyAny>,
    level: u32,
    outer: Option<&'a Self>,
}

impl<'a, 'py> Inside<'a, 'py> {
    /// Goes into `container`, unless that is too deep or it contains itself.
    fn enter(container: &'a Bound<'py, PyAny>, outer: Option<&'a Self>) -> Option<Self> {
        let level = outer.map_or(1, |outer| outer.level + 1);
        let mut around = outer;
        while let Some(inside) = around {
            if inside.container.is(container) {
                return None;
            }
            around = inside.outer;
        }
        (level <= DEPTH).then_some(Self { container, level, outer })
    }
}

/// `object` as a value. What no value holds becomes `Opaque`, with a warning in the log.
pub(crate) fn to_value(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    convert(object, None)
}

fn convert<'py>(object: &Bound<'py, PyAny>, outer: Option<&Inside<'_, 'py>>) -> PyResult<Value> {
    let py = object.py();
    if object.is_none() {
        return Ok(Value::None);
    }
    if let Ok(x) = object.cast_exact::<PyBool>() {
        return Ok(Value::Bool(x.is_true()));
    }
    if let Ok(x) = object.cast_exact::<PyInt>() {
        return int(x);
    }
    if let Ok(x) = object.cast_exact::<PyFloat>() {
        return Ok(Value::Float(x.value()));
    }
    if let Ok(x) = object.cast_exact::<PyString>() {
        return string(x);
    }
    if let Ok(x) = object.cast_exact::<PyBytes>() {
        return Ok(Value::Bytes(x.as_bytes().to_vec()));
    }
    if let Some(x) = array::exact(object) {
        return array(x);
    }
    if object.is_instance(generic_type(py)?)? {
        return scalar(object);
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() || object.is_instance_of::<PyDict>() {
        return match Inside::enter(object, outer) {
            Some(here) => container(object, &here),
            None => opaque(object),
        };
    }
    subclass(object)
}

/// A list, tuple or dict, or an instance of a subclass of theirs, such as a `GraphInstance`.
fn container<'py>(object: &Bound<'py, PyAny>, here: &Inside<'_, 'py>) -> PyResult<Value> {
    let item = |item: Bound<'py, PyAny>| convert(&item, Some(here));
    if object.get_type().is(graph_type(object.py())?) {
        let part = |name| item(object.getattr(name)?);
        let graph = Graph { nodes: part("nodes")?, edges: part("edges")?, edge_links: part("edge_links")? };
        return Ok(Value::Graph(Box::new(graph)));
    }
    if let Ok(x) = object.cast::<PyList>() {
        note_subclass(object, x.is_exact_instance_of::<PyList>(), "list")?;
        return Ok(Value::List(x.iter().map(item).collect::<PyResult<_>>()?));
    }
    if let Ok(x) = object.cast::<PyTuple>() {
        note_subclass(object, x.is_exact_instance_of::<PyTuple>(), "tuple")?;
        return Ok(Value::Tuple(x.iter().map(item).collect::<PyResult<_>>()?));
    }
    let is_exact = object.is_exact_instance_of::<PyDict>();
    note_subclass(object, is_exact, "dict")?;
    // An OrderedDict has an order of its own beside that of the dict it is. Items are listed before
    // they are converted, for that may let other threads in.
    let items = if is_exact { object.cast::<PyDict>()?.items().into_any() } else { object.call_method0("items")? };
    let entry = |pair: Bound<'py, PyAny>| {
        let found = pair.get_item(0)?;
        let mut key = convert(&found, Some(here))?;
        if !is_hashable(&key) {
            key = opaque(&found)?;
        }
        Ok((key, item(pair.get_item(1)?)?))
    };
    Ok(Value::Dict(Map(items.try_iter()?.map(|pair| entry(pair?)).collect::<PyResult<_>>()?)))
}

/// Whether what `key` becomes at the other end can be the key of a dict, even if the class it had
/// here is not known there.
fn is_hashable(key: &Value) -> bool {
    match key {
        Value::List(_) | Value::Dict(_) | Value::Array(_) | Value::Graph(_) => false,
        Value::Tuple(items) => items.iter().all(is_hashable),
        _ => true,
    }
}

/// An instance of a subclass of what has a value, as that; anything else by name only.
fn subclass(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(x) = object.cast::<PyInt>() {
        note_subclass(object, false, "int")?;
        return int(x);
    }
    if let Ok(x) = object.cast::<PyFloat>() {
        note_subclass(object, false, "float")?;
        return Ok(Value::Float(x.value()));
    }
    if let Ok(x) = object.cast::<PyString>() {
        let value = string(x)?;
        note_subclass(object, matches!(value, Value::Opaque { .. }), "str")?;
        return Ok(value);
    }
    if let Ok(x) = object.cast::<PyBytes>() {
        note_subclass(object, false, "bytes")?;
        return Ok(Value::Bytes(x.as_bytes().to_vec()));
    }
    if let Ok(x) = object.cast::<PyUntypedArray>() {
        let value = array(x)?;
        note_subclass(object, matches!(value, Value::Opaque { .. }), "numpy.ndarray")?;
        return Ok(value);
    }
    opaque(object)
}

fn int(x: &Bound<'_, PyInt>) -> PyResult<Value> {
    if let Ok(small) = x.extract::<i64>() {
        return Ok(Value::Int(small));
    }
    let bytes = support(x.py())?.call_method1("int_to_bytes", (x,))?;
    Ok(Value::BigInt(bytes.extract()?))
}

/// A lone surrogate is no UTF-8; a str with one travels by name.
fn string(x: &Bound<'_, PyString>) -> PyResult<Value> {
    x.to_str().map_or_else(|_| opaque(x), |text| Ok(Value::Str(text.to_owned())))
}

fn array(x: &Bound<'_, PyUntypedArray>) -> PyResult<Value> {
    let Some((dtype, big_endian)) = array::dtype_of(x)? else { return opaque(x) };
    let shape = x.shape().iter().map(|n| *n as u64).collect();
    let data = match array::bytes(x).filter(|_| !big_endian) {
        Some(bytes) => bytes.to_vec(),
        None => support(x.py())?.call_method1("little_endian_bytes", (x,))?.extract()?,
    };
    Ok(Value::Array(Array { dtype, big_endian, shape, data }))
}

fn scalar(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let descr = object.getattr("dtype")?;
    let supported = match descr.cast::<numpy::PyArrayDescr>() {
        Ok(descr) => array::from_descr(descr)?,
        Err(_) => None,
    };
    // np.str_ and np.bytes_ are str and bytes too.
    let Some((dtype, big_endian)) = supported else { return subclass(object) };
    let data: Vec<u8> = support(object.py())?.call_method1("little_endian_bytes", (object,))?.extract()?;
    Ok(Value::Scalar(Array { dtype, big_endian, shape: vec![], data }))
}

fn opaque(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let (type_name, repr) = support(object.py())?.call_method1("describe_opaque", (object,))?.extract()?;
    Ok(Value::Opaque { type_name, repr })
}

/// Warns that the class is lost, unless it `is_kept`.
fn note_subclass(object: &Bound<'_, PyAny>, is_kept: bool, base: &str) -> PyResult<()> {
    if !is_kept {
        support(object.py())?.call_method1("note_subclass", (object.get_type(), base))?;
    }
    Ok(())
}

/// The Python object that `value` stands for.
pub(crate) fn from_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::None => Ok(py.None().into_bound(py)),
        Value::Bool(x) => x.into_bound_py_any(py),
        Value::Int(x) => x.into_bound_py_any(py),
        Value::BigInt(bytes) => support(py)?.call_method1("int_from_bytes", (PyBytes::new(py, bytes),)),
        Value::Float(x) => x.into_bound_py_any(py),
        Value::Str(text) => text.into_bound_py_any(py),
        Value::Bytes(bytes) => Ok(PyBytes::new(py, bytes).into_any()),
        Value::List(items) => Ok(PyList::new(py, all(py, items)?)?.into_any()),
        Value::Tuple(items) => Ok(PyTuple::new(py, all(py, items)?)?.into_any()),
        Value::Dict(map) => Ok(dict(py, map)?.into_any()),
        Value::Array(a) => array::copy(py, a.dtype, a.big_endian, &a.shape, &a.data),
        Value::Scalar(a) => array::scalar(py, a.dtype, a.big_endian, &a.data),
        Value::Graph(graph) => {
            let part = |value| from_value(py, value);
            graph_type(py)?.call1((part(&graph.nodes)?, part(&graph.edges)?, part(&graph.edge_links)?))
        }
        Value::Opaque { type_name, repr } => support(py)?.getattr("Opaque")?.call1((type_name, repr)),
    }
}

fn all<'py>(py: Python<'py>, items: &[Value]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    items.iter().map(|item| from_value(py, item)).collect()
}

fn dict<'py>(py: Python<'py>, map: &Map) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in &map.0 {
        if !is_hashable(key) {
            return Err(error::new(py, ErrorKind::Protocol, "a dict with a key that cannot be one"));
        }
        match key.as_str() {
            Some(text) => dict.set_item(PyString::intern(py, text), from_value(py, value)?)?,
            None => dict.set_item(from_value(py, key)?, from_value(py, value)?)?,
        }
    }
    Ok(dict)
}

/// What `object` becomes when it crosses the wire, for tests and curious people.
#[pyfunction]
pub(crate) fn roundtrip_value<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let mut bytes = Vec::new();
    rlay_core::wire::put_value(&mut bytes, &to_value(object)?);
    let mut reader = rlay_core::wire::Reader::new(&bytes, 0, &Limits::default());
    let value = reader.value().map_err(|e| error::raise(py, &e))?;
    from_value(py, &value)
}
