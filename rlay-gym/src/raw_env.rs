//! RawEnv: an environment in another process, as `ClientEnv` and `ServerEnv` hold it: bytes ⇄ Python objects.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyInt, PyTuple},
};
use rlay_core::{
    Error, ErrorKind, Value,
    endpoint::{self, Answer, RawEnv as CoreEnv, Search, Wait},
    session::Call,
    violation,
    wire::Seed,
};

use crate::{
    attributes,
    building::{Builder, Unbuilt, from_value},
    error::{self, raise},
    options::{self, AgentOptions},
    packing::{Tree, read_value},
    space::to_py,
    value::{to_data, to_value},
    waiting::{seconds, wait, wait_raw},
};

/// An environment in another process. One thread at a time; a call from a second one raises Busy.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct RawEnv {
    state: Mutex<State>,
    /// The search for another environment, which another thread may end.
    search: Search,
    /// The process that opened the session.
    pid: u32,
}

struct State {
    raw: CoreEnv,
    observations: Tree,
    actions: Tree,
    action: Vec<u8>,
    /// Whether the last observation came as the space packs it.
    packed: bool,
    /// An answer that has come, and of which no objects were built yet.
    received: Option<(Call, Answer)>,
}

impl RawEnv {
    pub(crate) fn new(py: Python<'_>, raw: CoreEnv) -> PyResult<Self> {
        let observations = Tree::new(py, &raw.spec().observation_space)?;
        let actions = Tree::new(py, &raw.spec().action_space)?;
        let search = raw.search().clone();
        let state = State { raw, observations, actions, action: Vec::new(), packed: true, received: None };
        Ok(Self { state: Mutex::new(state), search, pid: std::process::id() })
    }

    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        lock(py, &self.state, self.pid)
    }
}

/// Locks what one thread at a time may use, in the process that opened the session, `pid`.
pub(crate) fn lock<'s, T>(py: Python<'_>, state: &'s Mutex<T>, pid: u32) -> PyResult<MutexGuard<'s, T>> {
    state.try_lock().map_err(|_| {
        let (kind, text) = if pid == std::process::id() {
            (
                ErrorKind::Busy,
                "another thread is in a call of this environment; give each thread an environment of its own",
            )
        } else {
            // A thread was in a call when the process forked, and does not exist here to end the call.
            (ErrorKind::Usage, "this environment belongs to the parent process; open it in the child")
        };
        error::new(py, kind, text)
    })
}

/// A non-negative int of any size.
pub(crate) fn seed(seed: &Bound<'_, PyInt>) -> PyResult<Seed> {
    if let Ok(small) = seed.extract::<u64>() {
        return Ok(small.into());
    }
    let bytes: Vec<u8> = seed.py().import("rlay._values")?.call_method1("seed_to_bytes", (seed,))?.extract()?;
    Ok(Seed(bytes.into()))
}

impl Drop for State {
    /// Never blocks, for the GIL is held meanwhile.
    fn drop(&mut self) {
        self.raw.let_go();
    }
}

/// Waits until every program that was launched and is not needed any more has ended.
#[pyfunction]
pub(crate) fn await_programs(py: Python<'_>) -> PyResult<()> {
    wait(py, None, endpoint::await_programs)
}

/// Closes environments side by side, except those that another thread has in a call and launched programs.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>, envs: Vec<Py<RawEnv>>) -> PyResult<()> {
    let states = envs.iter().filter_map(|env| env.get().state.try_lock().ok());
    let mut states: Vec<_> = states.filter(|state| state.raw.log().is_none()).collect();
    let envs: Vec<_> = states.iter_mut().map(|state| &mut state.raw).collect();
    wait(py, None, |wait| {
        endpoint::close_all(envs, wait);
        Ok(())
    })
}

