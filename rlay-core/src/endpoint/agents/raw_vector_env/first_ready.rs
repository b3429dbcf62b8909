//! First ready: actions for some of the slots of a vector, and rows as they come.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use smallvec::smallvec;

use super::{RawVectorEnv, Seeds, opening::limits};
use crate::{
    endpoint::{
        agents::{agent::Agent, vector_actions::AllActions},
        wait::{SLICE, Wait},
    },
    error::{Error, ErrorKind, Result},
    net::PollSet,
    session::Call,
    value::Value,
    wire::{Reset, Slots, put_value},
};

/// So many bytes of requests may be under way in a lane beside the next one: a host that waits for room for its answers
/// reads no requests meanwhile.
const UNDER_WAY: usize = 32 << 10;

/// What is under way, by slot and by lane.
#[derive(Debug, Default)]
pub(super) struct FirstReady {
    /// Whether anything was ever sent for by slot: lockstep alone looks at nothing of this.
    is_used: bool,
    pub(super) turns: Vec<Turn>,
    pub(super) news: Vec<News>,
    /// When each slot was last sent for.
    pub(super) asked: Vec<Option<Instant>>,
    /// Slots whose rows have come, in the order in which they did.
    pub(super) ready: VecDeque<u32>,
    /// What has failed in slots, each of which `recv` reports.
    pub(super) failures: VecDeque<Error>,
    /// Slots whose rows the last `recv` has returned.
    pub(super) received: Vec<u32>,
    pub(super) lanes: Vec<Work>,
    /// The lane that is looked at first, so that none is always the last.
    pub(super) next: usize,
    /// When slots that have not answered in time were last looked for.
    checked: Option<Instant>,
    pub(super) poll_set: PollSet,
    /// What each descriptor in the set belongs to.
    pub(super) polled: Vec<usize>,
}

/// What a slot waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// An action.
    Agent,
    /// The answer to a request.
    Env,
    /// An environment.
    Vacant,
    /// `recv`: its row has come.
    Ready,
}

/// What has become of a slot meanwhile, which its next row is to say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    None,
    /// Its environment is lost: why.
    Lost(Value),
    /// Another environment is there, and its first row has come.
    Found,
}

/// The requests of a lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    /// Bytes of requests that were not answered.
    pub(super) bytes: usize,
    /// Whether another look is worth it at once.
    pub(super) has_more: bool,
}

impl FirstReady {
    pub(super) fn new(slots: usize, lanes: usize) -> Self {
        Self {
            turns: vec![Turn::Agent; slots],
            news: vec![News::None; slots],
            asked: vec![None; slots],
            lanes: vec![Work::default(); lanes],
            ..Self::default()
        }
    }

    /// Whether a row is under way, or has come and was not received.
    pub(super) fn is_active(&self) -> bool {
        self.is_used && (!self.failures.is_empty() || self.turns.iter().any(|turn| *turn != Turn::Agent))
    }

    /// A slot of which `step` could not tell what has become.
    pub(super) fn first_news(&self) -> Option<usize> {
        if self.is_used { self.news.iter().position(|news| *news != News::None) } else { None }
    }

    /// A slot begins anew.
    pub(super) fn forget_news(&mut self, slot: u32) {
        self.news[slot as usize] = News::None;
    }

    /// Forgets everything, for all slots are reset.
    pub(super) fn clear(&mut self) {
        self.turns.fill(Turn::Agent);
        self.news.fill(News::None);
        self.lanes.fill(Work::default());
        self.ready.clear();
        self.failures.clear();
        self.received.clear();
    }

    pub(super) fn arrive(&mut self, slot: usize) {
        self.turns[slot] = Turn::Ready;
        self.ready.push_back(slot as u32);
    }

    fn under_way(&self) -> usize {
        self.turns.iter().filter(|turn| matches!(turn, Turn::Env | Turn::Vacant)).count()
    }
}

