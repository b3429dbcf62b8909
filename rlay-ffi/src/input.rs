//! Arguments: pointers and lengths as slices and texts, numbers as enumerations, and where results go.

use std::{ffi::c_char, mem::MaybeUninit, slice};

use rlay::DType;

use crate::status::{Fault, Outcome, rlay_Status::*};

/// The memory of a caller, which must not change it during the call. NULL is allowed for no elements.
pub(crate) fn slice<'a, T: Copy>(start: *const T, len: usize, what: &str) -> Outcome<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return Err(Fault::null(what));
    }
    if len > isize::MAX as usize / size_of::<T>() || !start.is_aligned() {
        return Err(Fault::new(RLAY_INVALID_ARGUMENT, format!("{what} is no memory of {len} elements")));
    }
    // SAFETY: the caller says that there are so many elements; NULL, alignment and size were checked.
    Ok(unsafe { slice::from_raw_parts(start, len) })
}

/// A text of a caller.
pub(crate) fn text<'a>(start: *const c_char, len: usize, what: &str) -> Outcome<&'a str> {
    let bytes = slice(start.cast::<u8>(), len, what)?;
    std::str::from_utf8(bytes)
        .map_err(|error| Fault::new(RLAY_INVALID_ARGUMENT, format!("{what} is not UTF-8: {error}")))
}

/// An object of a caller.
pub(crate) fn object<'a, T>(object: Option<&'a T>, what: &str) -> Outcome<&'a T> {
    object.ok_or_else(|| Fault::null(what))
}

/// The same, to change.
pub(crate) fn object_mut<'a, T>(object: Option<&'a mut T>, what: &str) -> Outcome<&'a mut T> {
    object.ok_or_else(|| Fault::null(what))
}

/// Writes a result where the caller wants it.
pub(crate) fn set<T>(place: Option<&mut MaybeUninit<T>>, result: T, what: &str) -> Outcome {
    place.ok_or_else(|| Fault::null(what))?.write(result);
    Ok(())
}

/// The same where the caller need not want it.
pub(crate) fn give<T>(place: Option<&mut MaybeUninit<T>>, result: T) {
    if let Some(place) = place {
        place.write(result);
    }
}

/// A dtype by its number.
pub(crate) fn dtype(code: u32) -> Outcome<DType> {
    DType::from_code(code).ok_or_else(|| Fault::new(RLAY_INVALID_ARGUMENT, format!("{code} is no rlay_DType")))
}

/// The size of an array's elements in bytes, if there can be such an array.
pub(crate) fn byte_len(shape: &[u64], dtype: DType) -> Outcome<usize> {
    let too_large = || Fault::new(RLAY_INVALID_ARGUMENT, format!("no array has the shape {shape:?}"));
    if shape.len() > 64 {
        return Err(too_large());
    }
    // As on the wire, a 0 does not make up for the other dimensions.
    let of_others = shape.iter().filter(|n| **n > 0).try_fold(dtype.size() as u64, |size, n| size.checked_mul(*n));
    let size = of_others.filter(|size| *size <= i64::MAX as u64).ok_or_else(too_large)?;
    if shape.contains(&0) { Ok(0) } else { usize::try_from(size).map_err(|_| too_large()) }
}
