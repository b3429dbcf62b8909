//! Opening a vector: dialing a host, taking environments that dial in, and joining vectors.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{RawVectorEnv, first_ready::FirstReady};
use crate::{
    cancel_token::CancelToken,
    endpoint::{
        accept::acceptor::Acceptor,
        agents::{
            agent::Agent,
            lane::{Lane, check_slots},
            source::{Origin, Source},
            vector_results::VectorResults,
        },
        options::{AgentOptions, OnLoss},
        wait::Wait,
    },
    error::{Error, ErrorKind, Result},
    session::{Call, observations::VectorObservations},
    space::stacked::SlabSizes,
    wire::{AutoresetMode, Frames, Limits, Returned, Spec},
};

impl RawVectorEnv {
    /// Dials the host at `address`, or starts the program that an `exec:` address names, and has it make as many
    /// environments as [`AgentOptions::num_envs`] says.
    pub fn connect(address: &str, options: AgentOptions, wait: &mut Wait<'_>) -> Result<Self> {
        let (slots, mode) = (options.num_envs, options.autoreset_mode);
        let source = Source::at(address, options.clone())?;
        let mut agent = source.open(wait)?;
        let fits = match slots {
            0 => agent.spec().check_number(agent.limits()),
            slots => check_slots(agent.spec(), slots),
        };
        if let Err(error) = fits.and_then(|()| check_spec(agent.spec(), agent.limits(), mode)) {
            agent.leave(&error);
            return Err(error);
        }
        let (cancel, min_ready) = (CancelToken::default(), agent.spec().slots);
        let lanes = vec![Lane::new(0, agent, source, cancel.clone())];
        Self::new(lanes, &options, min_ready, cancel)
    }