impl RawVectorEnv {
    /// Has these slots take one action each, without waiting for anything; [`recv`](Self::recv) returns the rows as they
    /// come. `actions` are as for [`step`](Self::step), one for each of `slots` in their order.
    ///
    /// Each slot gets a request of its own, so that none waits for another. Where more than some 32 KB of requests are
    /// under way in one session, answers are taken in before the next goes out, for its host may wait to be rid of them.
    /// An error of kind
    /// [`Busy`](ErrorKind::Busy) if the row of one of them is still to come or to be received; then nothing is sent.
    ///
    /// A slot whose episode has ended begins the next one in place of the action, as the autoreset mode says. One whose
    /// environment was lost has its next row when another has taken its place: the first of an episode.
    pub fn send(&mut self, slots: &[u32], packed: bool, actions: &[u8], wait: &mut Wait<'_>) -> Result<()> {
        self.check_free(slots, Call::Step)?;
        let (sizes, mut values) = (self.actions.take(), std::mem::take(&mut self.values));
        let sent = AllActions::new(sizes.as_ref(), packed, actions, slots.len(), &mut values, &limits(&self.lanes))
            .and_then(|actions| self.send_each(slots, actions, wait));
        (self.actions, self.values) = (sizes, values);
        sent
    }

    /// Sends each of these slots the action of its row.
    fn send_each(&mut self, slots: &[u32], actions: AllActions<'_>, wait: &mut Wait<'_>) -> Result<()> {
        self.begin_to_send(slots, Call::Step);
        for (row, slot) in slots.iter().enumerate() {
            if self.is_told(*slot as usize) {
                continue;
            }
            let mut action = std::mem::take(&mut self.some_actions);
            actions.pick(0, &[row as u32], &mut action);
            let sent = self.send_action(*slot, actions.is_packed(), &mut action, wait);
            self.some_actions = action;
            sent.inspect_err(|_| self.turns_back(&slots[row..]))?;
        }
        Ok(())
    }

    /// Begins an episode in each of these slots, with its seed, without waiting for anything; see [`send`](Self::send).
    pub fn send_resets(&mut self, rows: Seeds<'_>, options: &Value, wait: &mut Wait<'_>) -> Result<()> {
        let slots: Slots = rows.iter().map(|(slot, _)| *slot).collect();
        self.check_free(&slots, Call::Reset)?;
        let mut measured = Vec::new();
        put_value(&mut measured, options);
        self.begin_to_send(&slots, Call::Reset);
        for (row, (slot, seed)) in rows.iter().enumerate() {
            self.first_ready.news[*slot as usize] = News::None;
            let at = self.lane_of(*slot);
            let own = *slot - self.lanes[at].first;
            let reset = Reset { rows: smallvec![(own, seed.clone())], options: options.clone() };
            let sent =
                self.send_request(*slot, 64 + measured.len(), |agent, wait| agent.send_reset(&reset, wait), wait);
            sent.inspect_err(|_| self.turns_back(&slots[row..]))?;
        }
        Ok(())
    }

