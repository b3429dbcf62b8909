//! LaunchedPrograms: the programs that this process has launched, which end side by side.

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::process::Process;
use crate::{
    endpoint::wait::{SLICE, Wait},
    error::Result,
};

/// Bounds closing an environment while others are open, which may be about to be closed, too. The rest goes on beside
/// that.
pub(in crate::endpoint) const GRACE: Duration = Duration::from_millis(250);
/// How long what was killed is waited for.
const KILLED: Duration = Duration::from_secs(1);

/// The programs of one process.
#[derive(Debug)]
pub(in crate::endpoint) struct LaunchedPrograms {
    pid: u32,
    census: Mutex<Census>,
    /// Those of a child that was forked from it.
    forked: OnceLock<Box<Self>>,
}

#[derive(Debug, Default)]
struct Census {
    /// How many have an environment that is not closed.
    open: usize,
    ending: Vec<Arc<Process>>,
}

impl LaunchedPrograms {
    /// Those of this process. A forked child has none at first, and takes no lock that another thread of its parent may
    /// have held.
    pub(in crate::endpoint) fn here() -> &'static Self {
        static FIRST: OnceLock<Box<LaunchedPrograms>> = OnceLock::new();
        let mut cell = &FIRST;
        loop {
            let new = || Box::new(Self { pid: process::id(), census: Mutex::default(), forked: OnceLock::new() });
            let found = cell.get_or_init(new);
            if found.pid == process::id() {
                return found;
            }
            cell = &found.forked;
        }
    }

    fn census(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more is open.
    pub(in crate::endpoint) fn open(&self) {
        self.census().open += 1;
    }

    /// Whether one is open besides `own` ones.
    pub(in crate::endpoint) fn has_open(&self, own: usize) -> bool {
        self.census().open > own
    }

    /// One that was open ends from now on; a thread of its own sees to that.
    pub(in crate::endpoint) fn end(&'static self, ending: Arc<Process>, timeout: Duration, why: String) {
        let mut census = self.census();
        census.open = census.open.saturating_sub(1);
        census.ending.push(ending.clone());
        drop(census);
        let (for_thread, for_thread_why) = (ending.clone(), why.clone());
        let run = move || self.see_to(&for_thread, timeout, &for_thread_why);
        if thread::Builder::new().name("rlay-ending".into()).spawn(run).is_err() {
            self.see_to(&ending, timeout, &why);
        }
    }

    fn see_to(&self, ending: &Arc<Process>, timeout: Duration, why: &str) {
        ending.end(timeout, why);
        self.census().ending.retain(|other| !Arc::ptr_eq(other, ending));
    }

    /// Waits until all that are ending have ended.
    pub(in crate::endpoint) fn wait_for_all(&self, wait: &mut Wait<'_>) -> Result<()> {
        loop {
            // Its thread takes it off the list a moment after it is done.
            let next = self.census().ending.iter().find(|process| !process.state().is_done).cloned();
            let Some(next) = next else { return Ok(()) };
            if let Err(error) = wait_for(&next, None, wait) {
                // An end of the wait means all of them.
                let all = self.census().ending.clone();
                all.iter().for_each(|process| process.signal(Signal::KILL));
                all.iter().for_each(|process| drop(process.wait(KILLED, |state| state.is_done)));
                return Err(error);
            }
        }
    }
}

/// Waits until this one has ended, or for at most `time`. If `wait` is over first, it is killed.
pub(in crate::endpoint) fn wait_for(process: &Process, time: Option<Duration>, wait: &mut Wait<'_>) -> Result<()> {
    let deadline = time.map(|time| Instant::now() + time);
    loop {
        let left = deadline.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()).min(SLICE));
        if process.wait(left, |state| state.is_done).is_done || left.is_zero() {
            return Ok(());
        }
        if let Err(error) = wait.check_interrupts() {
            process.signal(Signal::KILL);
            drop(process.wait(KILLED, |state| state.is_done));
            return Err(error);
        }
    }
}

/// Waits until every program that this process has launched and is done with has ended. Where `wait` is over first,
/// they are killed.
pub fn await_programs(wait: &mut Wait<'_>) -> Result<()> {
    LaunchedPrograms::here().wait_for_all(wait)
}
