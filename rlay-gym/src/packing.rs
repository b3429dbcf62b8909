//! Observations and actions: Python objects to packed bytes and back, following the space.

use pyo3::{
    prelude::*,
    types::{PyDict, PyInt, PyList, PyTuple, PyType},
};
use rlay_core::{
    AnySpace, DType, ErrorKind, Value,
    endpoint::{Element, Received},
    wire::Payload,
};

use crate::{
    array::{self, Leaves},
    building::{Builder, Unbuilt, from_value},
    error,
    value::{Refusal, array_like, kind, part, to_data},
};

/// A space, with what packing needs precomputed.
pub(crate) struct Tree {
    node: Node,
    /// Whether every leaf of the space has a packed form.
    is_fixed: bool,
}

enum Node {
    /// Box, MultiBinary, MultiDiscrete.
    Array {
        dtype: DType,
        shape: Vec<u64>,
        size: usize,
    },
    Discrete {
        dtype: DType,
        scalar: Py<PyType>,
    },
    Tuple(Vec<Tree>),
    Dict(Vec<(Py<PyAny>, Tree)>),
    /// Text, Sequence, Graph, OneOf: always values.
    Variable(&'static str),
}

fn malformed(py: Python<'_>, what: impl Into<String>) -> PyErr {
    error::new(py, ErrorKind::Protocol, what)
}

fn check_zeros(py: Python<'_>, padding: &[u8]) -> PyResult<()> {
    if padding.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(malformed(py, "padding that is not zero")) }
}

/// Most bytes of a value that is read while the GIL is held.
const SHORT: usize = 64 << 10;

/// The value in a payload of the values form.
pub(crate) fn read_value(py: Python<'_>, payload: &Payload<'_>) -> PyResult<Value> {
    let read = || payload.value();
    let value = if payload.reader.remaining() <= SHORT { read() } else { py.detach(read) };
    value.map_err(|e| error::raise(py, &e))
}

/// Whether `found` is the key of this member of a space, and of the same type.
fn is_key(found: &Bound<'_, PyAny>, key: &Py<PyAny>) -> PyResult<bool> {
    let py = found.py();
    Ok(found.is(key) || (found.get_type().is(key.bind(py).get_type()) && found.eq(key)?))
}

/// Rounds up to the next leaf.
fn padded(size: usize) -> usize {
    size.next_multiple_of(8)
}

impl Tree {
    pub(crate) fn new(py: Python<'_>, space: &AnySpace) -> PyResult<Self> {
        let leaf = |dtype: DType, shape: &[u64]| {
            let size = shape.iter().product::<u64>() as usize * dtype.size();
            Node::Array { dtype, shape: shape.to_vec(), size }
        };
        let node = match space {
            AnySpace::Box(space) => leaf(space.dtype, &space.shape),
            AnySpace::MultiBinary(space) => leaf(DType::I8, &space.shape),
            AnySpace::MultiDiscrete(space) => leaf(space.dtype, &space.shape),
            AnySpace::Discrete(space) => {
                let scalar = py.import("numpy")?.getattr(space.dtype.name())?.cast_into::<PyType>()?;
                Node::Discrete { dtype: space.dtype, scalar: scalar.unbind() }
            }
            AnySpace::Tuple(spaces) => {
                Node::Tuple(spaces.iter().map(|space| Self::new(py, space)).collect::<PyResult<_>>()?)
            }
            AnySpace::Dict(spaces) => Node::Dict(
                spaces
                    .iter()
                    .map(|(key, space)| {
                        // Not interned, for a peer may have chosen it.
                        Ok((from_value(py, key)?.unbind(), Self::new(py, space)?))
                    })
                    .collect::<PyResult<_>>()?,
            ),
            other => Node::Variable(other.class()),
        };
        Ok(Self { node, is_fixed: space.is_fixed() })
    }

