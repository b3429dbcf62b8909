//! rlay_Space: spaces of observations and actions, and how they are declared.

use std::{ffi::c_char, mem::MaybeUninit};

use bytemuck::TransparentWrapper;
use rlay::{AnyBox, AnySpace, Bound, DType, Discrete, MultiBinary, MultiDiscrete, Space, Text, Value, wire::Keys};

use crate::{
    input::{byte_len, dtype as dtype_of, object, object_mut, set, slice, text},
    status::{Fault, Outcome, given, last_text, made, quiet, rlay_Status, rlay_Status::*, status},
    value::{NONE, rlay_Value},
};

/// A space of Gymnasium, of any of its ten classes.
///
/// The functions named rlay_space_… that return a pointer make a new space, which is the caller's; NULL with a last error
/// if that fails. It is given away with a call that says that it *takes* the space, whether that call succeeds or not, or
/// freed with rlay_space_free. A call that takes a space and is given NULL fails, and its error goes on to say why there is
/// none, so that calls can be nested and only the last one be checked. A `const rlay_Space *` that RLay gives is part of
/// something else and is not freed.
///
/// Spaces belong to no thread, but two threads must not use one at the same time while one of them changes it.
#[cfg_attr(all(), repr(transparent))] // hidden from cbindgen, to which the type is opaque
#[derive(Debug, Clone, TransparentWrapper)]
pub struct rlay_Space(pub(crate) AnySpace);

/// A space of Rust as C sees it.
pub(crate) fn space(space: &AnySpace) -> &rlay_Space {
    rlay_Space::wrap_ref(space)
}

fn invalid(text: impl Into<String>) -> Fault {
    Fault::new(RLAY_INVALID_ARGUMENT, text)
}

/// The shape of an array that a space may have.
fn shape_of(shape: *const u64, ndim: usize, dtype: DType) -> Outcome<Vec<u64>> {
    let shape = slice(shape, ndim, "shape")?;
    match byte_len(shape, dtype)? {
        size if size as u64 > 1 << 40 => Err(invalid(format!("a space of arrays of {size} bytes is too large"))),
        _ => Ok(shape.to_vec()),
    }
}

/// Box(low, high, shape, dtype) with the same bounds for all elements. `dtype` is an rlay_DType; `shape` has `ndim` entries
/// and is copied. An infinite bound does not limit; a bound beyond what the dtype holds is the last that it holds. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_box(
    dtype: u32,
    shape: *const u64,
    ndim: usize,
    low: f64,
    high: f64,
) -> Option<Box<rlay_Space>> {
    made(|| {
        let dtype = dtype_of(dtype)?;
        let bound = |x: f64| {
            let mut value = Vec::new();
            dtype.write_f64(x, &mut value);
            Bound::Uniform { value, bounded: x.is_finite() }
        };
        if low.is_nan() || high.is_nan() {
            return Err(invalid("a bound is NaN; give a number, or an infinity for none"));
        }
        let shape = shape_of(shape, ndim, dtype)?;
        Ok(rlay_Space(AnySpace::Box(AnyBox { dtype, big_endian: false, shape, low: bound(low), high: bound(high) })))
    })
}

/// Box with bounds that differ from element to element: `low` and `high` have `size` bytes each, the elements of an array
/// of the space. They are copied. An infinite bound does not limit. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_box_each(
    dtype: u32,
    shape: *const u64,
    ndim: usize,
    low: *const u8,
    high: *const u8,
    size: usize,
) -> Option<Box<rlay_Space>> {
    made(|| {
        let dtype = dtype_of(dtype)?;
        let shape = shape_of(shape, ndim, dtype)?;
        let wanted = byte_len(&shape, dtype)?;
        if size != wanted {
            return Err(invalid(format!("bounds of {size} bytes, where an array of the space has {wanted}")));
        }
        let bound = |bytes: &[u8]| {
            if dtype == DType::Bool && bytes.iter().any(|byte| *byte > 1) {
                return Err(invalid("bounds of dtype bool are 0 or 1"));
            }
            let is_bounded = |x: &[u8]| !dtype.is_float() || dtype.read_f64(x).is_finite();
            Ok(Bound::new(bytes.to_vec(), bytes.chunks(dtype.size()).map(is_bounded).collect(), dtype.size()))
        };
        let (low, high) = (bound(slice(low, size, "low")?)?, bound(slice(high, size, "high")?)?);
        Ok(rlay_Space(AnySpace::Box(AnyBox { dtype, big_endian: false, shape, low, high })))
    })
}

