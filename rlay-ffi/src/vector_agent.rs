//! rlay_VectorAgent: many environments in other processes, which step at once, for a learner.

use std::{
    ffi::{c_char, c_void},
    marker::{PhantomData, PhantomPinned},
    mem::MaybeUninit,
};

use rlay::{
    CancelToken, Frame, Map, Pool, Space, Value,
    endpoint::{Element, RawVectorEnv, SlabSizes, Stack, Wait},
    session::Call,
    wire::{Frames, Seed, put_value},
};

use crate::{
    access::access as access_of,
    agent_env::{self, AgentEnv, Returned, turn_kind, with},
    handle::Handles,
    input::{give, object, set, slice, text},
    options::rlay_Options,
    spec::{rlay_Spec, spec},
    status::{Fault, Outcome, rlay_Status, rlay_Status::*, status},
    turn::rlay_TurnKind,
    value::{NONE, rlay_Value, value as shown, wrong_kind},
};

/// Many environments in other processes, which step at once: Gymnasium's VectorEnv. Each has a slot, numbered from 0.
/// It belongs to the thread that opened it: elsewhere calls fail with RLAY_WRONG_THREAD, except rlay_vector_agent_stop.
/// After rlay_vector_agent_close they fail with RLAY_CLOSED. In a forked child a vector agent of the parent must not be
/// used.
#[derive(Debug)]
pub struct rlay_VectorAgent {
    _opaque: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// What came of a reset or step of many environments. Pointers are into memory of the agent, and valid until its next
/// reset, step or late answer. Arrays have `num_envs` entries, one for each slot.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_VectorStep {
    /// How many environments there are.
    pub num_envs: u32,
    /// How many episodes have ended of which this step shows the next one already (rlay_vector_agent_final); 0 but in
    /// the mode RLAY_AUTORESET_SAME_STEP.
    pub final_count: u32,
    /// The last observation of every slot, one block in the packed form, aligned to 64 bytes: rlay_space_batch_leaf
    /// says where each leaf lies. Zeros in slots that were never reset. NULL if one of them has no packed form
    /// (rlay_vector_agent_observation_value).
    pub observations: *const u8,
    /// Its bytes, which are rlay_space_batch_size; 0 without.
    pub observations_length: usize,
    /// The rewards; they mean nothing after a reset.
    pub rewards: *const f64,
    /// Where the task has ended the episode.
    pub terminations: *const bool,
    /// Where something else has ended the episode.
    pub truncations: *const bool,
}

/// The end of an episode whose slot has begun the next one in the same step: Gymnasium's final_obs and final_info.
/// Pointers are valid as long as those of rlay_VectorStep.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rlay_Final {
    /// The slot.
    pub slot: u32,
    /// The last observation of the episode in the packed form, which may lie at any address: copy it into a struct.
    /// NULL if it is none.
    pub observation: *const u8,
    /// Its bytes; 0 without.
    pub observation_length: usize,
    /// The same as a value, where `observation` is NULL; otherwise NULL.
    pub observation_value: *const rlay_Value,
    /// The info of its last step, a dict.
    pub info: *const rlay_Value,
}

/// Which side begins the next episode where one has ended, and when: Gymnasium's AutoresetMode. The numbers are those of
/// docs/wire.md, section 8.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_AutoresetMode {
    /// The learner, with a reset of these slots.
    RLAY_AUTORESET_DISABLED = 0,
    /// The next step, which ignores the action of the slot: its row is the first of an episode.
    RLAY_AUTORESET_NEXT_STEP = 1,
    /// The step that ends the episode: its row has the first observation of the next one.
    RLAY_AUTORESET_SAME_STEP = 2,
}

struct VectorState {
    env: AgentEnv<RawVectorEnv>,
    /// The actions, encoded.
    actions: Vec<u8>,
    /// The observations of all slots, where those that came have others behind them.
    stacked: Option<Frame>,
    pool: Pool,
    all: Vec<u32>,
    /// The observations that were asked for as values.
    values: Vec<Option<rlay_Value>>,
    /// A list of one for each slot.
    returned: Returned,
    /// Whether there was a reset.
    has_rows: bool,
}

static AGENTS: Handles<VectorState> = Handles::new();
static NOTHING: rlay_Value = rlay_Value(Value::Dict(Map::new()));

