//! The blocking form: callbacks that RLay's loop calls.

use std::{
    cell::RefCell,
    ffi::{c_char, c_void},
    ptr,
    time::Duration,
};

use rlay::EnvFailure;

use crate::{
    env::{poll, rlay_Env},
    input::{object, text},
    reply::{
        rlay_Result, rlay_env_reply, rlay_env_reply_attribute, rlay_env_reply_error, rlay_env_reply_frame,
        rlay_env_reply_make,
    },
    spec::rlay_Spec,
    status::{Fault, last_text, rlay_Status, rlay_Status::*, status},
    turn::{rlay_Turn, rlay_TurnKind},
    value::rlay_Value,
};

/// What an environment does when it is asked. Set all of it to zero first. Each callback gets `user` and the turn, and
/// returns RLAY_OK, or the code with which the agent is to be answered: RLAY_ENV, or others as with rlay_env_reply_error.
/// rlay_fail gives the error its text. Callbacks are called on the thread of rlay_env_run, one at a time, and may use the
/// environment to read actions and to stop or close it. They must return, and throw nothing.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Callbacks {
    /// Passed to each callback.
    pub user: *mut c_void,
    /// Makes an environment: sets *spec to its description, which is copied and stays the program's. NULL where the
    /// environment was opened with a spec.
    pub make:
        Option<unsafe extern "C" fn(user: *mut c_void, turn: *const rlay_Turn, spec: *mut *const rlay_Spec) -> i32>,
    /// Starts an episode: fills *result, which was set to zero. What it points to is read right after the callback.
    pub reset: Option<unsafe extern "C" fn(user: *mut c_void, turn: *const rlay_Turn, result: *mut rlay_Result) -> i32>,
    /// Takes an action, and fills *result likewise.
    pub step: Option<unsafe extern "C" fn(user: *mut c_void, turn: *const rlay_Turn, result: *mut rlay_Result) -> i32>,
    /// Draws: sets *frame to a value, which RLay takes. NULL where there are no render modes.
    pub render:
        Option<unsafe extern "C" fn(user: *mut c_void, turn: *const rlay_Turn, frame: *mut *mut rlay_Value) -> i32>,
    /// Gets, sets or calls an attribute: sets *value, which RLay takes. NULL where none are offered.
    pub attribute:
        Option<unsafe extern "C" fn(user: *mut c_void, turn: *const rlay_Turn, value: *mut *mut rlay_Value) -> i32>,
    /// The agent of a session is gone. May be NULL.
    pub close: Option<unsafe extern "C" fn(user: *mut c_void, turn: *const rlay_Turn)>,
}

thread_local! {
    /// What the callback that is under way says of its failure: class and text.
    static FAILURE: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
}

/// Says why the callback that is under way is going to fail: the class of the error in Python, such as "ValueError", and its
/// text, both UTF-8, which are copied. The thread of rlay_env_run; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_fail(
    error_type: *const c_char,
    error_type_length: usize,
    message: *const c_char,
    message_length: usize,
) -> rlay_Status {
    status(|| {
        let error_type = text(error_type, error_type_length, "error_type")?.to_owned();
        let message = text(message, message_length, "message")?.to_owned();
        FAILURE.with(|failure| *failure.borrow_mut() = (error_type, message));
        Ok(())
    })
}

/// Hosts an environment with callbacks until rlay_env_stop or rlay_env_close, or until the agent that launched this program
/// wants no other environment: RLAY_OK. Another error of rlay_env_poll ends it, too, and is returned; it may be called again.
/// `callbacks` is read during the call. The thread of `env`; blocks until then.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_run(env: *mut rlay_Env, callbacks: Option<&rlay_Callbacks>) -> rlay_Status {
    status(|| {
        let callbacks = object(callbacks, "callbacks")?;
        loop {
            // A session that is looked for may need other looks than the session that is waited for.
            let turn = match poll(env, Duration::from_millis(100)) {
                Err(fault) if fault.status == RLAY_CLOSED => return Ok(()),
                turn => turn?,
            };
            let answered = call(env, callbacks, &turn);
            match answered {
                // The agent is gone, or learns of it.
                RLAY_OK | RLAY_CLOSED | RLAY_USAGE | RLAY_TIMEOUT | RLAY_CONNECTION_LOST => {}
                _ => {
                    // The turn may still be open; the agent is not to wait for ever.
                    let why = last_text().unwrap_or_default();
                    let kind = "RuntimeError";
                    rlay_env_reply_error(
                        env,
                        Some(&turn),
                        RLAY_ENV as i32,
                        kind.as_ptr().cast(),
                        kind.len(),
                        why.as_ptr().cast(),
                        why.len(),
                    );
                }
            }
        }
    })
}

