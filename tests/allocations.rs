//! A step allocates nothing once everything is warm, neither at the agent nor at the host.

#![allow(unsafe_code)] // an allocator that counts

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use rlay::{
    Action, BoxSpace, ClientEnv, Discrete, Env, EnvError, FrameArray, Observation, ResetResult, ServerBackend, Space,
    StepResult, Value,
};
use rlay_testkit::ImageEnv;

#[path = "../examples/cartpole/mod.rs"]
#[allow(dead_code)]
mod cartpole;

use cartpole::CartPole;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator; counts the allocations of the threads that asked to be counted.
struct Counting;

impl Counting {
    fn count(&self) {
        // A thread that is ending has no such variable any more.
        if COUNTS.try_with(Cell::get).unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, SeqCst);
        }
    }
}

// SAFETY: every call is passed on to `System` unchanged, so its contract is kept; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: the caller's guarantees are those that `System` requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
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

const WARM: u64 = 500;
const STEPS: u64 = 5_000;

/// An environment that has its thread, which is the session's, counted from step [`WARM`] on.
struct Watched<E> {
    env: E,
    steps: u64,
}

impl<E: Env> Env for Watched<E> {
    type ObservationSpace = E::ObservationSpace;
    type ActionSpace = E::ActionSpace;

    fn observation_space(&self) -> &E::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &E::ActionSpace {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Observation<E>>, EnvError> {
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: Action<E>) -> Result<StepResult<Observation<E>>, EnvError> {
        self.steps += 1;
        COUNTS.set((WARM..WARM + STEPS).contains(&self.steps));
        self.env.step(action)
    }
}

/// Steps an environment over `address` with the actions that `policy` derives from its observations.
fn play<E, O>(address: &str, make: fn() -> E, policy: fn(&O::Element) -> i64) -> Result<(), EnvError>
where
    E: Env + Send + 'static,
    O: Space + 'static,
{
    let backend = ServerBackend::bind(move |_| Ok(Watched { env: make(), steps: 0 }), address, rlay::host_options())?;
    backend.start()?;
    let env = ClientEnv::connect(&backend.address().to_string(), rlay::agent_options())?;
    let mut env = env.typed::<O, Discrete>()?;
    let mut observation = env.reset(Some(7), &Value::None)?.observation;
    for step in 1..=WARM + STEPS {
        COUNTS.set(step > WARM);
        observation = env.step(policy(&observation))?.observation;
    }
    COUNTS.set(false);
    assert_eq!(ALLOCATIONS.load(SeqCst), 0, "in {STEPS} steps over {address}");
    env.close()?;
    backend.close();
    Ok(())
}

#[test]
fn a_warm_step_allocates_nothing() -> Result<(), EnvError> {
    let unix = format!("unix://{}/rlay-allocations-{}.sock", std::env::temp_dir().display(), std::process::id());
    for address in ["tcp://127.0.0.1:0", &unix] {
        // The pole is kept upright, so that its episode ends only by the time limit, which is passed.
        play::<_, BoxSpace<f32, [f32; 4]>>(
            address,
            || CartPole::new(None),
            |pole| i64::from(pole[2] + 0.3 * pole[3] + 0.02 * pole[0] + 0.04 * pole[1] > 0.0),
        )?;
        play::<_, BoxSpace<u8, FrameArray<u8>>>(address, || ImageEnv::new([84, 84, 4]), |image| (image[0] % 2).into())?;
    }
    COUNTS.set(true);
    drop(std::hint::black_box(vec![1]));
    COUNTS.set(false);
    assert_eq!(ALLOCATIONS.load(SeqCst), 1, "allocations are counted at all");
    Ok(())
}
