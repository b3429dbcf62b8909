//! AnySpace: the description of a space, as it crosses the wire and as tools print it.

use serde::{Deserialize, Serialize};

use super::{Discrete, MultiBinary, MultiDiscrete, Text, composite::MOST_MEMBERS, memory::SHARED};
use crate::{dtype::DType, value::Value};

/// Any of Gymnasium's ten spaces, nested as deep as the depth limit allows. It prints in Gymnasium's notation.
///
/// ```
/// use rlay::{BoxSpace, Dict, Discrete, Space};
///
/// let space = Dict::new(["lives", "pos"], (Discrete::new(4), BoxSpace::<f32>::new([2], -1.0, 1.0))).describe();
/// assert_eq!(space.to_string(), "Dict('lives': Discrete(4), 'pos': Box(-1.0, 1.0, (2,), float32))");
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum AnySpace {
    /// Arrays within bounds.
    Box(AnyBox),
    /// Integers from `start` to `start + n - 1`.
    Discrete(Discrete),
    /// Arrays of zeros and ones.
    MultiBinary(MultiBinary),
    /// Arrays of integers, each with its own range.
    MultiDiscrete(MultiDiscrete),
    /// Strings.
    Text(Text),
    /// Several spaces side by side, by position.
    Tuple(Vec<Self>),
    /// Several spaces side by side, by key; the order of keys is kept.
    Dict(Vec<(Value, Self)>),
    /// Any number of elements of one space.
    Sequence {
        /// The space of each element.
        space: Box<Self>,
        /// Whether the elements are stacked into one batch rather than held in a tuple.
        stack: bool,
    },
    /// Graphs with a value on every node and perhaps on every edge.
    Graph {
        /// The space of each node.
        node: Box<Self>,
        /// The space of each edge, if edges carry a value.
        edge: Option<Box<Self>>,
    },
    /// One element of one of several spaces, with the index of that space.
    OneOf(Vec<Self>),
}

impl AnySpace {
    /// Gymnasium's name of the class.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Box(_) => "Box",
            Self::Discrete(_) => "Discrete",
            Self::MultiBinary(_) => "MultiBinary",
            Self::MultiDiscrete(_) => "MultiDiscrete",
            Self::Text(_) => "Text",
            Self::Tuple(_) => "Tuple",
            Self::Dict(_) => "Dict",
            Self::Sequence { .. } => "Sequence",
            Self::Graph { .. } => "Graph",
            Self::OneOf(_) => "OneOf",
        }
    }

    /// The Rust type that reads this space, for messages.
    pub(crate) fn rust_type(&self) -> String {
        let members = |types: Vec<String>| match &types[..] {
            [one] => format!("({one},)"),
            _ => format!("({})", types.join(", ")),
        };
        let all = |spaces: &mut dyn Iterator<Item = &Self>| members(spaces.map(Self::rust_type).collect());
        match self {
            Self::Box(space) if !space.big_endian => format!("BoxSpace<{}>", space.dtype.rust_name()),
            Self::Discrete(_) | Self::MultiBinary(_) | Self::MultiDiscrete(_) | Self::Text(_) => self.class().into(),
            Self::Tuple(spaces) if (1..=MOST_MEMBERS).contains(&spaces.len()) => all(&mut spaces.iter()),
            Self::Dict(spaces)
                if (1..=MOST_MEMBERS).contains(&spaces.len())
                    && spaces.iter().all(|(key, _)| key.as_str().is_some()) =>
            {
                format!("Dict<{}>", all(&mut spaces.iter().map(|(_, space)| space)))
            }
            Self::Sequence { space, stack: false } => format!("Sequence<{}>", space.rust_type()),
            _ => "AnySpace".into(),
        }
    }

    /// Whether elements have a packed form: the tree holds nothing of variable size.
    pub fn is_fixed(&self) -> bool {
        match self {
            Self::Box(space) => !space.big_endian,
            Self::Discrete(_) | Self::MultiBinary(_) => true,
            Self::MultiDiscrete(space) => !space.big_endian,
            Self::Tuple(spaces) => spaces.iter().all(Self::is_fixed),
            Self::Dict(spaces) => spaces.iter().all(|(_, space)| space.is_fixed()),
            Self::Text(_) | Self::Sequence { .. } | Self::Graph { .. } | Self::OneOf(_) => false,
        }
    }
}

/// The description of a `Box` space.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AnyBox {
    /// The element type.
    pub dtype: DType,
    /// Whether the space was declared with a big-endian dtype such as `>f4`.
    #[serde(default)]
    pub big_endian: bool,
    /// Elements along each axis.
    pub shape: Vec<u64>,
    /// The smallest value of each element.
    pub low: Bound,
    /// The largest value of each element.
    pub high: Bound,
}

impl AnyBox {
    /// Number of elements of one array.
    pub fn len(&self) -> usize {
        self.shape.iter().product::<u64>() as usize
    }

    /// Whether arrays of this space have no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Bytes of one array.
    pub fn byte_len(&self) -> usize {
        self.len() * self.dtype.size()
    }

    /// Whether its arrays are so large, and the bounds of all elements so alike, that both bounds need not be held in
    /// full.
    pub fn is_shared(&self) -> bool {
        let is_alike = |bound: &Bound| matches!(bound, Bound::Uniform { .. });
        self.byte_len() > SHARED && is_alike(&self.low) && is_alike(&self.high)
    }
}

/// One side of the bounds of a `Box`.
///
/// Whether a side is bounded is a fact of its own: an integer `Box` made with `-inf` stores its
/// dtype's smallest value and is unbounded all the same, which decides how it is sampled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// The same for every element.
    Uniform {
        /// One element, little-endian.
        #[serde(with = "crate::value::hex")]
        value: Vec<u8>,
        /// Whether it limits anything.
        bounded: bool,
    },
    /// One for each element, in C order.
    Each {
        /// All elements, little-endian.
        #[serde(with = "crate::value::hex")]
        values: Vec<u8>,
        /// Whether each limits anything.
        bounded: Vec<bool>,
    },
}

impl Bound {
    /// The bound of element `i`, as `size` little-endian bytes, and whether it limits anything.
    pub fn get(&self, i: usize, size: usize) -> (&[u8], bool) {
        match self {
            Self::Uniform { value, bounded } => (value, *bounded),
            Self::Each { values, bounded } => (&values[i * size..(i + 1) * size], bounded[i]),
        }
    }

    /// The bounds `values` in the shorter of the two forms.
    pub fn new(values: Vec<u8>, bounded: Vec<bool>, size: usize) -> Self {
        let uniform = !bounded.is_empty()
            && bounded.iter().all(|b| *b == bounded[0])
            && values.chunks(size).all(|value| *value == values[..size]);
        if uniform {
            Self::Uniform { value: values[..size].to_vec(), bounded: bounded[0] }
        } else {
            Self::Each { values, bounded }
        }
    }
}
