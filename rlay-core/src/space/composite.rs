//! Tuples, Dict and OneOf: spaces made of other spaces.

use super::{AnySpace, Space, mismatch, other_class, violation::part};
use crate::{
    error::{Error, ErrorKind, Result},
    rng::Rng,
    value::{Map, Value},
    wire::Reader,
};

/// Most members of a tuple of spaces: of larger tuples Rust itself has no `Debug` and `PartialEq`.
pub(crate) const MOST_MEMBERS: usize = 12;

/// A tuple of one to twelve spaces; its elements are tuples of theirs. More of them are an [`AnySpace::Tuple`] or
/// [`AnySpace::Dict`] with [`Value`]s as elements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tuple of one to twelve spaces",
    note = "for more members take `AnySpace::Dict` or `AnySpace::Tuple`, whose elements are `Value`s",
    note = "one member alone is written `(Space,)`"
)]
pub trait Members: Space {
    /// Their descriptions, in order.
    fn descriptions(&self) -> Vec<AnySpace>;
    /// The tuple of spaces that these describe; `part` names the place of each in errors, such as `[0]`.
    fn from_descriptions(spaces: &[&AnySpace], part: &dyn Fn(usize) -> String) -> Result<Self>
    where
        Self: Sized;
    /// Whether these are their descriptions.
    fn are_described_by(&self, spaces: &mut dyn ExactSizeIterator<Item = &AnySpace>) -> bool;
    /// The members of one element as Python would hold them.
    fn to_values(&self, x: &Self::Element) -> Vec<Value>;
    /// The element made of these members, as many as there are spaces; `part` names the place of each in errors.
    #[allow(clippy::wrong_self_convention)] // only the space knows what the value stands for
    fn from_values(&self, values: &[&Value], part: &dyn Fn(usize) -> String) -> Result<Self::Element>;
}

fn by_place(i: usize) -> String {
    format!("[{i}]")
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
                    AnySpace::Tuple(spaces) if spaces.len() == $n => Self::from_descriptions(&spaces.iter().collect::<Vec<_>>(), &by_place),
                    _ => Err(other_class(concat!("a Tuple of ", $n), any)),
                }
            }

            fn to_value(&self, x: &Self::Element) -> Value {
                Value::Tuple(self.to_values(x))
            }

            fn from_value(&self, value: &Value) -> Result<Self::Element> {
                match value {
                    Value::Tuple(items) | Value::List(items) if items.len() == $n => {
                        self.from_values(&items.iter().collect::<Vec<_>>(), &by_place)
                    }
                    _ => Err(mismatch(&self.describe(), value)),
                }
            }

            fn pack(&self, x: &Self::Element, out: &mut Vec<u8>) -> bool {
                $(self.$i.pack(&x.$i, out))&&+
            }

            fn unpack(&self, input: &mut Reader<'_>) -> Result<Self::Element> {
                Ok(($(self.$i.unpack(input)?,)+))
            }

            fn is_described_by(&self, any: &AnySpace) -> bool {
                matches!(any, AnySpace::Tuple(spaces) if self.are_described_by(&mut spaces.iter()))
            }
        }

        impl<$($S: Space),+> Members for ($($S,)+) {
            fn descriptions(&self) -> Vec<AnySpace> {
                vec![$(self.$i.describe()),+]
            }

            fn from_descriptions(spaces: &[&AnySpace], part: &dyn Fn(usize) -> String) -> Result<Self> {
                if spaces.len() != $n {
                    let found = spaces.len();
                    return Err(Error::new(ErrorKind::Incompatible, format!("{} members were asked for, there are {found}; ask for as many", $n)));
                }
                Ok(($($S::from_any(spaces[$i]).map_err(|e| e.at(part($i)))?,)+))
            }

            fn are_described_by(&self, spaces: &mut dyn ExactSizeIterator<Item = &AnySpace>) -> bool {
                spaces.len() == $n && $(spaces.next().is_some_and(|space| self.$i.is_described_by(space)))&&+
            }

            fn to_values(&self, x: &Self::Element) -> Vec<Value> {
                vec![$(self.$i.to_value(&x.$i)),+]
            }

            fn from_values(&self, values: &[&Value], part: &dyn Fn(usize) -> String) -> Result<Self::Element> {
                Ok(($(self.$i.from_value(values[$i]).map_err(|e| e.at(part($i)))?,)+))
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
    9: A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8;
    10: A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9;
    11: A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10;
    12: A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7, I.8, J.9, K.10, L.11;
}

/// One to twelve spaces by key. In Rust its elements are tuples in the order of the keys; in Python they are dicts.
/// For more keys take [`AnySpace::Dict`], which has [`Value`]s as elements.
///
/// ```
/// use rlay::{BoxSpace, Dict, Discrete, Space};
///
/// let space = Dict::new(["image", "direction"], (BoxSpace::<u8>::new([8, 8, 3], 0, 255), Discrete::new(4)));
/// assert!(space.contains(&(vec![0; 192], 3)));
/// ```
///
/// More members, by `AnySpace`:
///
/// ```
/// use rlay::{AnySpace, Discrete, Map, Space, Value};
///
/// let keys = (0..20).map(|i| format!("key {i}"));
/// let space = AnySpace::Dict(keys.clone().map(|key| (key.into(), Discrete::new(4).describe())).collect());
/// assert!(space.contains(&keys.map(|key| (key, 3)).collect::<Map>().into()));
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

    /// The spaces without their keys.
    pub(super) fn members(&self) -> &M {
        &self.members
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
        let part = |i: usize| part(&spaces[i].0);
        let members = M::from_descriptions(&spaces.iter().map(|(_, space)| space).collect::<Vec<_>>(), &part)?;
        Ok(Self { keys, members })
    }

    fn to_value(&self, x: &Self::Element) -> Value {
        Value::Dict(self.keys.iter().zip(self.members.to_values(x)).map(|(k, v)| (k.clone(), v)).collect())
    }

    fn from_value(&self, value: &Value) -> Result<Self::Element> {
        let find = |map: &Map| map.len() == self.keys.len() && self.keys.iter().all(|key| map.get(key).is_some());
        match value {
            Value::Dict(map) if find(map) => {
                let part = |i: usize| part(&self.keys[i].as_str().into());
                self.members.from_values(&self.keys.iter().filter_map(|key| map.get(key)).collect::<Vec<_>>(), &part)
            }
            _ => Err(mismatch(&self.describe(), value)),
        }
    }

    fn pack(&self, x: &Self::Element, out: &mut Vec<u8>) -> bool {
        self.members.pack(x, out)
    }

    fn unpack(&self, input: &mut Reader<'_>) -> Result<Self::Element> {
        self.members.unpack(input)
    }

    fn is_described_by(&self, any: &AnySpace) -> bool {
        let AnySpace::Dict(spaces) = any else { return false };
        let keys = spaces.iter().map(|(key, _)| key.as_str());
        keys.eq(self.keys.iter().map(|key| Some(key.as_str())))
            && self.members.are_described_by(&mut spaces.iter().map(|(_, space)| space))
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
            AnySpace::OneOf(spaces) => {
                let space = |(i, any)| S::from_any(any).map_err(|e| e.at(by_place(i)));
                Ok(Self(spaces.iter().enumerate().map(space).collect::<Result<_>>()?))
            }
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
            return Ok((index, space.from_value(x).map_err(|e| e.at("[1]"))?));
        }
        Err(mismatch(&self.describe(), value))
    }
}
