//! How turns are answered.

use std::ffi::{c_char, c_void};

use rlay::{
    AnySpace, EnvFailure, Error, ErrorKind,
    host::{check_frame, write_info, write_observation},
};

use crate::{
    env::{ENVS, rlay_Env},
    env_sessions::{EnvSessions, Session},
    input::{object, slice, text},
    space_reader::no_packed_form,
    spec::rlay_Spec,
    status::{Fault, Outcome, rlay_Status, rlay_Status::*, status},
    turn::{rlay_Turn, rlay_TurnKind},
    value::{rlay_Value, wrong_kind},
};

/// What came of a reset or step. Set all of it to zero first, as `rlay_Result result = {0}` does. Pointers are the caller's,
/// and are read during the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Result {
    /// The observation in the packed form, in the order of the space's leaves, each of which begins at a multiple of 8
    /// bytes (rlay_space_leaf); a C struct of the same members lies like that. The bytes between leaves do not count.
    pub observation: *const c_void,
    /// Its bytes, which are rlay_space_packed_size of the observation space.
    pub observation_length: usize,
    /// The observation as a value, where `observation` is NULL: for spaces without a packed form, and for observations of
    /// other types than the space's.
    pub observation_value: *const rlay_Value,
    /// The reward; means nothing after a reset.
    pub reward: f64,
    /// Not 0: the task has ended the episode. Means nothing after a reset.
    pub terminated: u8,
    /// Not 0: something else has ended the episode. Means nothing after a reset.
    pub truncated: u8,
    /// A dict; NULL for an empty one, which costs no allocation.
    pub info: *const rlay_Value,
}

/// Writes a result into the buffers of the next answer.
fn write(session: &Session, answer: &mut rlay::Outcome, result: &rlay_Result) -> Outcome {
    (answer.reward, answer.terminated, answer.truncated) =
        (result.reward, result.terminated != 0, result.truncated != 0);
    // SAFETY: the caller says that it is a value or NULL.
    let info = unsafe { result.info.as_ref() };
    match info {
        None => write_info(const { &rlay::Map::new() }, answer)?,
        Some(rlay_Value(rlay::Value::Dict(map))) => write_info(map, answer)?,
        Some(other) => return Err(wrong_kind(&other.0, "dict, as info is,")),
    }
    if result.observation.is_null() {
        // SAFETY: the caller says that it is a value or NULL.
        if let Some(value) = unsafe { result.observation_value.as_ref() } {
            let space = &session.spec.observation_space;
            return Ok(write_observation::<AnySpace>(space, session.sizes.is_some(), &value.0, answer)?);
        }
        // A space without leaves has elements of no bytes.
        if session.sizes.as_ref().is_none_or(|sizes| sizes.len(1) > 0) {
            return Err(Fault::null("observation, and so is observation_value: one of them"));
        }
    }
    let observation = slice(result.observation.cast::<u8>(), result.observation_length, "observation")?;
    let sizes = session.sizes.as_ref().ok_or_else(no_packed_form)?;
    let wanted = sizes.len(1);
    if observation.len() != wanted {
        let text =
            format!("an observation of {} bytes, where the space has {wanted} in the packed form", observation.len());
        return Err(Fault::new(RLAY_SHORT_BUFFER, text));
    }
    answer.packed = true;
    answer.observation.clear();
    answer.observation.extend_from_slice(observation);
    for (at, size) in sizes.slabs(1) {
        answer.observation[at + size..(at + size).next_multiple_of(8)].fill(0);
    }
    Ok(())
}

/// Refuses an answer of another kind than the turn is.
fn check_kind(turn: &rlay_Turn, kinds: &[rlay_TurnKind], how: &str) -> Outcome {
    if kinds.contains(&turn.kind) {
        return Ok(());
    }
    Err(Fault::new(RLAY_WRONG_KIND, format!("a turn of kind {:?} is answered by {how}", turn.kind)))
}

/// The function that answers a kind.
fn replies(kind: rlay_TurnKind) -> &'static str {
    use rlay_TurnKind::*;
    match kind {
        RLAY_TURN_MAKE => "rlay_env_reply_make",
        RLAY_TURN_RESET | RLAY_TURN_STEP => "rlay_env_reply",
        RLAY_TURN_RENDER => "rlay_env_reply_frame",
        RLAY_TURN_ATTRIBUTE => "rlay_env_reply_attribute",
        RLAY_TURN_NONE | RLAY_TURN_CLOSE => "nothing",
    }
}

fn answer(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    kinds: &[rlay_TurnKind],
    run: impl FnOnce(&mut EnvSessions, &rlay_Turn, &rlay::CancelToken) -> Outcome,
) -> rlay_Status {
    status(|| {
        let handle = ENVS.here(env)?;
        let turn = object(turn, "turn")?;
        let mut env = handle.lock()?;
        check_kind(turn, kinds, replies(turn.kind))?;
        env.asked(turn)?;
        run(&mut env, turn, &handle.cancel)
    })
}

