//! Tuples, Dict and OneOf: spaces made of other spaces.

use super::{AnySpace, Space, mismatch, other_class};
use crate::{
    error::{Error, ErrorKind, Result},
    rng::Rng,
    value::{Map, Value},
    wire::Reader,
};

/// A tuple of one to eight spaces; its elements are tuples of theirs.
pub trait Members: Space {
    /// Their descriptions, in order.
    fn descriptions(&self) -> Vec<AnySpace>;
    /// The tuple of spaces that these describe.
    fn from_descriptions(spaces: &[&AnySpace]) -> Result<Self>
    where
        Self: Sized;
    /// The members of one element as Python would hold them.
    fn to_values(&self, x: &Self::Element) -> Vec<Value>;
    /// The element made of these members, as many as there are spaces.
    #[allow(clippy::wrong_self_convention)] // only the space knows what the value stands for
    fn from_values(&self, values: &[&Value]) -> Result<Self::Element>;
}

macro_rules! tuples {
    ($($n:literal: $($S:ident . $i:tt),+;)*) => {$(
        impl<$($S: Space),+> Space for ($($S,)+) {
            type Element = ($($S::Element,)+);

            fn contains(&self, x: &Self::Element) -> bool {
                $(self.$i.contains(&x.$i))&&+
            }

            fn sample(&self, rng: &mut Rng) -> Self::Element {
                ($(self.$i.sample(rng),)+)
            }

            fn describe(&self) -> AnySpace {
                AnySpace::Tuple(self.descriptions())
            }

            fn from_any(any: &AnySpace) -> Result<Self> {
                match any {
                    AnySpace::Tuple(spaces) if spaces.len() == $n => Self::from_descriptions(&spaces.iter().collect::<Vec<_>>()),
                    _ => Err(other_class(concat!("a Tuple of ", $n), any)),
                }
            }

            fn to_value(&self, x: &Self::Element) -> Value {
                Value::Tuple(self.to_values(x))
            }

            fn from_value(&self, value: &Value) -> Result<Self::Element> {
                match value {
                    Value::Tuple(items) | Value::List(items) if items.len() == $n => {
                        self.from_values(&items.iter().collect::<Vec<_>>())
                    }
                    _ => Err(mismatch(concat!("a Tuple of ", $n), value)),
                }
            }

            fn pack(&self, x: &Self::Element, out: &mut Vec<u8>) -> bool {
                $(self.$i.pack(&x.$i, out))&&+
            }

            fn unpack(&self, input: &mut Reader<'_>) -> Result<Self::Element> {
                Ok(($(self.$i.unpack(input)?,)+))
            }
        }

        impl<$($S: Space),+> Members for ($($S,)+) {
            fn descriptions(&self) -> Vec<AnySpace> {
                vec![$(self.$i.describe()),+]
            }

            fn from_descriptions(spaces: &[&AnySpace]) -> Result<Self> {
                if spaces.len() != $n {
                    let found = spaces.len();
                    return Err(Error::new(ErrorKind::Incompatible, format!("{} members were asked for, there are {found}", $n)));
                }
                Ok(($($S::from_any(spaces[$i]).map_err(|e| e.context(concat!("[", $i, "]")))?,)+))
            }

            fn to_values(&self, x: &Self::Element) -> Vec<Value> {
                vec![$(self.$i.to_value(&x.$i)),+]
            }

            fn from_values(&self, values: &[&Value]) -> Result<Self::Element> {
                Ok(($(self.$i.from_value(values[$i]).map_err(|e| e.context(concat!("[", $i, "]")))?,)+))
            }
        }
    )*};
}
tuples! {
    1: A.0;
    2: A.0, B.1;
    3: A.0, B.1, C.2;
    4: A.0, B.1, C.2, D.3;
    5: A.0, B.1, C.2, D.3, E.4;
    6: A.0, B.1, C.2, D.3, E.4, F.5;
    7: A.0, B.1, C.2, D.3, E.4, F.5, G.6;
    8: A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7;
}