    /// The array leaf that is the whole space, with its size in bytes.
    pub(crate) fn single_array(&self) -> Option<(DType, &[u64], usize)> {
        match &self.node {
            Node::Array { dtype, shape, size } if self.is_fixed => Some((*dtype, shape, *size)),
            _ => None,
        }
    }

    /// Writes `object` into `out`, packed if unpacking would give back the same Python types, else as
    /// a value. Returns which. An object that no value holds is refused; errors call the whole `name`.
    pub(crate) fn write(&self, object: &Bound<'_, PyAny>, out: &mut Vec<u8>, name: &str) -> Result<bool, Refusal> {
        out.clear();
        if self.is_fixed && self.pack(object, out)? {
            return Ok(true);
        }
        out.clear();
        rlay_core::wire::put_value(out, &to_data(object, name)?);
        Ok(false)
    }

    fn pack(&self, object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
        let py = object.py();
        match &self.node {
            Node::Array { dtype, shape, .. } => {
                let data = match matching(object, *dtype, shape)? {
                    Some(data) => data,
                    // What another library holds arrives as an array in either form.
                    None if array::exact(object).is_none() => match array_like(object) {
                        Ok(Some(offered)) => match matching(&offered, *dtype, shape)? {
                            Some(data) => data,
                            None => return Ok(false),
                        },
                        _ => return Ok(false),
                    },
                    None => return Ok(false),
                };
                match array::bytes(&data) {
                    Some(bytes) => out.extend_from_slice(bytes),
                    None => {
                        let contiguous = data.call_method0("copy")?;
                        let contiguous = array::exact(&contiguous).and_then(array::bytes);
                        let Some(bytes) = contiguous else { return Ok(false) };
                        out.extend_from_slice(bytes);
                    }
                }
                out.resize(padded(out.len()), 0);
                Ok(true)
            }
            Node::Discrete { dtype, scalar } => {
                let numpy = if object.is_exact_instance_of::<PyInt>() {
                    0
                } else if object.get_type().is(scalar.bind(py)) {
                    1
                } else {
                    return Ok(false);
                };
                let x = match object.extract::<i64>() {
                    Ok(x) => x,
                    Err(_) if numpy == 1 && *dtype == DType::U64 => object.extract::<u64>()? as i64,
                    Err(_) => return Ok(false),
                };
                out.extend(x.to_le_bytes());
                out.extend([numpy, 0, 0, 0, 0, 0, 0, 0]);
                Ok(true)
            }
            Node::Tuple(members) => {
                let Ok(tuple) = object.cast_exact::<PyTuple>() else { return Ok(false) };
                if tuple.len() != members.len() {
                    return Ok(false);
                }
                for (member, item) in members.iter().zip(tuple.iter_borrowed()) {
                    if !member.pack(&item, out)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Dict(members) => {
                let Ok(dict) = object.cast_exact::<PyDict>() else { return Ok(false) };
                if dict.len() != members.len() {
                    return Ok(false);
                }
                // Keys in the space's order: another order must not be lost.
                for ((key, member), (found, item)) in members.iter().zip(dict.iter()) {
                    if !is_key(&found, key)? || !member.pack(&item, out)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Variable(_) => Ok(false),
        }
    }

    /// The observation or action in a frame, in the packed form.
    pub(crate) fn read_packed<'py>(&self, py: Python<'py>, received: Received) -> PyResult<Bound<'py, PyAny>> {
        self.check_size(py, received.frame.len() - received.at)?;
        let mut at = received.at;
        self.unpack(py, &mut Leaves::new(received.frame), &mut at)
    }

    /// An observation apart from a batch.
    pub(crate) fn read_element<'py>(
        &self,
        builder: &Builder<'py>,
        element: &Element,
    ) -> Result<Bound<'py, PyAny>, Unbuilt> {
        match element {
            Element::Value(value) => builder.build(value),
            Element::Packed(bytes) => {
                self.check_size(builder.py(), bytes.len())?;
                Ok(self.unpack(builder.py(), &mut Leaves::copying(bytes), &mut 0)?)
            }
        }
    }

