//! Python objects as values and back, types kept apart.

use std::cell::{Cell, RefCell};

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::{
    exceptions::PyTypeError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyModule, PyString, PyTuple, PyType},
};
use rlay_core::{Array, ErrorKind, Graph, Limits, Map, Value, wire::Keys};

use crate::{array, building::from_value, error};

/// Levels of containers in a value. One more, and the peer would refuse the frame: its limit counts
/// the items of the innermost container too.
const DEPTH: u32 = 31;

pub(crate) fn support(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE.get_or_try_init(py, || py.import("rlay._values").map(Bound::unbind)).map(|module| module.bind(py))
}

pub(crate) fn graph_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
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
    /// Enters `container`, unless it is nested too deep or contains itself.
    fn enter(container: &'a Bound<'py, PyAny>, outer: Option<&'a Self>) -> Result<Self, &'static str> {
        let level = outer.map_or(1, |outer| outer.level + 1);
        let mut around = outer;
        while let Some(inside) = around {
            if inside.container.is(container) {
                return Err("contains itself, which cannot be sent");
            }
            around = inside.outer;
        }
        if level > DEPTH { Err("lies deeper than 31 containers") } else { Ok(Self { container, level, outer }) }
    }
}

/// What happens to an object that no value holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The object becomes `Opaque`, with a warning in the log.
    Named,
    /// The object is refused.
    Refused,
}

/// Why an object is not sent.
pub(crate) enum Refusal {
    /// A leaf cannot be sent: the path to the leaf, part by part from the leaf up, and the reason.
    Leaf(Vec<String>, String),
    /// Code of the object raised.
    Raised(PyErr),
}

impl From<PyErr> for Refusal {
    fn from(raised: PyErr) -> Self {
        Self::Raised(raised)
    }
}

impl Refusal {
    /// The same of the item at `part` of a container.
    fn at(self, part: impl FnOnce() -> PyResult<String>) -> Self {
        match self {
            Self::Leaf(mut path, why) => match part() {
                Ok(part) => {
                    path.push(part);
                    Self::Leaf(path, why)
                }
                Err(raised) => Self::Raised(raised),
            },
            raised => raised,
        }
    }

    /// The sentence about a leaf.
    fn sentence(path: &[String], why: &str) -> String {
        let path: String = path.iter().rev().map(String::as_str).collect();
        format!("{path}: {why}; give numbers, text, bytes, arrays, or lists, tuples and dicts of these")
    }

    /// An error of RLay.
    pub(crate) fn into_error(self, py: Python<'_>, kind: ErrorKind) -> PyErr {
        match self {
            Self::Leaf(path, why) => error::new(py, kind, Self::sentence(&path, &why)),
            Self::Raised(raised) => raised,
        }
    }

    /// The environment's own error.
    pub(crate) fn into_type_error(self) -> PyErr {
        match self {
            Self::Leaf(path, why) => PyTypeError::new_err(Self::sentence(&path, &why)),
            Self::Raised(raised) => raised,
        }
    }
}

type Converted = Result<Value, Refusal>;

/// The settings of a conversion: what happens to objects that no value holds, and how many more keys there may be.
struct Sending {
    rest: Rest,
    keys: RefCell<Keys>,
}

impl Sending {
    fn new(rest: Rest) -> Self {
        Self { rest, keys: RefCell::new(Keys::of_a_value()) }
    }
}

/// `object` as a value. What no value holds becomes `Opaque`, with a warning in the log.
pub(crate) fn to_value(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    convert(object, None, &Sending::new(Rest::Named)).map_err(Refusal::into_type_error)
}

/// `object`, which is called `name` and has to be a dict, as [`to_value`] makes it.
pub(crate) fn to_dict(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Value> {
    match to_value(object)? {
        dict @ Value::Dict(_) => Ok(dict),
        // As data it says what is wrong with it.
        other => match to_data(object, name) {
            Err(refusal) => Err(refusal.into_type_error()),
            Ok(_) => Err(PyTypeError::new_err(format!("{name} is a {} and no dict", other.type_name()))),
        },
    }
}

/// `object` as a value, if one holds all of it. In errors it is called `name`.
pub(crate) fn to_data(object: &Bound<'_, PyAny>, name: &str) -> Converted {
    convert(object, None, &Sending::new(Rest::Refused)).map_err(|refusal| refusal.at(|| Ok(name.to_owned())))
}

/// Raises if an agent cannot send `object`, which is called `name`, to an environment.
#[pyfunction]
pub(crate) fn check_data(object: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
    to_data(object, name).map(drop).map_err(|refusal| refusal.into_error(object.py(), ErrorKind::Usage))
}

fn convert<'py>(object: &Bound<'py, PyAny>, outer: Option<&Inside<'_, 'py>>, sending: &Sending) -> Converted {
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
        return string(x, sending);
    }
    if let Ok(x) = object.cast_exact::<PyBytes>() {
        return Ok(Value::Bytes(x.as_bytes().to_vec()));
    }
    if let Some(x) = array::exact(object) {
        return array(x, sending);
    }
    if object.is_instance(generic_type(py)?)? {
        return scalar(object, sending);
    }
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() || object.is_instance_of::<PyDict>() {
        return match Inside::enter(object, outer) {
            Ok(here) => container(object, &here, sending),
            Err(why) => unheld(object, sending, why),
        };
    }
    subclass(object, sending)
}

