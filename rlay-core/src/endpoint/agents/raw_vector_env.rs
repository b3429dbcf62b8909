//! RawVectorEnv: several environments, of one session or of many, below typed spaces and Python's objects. Each has an
//! env slot.

mod arrivals;
mod first_ready;
mod losses;
pub(in crate::endpoint) mod opening;
mod readiness;

use std::time::{Duration, Instant};

use first_ready::FirstReady;
use opening::limits;

use super::{agent::Agent, lane::Lane, vector_actions::AllActions, vector_results::VectorResults};
use crate::{
    cancel_token::CancelToken,
    endpoint::{options::OnLoss, wait::Wait},
    error::{Error, ErrorKind, Result},
    session::{Call, agent_core::Reply, observations::VectorObservations, received::Received},
    space::stacked::SlabSizes,
    value::Value,
    wire::{Access, Attribute, AutoresetMode, Frames, Reset, Returned, Rows, Seed, Slots, Spec},
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
