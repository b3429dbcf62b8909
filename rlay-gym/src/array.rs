//! NumPy arrays made from frames: views of the frame's own memory where that pays, copies where it is small.
#![allow(unsafe_code)] // NumPy's C interface; every block says why it is sound

use std::{
    ffi::{c_int, c_void},
    sync::Arc,
};

use numpy::{
    PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods,
    npyffi::{
        NPY_ARRAY_CARRAY, NPY_ARRAY_CARRAY_RO, NPY_ARRAY_WRITEABLE, NpyTypes, PY_ARRAY_API, get_type_object, npy_intp,
    },
};
use pyo3::{IntoPyObjectExt, prelude::*, sync::PyOnceLock};
use rlay_core::{DType, Frame, Pool};

/// Below this many bytes an array is copied out of its frame; it would pin more memory than it has.
const SMALL: usize = 8 << 10;

/// From so many bytes on memory for a copy comes from a pool: the allocator would take it from the kernel for each array,
/// page by page, which takes longer than the copy.
const LARGE: usize = 128 << 10;

/// A frame that arrays are views of. Its memory returns to the pool when the last of them is gone.
#[pyclass(frozen, name = "_Memory", module = "rlay._rlay")]
pub(crate) struct Memory {
    _kept: Kept,
}

enum Kept {
    /// Used by arrays alone.
    Own { _frame: Frame },
    /// Read by others, too.
    Shared { _frame: Arc<Frame> },
}

/// NumPy's dtype object of `dtype`.
pub(crate) fn descr<'py>(py: Python<'py>, dtype: DType, big_endian: bool) -> PyResult<Bound<'py, PyArrayDescr>> {
    static NATIVE: PyOnceLock<Vec<Py<PyArrayDescr>>> = PyOnceLock::new();
    let make = |name: &str| PyArrayDescr::new(py, name);
    if big_endian {
        let kind = match dtype.name().as_bytes()[0] {
            b'u' => 'u',
            b'i' => 'i',
            _ => 'f',
        };
        return make(&format!(">{kind}{}", dtype.size()));
    }
    let all = NATIVE.get_or_try_init(py, || {
        DType::ALL.iter().map(|dtype| make(dtype.name()).map(Bound::unbind)).collect::<PyResult<_>>()
    })?;
    Ok(all[dtype as usize].bind(py).clone())
}

/// The dtype of an array and whether it is big-endian; `None` if it is none of the twelve.
pub(crate) fn dtype_of(array: &Bound<'_, PyUntypedArray>) -> PyResult<Option<(DType, bool)>> {
    from_descr(&array.dtype())
}

/// The same for a dtype object.
pub(crate) fn from_descr(descr: &Bound<'_, PyArrayDescr>) -> PyResult<Option<(DType, bool)>> {
    // From 256 on are types of other libraries, such as bfloat16, whatever letter they go by.
    if descr.has_fields() || descr.has_subarray() || descr.num() >= 256 {
        return Ok(None);
    }
    let dtype = match (descr.kind(), descr.itemsize()) {
        (b'b', _) => DType::Bool,
        (b'i', 1) => DType::I8,
        (b'i', 2) => DType::I16,
        (b'i', 4) => DType::I32,
        (b'i', 8) => DType::I64,
        (b'u', 1) => DType::U8,
        (b'u', 2) => DType::U16,
        (b'u', 4) => DType::U32,
        (b'u', 8) => DType::U64,
        (b'f', 2) => DType::F16,
        (b'f', 4) => DType::F32,
        (b'f', 8) => DType::F64,
        _ => return Ok(None),
    };
    Ok(Some((dtype, descr.byteorder() == b'>')))
}

fn array_type(py: Python<'_>) -> *mut pyo3::ffi::PyTypeObject {
    // SAFETY: NumPy's C interface is loaded by this call and the type object lives as long as the process.
    unsafe { get_type_object(py, NpyTypes::PyArray_Type) }
}

/// `object` as an array, if its type is exactly `numpy.ndarray`.
pub(crate) fn exact<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyUntypedArray>> {
    if object.get_type_ptr() == array_type(object.py()) { object.cast::<PyUntypedArray>().ok() } else { None }
}

/// The bytes of a C-contiguous array.
///
/// The caller must not run Python code while it uses them: another thread's Python code could write.
pub(crate) fn bytes<'a>(array: &'a Bound<'_, PyUntypedArray>) -> Option<&'a [u8]> {
    if !array.is_c_contiguous() {
        return None;
    }
    let len = array.len() * array.dtype().itemsize();
    if len == 0 {
        return Some(&[]);
    }
    // SAFETY: a C-contiguous array owns `len` initialised bytes from `data` on, and lives as long as
    // the borrow of its object.
    unsafe { Some(std::slice::from_raw_parts((*array.as_array_ptr()).fields.data.cast::<u8>(), len)) }
}

/// A new array of `dtype` and `shape` (native byte order), over `data` if given, which says whether it may be written to.
fn new<'py>(
    py: Python<'py>,
    dtype: DType,
    shape: &[u64],
    data: Option<(*mut c_void, Py<Memory>, bool)>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut dims = [0 as npy_intp; 64];
    let dims = dims
        .get_mut(..shape.len())
        .ok_or_else(|| pyo3::exceptions::PyValueError::new_err("an array of more than 64 dimensions"))?;
    for (dim, n) in dims.iter_mut().zip(shape) {
        *dim = npy_intp::try_from(*n)?;
    }
    let (pointer, flags) = match &data {
        Some((pointer, _, is_writable)) => {
            (*pointer, if *is_writable { NPY_ARRAY_CARRAY } else { NPY_ARRAY_CARRAY_RO })
        }
        None => (std::ptr::null_mut(), 0),
    };
    // SAFETY: `descr` hands its reference over, as NewFromDescr wants it; `dims` has `shape.len()`
    // entries; `pointer` is null or leads to memory of that shape which nothing else uses.
    let array = unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            array_type(py),
            descr(py, dtype, false)?.into_dtype_ptr(),
            shape.len() as c_int,
            dims.as_mut_ptr(),
            std::ptr::null_mut(),
            pointer,
            flags,
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, array)?
    };
    if let Some((_, memory, _)) = data {
        // SAFETY: the array was just made and has no base yet; the reference to `memory` is handed over.
        let failed = unsafe { PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), memory.into_ptr()) };
        if failed != 0 {
            return Err(PyErr::fetch(py));
        }
    }
    Ok(array)
}

