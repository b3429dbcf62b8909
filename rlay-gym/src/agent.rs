//! Agent: one session with a remote environment, as `ClientEnv` and `ServerEnv` hold it.

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
    AgentOptions, Error, ErrorKind, Value,
    endpoint::{self, Agent as CoreAgent, Answer, Connection, Wait},
    session::Call,
    violation,
    wire::{Make, Seed},
};

use crate::{
    building::{Builder, Unbuilt, from_value},
    error::{self, raise},
    options::{Options, duration},
    packing::{Tree, read_value},
    space::to_py,
    value::{to_data, to_value},
    waiting::{seconds, wait, wait_raw},
};

/// A session with one environment. One thread at a time; a second one is told that it is busy.
#[pyclass(frozen, module = "rlay._rlay")]
pub(crate) struct Agent {
    state: Mutex<State>,
    /// The process that opened the session.
    pid: u32,
}

struct State {
    agent: CoreAgent,
    observations: Tree,
    actions: Tree,
    action: Vec<u8>,
    /// Whether the last observation came as the space packs it.
    packed: bool,
    /// An answer that has come, and of which no objects were built yet.
    received: Option<(Call, Answer)>,
}

/// Asks for an environment over a channel whose handshake is over.
pub(crate) fn open(py: Python<'_>, connection: Connection, make: &Make, timeout: Option<f64>) -> PyResult<Agent> {
    let agent = wait(py, timeout, move |wait| CoreAgent::open(connection, make, wait))?;
    Agent::new(py, agent)
}

/// Starts the program that an `exec:` address names, and makes the environment that dials in.
#[pyfunction]
pub(crate) fn launch(
    py: Python<'_>,
    address: &str,
    log: Option<PathBuf>,
    render_mode: Option<String>,
    env_id: Option<String>,
    kwargs: &Bound<'_, PyDict>,
    options: Options,
) -> PyResult<Agent> {
    let command = endpoint::command(address).map_err(|e| raise(py, &e))?.unwrap_or_default();
    let Value::Dict(kwargs) = env_kwargs(kwargs)? else { unreachable!("a dict is one") };
    let mut core = AgentOptions::new(options.to_core(py)?).kwargs(kwargs);
    core = core.close_timeout(duration(options.close_timeout));
    if let Some(log) = log {
        core = core.log(log);
    }
    if let Some(render_mode) = render_mode {
        core = core.render_mode(render_mode);
    }
    if let Some(env_id) = env_id {
        core = core.env_id(env_id);
    }
    let agent = wait(py, Some(options.connect_timeout), |wait| endpoint::launch(&command, &core, wait))?;
    Agent::new(py, agent)
}

/// The request for an environment.
pub(crate) fn make(render_mode: Option<String>, env_id: Option<String>, kwargs: &Bound<'_, PyDict>) -> PyResult<Make> {
    Ok(Make { env_id, kwargs: env_kwargs(kwargs)?, render_mode })
}

/// Keyword arguments for the environment.
fn env_kwargs(kwargs: &Bound<'_, PyDict>) -> PyResult<Value> {
    to_data(kwargs, "env_kwargs").map_err(|refusal| refusal.into_error(kwargs.py(), ErrorKind::Usage))
}

impl Agent {
    pub(crate) fn new(py: Python<'_>, agent: CoreAgent) -> PyResult<Self> {
        let observations = Tree::new(py, &agent.spec().observation_space)?;
        let actions = Tree::new(py, &agent.spec().action_space)?;
        let state = State { agent, observations, actions, action: Vec::new(), packed: true, received: None };
        Ok(Self { state: Mutex::new(state), pid: std::process::id() })
    }

    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        self.state.try_lock().map_err(|_| {
            let (kind, text) = if self.pid == std::process::id() {
                (
                    ErrorKind::Busy,
                    "another thread is in a call of this environment; give each thread an environment of its own",
                )
            } else {
                // A thread was in a call when the process forked, and is not here to end it.
                (ErrorKind::Usage, "this environment belongs to the parent process; open it in the child")
            };
            error::new(py, kind, text)
        })
    }
}

