//! rlay_Agent: an environment in another process, for a learner.

use std::{
    ffi::{c_char, c_void},
    marker::{PhantomData, PhantomPinned},
    mem::MaybeUninit,
    sync::Arc,
};

use rlay::{
    AgentOptions, CancelToken, Space, Value,
    endpoint::{Acceptor, Notice, RawEnv, Received, Wait},
    wire::{Role, Row, Seed, put_value},
};

use crate::{
    handle::{Handle, Handles},
    input::{object, set, slice, text},
    options::{Log, rlay_Options},
    spec::{rlay_Spec, spec},
    status::{Fault, Outcome, rlay_Status, rlay_Status::*, status},
    value::{NONE, rlay_Value, value as shown},
};

/// An environment in another process, which this one plays with: Gymnasium's reset, step, render and close. It belongs to
/// the thread that opened it: elsewhere calls fail with RLAY_WRONG_THREAD, except rlay_agent_stop. After rlay_agent_close
/// they fail with RLAY_CLOSED. In a forked child an agent of the parent must not be used.
#[derive(Debug)]
pub struct rlay_Agent {
    _opaque: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What came of a reset or step. Pointers are into memory of the agent, and valid until its next reset or step.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Step {
    /// The observation in the packed form, aligned to 64 bytes; NULL if it is none (rlay_agent_observation_value).
    pub observation: *const u8,
    /// Its bytes; 0 without.
    pub observation_length: usize,
    /// The reward; 0 after a reset.
    pub reward: f64,
    /// Whether the task has ended the episode.
    pub terminated: bool,
    /// Whether something else has ended the episode.
    pub truncated: bool,
    /// The info, a dict.
    pub info: *const rlay_Value,
}

struct AgentState {
    /// What environments dial, where they do.
    acceptor: Option<Arc<Acceptor>>,
    options: AgentOptions,
    timeout: Option<std::time::Duration>,
    log: Log,
    /// The environment, once there is one.
    env: Option<RawEnv>,
    /// The action, encoded.
    action: Vec<u8>,
    received: Option<Received>,
    observation: Option<rlay_Value>,
    info: Value,
    frame: Value,
}

static AGENTS: Handles<AgentState> = Handles::new();

impl AgentState {
    fn new(acceptor: Option<Arc<Acceptor>>, options: &rlay_Options, env: Option<RawEnv>) -> Self {
        Self {
            acceptor,
            options: options.agent(),
            timeout: options.timeout,
            log: options.log,
            env,
            action: Vec::new(),
            received: None,
            observation: None,
            info: Value::None,
            frame: Value::None,
        }
    }

