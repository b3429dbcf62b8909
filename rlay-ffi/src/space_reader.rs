//! How spaces are read: their members, and where each leaf lies in the packed form.

use std::{ffi::c_char, mem::MaybeUninit, ptr};

use rlay::{AnySpace, Bound, endpoint::SlabSizes};

use crate::{
    input::{object, set},
    space::{rlay_Space, space as shown, wrong_class},
    status::{Fault, Outcome, copy_text, quiet, rlay_Status, rlay_Status::*, status},
    value::{rlay_DType, rlay_Value, value},
};

/// The class of a space. The numbers are those of docs/wire.md, section 6.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_SpaceKind {
    /// Box.
    RLAY_SPACE_BOX = 0,
    /// Discrete.
    RLAY_SPACE_DISCRETE = 1,
    /// MultiBinary.
    RLAY_SPACE_MULTI_BINARY = 2,
    /// MultiDiscrete.
    RLAY_SPACE_MULTI_DISCRETE = 3,
    /// Text.
    RLAY_SPACE_TEXT = 4,
    /// Tuple: rlay_space_count, rlay_space_member.
    RLAY_SPACE_TUPLE = 5,
    /// Dict: rlay_space_count, rlay_space_member, rlay_space_key.
    RLAY_SPACE_DICT = 6,
    /// Sequence, whose member 0 is the space of its items.
    RLAY_SPACE_SEQUENCE = 7,
    /// Graph, whose members are the spaces of nodes and, if there is one, of edges.
    RLAY_SPACE_GRAPH = 8,
    /// OneOf: rlay_space_count, rlay_space_member.
    RLAY_SPACE_ONE_OF = 9,
}

/// An element of a Discrete in the packed form. One that is set to zero first has no other traps.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Discrete {
    /// The number.
    pub value: i64,
    /// 1: a NumPy scalar of the space's dtype. 0: a Python int.
    pub is_numpy: u8,
    /// Zeros.
    pub padding: [u8; 7],
}

/// A leaf of a space, and where it lies in the packed form.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Leaf {
    /// Box, Discrete, MultiBinary or MultiDiscrete.
    pub kind: rlay_SpaceKind,
    /// The type of its elements: of a MultiBinary RLAY_INT8. A Discrete is an rlay_Discrete in the packed form,
    /// whatever its dtype.
    pub dtype: rlay_DType,
    /// Elements along each of `ndim` axes; NULL for a Discrete. It lies in the space.
    pub shape: *const u64,
    /// How many axes there are.
    pub ndim: usize,
    /// Where the leaf begins in the packed form, a multiple of 8.
    pub offset: usize,
    /// Bytes of the leaf: of a Discrete 9, to which the zeros of its padding come.
    pub size: usize,
    /// The space of the leaf, which lies in the space.
    pub space: *const rlay_Space,
}

/// The class of a space; of NULL RLAY_SPACE_TUPLE, and the last error says so. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_kind(space: Option<&rlay_Space>) -> rlay_SpaceKind {
    use rlay_SpaceKind::*;
    let mut found = RLAY_SPACE_TUPLE;
    status(|| {
        found = kind(&object(space, "space")?.0);
        Ok(())
    });
    found
}

fn kind(space: &AnySpace) -> rlay_SpaceKind {
    use rlay_SpaceKind::*;
    match space {
        AnySpace::Box(_) => RLAY_SPACE_BOX,
        AnySpace::Discrete(_) => RLAY_SPACE_DISCRETE,
        AnySpace::MultiBinary(_) => RLAY_SPACE_MULTI_BINARY,
        AnySpace::MultiDiscrete(_) => RLAY_SPACE_MULTI_DISCRETE,
        AnySpace::Text(_) => RLAY_SPACE_TEXT,
        AnySpace::Tuple(_) => RLAY_SPACE_TUPLE,
        AnySpace::Dict(_) => RLAY_SPACE_DICT,
        AnySpace::Sequence { .. } => RLAY_SPACE_SEQUENCE,
        AnySpace::Graph { .. } => RLAY_SPACE_GRAPH,
        AnySpace::OneOf(_) => RLAY_SPACE_ONE_OF,
    }
}

fn count(space: &AnySpace) -> usize {
    match space {
        AnySpace::Tuple(members) | AnySpace::OneOf(members) => members.len(),
        AnySpace::Dict(members) => members.len(),
        AnySpace::Sequence { .. } => 1,
        AnySpace::Graph { edge, .. } => 1 + usize::from(edge.is_some()),
        _ => 0,
    }
}

