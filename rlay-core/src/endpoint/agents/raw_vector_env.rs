//! RawVectorEnv: several environments, of one session or of many, below typed spaces and Python's objects. Each has an
//! env slot.

mod arrivals;
mod first_ready;
mod readiness;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use first_ready::FirstReady;
use smallvec::SmallVec;

use super::{
    agent::Agent,
    lane::{Lane, check_slots},
    source::{Origin, Source},
    vector_actions::AllActions,
    vector_results::VectorResults,
};
use crate::{
    cancel_token::CancelToken,
    endpoint::{
        accept::acceptor::Acceptor,
        options::{AgentOptions, OnLoss},
        wait::Wait,
    },
    error::{Error, ErrorKind, Result},
    session::{
        Call,
        agent_core::Reply,
        observations::{LastRow, VectorObservations},
        received::Received,
    },
    space::stacked::SlabSizes,
    value::{Map, Value},
    wire::{Access, Attribute, AutoresetMode, Frames, Limits, Reset, Returned, Rows, Seed, Slots, Spec},
};

/// Several environments in other processes, which step at once.
///
/// The slots are those of one session, of which one frame goes there and one comes back, or of several: each session is
/// a *lane* of one slot or more. Lanes may be lost, and others found in their place, one by one
/// ([`OnLoss`]):
///
/// - `Raise`: the call fails, and every later one.
/// - `Replace`: another environment is looked for meanwhile. In the rows of its slots nothing has happened, and their
///   infos say `"vacant"`, and first `"lost"`, which says why. Its first row has its first observation.
/// - `Truncate`: the same, but the rows say truncated, so that the transition to an observation of another episode is
///   not taken for a step.
///
/// [`ClientVectorEnv`](crate::ClientVectorEnv) and [`ServerVectorEnv`](crate::ServerVectorEnv) give it typed spaces, and
/// a binding to another language that language's objects. Calls wait as those of a [`RawEnv`](super::super::RawEnv) do.
/// The next episode of a slot begins as the [`AutoresetMode`] says, which the host sees to if it can, otherwise this
/// end.
#[derive(Debug)]
pub struct RawVectorEnv {
    lanes: Vec<Lane>,
    spec: Spec,
    mode: AutoresetMode,
    on_loss: OnLoss,
    /// How many slots must have an environment for a reset to go on.
    min_ready: usize,
    connect_timeout: Duration,
    observations: VectorObservations,
    results: VectorResults,
    actions: Option<SlabSizes>,
    /// All slots, for requests about all.
    all: Slots,
    some_actions: Vec<u8>,
    /// Where the value of each action begins and ends.
    values: Vec<(usize, usize)>,
    /// What is waited for.
    call: Call,
    /// What has failed in one lane, while others go on.
    failed: Option<Error>,
    /// What the last render has brought so far.
    frames: Frames,
    /// The same of the last attribute.
    returned: Returned,
    /// Ends the searches for other environments.
    cancel: CancelToken,
    first_ready: FirstReady,
}

