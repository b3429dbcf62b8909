//! Attribute and Returned: what agents get, set and call of an environment, and what came of it.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    Reader, Writer,
    message::{Slots, get_slots, put_slots, short},
    value::MIN_VALUE,
};
use crate::{
    error::Result,
    value::{Map, Value},
};

/// Most bytes of the name of an attribute.
pub(crate) const NAME: usize = 256;

/// Most names that a host may list.
pub(crate) const NAMES: usize = 256;

/// The request to get, set or call an attribute of the environments in some slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// The slots.
    pub slots: Slots,
    /// The name, which the host has to list.
    pub name: String,
    /// What to do with it.
    pub access: Access,
}

/// What is done with an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Access {
    /// Get its value.
    Get,
    /// Set it: one value for each slot, in their order.
    Set(Vec<Value>),
    /// Call it with these positional and keyword arguments. What is no function is got.
    Call(Vec<Value>, Map),
}

/// What came of an attribute, for each slot that was asked for. No value: of a get, that it is a function, which was not
/// called; of a set or call, None.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Returned(pub SmallVec<[(u32, Option<Value>); 1]>);

impl Attribute {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        put_slots(w, &self.slots);
        w.str(&self.name);
        match &self.access {
            Access::Get => w.put(0u8),
            Access::Set(values) => {
                w.put(1u8);
                w.list(values, Writer::value);
            }
            Access::Call(args, kwargs) => {
                w.put(2u8);
                w.list(args, Writer::value);
                w.map_value(kwargs);
            }
        }
    }

    pub(super) fn get(r: &mut Reader<'_>) -> Result<Self> {
        let (slots, name) = (get_slots(r)?, short(r, NAME)?);
        let start = r.clone();
        let access = match r.get()? {
            0u8 => Access::Get,
            1 => Access::Set(r.list(MIN_VALUE, Reader::value)?),
            2 => Access::Call(r.list(MIN_VALUE, Reader::value)?, kwargs(r)?),
            other => return Err(start.error(format_args!("unknown access {other}"))),
        };
        match &access {
            Access::Set(values) if values.len() != slots.len() => {
                Err(start.error(format_args!("{} values for {} slots", values.len(), slots.len())))
            }
            _ => Ok(Self { slots, name, access }),
        }
    }
}

/// A dict with a text for each key.
fn kwargs(r: &mut Reader<'_>) -> Result<Map> {
    let start = r.clone();
    match r.dict("kwargs")? {
        Value::Dict(map) if map.0.iter().all(|(key, _)| key.as_str().is_some()) => Ok(map),
        _ => Err(start.error("a keyword that is no text")),
    }
}

/// The names of attributes that a host lists.
pub(super) fn names(r: &mut Reader<'_>) -> Result<Vec<String>> {
    let start = r.clone();
    if r.clone().count(8)? > NAMES {
        return Err(start.error(format_args!("more than {NAMES} names of attributes")));
    }
    r.list(8, |r| short(r, NAME))
}

impl Returned {
    /// Appends the message.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.list(&self.0, |w, (slot, value)| {
            w.put(*slot);
            w.option(value.as_ref(), Writer::value);
        });
    }

    pub(super) fn get(r: &mut Reader<'_>) -> Result<Self> {
        Ok(Self(r.list(5, |r| Ok((r.get()?, r.option(Reader::value)?)))?))
    }
}