/// A non-negative int of any size.
fn seed(seed: &Bound<'_, PyInt>) -> PyResult<Seed> {
    if let Ok(small) = seed.extract::<u64>() {
        return Ok(small.into());
    }
    let bytes: Vec<u8> = seed.py().import("rlay._values")?.call_method1("seed_to_bytes", (seed,))?.extract()?;
    Ok(Seed(bytes.into()))
}

impl Drop for State {
    /// Waits for nothing, for the interpreter is not let go meanwhile.
    fn drop(&mut self) {
        self.agent.let_go();
    }
}

/// Waits until every program that was launched and is not needed any more has ended.
#[pyfunction]
pub(crate) fn await_programs(py: Python<'_>) -> PyResult<()> {
    wait(py, None, endpoint::await_programs)
}

/// Closes environments side by side, but for those that another thread has in a call, and programs that were launched.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>, agents: Vec<Py<Agent>>) -> PyResult<()> {
    let states = agents.iter().filter_map(|agent| agent.get().state.try_lock().ok());
    let mut states: Vec<_> = states.filter(|state| state.agent.log().is_none()).collect();
    let agents: Vec<_> = states.iter_mut().map(|state| &mut state.agent).collect();
    wait(py, None, |wait| {
        endpoint::close_all(agents, wait);
        Ok(())
    })
}

impl State {
    /// Sends a request and waits for its answer; a wait that is broken off leaves the answer late.
    fn exchange(
        &mut self,
        py: Python<'_>,
        timeout: Option<f64>,
        send: impl FnOnce(&mut CoreAgent, &mut Wait<'_>) -> rlay_core::Result<()> + Send,
    ) -> PyResult<Answer> {
        let agent = &mut self.agent;
        let result = wait_raw(py, timeout, |wait| {
            send(agent, wait)?;
            agent.receive(wait)
        });
        self.settle(py, result)
    }

    fn settle(&mut self, py: Python<'_>, result: PyResult<rlay_core::Result<Answer>>) -> PyResult<Answer> {
        match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if error.kind() == ErrorKind::Timeout {
                    return Err(raise(py, &self.agent.overdue()));
                }
                Err(raise(py, &error))
            }
            Err(interrupt) => {
                self.agent.give_up();
                Err(interrupt)
            }
        }
    }

    /// The objects that `answer` to a `call` stands for. If they cannot be built by `deadline`, or a signal handler raises
    /// meanwhile, the answer is late.
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

    /// The tuple that `reset` or `step` returns, or the frame that `render` does, of the answer that is not built yet.
    fn build<'py>(&mut self, builder: &Builder<'py>) -> Result<Bound<'py, PyAny>, Unbuilt> {
        let py = builder.py();
        let (row, received) = match &self.received {
            Some((_, Answer::Row(row, received))) => (row, received),
            Some((_, Answer::Frame(frame))) => return builder.build(frame),
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

    /// No other call may take the place of an answer that has come and was not built.
    fn check_built(&self, py: Python<'_>) -> PyResult<()> {
        let Some((call, _)) = &self.received else { return Ok(()) };
        let text = format!("the answer to an earlier {call:?} was not fetched; late() fetches it, reset() drops it");
        Err(error::new(py, ErrorKind::Busy, text))
    }
}

#[pymethods]
impl Agent {
    /// What the host told: id, spaces, render mode, metadata and details.
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let state = self.lock(py)?;
        let spec = state.agent.spec();
        let items = [
            spec.env_id.as_str().into_pyobject(py)?.into_any(),
            to_py(py, &spec.observation_space)?,
            to_py(py, &spec.action_space)?,
            spec.render_mode.as_deref().into_pyobject(py)?.into_any(),
            from_value(py, &spec.metadata)?,
            from_value(py, &spec.details)?,
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
        let deadline = Builder::deadline(seconds(timeout));
        let mut state = self.lock(py)?;
        let seed = seed.map(|x| self::seed(&x)).transpose()?;
        let options = to_data(options, "options").map_err(|refusal| refusal.into_error(py, ErrorKind::Usage))?;
        state.received = None;
        let answer = state.exchange(py, timeout, |agent, wait| {
            if let Some((_, true)) = agent.waiting() {
                // A late answer is dropped, whatever it was, for the new episode makes it void.
                let dropped = agent.receive(wait).err();
                if let Some(error) =
                    dropped.filter(|e| matches!(e.kind(), ErrorKind::Timeout | ErrorKind::ConnectionLost))
                {
                    return Err(error);
                }
            }
            agent.send_reset(seed, &options, wait)
        })?;
        state.result(py, Call::Reset, answer, deadline)
    }

