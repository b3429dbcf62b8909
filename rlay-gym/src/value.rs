//! Python objects as values and back, types kept apart.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyModule, PyString, PyTuple, PyType},
};
use rlay_core::{Array, Graph, Limits, Map, Value};

use crate::array;

/// Values nested deeper than this are sent by name only; the peer would refuse the frame.
const DEPTH: u32 = 24;

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

/// `object` as a value. What no value holds becomes `Opaque`, with a warning in the log.
pub(crate) fn to_value(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    convert(object, DEPTH)
}

fn convert(object: &Bound<'_, PyAny>, depth: u32) -> PyResult<Value> {
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
        // A lone surrogate is no UTF-8; such a str travels by name.
        return x.to_str().map_or_else(|_| opaque(object), |text| Ok(Value::Str(text.to_owned())));
    }
    if let Ok(x) = object.cast_exact::<PyBytes>() {
        return Ok(Value::Bytes(x.as_bytes().to_vec()));
    }
    if let Some(x) = array::exact(object) {
        return match array(x)? {
            Some(array) => Ok(Value::Array(array)),
            None => opaque(object),
        };
    }
    if object.is_instance(generic_type(py)?)? {
        return scalar(object);
    }
    let is_container = object.is_instance_of::<PyList>()
        || object.is_instance_of::<PyTuple>()
        || object.is_instance_of::<PyDict>();
    if is_container && depth == 0 {
        return opaque(object);
    }
    if object.get_type().is(graph_type(py)?) {
        let part = |name| convert(&object.getattr(name)?, depth - 1);
        let graph = Graph { nodes: part("nodes")?, edges: part("edges")?, edge_links: part("edge_links")? };
        return Ok(Value::Graph(Box::new(graph)));
    }
    if let Ok(x) = object.cast::<PyList>() {
        note_subclass(object, x.is_exact_instance_of::<PyList>(), "list")?;
        return Ok(Value::List(x.iter().map(|item| convert(&item, depth - 1)).collect::<PyResult<_>>()?));
    }
    if let Ok(x) = object.cast::<PyTuple>() {
        note_subclass(object, x.is_exact_instance_of::<PyTuple>(), "tuple")?;
        return Ok(Value::Tuple(x.iter().map(|item| convert(&item, depth - 1)).collect::<PyResult<_>>()?));
    }
    if let Ok(x) = object.cast::<PyDict>() {
        note_subclass(object, x.is_exact_instance_of::<PyDict>(), "dict")?;
        let entries = x.iter().map(|(key, item)| Ok((convert(&key, depth - 1)?, convert(&item, depth - 1)?)));
        return Ok(Value::Dict(Map(entries.collect::<PyResult<_>>()?)));
    }
    if let Ok(x) = object.cast::<PyInt>() {
        note_subclass(object, false, "int")?;
        return int(x);
    }
    if let Ok(x) = object.cast::<PyFloat>() {
        note_subclass(object, false, "float")?;
        return Ok(Value::Float(x.value()));
    }
    if let Ok(x) = object.cast::<PyString>() {
        note_subclass(object, false, "str")?;
        return x.to_str().map_or_else(|_| opaque(object), |text| Ok(Value::Str(text.to_owned())));
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

fn array(x: &Bound<'_, PyUntypedArray>) -> PyResult<Option<Array>> {
    let Some((dtype, big_endian)) = array::dtype_of(x)? else { return Ok(None) };
    let shape = x.shape().iter().map(|n| *n as u64).collect();
    let data = match array::bytes(x).filter(|_| !big_endian) {
        Some(bytes) => bytes.to_vec(),
        None => support(x.py())?.call_method1("little_endian_bytes", (x,))?.extract()?,
    };
    Ok(Some(Array { dtype, big_endian, shape, data }))
}

fn scalar(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let descr = object.getattr("dtype")?;
    let supported = match descr.cast::<numpy::PyArrayDescr>() {
        Ok(descr) if descr.kind() != b'V' => array::from_descr(descr)?,
        _ => None,
    };
    let Some((dtype, big_endian)) = supported else {
        // np.str_ and np.bytes_ are str and bytes too.
        if let Ok(x) = object.cast::<PyString>() {
            note_subclass(object, false, "str")?;
            return Ok(Value::Str(x.to_str()?.to_owned()));
        }
        return opaque(object);
    };
    let data: Vec<u8> = support(object.py())?.call_method1("little_endian_bytes", (object,))?.extract()?;
    Ok(Value::Scalar(Array { dtype, big_endian, shape: vec![], data }))
}

fn opaque(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let (type_name, repr) = support(object.py())?.call_method1("describe_opaque", (object,))?.extract()?;
    Ok(Value::Opaque { type_name, repr })
}

fn note_subclass(object: &Bound<'_, PyAny>, is_exact: bool, base: &str) -> PyResult<()> {
    if !is_exact {
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
    let value = reader.value().map_err(|e| crate::error::raise(py, &e))?;
    from_value(py, &value)
}