impl VectorState {
    fn new((address, env): (String, AgentEnv<RawVectorEnv>)) -> (String, Self) {
        let state = Self {
            env,
            actions: Vec::new(),
            stacked: None,
            pool: Pool::new(),
            all: Vec::new(),
            values: Vec::new(),
            returned: Returned::default(),
            has_rows: false,
        };
        (address, state)
    }

    /// How many environments there are, which are waited for first.
    fn num_envs(&mut self, cancel: &CancelToken) -> Outcome<usize> {
        let slots = self.env.call(cancel, |env, _| Ok(env.spec().slots))?;
        if self.all.is_empty() {
            self.all.extend(0..slots);
            self.values.resize_with(slots as usize, || None);
        }
        Ok(slots as usize)
    }

    /// Makes a call that brings rows, and says where they lie.
    fn rows(
        &mut self,
        cancel: &CancelToken,
        run: impl FnOnce(&mut RawVectorEnv, &mut Vec<u8>, &mut Wait<'_>) -> rlay::Result<()>,
    ) -> Outcome<rlay_VectorStep> {
        self.num_envs(cancel)?;
        self.forget_values();
        let Self { env, actions, .. } = self;
        env.call(cancel, |env, wait| run(env, actions, wait))?;
        self.results()
    }

    /// Forgets the observations that were asked for as values: others are about to come.
    fn forget_values(&mut self) {
        self.values.iter_mut().for_each(|value| *value = None);
    }

    /// Says where the rows lie that a call has brought.
    fn results(&mut self) -> Outcome<rlay_VectorStep> {
        let Self { env, stacked, pool, all, has_rows, .. } = self;
        *has_rows = true;
        // The memory is there for the next one.
        *stacked = None;
        let (remote, num_envs) = (env.remote()?, all.len());
        let results = remote.results();
        let observations = match remote.observations().packed() {
            Some((packed, rows)) if rows == num_envs => Some(packed),
            Some(_) => {
                *stacked = remote.observations().stack(all, pool);
                stacked.as_deref()
            }
            None => None,
        };
        Ok(rlay_VectorStep {
            num_envs: num_envs as u32,
            final_count: results.lasts.len() as u32,
            observations: observations.map_or(std::ptr::null(), <[u8]>::as_ptr),
            observations_length: observations.map_or(0, <[u8]>::len),
            rewards: results.rewards.as_ptr(),
            terminations: results.terminations.as_ptr(),
            truncations: results.truncations.as_ptr(),
        })
    }

    /// Keeps what a render came to, and says where it lies.
    fn keep_frames(&mut self, frames: Frames) -> *const rlay_Value {
        self.returned.keep(Some(Value::List(frames.0.into_iter().map(|(_, frame)| frame).collect())))
    }

    /// Keeps what an attribute came to, and says where it lies.
    fn keep_returned(&mut self, returned: Vec<Option<Value>>) -> *const rlay_Value {
        let is_function = returned.iter().all(Option::is_none);
        let values = || Value::List(returned.into_iter().map(Option::unwrap_or_default).collect());
        self.returned.keep((!is_function).then(values))
    }

    /// The environments, once there is something to read of them.
    fn read(&mut self) -> Outcome<&mut RawVectorEnv> {
        match self.has_rows {
            true => self.env.remote(),
            false => Err(Fault::new(RLAY_RESET_NEEDED, "there is no result yet; reset first")),
        }
    }
}

fn no_slot(slot: u32, num_envs: usize) -> Fault {
    Fault::new(RLAY_NOT_FOUND, format!("there is no slot {slot}, for there are {num_envs}"))
}

/// Dials the host that listens at `address` (UTF-8 of `length` bytes), and has it make as many environments as
/// rlay_options_set_num_envs says. `options` may be NULL for the defaults; both are copied. On success *agent is a
/// handle, to be closed with rlay_vector_agent_close; otherwise NULL.
///
/// Any thread, to which the agent then belongs. Blocks until the environments are made, at most for the connect
/// timeout.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_connect(
    address: *const c_char,
    length: usize,
    options: Option<&rlay_Options>,
    agent: Option<&mut MaybeUninit<*mut rlay_VectorAgent>>,
) -> rlay_Status {
    let connect = |address: &str, options: &rlay_Options| AgentEnv::dialed(address, options).map(VectorState::new);
    agent_env::open(&AGENTS, (address, length), options, connect, agent)
}

