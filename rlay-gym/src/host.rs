//! Hosting: a Python environment as a `HostEnv` of RLay.

use std::{cell::RefCell, fmt, rc::Rc};

use numpy::PyUntypedArray;
use pyo3::{prelude::*, types::PyDict};
use rlay_core::{
    Error, ErrorKind, HostEnv, HostedEnv, Map, Outcome, Result, Value,
    endpoint::{HostedSession, Notice, Wait},
    wire::{Access, AutoresetMode, Make, Payload, Seed, Spec},
};

use crate::{
    array, attributes,
    building::{Builder, Unbuilt},
    error,
    host_vector::PyHostVectorEnv,
    packing::{Tree, matching},
    raw_vector_env,
    results::{self, Announced},
    space,
    value::to_dict,
    waiting::{is_main, log, look},
};

/// From this many bytes on, an observation is sent from its own memory, without a copy.
const IN_PLACE: usize = 4 << 10;

/// What `step` and `reset` return.
const STEP: [&str; 5] = ["observation", "reward", "terminated", "truncated", "info"];
const RESET: [&str; 2] = ["observation", "info"];

/// The exception that ended a session from within, such as Ctrl-C in the environment's own code.
pub(crate) type Interrupt = Rc<RefCell<Option<PyErr>>>;

/// A Python environment, with the methods, spaces and state that hosting it needs.
struct PyHostEnv {
    env: Py<PyAny>,
    announced: Announced,
    spec: Spec,
    observations: Tree,
    actions: Tree,
    /// `reset`, `step` and so on, looked up once.
    step: Py<PyAny>,
    /// The last observation, while it is sent from its own memory.
    last: Option<Py<PyUntypedArray>>,
    last_bytes: (*const u8, usize),
    interrupt: Interrupt,
    own_close: bool,
}

impl fmt::Debug for PyHostEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PyHostEnv")
    }
}

/// Hosts one session on this thread, until it ends. What a signal handler raises, or Ctrl-C in the environment's own
/// code, is raised.
pub(crate) fn serve(py: Python<'_>, session: HostedSession, make: &Bound<'_, PyAny>) -> PyResult<()> {
    let (is_main, make) = (is_main(py)?, make.clone().unbind());
    // The channel and the environment stay on this thread; only the interpreter is released while the thread waits.
    let interrupt = py.detach(move || {
        let interrupt = Interrupt::default();
        let for_env = interrupt.clone();
        let mut factory = |request: &Make| Python::attach(|py| PyHostEnv::make(py, make.bind(py), request, &for_env));
        let mut check = || look(&interrupt, || Error::new(ErrorKind::Closed, "interrupted"));
        let mut notice = |what: Notice<'_>| log(what, &interrupt);
        let mut wait = Wait::default().with_notices(&mut notice);
        if is_main {
            wait = wait.with_check(&mut check);
        }
        // `serve` logs what ends the session.
        let _ = session.serve(&mut factory, &mut wait);
        interrupt.take()
    });
    interrupt.map_or(Ok(()), Err)
}

