//! RawVectorEnv: several environments of one session, below typed spaces and Python's objects. Each has an env slot.

use std::time::Instant;

use super::{
    replaceable::{Replaceable, Search},
    source::Source,
};
use crate::{
    endpoint::{
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
    value::Value,
    wire::{AutoresetMode, Frames, Reset, Row, Rows, Seed, Slots, Spec},
};

/// Several environments in another process, which step at once: one frame there, one back.
///
/// [`ClientVectorEnv`](crate::ClientVectorEnv) gives it typed spaces, and a binding to another language that language's
/// objects. Calls wait as those of a [`RawEnv`](super::super::RawEnv) do. The next episode of a slot begins as the
/// [`AutoresetMode`] says, which the host sees to if it can, otherwise this end.
#[derive(Debug)]
pub struct RawVectorEnv {
    session: Replaceable,
    mode: AutoresetMode,
    observations: VectorObservations,
    results: VectorResults,
    actions: Option<SlabSizes>,
    /// Whether the episode of each slot has ended, and this end begins the next one with the next step.
    is_due: Vec<bool>,
    /// The slots of a request, and their actions, where the request is not about all slots.
    slots: Slots,
    some_actions: Vec<u8>,
    /// Requests whose answers have not come.
    under_way: usize,
    /// What is waited for.
    call: Call,
}

/// What a call brought, by slot. What a slot was not asked about is as it was.
#[derive(Debug, Default)]
pub struct VectorResults {
    /// The reward of each slot.
    pub rewards: Vec<f64>,
    /// Whether the task ended the episode of each slot.
    pub terminations: Vec<bool>,
    /// Whether something else ended it.
    pub truncations: Vec<bool>,
    /// Slots that have an info that is not empty, in order.
    pub infos: Vec<(u32, Value)>,
    /// The ends of episodes of slots that have begun another one, in order.
    pub lasts: Vec<LastRow>,
}

impl VectorResults {
    fn new(slots: usize) -> Self {
        let (terminations, truncations) = (vec![false; slots], vec![false; slots]);
        Self { rewards: vec![0.0; slots], terminations, truncations, ..Self::default() }
    }
}

impl RawVectorEnv {
    /// Dials the host at `address`, or starts the program that an `exec:` address names, and has it make `slots`
    /// environments; 0: as many as the host has.
    pub fn connect(
        address: &str,
        options: AgentOptions,
        slots: u32,
        mode: AutoresetMode,
        wait: &mut Wait<'_>,
    ) -> Result<Self> {
        let mut session = Replaceable::open(Source::at(address, options.several(slots, mode))?, wait)?;
        if let Err(error) = check(session.agent.spec(), slots, mode) {
            session.agent.leave(&error);
            return Err(error);
        }
        let spec = session.agent.spec();
        let slots = spec.slots as usize;
        Ok(Self {
            mode,
            observations: VectorObservations::new(spec, *session.agent.limits()),
            results: VectorResults::new(slots),
            actions: SlabSizes::of(&spec.action_space),
            is_due: vec![false; slots],
            slots: Slots::new(),
            some_actions: Vec::new(),
            under_way: 0,
            call: Call::Reset,
            session,
        })
    }

    /// Spaces, metadata and the rest of what the host told.
    pub fn spec(&self) -> &Spec {
        self.session.agent.spec()
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

    /// Whether the host vanished for good. Only `reset` may go on then, with another one.
    pub fn is_lost(&self) -> bool {
        self.session.agent.is_lost()
    }

    /// Changes what is done about a host that vanished for good.
    pub fn set_on_loss(&mut self, on_loss: OnLoss) {
        self.session.on_loss = on_loss;
    }

    /// The search for another host, for a thread that may want to end it.
    pub fn search(&self) -> &Search {
        self.session.search()
    }

    /// Gymnasium's `reset` of these slots, with a seed for each that is to have one. Late answers are dropped.
    ///
    /// Where the host is lost and `on_loss` or `restarts` allow for another one, every slot has to be among these.
    pub fn reset(&mut self, rows: &[(u32, Option<Seed>)], options: &Value, wait: &mut Wait<'_>) -> Result<()> {
        self.send_reset(rows, options, wait)?;
        self.receive(wait)
    }

    /// Asks for that, without waiting for the answer.
    pub fn send_reset(&mut self, rows: &[(u32, Option<Seed>)], options: &Value, wait: &mut Wait<'_>) -> Result<()> {
        let timeout = wait.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let is_whole = rows.len() == self.observations.slots();
        if is_whole && self.session.replace(wait)? {
            wait.deadline = timeout.and_then(|time| Instant::now().checked_add(time));
            check(self.spec(), self.observations.slots() as u32, self.mode)?;
            self.under_way = 0;
        }
        if self.session.agent.waiting().is_some_and(|(_, late)| late) {
            self.session.agent.drop_late(wait).map_err(|error| self.late_yet(error))?;
            self.under_way = 0;
        }
        self.begin(Call::Reset)?;
        for (slot, _) in rows {
            let slot = *slot as usize;
            (self.results.terminations[slot], self.results.truncations[slot]) = (false, false);
            self.is_due[slot] = false;
        }
        let reset = Reset { rows: rows.iter().cloned().collect(), options: options.clone() };
        self.send(|session, wait| session.agent.send_reset(&reset, wait), wait)
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
        let slots = self.observations.slots();
        if self.is_due.iter().any(|due| *due) {
            return self.send_step_and_resets(packed, actions, wait);
        }
        self.fill_slots((0..slots as u32).collect());
        let all = std::mem::take(&mut self.slots);
        let sent = self.send(|session, wait| session.agent.send_step(&all, packed, actions, wait), wait);
        self.slots = all;
        sent
    }

    fn fill_slots(&mut self, slots: Slots) {
        if self.slots != slots {
            self.slots = slots;
        }
    }

    /// The same where this end begins the next episodes of slots.
    fn send_step_and_resets(&mut self, packed: bool, actions: &[u8], wait: &mut Wait<'_>) -> Result<()> {
        let all = self.is_due.len();
        let (due, others): (Slots, Slots) = (0..all as u32).partition(|slot| self.is_due[*slot as usize]);
        if !others.is_empty() {
            self.pick_actions(packed, actions, &others)?;
            let mut picked = std::mem::take(&mut self.some_actions);
            let sent = self.send(|session, wait| session.agent.send_step(&others, packed, &mut picked, wait), wait);
            self.some_actions = picked;
            sent?;
        }
        self.send_resets(&due, wait)
    }

    /// Asks for new episodes in these slots, as an environment that begins them by itself would.
    fn send_resets(&mut self, slots: &[u32], wait: &mut Wait<'_>) -> Result<()> {
        let reset = Reset { rows: slots.iter().map(|slot| (*slot, None)).collect(), options: Value::None };
        self.send(|session, wait| session.agent.send_reset(&reset, wait), wait)?;
        slots.iter().for_each(|slot| self.is_due[*slot as usize] = false);
        Ok(())
    }

    /// Writes the actions of some slots into `some_actions`.
    fn pick_actions(&mut self, packed: bool, actions: &[u8], slots: &[u32]) -> Result<()> {
        let all = self.is_due.len();
        self.some_actions.clear();
        if packed {
            let sizes = self.actions.as_ref().ok_or_else(|| Error::protocol("packed actions of an unpacked space"))?;
            sizes.check(actions, all)?;
            self.some_actions.resize(sizes.len(slots.len()), 0);
            for (i, slot) in slots.iter().enumerate() {
                let from = (actions, all, *slot as usize);
                sizes.copy_row(from, (&mut self.some_actions, slots.len(), i));
            }
            return Ok(());
        }
        let mut reader = crate::wire::Reader::new(actions, 0, self.session.agent.limits());
        for slot in 0..all as u32 {
            let action = reader.split_value()?;
            if slots.contains(&slot) {
                self.some_actions.extend_from_slice(action.rest());
            }
        }
        Ok(())
    }

    /// Waits for the answers that are under way. At the deadline the error's kind is [`Timeout`](ErrorKind::Timeout):
    /// what has come is kept, and [`late`](Self::late) waits for the rest.
    pub fn receive(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        let mut failed = None;
        while self.under_way > 0 {
            match self.session.agent.receive_reply(wait) {
                Ok(Reply::Rows(call, rows, received)) => {
                    self.under_way -= 1;
                    if let Err(error) = self.take_rows(call, rows, received, wait) {
                        failed.get_or_insert(error);
                    }
                }
                Ok(_) => return Err(Error::protocol("a reset or step was answered with something else")),
                Err(error) if error.kind() == ErrorKind::Timeout => return Err(self.session.agent.overdue()),
                Err(error) if self.session.agent.waiting().is_none() || self.is_lost() => {
                    self.under_way = 0;
                    return Err(failed.unwrap_or(error));
                }
                Err(error) => {
                    self.under_way -= 1;
                    failed.get_or_insert(error);
                }
            }
        }
        self.results.infos.sort_by_key(|(slot, _)| *slot);
        self.results.lasts.sort_by_key(|last| last.slot);
        failed.map_or(Ok(()), Err)
    }

    /// The same for a call that ran into its deadline or was [given up](Self::give_up); returns which call that was.
    pub fn late(&mut self, wait: &mut Wait<'_>) -> Result<Call> {
        if !self.session.agent.waiting().is_some_and(|(_, late)| late) {
            return Err(Error::new(ErrorKind::Usage, "no answer is late; late() follows a call that timed out"));
        }
        self.receive(wait)?;
        Ok(self.call)
    }

    /// Says that the answers under way, if any, are not waited for any more: they are late.
    pub fn give_up(&mut self) {
        self.session.agent.give_up();
    }

    /// The request under way, and whether it was given up.
    pub fn waiting(&self) -> Option<(Call, bool)> {
        self.session.agent.waiting()
    }

    /// Gymnasium's `render` of all slots.
    pub fn render(&mut self, wait: &mut Wait<'_>) -> Result<Frames> {
        let slots: Slots = (0..self.observations.slots() as u32).collect();
        self.session.agent.send_render(&slots, wait).map_err(|error| self.late_yet(error))?;
        match self.session.agent.receive_reply(wait).map_err(|error| self.late_yet(error))? {
            Reply::Frames(mut frames) => {
                frames.0.sort_by_key(|(slot, _)| *slot);
                Ok(frames)
            }
            _ => Err(Error::protocol("a render was answered with something else")),
        }
    }

    /// Closes the environments and ends the session: see [`Agent::close_unless`](super::super::Agent::close_unless).
    pub fn close(&mut self, wait: &mut Wait<'_>) -> Result<()> {
        self.session.agent.close_unless(wait)
    }

    /// Ends the session, and tells the host why.
    pub fn leave(&mut self, why: &Error) {
        self.session.agent.leave(why);
    }

    /// Says goodbye but waits for nothing. A thread sees to the end of a program that was launched.
    pub fn let_go(&mut self) {
        self.session.agent.let_go();
    }

    /// Forgets the connection without a word to the peer, for a forked child: it is still the parent's.
    pub fn abandon(&mut self) {
        self.session.agent.abandon();
    }

    fn begin(&mut self, call: Call) -> Result<()> {
        if let Some((call, late)) = self.session.agent.waiting() {
            let advice = if late { "late() fetches its answer, reset() drops it" } else { "wait for its answer first" };
            return Err(Error::new(ErrorKind::Busy, format!("a {call:?} is under way; {advice}")));
        }
        self.call = call;
        self.under_way = 0;
        self.results.infos.clear();
        self.results.lasts.clear();
        Ok(())
    }

    fn send(
        &mut self,
        send: impl FnOnce(&mut Replaceable, &mut Wait<'_>) -> Result<()>,
        wait: &mut Wait<'_>,
    ) -> Result<()> {
        let sent = send(&mut self.session, wait);
        if self.session.agent.waiting().is_some() {
            self.under_way += 1;
        }
        sent.map_err(|error| self.late_yet(error))
    }

    /// Takes the answer to a request; begins further episodes where that is due at this end.
    fn take_rows(&mut self, call: Call, rows: Rows, received: Received, wait: &mut Wait<'_>) -> Result<()> {
        let is_ours = self.spec().autoreset_mode != self.mode;
        let is_reset = call == Call::Reset;
        // A reset within a step, which Gymnasium's own vector environments answer with a reward of zero.
        let within_step = is_reset && self.call == Call::Step;
        self.observations.take(&rows, received, &mut self.results.lasts)?;
        let mut due = Slots::new();
        for Row { slot, first, last, terminated, truncated, reward, info } in rows {
            if last {
                continue;
            }
            let at = slot as usize;
            let results = &mut self.results;
            if !is_reset {
                results.rewards[at] = reward;
                (results.terminations[at], results.truncations[at]) = (terminated, truncated);
            } else if within_step && self.mode == AutoresetMode::NextStep {
                results.rewards[at] = 0.0;
                (results.terminations[at], results.truncations[at]) = (false, false);
            }
            let ended = (terminated || truncated) && !first && !is_reset;
            match self.mode {
                AutoresetMode::SameStep if is_ours && ended => {
                    results.lasts.push(LastRow { slot, observation: self.observations.copy(at), info });
                    due.push(slot);
                    continue;
                }
                AutoresetMode::NextStep => self.is_due[at] = is_ours && ended,
                _ => {}
            }
            if !matches!(&info, Value::Dict(map) if map.is_empty()) {
                results.infos.push((slot, info));
            }
        }
        if due.is_empty() { Ok(()) } else { self.send_resets(&due, wait) }
    }

    /// Says what to do about an answer that may still come.
    fn late_yet(&mut self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Timeout => self.session.agent.overdue(),
            _ => error,
        }
    }
}

/// Whether the host made what was asked for.
fn check(spec: &Spec, slots: u32, mode: AutoresetMode) -> Result<()> {
    let incompatible = |text: String| Err(Error::new(ErrorKind::Incompatible, text));
    if slots != 0 && spec.slots != slots {
        return incompatible(format!(
            "{slots} environments were asked for, and the host has {}; ask for as many, or take a host that makes them",
            spec.slots
        ));
    }
    if ![mode, AutoresetMode::Disabled].contains(&spec.autoreset_mode) {
        return incompatible(format!(
            "the environments reset themselves in mode {}, where {mode} was asked for; ask for their own mode",
            spec.autoreset_mode
        ));
    }
    Ok(())
}
