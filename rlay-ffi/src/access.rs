//! rlay_Access: what a learner does with an attribute of its environments.

use rlay::{Value, wire::Access};

use crate::{
    input::object,
    status::{Fault, Outcome, rlay_Status::*},
    value::{map_of, rlay_Value, wrong_kind},
};

/// What is done with an attribute: of turns, and of rlay_agent_attribute and rlay_vector_agent_attribute.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_Access {
    /// Get it: its value, or NULL if it is a function.
    RLAY_GET = 0,
    /// Set it to `value`; the answer is None.
    RLAY_SET = 1,
    /// Call it with the tuple `value` and the dict `kwargs`; the answer is what it returns.
    RLAY_CALL = 2,
}

/// What a caller wants to do with an attribute of one environment, or of many.
pub(crate) fn access(
    access: u32,
    value: Option<&rlay_Value>,
    kwargs: Option<&rlay_Value>,
    is_vector: bool,
) -> Outcome<Access> {
    const GET: u32 = rlay_Access::RLAY_GET as u32;
    const SET: u32 = rlay_Access::RLAY_SET as u32;
    const CALL: u32 = rlay_Access::RLAY_CALL as u32;
    let unwanted = |what| Err(Fault::new(RLAY_INVALID_ARGUMENT, format!("{what} is for RLAY_CALL; give NULL")));
    if kwargs.is_some() && access != CALL {
        return unwanted("kwargs");
    }
    match access {
        GET if value.is_some() => unwanted("value"),
        GET => Ok(Access::Get),
        SET => {
            let value = &object(value, "value")?.0;
            Ok(Access::Set(if is_vector { items(value, "list or tuple of values")? } else { vec![value.clone()] }))
        }
        CALL => {
            let args = value.map_or(Ok(Vec::new()), |value| items(&value.0, "list or tuple of arguments"))?;
            let kwargs = map_of(kwargs, "kwargs")?;
            if kwargs.0.iter().any(|(key, _)| key.as_str().is_none()) {
                return Err(Fault::new(RLAY_WRONG_KIND, "a key of kwargs is no text"));
            }
            Ok(Access::Call(args, kwargs))
        }
        other => Err(Fault::new(RLAY_INVALID_ARGUMENT, format!("{other} is no rlay_Access"))),
    }
}

fn items(value: &Value, wanted: &str) -> Outcome<Vec<Value>> {
    match value {
        Value::List(items) | Value::Tuple(items) => Ok(items.to_vec()),
        other => Err(wrong_kind(other, wanted)),
    }
}