    /// Waits for rows that [`send`](Self::send) has asked for: for `min` of them, or as many as are under way if that is
    /// less. Their slots, at most `max`, in the order in which they came, are [`received`](Self::received). At the
    /// deadline of `wait` these are those that have come; a deadline in the past polls. No row is lost or received twice.
    ///
    /// What they say is in [`results`](Self::results) and [`observations`](Self::observations), by slot: other slots are
    /// as they were.
    ///
    /// What fails in one slot is the error, which says in which. The slot then waits for an action or a reset, and the
    /// rows of others for the next call. A slot that has not answered within `timeout` is an error of kind
    /// [`Timeout`](ErrorKind::Timeout), and its row may still come; but where lanes are replaced, its environment is
    /// lost. An error of kind [`Usage`](ErrorKind::Usage) if nothing is under way.
    pub fn recv(&mut self, min: usize, max: usize, timeout: Option<Duration>, wait: &mut Wait<'_>) -> Result<()> {
        self.forget_received();
        let outstanding = self.first_ready.under_way() + self.first_ready.ready.len();
        if outstanding == 0 && self.first_ready.failures.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "nothing is under way; send actions first"));
        }
        let (min, max) = (min.min(outstanding), max.max(1));
        let (began, mut is_noticed) = (Instant::now(), false);
        let mut next_check = began + SLICE;
        loop {
            let lacks = self.first_ready.ready.len() < min;
            self.look(max, lacks, timeout, wait)?;
            if let Some(error) = self.first_ready.failures.pop_front() {
                return Err(error);
            }
            let now = Instant::now();
            // Also where there are always rows of others, though not at each call.
            let is_due = self.first_ready.checked.is_none_or(|checked| now - checked >= SLICE);
            if is_due || self.first_ready.ready.len() < min {
                self.first_ready.checked = Some(now);
                self.check_overdue(timeout, wait)?;
            }
            if self.first_ready.ready.len() >= min || wait.deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            if now >= next_check {
                wait.check_interrupts()?;
                next_check = now + SLICE;
            }
            if let Some(slot) = self.vacant_for_good(began) {
                if self.first_ready.ready.is_empty() {
                    return Err(self.in_vain(self.lane_of(slot), crate::bridge::timeout()));
                }
                break;
            }
            if !is_noticed {
                is_noticed = self.notice(began, wait);
            }
        }
        let number = max.min(self.first_ready.ready.len());
        let first_ready = &mut self.first_ready;
        for slot in first_ready.ready.drain(..number) {
            first_ready.turns[slot as usize] = Turn::Agent;
            first_ready.received.push(slot);
        }
        Ok(())
    }

    /// Has the next [`recv`](Self::recv) return once more what the last one has, for a caller that could not use it.
    pub fn receive_again(&mut self) {
        let first_ready = &mut self.first_ready;
        while let Some(slot) = first_ready.received.pop() {
            first_ready.turns[slot as usize] = Turn::Ready;
            first_ready.ready.push_front(slot);
        }
    }

    /// The slots that the last [`recv`](Self::recv) has returned.
    pub fn received(&self) -> &[u32] {
        &self.first_ready.received
    }

    /// Whether [`recv`](Self::recv) has something to wait for or to return.
    pub fn has_rows_to_receive(&self) -> bool {
        self.first_ready.is_active()
    }

    /// Refuses slots that cannot be asked for something now.
    fn check_free(&self, slots: &[u32], call: Call) -> Result<()> {
        self.cancel.check()?;
        self.check_joined()?;
        self.check_named(slots.iter().copied())?;
        if let Some((call, _)) = self.waiting().filter(|_| !self.first_ready.is_active()) {
            return Err(Error::new(ErrorKind::Busy, format!("a {call:?} is under way; wait for its answer first")));
        }
        for slot in slots {
            match self.first_ready.turns[*slot as usize] {
                Turn::Agent => {}
                Turn::Ready => {
                    let text = format!("the row of slot {slot} has come and was not received; call recv first");
                    return Err(Error::new(ErrorKind::Busy, text));
                }
                Turn::Env | Turn::Vacant => {
                    let text = format!("slot {slot} is under way; receive its row before it is sent for again");
                    return Err(Error::new(ErrorKind::Busy, text));
                }
            }
            let lane = &self.lanes[self.lane_of(*slot)];
            if call == Call::Step && lane.session().is_some_and(|agent| agent.needs_reset(*slot - lane.first)) {
                let text = format!("slot {slot} was never reset; reset it before the first action");
                return Err(Error::new(ErrorKind::ResetNeeded, text));
            }
        }
        Ok(())
    }

    fn begin_to_send(&mut self, slots: &[u32], call: Call) {
        self.forget_received();
        self.first_ready.is_used = true;
        self.call = call;
        if call == Call::Reset {
            slots.iter().for_each(|slot| self.results.begin_episode(*slot as usize));
        }
    }

    /// Drops what was received of other slots than those that are under way.
    fn forget_received(&mut self) {
        let FirstReady { turns, news, .. } = &self.first_ready;
        let is_due = |slot: u32| turns[slot as usize] != Turn::Agent || news[slot as usize] == News::Found;
        self.results.infos.retain(|(slot, _)| is_due(*slot));
        self.results.lasts.retain(|last| turns[last.slot as usize] != Turn::Agent);
        self.first_ready.received.clear();
    }

    /// The slots that could not be sent for wait for an action again, but those that have become vacant, and one whose
    /// request goes out once there is another connection.
    fn turns_back(&mut self, slots: &[u32]) {
        for slot in slots {
            let is_under_way = self.is_under_way(*slot);
            let turn = &mut self.first_ready.turns[*slot as usize];
            if *turn == Turn::Env && !is_under_way {
                *turn = Turn::Agent;
            }
        }
    }

    /// Whether the session of a slot waits for an answer about it.
    pub(super) fn is_under_way(&self, slot: u32) -> bool {
        let lane = &self.lanes[self.lane_of(slot)];
        lane.session().is_some_and(|agent| !agent.is_lost() && agent.is_waiting(slot - lane.first))
    }

    pub(super) fn lane_of(&self, slot: u32) -> usize {
        self.lanes.partition_point(|lane| lane.first + lane.slots <= slot)
    }

    /// Whether the next row of a slot is there without the environment.
    fn is_told(&mut self, slot: usize) -> bool {
        match std::mem::replace(&mut self.first_ready.news[slot], News::None) {
            News::None => return false,
            News::Lost(why) => self.say_lost(slot, why),
            News::Found => self.results.begin_episode(slot),
        }
        self.first_ready.arrive(slot);
        true
    }

    fn send_action(&mut self, slot: u32, packed: bool, action: &mut Vec<u8>, wait: &mut Wait<'_>) -> Result<()> {
        let at = self.lane_of(slot);
        let own = slot - self.lanes[at].first;
        let len = action.len() + 64;
        if self.is_due(at, own) {
            // As Gymnasium's own vector environments do, with a reward of zero.
            self.results.begin_episode(slot as usize);
            let reset = Reset { rows: smallvec![(own, None)], options: Value::None };
            return self.send_request(slot, len, |agent, wait| agent.send_reset(&reset, wait), wait);
        }
        self.send_request(slot, len, |agent, wait| agent.send_step(&[own], packed, action, wait), wait)
    }

    /// Sends a request of `len` bytes or so about one slot, unless that has no environment.
    fn send_request(
        &mut self,
        slot: u32,
        len: usize,
        send: impl FnOnce(&mut Agent, &mut Wait<'_>) -> Result<()>,
        wait: &mut Wait<'_>,
    ) -> Result<()> {
        let at = self.lane_of(slot);
        while self.lanes[at].under_way > 0 && self.first_ready.lanes[at].bytes + len > UNDER_WAY {
            self.take_reply(at, wait)?;
        }
        let loss = self.lanes[at].session().and_then(Agent::loss).cloned();
        if let Some(why) = loss.filter(|_| self.lanes[at].may_replace(self.on_loss)) {
            // Found out by another call. The row of a step says so; a reset begins with the next environment.
            let is_step = self.call == Call::Step;
            self.first_ready.turns[slot as usize] = if is_step { Turn::Env } else { Turn::Vacant };
            self.lose_lane(at, &why, wait);
            return Ok(());
        }
        if self.lanes[at].is_vacant() {
            self.first_ready.turns[slot as usize] = Turn::Vacant;
            return Ok(());
        }
        let Some(agent) = self.lanes[at].agent() else { return Ok(()) };
        self.first_ready.turns[slot as usize] = Turn::Env;
        let sent = send(agent, wait);
        if self.is_under_way(slot) {
            self.lanes[at].under_way += 1;
            self.first_ready.lanes[at].bytes += len;
            self.first_ready.asked[slot as usize] = Some(Instant::now());
        }
        match sent {
            Err(error) if error.kind() == ErrorKind::ConnectionLost && self.lanes[at].may_replace(self.on_loss) => {
                self.lose_lane(at, &error, wait);
                Ok(())
            }
            sent => sent.map_err(|error| error.of_slot(slot)),
        }
    }
}
