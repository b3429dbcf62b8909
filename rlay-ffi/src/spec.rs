//! rlay_Spec: what an agent learns of an environment before its first reset.

use std::{ffi::c_char, mem::MaybeUninit};

use bytemuck::TransparentWrapper;
use rlay::{
    Metadata,
    wire::{AutoresetMode, Spec},
};

use crate::{
    input::{object, object_mut, set, text},
    space::{check, rlay_Space, space},
    status::{Fault, given, made, quiet, rlay_Status, rlay_Status::*, status},
    value::{dict_of, rlay_Value, value},
};

/// The description of an environment: its spaces, metadata, and how many slots there are.
///
/// A spec that rlay_spec_new has made is the caller's; it is freed with rlay_spec_free, also after it was given to an
/// environment, which copies it. It belongs to no thread, but two threads must not use one at the same time while one of
/// them changes it.
#[cfg_attr(all(), repr(transparent))] // hidden from cbindgen, to which the type is opaque
#[derive(Debug, Clone, TransparentWrapper)]
pub struct rlay_Spec(pub(crate) Spec);

/// A spec of Rust as C sees it.
pub(crate) fn spec(spec: &Spec) -> &rlay_Spec {
    rlay_Spec::wrap_ref(spec)
}

/// A spec of one slot, with the metadata {"render_modes": []}. Takes both spaces; NULL with a last error if one is NULL or unfinished. Any thread;
/// does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_new(
    observation_space: Option<Box<rlay_Space>>,
    action_space: Option<Box<rlay_Space>>,
) -> Option<Box<rlay_Spec>> {
    made(|| {
        let (observations, actions) =
            (given(observation_space, "observation_space"), given(action_space, "action_space"));
        let (observation_space, action_space) = (observations?.0, actions?.0);
        check(&observation_space)?;
        check(&action_space)?;
        let (autoreset_mode, metadata) = (AutoresetMode::Disabled, Metadata::default().to_value());
        Ok(rlay_Spec(Spec { observation_space, action_space, autoreset_mode, metadata, ..Spec::default() }))
    })
}

/// Sets the metadata, a dict as Gymnasium's Env.metadata: "render_modes" is a list of str, "render_fps" an int. Takes
/// `metadata`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_set_metadata(
    spec: Option<&mut rlay_Spec>,
    metadata: Option<Box<rlay_Value>>,
) -> rlay_Status {
    status(|| {
        let metadata = dict_of(metadata, "metadata")?;
        object_mut(spec, "spec")?.0.metadata = metadata;
        Ok(())
    })
}

/// Sets the details, a dict of what Gymnasium's EnvSpec says: "reward_threshold", "nondeterministic",
/// "max_episode_steps". Takes `details`. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_set_details(spec: Option<&mut rlay_Spec>, details: Option<Box<rlay_Value>>) -> rlay_Status {
    status(|| {
        let details = dict_of(details, "details")?;
        object_mut(spec, "spec")?.0.details = details;
        Ok(())
    })
}

/// Sets the name of the environment: UTF-8 of `length` bytes, at most 1024, which are copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_set_env_id(
    spec: Option<&mut rlay_Spec>,
    env_id: *const c_char,
    length: usize,
) -> rlay_Status {
    status(|| {
        let env_id = text(env_id, length, "env_id")?;
        if env_id.len() > 1024 {
            return Err(Fault::new(RLAY_INVALID_ARGUMENT, "env_id has more than 1024 bytes"));
        }
        object_mut(spec, "spec")?.0.env_id = env_id.to_owned();
        Ok(())
    })
}

/// Sets how many environments of this description a session has, which are stepped side by side: its slots, numbered from
/// 0. From 1 to 65536. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_set_slots(spec: Option<&mut rlay_Spec>, slots: u32) -> rlay_Status {
    status(|| {
        if !(1..=65536).contains(&slots) {
            return Err(Fault::new(RLAY_INVALID_ARGUMENT, "slots is not between 1 and 65536"));
        }
        object_mut(spec, "spec")?.0.slots = slots;
        Ok(())
    })
}

/// Frees a spec that is the caller's; NULL is allowed. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_free(spec: Option<Box<rlay_Spec>>) {
    quiet((), || drop(spec));
}

/// The space of observations, which lies in the spec. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_observation_space(
    spec: Option<&rlay_Spec>,
    found: Option<&mut MaybeUninit<*const rlay_Space>>,
) -> rlay_Status {
    status(|| set(found, space(&object(spec, "spec")?.0.observation_space), "found"))
}

/// The space of actions, which lies in the spec. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_action_space(
    spec: Option<&rlay_Spec>,
    found: Option<&mut MaybeUninit<*const rlay_Space>>,
) -> rlay_Status {
    status(|| set(found, space(&object(spec, "spec")?.0.action_space), "found"))
}

/// The metadata, which lie in the spec. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_metadata(
    spec: Option<&rlay_Spec>,
    found: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    status(|| set(found, value(&object(spec, "spec")?.0.metadata), "found"))
}

/// The details, which lie in the spec. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_details(
    spec: Option<&rlay_Spec>,
    found: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    status(|| set(found, value(&object(spec, "spec")?.0.details), "found"))
}

/// How many attributes an agent may get, set and call (rlay_agent_attribute); 0 of NULL. Only of specs that an agent has.
/// Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_attribute_count(spec: Option<&rlay_Spec>) -> usize {
    spec.map_or(0, |spec| spec.0.attributes.len())
}

/// The name of attribute number `index`, counted from 0: UTF-8 of *length bytes without a NUL behind it, which lie in the
/// spec. RLAY_NOT_FOUND if there is none. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_attribute(
    spec: Option<&rlay_Spec>,
    index: usize,
    name: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| {
        let attributes = &object(spec, "spec")?.0.attributes;
        let none = || Fault::new(RLAY_NOT_FOUND, format!("there is no attribute {index} of {}", attributes.len()));
        let found = attributes.get(index).ok_or_else(none)?;
        set(length, found.len(), "length")?;
        set(name, found.as_ptr().cast(), "name")
    })
}

/// How many slots a session has; 0 of NULL. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_spec_slots(spec: Option<&rlay_Spec>) -> u32 {
    spec.map_or(0, |spec| spec.0.slots)
}
