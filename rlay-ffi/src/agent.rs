//! rlay_Agent: an environment in another process, for a learner.

use std::{
    ffi::{c_char, c_void},
    marker::{PhantomData, PhantomPinned},
    mem::MaybeUninit,
};

use rlay::{
    Space, Value,
    endpoint::{Answer, RawEnv, Received},
    wire::{Row, Seed, put_value},
};

use crate::{
    access::access as access_of,
    agent_env::{self, AgentEnv, Returned, turn_kind, with},
    handle::Handles,
    input::{give, object, set, slice, text},
    options::rlay_Options,
    spec::{rlay_Spec, spec},
    status::{Fault, rlay_Status, rlay_Status::*, status},
    turn::rlay_TurnKind,
    value::{NONE, rlay_Value, value as shown},
};

/// An environment in another process, which this one plays with: Gymnasium's reset, step, render and close. It belongs
/// to the thread that opened it: elsewhere calls fail with RLAY_WRONG_THREAD, except rlay_agent_stop. After
/// rlay_agent_close they fail with RLAY_CLOSED. In a forked child an agent of the parent must not be used.
#[derive(Debug)]
pub struct rlay_Agent {
    _opaque: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What came of a reset or step. Pointers are into memory of the agent, and valid until its next reset, step
/// or late answer.
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
    env: AgentEnv<RawEnv>,
    /// The action, encoded.
    action: Vec<u8>,
    received: Option<Received>,
    observation: Option<rlay_Value>,
    info: Value,
    returned: Returned,
}

static AGENTS: Handles<AgentState> = Handles::new();

impl AgentState {
    fn new((address, env): (String, AgentEnv<RawEnv>)) -> (String, Self) {
        let (action, info, returned) = (Vec::new(), Value::None, Returned::default());
        (address, Self { env, action, received: None, observation: None, info, returned })
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

/// Dials the environment that listens at `address` (UTF-8 of `length` bytes), and has it made. `options` may be NULL
/// for the defaults; both are copied. On success *agent is a handle, to be closed with rlay_agent_close; otherwise
/// NULL.
///
/// Any thread, to which the agent then belongs. Blocks until the environment is made, at most for the connect timeout.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_connect(
    address: *const c_char,
    length: usize,
    options: Option<&rlay_Options>,
    agent: Option<&mut MaybeUninit<*mut rlay_Agent>>,
) -> rlay_Status {
    let connect = |address: &str, options: &rlay_Options| AgentEnv::dialed(address, options).map(AgentState::new);
    agent_env::open(&AGENTS, (address, length), options, connect, agent)
}

/// Listens at `address` for the environment, which dials in (rlay_env_dial). The rest is as with rlay_agent_connect.
/// rlay_agent_address says with which port, where 0 was asked for. The first call that needs the environment waits for
/// it, at most for the connect timeout.
///
/// Any thread, to which the agent then belongs. It does not block but for looking up a name in the address.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_listen(
    address: *const c_char,
    length: usize,
    options: Option<&rlay_Options>,
    agent: Option<&mut MaybeUninit<*mut rlay_Agent>>,
) -> rlay_Status {
    let listen = |address: &str, options: &rlay_Options| AgentEnv::listening(address, options).map(AgentState::new);
    agent_env::open(&AGENTS, (address, length), options, listen, agent)
}

/// The address at which an agent listens, with its real port, or that it has dialed: UTF-8 of *length bytes without a
/// NUL behind it, which are RLay's and valid until rlay_agent_close. The thread of `agent`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_address(
    agent: *const rlay_Agent,
    address: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    agent_env::address(&AGENTS, agent, address, length)
}

/// What the environment says of itself. *found lies in the agent, and is valid until its next reset or
/// rlay_agent_close. The thread of `agent`; blocks only where the agent listens and no environment has dialed in yet.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_spec(
    agent: *mut rlay_Agent,
    found: Option<&mut MaybeUninit<*const rlay_Spec>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = agent.env.call(&handle.cancel, |env, _| Ok(&raw const *spec(env.spec())))?;
        set(found, place, "found")
    })
}

/// Gymnasium's reset. `seed` points to the seed, or is NULL for none; `options` is a dict or NULL for None. Both are
/// read during the call. *first says what came of it. The thread of `agent`; blocks until the environment answers, at
/// most for the timeout of the options; rlay_agent_stop ends it.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_reset(
    agent: *mut rlay_Agent,
    seed: Option<&u64>,
    options: Option<&rlay_Value>,
    first: Option<&mut MaybeUninit<rlay_Step>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = first.ok_or_else(|| Fault::null("first"))?;
        let (seed, options) = (seed.map(|seed| Seed::from(*seed)), &options.unwrap_or(NONE).0);
        let result = agent.env.call(&handle.cancel, |env, wait| env.reset(seed, options, wait))?;
        place.write(agent.keep(result));
        Ok(())
    })
}

/// Gymnasium's step. `action` has `length` bytes, the action in the packed form, as rlay_space_leaf says of the action
/// space: an rlay_Discrete for a Discrete, an array for a Box. It is read during the call. *next says what came of it.
/// The thread of `agent`; blocks as rlay_agent_reset does. After RLAY_TIMEOUT only two calls go on: rlay_agent_late,
/// which fetches the late answer, and a reset, which drops it. Once it is warm, a step whose action and observation are
/// packed and whose info is empty allocates nothing.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_step(
    agent: *mut rlay_Agent,
    action: *const c_void,
    length: usize,
    next: Option<&mut MaybeUninit<rlay_Step>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = next.ok_or_else(|| Fault::null("next"))?;
        let action = slice(action.cast::<u8>(), length, "action")?;
        let AgentState { env, action: buffer, .. } = agent;
        env.pack(&handle.cancel, (action, 1), buffer)?;
        let result = env.call(&handle.cancel, |env, wait| env.step(true, buffer, wait))?;
        place.write(agent.keep(result));
        Ok(())
    })
}