/// A new array with a copy of `data`, little-endian elements in C order.
pub(crate) fn copy<'py>(
    py: Python<'py>,
    dtype: DType,
    big_endian: bool,
    shape: &[u64],
    data: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let array = new(py, dtype, shape, None)?;
    {
        let untyped = array.cast::<PyUntypedArray>()?;
        assert_eq!(untyped.len() * dtype.size(), data.len(), "checked when the message was read");
        if !data.is_empty() {
            // SAFETY: the array was just made, so no other code knows its memory, and it has `data.len()` bytes.
            unsafe {
                let to = (*untyped.as_array_ptr()).fields.data.cast::<u8>();
                std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len());
            }
        }
    }
    if big_endian { array.call_method1("astype", (descr(py, dtype, true)?,)) } else { Ok(array) }
}

/// A NumPy scalar of `dtype` from its little-endian bytes.
pub(crate) fn scalar<'py>(py: Python<'py>, dtype: DType, big_endian: bool, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let array = copy(py, dtype, big_endian, &[], data)?;
    array.get_item(pyo3::types::PyTuple::empty(py))
}

/// Bytes whose leaves become arrays: views if they are in a frame and large, copies otherwise.
pub(crate) struct Leaves {
    kept: Option<Kept>,
    memory: Option<Py<Memory>>,
    /// Where memory for large copies comes from.
    pool: Option<Pool>,
    is_writable: bool,
    address: *mut u8,
    len: usize,
    footprint: usize,
}

impl Leaves {
    /// A frame whose memory becomes that of the arrays.
    pub(crate) fn new(mut frame: Frame) -> Self {
        let (len, footprint) = (frame.len(), frame.footprint());
        // The pointer stays good when the frame moves: its bytes are on the heap.
        let address = frame.as_mut_ptr();
        let kept = Some(Kept::Own { _frame: frame });
        Self { address, len, footprint, kept, memory: None, pool: None, is_writable: true }
    }

    /// A frame that is read by others, too: arrays are not writable.
    pub(crate) fn shared(frame: &Arc<Frame>) -> Self {
        let (len, footprint, address) = (frame.len(), frame.footprint(), frame.as_ptr().cast_mut());
        let kept = Some(Kept::Shared { _frame: frame.clone() });
        Self { address, len, footprint, kept, memory: None, pool: None, is_writable: false }
    }

    /// Borrowed bytes: every leaf is copied.
    pub(crate) fn copying(bytes: &[u8]) -> Self {
        let (address, len, footprint) = (bytes.as_ptr().cast_mut(), bytes.len(), usize::MAX / 8);
        Self { address, len, footprint, kept: None, memory: None, pool: None, is_writable: true }
    }

    /// The same, with memory of `pool` for large ones.
    pub(crate) fn copying_into(pool: &Pool, bytes: &[u8]) -> Self {
        Self { pool: Some(pool.clone()), ..Self::copying(bytes) }
    }

    /// The `size` bytes at `at`.
    pub(crate) fn bytes(&self, at: usize, size: usize) -> &[u8] {
        assert!(at + size <= self.len, "checked when the payload was read");
        // SAFETY: within the frame, which lives in `kept` or `memory`; the writable views made so far cover other bytes.
        unsafe { std::slice::from_raw_parts(self.address.add(at), size) }
    }

    /// The `size` bytes at `at` as an array. Each byte of a frame that is not shared belongs to at most one array.
    pub(crate) fn array<'py>(
        &mut self,
        py: Python<'py>,
        dtype: DType,
        shape: &[u64],
        at: usize,
        size: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        if size < SMALL || size.saturating_mul(4) < self.footprint {
            return match &self.pool {
                Some(pool) if size >= LARGE => {
                    Self::new(Frame::copy_of(pool, self.bytes(at, size))).array(py, dtype, shape, 0, size)
                }
                _ => self.settle(copy(py, dtype, false, shape, self.bytes(at, size))?),
            };
        }
        assert!(at + size <= self.len, "checked when the payload was read");
        if let Some(kept) = self.kept.take() {
            self.memory = Some(Py::new(py, Memory { _kept: kept })?);
        }
        let memory = self.memory.as_ref().expect("made above").clone_ref(py);
        // SAFETY: within the frame, see above.
        let pointer = unsafe { self.address.add(at) };
        new(py, dtype, shape, Some((pointer.cast(), memory, self.is_writable)))
    }

    /// An array that was made of these bytes alone, writable only if the others are.
    pub(crate) fn settle<'py>(&self, array: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if !self.is_writable {
            let array = array.cast::<PyUntypedArray>()?;
            // SAFETY: the array was just made and no other code knows it.
            unsafe { (*array.as_array_ptr()).fields.flags &= !NPY_ARRAY_WRITEABLE };
        }
        Ok(array)
    }
}

/// Any object a leaf becomes.
pub(crate) fn object<'py, T: IntoPyObjectExt<'py>>(py: Python<'py>, x: T) -> PyResult<Bound<'py, PyAny>> {
    x.into_bound_py_any(py)
}