/// Listens at `address` for environments, which dial in (rlay_env_dial), as many as rlay_options_set_num_envs says. The
/// rest is as with rlay_vector_agent_connect. rlay_vector_agent_address says with which port, where 0 was asked for.
/// The first call that needs the environments waits for them, at most for the connect timeout.
///
/// Any thread, to which the agent then belongs. It does not block but for looking up a name in the address.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_listen(
    address: *const c_char,
    length: usize,
    options: Option<&rlay_Options>,
    agent: Option<&mut MaybeUninit<*mut rlay_VectorAgent>>,
) -> rlay_Status {
    let listen = |address: &str, options: &rlay_Options| AgentEnv::listening(address, options).map(VectorState::new);
    agent_env::open(&AGENTS, (address, length), options, listen, agent)
}

/// The address at which a vector agent listens, with its real port, or that it has dialed: UTF-8 of *length bytes
/// without a NUL behind it, which are RLay's and valid until rlay_vector_agent_close. The thread of `agent`; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_address(
    agent: *const rlay_VectorAgent,
    address: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    agent_env::address(&AGENTS, agent, address, length)
}

/// What the environments say of themselves; rlay_spec_slots of it is how many there are, and its spaces are those of
/// one environment. *found lies in the agent, and is valid until rlay_vector_agent_close. The thread of `agent`; blocks
/// only where the agent listens and not all environments have dialed in yet.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_spec(
    agent: *mut rlay_VectorAgent,
    found: Option<&mut MaybeUninit<*const rlay_Spec>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = agent.env.call(&handle.cancel, |env, _| Ok(&raw const *spec(env.spec())))?;
        set(found, place, "found")
    })
}

/// Gymnasium's reset. `seed` points to the seed of slot 0, to which each further slot adds its number, or is NULL for
/// none. `mask` has `num_envs` bytes, of which those that are not 0 say which slots are reset, Gymnasium's reset_mask;
/// NULL for all. `options` is a dict or NULL for None. All three are read during the call. *first says what came of it:
/// slots that were not reset are as they were. The thread of `agent`; blocks until all environments answer, at most for
/// the timeout of the options; rlay_vector_agent_stop ends it.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_reset(
    agent: *mut rlay_VectorAgent,
    seed: Option<&u64>,
    mask: *const u8,
    mask_length: usize,
    options: Option<&rlay_Value>,
    first: Option<&mut MaybeUninit<rlay_VectorStep>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = first.ok_or_else(|| Fault::null("first"))?;
        let num_envs = agent.num_envs(&handle.cancel)?;
        let mask = match mask.is_null() && mask_length == 0 {
            true => None,
            false => Some(slice(mask, mask_length, "mask")?),
        };
        if mask.is_some_and(|mask| mask.len() != num_envs) {
            let text = format!("a mask of {mask_length} bytes for {num_envs} environments; give one for each");
            return Err(Fault::new(RLAY_INVALID_ARGUMENT, text));
        }
        let seed_of = |slot: u32| seed.map(|seed| Seed::from(seed.wrapping_add(slot.into())));
        let slots = (0..num_envs as u32).filter(|slot| mask.is_none_or(|mask| mask[*slot as usize] != 0));
        let rows: Vec<_> = slots.map(|slot| (slot, seed_of(slot))).collect();
        let options = &options.unwrap_or(NONE).0;
        place.write(agent.rows(&handle.cancel, |env, _, wait| env.reset(&rows, options, wait))?);
        Ok(())
    })
}

/// Gymnasium's step of all slots. `actions` has `length` bytes, one block with the actions of all slots in the packed
/// form, as rlay_space_batch_leaf says of the action space: for a Box the arrays one after another; for a Discrete an
/// int64_t for each slot, and then a byte for each, which says whether that is a NumPy scalar. It is read during the
/// call, but for the bytes between leaves. *next says what came of it.
///
/// If it fails in one slot, the error says in which, and the others have taken their steps all the same. The thread of
/// `agent`; blocks as rlay_vector_agent_reset does. After RLAY_TIMEOUT only two calls go on: rlay_vector_agent_late,
/// which fetches the late answers, and a reset, which drops them. Once it is warm, a step whose actions and
/// observations are packed, whose infos are empty and in which no episode ends allocates nothing.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_step(
    agent: *mut rlay_VectorAgent,
    actions: *const c_void,
    length: usize,
    next: Option<&mut MaybeUninit<rlay_VectorStep>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = next.ok_or_else(|| Fault::null("next"))?;
        let actions = slice(actions.cast::<u8>(), length, "actions")?;
        let num_envs = agent.num_envs(&handle.cancel)?;
        agent.env.pack(&handle.cancel, (actions, num_envs), &mut agent.actions)?;
        place.write(agent.rows(&handle.cancel, |env, actions, wait| env.step(true, actions, wait))?);
        Ok(())
    })
}