/// Calls the callback that a turn is for, and answers.
fn call(env: *mut rlay_Env, callbacks: &rlay_Callbacks, turn: &rlay_Turn) -> rlay_Status {
    use rlay_TurnKind::*;
    let user = callbacks.user;
    FAILURE.with(|failure| *failure.borrow_mut() = <(String, String)>::default());
    let missing = || {
        let text = format!("the callbacks have none for {:?}", turn.kind);
        status(|| Err(Fault::new(RLAY_ENV, text)))
    };
    match turn.kind {
        RLAY_TURN_NONE => RLAY_OK,
        RLAY_TURN_CLOSE => {
            if let Some(close) = callbacks.close {
                // SAFETY: the program gave this function for these arguments.
                unsafe { close(user, turn) };
            }
            RLAY_OK
        }
        RLAY_TURN_MAKE => {
            let Some(make) = callbacks.make else { return missing() };
            let mut spec = ptr::null();
            // SAFETY: as above; the spec that it sets stays valid until the answer is made.
            match unsafe { make(user, turn, &raw mut spec) } {
                0 => rlay_env_reply_make(env, Some(turn), unsafe { spec.as_ref() }),
                code => fail(env, turn, code),
            }
        }
        RLAY_TURN_RESET | RLAY_TURN_STEP => {
            let Some(act) = (if turn.kind == RLAY_TURN_RESET { callbacks.reset } else { callbacks.step }) else {
                return missing();
            };
            let mut result = rlay_Result {
                observation: ptr::null(),
                observation_length: 0,
                observation_value: ptr::null(),
                reward: 0.0,
                terminated: 0,
                truncated: 0,
                info: ptr::null(),
            };
            // SAFETY: as above; what the result points to stays valid until the answer is made.
            match unsafe { act(user, turn, &raw mut result) } {
                0 => rlay_env_reply(env, Some(turn), Some(&result)),
                code => fail(env, turn, code),
            }
        }
        RLAY_TURN_RENDER | RLAY_TURN_ATTRIBUTE => {
            let is_render = turn.kind == RLAY_TURN_RENDER;
            let Some(give) = (if is_render { callbacks.render } else { callbacks.attribute }) else {
                return missing();
            };
            let mut value = ptr::null_mut();
            // SAFETY: as above.
            let code = unsafe { give(user, turn, &raw mut value) };
            // SAFETY: the program gives the value away, or none.
            let value: Option<Box<rlay_Value>> = (!value.is_null()).then(|| unsafe { Box::from_raw(value) });
            match code {
                0 if is_render => rlay_env_reply_frame(env, Some(turn), value),
                0 => rlay_env_reply_attribute(env, Some(turn), value),
                code => fail(env, turn, code),
            }
        }
    }
}

/// Answers with the failure of a callback.
fn fail(env: *mut rlay_Env, turn: &rlay_Turn, code: i32) -> rlay_Status {
    let (error_type, mut message) = FAILURE.with(|failure| std::mem::take(&mut *failure.borrow_mut()));
    // What is none of the codes is an error of the environment, too.
    let code = if (1..=14).contains(&code) { code } else { RLAY_ENV as i32 };
    if message.is_empty() {
        message = format!("the environment's callback returned {code}; rlay_fail() gives such an error its text");
    }
    let failure = EnvFailure::new(error_type, message);
    rlay_env_reply_error(
        env,
        Some(turn),
        code,
        failure.error_type.as_ptr().cast(),
        failure.error_type.len(),
        failure.message.as_ptr().cast(),
        failure.message.len(),
    )
}
