//! A poll, an action and an answer allocate nothing once everything is warm.

#![allow(unsafe_code)] // an allocator that counts, and C's functions

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    mem::MaybeUninit,
    ptr,
    sync::mpsc,
    thread,
};

use rlay::{ClientEnv, Discrete, Env, Value};
use rlay_ffi::{
    env::{rlay_Env, rlay_env_action_int, rlay_env_address, rlay_env_close, rlay_env_listen, rlay_env_poll},
    reply::{rlay_Result, rlay_env_reply},
    space::rlay_space_discrete,
    space_reader::rlay_Discrete,
    spec::rlay_spec_new,
    status::rlay_Status,
    turn::{rlay_Turn, rlay_TurnKind},
};

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The system's allocator; counts the allocations of a thread that asked to be counted.
struct Counting;

impl Counting {
    fn count(&self) {
        // A thread that is ending has no such variable any more.
        let _ = COUNT.try_with(|count| count.set(count.get().map(|n| n + 1)));
    }
}

// SAFETY: every call is passed on to `System` unchanged, so its contract is kept; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: the caller's guarantees are those that `System` requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count();
        // SAFETY: as above; `old` came from `System`.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above; `old` came from `System`.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Hosts an environment until its agent leaves; how often a step has allocated once it was warm.
fn host(address: &str, told: &mpsc::Sender<String>) -> u64 {
    let spec = rlay_spec_new(rlay_space_discrete(8, 0), rlay_space_discrete(8, 0));
    let mut env = MaybeUninit::<*mut rlay_Env>::uninit();
    let opened = rlay_env_listen(address.as_ptr().cast(), address.len(), spec.as_deref(), None, Some(&mut env));
    assert_eq!(opened, rlay_Status::RLAY_OK);
    // SAFETY: it was opened.
    let env = unsafe { env.assume_init() };
    let (mut start, mut length) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    rlay_env_address(env, Some(&mut start), Some(&mut length));
    // SAFETY: the address of an open environment.
    let text = unsafe { std::slice::from_raw_parts(start.assume_init().cast::<u8>(), length.assume_init()) };
    told.send(String::from_utf8_lossy(text).into_owned()).expect("the agent waits");
    let (mut steps, mut allocations) = (0, 0);
    loop {
        let mut turn = MaybeUninit::<rlay_Turn>::uninit();
        COUNT.set((steps > 100).then_some(0));
        let polled = rlay_env_poll(env, Some(&mut turn));
        assert_eq!(polled, rlay_Status::RLAY_OK);
        // SAFETY: a poll writes all of it.
        let turn = unsafe { turn.assume_init() };
        match turn.kind {
            rlay_TurnKind::RLAY_TURN_NONE => {
                // Most polls are such ones.
                allocations += COUNT.take().unwrap_or(0);
                continue;
            }
            rlay_TurnKind::RLAY_TURN_CLOSE => break,
            rlay_TurnKind::RLAY_TURN_STEP => steps += 1,
            _ => COUNT.set(None),
        }
        let mut action = MaybeUninit::new(0);
        if turn.kind == rlay_TurnKind::RLAY_TURN_STEP {
            assert_eq!(rlay_env_action_int(env, Some(&turn), Some(&mut action)), rlay_Status::RLAY_OK);
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
        assert_eq!(rlay_env_reply(env, Some(&turn), Some(&result)), rlay_Status::RLAY_OK);
        allocations += COUNT.take().unwrap_or(0);
    }
    COUNT.set(None);
    assert_eq!((rlay_env_close(env), steps), (rlay_Status::RLAY_OK, 1000));
    allocations
}

fn count_over(address: String) {
    let (sender, told) = mpsc::channel();
    let host = thread::spawn(move || host(&address, &sender));
    let address = told.recv().expect("where it listens");
    let env = ClientEnv::connect(&address, rlay::agent_options()).expect("it plays");
    let mut env = env.typed::<Discrete, Discrete>().expect("its spaces");
    env.reset(None, &Value::None).expect("an episode");
    for step in 0..1000 {
        assert_eq!(env.step(step % 8).expect("a step").observation, step % 8);
    }
    env.close().expect("it ends");
    assert_eq!(host.join().expect("it does not panic"), 0);
}

#[test]
fn a_step_over_tcp_allocates_nothing() {
    count_over("tcp://127.0.0.1:0".into());
}

#[cfg(target_os = "linux")]
#[test]
fn a_step_over_shared_memory_allocates_nothing() {
    count_over(format!("shm://ffi-allocations-{}", std::process::id()));
}