impl State {
    /// Calls the environment without the GIL; a wait that a signal handler ends leaves the answer late.
    fn call<T: Send>(
        &mut self,
        py: Python<'_>,
        timeout: Option<f64>,
        call: impl FnOnce(&mut CoreEnv, &mut Vec<u8>, &mut Wait<'_>) -> rlay_core::Result<T> + Send,
    ) -> PyResult<T> {
        let Self { raw, action, .. } = self;
        match wait_raw(py, timeout, |wait| call(raw, action, wait)) {
            Ok(result) => result.map_err(|error| raise(py, &error)),
            Err(interrupt) => {
                self.raw.give_up();
                Err(interrupt)
            }
        }
    }

    /// The objects that `answer` to a `call` stands for. If they cannot be built by `deadline`, or a signal handler
    /// raises meanwhile, the answer is late.
    fn result<'py>(
        &mut self,
        py: Python<'py>,
        call: Call,
        answer: Answer,
        deadline: Option<Instant>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.received = Some((call, answer));
        let built = self.build(&Builder::new(py, deadline));
        if !matches!(built, Err(Unbuilt::Late | Unbuilt::Interrupted(_))) {
            self.received = None;
        }
        built.map_err(|unbuilt| unbuilt.into_error(py))
    }

    /// The tuple that `reset` or `step` returns, or the frame that `render` returns, built from the received answer.
    fn build<'py>(&mut self, builder: &Builder<'py>) -> Result<Bound<'py, PyAny>, Unbuilt> {
        let py = builder.py();
        let (row, received) = match &self.received {
            Some((_, Answer::Row(row, received))) => (row, received),
            Some((_, Answer::Frame(frame))) => return builder.build(frame),
            Some((_, Answer::Returned(value))) => return attributes::from_returned(builder, value.as_ref()),
            _ => return Err(error::new(py, ErrorKind::Protocol, "Closed where a result was due").into()),
        };
        let info = match &row.info {
            Value::Dict(map) if map.is_empty() => PyDict::new(py).into_any(),
            info => builder.build(info)?,
        };
        self.packed = received.packed;
        let as_value = match received.packed {
            true => None,
            false => Some(builder.build(&read_value(py, &received.payload())?)?),
        };
        let Some((call, Answer::Row(row, received))) = self.received.take() else {
            unreachable!("it is one, see above")
        };
        let observation = match as_value {
            Some(observation) => observation,
            None => self.observations.read_packed(py, received)?,
        };
        if call == Call::Reset {
            return Ok(PyTuple::new(py, [observation, info])?.into_any());
        }
        let flag = |x: bool| PyBool::new(py, x).to_owned().into_any();
        let Ok(reward) = row.reward.into_pyobject(py);
        let items = [observation, reward.into_any(), flag(row.terminated), flag(row.truncated), info];
        Ok(PyTuple::new(py, items)?.into_any())
    }

    /// Refuses another call while a received answer is not built.
    fn check_built(&self, py: Python<'_>) -> PyResult<()> {
        let Some((call, _)) = &self.received else { return Ok(()) };
        let text = format!("the answer to an earlier {call:?} was not fetched; late() fetches it, reset() drops it");
        Err(error::new(py, ErrorKind::Busy, text))
    }
}

#[pymethods]
impl RawEnv {
    /// Dials the host at `address`, or starts the program that an `exec:` address names, and has it make an
    /// environment.
    #[staticmethod]
    fn connect(py: Python<'_>, address: &str, options: AgentOptions<'_>) -> PyResult<Self> {
        let options = options.into_core(py)?;
        let raw = wait(py, None, |wait| CoreEnv::connect(address, options, wait))?;
        Self::new(py, raw)
    }