/// Answers a reset or step. `turn` and `result` are read during the call. If this fails with RLAY_SHORT_BUFFER,
/// RLAY_WRONG_KIND, RLAY_NULL_ARGUMENT or RLAY_ENV, the turn is still to be answered; after any other error it is not, and
/// the agent learns of the error.
///
/// The thread of `env`. It blocks only while the agent does not take the answer in, for at most 5 s, after which it fails
/// with RLAY_TIMEOUT and has ended the session. Without an info it allocates nothing once it is warm.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_reply(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    result: Option<&rlay_Result>,
) -> rlay_Status {
    use rlay_TurnKind::*;
    answer(env, turn, &[RLAY_TURN_RESET, RLAY_TURN_STEP], |env, turn, cancel| {
        let result = object(result, "result")?;
        let mut buffers = std::mem::take(&mut env.answer);
        let written = env.asked(turn).and_then(|session| write(session, &mut buffers, result));
        env.answer = buffers;
        written?;
        env.reply(turn, cancel, |session, slot, answer, wait| session.raw.reply(slot, answer, wait))
    })
}

/// Answers a turn of kind RLAY_TURN_MAKE with an environment of this description, which is copied. If the agent cannot have
/// it, because it lacks the render mode that was asked for or has another number of slots, this fails with RLAY_USAGE, and
/// the agent is told so. The thread of `env`; blocks as rlay_env_reply does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_reply_make(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    spec: Option<&rlay_Spec>,
) -> rlay_Status {
    answer(env, turn, &[rlay_TurnKind::RLAY_TURN_MAKE], |env, turn, cancel| {
        let spec = &object(spec, "spec")?.0;
        env.reply(turn, cancel, |session, _, _, wait| {
            session.raw.reply_make(spec.clone(), wait)?;
            session.describe(spec.clone());
            Ok(())
        })
    })
}

/// Answers a render. Takes `frame`, which may be NULL for None, whether it succeeds or not. The thread of `env`; blocks as
/// rlay_env_reply does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_reply_frame(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    frame: Option<Box<rlay_Value>>,
) -> rlay_Status {
    answer(env, turn, &[rlay_TurnKind::RLAY_TURN_RENDER], |env, turn, cancel| {
        let frame = frame.map(|frame| frame.0).unwrap_or_default();
        check_frame(&frame, env.asked(turn)?.raw.render_mode())?;
        env.reply(turn, cancel, |session, slot, _, wait| session.raw.reply_frame(slot, frame, wait))
    })
}

/// Answers a turn about an attribute, see rlay_Access. Takes `value`, whether it succeeds or not; NULL in answer to RLAY_GET
/// says that the attribute is a function, and is None otherwise. The thread of `env`; blocks as rlay_env_reply does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_reply_attribute(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    value: Option<Box<rlay_Value>>,
) -> rlay_Status {
    answer(env, turn, &[rlay_TurnKind::RLAY_TURN_ATTRIBUTE], |env, turn, cancel| {
        let is_get = turn.access == crate::access::rlay_Access::RLAY_GET as u32;
        let value = value.map(|value| value.0).or(if is_get { None } else { Some(rlay::Value::None) });
        env.reply(turn, cancel, |session, slot, _, wait| session.raw.reply_attribute(slot, value, wait))
    })
}

/// Answers any turn but RLAY_TURN_CLOSE with an error, which the agent's call raises. `code` is RLAY_ENV for an error of the
/// environment, whose class in Python is `error_type` ("ValueError"); or RLAY_USAGE, RLAY_INVALID_ACTION and the like, for
/// which `error_type` does not count. Both texts are UTF-8 and are copied. The thread of `env`; blocks as rlay_env_reply
/// does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_reply_error(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    code: i32,
    error_type: *const c_char,
    error_type_length: usize,
    message: *const c_char,
    message_length: usize,
) -> rlay_Status {
    use rlay_TurnKind::*;
    let kinds = [RLAY_TURN_MAKE, RLAY_TURN_RESET, RLAY_TURN_STEP, RLAY_TURN_RENDER, RLAY_TURN_ATTRIBUTE];
    answer(env, turn, &kinds, |env, turn, cancel| {
        let error_type = text(error_type, error_type_length, "error_type")?;
        let error = error(code, error_type, text(message, message_length, "message")?)?;
        env.reply(turn, cancel, |session, slot, _, wait| session.raw.reply_error(slot, error, wait))
    })
}

/// The error that a program tells its agent.
pub(crate) fn error(code: i32, error_type: &str, message: &str) -> Outcome<Error> {
    let kind = u32::try_from(code).ok().map(ErrorKind::from_code).filter(|kind| kind.code() == code as u32);
    match kind {
        Some(ErrorKind::Env) => {
            Ok(EnvFailure::new(if error_type.is_empty() { "Error" } else { error_type }, message).into())
        }
        Some(kind) => Ok(Error::new(kind, message)),
        None => Err(Fault::new(RLAY_INVALID_ARGUMENT, format!("{code} is no status from 1 to 14"))),
    }
}