/// A list, tuple or dict, or an instance of a subclass of theirs, such as a `GraphInstance`.
fn container<'py>(object: &Bound<'py, PyAny>, here: &Inside<'_, 'py>, sending: &Sending) -> Converted {
    let item = |item: Bound<'py, PyAny>| convert(&item, Some(here), sending);
    if object.get_type().is(graph_type(object.py())?) {
        let part = |name: &str| item(object.getattr(name)?).map_err(|refusal| refusal.at(|| Ok(format!(".{name}"))));
        let graph = Graph { nodes: part("nodes")?, edges: part("edges")?, edge_links: part("edge_links")? };
        return Ok(Value::Graph(Box::new(graph)));
    }
    let place = |(i, x)| item(x).map_err(|refusal| refusal.at(|| Ok(format!("[{i}]"))));
    if let Ok(x) = object.cast::<PyList>() {
        note_subclass(object, x.is_exact_instance_of::<PyList>(), "list")?;
        return Ok(Value::List(x.iter().enumerate().map(place).collect::<Result<_, _>>()?));
    }
    if let Ok(x) = object.cast::<PyTuple>() {
        note_subclass(object, x.is_exact_instance_of::<PyTuple>(), "tuple")?;
        return Ok(Value::Tuple(x.iter().enumerate().map(place).collect::<Result<_, _>>()?));
    }
    let is_exact = object.is_exact_instance_of::<PyDict>();
    note_subclass(object, is_exact, "dict")?;
    // An OrderedDict has an order of its own beside that of the dict it is. Items are listed before
    // they are converted, for that may let other threads in.
    let items = if is_exact {
        object.cast::<PyDict>().map_err(PyErr::from)?.items().into_any()
    } else {
        object.call_method0("items")?
    };
    let excess = Cell::new(None);
    let entry = |pair: Bound<'py, PyAny>| {
        let found = pair.get_item(0)?;
        let mut key = match convert(&found, Some(here), sending) {
            Err(Refusal::Leaf(_, why)) => return Err(Refusal::Leaf(vec![], format!("of its keys, {why}"))),
            key => key?,
        };
        let taken = sending.keys.borrow_mut().take(&key);
        if let Err(why) = taken {
            match unheld(&found, sending, &format!("cannot be sent as a key: {why}")) {
                Err(Refusal::Leaf(_, why)) => return Err(Refusal::Leaf(vec![], format!("of its keys, {why}"))),
                named => key = named?,
            }
            // Not even the name of it may be one more.
            let taken = sending.keys.borrow_mut().take(&key);
            taken.map_err(|why| excess.set(Some(why))).map_err(|()| Refusal::Leaf(vec![], String::new()))?;
        }
        let value = item(pair.get_item(1)?).map_err(|refusal| refusal.at(|| part(&found)))?;
        Ok((key, value))
    };
    let entries = items.try_iter()?.map(|pair| entry(pair?)).collect::<Result<Vec<(Value, Value)>, Refusal>>();
    match excess.take() {
        Some(why) => unheld(object, sending, &format!("has {why}")),
        None => Ok(Value::Dict(Map(entries?))),
    }
}

/// The part of a path that leads to the item under `key`, such as `["goal"]` or `[3]`.
pub(crate) fn part(key: &Bound<'_, PyAny>) -> PyResult<String> {
    support(key.py())?.call_method1("part", (key,))?.extract()
}

/// What an object is, for messages: its type, and the size of arrays and containers.
pub(crate) fn kind(object: &Bound<'_, PyAny>) -> PyResult<String> {
    support(object.py())?.call_method1("kind", (object,))?.extract()
}

