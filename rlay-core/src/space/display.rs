//! How spaces print: in Gymnasium's notation, on one line, arrays of more than 24 elements shortened.

use std::fmt;

use super::{AnyBox, AnySpace, Bound, Discrete, MultiBinary, MultiDiscrete, Text};
use crate::{
    dtype::DType,
    repr::{self, cut},
    value::Value,
};

/// Characters of a space in a message. A whole Dict can be as long as the peer likes.
const SHOWN: usize = 200;

/// A space for a message: as it prints, but not longer than is read.
pub(crate) fn short(space: &AnySpace) -> String {
    cut(space, SHOWN)
}

/// Prints the space as Gymnasium does: `Dict('image': Box(0, 255, (84, 84, 3), uint8), 'lives': Discrete(4))`.
impl fmt::Display for AnySpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Box(space) => space.fmt(f),
            Self::Discrete(space) => fmt::Display::fmt(space, f),
            Self::MultiBinary(space) => fmt::Display::fmt(space, f),
            Self::MultiDiscrete(space) => fmt::Display::fmt(space, f),
            Self::Text(space) => fmt::Display::fmt(space, f),
            Self::Tuple(spaces) => many(f, "Tuple", spaces.iter().map(|space| (None, space))),
            Self::OneOf(spaces) => many(f, "OneOf", spaces.iter().map(|space| (None, space))),
            Self::Dict(spaces) => many(f, "Dict", spaces.iter().map(|(key, space)| (Some(key), space))),
            Self::Sequence { space, stack } => {
                write!(f, "Sequence({space}, stack={})", if *stack { "True" } else { "False" })
            }
            Self::Graph { node, edge: Some(edge) } => write!(f, "Graph({node}, {edge})"),
            Self::Graph { node, edge: None } => write!(f, "Graph({node}, None)"),
        }
    }
}

fn many<'a>(
    f: &mut fmt::Formatter<'_>,
    class: &str,
    members: impl Iterator<Item = (Option<&'a Value>, &'a AnySpace)>,
) -> fmt::Result {
    write!(f, "{class}(")?;
    for (i, (key, space)) in members.enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        if let Some(key) = key {
            write!(f, "{key:?}: ")?;
        }
        write!(f, "{space}")?;
    }
    f.write_str(")")
}

/// As [`Display`](fmt::Display).
impl fmt::Debug for AnySpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Prints `Box(-1.0, 1.0, (3,), float32)`.
impl fmt::Display for AnyBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.side(&self.low), self.side(&self.high));
        let dtype = repr::dtype(self.dtype, self.big_endian);
        write!(f, "Box({low}, {high}, {}, {dtype})", repr::shape(&self.shape))
    }
}

/// As [`Display`](fmt::Display).
impl fmt::Debug for AnyBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl AnyBox {
    fn side(&self, bound: &Bound) -> String {
        match bound {
            _ if self.shape.contains(&0) => "[]".into(),
            Bound::Uniform { value, .. } => repr::number(self.dtype, value),
            Bound::Each { values, .. } => {
                let size = self.dtype.size();
                let mut rest = values.chunks_exact(size);
                match rest.next() {
                    Some(first) if rest.all(|value| value == first) => repr::number(self.dtype, first),
                    _ => repr::elements(self.dtype, &self.shape, values, " "),
                }
            }
        }
    }
}

/// Prints `Discrete(5)` or `Discrete(5, start=-1)`.
impl fmt::Display for Discrete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Discrete({}", self.n)?;
        match self.dtype {
            _ if self.start == 0 => {}
            DType::U64 => write!(f, ", start={}", self.start as u64)?,
            _ => write!(f, ", start={}", self.start)?,
        }
        if self.dtype != DType::I64 {
            write!(f, ", dtype={}", self.dtype.name())?;
        }
        f.write_str(")")
    }
}

/// Prints `MultiBinary(5)` or `MultiBinary((2, 3))`.
impl fmt::Display for MultiBinary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape[..] {
            [n] if self.n_is_int => write!(f, "MultiBinary({n})"),
            _ => write!(f, "MultiBinary({})", repr::shape(&self.shape)),
        }
    }
}

/// Prints `MultiDiscrete([3 2])` or `MultiDiscrete([3 2], start=[-1 10])`.
impl fmt::Display for MultiDiscrete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = |numbers: &[i64]| {
            let data: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            // The numbers of a uint64 travel as the bits of an int64.
            let dtype = if self.dtype == DType::U64 { DType::U64 } else { DType::I64 };
            repr::elements(dtype, &self.shape, &data, " ")
        };
        write!(f, "MultiDiscrete({}", numbers(&self.nvec))?;
        if self.start.iter().any(|x| *x != 0) {
            write!(f, ", start={}", numbers(&self.start))?;
        }
        f.write_str(")")
    }
}

/// Prints `Text(1, 8, charset=abc)`, the characters in order.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters: Vec<char> = self.charset.chars().collect();
        characters.sort_unstable();
        let charset: String = characters.into_iter().collect();
        write!(f, "Text({}, {}, charset={charset})", self.min_length, self.max_length)
    }
}