    /// The host's Spec: id, spaces, render mode, metadata, details and the names of attributes.
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let state = self.lock(py)?;
        let spec = state.raw.spec();
        let items = [
            spec.env_id.as_str().into_pyobject(py)?.into_any(),
            to_py(py, &spec.observation_space)?,
            to_py(py, &spec.action_space)?,
            spec.render_mode.as_deref().into_pyobject(py)?.into_any(),
            from_value(py, &spec.metadata)?,
            from_value(py, &spec.details)?,
            attributes::names(py, &spec.attributes)?,
        ];
        PyTuple::new(py, items)
    }

    fn reset<'py>(
        &self,
        py: Python<'py>,
        seed: Option<Bound<'py, PyInt>>,
        options: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut state = self.lock(py)?;
        let seed = seed.map(|x| self::seed(&x)).transpose()?;
        let options = to_data(options, "options").map_err(|refusal| refusal.into_error(py, ErrorKind::Usage))?;
        state.received = None;
        let (answer, deadline) = state.call(py, timeout, |raw, _, wait| {
            let (row, observation) = raw.reset(seed, &options, wait)?;
            Ok((Answer::Row(row, observation), wait.deadline))
        })?;
        state.result(py, Call::Reset, answer, deadline)
    }

    fn step<'py>(
        &self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut guard = self.lock(py)?;
        let state = &mut *guard;
        state.check_built(py)?;
        let packed = state.actions.write(action, &mut state.action, "action");
        let packed = packed.map_err(|refusal| refusal.into_error(py, ErrorKind::InvalidAction))?;
        if !packed && let Some(text) = state.actions.check_structure(action)? {
            return Err(error::new(py, ErrorKind::InvalidAction, format!("action{text}")));
        }
        let (answer, deadline) = state.call(py, timeout, |raw, action, wait| {
            let (row, observation) = raw.step(packed, action, wait)?;
            Ok((Answer::Row(row, observation), wait.deadline))
        })?;
        state.result(py, Call::Step, answer, deadline)
    }

    fn render<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let mut state = self.lock(py)?;
        state.check_built(py)?;
        let (frame, deadline) = state.call(py, timeout, |raw, _, wait| Ok((raw.render(wait)?, wait.deadline)))?;
        state.result(py, Call::Render, Answer::Frame(frame), deadline)
    }

    /// Gets, sets or calls an attribute: (value, whether it is a function).
    fn attribute<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        how: &str,
        values: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut state = self.lock(py)?;
        state.check_built(py)?;
        let access = attributes::to_access(how, values, kwargs)?;
        let (value, deadline) =
            state.call(py, timeout, |raw, _, wait| Ok((raw.attribute(name, access, wait)?, wait.deadline)))?;
        state.result(py, Call::Attribute, Answer::Returned(value), deadline)
    }

    /// The answer that came after its call had timed out or was interrupted, and the call.
    fn late<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<(Bound<'py, PyAny>, &'static str)> {
        let mut state = self.lock(py)?;
        let ((call, answer), deadline) = match state.received.take() {
            Some(received) => (received, Builder::deadline(seconds(timeout))),
            None => state.call(py, timeout, |raw, _, wait| Ok((raw.late(wait)?, wait.deadline)))?,
        };
        let name = match call {
            Call::Reset => "reset",
            Call::Step => "step",
            Call::Render => "render",
            Call::Attribute => "attribute",
        };
        Ok((state.result(py, call, answer, deadline)?, name))
    }

    /// Closes the environment and ends the session, within two seconds; a program that was launched is waited for. What
    /// the environment raised in its `close` is raised here. A search for another environment in another thread ends.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = match self.lock(py) {
            Err(_) if self.search.end() => return Ok(()),
            locked => locked?,
        };
        let raw = &mut state.raw;
        wait(py, None, |wait| raw.close(wait))
    }

    /// The path of the log of a launched program.
    fn log(&self, py: Python<'_>) -> PyResult<Option<PathBuf>> {
        Ok(self.lock(py)?.raw.log().map(Path::to_path_buf))
    }

    /// How often `reset` may still launch the program again.
    fn restarts(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.lock(py)?.raw.restarts())
    }

    /// Whether `reset` has searched for another environment since the last call of this method.
    fn take_searched(&self) -> bool {
        self.search.take_begun()
    }

    /// What to do from now on about an environment that vanished for good.
    fn set_on_loss(&self, py: Python<'_>, on_loss: &str) -> PyResult<()> {
        self.lock(py)?.raw.set_on_loss(options::on_loss(on_loss)?);
        Ok(())
    }

    /// Whether the last observation has another dtype, shape or type than was declared: its space has a packed form,
    /// and the observation was not packed.
    fn is_odd(&self, py: Python<'_>) -> PyResult<bool> {
        let state = self.lock(py)?;
        Ok(!state.packed && state.raw.spec().observation_space.is_fixed())
    }

    /// Which leaf of `observation` is not in its space and why, as far as the core can tell.
    fn violation(&self, py: Python<'_>, observation: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let value = to_value(observation)?;
        let state = self.lock(py)?;
        let space = &state.raw.spec().observation_space;
        Ok(py.detach(|| violation(space, &value, "observation")))
    }

    /// Ends the session, and tells the host why the environment is not used, or not any more.
    fn leave(&self, py: Python<'_>, why: String) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let raw = &mut state.raw;
        py.detach(|| raw.leave(&Error::new(ErrorKind::Usage, why)));
        Ok(())
    }

    /// Whether the environment vanished for good.
    fn is_lost(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.raw.is_lost())
    }

    /// Drops the connection without a goodbye to the peer: this is a forked child.
    fn abandon(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.raw.abandon();
        }
    }
}