/// The same with actions as values, for any space: a list or tuple of one for each slot, which is read during the call.
/// The thread of `agent`; blocks as rlay_vector_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_step_value(
    agent: *mut rlay_VectorAgent,
    actions: Option<&rlay_Value>,
    next: Option<&mut MaybeUninit<rlay_VectorStep>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let place = next.ok_or_else(|| Fault::null("next"))?;
        let actions = match &object(actions, "actions")?.0 {
            Value::List(actions) | Value::Tuple(actions) => actions,
            other => return Err(wrong_kind(other, "list or tuple of actions")),
        };
        let num_envs = agent.num_envs(&handle.cancel)?;
        if actions.len() != num_envs {
            let text = format!("{} actions for {num_envs} environments; give one for each", actions.len());
            return Err(Fault::new(RLAY_INVALID_ACTION, text));
        }
        let step = agent.rows(&handle.cancel, |env, buffer, wait| {
            let is_packed = write_values(env, actions, buffer)?;
            env.step(is_packed, buffer, wait)
        })?;
        place.write(step);
        Ok(())
    })
}

/// Writes actions, and says whether all of them are packed.
fn write_values(env: &RawVectorEnv, actions: &[Value], out: &mut Vec<u8>) -> rlay::Result<bool> {
    let space = &env.spec().action_space;
    out.clear();
    if let Some(sizes) = SlabSizes::of(space) {
        let (mut stack, mut action) = (Stack::new(sizes), Vec::new());
        for value in actions {
            action.clear();
            if !space.pack(value, &mut action) {
                break;
            }
            stack.push(&action)?;
        }
        if stack.rows() == actions.len() {
            stack.finish(out);
            return Ok(true);
        }
    }
    actions.iter().for_each(|value| put_value(out, value));
    Ok(false)
}

/// Gymnasium's render of all slots. *frames is a list with the frame of each slot. It is the agent's, and valid until the
/// next render or attribute. The thread of `agent`; blocks as rlay_vector_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_render(
    agent: *mut rlay_VectorAgent,
    frames: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let drawn = agent.env.call(&handle.cancel, |env, wait| env.render(wait))?;
        set(frames, agent.keep_frames(drawn), "frames")
    })
}

/// Gets, sets or calls an attribute of all environments, as Gymnasium's get_attr, set_attr and call do. The rest is as with
/// rlay_agent_attribute, but that RLAY_SET takes a list or tuple of one value for each slot, and that *found is a list
/// with what came of it in each slot; NULL for RLAY_GET of a function. The thread of `agent`; blocks as
/// rlay_vector_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_attribute(
    agent: *mut rlay_VectorAgent,
    name: *const c_char,
    length: usize,
    access: u32,
    value: Option<&rlay_Value>,
    kwargs: Option<&rlay_Value>,
    found: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let (name, access) = (text(name, length, "name")?, access_of(access, value, kwargs, true)?);
        let returned = agent.env.call(&handle.cancel, |env, wait| env.attribute(name, access, wait))?;
        set(found, agent.keep_returned(returned), "found")
    })
}

