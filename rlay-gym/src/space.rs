//! Spaces: the plain tuples that `rlay/_spaces.py` makes of Gymnasium's spaces, as descriptions and back.

use pyo3::{
    IntoPyObjectExt,
    exceptions::PyValueError,
    prelude::*,
    types::{PyBytes, PyTuple},
};
use rlay_core::{
    AnyBox, AnySpace, Bound as SpaceBound, DType, Discrete, ErrorKind, Limits, MultiBinary, MultiDiscrete, Text,
    wire::{Keys, Spec},
};

use crate::{building::from_value, error, value::to_value};

fn dtype(name: &str) -> PyResult<DType> {
    let found = DType::ALL.into_iter().find(|dtype| dtype.name() == name);
    found.ok_or_else(|| PyValueError::new_err(format!("no space has the dtype {name}")))
}

/// Little-endian numbers of eight bytes.
fn numbers(bytes: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    let (numbers, _) = bytes.cast::<PyBytes>()?.as_bytes().as_chunks();
    Ok(numbers.iter().map(|number| i64::from_le_bytes(*number)).collect())
}

/// The description that a tuple from `_spaces.describe` holds.
pub(crate) fn from_py(tuple: &Bound<'_, PyAny>) -> PyResult<AnySpace> {
    described(tuple, &mut Keys::of_a_value())
}

/// The same of a space inside another one; its keys are counted together with those before them.
fn described(tuple: &Bound<'_, PyAny>, keys: &mut Keys) -> PyResult<AnySpace> {
    let class: String = tuple.get_item(0)?.extract()?;
    let get = |i: usize| tuple.get_item(i);
    Ok(match class.as_str() {
        "Box" => {
            let dtype = dtype(&get(1)?.extract::<String>()?)?;
            // Bytes: a list with a bool for each pixel takes seconds.
            let bound = |i: usize, j: usize| -> PyResult<SpaceBound> {
                let (values, bounded) = (get(i)?, get(j)?);
                let bounded = bounded.cast::<PyBytes>()?.as_bytes().iter().map(|byte| *byte != 0).collect();
                Ok(SpaceBound::new(values.cast::<PyBytes>()?.as_bytes().to_vec(), bounded, dtype.size()))
            };
            AnySpace::Box(AnyBox {
                dtype,
                big_endian: get(2)?.extract()?,
                shape: get(3)?.extract()?,
                low: bound(4, 5)?,
                high: bound(6, 7)?,
            })
        }
        "Discrete" => AnySpace::Discrete(Discrete {
            dtype: dtype(&get(1)?.extract::<String>()?)?,
            n: get(2)?.extract()?,
            start: get(3)?.extract()?,
        }),
        "MultiBinary" => AnySpace::MultiBinary(MultiBinary { shape: get(1)?.extract()?, n_is_int: get(2)?.extract()? }),
        "MultiDiscrete" => AnySpace::MultiDiscrete(MultiDiscrete {
            dtype: dtype(&get(1)?.extract::<String>()?)?,
            big_endian: get(2)?.extract()?,
            shape: get(3)?.extract()?,
            nvec: numbers(&get(4)?)?,
            start: numbers(&get(5)?)?,
        }),
        "Text" => AnySpace::Text(Text {
            min_length: get(1)?.extract()?,
            max_length: get(2)?.extract()?,
            charset: get(3)?.extract()?,
        }),
        "Tuple" => AnySpace::Tuple(all(&get(1)?, keys)?),
        "OneOf" => AnySpace::OneOf(all(&get(1)?, keys)?),
        "Dict" => {
            let mut entry = |pair: Bound<'_, PyAny>| {
                let key = to_value(&pair.get_item(0)?)?;
                keys.take(&key)
                    .map_err(|why| error::new(tuple.py(), ErrorKind::Usage, format!("a Dict space: {why}")))?;
                Ok((key, described(&pair.get_item(1)?, keys)?))
            };
            AnySpace::Dict(get(1)?.try_iter()?.map(|pair| entry(pair?)).collect::<PyResult<_>>()?)
        }
        "Sequence" => AnySpace::Sequence { space: Box::new(described(&get(1)?, keys)?), stack: get(2)?.extract()? },
        "Graph" => {
            let edge = if get(2)?.is_none() { None } else { Some(Box::new(described(&get(2)?, keys)?)) };
            AnySpace::Graph { node: Box::new(described(&get(1)?, keys)?), edge }
        }
        other => return Err(PyValueError::new_err(format!("no space is called {other}"))),
    })
}

