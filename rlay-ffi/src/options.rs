//! rlay_Options: what environments and agents are told when they are opened.

use std::{
    ffi::{c_char, c_void},
    time::Duration,
};

use rlay::{AgentOptions, AutoresetMode, HostOptions, Limits, Map, Offers, Token, endpoint::Notice};

use crate::{
    input::{object_mut, text},
    status::{Fault, Outcome, made, quiet, rlay_Status, rlay_Status::*, status},
    value::{map_of, rlay_Value},
};

/// How much a line of the log matters.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rlay_LogLevel {
    /// Nothing is wrong.
    RLAY_INFO = 0,
    /// Something may be wrong.
    RLAY_WARNING = 1,
}

/// Takes a line of the log: UTF-8 of `length` bytes, valid during the call. It is called on the thread of the endpoint, while
/// that is in a call of RLay, and must not use that endpoint: such calls fail with RLAY_BUSY. It must return, and throw
/// nothing.
pub type rlay_Log =
    Option<unsafe extern "C" fn(user: *mut c_void, level: rlay_LogLevel, text: *const c_char, length: usize)>;

/// Options of environments and agents; what does not concern one is ignored there. Options that rlay_options_new has made
/// are the caller's, are freed with rlay_options_free, and can be given to any number of endpoints, which copy them. They
/// belong to no thread, but two threads must not use them at the same time while one of them changes them.
#[derive(Debug, Clone)]
pub struct rlay_Options {
    host: HostOptions,
    agent: AgentOptions,
    limits: Limits,
    attributes: Vec<String>,
    pub(crate) max_sessions: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) log: Log,
}

impl Default for rlay_Options {
    fn default() -> Self {
        Self {
            host: rlay::host_options(),
            agent: rlay::agent_options(),
            limits: Limits::default(),
            attributes: Vec::new(),
            max_sessions: 1,
            timeout: None,
            log: Log { call: None, user: std::ptr::null_mut() },
        }
    }
}

/// The callback of a program and what the program wants it to be given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    call: rlay_Log,
    user: *mut c_void,
}

// SAFETY: an endpoint, and therefore its callback, is used on one thread alone, which `Handle` sees to; what `user` points to
// is the program's affair.
unsafe impl Send for Log {}
// SAFETY: as above.
unsafe impl Sync for Log {}

impl Log {
    /// Tells the program.
    pub(crate) fn tell(&self, notice: Notice<'_>) {
        let (level, text) = match notice {
            Notice::Warning(text) => (rlay_LogLevel::RLAY_WARNING, text),
            Notice::Info(text) => (rlay_LogLevel::RLAY_INFO, text),
        };
        if let Some(call) = self.call {
            // SAFETY: the program gave this function for these arguments.
            unsafe { call(self.user, level, text.as_ptr().cast(), text.len()) };
        }
    }
}

impl rlay_Options {
    pub(crate) fn host(&self) -> HostOptions {
        let offers = Offers { attributes: self.attributes.clone(), ..Offers::default() };
        self.host.clone().max_sessions(self.max_sessions).offers(offers)
    }

    pub(crate) fn agent(&self) -> AgentOptions {
        self.agent.clone()
    }

    /// Changes what both kinds of endpoints have.
    fn change(
        &mut self,
        host: impl FnOnce(HostOptions) -> HostOptions,
        agent: impl FnOnce(AgentOptions) -> AgentOptions,
    ) {
        self.host = host(self.host.clone());
        self.agent = agent(self.agent.clone());
    }
}

/// A number of seconds that a program gives; an infinity is for ever.
pub(crate) fn duration(seconds: f64, what: &str) -> Outcome<Duration> {
    if seconds == f64::INFINITY {
        return Ok(Duration::MAX);
    }
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Fault::new(RLAY_INVALID_ARGUMENT, format!("{what} is {seconds}; give seconds, from 0 on")))
}

/// Options with their defaults. The token is that of the environment variable RLAY_TOKEN, if it is set. Any thread; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_new() -> Option<Box<rlay_Options>> {
    made(|| Ok(rlay_Options::default()))
}

/// Frees options; NULL is allowed. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_free(options: Option<Box<rlay_Options>>) {
    quiet((), || drop(options));
}

/// A secret that the peer must prove to know: UTF-8 of `length` bytes, with at least eight visible characters. It is copied.
/// NULL: no token, whatever RLAY_TOKEN says. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_token(
    options: Option<&mut rlay_Options>,
    token: *const c_char,
    length: usize,
) -> rlay_Status {
    status(|| {
        let token = if token.is_null() { None } else { Some(Token::new(text(token, length, "token")?)?) };
        object_mut(options, "options")?.change(|host| host.token(token.clone()), |agent| agent.token(token.clone()));
        Ok(())
    })
}

/// How long an agent looks for its environment. By default 10 seconds. An environment looks for agents as long as it takes.
/// Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_connect_timeout(options: Option<&mut rlay_Options>, seconds: f64) -> rlay_Status {
    status(|| {
        let time = duration(seconds, "connect_timeout")?;
        object_mut(options, "options")?.change(|host| host.connect_timeout(time), |agent| agent.connect_timeout(time));
        Ok(())
    })
}

/// How long a connection that was lost over a network may take to come back; 0: it never does. By default 2 seconds for an
/// agent, 30 for an environment. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_reconnect_timeout(options: Option<&mut rlay_Options>, seconds: f64) -> rlay_Status {
    status(|| {
        let time = duration(seconds, "reconnect_timeout")?;
        let options = object_mut(options, "options")?;
        options.change(|host| host.reconnect_timeout(time), |agent| agent.reconnect_timeout(time));
        Ok(())
    })
}