    /// The action in a payload that stays in its frame.
    pub(crate) fn read_payload<'py>(
        &self,
        py: Python<'py>,
        payload: &Payload<'_>,
    ) -> Result<Bound<'py, PyAny>, Unbuilt> {
        if !payload.packed {
            return Builder::new(py, None).build(&read_value(py, payload)?);
        }
        let bytes = payload.reader.rest();
        self.check_size(py, bytes.len())?;
        Ok(self.unpack(py, &mut Leaves::copying(bytes), &mut 0)?)
    }

    /// The first `slots` of so many rows of observations in the packed form, which begin at `at`, as one batch: what
    /// `concatenate` of Gymnasium makes of them.
    pub(crate) fn read_stacked<'py>(
        &self,
        py: Python<'py>,
        stacked: &mut Leaves,
        mut at: usize,
        rows: usize,
        slots: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.unstack(py, stacked, &mut at, rows, slots)
    }

    fn unstack<'py>(
        &self,
        py: Python<'py>,
        stacked: &mut Leaves,
        at: &mut usize,
        rows: usize,
        slots: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut slab = |size: usize| {
            let start = *at;
            *at += padded(size * rows);
            (start, size * slots)
        };
        match &self.node {
            Node::Array { dtype, shape, size } => {
                let (start, len) = slab(*size);
                if *dtype == DType::Bool && stacked.bytes(start, len).iter().any(|byte| *byte > 1) {
                    return Err(malformed(py, "a bool that is neither 0 nor 1"));
                }
                let shape: Vec<u64> = [slots as u64].iter().chain(shape).copied().collect();
                stacked.array(py, *dtype, &shape, start, len)
            }
            Node::Discrete { dtype, .. } => {
                let ((start, len), (marks, count)) = (slab(8), slab(1));
                if stacked.bytes(marks, count).iter().any(|mark| *mark > 1) {
                    return Err(malformed(py, "a Discrete mark that is neither 0 nor 1"));
                }
                if *dtype == DType::I64 {
                    return stacked.array(py, *dtype, &[slots as u64], start, len);
                }
                let mut bytes = Vec::with_capacity(slots * dtype.size());
                for number in stacked.bytes(start, len).chunks_exact(8) {
                    if !dtype.has(i64::from_le_bytes(number.try_into().expect("eight bytes"))) {
                        return Err(malformed(py, "an integer that the space's type does not have"));
                    }
                    bytes.extend_from_slice(&number[..dtype.size()]);
                }
                stacked.settle(array::copy(py, *dtype, false, &[slots as u64], &bytes)?)
            }
            Node::Tuple(members) => {
                let batch = |member: &Self| member.unstack(py, stacked, at, rows, slots);
                let items: PyResult<Vec<_>> = members.iter().map(batch).collect();
                Ok(PyTuple::new(py, items?)?.into_any())
            }
            Node::Dict(members) => {
                let dict = PyDict::new(py);
                for (key, member) in members {
                    dict.set_item(key, member.unstack(py, stacked, at, rows, slots)?)?;
                }
                Ok(dict.into_any())
            }
            Node::Variable(class) => Err(malformed(py, format!("a packed payload for a {class} space"))),
        }
    }

    /// Writes a batch of so many elements in the packed form, if it is of just the arrays that the space declares;
    /// returns whether it is. In a Discrete each is a scalar of NumPy, as the items of the array are.
    pub(crate) fn write_stacked(&self, batch: &Bound<'_, PyAny>, slots: usize, out: &mut Vec<u8>) -> PyResult<bool> {
        out.clear();
        Ok(self.is_fixed && self.stack(batch, slots, out)?)
    }

    /// Appends the batch in the packed form, if its items as Gymnasium's `iterate` gives them would have it.
    fn stack(&self, batch: &Bound<'_, PyAny>, slots: usize, out: &mut Vec<u8>) -> PyResult<bool> {
        let (dtype, shape): (DType, &[u64]) = match &self.node {
            // The items are scalars of NumPy, which the packed form is not for.
            Node::Array { shape, .. } if shape.is_empty() => return Ok(false),
            Node::Array { dtype, shape, .. } => (*dtype, shape),
            Node::Discrete { dtype, .. } => (*dtype, &[]),
            Node::Tuple(members) => {
                let Ok(tuple) = batch.cast_exact::<PyTuple>() else { return Ok(false) };
                // A batch of nothing has no items.
                if tuple.len() != members.len() || members.is_empty() {
                    return Ok(false);
                }
                for (member, item) in members.iter().zip(tuple.iter_borrowed()) {
                    if !member.stack(&item, slots, out)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            Node::Dict(members) => {
                let Ok(dict) = batch.cast::<PyDict>() else { return Ok(false) };
                if dict.len() != members.len() || members.is_empty() {
                    return Ok(false);
                }
                // The keys of each item are in the order of the batch, which Gymnasium's space of batches sorts.
                for ((key, member), (found, item)) in members.iter().zip(dict.iter()) {
                    if !is_key(&found, key)? || !member.stack(&item, slots, out)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            Node::Variable(_) => return Ok(false),
        };
        let shape: Vec<u64> = [slots as u64].iter().chain(shape).copied().collect();
        let Some(array) = matching(batch, dtype, &shape)? else { return Ok(false) };
        let is_discrete = matches!(self.node, Node::Discrete { .. });
        let wide = match is_discrete && dtype != DType::I64 {
            true => array.call_method1("astype", ("int64",))?,
            false if array::bytes(&array).is_some() => array.into_any(),
            false => array.call_method0("copy")?,
        };
        let Some(bytes) = array::exact(&wide).and_then(array::bytes) else { return Ok(false) };
        out.extend_from_slice(bytes);
        if is_discrete {
            out.resize(out.len() + slots, 1);
        }
        out.resize(padded(out.len()), 0);
        Ok(true)
    }

    fn check_size(&self, py: Python<'_>, size: usize) -> PyResult<()> {
        if self.is_fixed && self.size() == size {
            return Ok(());
        }
        Err(malformed(py, "a packed payload that does not fit the space"))
    }

    /// Bytes of the packed form.
    fn size(&self) -> usize {
        match &self.node {
            Node::Array { size, .. } => padded(*size),
            Node::Discrete { .. } => 16,
            Node::Tuple(members) => members.iter().map(Self::size).sum(),
            Node::Dict(members) => members.iter().map(|(_, member)| member.size()).sum(),
            Node::Variable(_) => 0,
        }
    }

    fn unpack<'py>(&self, py: Python<'py>, leaves: &mut Leaves, at: &mut usize) -> PyResult<Bound<'py, PyAny>> {
        match &self.node {
            Node::Array { dtype, shape, size } => {
                if *dtype == DType::Bool && leaves.bytes(*at, *size).iter().any(|byte| *byte > 1) {
                    return Err(malformed(py, "a bool that is neither 0 nor 1"));
                }
                check_zeros(py, leaves.bytes(*at + *size, padded(*size) - *size))?;
                let array = leaves.array(py, *dtype, shape, *at, *size);
                *at += padded(*size);
                array
            }
            Node::Discrete { dtype, .. } => {
                let bytes = leaves.bytes(*at, 16);
                let (x, numpy) = (i64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")), bytes[8]);
                check_zeros(py, &bytes[9..])?;
                *at += 16;
                match numpy {
                    0 => array::object(py, x),
                    1 if dtype.has(x) => array::scalar(py, *dtype, false, &x.to_le_bytes()[..dtype.size()]),
                    1 => Err(malformed(py, "an integer that the space's type does not have")),
                    _ => Err(malformed(py, "a Discrete mark that is neither 0 nor 1")),
                }
            }
            Node::Tuple(members) => {
                let items: PyResult<Vec<_>> = members.iter().map(|member| member.unpack(py, leaves, at)).collect();
                Ok(PyTuple::new(py, items?)?.into_any())
            }
            Node::Dict(members) => {
                let dict = PyDict::new(py);
                for (key, member) in members {
                    dict.set_item(key, member.unpack(py, leaves, at)?)?;
                }
                Ok(dict.into_any())
            }
            Node::Variable(class) => Err(malformed(py, format!("a packed payload for a {class} space"))),
        }
    }

    /// What is wrong with the structure of an action, if anything: keys, arity, shape. What a value of
    /// the right structure means is for the environment to decide.
    pub(crate) fn check_structure(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let nested = |part: String, found: Option<String>| found.map(|text| format!("{part}{text}"));
        match &self.node {
            Node::Array { shape, .. } => {
                let Some(array) = array::exact(object) else { return Ok(None) };
                let found = numpy::PyUntypedArrayMethods::shape(array);
                if found.iter().map(|n| *n as u64).eq(shape.iter().copied()) {
                    return Ok(None);
                }
                let shape = PyTuple::new(object.py(), shape)?.repr()?;
                Ok(Some(format!(": {} where the action space has shape {shape}", kind(object)?)))
            }
            Node::Tuple(members) => {
                let items: Vec<_> = if let Ok(tuple) = object.cast::<PyTuple>() {
                    tuple.iter().collect()
                } else if let Ok(list) = object.cast::<PyList>() {
                    list.iter().collect()
                } else {
                    return Ok(Some(format!(": {} where the action space is a Tuple", kind(object)?)));
                };
                if items.len() != members.len() {
                    let (n, m) = (items.len(), members.len());
                    return Ok(Some(format!(": {n} members where the action space has {m}")));
                }
                for (i, (member, item)) in members.iter().zip(&items).enumerate() {
                    if let Some(text) = nested(format!("[{i}]"), member.check_structure(item)?) {
                        return Ok(Some(text));
                    }
                }
                Ok(None)
            }
            Node::Dict(members) => {
                let Ok(dict) = object.cast::<PyDict>() else {
                    return Ok(Some(format!(": {} where the action space is a Dict", kind(object)?)));
                };
                let name = |key: &Bound<'_, PyAny>| part(key).map(|part| part[1..part.len() - 1].to_owned());
                for (key, member) in members {
                    let key = key.bind(object.py());
                    match dict.get_item(key)? {
                        None => return Ok(Some(format!(": the key {} is missing", name(key)?))),
                        Some(item) => {
                            if let Some(text) = nested(part(key)?, member.check_structure(&item)?) {
                                return Ok(Some(text));
                            }
                        }
                    }
                }
                for key in dict.keys() {
                    let mut known = members.iter().map(|(known, _)| known.bind(object.py()).eq(&key));
                    if !known.try_fold(false, |found, same| same.map(|same| found || same))? {
                        return Ok(Some(format!(": the action space has no key {}", name(&key)?)));
                    }
                }
                Ok(None)
            }
            Node::Discrete { .. } | Node::Variable(_) => Ok(None),
        }
    }
}

/// `object` as an array, if it is exactly what the leaf declares.
pub(crate) fn matching<'py>(
    object: &Bound<'py, PyAny>,
    dtype: DType,
    shape: &[u64],
) -> PyResult<Option<Bound<'py, numpy::PyUntypedArray>>> {
    let Some(array) = array::exact(object) else { return Ok(None) };
    let same_shape = numpy::PyUntypedArrayMethods::shape(array).iter().map(|n| *n as u64).eq(shape.iter().copied());
    Ok((same_shape && array::dtype_of(array)? == Some((dtype, false))).then(|| array.clone()))
}