    /// Calls the environment, which is waited for first.
    fn call<T>(
        &mut self,
        cancel: &CancelToken,
        run: impl FnOnce(&mut RawEnv, &mut Vec<u8>, &mut Wait<'_>) -> rlay::Result<T>,
    ) -> Outcome<T> {
        let log = self.log;
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        if let (None, Some(acceptor)) = (&self.env, &self.acceptor) {
            let mut wait = Wait::new(None).with_cancel(cancel).with_notices(&mut tell);
            self.env = Some(RawEnv::accept(acceptor.clone(), self.options.clone(), &mut wait)?);
        }
        let env = self.env.as_mut().ok_or_else(|| Fault::new(RLAY_CLOSED, "there is no environment"))?;
        let mut wait = Wait::new(self.timeout).with_cancel(cancel).with_notices(&mut tell);
        Ok(run(env, &mut self.action, &mut wait)?)
    }

    /// Keeps a result, and says where it lies.
    fn keep(&mut self, (row, received): (Row, Received)) -> rlay_Step {
        (self.info, self.observation) = (row.info, None);
        let received = self.received.insert(received);
        let observation = if received.packed { &received.frame[received.at..] } else { &[] };
        rlay_Step {
            observation: if received.packed { observation.as_ptr() } else { std::ptr::null() },
            observation_length: observation.len(),
            reward: row.reward,
            terminated: row.terminated,
            truncated: row.truncated,
            info: &raw const *shown(&self.info),
        }
    }
}

/// What both ways to open an agent have in common.
fn open(
    options: Option<&rlay_Options>,
    open: impl FnOnce(&rlay_Options) -> Outcome<(String, AgentState)>,
    agent: Option<&mut MaybeUninit<*mut rlay_Agent>>,
) -> rlay_Status {
    status(|| {
        let place = agent.ok_or_else(|| Fault::null("agent"))?;
        place.write(std::ptr::null_mut());
        let defaults = rlay_Options::default();
        let options = options.unwrap_or(&defaults);
        let (address, state) = open(options)?;
        place.write(AGENTS.add(address, CancelToken::default(), state));
        Ok(())
    })
}

/// Dials the environment that listens at `address` (UTF-8 of `length` bytes), and has it made. `options` may be NULL for the
/// defaults; both are copied. On success *agent is a handle, to be closed with rlay_agent_close; otherwise NULL.
///
/// Any thread, to which the agent then belongs. Blocks until the environment is made, at most for the connect timeout.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_connect(
    address: *const c_char,
    length: usize,
    options: Option<&rlay_Options>,
    agent: Option<&mut MaybeUninit<*mut rlay_Agent>>,
) -> rlay_Status {
    let connect = |options: &rlay_Options| {
        let (address, log) = (text(address, length, "address")?, options.log);
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        let env = RawEnv::connect(address, options.agent(), &mut Wait::new(None).with_notices(&mut tell))?;
        Ok((address.to_owned(), AgentState::new(None, options, Some(env))))
    };
    open(options, connect, agent)
}

/// Listens at `address` for the environment, which dials in (rlay_env_dial). The rest is as with rlay_agent_connect.
/// rlay_agent_address says with which port, where 0 was asked for. The first call that needs the environment waits for it,
/// at most for the connect timeout.
///
/// Any thread, to which the agent then belongs. It does not block but for looking up a name in the address.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_listen(
    address: *const c_char,
    length: usize,
    options: Option<&rlay_Options>,
    agent: Option<&mut MaybeUninit<*mut rlay_Agent>>,
) -> rlay_Status {
    let listen = |options: &rlay_Options| {
        let address = text(address, length, "address")?.parse()?;
        let acceptor = Acceptor::bind(&address, Role::Agent, options.agent().connection())?;
        Ok((acceptor.address().to_string(), AgentState::new(Some(Arc::new(acceptor)), options, None)))
    };
    open(options, listen, agent)
}

/// The address at which an agent listens, with its real port, or that it has dialed: UTF-8 of *length bytes without a NUL
/// behind it, which are RLay's and valid until rlay_agent_close. The thread of `agent`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_address(
    agent: *const rlay_Agent,
    address: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| {
        let handle = AGENTS.here(agent)?;
        set(length, handle.address.len(), "length")?;
        set(address, handle.address.as_ptr().cast(), "address")
    })
}

/// What the environment says of itself. *found lies in the agent, and is valid until its next reset or rlay_agent_close. The
/// thread of `agent`; blocks only where the agent listens and no environment has dialed in yet.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_spec(
    agent: *mut rlay_Agent,
    found: Option<&mut MaybeUninit<*const rlay_Spec>>,
) -> rlay_Status {
    with(agent, |agent, handle| {
        let place = agent.call(&handle.cancel, |env, _, _| Ok(&raw const *spec(env.spec())))?;
        set(found, place, "found")
    })
}

fn with(agent: *mut rlay_Agent, run: impl FnOnce(&mut AgentState, &Handle<AgentState>) -> Outcome) -> rlay_Status {
    status(|| {
        let handle = AGENTS.here(agent)?;
        let mut state = handle.lock()?;
        run(&mut state, &handle)
    })
}

/// Gymnasium's reset. `seed` points to the seed, or is NULL for none; `options` is a dict or NULL for None. Both are read
/// during the call. *first says what came of it. The thread of `agent`; blocks until the environment answers, at most for
/// the timeout of the options; rlay_agent_stop ends it.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_reset(
    agent: *mut rlay_Agent,
    seed: Option<&u64>,
    options: Option<&rlay_Value>,
    first: Option<&mut MaybeUninit<rlay_Step>>,
) -> rlay_Status {
    with(agent, |agent, handle| {
        let place = first.ok_or_else(|| Fault::null("first"))?;
        let (seed, options) = (seed.map(|seed| Seed::from(*seed)), &options.unwrap_or(NONE).0);
        let result = agent.call(&handle.cancel, |env, _, wait| env.reset(seed, options, wait))?;
        place.write(agent.keep(result));
        Ok(())
    })
}