/// Discrete(n, start=start) of dtype int64. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_discrete(n: u64, start: i64) -> Option<Box<rlay_Space>> {
    rlay_space_discrete_of(DType::I64 as u32, n, start)
}

/// Discrete(n, start=start, dtype=dtype), of an integer type. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_discrete_of(dtype: u32, n: u64, start: i64) -> Option<Box<rlay_Space>> {
    made(|| {
        let dtype = dtype_of(dtype)?;
        if n == 0 || !dtype.is_integer() {
            return Err(invalid("a Discrete needs one number at least, of an integer type"));
        }
        Ok(rlay_Space(AnySpace::Discrete(Discrete { n, start, dtype })))
    })
}

/// MultiBinary(n). Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_multi_binary(n: u64) -> Option<Box<rlay_Space>> {
    made(|| {
        let shape = shape_of(&raw const n, 1, DType::I8)?;
        Ok(rlay_Space(AnySpace::MultiBinary(MultiBinary { shape, n_is_int: true })))
    })
}

/// MultiBinary(shape); the `ndim` entries of `shape` are copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_multi_binary_of(shape: *const u64, ndim: usize) -> Option<Box<rlay_Space>> {
    made(|| {
        let shape = shape_of(shape, ndim, DType::I8)?;
        Ok(rlay_Space(AnySpace::MultiBinary(MultiBinary { shape, n_is_int: false })))
    })
}

/// MultiDiscrete(nvec, start=start) of dtype int64 and of `count` numbers in one dimension. `start` may be NULL for zeros.
/// Both are copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_multi_discrete(
    nvec: *const i64,
    start: *const i64,
    count: usize,
) -> Option<Box<rlay_Space>> {
    let shape = count as u64;
    rlay_space_multi_discrete_of(DType::I64 as u32, &raw const shape, 1, nvec, start, count)
}

/// MultiDiscrete of any integer dtype and shape, of `count` elements. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_multi_discrete_of(
    dtype: u32,
    shape: *const u64,
    ndim: usize,
    nvec: *const i64,
    start: *const i64,
    count: usize,
) -> Option<Box<rlay_Space>> {
    made(|| {
        let dtype = dtype_of(dtype)?;
        let shape = shape_of(shape, ndim, DType::I64)?;
        let nvec = slice(nvec, count, "nvec")?.to_vec();
        if byte_len(&shape, DType::I8)? != count || nvec.iter().any(|n| *n < 1) || !dtype.is_integer() {
            return Err(invalid("nvec needs one number from 1 on for each element of the shape, of an integer type"));
        }
        let start = if start.is_null() { vec![0; count] } else { slice(start, count, "start")?.to_vec() };
        Ok(rlay_Space(AnySpace::MultiDiscrete(MultiDiscrete { shape, nvec, start, dtype, big_endian: false })))
    })
}

/// Text(max_length, min_length=min_length, charset=charset). `charset` is UTF-8 of `length` bytes, which is copied; NULL is
/// Gymnasium's own, digits and Latin letters. Lengths count code points. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_text(
    min_length: u64,
    max_length: u64,
    charset: *const c_char,
    length: usize,
) -> Option<Box<rlay_Space>> {
    const ALPHANUMERIC: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    made(|| {
        let charset = if charset.is_null() { ALPHANUMERIC } else { text(charset, length, "charset")? }.to_owned();
        if min_length > max_length {
            return Err(invalid("min_length is above max_length"));
        }
        Ok(rlay_Space(AnySpace::Text(Text { min_length, max_length, charset })))
    })
}

/// A Tuple without spaces; rlay_space_append adds them. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_tuple() -> Option<Box<rlay_Space>> {
    made(|| Ok(rlay_Space(AnySpace::Tuple(Vec::new()))))
}

/// A Dict without spaces; rlay_space_set adds them. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_dict() -> Option<Box<rlay_Space>> {
    made(|| Ok(rlay_Space(AnySpace::Dict(Vec::new()))))
}

/// A OneOf without spaces; rlay_space_append adds them, of which it needs one. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_one_of() -> Option<Box<rlay_Space>> {
    made(|| Ok(rlay_Space(AnySpace::OneOf(Vec::new()))))
}

/// Sequence(item, stack=stack). Takes `item`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_sequence(item: Option<Box<rlay_Space>>, stack: bool) -> Option<Box<rlay_Space>> {
    made(|| Ok(rlay_Space(AnySpace::Sequence { space: Box::new(given(item, "item")?.0), stack })))
}

