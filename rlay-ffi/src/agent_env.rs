//! AgentEnv: where the environments of an agent come from, and how they are waited for, of one environment or of many.

use std::{ffi::c_char, mem::MaybeUninit, sync::Arc, time::Duration};

use rlay::{
    AgentOptions, CancelToken, Value,
    endpoint::{Acceptor, Notice, RawEnv, RawVectorEnv, SlabSizes, Wait},
    session::Call,
    wire::{Role, Spec},
};

use crate::{
    handle::{Handle, Handles},
    input::{set, text},
    options::{Log, rlay_Options},
    status::{Fault, Outcome, rlay_Status, rlay_Status::*, status},
    turn::rlay_TurnKind,
    value::{rlay_Value, value as shown},
};

/// What an agent holds: an environment in another process, or many.
pub(crate) trait Remote: Sized {
    fn connect(address: &str, options: AgentOptions, wait: &mut Wait<'_>) -> rlay::Result<Self>;
    fn accept(acceptor: &Arc<Acceptor>, options: AgentOptions, wait: &mut Wait<'_>) -> rlay::Result<Self>;
    fn spec(&self) -> &Spec;
    fn close(&mut self, wait: &mut Wait<'_>) -> rlay::Result<()>;
}

impl Remote for RawEnv {
    fn connect(address: &str, options: AgentOptions, wait: &mut Wait<'_>) -> rlay::Result<Self> {
        Self::connect(address, options, wait)
    }

    fn accept(acceptor: &Arc<Acceptor>, options: AgentOptions, wait: &mut Wait<'_>) -> rlay::Result<Self> {
        Self::accept(acceptor.clone(), options, wait)
    }

    fn spec(&self) -> &Spec {
        self.spec()
    }

    fn close(&mut self, wait: &mut Wait<'_>) -> rlay::Result<()> {
        self.close(wait)
    }
}

impl Remote for RawVectorEnv {
    fn connect(address: &str, options: AgentOptions, wait: &mut Wait<'_>) -> rlay::Result<Self> {
        Self::connect(address, options, wait)
    }

    fn accept(acceptor: &Arc<Acceptor>, options: AgentOptions, wait: &mut Wait<'_>) -> rlay::Result<Self> {
        Self::accept(acceptor, options, wait)
    }

    fn spec(&self) -> &Spec {
        self.spec()
    }

    fn close(&mut self, wait: &mut Wait<'_>) -> rlay::Result<()> {
        self.close(wait)
    }
}

/// The environments of an agent, and what its options say of calls.
pub(crate) struct AgentEnv<E> {
    /// What environments dial, where they do.
    acceptor: Option<Arc<Acceptor>>,
    options: AgentOptions,
    timeout: Option<Duration>,
    log: Log,
    /// `None` until an environment has dialed in.
    remote: Option<E>,
    /// The packed form of actions, once there is an environment; `None` if their space has none.
    actions: Option<SlabSizes>,
}

impl<E: Remote> AgentEnv<E> {
    fn new(acceptor: Option<Arc<Acceptor>>, options: &rlay_Options) -> Self {
        let (timeout, log) = (options.timeout, options.log);
        Self { acceptor, options: options.agent(), timeout, log, remote: None, actions: None }
    }

    /// Dials, and comes with the address.
    pub(crate) fn dialed(address: &str, options: &rlay_Options) -> Outcome<(String, Self)> {
        let mut env = Self::new(None, options);
        let log = options.log;
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        env.found(E::connect(address, options.agent(), &mut Wait::new(None).with_notices(&mut tell))?);
        Ok((address.to_owned(), env))
    }

    /// Listens, and comes with the address.
    pub(crate) fn listening(address: &str, options: &rlay_Options) -> Outcome<(String, Self)> {
        let acceptor = Acceptor::bind(&address.parse()?, Role::Agent, options.agent().connection())?;
        Ok((acceptor.address().to_string(), Self::new(Some(Arc::new(acceptor)), options)))
    }

    fn found(&mut self, remote: E) {
        self.actions = SlabSizes::of(&remote.spec().action_space);
        self.remote = Some(remote);
    }

    /// Calls the environment, which is waited for first.
    pub(crate) fn call<T>(
        &mut self,
        cancel: &CancelToken,
        run: impl FnOnce(&mut E, &mut Wait<'_>) -> rlay::Result<T>,
    ) -> Outcome<T> {
        // An answer that is there already would be taken without a wait.
        if cancel.is_cancelled() {
            return Err(Fault::new(RLAY_CLOSED, "the agent was stopped; close it"));
        }
        let log = self.log;
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        if let (None, Some(acceptor)) = (&self.remote, &self.acceptor) {
            let mut wait = Wait::new(None).with_cancel(cancel).with_notices(&mut tell);
            let remote = E::accept(acceptor, self.options.clone(), &mut wait)?;
            self.found(remote);
        }
        let timeout = self.timeout;
        let mut wait = Wait::new(timeout).with_cancel(cancel).with_notices(&mut tell);
        Ok(run(self.remote()?, &mut wait)?)
    }

    /// The environment, if it is there.
    pub(crate) fn remote(&mut self) -> Outcome<&mut E> {
        self.remote.as_mut().ok_or_else(|| Fault::new(RLAY_RESET_NEEDED, "there is no environment yet; reset first"))
    }

    /// Writes the packed actions of so many environments where they are sent from. Waits for an environment first.
    pub(crate) fn pack(&mut self, cancel: &CancelToken, (actions, rows): (&[u8], usize), out: &mut Vec<u8>) -> Outcome {
        self.call(cancel, |_, _| Ok(()))?;
        let no_form = || Fault::new(RLAY_INVALID_ACTION, "the action space has no packed form; give actions as values");
        let sizes = self.actions.as_ref().ok_or_else(no_form)?;
        let wanted = sizes.len(rows);
        if actions.len() != wanted {
            let text = format!("{} bytes of actions, where {rows} take {wanted} in the packed form", actions.len());
            return Err(Fault::new(RLAY_INVALID_ACTION, text));
        }
        out.clear();
        out.extend_from_slice(actions);
        for (at, size) in sizes.slabs(rows) {
            let end = at + size * rows;
            out[end..end.next_multiple_of(8)].fill(0);
        }
        Ok(())
    }

    /// Closes the environment, and what others dial.
    pub(crate) fn close(&mut self) -> Outcome {
        let log = self.log;
        let mut tell = |notice: Notice<'_>| log.tell(notice);
        let closed = match self.remote.take() {
            Some(mut remote) => remote.close(&mut Wait::default().with_notices(&mut tell)),
            None => Ok(()),
        };
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.close();
        }
        Ok(closed?)
    }
}

/// What the last render or attribute of an agent came to; `None` for a function.
#[derive(Default)]
pub(crate) struct Returned(Option<Value>);

impl Returned {
    /// Keeps it for the caller, and says where it lies.
    pub(crate) fn keep(&mut self, value: Option<Value>) -> *const rlay_Value {
        self.0 = value;
        self.0.as_ref().map_or(std::ptr::null(), |value| &raw const *shown(value))
    }
}

/// Which turn of the environment a call has.
pub(crate) fn turn_kind(call: Call) -> rlay_TurnKind {
    match call {
        Call::Reset => rlay_TurnKind::RLAY_TURN_RESET,
        Call::Step => rlay_TurnKind::RLAY_TURN_STEP,
        Call::Render => rlay_TurnKind::RLAY_TURN_RENDER,
        Call::Attribute => rlay_TurnKind::RLAY_TURN_ATTRIBUTE,
    }
}

/// Opens an agent at an address.
pub(crate) fn open<T, H>(
    handles: &Handles<T>,
    (address, length): (*const c_char, usize),
    options: Option<&rlay_Options>,
    open: impl FnOnce(&str, &rlay_Options) -> Outcome<(String, T)>,
    agent: Option<&mut MaybeUninit<*mut H>>,
) -> rlay_Status {
    status(|| {
        let place = agent.ok_or_else(|| Fault::null("agent"))?;
        place.write(std::ptr::null_mut());
        let defaults = rlay_Options::default();
        let (address, state) = open(text(address, length, "address")?, options.unwrap_or(&defaults))?;
        place.write(handles.add(address, CancelToken::default(), state));
        Ok(())
    })
}

/// Runs what a call of an agent does.
pub(crate) fn with<T, H>(
    handles: &Handles<T>,
    agent: *mut H,
    run: impl FnOnce(&mut T, &Handle<T>) -> Outcome,
) -> rlay_Status {
    status(|| {
        let handle = handles.here(agent)?;
        let mut state = handle.lock()?;
        run(&mut state, &handle)
    })
}

/// Writes where the address of an endpoint lies.
pub(crate) fn address<T, H>(
    handles: &Handles<T>,
    endpoint: *const H,
    address: Option<&mut MaybeUninit<*const c_char>>,
    length: Option<&mut MaybeUninit<usize>>,
) -> rlay_Status {
    status(|| {
        let handle = handles.here(endpoint)?;
        set(length, handle.address.len(), "length")?;
        set(address, handle.address.as_ptr().cast(), "address")
    })
}