    /// Takes environments that dial in until there are as many as [`AgentOptions::num_envs`] says, or only
    /// [`min_ready`](AgentOptions::min_ready) when `connect_timeout` is over; the others are taken when they come. An
    /// environment that has several slots of its own fills as many. One with other spaces than the first is refused
    /// alone.
    pub fn accept(acceptor: &Arc<Acceptor>, options: AgentOptions, wait: &mut Wait<'_>) -> Result<Self> {
        let (slots, mode, cancel) = (options.num_envs.max(1), options.autoreset_mode, CancelToken::default());
        let min_ready = options.min_ready.unwrap_or(slots).clamp(1, slots);
        let connect_timeout = options.connection.connect_timeout;
        let deadline = Instant::now().checked_add(connect_timeout);
        let mut lanes: Vec<Lane> = Vec::new();
        loop {
            let first = lanes.last().map_or(0, |lane| lane.first + lane.slots);
            if first >= slots {
                break;
            }
            let left = deadline.map_or(connect_timeout, |end| end.saturating_duration_since(Instant::now()));
            let mut options = options.clone().num_envs(0);
            options.connection.connect_timeout = left;
            let mut source = Source::new(Origin::Listened(acceptor.clone()), options);
            let like = lanes.first().and_then(Lane::session).map(Agent::spec);
            let opened = match like {
                None => source.open(wait),
                Some(spec) => source.open_like(spec, wait),
            };
            let opened = opened.and_then(|mut agent| {
                let fits = check_room(agent.spec(), slots - first)
                    .and_then(|()| check_spec(agent.spec(), agent.limits(), mode));
                if let Err(error) = &fits {
                    agent.leave(error);
                }
                fits.map(|()| agent)
            });
            match opened {
                Ok(agent) => {
                    source.set_connect_timeout(connect_timeout);
                    lanes.push(Lane::new(first, agent, source, cancel.clone()));
                }
                Err(error) if error.kind() == ErrorKind::Incompatible => wait.warn(&error.to_string()),
                Err(error) if error.kind() == ErrorKind::Timeout && !lanes.is_empty() => {
                    if first < min_ready {
                        return Err(error.context(format_args!("{first} of {slots} environments have dialed in")));
                    }
                    wait.warn(&format!(
                        "{first} of {slots} environments have dialed in; the others are taken when they come"
                    ));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let tell = wait.told_later();
        while let Some(last) = lanes.last()
            && last.first + last.slots < slots
        {
            let first = last.first + last.slots;
            let source = Source::new(Origin::Listened(acceptor.clone()), options.clone().num_envs(1));
            let Some(like) = lanes.first().and_then(Lane::session) else { break };
            let lane = Lane::vacant(first, 1, source, like, cancel.clone(), tell);
            lanes.push(lane);
        }
        Self::new(lanes, &options, min_ready, cancel)
    }

    /// One vector of the environments of several, in their order: hosts that were dialed and environments that have dialed
    /// in, over any transports. All have the same spaces, autoreset mode and
    /// [`on_loss`](AgentOptions::on_loss); no call of theirs is under way. They are left without environments.
    ///
    /// ```no_run
    /// use rlay::endpoint::{RawVectorEnv, Wait};
    ///
    /// let open = |address| RawVectorEnv::connect(address, rlay::agent_options().num_envs(8), &mut Wait::default());
    /// let (mut near, mut far) = (open("shm:///tmp/near")?, open("tls://192.0.2.7:5005")?);
    /// let both = RawVectorEnv::join(&mut [&mut near, &mut far])?;
    /// assert_eq!(both.spec().slots, 16);
    /// # Ok::<(), rlay::Error>(())
    /// ```
    pub fn join(envs: &mut [&mut Self]) -> Result<Self> {
        let usage = |text: String| Err(Error::new(ErrorKind::Usage, text));
        let Some(first) = envs.first() else { return usage("no vectors to join; give one at least".into()) };
        let (spec, mode, on_loss) = (first.spec.clone(), first.mode, first.on_loss);
        for (i, other) in envs.iter().enumerate() {
            if other.lanes.is_empty() || other.waiting().is_some() || other.has_rows_to_receive() {
                return usage(format!("vector {i} was joined already, or has a call under way"));
            }
            if let Some((space, how)) = spec.other_space(&other.spec) {
                let text = format!("vector {i} has another {space} than the first: {how}");
                return Err(Error::new(ErrorKind::Incompatible, text));
            }
            if (other.mode, other.on_loss) != (mode, on_loss) {
                return usage(format!(
                    "vector {i} has another autoreset mode or on_loss than the first; give them the same"
                ));
            }
        }
        let (mut lanes, mut slots): (Vec<Lane>, u32) = (Vec::new(), 0);
        let (mut min_ready, mut connect_timeout) = (0, Duration::ZERO);
        for other in envs.iter_mut() {
            for mut lane in other.lanes.drain(..) {
                lane.first = slots;
                slots += lane.slots;
                lanes.push(lane);
            }
            min_ready += other.min_ready;
            connect_timeout = connect_timeout.max(other.connect_timeout);
        }
        Ok(Self::of(lanes, spec, mode, on_loss, min_ready, connect_timeout, CancelToken::default()))
    }

    fn new(lanes: Vec<Lane>, options: &AgentOptions, min_ready: u32, cancel: CancelToken) -> Result<Self> {
        let Some(agent) = lanes.first().and_then(Lane::session) else {
            return Err(Error::new(ErrorKind::Usage, "a vector of no environments; give one host at least"));
        };
        let (spec, connect_timeout) = (agent.spec().clone(), options.connection.connect_timeout);
        let (mode, on_loss) = (options.autoreset_mode, options.on_loss);
        Ok(Self::of(lanes, spec, mode, on_loss, min_ready as usize, connect_timeout, cancel))
    }

    fn of(
        lanes: Vec<Lane>,
        spec: Spec,
        mode: AutoresetMode,
        on_loss: OnLoss,
        min_ready: usize,
        connect_timeout: Duration,
        cancel: CancelToken,
    ) -> Self {
        let slots: u32 = lanes.iter().map(|lane| lane.slots).sum();
        let limits = limits(&lanes);
        let spec = Spec { slots, autoreset_mode: mode, ..spec };
        Self {
            mode,
            on_loss,
            min_ready,
            connect_timeout,
            observations: VectorObservations::new(&spec, limits),
            results: VectorResults::new(slots as usize),
            actions: SlabSizes::of(&spec.action_space),
            all: (0..slots).collect(),
            some_actions: Vec::new(),
            values: Vec::new(),
            call: Call::Reset,
            failed: None,
            frames: Frames(SmallVec::new()),
            returned: Returned::default(),
            cancel,
            first_ready: FirstReady::new(slots as usize, lanes.len()),
            lanes,
            spec,
        }
    }
}

/// The bounds of the sessions, which all have the same options at this end.
pub(super) fn limits(lanes: &[Lane]) -> Limits {
    lanes.iter().find_map(Lane::session).map_or_else(Limits::default, |agent| *agent.limits())
}

/// Refuses an environment that brings more slots than are left.
fn check_room(spec: &Spec, left: u32) -> Result<()> {
    if spec.slots <= left {
        return Ok(());
    }
    let text = format!("it has {} environments, and {left} more are wanted; start it with fewer", spec.slots);
    Err(Error::new(ErrorKind::Incompatible, text))
}

/// Refuses environments that reset themselves in another mode, and such of which all observations fit no frame.
pub(in crate::endpoint) fn check_spec(spec: &Spec, limits: &Limits, mode: AutoresetMode) -> Result<()> {
    if let Some(sizes) = SlabSizes::of(&spec.observation_space) {
        let bytes = sizes.len(spec.slots as usize);
        limits.fit(ErrorKind::Incompatible, "batch of all observations", bytes)?;
    }
    if [mode, AutoresetMode::Disabled].contains(&spec.autoreset_mode) {
        return Ok(());
    }
    let text = format!(
        "the environments reset themselves in mode {}, where {mode} was asked for; ask for their own mode",
        spec.autoreset_mode
    );
    Err(Error::new(ErrorKind::Incompatible, text))
}