/// Graph(node, edge). Takes both; `edge` may be NULL. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_graph(
    node: Option<Box<rlay_Space>>,
    edge: Option<Box<rlay_Space>>,
) -> Option<Box<rlay_Space>> {
    made(|| {
        let node = Box::new(given(node, "node")?.0);
        Ok(rlay_Space(AnySpace::Graph { node, edge: edge.map(|edge| Box::new(edge.0)) }))
    })
}

/// Appends `member` to a Tuple or OneOf. Takes `member`. If this fails, `space` is of no use any more, and what is made of it
/// fails, too. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_append(space: Option<&mut rlay_Space>, member: Option<Box<rlay_Space>>) -> rlay_Status {
    adding(space, member, |space, member| {
        match space {
            AnySpace::Tuple(members) | AnySpace::OneOf(members) => members.push(member),
            other => return Err(wrong_class(other, "Tuple or OneOf")),
        }
        Ok(())
    })
}

/// Adds `member` to a Dict under the text `key` of `length` bytes, which is copied; the order of the calls is the order of
/// the keys, and observations lie in it. Takes `member`. If this fails, `space` is of no use any more. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_set(
    space: Option<&mut rlay_Space>,
    key: *const c_char,
    length: usize,
    member: Option<Box<rlay_Space>>,
) -> rlay_Status {
    adding(space, member, |space, member| add(space, text(key, length, "key")?.into(), member))
}

/// The same with any key that a dict may have. Takes `key` and `member`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_put(
    space: Option<&mut rlay_Space>,
    key: Option<Box<rlay_Value>>,
    member: Option<Box<rlay_Space>>,
) -> rlay_Status {
    adding(space, member, |space, member| {
        let key = given(key, "key")?.0;
        Keys::of_a_value().take(&key).map_err(invalid)?;
        add(space, key, member)
    })
}

/// Adds a member. A space to which that could not be done is of no use any more, so that the program need not check each
/// call.
fn adding(
    space: Option<&mut rlay_Space>,
    member: Option<Box<rlay_Space>>,
    add: impl FnOnce(&mut AnySpace, AnySpace) -> Outcome,
) -> rlay_Status {
    status(|| {
        let member = given(member, "member");
        let space = &mut object_mut(space, "space")?.0;
        let added = member.and_then(|member| add(space, member.0));
        if added.is_err() {
            *space = UNFINISHED;
        }
        added
    })
}

/// What no environment can have.
const UNFINISHED: AnySpace = AnySpace::OneOf(Vec::new());

fn add(space: &mut AnySpace, key: Value, member: AnySpace) -> Outcome {
    match space {
        AnySpace::Dict(members) if members.iter().any(|(other, _)| *other == key) => {
            Err(invalid(format!("the Dict has a space under {key:?} already")))
        }
        AnySpace::Dict(members) => {
            members.push((key, member));
            Ok(())
        }
        other => Err(wrong_class(other, "Dict")),
    }
}

/// A copy. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_clone(space: Option<&rlay_Space>) -> Option<Box<rlay_Space>> {
    made(|| Ok(object(space, "space")?.clone()))
}

/// Frees a space that is the caller's; NULL is allowed. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_free(space: Option<Box<rlay_Space>>) {
    quiet((), || drop(space));
}

/// Whether the space contains `value`, by the same rules as Gymnasium's. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_contains(
    space: Option<&rlay_Space>,
    value: Option<&rlay_Value>,
    is_contained: Option<&mut MaybeUninit<bool>>,
) -> rlay_Status {
    status(|| {
        let is_so = object(space, "space")?.0.contains(&value.unwrap_or(NONE).0);
        set(is_contained, is_so, "is_contained")
    })
}

pub(crate) fn wrong_class(space: &AnySpace, wanted: &str) -> Fault {
    Fault::new(RLAY_WRONG_KIND, format!("the space is no {wanted} but a {}", space.class()))
}

/// Refuses what lacks a part, and a OneOf of nothing.
pub(crate) fn check(space: &AnySpace) -> Outcome {
    match space {
        AnySpace::OneOf(members) if members.is_empty() => {
            let why = last_text().map_or_else(String::new, |why| format!("; the last error was: {why}"));
            Err(invalid(format!("a part of the space could not be made, or it is a OneOf without spaces{why}")))
        }
        AnySpace::Tuple(members) | AnySpace::OneOf(members) => members.iter().try_for_each(check),
        AnySpace::Dict(members) => members.iter().try_for_each(|(_, member)| check(member)),
        AnySpace::Sequence { space, .. } => check(space),
        AnySpace::Graph { node, edge } => check(node).and_then(|()| edge.as_deref().map_or(Ok(()), check)),
        _ => Ok(()),
    }
}