fn member(space: &AnySpace, index: usize) -> Option<&AnySpace> {
    match space {
        AnySpace::Tuple(members) | AnySpace::OneOf(members) => members.get(index),
        AnySpace::Dict(members) => members.get(index).map(|(_, member)| member),
        AnySpace::Sequence { space, .. } => Some(&**space).filter(|_| index == 0),
        AnySpace::Graph { node, edge } => {
            if index == 0 { Some(node) } else { edge.as_ref().filter(|_| index == 1) }.map(|x| &**x)
        }
        _ => None,
    }
}

/// How many members a space has; 0 of one that has none by its class. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_count(space: Option<&rlay_Space>) -> usize {
    quiet(0, || space.map_or(0, |space| count(&space.0)))
}

/// Member `index`, counted from 0, which lies in the space; RLAY_NOT_FOUND if there is none. Any thread; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_member(
    space: Option<&rlay_Space>,
    index: usize,
    found: Option<&mut MaybeUninit<*const rlay_Space>>,
) -> rlay_Status {
    status(|| {
        let space = &object(space, "space")?.0;
        let none = || Fault::new(RLAY_NOT_FOUND, format!("there is no member {index}, for there are {}", count(space)));
        set(found, shown(member(space, index).ok_or_else(none)?), "found")
    })
}

/// The key of member `index` of a Dict, which lies in the space. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_key(
    space: Option<&rlay_Space>,
    index: usize,
    found: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    status(|| match &object(space, "space")?.0 {
        AnySpace::Dict(members) => {
            let none =
                || Fault::new(RLAY_NOT_FOUND, format!("there is no key {index}, for there are {}", members.len()));
            set(found, value(&members.get(index).ok_or_else(none)?.0), "found")
        }
        other => Err(wrong_class(other, "Dict")),
    })
}

/// Bytes of an element in the packed form; RLAY_WRONG_KIND if the space has none, because it holds a Text, Sequence,
/// Graph or OneOf, or big-endian arrays. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_packed_size(
    space: Option<&rlay_Space>,
    size: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| set(size, sizes(&object(space, "space")?.0)?.len(1), "size"))
}

pub(crate) fn no_packed_form() -> Fault {
    Fault::new(RLAY_WRONG_KIND, "the space has no packed form, for it holds something of variable size; give a value")
}

fn sizes(space: &AnySpace) -> Outcome<SlabSizes> {
    SlabSizes::of(space).ok_or_else(no_packed_form)
}

fn leaves<'s>(space: &'s AnySpace, found: &mut Vec<&'s AnySpace>) {
    match space {
        AnySpace::Tuple(members) => members.iter().for_each(|member| leaves(member, found)),
        AnySpace::Dict(members) => members.iter().for_each(|(_, member)| leaves(member, found)),
        leaf => found.push(leaf),
    }
}

/// Leaf `index` in the packed form of an element, or if there are `rows`, of as many: then `size` is that of one row.
fn leaf_at(space: &AnySpace, index: usize, rows: Option<usize>) -> Outcome<rlay_Leaf> {
    let mut found = Vec::new();
    leaves(space, &mut found);
    let mut offset = 0;
    for (at, leaf) in found.iter().copied().enumerate() {
        let (dtype, shape, size): (_, Option<&Vec<u64>>, _) = match leaf {
            AnySpace::Box(x) => (x.dtype, Some(&x.shape), x.byte_len()),
            AnySpace::Discrete(x) => (x.dtype, None, 9),
            AnySpace::MultiBinary(x) => (rlay::DType::I8, Some(&x.shape), x.shape.iter().product::<u64>() as usize),
            AnySpace::MultiDiscrete(x) => (x.dtype, Some(&x.shape), x.nvec.len() * x.dtype.size()),
            _ => return Err(no_packed_form()),
        };
        let is_discrete = matches!(leaf, AnySpace::Discrete(_));
        let (size, end) = match rows {
            Some(rows) if is_discrete => (8, size_of::<i64>() * rows + rows.next_multiple_of(8)),
            Some(rows) => (size, (size * rows).next_multiple_of(8)),
            None => (size, size.next_multiple_of(8)),
        };
        if at == index {
            return Ok(rlay_Leaf {
                kind: kind(leaf),
                dtype: dtype.into(),
                shape: shape.map_or(ptr::null(), |shape| shape.as_ptr()),
                ndim: shape.map_or(0, Vec::len),
                offset,
                size,
                space: shown(leaf),
            });
        }
        offset += end;
    }
    Err(Fault::new(RLAY_NOT_FOUND, format!("there is no leaf {index}, for there are {}", found.len())))
}

