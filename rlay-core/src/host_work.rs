//! Queues: what the threads of a host have to do, and what they have done.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use smallvec::SmallVec;

use crate::{
    error::Result,
    host_vector::VectorOutcome,
    value::Value,
    wake_flag::WakeFlag,
    wire::{Attribute, Frames, Limits, Reset, Returned},
};

/// What a request asks of environments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Task {
    /// To start episodes.
    Reset,
    /// To take actions.
    #[default]
    Step,
    /// To draw frames.
    Render,
    /// To get, set or call an attribute.
    Attribute,
}

/// What one thread does of a request, and what came of it, in buffers that serve again.
#[derive(Debug)]
pub(crate) struct Part {
    /// Which thread.
    pub(crate) thread: usize,
    pub(crate) task: Task,
    /// The slots, and their rows in the request.
    pub(crate) slots: Vec<u32>,
    pub(crate) rows: Vec<usize>,
    /// The actions of a step.
    pub(crate) packed: bool,
    pub(crate) actions: Vec<u8>,
    pub(crate) limits: Limits,
    pub(crate) reset: Reset,
    /// What came of it.
    pub(crate) result: Result<()>,
    pub(crate) outcome: VectorOutcome,
    /// How many bytes of infos, and of observations as values, are those of rows without `last`.
    pub(crate) first_infos: usize,
    pub(crate) first_values: usize,
    pub(crate) frames: Frames,
    /// What is asked of an attribute, and what came of it.
    pub(crate) attribute: Option<Attribute>,
    pub(crate) returned: Returned,
    /// Which of the requests under way it belongs to.
    request: usize,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            thread: 0,
            task: Task::default(),
            slots: Vec::new(),
            rows: Vec::new(),
            packed: false,
            actions: Vec::new(),
            limits: Limits::default(),
            reset: Reset { rows: SmallVec::new(), options: Value::None },
            result: Ok(()),
            outcome: VectorOutcome::default(),
            first_infos: 0,
            first_values: 0,
            frames: Frames(SmallVec::new()),
            attribute: None,
            returned: Returned::default(),
            request: 0,
        }
    }
}

impl Part {
    /// The same buffers for something else.
    pub(crate) fn emptied(mut self, thread: usize) -> Self {
        self.slots.clear();
        self.rows.clear();
        self.actions.clear();
        Self { thread, ..self }
    }
}

/// A request under way.
#[derive(Debug)]
struct UnderWay {
    request: u64,
    task: Task,
    /// How many parts are not done, and those that are.
    left: usize,
    parts: Vec<Part>,
}

/// What to do for each thread, and the requests that are done for the session's.
#[derive(Debug)]
pub(crate) struct Queues {
    state: Mutex<State>,
    /// For each thread: tells that there is something to do.
    work: Vec<Condvar>,
    /// Set while a request is done, which the lock on the state sees to.
    flag: WakeFlag,
}

#[derive(Debug)]
struct State {
    todo: Vec<VecDeque<Part>>,
    /// The requests under way, some of which are vacant.
    requests: Vec<UnderWay>,
    vacant: Vec<usize>,
    /// Those that are done, in the order in which they were.
    done: VecDeque<usize>,
    is_ending: bool,
}

impl Queues {
    /// For so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let todo = (0..threads).map(|_| VecDeque::new()).collect();
        let (requests, vacant, done) = (Vec::new(), Vec::new(), VecDeque::new());
        let state = Mutex::new(State { todo, requests, vacant, done, is_ending: false });
        Self { state, work: (0..threads).map(|_| Condvar::new()).collect(), flag: WakeFlag::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is set while a request is done.
    pub(crate) fn flag(&self) -> &WakeFlag {
        &self.flag
    }

    /// Session: begins a request of these parts, which are at most one for each thread.
    pub(crate) fn begin(&self, request: u64, task: Task, parts: &mut Vec<Part>) {
        let mut state = self.state();
        let at = state.vacant.pop().unwrap_or_else(|| {
            state.requests.push(UnderWay { request, task, left: 0, parts: Vec::new() });
            state.requests.len() - 1
        });
        let under_way = &mut state.requests[at];
        (under_way.request, under_way.task, under_way.left) = (request, task, parts.len());
        let threads: SmallVec<[usize; 8]> = parts.iter().map(|part| part.thread).collect();
        for part in parts.drain(..) {
            let thread = part.thread;
            state.todo[thread].push_back(Part { task, request: at, ..part });
        }
        // A thread that wakes up needs the lock.
        drop(state);
        threads.iter().for_each(|thread| self.work[*thread].notify_one());
    }

    /// Thread: the next part; waits for it. `None`: the thread is to end.
    pub(crate) fn next(&self, thread: usize) -> Option<Part> {
        let mut state = self.state();
        loop {
            if state.is_ending {
                return None;
            }
            if let Some(part) = state.todo[thread].pop_front() {
                return Some(part);
            }
            state = self.work[thread].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Thread: a part is done.
    pub(crate) fn finish(&self, part: Part) {
        let mut state = self.state();
        let at = part.request;
        let under_way = &mut state.requests[at];
        under_way.parts.push(part);
        under_way.left -= 1;
        if under_way.left == 0 {
            state.done.push_back(at);
            self.flag.wake();
        }
    }

    /// Session: whether a request is done; else clears the flag.
    pub(crate) fn has_done(&self) -> bool {
        let state = self.state();
        if state.done.is_empty() {
            self.flag.rearm();
        }
        !state.done.is_empty()
    }

    /// Session: a request that is done, its parts into `parts`, which is empty.
    pub(crate) fn take_done(&self, parts: &mut Vec<Part>) -> Option<(u64, Task)> {
        let mut state = self.state();
        let at = state.done.pop_front()?;
        state.vacant.push(at);
        let under_way = &mut state.requests[at];
        std::mem::swap(parts, &mut under_way.parts);
        Some((under_way.request, under_way.task))
    }

    /// Session: tells all threads to end. What they have not begun is dropped.
    pub(crate) fn end(&self) {
        self.state().is_ending = true;
        self.work.iter().for_each(Condvar::notify_all);
    }
}
