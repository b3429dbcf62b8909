//! A poll, an action and an answer allocate nothing once everything is warm, nor does a step of an agent, of one
//! environment or of many.

#![allow(unsafe_code)] // C's functions

use std::{mem::MaybeUninit, ptr, slice, sync::mpsc, thread};

use rlay_ffi::{
    agent::{rlay_Agent, rlay_Step, rlay_agent_close, rlay_agent_connect, rlay_agent_reset, rlay_agent_step},
    env::{rlay_Env, rlay_env_action_int, rlay_env_address, rlay_env_close, rlay_env_listen, rlay_env_poll},
    options::{rlay_options_new, rlay_options_set_num_envs},
    reply::{rlay_Result, rlay_env_reply},
    space::rlay_space_discrete,
    space_reader::rlay_Discrete,
    spec::{rlay_spec_new, rlay_spec_set_slots},
    status::rlay_Status,
    turn::{rlay_Turn, rlay_TurnKind},
    vector_agent::{
        rlay_VectorAgent, rlay_VectorStep, rlay_vector_agent_close, rlay_vector_agent_connect, rlay_vector_agent_reset,
        rlay_vector_agent_step,
    },
};
use rlay_testkit::allocations::{self, CountingAllocator, count_here};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SLOTS: u32 = 4;
const WARM: u64 = 200;
const STEPS: u64 = 1000;

fn ok(status: rlay_Status) {
    assert_eq!(status, rlay_Status::RLAY_OK);
}

/// Hosts environments until their agent leaves.
fn host(address: &str, slots: u32, told: &mpsc::Sender<String>) {
    let mut spec = rlay_spec_new(rlay_space_discrete(8, 0), rlay_space_discrete(8, 0));
    ok(rlay_spec_set_slots(spec.as_deref_mut(), slots));
    let mut env = MaybeUninit::<*mut rlay_Env>::uninit();
    ok(rlay_env_listen(address.as_ptr().cast(), address.len(), spec.as_deref(), None, Some(&mut env)));
    // SAFETY: it was opened.
    let env = unsafe { env.assume_init() };
    let (mut start, mut length) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    ok(rlay_env_address(env, Some(&mut start), Some(&mut length)));
    // SAFETY: the address of an open environment.
    let text = unsafe { slice::from_raw_parts(start.assume_init().cast::<u8>(), length.assume_init()) };
    told.send(String::from_utf8_lossy(text).into_owned()).expect("the agent waits");
    let mut steps = 0;
    loop {
        let mut turn = MaybeUninit::<rlay_Turn>::uninit();
        let of_each = steps / u64::from(slots);
        count_here((WARM..WARM + STEPS).contains(&of_each));
        ok(rlay_env_poll(env, Some(&mut turn)));
        // SAFETY: a poll writes all of it.
        let turn = unsafe { turn.assume_init() };
        match turn.kind {
            // Most polls are such ones.
            rlay_TurnKind::RLAY_TURN_NONE => continue,
            rlay_TurnKind::RLAY_TURN_STEP => steps += 1,
            _ => count_here(false),
        }
        if turn.kind == rlay_TurnKind::RLAY_TURN_CLOSE {
            break;
        }
        let mut action = MaybeUninit::new(0);
        if turn.kind == rlay_TurnKind::RLAY_TURN_STEP {
            ok(rlay_env_action_int(env, Some(&turn), Some(&mut action)));
        }
        // SAFETY: it began as zero.
        let observation = rlay_Discrete { value: unsafe { action.assume_init() }, is_numpy: 1, padding: [0; 7] };
        let result = rlay_Result {
            observation: (&raw const observation).cast(),
            observation_length: size_of::<rlay_Discrete>(),
            observation_value: ptr::null(),
            reward: 1.0,
            terminated: 0,
            truncated: 0,
            info: ptr::null(),
        };
        ok(rlay_env_reply(env, Some(&turn), Some(&result)));
    }
    ok(rlay_env_close(env));
}

/// Steps one environment.
fn play(address: &str) {
    let mut agent = MaybeUninit::<*mut rlay_Agent>::uninit();
    ok(rlay_agent_connect(address.as_ptr().cast(), address.len(), None, Some(&mut agent)));
    // SAFETY: it was opened.
    let agent = unsafe { agent.assume_init() };
    let mut step = MaybeUninit::<rlay_Step>::uninit();
    ok(rlay_agent_reset(agent, None, None, Some(&mut step)));
    for number in 0..WARM + STEPS {
        count_here(number > WARM);
        let action = rlay_Discrete { value: (number % 8) as i64, is_numpy: 0, padding: [0; 7] };
        ok(rlay_agent_step(agent, (&raw const action).cast(), size_of_val(&action), Some(&mut step)));
        // SAFETY: the observation of a step, which is an element of a Discrete.
        let seen = unsafe { step.assume_init_ref().observation.cast::<i64>().read() };
        assert_eq!(seen, action.value);
    }
    count_here(false);
    ok(rlay_agent_close(agent));
}

/// Steps several environments of one session.
fn play_many(address: &str) {
    let mut options = rlay_options_new();
    ok(rlay_options_set_num_envs(options.as_deref_mut(), SLOTS));
    let mut agent = MaybeUninit::<*mut rlay_VectorAgent>::uninit();
    ok(rlay_vector_agent_connect(address.as_ptr().cast(), address.len(), options.as_deref(), Some(&mut agent)));
    // SAFETY: it was opened.
    let agent = unsafe { agent.assume_init() };
    let mut step = MaybeUninit::<rlay_VectorStep>::uninit();
    ok(rlay_vector_agent_reset(agent, None, ptr::null(), 0, None, Some(&mut step)));
    for number in 0..WARM + STEPS {
        count_here(number > WARM);
        let values: [i64; SLOTS as usize] = std::array::from_fn(|slot| ((number + slot as u64) % 8) as i64);
        // Where none is marked as a NumPy scalar.
        let actions: [i64; SLOTS as usize + 1] = std::array::from_fn(|at| values.get(at).copied().unwrap_or(0));
        ok(rlay_vector_agent_step(agent, (&raw const actions).cast(), size_of_val(&actions), Some(&mut step)));
        // SAFETY: the observations of a step, elements of a Discrete, of which the numbers come first.
        let seen = unsafe {
            let step = step.assume_init_ref();
            assert_eq!(step.num_envs, SLOTS);
            slice::from_raw_parts(step.observations.cast::<i64>(), SLOTS as usize)
        };
        assert_eq!(seen, values);
    }
    count_here(false);
    ok(rlay_vector_agent_close(agent));
}

fn count_over(address: String, slots: u32, play: fn(&str)) {
    let (sender, told) = mpsc::channel();
    let host = thread::spawn(move || host(&address, slots, &sender));
    let address = told.recv().expect("where it listens");
    play(&address);
    host.join().expect("it does not panic");
    assert_eq!(allocations::number(), 0, "over {address} with {slots} slots");
}

#[test]
fn a_warm_step_allocates_nothing() {
    let mut addresses = vec!["tcp://127.0.0.1:0".to_owned()];
    if cfg!(target_os = "linux") {
        addresses.push(format!("shm://ffi-allocations-{}", std::process::id()));
    }
    for address in addresses {
        count_over(address.clone(), 1, play);
        count_over(address, SLOTS, play_many);
    }
    count_here(true);
    drop(std::hint::black_box(vec![1]));
    count_here(false);
    assert_eq!(allocations::number(), 1, "allocations are counted at all");
}