/// Gymnasium's step. `action` has `length` bytes, the action in the packed form, as rlay_space_leaf says of the action space:
/// an rlay_Discrete for a Discrete, an array for a Box. It is read during the call. *next says what came of it. The thread of
/// `agent`; blocks as rlay_agent_reset does. After RLAY_TIMEOUT only a reset goes on, which drops the late answer.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_step(
    agent: *mut rlay_Agent,
    action: *const c_void,
    length: usize,
    next: Option<&mut MaybeUninit<rlay_Step>>,
) -> rlay_Status {
    with(agent, |agent, handle| {
        let place = next.ok_or_else(|| Fault::null("next"))?;
        let action = slice(action.cast::<u8>(), length, "action")?;
        let result = agent.call(&handle.cancel, |env, buffer, wait| {
            check_packed(env, action)?;
            buffer.clear();
            buffer.extend_from_slice(action);
            env.step(true, buffer, wait)
        })?;
        place.write(agent.keep(result));
        Ok(())
    })
}

fn check_packed(env: &RawEnv, action: &[u8]) -> rlay::Result<()> {
    let sizes = rlay::endpoint::SlabSizes::of(&env.spec().action_space);
    match sizes.map(|sizes| sizes.len(1)) {
        Some(len) if len == action.len() => Ok(()),
        Some(len) => {
            let text =
                format!("an action of {} bytes, where the action space has {len} in the packed form", action.len());
            Err(rlay::Error::new(rlay::ErrorKind::InvalidAction, text))
        }
        None => Err(rlay::Error::new(
            rlay::ErrorKind::InvalidAction,
            "the action space has no packed form; use rlay_agent_step_value",
        )),
    }
}

/// The same with an action as a value, for any space; it is read during the call. The thread of `agent`; blocks as
/// rlay_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_step_value(
    agent: *mut rlay_Agent,
    action: Option<&rlay_Value>,
    next: Option<&mut MaybeUninit<rlay_Step>>,
) -> rlay_Status {
    with(agent, |agent, handle| {
        let place = next.ok_or_else(|| Fault::null("next"))?;
        let action = &object(action, "action")?.0;
        let result = agent.call(&handle.cancel, |env, buffer, wait| {
            buffer.clear();
            let space = &env.spec().action_space;
            let is_packed = space.is_fixed() && space.pack(action, buffer);
            if !is_packed {
                buffer.clear();
                put_value(buffer, action);
            }
            env.step(is_packed, buffer, wait)
        })?;
        place.write(agent.keep(result));
        Ok(())
    })
}

/// The observation of the last reset or step as a value, packed or not. It is the agent's, and valid until the next reset or
/// step. The thread of `agent`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_observation_value(
    agent: *mut rlay_Agent,
    observation: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(agent, |agent, _| {
        let nothing = || Fault::new(RLAY_RESET_NEEDED, "there is no observation yet; reset first");
        if agent.observation.is_none() {
            let (received, env) =
                (agent.received.clone().ok_or_else(nothing)?, agent.env.as_ref().ok_or_else(nothing)?);
            agent.observation = Some(rlay_Value(received.element(&env.spec().observation_space)?));
        }
        let place = agent.observation.as_ref().map_or(std::ptr::null(), |value| &raw const *value);
        set(observation, place, "observation")
    })
}

/// Gymnasium's render. *frame is the agent's, and valid until the next render. The thread of `agent`; blocks as
/// rlay_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_render(
    agent: *mut rlay_Agent,
    frame: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(agent, |agent, handle| {
        agent.frame = agent.call(&handle.cancel, |env, _, wait| env.render(wait))?;
        set(frame, &raw const *shown(&agent.frame), "frame")
    })
}

/// Ends a call of the agent that is under way, and all later ones, with RLAY_CLOSED. Any thread, but no signal handler; does
/// not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_stop(agent: *mut rlay_Agent) -> rlay_Status {
    status(|| {
        AGENTS.find(agent)?.cancel.cancel();
        Ok(())
    })
}

/// Closes the environment and the agent. The handle must not be used any more; if it is, that fails with RLAY_CLOSED. An
/// error says that the environment's own close failed; the agent is closed all the same. The thread of `agent`; blocks until
/// the environment is closed, for a few seconds at most.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_close(agent: *mut rlay_Agent) -> rlay_Status {
    status(|| {
        let handle = AGENTS.remove(agent)?;
        let mut state = handle.lock()?;
        let log = state.log;
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        let closed = match state.env.take() {
            Some(mut env) => env.close(&mut Wait::default().with_notices(&mut tell)),
            None => Ok(()),
        };
        if let Some(acceptor) = state.acceptor.take() {
            acceptor.close();
        }
        Ok(closed?)
    })
}