/// An instance of a subclass of what has a value, as that, and what offers an array, as the array.
fn subclass(object: &Bound<'_, PyAny>, sending: &Sending) -> Converted {
    if let Ok(x) = object.cast::<PyInt>() {
        note_subclass(object, false, "int")?;
        return int(x);
    }
    if let Ok(x) = object.cast::<PyFloat>() {
        note_subclass(object, false, "float")?;
        return Ok(Value::Float(x.value()));
    }
    if let Ok(x) = object.cast::<PyString>() {
        let value = string(x, sending)?;
        note_subclass(object, matches!(value, Value::Opaque { .. }), "str")?;
        return Ok(value);
    }
    if let Ok(x) = object.cast::<PyBytes>() {
        note_subclass(object, false, "bytes")?;
        return Ok(Value::Bytes(x.as_bytes().to_vec()));
    }
    if let Ok(x) = object.cast::<PyUntypedArray>() {
        let value = array(x, sending)?;
        note_subclass(object, matches!(value, Value::Opaque { .. }), "numpy.ndarray")?;
        return Ok(value);
    }
    match array_like(object) {
        Ok(Some(found)) => match array::exact(&found) {
            Some(x) => array(x, sending),
            None => unheld(object, sending, NO_VALUE),
        },
        Ok(None) => unheld(object, sending, NO_VALUE),
        Err(Refusal::Leaf(_, why)) => unheld(object, sending, &why),
        Err(raised) => Err(raised),
    }
}

const NO_VALUE: &str = "cannot be sent";

/// The NumPy array that an object of another library offers, by `__array__`, or by `__dlpack__` if it lives on the CPU.
/// Says once for each class that such objects arrive as arrays. `None` if it is no such object.
pub(crate) fn array_like<'py>(object: &Bound<'py, PyAny>) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
    let py = object.py();
    if object.is_instance_of::<PyUntypedArray>() || object.is_instance(generic_type(py)?)? {
        return Ok(None);
    }
    // Looked up on the class, for an object may answer to any name.
    let class = object.get_type();
    if !class.hasattr(intern!(py, "__array__"))? && !class.hasattr(intern!(py, "__dlpack__"))? {
        return Ok(None);
    }
    let (array, why): (Option<Bound<'py, PyAny>>, String) =
        support(py)?.call_method1("offered_array", (object,))?.extract()?;
    match array {
        Some(array) => Ok(Some(array)),
        None => Err(Refusal::Leaf(vec![], why)),
    }
}

fn int(x: &Bound<'_, PyInt>) -> Converted {
    if let Ok(small) = x.extract::<i64>() {
        return Ok(Value::Int(small));
    }
    let bytes = support(x.py())?.call_method1("int_to_bytes", (x,))?;
    Ok(Value::BigInt(bytes.extract()?))
}

/// A lone surrogate is no UTF-8; a str with one travels by name.
fn string(x: &Bound<'_, PyString>, sending: &Sending) -> Converted {
    match x.to_str() {
        Ok(text) => Ok(Value::Str(text.to_owned())),
        Err(_) => unheld(x, sending, "has a lone surrogate, which no text has"),
    }
}

fn array(x: &Bound<'_, PyUntypedArray>, sending: &Sending) -> Converted {
    let Some((dtype, big_endian)) = array::dtype_of(x)? else { return unheld(x, sending, NO_VALUE) };
    let shape = x.shape().iter().map(|n| *n as u64).collect();
    let data = match array::bytes(x).filter(|_| !big_endian) {
        Some(bytes) => bytes.to_vec(),
        None => support(x.py())?.call_method1("little_endian_bytes", (x,))?.extract()?,
    };
    Ok(Value::Array(Array { dtype, big_endian, shape, data }))
}

fn scalar(object: &Bound<'_, PyAny>, sending: &Sending) -> Converted {
    let descr = object.getattr("dtype")?;
    let supported = match descr.cast::<numpy::PyArrayDescr>() {
        Ok(descr) => array::from_descr(descr)?,
        Err(_) => None,
    };
    // np.str_ and np.bytes_ are str and bytes too.
    let Some((dtype, big_endian)) = supported else { return subclass(object, sending) };
    let data: Vec<u8> = support(object.py())?.call_method1("little_endian_bytes", (object,))?.extract()?;
    Ok(Value::Scalar(Array { dtype, big_endian, shape: vec![], data }))
}

/// An object that no value holds.
fn unheld(object: &Bound<'_, PyAny>, sending: &Sending, why: &str) -> Converted {
    if sending.rest == Rest::Refused {
        return Err(Refusal::Leaf(vec![], format!("{} {why}", kind(object)?)));
    }
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

/// `object` after a round trip over the wire, for tests and debugging.
#[pyfunction]
pub(crate) fn roundtrip_value<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let mut bytes = Vec::new();
    rlay_core::wire::put_value(&mut bytes, &to_value(object)?);
    let mut reader = rlay_core::wire::Reader::new(&bytes, 0, &Limits::default());
    let value = reader.value().map_err(|e| error::raise(py, &e))?;
    from_value(py, &value)
}

/// The value that `object` becomes, as the library in Rust prints it.
#[pyfunction]
pub(crate) fn show_value(object: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(format!("{:?}", to_value(object)?))
}
