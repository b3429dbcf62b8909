//! rlay_Env: an environment that a program's own loop polls.

use std::{
    ffi::c_char,
    marker::{PhantomData, PhantomPinned},
    mem::MaybeUninit,
    sync::Arc,
    time::Duration,
};

use rlay::{CancelToken, endpoint::Acceptor};

use crate::{
    env_sessions::{EnvSessions, Origin},
    handle::Handles,
    input::{object, set, text},
    options::{duration, rlay_Options},
    spec::rlay_Spec,
    status::{Fault, Outcome, rlay_Status, rlay_Status::*, status},
    turn::{rlay_Turn, rlay_TurnKind},
    value::{rlay_Value, wrong_kind},
};

/// An environment that agents play with. It belongs to the thread that opened it: elsewhere calls fail with
/// RLAY_WRONG_THREAD, except those that say otherwise. After rlay_env_close they fail with RLAY_CLOSED. In a forked child an
/// environment of the parent must not be used.
#[derive(Debug)]
pub struct rlay_Env {
    _opaque: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub(crate) static ENVS: Handles<EnvSessions> = Handles::new();

/// What both ways to open an environment have in common.
fn open(
    spec: Option<&rlay_Spec>,
    options: Option<&rlay_Options>,
    origin: impl FnOnce(&rlay_Options) -> Outcome<(String, Origin)>,
    env: Option<&mut MaybeUninit<*mut rlay_Env>>,
) -> rlay_Status {
    status(|| {
        let place = env.ok_or_else(|| Fault::null("env"))?;
        place.write(std::ptr::null_mut());
        let defaults = rlay_Options::default();
        let options = options.unwrap_or(&defaults);
        let (address, origin) = origin(options)?;
        let spec = spec.map(|spec| spec.0.clone());
        let sessions = EnvSessions::new(origin, spec, options.host(), options.max_sessions, options.log)?;
        place.write(ENVS.add(address, CancelToken::default(), sessions));
        Ok(())
    })
}

/// Opens an environment that listens at `address`, UTF-8 of `length` bytes such as "tcp://127.0.0.1:5005" or "shm://arena",
/// for agents (rlay.ClientEnv in Python). rlay_env_address says with which port, where 0 was asked for. `spec` describes the
/// environment that each agent has; NULL: the program answers turns of kind RLAY_TURN_MAKE. `options` may be NULL for the
/// defaults. All three are copied. On success *env is a handle, to be closed with rlay_env_close; otherwise NULL.
///
/// Any thread, to which the environment then belongs. It does not block but for looking up a name in the address.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_listen(
    address: *const c_char,
    length: usize,
    spec: Option<&rlay_Spec>,
    options: Option<&rlay_Options>,
    env: Option<&mut MaybeUninit<*mut rlay_Env>>,
) -> rlay_Status {
    let origin = |options: &rlay_Options| {
        let address = text(address, length, "address")?.parse()?;
        let acceptor = Acceptor::bind_host(&address, options.host().connection(), None)?;
        Ok((acceptor.address().to_string(), Origin::Accepted(Arc::new(acceptor))))
    };
    open(spec, options, origin, env)
}

/// Opens an environment that dials agents (rlay.ServerEnv in Python) at `address`. The rest is as with rlay_env_listen. It
/// goes on dialing for as long as no agent listens there, and again after each session.
///
/// Any thread, to which the environment then belongs. It does not block: the address is dialed while the environment is
/// polled, on a thread of RLay.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_dial(
    address: *const c_char,
    length: usize,
    spec: Option<&rlay_Spec>,
    options: Option<&rlay_Options>,
    env: Option<&mut MaybeUninit<*mut rlay_Env>>,
) -> rlay_Status {
    let origin = |_: &rlay_Options| {
        let address = text(address, length, "address")?.to_owned();
        Ok((address.clone(), Origin::Dialed(address)))
    };
    open(spec, options, origin, env)
}

/// The address at which an environment listens, with its real port, or that it dials: UTF-8 of *length bytes without a NUL
/// behind it, which are RLay's and valid until rlay_env_close. The thread of `env`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_address(
    env: *const rlay_Env,
    address: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| {
        let handle = ENVS.here(env)?;
        set(length, handle.address.len(), "length")?;
        set(address, handle.address.as_ptr().cast(), "address")
    })
}