/// Within how long a peer that has vanished without a word is noticed, from a second to a day. By default 18 seconds. Any
/// thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_liveness(options: Option<&mut rlay_Options>, seconds: f64) -> rlay_Status {
    status(|| {
        let time = duration(seconds, "liveness")?;
        object_mut(options, "options")?.change(|host| host.liveness(time), |agent| agent.liveness(time));
        Ok(())
    })
}

/// The longest frame in bytes, from 65536 on; an observation and its info must fit one. By default 64 MiB. Any thread; does
/// not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_max_frame(options: Option<&mut rlay_Options>, bytes: usize) -> rlay_Status {
    status(|| {
        let options = object_mut(options, "options")?;
        options.limits.frame = bytes;
        let limits = options.limits;
        options.change(|host| host.limits(limits), |agent| agent.limits(limits));
        Ok(())
    })
}

/// How many agents an environment may have at a time, each with a session of its own: from 1, the default, to 65536. With
/// one, rlay_env_wait and rlay_env_run wake up at once for each request; with more they look a thousand times a second
/// while nothing is asked. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_max_sessions(options: Option<&mut rlay_Options>, count: u32) -> rlay_Status {
    status(|| {
        if !(1..=65536).contains(&count) {
            return Err(Fault::new(RLAY_INVALID_ARGUMENT, "max_sessions is not between 1 and 65536"));
        }
        object_mut(options, "options")?.max_sessions = count as usize;
        Ok(())
    })
}

/// Lets agents get, set and call an attribute of this name: UTF-8 of `length` bytes, which are copied. Turns of kind
/// RLAY_TURN_ATTRIBUTE are about these alone. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_add_attribute(
    options: Option<&mut rlay_Options>,
    name: *const c_char,
    length: usize,
) -> rlay_Status {
    status(|| {
        let name = text(name, length, "name")?.to_owned();
        let options = object_mut(options, "options")?;
        let attributes: Vec<_> = options.attributes.iter().cloned().chain([name]).collect();
        Offers { attributes: attributes.clone(), ..Offers::default() }.check_attributes()?;
        options.attributes = attributes;
        Ok(())
    })
}

/// Takes the log: agents that come and go, connections that are lost, waits that last. `user` is passed on. NULL: there is
/// none, as by default. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_log(
    options: Option<&mut rlay_Options>,
    log: rlay_Log,
    user: *mut c_void,
) -> rlay_Status {
    status(|| {
        object_mut(options, "options")?.log = Log { call: log, user };
        Ok(())
    })
}

/// Agents: the longest that a reset, step or render may take, after which it fails with RLAY_TIMEOUT; an infinity, the
/// default: as long as the environment lives. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_timeout(options: Option<&mut rlay_Options>, seconds: f64) -> rlay_Status {
    status(|| {
        let time = duration(seconds, "timeout")?;
        object_mut(options, "options")?.timeout = Some(time).filter(|time| *time < Duration::MAX);
        Ok(())
    })
}

/// Vector agents: how many environments there are to be, up to 65536. 0, the default: those that the host has, or where the
/// agent listens, one. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_num_envs(options: Option<&mut rlay_Options>, num_envs: u32) -> rlay_Status {
    status(|| {
        if num_envs > 65536 {
            return Err(Fault::new(RLAY_INVALID_ARGUMENT, "num_envs is above 65536"));
        }
        object_mut(options, "options")?.change(|host| host, |agent| agent.num_envs(num_envs));
        Ok(())
    })
}

/// Vector agents: which side begins the next episode where one has ended, an rlay_AutoresetMode. By default
/// RLAY_AUTORESET_NEXT_STEP, as in Gymnasium. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_autoreset_mode(options: Option<&mut rlay_Options>, mode: u32) -> rlay_Status {
    status(|| {
        let mode = match mode {
            0 => AutoresetMode::Disabled,
            1 => AutoresetMode::NextStep,
            2 => AutoresetMode::SameStep,
            _ => return Err(Fault::new(RLAY_INVALID_ARGUMENT, format!("{mode} is no rlay_AutoresetMode"))),
        };
        object_mut(options, "options")?.change(|host| host, |agent| agent.autoreset_mode(mode));
        Ok(())
    })
}

/// Agents: the render mode that is asked for, UTF-8 of `length` bytes, which are copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_render_mode(
    options: Option<&mut rlay_Options>,
    mode: *const c_char,
    length: usize,
) -> rlay_Status {
    status(|| {
        let mode = text(mode, length, "mode")?;
        object_mut(options, "options")?.change(|host| host, |agent| agent.render_mode(mode));
        Ok(())
    })
}

/// Agents: the name of the environment that is asked for, UTF-8 of `length` bytes, which are copied. Any thread; does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_env_id(
    options: Option<&mut rlay_Options>,
    env_id: *const c_char,
    length: usize,
) -> rlay_Status {
    status(|| {
        let env_id = text(env_id, length, "env_id")?;
        object_mut(options, "options")?.change(|host| host, |agent| agent.env_id(env_id));
        Ok(())
    })
}

/// Agents: the keyword arguments of the environment, a dict with str as keys, which is copied. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn rlay_options_set_kwargs(
    options: Option<&mut rlay_Options>,
    kwargs: Option<&rlay_Value>,
) -> rlay_Status {
    status(|| {
        let kwargs: Map = map_of(kwargs, "kwargs")?;
        object_mut(options, "options")?.change(|host| host, |agent| agent.kwargs(kwargs));
        Ok(())
    })
}
