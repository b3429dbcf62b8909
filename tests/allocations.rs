//! A step allocates nothing once everything is warm, neither at the agent nor at the host.

#![allow(unsafe_code)] // an allocator that counts

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use rlay::{BoxSpace, ClientEnv, Discrete, Env, EnvError, ResetResult, ServerBackend, StepResult, Value};

#[path = "../examples/cartpole/mod.rs"]
#[allow(dead_code)]
mod cartpole;

use cartpole::CartPole;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator; counts what the threads that want to be counted ask for.
struct Counting;

impl Counting {
    fn count(&self) {
        // A thread that is going away has no such variable any more.
        if COUNTS.try_with(Cell::get).unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, SeqCst);
        }
    }
}

// SAFETY: every call is passed on to `System` as it is, so its promises are kept; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count();
        // SAFETY: the caller's promises are those that `System` asks for.
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

/// A CartPole that has its thread, which is the session's, counted from step [`WARM`] on.
struct Watched {
    env: CartPole,
    steps: u64,
}

impl Env for Watched {
    type ObservationSpace = BoxSpace<f32, [f32; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f32; 4]>, EnvError> {
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f32; 4]>, EnvError> {
        self.steps += 1;
        COUNTS.set((WARM..WARM + STEPS).contains(&self.steps));
        self.env.step(action)
    }
}

#[test]
fn a_warm_step_allocates_nothing() -> Result<(), EnvError> {
    let unix = format!("unix://{}/rlay-allocations-{}.sock", std::env::temp_dir().display(), std::process::id());
    for address in ["tcp://127.0.0.1:0", &unix] {
        let factory = |_: &_| Ok(Watched { env: CartPole::new(None), steps: 0 });
        let backend = ServerBackend::bind(factory, address, rlay::options())?;
        backend.start();
        let env = ClientEnv::connect(&backend.address().to_string(), rlay::options())?;
        let mut env = env.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
        let mut pole = env.reset(Some(7), &Value::None)?.observation;
        for step in 1..=WARM + STEPS {
            // The pole is kept upright, for its episode to have no end but the time limit, which is passed.
            COUNTS.set(step > WARM);
            pole = env.step(i64::from(pole[2] + 0.3 * pole[3] + 0.02 * pole[0] + 0.04 * pole[1] > 0.0))?.observation;
        }
        COUNTS.set(false);
        assert_eq!(ALLOCATIONS.load(SeqCst), 0, "in {STEPS} steps over {address}");
        env.close()?;
        backend.close();
    }
    COUNTS.set(true);
    drop(std::hint::black_box(vec![1]));
    COUNTS.set(false);
    assert_eq!(ALLOCATIONS.load(SeqCst), 1, "allocations are counted at all");
    Ok(())
}