/// How many leaves the packed form of a space has; RLAY_WRONG_KIND if there is none. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_leaf_count(
    space: Option<&rlay_Space>,
    leaf_count: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| {
        let space = &object(space, "space")?.0;
        sizes(space)?;
        let mut found = Vec::new();
        leaves(space, &mut found);
        set(leaf_count, found.len(), "leaf_count")
    })
}

/// Leaf `index` of the packed form, in the order of Tuple members and Dict keys, which is that of the bytes. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_leaf(
    space: Option<&rlay_Space>,
    index: usize,
    leaf: Option<&mut MaybeUninit<rlay_Leaf>>,
) -> rlay_Status {
    status(|| {
        let space = &object(space, "space")?.0;
        sizes(space)?;
        set(leaf, leaf_at(space, index, None)?, "leaf")
    })
}

/// Bytes of the packed form of the elements of `num_envs` environments: a batch, the observations or actions of a
/// vector agent. RLAY_WRONG_KIND if the space has none, RLAY_INVALID_ARGUMENT if there can be no such block. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_batch_size(
    space: Option<&rlay_Space>,
    num_envs: u32,
    size: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| set(size, batch_size(&object(space, "space")?.0, num_envs)?, "size"))
}

fn batch_size(space: &AnySpace, num_envs: u32) -> Outcome<usize> {
    match sizes(space)?.len(num_envs as usize) {
        len if len <= isize::MAX as usize => Ok(len),
        _ => Err(Fault::new(RLAY_INVALID_ARGUMENT, format!("no memory holds the elements of {num_envs} environments"))),
    }
}

/// Leaf `index` of the packed form of the elements of `num_envs` environments. `offset` is where its rows begin, which
/// are those of the slots in their order, each of `size` bytes and without a gap. A Discrete has an int64_t for each
/// slot, and behind all of these a byte for each slot: 1, a NumPy scalar of the space's dtype; 0, a Python int. Zeros
/// follow up to a multiple of 8. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_batch_leaf(
    space: Option<&rlay_Space>,
    index: usize,
    num_envs: u32,
    leaf: Option<&mut MaybeUninit<rlay_Leaf>>,
) -> rlay_Status {
    status(|| {
        let space = &object(space, "space")?.0;
        batch_size(space, num_envs)?;
        set(leaf, leaf_at(space, index, Some(num_envs as usize))?, "leaf")
    })
}

/// The smallest and the largest value of element `index`, in C order, of a Box, Discrete, MultiBinary or MultiDiscrete;
/// infinite where it is unbounded. Numbers beyond 2^53 are rounded. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_range(
    space: Option<&rlay_Space>,
    index: usize,
    low: Option<&mut MaybeUninit<f64>>,
    high: Option<&mut MaybeUninit<f64>>,
) -> rlay_Status {
    status(|| {
        let space = &object(space, "space")?.0;
        let elements = match space {
            AnySpace::Box(x) => x.len(),
            AnySpace::Discrete(_) => 1,
            AnySpace::MultiBinary(x) => x.shape.iter().product::<u64>() as usize,
            AnySpace::MultiDiscrete(x) => x.nvec.len(),
            other => return Err(wrong_class(other, "Box, Discrete, MultiBinary or MultiDiscrete")),
        };
        if index >= elements {
            return Err(Fault::new(RLAY_NOT_FOUND, format!("there is no element {index}, for there are {elements}")));
        }
        let first_and_last = |start: i64, n: u64| (start as f64, (i128::from(start) + i128::from(n) - 1) as f64);
        let (least, most) = match space {
            AnySpace::Box(x) => {
                let of = |bound: &Bound, unbounded: f64| match bound.get(index, x.dtype.size()) {
                    (element, true) => x.dtype.read_f64(element),
                    (_, false) => unbounded,
                };
                (of(&x.low, f64::NEG_INFINITY), of(&x.high, f64::INFINITY))
            }
            AnySpace::Discrete(x) => first_and_last(x.start, x.n),
            AnySpace::MultiDiscrete(x) => first_and_last(x.start[index], x.nvec[index] as u64),
            _ => (0.0, 1.0),
        };
        set(low, least, "low")?;
        set(high, most, "high")
    })
}

/// Writes the space in Gymnasium's notation, for people: UTF-8 of *length bytes, without a NUL. RLAY_SHORT_BUFFER if
/// that is above `capacity`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_space_describe(
    space: Option<&rlay_Space>,
    buffer: *mut c_char,
    capacity: usize,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| copy_text(&object(space, "space")?.0.to_string(), buffer, capacity, length))
}