fn all(tuples: &Bound<'_, PyAny>, keys: &mut Keys) -> PyResult<Vec<AnySpace>> {
    tuples.try_iter()?.map(|tuple| described(&tuple?, keys)).collect()
}

/// The tuple that `_spaces.build` makes a space of.
pub(crate) fn to_py<'py>(py: Python<'py>, space: &AnySpace) -> PyResult<Bound<'py, PyAny>> {
    let all = |spaces: &[AnySpace]| {
        PyTuple::new(py, spaces.iter().map(|space| to_py(py, space)).collect::<PyResult<Vec<_>>>()?)
    };
    match space {
        AnySpace::Box(b) => {
            // One element and one mark where all are alike.
            let bytes = |values: &[u8], bounded: Vec<u8>| (PyBytes::new(py, values), PyBytes::new(py, &bounded));
            let bound = |bound: &SpaceBound| match bound {
                SpaceBound::Uniform { value, bounded } => bytes(value, vec![(*bounded).into()]),
                SpaceBound::Each { values, bounded } => bytes(values, bounded.iter().map(|b| (*b).into()).collect()),
            };
            let (low, below) = bound(&b.low);
            let (high, above) = bound(&b.high);
            let (dtype, is_shared) = (b.dtype.name(), b.is_shared());
            ("Box", dtype, b.big_endian, &b.shape, low, below, high, above, is_shared).into_bound_py_any(py)
        }
        AnySpace::Discrete(d) => ("Discrete", d.dtype.name(), d.n, d.start).into_bound_py_any(py),
        AnySpace::MultiBinary(m) => ("MultiBinary", &m.shape, m.n_is_int).into_bound_py_any(py),
        AnySpace::MultiDiscrete(m) => {
            let bytes =
                |numbers: &[i64]| PyBytes::new(py, &numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
            ("MultiDiscrete", m.dtype.name(), m.big_endian, &m.shape, bytes(&m.nvec), bytes(&m.start))
                .into_bound_py_any(py)
        }
        AnySpace::Text(t) => ("Text", t.min_length, t.max_length, &t.charset).into_bound_py_any(py),
        AnySpace::Tuple(spaces) => ("Tuple", all(spaces)?).into_bound_py_any(py),
        AnySpace::OneOf(spaces) => ("OneOf", all(spaces)?).into_bound_py_any(py),
        AnySpace::Dict(spaces) => {
            let entries = spaces.iter().map(|(key, space)| Ok((from_value(py, key)?, to_py(py, space)?)));
            ("Dict", PyTuple::new(py, entries.collect::<PyResult<Vec<_>>>()?)?).into_bound_py_any(py)
        }
        AnySpace::Sequence { space, stack } => ("Sequence", to_py(py, space)?, *stack).into_bound_py_any(py),
        AnySpace::Graph { node, edge } => {
            let edge = edge.as_ref().map(|edge| to_py(py, edge)).transpose()?;
            ("Graph", to_py(py, node)?, edge).into_bound_py_any(py)
        }
    }
}

/// Where two spaces of these descriptions first differ, in words.
#[pyfunction]
pub(crate) fn difference(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    Ok(rlay_core::difference(&from_py(a)?, &from_py(b)?))
}

/// The space of this description, as the library in Rust prints it.
#[pyfunction]
pub(crate) fn show_space(tuple: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(from_py(tuple)?.to_string())
}

/// The description of the space that `bytes` encode, as an agent decodes it: for tests that make bytes up.
#[pyfunction]
pub(crate) fn read_space<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let limits = Limits::default();
    let mut reader = rlay_core::wire::Reader::new(bytes, 0, &limits);
    let read = reader.space().and_then(|observation_space| {
        let spec = Spec { observation_space, ..Spec::default() };
        spec.check_spaces(&limits).map(|()| spec.observation_space)
    });
    to_py(py, &read.map_err(|e| error::raise(py, &e))?)
}

/// The description of a space after a round trip over the wire, for tests and debugging.
#[pyfunction]
pub(crate) fn roundtrip<'py>(tuple: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = tuple.py();
    let mut bytes = Vec::new();
    rlay_core::wire::put_space(&mut bytes, &from_py(tuple)?);
    let mut reader = rlay_core::wire::Reader::new(&bytes, 0, &Limits::default());
    let space = reader.space().map_err(|e| error::raise(py, &e))?;
    to_py(py, &space)
}