/// Which slots a reset is about, and the seed of each.
type Seeds<'s> = &'s [(u32, Option<Seed>)];

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

    /// Spaces, metadata and the rest of what the first host told, with the number of all slots.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// When the next episode of a slot begins.
    pub fn autoreset_mode(&self) -> AutoresetMode {
        self.mode
    }

    /// The last observation of each slot.
    pub fn observations(&self) -> &VectorObservations {
        &self.observations
    }

    /// The same, to take elements from.
    pub fn observations_mut(&mut self) -> &mut VectorObservations {
        &mut self.observations
    }

    /// What the last call brought.
    pub fn results(&self) -> &VectorResults {
        &self.results
    }

    /// Whether every environment vanished for good, and none is looked for.
    pub fn is_lost(&self) -> bool {
        self.lanes.iter().all(Lane::is_lost)
    }

    /// Whether each slot has no environment at present.
    pub fn vacant(&self) -> impl Iterator<Item = bool> {
        self.lanes.iter().flat_map(|lane| std::iter::repeat_n(lane.is_vacant(), lane.slots as usize))
    }

    /// Changes what is done about environments that vanish for good.
    pub fn set_on_loss(&mut self, on_loss: OnLoss) {
        self.on_loss = on_loss;
    }

    /// Gymnasium's `reset` of these slots, with a seed for each that is to have one. Late answers are dropped. Vacant
    /// lanes are waited for, at most `connect_timeout`, until so many slots as `min_ready` says have an environment.
    pub fn reset(&mut self, rows: Seeds<'_>, options: &Value, wait: &mut Wait<'_>) -> Result<()> {
        self.send_reset(rows, options, wait)?;
        self.receive(wait)
    }

    /// Asks for that, without waiting for the answer.
    pub fn send_reset(&mut self, rows: Seeds<'_>, options: &Value, wait: &mut Wait<'_>) -> Result<()> {
        let timeout = wait.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.check_named(rows.iter().map(|(slot, _)| *slot))?;
        if self.first_ready.is_active() {
            if rows.len() < self.all.len() {
                return Err(rows_under_way());
            }
            // From here on their answers are late ones like any other.
            self.give_up_all();
            self.first_ready.clear();
        }
        self.drop_late(wait)?;
        self.begin(Call::Reset)?;
        rows.iter().for_each(|(slot, _)| self.first_ready.forget_news(*slot));
        if self.fill_lanes(wait)? {
            wait.deadline = timeout.and_then(|time| Instant::now().checked_add(time));
        }
        for (slot, _) in rows {
            let slot = *slot as usize;
            (self.results.terminations[slot], self.results.truncations[slot]) = (false, false);
        }
        for lane in 0..self.lanes.len() {
            let Lane { first, slots, .. } = self.lanes[lane];
            let own = rows.iter().filter(|(slot, _)| (first..first + slots).contains(slot));
            let own = own.map(|(slot, seed)| (slot - first, seed.clone())).collect();
            let reset = Reset { rows: own, options: options.clone() };
            if reset.rows.is_empty() {
                continue;
            }
            if self.lanes[lane].is_vacant() {
                self.fill_vacant(lane);
                continue;
            }
            self.send_to(lane, |agent, wait| agent.send_reset(&reset, wait), wait)?;
        }
        Ok(())
    }

    /// Refuses a call about no slot, about one that does not exist, or about one twice: lanes see their own slots alone.
    fn check_named(&self, slots: impl ExactSizeIterator<Item = u32>) -> Result<()> {
        let usage = |text: String| Err(Error::new(ErrorKind::Usage, text));
        if slots.len() == 0 {
            return usage("no slot is named; name one at least".into());
        }
        let mut is_named = vec![false; self.all.len()];
        for slot in slots {
            match is_named.get_mut(slot as usize) {
                None => return usage(format!("there is no env slot {slot}; there are {}", self.all.len())),
                Some(true) => return usage(format!("slot {slot} is named twice in one call")),
                Some(named) => *named = true,
            }
        }
        Ok(())
    }

    /// Gymnasium's `step` of all slots. `actions` is packed, or one encoded value for each slot; another buffer, of any
    /// content, may be left in its place.
    ///
    /// What fails in one slot is the error, which says in which, and the others have taken their steps all the same.
    pub fn step(&mut self, packed: bool, actions: &mut Vec<u8>, wait: &mut Wait<'_>) -> Result<()> {
        self.send_step(packed, actions, wait)?;
        self.receive(wait)
    }

    /// Asks for that, without waiting for the answer.
    pub fn send_step(&mut self, packed: bool, actions: &mut Vec<u8>, wait: &mut Wait<'_>) -> Result<()> {
        self.begin(Call::Step)?;
        let is_due = (0..self.lanes[0].slots).any(|slot| self.is_due(0, slot));
        if self.lanes.len() == 1 && !is_due && !self.lanes[0].is_vacant() {
            let all = std::mem::take(&mut self.all);
            let sent = self.send_to(0, |agent, wait| agent.send_step(&all, packed, actions, wait), wait);
            self.all = all;
            return sent;
        }
        let (sizes, mut values) = (self.actions.take(), std::mem::take(&mut self.values));
        let sent = AllActions::new(sizes.as_ref(), packed, actions, self.all.len(), &mut values, &limits(&self.lanes))
            .and_then(|actions| self.send_lanes(actions, wait));
        (self.actions, self.values) = (sizes, values);
        sent
    }

    /// Asks each lane for a step, or takes the environment that was found for it.
    fn send_lanes(&mut self, actions: AllActions<'_>, wait: &mut Wait<'_>) -> Result<()> {
        self.await_one(wait)?;
        for lane in 0..self.lanes.len() {
            if let Some((rows, received)) = self.lanes[lane].take_found() {
                self.take_found(lane, rows, received)?;
            } else if self.lanes[lane].is_vacant() {
                self.fill_vacant(lane);
            } else {
                self.send_lane(lane, actions, wait)?;
            }
        }
        Ok(())
    }

    /// Asks one lane for a step, and begins the next episodes that are due at this end.
    fn send_lane(&mut self, lane: usize, actions: AllActions<'_>, wait: &mut Wait<'_>) -> Result<()> {
        let Lane { first, slots, .. } = self.lanes[lane];
        let (due, others): (Slots, Slots) = (0..slots).partition(|slot| self.is_due(lane, *slot));
        if !others.is_empty() {
            actions.pick(first, &others, &mut self.some_actions);
            let packed = actions.is_packed();
            let mut picked = std::mem::take(&mut self.some_actions);
            let sent = self.send_to(lane, |agent, wait| agent.send_step(&others, packed, &mut picked, wait), wait);
            self.some_actions = picked;
            sent?;
        }
        due.iter().for_each(|slot| self.results.begin_episode((first + slot) as usize));
        if due.is_empty() { Ok(()) } else { self.send_resets_to(lane, &due, wait) }
    }

    /// Whether the episode of a slot of this lane has ended, and this end begins the next one.
    fn is_due(&self, lane: usize, slot: u32) -> bool {
        let is_ours = |agent: &&Agent| agent.spec().autoreset_mode != self.mode;
        self.lanes[lane].session().filter(is_ours).is_some_and(|agent| agent.is_done(slot))
    }

    /// Asks for new episodes in these slots of a lane, as an environment that begins them by itself would.
    fn send_resets_to(&mut self, lane: usize, slots: &[u32], wait: &mut Wait<'_>) -> Result<()> {
        let reset = Reset { rows: slots.iter().map(|slot| (*slot, None)).collect(), options: Value::None };
        self.send_to(lane, |agent, wait| agent.send_reset(&reset, wait), wait)
    }

    /// Waits for the answers that are under way. At the deadline the error's kind is [`Timeout`](ErrorKind::Timeout):
    /// what has come is kept, and [`late`](Self::late) waits for the rest. But where lanes are replaced, one that has
    /// not answered by then is lost.
    pub fn receive(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        for lane in 0..self.lanes.len() {
            while self.lanes[lane].under_way > 0 {
                let Some(agent) = self.lanes[lane].agent() else { break };
                match agent.receive_reply(wait) {
                    Ok(Reply::Rows(call, rows, received)) => {
                        self.lanes[lane].under_way -= 1;
                        if let Err(error) = self.take_rows(lane, call, rows, received, wait) {
                            self.failed.get_or_insert(error);
                        }
                    }
                    Ok(Reply::Frames(frames)) => {
                        let Lane { first, under_way, .. } = &mut self.lanes[lane];
                        *under_way -= 1;
                        self.frames.0.extend(frames.0.into_iter().map(|(slot, frame)| (*first + slot, frame)));
                    }
                    Ok(Reply::Returned(returned)) => {
                        let Lane { first, under_way, .. } = &mut self.lanes[lane];
                        *under_way -= 1;
                        self.returned.0.extend(returned.0.into_iter().map(|(slot, value)| (*first + slot, value)));
                    }
                    Ok(_) => return Err(Error::protocol("a request about slots was answered with something else")),
                    Err(error) if error.kind() == ErrorKind::Timeout => self.overdue(lane, wait)?,
                    Err(error) => self.fail(lane, error, wait),
                }
            }
        }
        self.results.finish();
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The same for a call that ran into its deadline or was [given up](Self::give_up); returns which call that was.
    pub fn late(&mut self, wait: &mut Wait<'_>) -> Result<Call> {
        if !self.waiting().is_some_and(|(_, late)| late) {
            return Err(Error::new(ErrorKind::Usage, "no answer is late; late() follows a call that timed out"));
        }
        self.receive(wait)?;
        Ok(self.call)
    }

    /// Says that the answers under way, if any, are not waited for any more: they are late. Rows that
    /// [`recv`](Self::recv) is to return are not.
    pub fn give_up(&mut self) {
        if !self.first_ready.is_active() {
            self.give_up_all();
        }
    }

    fn give_up_all(&mut self) {
        self.lanes.iter_mut().filter_map(Lane::agent).for_each(Agent::give_up);
    }

    /// A request under way, and whether it was given up.
    pub fn waiting(&self) -> Option<(Call, bool)> {
        // A session that is over says so when it is asked for something.
        let alive = self.lanes.iter().filter_map(Lane::session).filter(|agent| agent.alive().is_ok());
        alive.filter_map(Agent::waiting).next()
    }

    /// Gymnasium's `render` of all slots. The frame of a vacant one is [`Value::None`].
    pub fn render(&mut self, wait: &mut Wait<'_>) -> Result<Frames> {
        self.begin(Call::Render)?;
        self.frames.0.clear();
        for lane in 0..self.lanes.len() {
            let slots: Slots = (0..self.lanes[lane].slots).collect();
            self.send_to(lane, |agent, wait| agent.send_render(&slots, wait), wait)?;
        }
        self.receive(wait)?;
        Ok(self.take_frames())
    }

    /// The frames that a late render has brought, one for each slot.
    pub fn take_frames(&mut self) -> Frames {
        let mut frames = Frames(self.all.iter().map(|slot| (*slot, Value::None)).collect());
        for (slot, frame) in self.frames.0.drain(..) {
            frames.0[slot as usize].1 = frame;
        }
        frames
    }

    /// Gets, sets or calls an attribute of all environments; to set it there is one value for each. The values, one for
    /// each slot: `None` of one that is got is a function, and that of a vacant one is [`Value::None`].
    pub fn attribute(&mut self, name: &str, access: Access, wait: &mut Wait<'_>) -> Result<Vec<Option<Value>>> {
        self.send_attribute(name, access, wait)?;
        self.receive(wait)?;
        Ok(self.take_returned())
    }

    /// Asks for that, without waiting for the answer.
    pub fn send_attribute(&mut self, name: &str, mut access: Access, wait: &mut Wait<'_>) -> Result<()> {
        if let Access::Set(values) = &access
            && values.len() != self.all.len()
        {
            let text = format!("{} values for {} environments; give one for each", values.len(), self.all.len());
            return Err(Error::new(ErrorKind::Usage, text));
        }
        self.begin(Call::Attribute)?;
        self.returned.0.clear();
        for lane in 0..self.lanes.len() {
            let slots: Slots = (0..self.lanes[lane].slots).collect();
            let access = match &mut access {
                Access::Set(values) => Access::Set(values.drain(..slots.len()).collect()),
                access => access.clone(),
            };
            let attribute = Attribute { slots, name: name.to_owned(), access };
            if let Err(error) = self.send_to(lane, |agent, wait| agent.send_attribute(&attribute, wait), wait) {
                // Lanes may offer different attributes; those that were asked already are not to stay busy.
                self.receive(wait).or_else(|other| if self.waiting().is_some() { Err(other) } else { Ok(()) })?;
                let first = self.lanes[lane].first;
                return Err(if self.lanes.len() > 1 { error.of_slot(first) } else { error });
            }
        }
        Ok(())
    }

    /// The values that an attribute has brought, one for each slot.
    pub fn take_returned(&mut self) -> Vec<Option<Value>> {
        let mut values = vec![Some(Value::None); self.all.len()];
        for (slot, value) in self.returned.0.drain(..) {
            values[slot as usize] = value;
        }
        values
    }

    /// Closes the environments and ends the sessions, of which those that do not answer are waited for together: see
    /// [`Agent::close_unless`](super::super::Agent::close_unless).
    pub fn close(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        self.cancel_searches();
        let mut result = Ok(());
        if self.lanes.len() > 1 {
            self.lanes.iter_mut().filter_map(Lane::agent).for_each(|agent| agent.ask_to_close(wait));
        }
        for agent in self.lanes.iter_mut().filter_map(Lane::agent) {
            let closed = agent.close_unless(wait);
            result = result.and(closed);
        }
        result
    }

    /// Ends the sessions, and tells the hosts why.
    pub fn leave(&mut self, why: &Error) {
        self.cancel_searches();
        self.lanes.iter_mut().filter_map(Lane::agent).for_each(|agent| agent.leave(why));
    }

    /// Says goodbye but waits for nothing. Threads see to the end of programs that were launched.
    pub fn let_go(&mut self) {
        self.cancel_searches();
        self.lanes.iter_mut().filter_map(Lane::agent).for_each(Agent::let_go);
    }

    /// Forgets the connections without a word to the peers, for a forked child: they are still the parent's.
    pub fn abandon(&mut self) {
        self.lanes.iter_mut().filter_map(Lane::agent).for_each(Agent::abandon);
    }

    fn cancel_searches(&self) {
        self.cancel.cancel();
        self.lanes.iter().for_each(Lane::cancel_search);
    }

    fn check_joined(&self) -> Result<()> {
        if !self.lanes.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Usage, "these environments were joined with others; use the joined vector"))
    }

    fn begin(&mut self, call: Call) -> Result<()> {
        self.cancel.check()?;
        self.check_joined()?;
        if self.first_ready.is_active() {
            return Err(rows_under_way());
        }
        if let Some(slot) = self.first_ready.first_news().filter(|_| call == Call::Step) {
            let text = format!("slot {slot} has another environment than before; send for its row, or reset it");
            return Err(Error::new(ErrorKind::Usage, text));
        }
        if let Some((call, late)) = self.waiting() {
            let advice = if late { "late() fetches its answer, reset() drops it" } else { "wait for its answer first" };
            return Err(Error::new(ErrorKind::Busy, format!("{} is under way; {advice}", call.named())));
        }
        self.call = call;
        self.failed = None;
        self.lanes.iter_mut().for_each(|lane| lane.under_way = 0);
        if call.has_rows() {
            self.results.begin();
        }
        Ok(())
    }

    /// Receives and drops answers to requests that were given up.
    fn drop_late(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        for lane in &mut self.lanes {
            let Some(agent) = lane.agent() else { continue };
            match agent.drop_late(wait) {
                Err(error) if error.kind() == ErrorKind::Timeout => return Err(agent.overdue()),
                // Nothing is lost with an environment that was to begin anew; the reset says so if none takes its place.
                Err(_) if agent.is_lost() => {}
                result => result?,
            }
            lane.under_way = 0;
        }
        Ok(())
    }

    /// Has another environment looked for in each lane that is lost, if that is wanted, and waits for as many as a reset
    /// needs; returns whether it has waited.
    fn fill_lanes(&mut self, wait: &mut Wait<'_>) -> Result<bool> {
        let (tell, on_loss) = (wait.told_later(), self.on_loss);
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_lost() && lane.may_replace(on_loss)) {
            lane.replace(tell);
        }
        let mut ready: usize = self.lanes.iter().filter(|lane| !lane.is_vacant()).map(|lane| lane.slots as usize).sum();
        let (deadline, mut has_waited) = (Instant::now().checked_add(self.connect_timeout), false);
        for lane in 0..self.lanes.len() {
            if !self.lanes[lane].is_vacant() {
                continue;
            }
            let needed = ready < self.min_ready;
            has_waited |= needed;
            let found = match needed {
                true => {
                    let mut wait = Wait { deadline, ..wait.without_deadline() };
                    let mut wait = wait.with_cancel_of(&self.cancel);
                    Some(self.lanes[lane].await_found(&mut wait).map_err(|error| self.in_vain(lane, error))?)
                }
                false => self.lanes[lane].take_found(),
            };
            if let Some((rows, received)) = found {
                self.take_found(lane, rows, received)?;
                ready += self.lanes[lane].slots as usize;
            }
        }
        self.results.begin();
        Ok(has_waited)
    }

    /// Waits until one lane at least has an environment.
    fn await_one(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        let deadline = Instant::now().checked_add(self.connect_timeout);
        while self.lanes.iter().all(Lane::is_vacant) && !self.lanes.iter_mut().any(Lane::has_found) {
            let mut wait = Wait { deadline, ..wait.without_deadline() };
            let mut wait = wait.with_cancel_of(&self.cancel);
            wait.sleep(Duration::from_millis(10)).map_err(|error| self.in_vain(0, error))?;
        }
        Ok(())
    }

    fn in_vain(&self, lane: usize, error: Error) -> Error {
        if error.kind() != ErrorKind::Timeout {
            return error;
        }
        let (slot, waited) = (self.lanes[lane].first, self.connect_timeout.as_secs_f64());
        let text = format!(
            "no environment has taken env slot {slot} within {waited:.1} s; start another, or raise connect_timeout, or \
             let min_ready say how many are enough"
        );
        Error::new(ErrorKind::Timeout, text).with_source(error)
    }

    fn send_to(
        &mut self,
        lane: usize,
        send: impl FnOnce(&mut Agent, &mut Wait<'_>) -> Result<()>,
        wait: &mut Wait<'_>,
    ) -> Result<()> {
        let Some(agent) = self.lanes[lane].agent() else { return Ok(()) };
        let sent = send(agent, wait);
        let is_under_way = agent.waiting().is_some();
        match sent {
            Ok(()) => {
                self.lanes[lane].under_way += 1;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Timeout => {
                self.lanes[lane].under_way += usize::from(is_under_way);
                self.overdue(lane, wait)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionLost => {
                self.fail(lane, error, wait);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What becomes of a lane that has not answered in time.
    fn overdue(&mut self, lane: usize, wait: &mut Wait<'_>) -> Result<()> {
        let (may_replace, on_loss) = (self.lanes[lane].may_replace(self.on_loss), self.on_loss);
        let Some(agent) = self.lanes[lane].agent() else { return Ok(()) };
        if on_loss == OnLoss::Raise || !may_replace || !self.call.has_rows() {
            let error = agent.overdue();
            self.give_up();
            return Err(error);
        }
        let why = agent.leave_overdue();
        self.lose_any(lane, &why, wait);
        Ok(())
    }

    /// What becomes of a lane of which a request has failed.
    fn fail(&mut self, lane: usize, error: Error, wait: &mut Wait<'_>) {
        let is_lost = self.lanes[lane].is_lost();
        let first = self.lanes[lane].first;
        self.lanes[lane].under_way = match is_lost {
            true => 0,
            false => self.lanes[lane].under_way.saturating_sub(1),
        };
        // A render has no rows in which nothing could have happened; the next step finds the loss, too.
        let has_rows = self.call.has_rows();
        if is_lost && has_rows && self.on_loss != OnLoss::Raise && self.lanes[lane].may_replace(self.on_loss) {
            self.lose_any(lane, &error, wait);
            return;
        }
        let error = match (self.lanes.len(), error.slot()) {
            (1, _) => error,
            (_, slot) => error.of_slot(first + slot.unwrap_or_default()),
        };
        self.failed.get_or_insert(error);
    }

    /// Looks for another environment in place of one that is lost, whichever way its slots are asked.
    fn lose_any(&mut self, lane: usize, why: &Error, wait: &mut Wait<'_>) {
        match self.first_ready.is_active() {
            true => self.lose_lane(lane, why, wait),
            false => self.lose(lane, why, wait),
        }
    }

    /// Looks for another environment in place of one that is lost.
    fn lose(&mut self, lane: usize, why: &Error, wait: &mut Wait<'_>) {
        self.lanes[lane].replace(wait.told_later());
        self.fill_vacant(lane);
        let Lane { first, slots, .. } = self.lanes[lane];
        let why = Value::from(why.to_string());
        for (_, info) in self.results.infos.iter_mut().filter(|(slot, _)| (first..first + slots).contains(slot)) {
            *info = Value::Dict(Map::from([("lost", why.clone()), ("vacant", true.into())]));
        }
    }

    /// Writes the rows of a lane that has no environment.
    fn fill_vacant(&mut self, lane: usize) {
        let Lane { first, slots, .. } = self.lanes[lane];
        let truncated = self.call == Call::Step && self.on_loss == OnLoss::Truncate;
        (first..first + slots).for_each(|slot| self.fill_vacant_slot(slot as usize, truncated));
    }

    fn fill_vacant_slot(&mut self, at: usize, truncated: bool) {
        self.observations.fill(at);
        self.results.rewards[at] = 0.0;
        (self.results.terminations[at], self.results.truncations[at]) = (false, truncated);
        let (slot, info) = (at as u32, Value::Dict(Map::from([("vacant", true)])));
        self.results.infos.push((slot, info));
        if truncated && self.mode == AutoresetMode::SameStep {
            let observation = self.observations.copy(at);
            self.results.lasts.push(LastRow { slot, observation, info: Map::new().into() });
        }
    }

    /// Takes the first rows of an environment that was found.
    fn take_found(&mut self, lane: usize, rows: Rows, received: Received) -> Result<()> {
        let truncated =
            self.call == Call::Step && self.on_loss == OnLoss::Truncate && self.mode == AutoresetMode::SameStep;
        for row in &rows {
            let at = row.slot as usize;
            if truncated {
                let observation = self.observations.copy(at);
                self.results.lasts.push(LastRow { slot: row.slot, observation, info: Map::new().into() });
            }
            self.results.rewards[at] = 0.0;
            (self.results.terminations[at], self.results.truncations[at]) = (false, truncated);
        }
        self.lanes[lane].under_way = 0;
        self.take_first_rows(rows, received)
    }

    /// Takes the rows of the reset that an environment has begun with.
    fn take_first_rows(&mut self, rows: Rows, received: Received) -> Result<()> {
        self.observations.take(&rows, received, &mut self.results.lasts)?;
        rows.into_iter().for_each(|row| self.results.push_info(row.slot, row.info));
        Ok(())
    }

    /// Takes the answer to a request; begins further episodes where that is due at this end.
    fn take_rows(
        &mut self,
        lane: usize,
        call: Call,
        mut rows: Rows,
        received: Received,
        wait: &mut Wait<'_>,
    ) -> Result<()> {
        let first_slot = self.lanes[lane].first;
        let own_mode = self.lanes[lane].session().map_or(self.mode, |agent| agent.spec().autoreset_mode);
        let resets_ended = own_mode != self.mode && self.mode == AutoresetMode::SameStep;
        let mut due = Slots::new();
        let Self { results, observations, .. } = self;
        results.take(observations, first_slot, call, resets_ended, &mut rows, received, &mut due)?;
        if let Some(agent) = self.lanes[lane].agent() {
            agent.reuse(rows);
        }
        if due.is_empty() { Ok(()) } else { self.send_resets_to(lane, &due, wait) }
    }
}

fn rows_under_way() -> Error {
    let text = "rows are under way that send has asked for; receive them first, or reset all environments";
    Error::new(ErrorKind::Busy, text)
}

/// The bounds of the sessions, which all have the same options at this end.
fn limits(lanes: &[Lane]) -> Limits {
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