/// The answer to a call that failed with RLAY_TIMEOUT: it is late, and no other call than a reset goes on before it is
/// here. *kind says which call that was: RLAY_TURN_RESET and RLAY_TURN_STEP, of which *next says what came, or
/// RLAY_TURN_RENDER and RLAY_TURN_ATTRIBUTE, of which *value is what rlay_vector_agent_render and
/// rlay_vector_agent_attribute give. The other is not written. Each of the two may be NULL. RLAY_USAGE if no answer is
/// late, RLAY_TIMEOUT if not all of it comes within the timeout of the options: it is late still. The thread of `agent`;
/// blocks as rlay_vector_agent_reset does.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_late(
    agent: *mut rlay_VectorAgent,
    kind: Option<&mut MaybeUninit<rlay_TurnKind>>,
    next: Option<&mut MaybeUninit<rlay_VectorStep>>,
    value: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, handle| {
        let kind = kind.ok_or_else(|| Fault::null("kind"))?;
        agent.forget_values();
        let call = agent.env.call(&handle.cancel, |env, wait| env.late(wait))?;
        kind.write(turn_kind(call));
        match call {
            Call::Reset | Call::Step => give(next, agent.results()?),
            Call::Render => {
                let frames = agent.env.remote()?.take_frames();
                give(value, agent.keep_frames(frames));
            }
            Call::Attribute => {
                let returned = agent.env.remote()?.take_returned();
                give(value, agent.keep_returned(returned));
            }
        }
        Ok(())
    })
}

/// The info that the last reset or step brought of a slot, a dict, which is empty where it brought none. It is the
/// agent's, and valid until its next reset or step. The thread of `agent`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_info(
    agent: *mut rlay_VectorAgent,
    slot: u32,
    info: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, _| {
        let env = agent.read()?;
        if slot >= env.spec().slots {
            return Err(no_slot(slot, env.spec().slots as usize));
        }
        let infos = &env.results().infos;
        let found = infos.binary_search_by_key(&slot, |(slot, _)| *slot).map(|at| shown(&infos[at].1));
        set(info, &raw const *found.unwrap_or(&NOTHING), "info")
    })
}

/// The end number `index`, counted from 0, of the rlay_VectorStep's final_count episodes, in the order of their slots;
/// RLAY_NOT_FOUND if there is none. The thread of `agent`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_final(
    agent: *mut rlay_VectorAgent,
    index: u32,
    found: Option<&mut MaybeUninit<rlay_Final>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, _| {
        let lasts = &agent.read()?.results().lasts;
        let none = || Fault::new(RLAY_NOT_FOUND, format!("there is no end {index}, for there are {}", lasts.len()));
        let last = lasts.get(index as usize).ok_or_else(none)?;
        let (packed, value) = match &last.observation {
            Element::Packed(packed) => (Some(packed), std::ptr::null()),
            Element::Value(value) => (None, &raw const *shown(value)),
        };
        let end = rlay_Final {
            slot: last.slot,
            observation: packed.map_or(std::ptr::null(), Vec::as_ptr),
            observation_length: packed.map_or(0, Vec::len),
            observation_value: value,
            info: &raw const *shown(&last.info),
        };
        set(found, end, "found")
    })
}

/// The last observation of a slot as a value, packed or not. It is the agent's, and valid until its next reset or step.
/// The thread of `agent`; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_observation_value(
    agent: *mut rlay_VectorAgent,
    slot: u32,
    observation: Option<&mut MaybeUninit<*const rlay_Value>>,
) -> rlay_Status {
    with(&AGENTS, agent, |agent, _| {
        let num_envs = agent.values.len();
        agent.read()?;
        let Some(kept) = agent.values.get_mut(slot as usize) else { return Err(no_slot(slot, num_envs)) };
        let value = match kept {
            Some(value) => value,
            None => {
                let env = agent.env.remote()?;
                let space = env.spec().observation_space.clone();
                kept.insert(rlay_Value(env.observations_mut().element(slot as usize, &space)?))
            }
        };
        set(observation, &raw const *value, "observation")
    })
}

/// Ends a call of the agent that is under way, and all later ones, with RLAY_CLOSED. Any thread, but no signal handler;
/// does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_stop(agent: *mut rlay_VectorAgent) -> rlay_Status {
    status(|| {
        AGENTS.find(agent)?.cancel.cancel();
        Ok(())
    })
}

/// Closes the environments and the agent. The handle must not be used any more; if it is, that fails with RLAY_CLOSED.
/// An error says that the close of an environment failed; the agent is closed all the same. The thread of `agent`;
/// blocks until the environments are closed, for a few seconds at most.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_vector_agent_close(agent: *mut rlay_VectorAgent) -> rlay_Status {
    status(|| {
        let handle = AGENTS.remove(agent)?;
        let mut state = handle.lock()?;
        state.env.close()
    })
}