impl PyHostEnv {
    fn make<'m>(
        py: Python<'_>,
        make: &Bound<'_, PyAny>,
        request: &Make,
        interrupt: &Interrupt,
    ) -> Result<HostedEnv<'m>> {
        let kwargs = match &request.kwargs {
            Value::None => PyDict::new(py).into_any(),
            kwargs => Builder::new(py, None).build(kwargs).map_err(|unbuilt| refuse(py, unbuilt, interrupt))?,
        };
        let build = || {
            let mode = request.autoreset_mode.to_string();
            let made =
                make.call1((request.render_mode.as_deref(), request.env_id.as_deref(), kwargs, request.slots, mode))?;
            let hosted = match made.get_item(8)?.is_none() {
                true => Self::described(py, &made, interrupt).map(|env| HostedEnv::One(Box::new(env))),
                false => {
                    PyHostVectorEnv::described(py, &made, interrupt).map(|envs| HostedEnv::Several(Box::new(envs)))
                }
            };
            hosted.map_err(|raised| {
                let let_go = || {
                    let (env, own) = (made.get_item(0)?, made.get_item(7)?);
                    py.import("rlay._hosting")?.call_method1("let_go", (env, own, raised.value(py)))
                };
                let_go().err().unwrap_or(raised)
            })
        };
        build().map_err(|raised: PyErr| blame(py, raised, interrupt))
    }

    /// `made` is `rlay._hosting.Described`.
    fn described(py: Python<'_>, made: &Bound<'_, PyAny>, interrupt: &Interrupt) -> PyResult<Self> {
        let get = |i: usize| made.get_item(i);
        let spec = spec(made)?;
        let env = get(0)?;
        Ok(Self {
            observations: Tree::new(py, &spec.observation_space)?,
            actions: Tree::new(py, &spec.action_space)?,
            spec,
            step: env.getattr("step")?.unbind(),
            announced: Announced::new(&env)?,
            env: env.unbind(),
            last: None,
            last_bytes: (std::ptr::null(), 0),
            interrupt: interrupt.clone(),
            own_close: get(7)?.extract()?,
        })
    }

    fn attribute(&mut self, name: &str, access: &Access) -> Result<Option<Value>> {
        let interrupt = self.interrupt.clone();
        Python::attach(|py| {
            let asked = attributes::asked(py, access).map_err(|unbuilt| refuse(py, unbuilt, &interrupt))?;
            let done = attributes::access(self.env.bind(py), name, asked);
            done.map_err(|raised| blame(py, raised, &interrupt))
        })
    }

    /// Runs the environment's own code; an exception is the environment's failure.
    fn call<T>(&mut self, run: impl FnOnce(&mut Self, Python<'_>) -> PyResult<T>) -> Result<T> {
        let interrupt = self.interrupt.clone();
        Python::attach(|py| run(self, py).map_err(|raised| blame(py, raised, &interrupt)))
    }

    fn step(&mut self, py: Python<'_>, action: &Bound<'_, PyAny>, outcome: &mut Outcome) -> PyResult<()> {
        let result = results::items(&self.step.bind(py).call1((action,))?, "step", &STEP)?;
        results::facts(&result.get_item(1)?, &result.get_item(2)?, &result.get_item(3)?, outcome)?;
        self.observe(&result.get_item(0)?, outcome)?;
        results::info(&result.get_item(4)?, outcome, "step")
    }

    fn observe(&mut self, observation: &Bound<'_, PyAny>, outcome: &mut Outcome) -> PyResult<()> {
        self.last = None;
        if let Some((dtype, shape, size)) = self.observations.single_array()
            && size >= IN_PLACE
            && size.is_multiple_of(8)
            && let Some(array) = matching(observation, dtype, shape)?
            && let Some(bytes) = array::bytes(&array)
        {
            self.last_bytes = (bytes.as_ptr(), bytes.len());
            self.last = Some(array.clone().unbind());
            outcome.packed = true;
            outcome.observation.clear();
            return Ok(());
        }
        results::observation(&self.observations, observation, outcome)
    }
}

/// What the agent is told of an environment.
pub(crate) fn spec(made: &Bound<'_, PyAny>) -> PyResult<Spec> {
    let get = |i: usize| made.get_item(i);
    let several: Option<(u32, String)> = get(8)?.extract()?;
    let (slots, autoreset_mode) = match several {
        None => (1, AutoresetMode::Disabled),
        Some((slots, mode)) => (slots, raw_vector_env::mode(&mode)?),
    };
    Ok(Spec {
        env_id: get(1)?.extract()?,
        observation_space: space::from_py(&get(2)?)?,
        action_space: space::from_py(&get(3)?)?,
        slots,
        autoreset_mode,
        render_mode: get(4)?.extract()?,
        metadata: to_dict(&get(5)?, "metadata")?,
        details: to_dict(&get(6)?, "details")?,
        attributes: Vec::new(),
    })
}

/// The seed as `reset` takes it.
pub(crate) fn seed_object<'py>(py: Python<'py>, seed: Option<&Seed>) -> PyResult<Bound<'py, PyAny>> {
    match seed.map(|seed| (seed.to_u64(), seed)) {
        None => Ok(py.None().into_bound(py)),
        Some((Some(small), _)) => Ok(small.into_pyobject(py)?.into_any()),
        Some((None, large)) => py.import("rlay._values")?.call_method1("seed_from_bytes", (&large.0[..],)),
    }
}