/// The same with an action as a value, for any space; it is read during the call. The thread of `agent`; blocks as
/// rlay_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_step_value(
    agent: *mut rlay_Agent,
    action: Option<&rlay_Value>,
    next: Option<&mut MaybeUninit<rlay_Step>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = next.ok_or_else(|| Fault::null("next"))?;
        let action = &object(action, "action")?.0;
        let AgentState { env, action: buffer, .. } = agent;
        let result = env.call(&handle.cancel, |env, wait| {
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

/// The observation of the last reset or step as a value, packed or not. It is the agent's, and valid until the next
/// reset or step. The thread of `agent`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_observation_value(
    agent: *mut rlay_Agent,
    observation: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, _| {
        let nothing = || Fault::new(RLAY_RESET_NEEDED, "there is no observation yet; reset first");
        if agent.observation.is_none() {
            let received = agent.received.clone().ok_or_else(nothing)?;
            agent.observation = Some(rlay_Value(received.element(&agent.env.remote()?.spec().observation_space)?));
        }
        let place = agent.observation.as_ref().map_or(std::ptr::null(), |value| &raw const *value);
        set(observation, place, "observation")
    })
}

/// Gymnasium's render. *frame is the agent's, and valid until the next render or attribute. The thread of `agent`;
/// blocks as rlay_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_render(
    agent: *mut rlay_Agent,
    frame: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let drawn = agent.env.call(&handle.cancel, |env, wait| env.render(wait))?;
        set(frame, agent.returned.keep(Some(drawn)), "frame")
    })
}

/// Gets, sets or calls an attribute of the environment, as Gymnasium's get_wrapper_attr and set_wrapper_attr do: `name` is
/// UTF-8 of `length` bytes, one of those that the spec lists (rlay_spec_attribute). `access` is an rlay_Access. `value` is
/// what it is set to, or the list or tuple of a call's arguments; `kwargs` is the dict of a call's keyword arguments. They
/// are NULL where there is nothing to give, and read during the call. *found is what the call returned or the attribute
/// is, None after it was set, and NULL for RLAY_GET of a function. It is the agent's, and valid until the next render or
/// attribute.
///
/// RLAY_USAGE if the environment does not offer the attribute, RLAY_ENV if it has none of this name. The thread of
/// `agent`; blocks as rlay_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_attribute(
    agent: *mut rlay_Agent,
    name: *const c_char,
    length: usize,
    access: u32,
    value: Option<&rlay_Value>,
    kwargs: Option<&rlay_Value>,
    found: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let (name, access) = (text(name, length, "name")?, access_of(access, value, kwargs, false)?);
        let returned = agent.env.call(&handle.cancel, |env, wait| env.attribute(name, access, wait))?;
        set(found, agent.returned.keep(returned), "found")
    })
}

/// The answer to a call that failed with RLAY_TIMEOUT: it is late, and no other call than a reset goes on before it is
/// here. *kind says which call that was: RLAY_TURN_RESET and RLAY_TURN_STEP, of which *next says what came, or
/// RLAY_TURN_RENDER and RLAY_TURN_ATTRIBUTE, of which *value is the frame, or what came of it, as after rlay_agent_render
/// and rlay_agent_attribute. The other is not written. Each of the two may be NULL. RLAY_USAGE if no answer is late,
/// RLAY_TIMEOUT if it does not come within the timeout of the options: it is late still. The thread of `agent`; blocks as
/// rlay_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_late(
    agent: *mut rlay_Agent,
    kind: Option<&mut MaybeUninit<rlay_TurnKind>>,
    next: Option<&mut MaybeUninit<rlay_Step>>,
    value: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let kind = kind.ok_or_else(|| Fault::null("kind"))?;
        let (call, answer) = agent.env.call(&handle.cancel, |env, wait| env.late(wait))?;
        kind.write(turn_kind(call));
        match answer {
            Answer::Row(row, received) => give(next, agent.keep((row, received))),
            Answer::Frame(frame) => give(value, agent.returned.keep(Some(frame))),
            Answer::Returned(returned) => give(value, agent.returned.keep(returned)),
            Answer::Closed => return Err(Fault::new(RLAY_PROTOCOL, "a close is late, which nothing waits for")),
        }
        Ok(())
    })
}

/// Ends a call of the agent that is under way, and all later ones, with RLAY_CLOSED. Any thread, but no signal handler;
/// does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_stop(agent: *mut rlay_Agent) -> rlay_Status {
    status(|| {
        AGENTS.find(agent)?.cancel.cancel();
        Ok(())
    })
}

/// Closes the environment and the agent. The handle must not be used any more; if it is, that fails with RLAY_CLOSED.
/// An error says that the environment's own close failed; the agent is closed all the same. The thread of `agent`;
/// blocks until the environment is closed, for a few seconds at most.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_agent_close(agent: *mut rlay_Agent) -> rlay_Status {
    status(|| {
        let handle = AGENTS.remove(agent)?;
        let mut state = handle.lock()?;
        state.env.close()
    })
}