/// Asks what an agent wants now, once a frame: *turn says, and is RLAY_TURN_NONE if nothing. Each turn but RLAY_TURN_CLOSE is
/// to be answered, if not at once, then in a later frame. Several slots and sessions may wait for answers at a time, in any
/// order; RLAY_USAGE if all there are do. *turn is written whenever it is not NULL.
///
/// Other errors concern one session or dialing, such as RLAY_UNAUTHORIZED where a listener has refused the token: the
/// environment stays open, and a later poll tries again. RLAY_CLOSED after rlay_env_stop, and where an agent that launched
/// this program wants no other environment.
///
/// The thread of `env`. It does not block; only an answer whose connection was lost is sent again first, which takes as long
/// as the network does. Once it is warm, a poll that brings nothing or a packed action of one slot allocates nothing.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_poll(env: *mut rlay_Env, turn: Option<&mut MaybeUninit<rlay_Turn>>) -> rlay_Status {
    next_turn(env, Ok(Duration::ZERO), turn)
}

/// The same, but waits for at most so many seconds for a turn; an infinity is allowed. For loops that have nothing else to
/// do. The thread of `env`; rlay_env_stop ends the wait.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_wait(
    env: *mut rlay_Env,
    seconds: f64,
    turn: Option<&mut MaybeUninit<rlay_Turn>>,
) -> rlay_Status {
    next_turn(env, duration(seconds, "seconds"), turn)
}

fn next_turn(env: *mut rlay_Env, time: Outcome<Duration>, turn: Option<&mut MaybeUninit<rlay_Turn>>) -> rlay_Status {
    status(|| {
        let turn = turn.ok_or_else(|| Fault::null("turn"))?;
        turn.write(rlay_Turn::none());
        turn.write(poll(env, time?)?);
        Ok(())
    })
}

pub(crate) fn poll(env: *mut rlay_Env, time: Duration) -> Outcome<rlay_Turn> {
    let handle = ENVS.here(env)?;
    let mut sessions = handle.lock()?;
    sessions.poll(time, &handle.cancel)
}

/// The action of a turn of kind RLAY_TURN_STEP, where it is an int or a NumPy scalar of an integer type, as those of a
/// Discrete are; RLAY_WRONG_KIND if it is anything else. It may lie outside the space. The thread of `env`; does not block,
/// and allocates nothing where the action is packed.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_action_int(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    action: Option<&mut MaybeUninit<i64>>,
) -> rlay_Status {
    status(|| {
        let x = with_action(env, turn, |session, slot| {
            let discrete = matches!(session.spec.action_space, rlay::AnySpace::Discrete(_));
            let Some(received) = session.held(slot).received.clone() else { return Err(no_action()) };
            if discrete && received.packed {
                return Ok(received.element(&rlay::Discrete::new(1))?);
            }
            let value = received.element(&session.spec.action_space)?;
            value.as_i64().ok_or_else(|| wrong_kind(&value, "integer within 64 bits"))
        })?;
        set(action, x, "action")
    })
}

/// The action of a turn of kind RLAY_TURN_STEP as a value, exactly as the agent gave it, packed or not. The value is the
/// environment's and valid until the turn is answered. The thread of `env`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_action_value(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    action: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    status(|| {
        let value = with_action(env, turn, |session, slot| {
            if session.held(slot).action.is_none() {
                let received = session.held(slot).received.clone().ok_or_else(no_action)?;
                let value = received.element(&session.spec.action_space)?;
                session.held(slot).action = Some(rlay_Value(value));
            }
            Ok(session.held(slot).action.as_ref().map_or(std::ptr::null(), |value| &raw const *value))
        })?;
        set(action, value, "action")
    })
}

fn no_action() -> Fault {
    Fault::new(RLAY_WRONG_KIND, "the turn has no action, for it is no step")
}

fn with_action<T>(
    env: *mut rlay_Env,
    turn: Option<&rlay_Turn>,
    read: impl FnOnce(&mut crate::env_sessions::Session, u32) -> Outcome<T>,
) -> Outcome<T> {
    let handle = ENVS.here(env)?;
    let turn = object(turn, "turn")?;
    let mut env = handle.lock()?;
    if turn.kind != rlay_TurnKind::RLAY_TURN_STEP {
        return Err(no_action());
    }
    read(env.asked(turn)?, turn.slot)
}

/// Ends rlay_env_wait and rlay_env_run, now or whenever they are called next, with RLAY_CLOSED or, of rlay_env_run, success.
/// Any thread, but no signal handler; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_stop(env: *mut rlay_Env) -> rlay_Status {
    status(|| {
        ENVS.find(env)?.cancel.cancel();
        Ok(())
    })
}

/// Closes an environment: agents are told, within half a second for each, and the address is free. The handle must not be
/// used any more; if it is, that fails with RLAY_CLOSED. The thread of `env`; also from a callback of rlay_env_run, which
/// then ends.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_env_close(env: *mut rlay_Env) -> rlay_Status {
    status(|| {
        let closed = ENVS.remove(env)?;
        closed.cancel.cancel();
        drop(closed);
        Ok(())
    })
}