/// The environment's failure; Ctrl-C also ends the session.
pub(crate) fn blame(py: Python<'_>, raised: PyErr, interrupt: &Interrupt) -> Error {
    let failure = error::failure(py, &raised);
    if error::is_interrupt(py, &raised) {
        *interrupt.borrow_mut() = Some(raised);
    }
    failure
}

/// The agent's error, if what the agent sent could not be built; Ctrl-C also ends the session.
pub(crate) fn refuse(py: Python<'_>, unbuilt: Unbuilt, interrupt: &Interrupt) -> Error {
    match unbuilt {
        Unbuilt::Interrupted(raised) => blame(py, raised, interrupt),
        unbuilt => unbuilt.into_refusal(py),
    }
}

impl HostEnv for PyHostEnv {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn reset_into(&mut self, seed: Option<&Seed>, options: &Value, outcome: &mut Outcome) -> Result<()> {
        let interrupt = self.interrupt.clone();
        let options = Python::attach(|py| {
            let built = Builder::new(py, None).build(options).map(Bound::unbind);
            built.map_err(|unbuilt| refuse(py, unbuilt, &interrupt))
        })?;
        self.call(|this, py| {
            let kwargs = PyDict::new(py);
            kwargs.set_item("seed", seed_object(py, seed)?)?;
            kwargs.set_item("options", options)?;
            let result = this.env.bind(py).call_method("reset", (), Some(&kwargs))?;
            let result = results::items(&result, "reset", &RESET)?;
            (outcome.reward, outcome.terminated, outcome.truncated) = (0.0, false, false);
            this.observe(&result.get_item(0)?, outcome)?;
            results::info(&result.get_item(1)?, outcome, "reset")?;
            this.announced.compare(py)
        })
    }

    fn step_into(&mut self, action: Payload<'_>, outcome: &mut Outcome) -> Result<()> {
        let interrupt = self.interrupt.clone();
        Python::attach(|py| {
            // Bytes that do not fit the space are the agent's error and not the environment's.
            let action = self.actions.read_payload(py, &action).map_err(|unbuilt| refuse(py, unbuilt, &interrupt))?;
            self.step(py, &action, outcome).map_err(|raised| blame(py, raised, &interrupt))
        })
    }

    #[allow(unsafe_code)]
    fn observation(&self) -> Option<&[u8]> {
        self.last.as_ref()?;
        let (address, len) = self.last_bytes;
        // SAFETY: `last` keeps the contiguous array alive, and with it these bytes; the environment is not called until
        // the agent has received the bytes, or they were copied. Another Python thread that writes into an observation
        // that was already returned would change what is sent, as it would for a local agent.
        unsafe { Some(std::slice::from_raw_parts(address, len)) }
    }

    fn render(&mut self) -> Result<Value> {
        self.call(|this, py| {
            let frame = this.env.bind(py).call_method0("render")?;
            results::frame(&frame, this.spec.render_mode.as_deref())
        })
    }

    fn get_attr(&mut self, name: &str) -> Result<Option<Value>> {
        self.attribute(name, &Access::Get)
    }

    fn set_attr(&mut self, name: &str, value: &Value) -> Result<()> {
        self.attribute(name, &Access::Set(vec![value.clone()])).map(drop)
    }

    fn call(&mut self, name: &str, args: &[Value], kwargs: &Map) -> Result<Value> {
        let access = Access::Call(args.to_vec(), kwargs.clone());
        self.attribute(name, &access).map(Option::unwrap_or_default)
    }

    fn close(&mut self) -> Result<()> {
        if !self.own_close {
            return Ok(());
        }
        self.call(|this, py| this.env.bind(py).call_method0("close").map(drop))
    }
}

impl Drop for PyHostEnv {
    fn drop(&mut self) {
        // References are dropped at once and not when the interpreter is next acquired.
        Python::attach(|_| self.last = None);
    }
}