/// Spaces by key. In Rust its elements are tuples in the order of the keys; in Python they are dicts.
///
/// ```
/// use rlay::{BoxSpace, Dict, Discrete, Space};
///
/// let space = Dict::new(["image", "direction"], (BoxSpace::<u8>::new([8, 8, 3], 0, 255), Discrete::new(4)));
/// assert!(space.contains(&(vec![0; 192], 3)));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Dict<M> {
    keys: Vec<String>,
    members: M,
}

impl<M: Members> Dict<M> {
    /// The members of the tuple `members`, each under its key.
    ///
    /// # Panics
    /// If there are not as many keys as members.
    pub fn new<const N: usize>(keys: [&str; N], members: M) -> Self {
        assert_eq!(N, members.descriptions().len(), "one key for each member");
        Self { keys: keys.map(str::to_owned).into(), members }
    }
}

impl<M: Members> Space for Dict<M> {
    type Element = M::Element;

    fn contains(&self, x: &Self::Element) -> bool {
        self.members.contains(x)
    }

    fn sample(&self, rng: &mut Rng) -> Self::Element {
        self.members.sample(rng)
    }

    fn describe(&self) -> AnySpace {
        AnySpace::Dict(self.keys.iter().map(|key| Value::Str(key.clone())).zip(self.members.descriptions()).collect())
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        let AnySpace::Dict(spaces) = any else { return Err(other_class("a Dict", any)) };
        let keys = spaces.iter().map(|(key, _)| key.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let keys = keys.ok_or_else(|| other_class("a Dict with keys of type str", any))?;
        let members = M::from_descriptions(&spaces.iter().map(|(_, space)| space).collect::<Vec<_>>())?;
        Ok(Self { keys, members })
    }

    fn to_value(&self, x: &Self::Element) -> Value {
        Value::Dict(self.keys.iter().zip(self.members.to_values(x)).map(|(k, v)| (k.clone(), v)).collect())
    }

    fn from_value(&self, value: &Value) -> Result<Self::Element> {
        let find = |map: &Map| map.len() == self.keys.len() && self.keys.iter().all(|key| map.get(key).is_some());
        match value {
            Value::Dict(map) if find(map) => {
                self.members.from_values(&self.keys.iter().filter_map(|key| map.get(key)).collect::<Vec<_>>())
            }
            _ => Err(mismatch(&format!("a Dict of {:?}", self.keys), value)),
        }
    }

    fn pack(&self, x: &Self::Element, out: &mut Vec<u8>) -> bool {
        self.members.pack(x, out)
    }

    fn unpack(&self, input: &mut Reader<'_>) -> Result<Self::Element> {
        self.members.unpack(input)
    }
}

/// One of several spaces of the same Rust type; elements are (index of the space, value).
///
/// ```
/// use rlay::{Discrete, OneOf, Space};
/// assert!(OneOf(vec![Discrete::new(2), Discrete::new(9)]).contains(&(1, 8)));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OneOf<S>(pub Vec<S>);

impl<S: Space> Space for OneOf<S> {
    type Element = (usize, S::Element);

    fn contains(&self, (index, x): &Self::Element) -> bool {
        self.0.get(*index).is_some_and(|space| space.contains(x))
    }

    fn sample(&self, rng: &mut Rng) -> Self::Element {
        let index = rng.below(self.0.len() as u64) as usize;
        (index, self.0[index].sample(rng))
    }

    fn describe(&self) -> AnySpace {
        AnySpace::OneOf(self.0.iter().map(Space::describe).collect())
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            AnySpace::OneOf(spaces) => Ok(Self(spaces.iter().map(S::from_any).collect::<Result<_>>()?)),
            _ => Err(other_class("OneOf", any)),
        }
    }

    fn to_value(&self, (index, x): &Self::Element) -> Value {
        let tag = super::Discrete::new(self.0.len() as u64).scalar(*index as i64);
        Value::Tuple(vec![tag, self.0[*index].to_value(x)])
    }

    fn from_value(&self, value: &Value) -> Result<Self::Element> {
        if let Value::Tuple(items) | Value::List(items) = value
            && let [index, x] = &items[..]
            && let Some(index) = index.as_i64().and_then(|i| usize::try_from(i).ok())
            && let Some(space) = self.0.get(index)
        {
            return Ok((index, space.from_value(x)?));
        }
        Err(mismatch("OneOf", value))
    }
}