    fn step<'py>(
        &self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = Builder::deadline(seconds(timeout));
        let mut guard = self.lock(py)?;
        let state = &mut *guard;
        state.check_built(py)?;
        let packed = state.actions.write(action, &mut state.action, "action");
        let packed = packed.map_err(|refusal| refusal.into_error(py, ErrorKind::InvalidAction))?;
        if !packed && let Some(text) = state.actions.check_structure(action)? {
            return Err(error::new(py, ErrorKind::InvalidAction, format!("action{text}")));
        }
        let State { agent, action, .. } = state;
        let result = wait_raw(py, timeout, |wait: &mut Wait<'_>| {
            agent.send_step(packed, action, wait)?;
            agent.receive(wait)
        });
        let answer = state.settle(py, result)?;
        state.result(py, Call::Step, answer, deadline)
    }

    fn render<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let deadline = Builder::deadline(seconds(timeout));
        let mut state = self.lock(py)?;
        state.check_built(py)?;
        let answer = state.exchange(py, timeout, |agent, wait| agent.send_render(wait))?;
        state.result(py, Call::Render, answer, deadline)
    }

    /// The answer that came after its call had timed out or was interrupted, and whether that was a reset or step.
    fn late<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<(Bound<'py, PyAny>, bool)> {
        let deadline = Builder::deadline(seconds(timeout));
        let mut state = self.lock(py)?;
        if let Some((call, answer)) = state.received.take() {
            return Ok((state.result(py, call, answer, deadline)?, call != Call::Render));
        }
        let Some((call, true)) = state.agent.waiting() else {
            return Err(error::new(py, ErrorKind::Usage, "no answer is late; late() follows a call that timed out"));
        };
        let agent = &mut state.agent;
        let result = wait_raw(py, timeout, |wait| agent.receive(wait));
        let answer = state.settle(py, result)?;
        Ok((state.result(py, call, answer, deadline)?, call != Call::Render))
    }

    /// Closes the environment and ends the session, within two seconds; a program that was launched is waited for. What
    /// the environment raised in its `close` is raised here.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let agent = &mut state.agent;
        wait(py, None, |wait| agent.close_unless(wait))
    }

    /// Where the log lies of a program that was launched.
    fn log(&self, py: Python<'_>) -> PyResult<Option<PathBuf>> {
        Ok(self.lock(py)?.agent.log().map(Path::to_path_buf))
    }

    /// Whether the last observation is of another dtype, shape or type than was declared: it could have been packed and
    /// was not.
    fn is_odd(&self, py: Python<'_>) -> PyResult<bool> {
        let state = self.lock(py)?;
        Ok(!state.packed && state.agent.spec().observation_space.is_fixed())
    }

    /// Which leaf of `observation` is not in its space and why, as far as it is known here.
    fn violation(&self, py: Python<'_>, observation: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let value = to_value(observation)?;
        let state = self.lock(py)?;
        let space = &state.agent.spec().observation_space;
        Ok(py.detach(|| violation(space, &value, "observation")))
    }

    /// Ends the session, and tells the host why: the environment cannot be used, or not any more.
    fn leave(&self, py: Python<'_>, why: String) -> PyResult<()> {
        let mut state = self.lock(py)?;
        let agent = &mut state.agent;
        py.detach(|| agent.leave(&Error::new(ErrorKind::Usage, why)));
        Ok(())
    }

    /// Whether the environment has taken a step since this was last asked.
    fn take_played(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.agent.take_played())
    }

    /// Whether the connection was lost.
    fn is_lost(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.agent.is_lost())
    }

    /// Forgets the connection without a word to the peer: this is a forked child.
    fn abandon(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.agent.abandon();
        }
    }
}
