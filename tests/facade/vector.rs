//! Several environments in one session: row by row what stepping the same environments here gives, in every autoreset
//! mode, whichever end begins the next episodes.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread::{self, JoinHandle},
};

use rlay::{
    AgentOptions, AnySpace, Array, BoxSpace, Discrete, Env, EnvError, Error, ErrorKind, HostEnv, HostOptions,
    HostSlots, HostVectorEnv, Hosted, Limits, Map, Mem, Metadata, MultiBinary, ResetResult, Result, ServerBackend,
    Space, StepResult, Text, Transport, TransportOptions, Value, VectorOutcome,
    endpoint::{Element, LastRow, RawVectorEnv, Wait},
    session::{Call, EnvEvent, EnvSession, Grant, Local, ServerHandshake},
    wire::{AutoresetMode, Frames, Make, Payload, Reader, Reset, Role, Seed, Spec, put_value},
};

use crate::support::{Deed, Gate, HOLD, HURRY, PATIENCE, WORDS, bounded, fresh, patient, patient_host};

pub(crate) const SLOTS: u32 = 5;
pub(crate) const MODES: [AutoresetMode; 3] =
    [AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep];
pub(crate) const KINDS: [Kind; 3] = [Kind::Packed, Kind::Mixed, Kind::Texts];

const HOSTINGS: [Hosting; 3] = [Hosting::OneThread, Hosting::Threads, Hosting::Plain];

/// How a host steps the environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hosting {
    /// One after another, and begins next episodes by itself.
    OneThread,
    /// The same on several threads.
    Threads,
    /// One after another, and begins no episode.
    Plain,
}

/// Which spaces the environments have, and how they fill them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of several leaves, all with a packed form.
    Packed,
    /// The same, but some observations are not packed, for they are not quite of their space.
    Mixed,
    /// Without a packed form.
    Texts,
}

impl Kind {
    fn observations(self) -> AnySpace {
        match self {
            Self::Texts => Text::new(20, "0123456789 -").describe(),
            _ => AnySpace::Dict(vec![
                ("at".into(), BoxSpace::<f32>::new([3], -1e6, 1e6).describe()),
                ("episode".into(), Discrete::new(1000).describe()),
            ]),
        }
    }

    fn actions(self) -> AnySpace {
        match self {
            Self::Texts => Text::new(20, "0123456789").describe(),
            _ => AnySpace::Tuple(vec![MultiBinary::new(3).describe(), Discrete::new(1000).describe()]),
        }
    }

    fn observation(self, env: &Counter) -> Value {
        let Counter { k, episode, step, action, .. } = *env;
        match self {
            Self::Texts => format!("{k} {episode} {step} {action}").into(),
            _ => {
                let numbers = [k, step, action].map(|n| n as f32);
                let at = if self == Self::Mixed && k == 4 && step % 3 == 1 {
                    Value::List(numbers.iter().map(|n| f64::from(*n).into()).collect())
                } else {
                    Array::new(&[3], &numbers).into()
                };
                Map::from([("at", at), ("episode", episode.into())]).into()
            }
        }
    }

    /// The action that says `n`.
    pub(crate) fn action(self, n: i64) -> Value {
        match self {
            Self::Texts => n.to_string().into(),
            _ => Value::Tuple(vec![Array::new(&[3], &[(n % 2) as i8, 1, 0]).into(), n.into()]),
        }
    }

    fn number(self, action: &Value) -> i64 {
        match action {
            Value::Str(text) => text.parse().expect("a number"),
            Value::Tuple(members) => {
                let n = members[1].as_i64().expect("a number");
                assert_eq!(self.action(n), *action, "it came as it went");
                n
            }
            other => panic!("no action: {other:?}"),
        }
    }

    /// The actions of all slots as a request has them: packed if they can be.
    fn encode(self, numbers: &[i64]) -> (bool, Vec<u8>) {
        let mut out = Vec::new();
        if self == Self::Texts {
            numbers.iter().for_each(|n| put_value(&mut out, &self.action(*n)));
            return (false, out);
        }
        // Three slabs: the bits, the numbers, their marks.
        let pad = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(8), 0);
        numbers.iter().for_each(|n| out.extend([(n % 2) as u8, 1, 0]));
        pad(&mut out);
        numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
        numbers.iter().for_each(|_| out.push(0));
        pad(&mut out);
        (true, out)
    }
}

/// An environment whose episodes end every `k` steps, and whose results show what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    kind: Kind,
    observations: AnySpace,
    actions: AnySpace,
    k: i64,
    episode: i64,
    step: i64,
    action: i64,
    seed: Option<u64>,
    trouble: Option<Deed>,
    gate: Option<Gated>,
}

#[derive(Clone)]
struct Gated(Gate);

impl std::fmt::Debug for Gated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gated")
    }
}

impl Counter {
    pub(crate) fn new(kind: Kind, slot: u32) -> Self {
        let (observations, actions, k) = (kind.observations(), kind.actions(), i64::from(slot) + 2);
        let (seed, trouble, gate) = (None, None, None);
        Self { kind, observations, actions, k, episode: 0, step: 0, action: 0, seed, trouble, gate }
    }

    /// The same, which does this at the action [`HOLD`].
    pub(crate) fn with_trouble(self, deed: Deed) -> Self {
        Self { trouble: Some(deed), ..self }
    }

    /// The same, which waits at the gate at the action [`HOLD`], and where it is rendered.
    pub(crate) fn with_gate(self, gate: &Gate) -> Self {
        Self { gate: Some(Gated(gate.clone())), ..self }
    }

    /// Every other environment has something to say.
    fn info(&self) -> Map {
        if self.k % 2 == 0 {
            return Map::new();
        }
        Map::from([
            ("time", Value::from(100 * self.episode + self.step)),
            ("seed", self.seed.map_or(Value::None, |n| (n as i64).into())),
        ])
    }
}

impl Env for Counter {
    type ObservationSpace = AnySpace;
    type ActionSpace = AnySpace;

    fn observation_space(&self) -> &AnySpace {
        &self.observations
    }

    fn action_space(&self) -> &AnySpace {
        &self.actions
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Value>, EnvError> {
        (self.episode, self.step, self.seed) = (self.episode + 1, 0, seed);
        self.action = if *options == Value::None { 0 } else { 77 };
        Ok(ResetResult { observation: self.kind.observation(self), info: self.info() })
    }

    fn step(&mut self, action: Value) -> Result<StepResult<Value>, EnvError> {
        let action = self.kind.number(&action);
        if let (HOLD, Some(deed)) = (action, self.trouble) {
            return Err(deed.happen());
        }
        if let (HOLD, Some(gate)) = (action, &self.gate) {
            gate.0.pass();
        }
        (self.step, self.action) = (self.step + 1, action);
        let has_ended = self.step % self.k == 0;
        Ok(StepResult {
            observation: self.kind.observation(self),
            reward: (1000 * self.episode + 10 * self.step) as f64 + action as f64 / 8.0,
            terminated: has_ended && self.k != 3,
            truncated: has_ended && self.k != 4,
            info: self.info(),
        })
    }

    fn render(&mut self) -> Result<Value, EnvError> {
        if let Some(gate) = &self.gate {
            gate.0.pass();
        }
        Ok(format!("{}", self.k).into())
    }

    fn metadata(&self) -> Metadata {
        Metadata { render_modes: vec!["ansi".into()], ..Metadata::default() }
    }
}

/// The same environments here, stepped by the rules of Gymnasium's `SyncVectorEnv`.
struct Locals {
    mode: AutoresetMode,
    envs: Vec<Counter>,
    is_due: Vec<bool>,
    observations: Vec<Value>,
    rewards: Vec<f64>,
    ends: Vec<(bool, bool)>,
    infos: BTreeMap<u32, Value>,
    lasts: Vec<(u32, Value, Value)>,
}

impl Locals {
    fn new(mode: AutoresetMode, envs: Vec<Counter>) -> Self {
        let n = envs.len();
        let (infos, lasts) = (BTreeMap::new(), vec![]);
        let (observations, rewards, ends) = (vec![Value::None; n], vec![0.0; n], vec![(false, false); n]);
        Self { mode, envs, is_due: vec![false; n], observations, rewards, ends, infos, lasts }
    }

    fn forget(&mut self) {
        self.infos.clear();
        self.lasts.clear();
    }

    fn reset(&mut self, rows: &[(u32, Option<u64>)], options: &Value) {
        self.forget();
        for (slot, seed) in rows {
            self.reset_slot(*slot as usize, *seed, options);
            self.ends[*slot as usize] = (false, false);
        }
    }

    fn reset_slot(&mut self, slot: usize, seed: Option<u64>, options: &Value) {
        let ResetResult { observation, info } = self.envs[slot].reset(seed, options).expect("it can");
        self.observations[slot] = observation;
        self.inform(slot, info);
        self.is_due[slot] = false;
    }

    fn inform(&mut self, slot: usize, info: Map) {
        if !info.is_empty() {
            self.infos.insert(slot as u32, info.into());
        }
    }

    /// Steps all environments, but for those that fail.
    fn step(&mut self, numbers: &[i64], failing: Option<usize>) {
        self.forget();
        for (slot, n) in numbers.iter().enumerate().filter(|(slot, _)| failing != Some(*slot)) {
            if self.is_due[slot] {
                self.reset_slot(slot, None, &Value::None);
                (self.rewards[slot], self.ends[slot]) = (0.0, (false, false));
                continue;
            }
            let kind = self.envs[slot].kind;
            let result = self.envs[slot].step(kind.action(*n)).expect("it can");
            let StepResult { observation, reward, terminated, truncated, info } = result;
            (self.rewards[slot], self.ends[slot]) = (reward, (terminated, truncated));
            let has_ended = terminated || truncated;
            if has_ended && self.mode == AutoresetMode::SameStep {
                self.lasts.push((slot as u32, observation, info.into()));
                self.reset_slot(slot, None, &Value::None);
                continue;
            }
            self.observations[slot] = observation;
            self.inform(slot, info);
            self.is_due[slot] = has_ended && self.mode == AutoresetMode::NextStep;
        }
    }

    /// Compares what the last call gave here with what it gave over there.
    fn compare(&self, env: &mut RawVectorEnv, at: &str) {
        let space = env.spec().observation_space.clone();
        for (slot, observation) in self.observations.iter().enumerate() {
            let there = env.observations_mut().element(slot, &space).expect("it is there");
            assert_eq!(there, *observation, "{at}, slot {slot}");
        }
        let results = env.results();
        assert_eq!(results.rewards, self.rewards, "{at}");
        let ends = results.terminations.iter().copied().zip(results.truncations.iter().copied());
        assert_eq!(ends.collect::<Vec<_>>(), self.ends, "{at}");
        let infos: Vec<(u32, Value)> = self.infos.clone().into_iter().collect();
        assert_eq!(results.infos, infos, "{at}");
        let lasts = results.lasts.iter().map(|last| (last.slot, observation(&space, last), last.info.clone()));
        assert_eq!(lasts.collect::<Vec<_>>(), self.lasts, "{at}");
    }
}

/// The observation at the end of an episode.
fn observation(space: &AnySpace, last: &LastRow) -> Value {
    match &last.observation {
        Element::Packed(bytes) => space.unpack(&mut Reader::new(bytes, 0, &Limits::default())).expect("it is packed"),
        Element::Value(value) => value.clone(),
    }
}

fn patience() -> Wait<'static> {
    Wait::new(Some(PATIENCE))
}

fn step(env: &mut RawVectorEnv, kind: Kind, numbers: &[i64]) -> Result<()> {
    let (packed, mut actions) = kind.encode(numbers);
    env.step(packed, &mut actions, &mut patience())
}

fn reset(env: &mut RawVectorEnv, rows: &[(u32, Option<u64>)], options: &Value) -> Result<()> {
    let rows: Vec<(u32, Option<Seed>)> = rows.iter().map(|(slot, seed)| (*slot, seed.map(Seed::from))).collect();
    env.reset(&rows, options, &mut patience())
}

fn all() -> Vec<(u32, Option<u64>)> {
    (0..SLOTS).map(|slot| (slot, Some(u64::from(slot) + 40))).collect()
}

/// A backend whose sessions begin next episodes by themselves, of which each has five slots.
pub(crate) fn backend(
    options: HostOptions,
    make: impl Fn(u32) -> Counter + Send + Sync + 'static,
) -> Result<ServerBackend> {
    let next = AtomicU64::new(0);
    let factory = move |_: &Make| Ok(make((next.fetch_add(1, SeqCst) % u64::from(SLOTS)) as u32));
    let backend = ServerBackend::bind(factory, &fresh("mem"), options)?;
    backend.start()?;
    Ok(backend)
}

/// Environments that begin no episode by themselves, and answer resets in another order than they were asked.
#[derive(Debug)]
pub(crate) struct Plain(HostSlots<'static>, Spec);

impl Plain {
    pub(crate) fn new(envs: Vec<Counter>) -> Self {
        let envs = envs.into_iter().map(|env| Box::new(Hosted::new(env, Some("ansi".into()))) as Box<dyn HostEnv>);
        let slots = HostSlots::new(envs.collect(), AutoresetMode::Disabled).expect("they share their spaces");
        let spec = slots.spec();
        Self(slots, spec)
    }
}

impl HostVectorEnv for Plain {
    fn spec(&self) -> Spec {
        self.1.clone()
    }

    fn reset_into(&mut self, reset: &Reset, outcome: &mut VectorOutcome) -> Result<()> {
        let rows = reset.rows.iter().rev().cloned().collect();
        self.0.reset_into(&Reset { rows, options: reset.options.clone() }, outcome)
    }

    fn step_into(&mut self, slots: &[u32], actions: Payload<'_>, outcome: &mut VectorOutcome) -> Result<()> {
        self.0.step_into(slots, actions, outcome)
    }

    fn render(&mut self, slots: &[u32]) -> Result<Frames> {
        let slots: Vec<u32> = slots.iter().rev().copied().collect();
        self.0.render(&slots)
    }

    fn close(&mut self) -> Result<()> {
        self.0.close()
    }
}

/// Hosts one session of what `make` makes, and looks at nothing in Make. Ends when the agent leaves, or after so many
/// requests without a word.
pub(crate) fn host(requests: usize, make: impl FnOnce() -> Plain + Send + 'static) -> Result<(String, JoinHandle<()>)> {
    let address = fresh("mem");
    let mut listener = Mem.listen_blocking(&address.parse()?, &TransportOptions::default())?;
    let serve = move || {
        let mut channel = listener.accept(None).expect("an agent dials").open_blocking().expect("it can");
        let (limits, mut envs, mut out) = (Limits::default(), make(), Vec::new());
        let local = Local { role: Role::Env, limits, token: None, is_resumable: false };
        let mut handshake = ServerHandshake::new(local, [1; 32]);
        let hello = channel.recv(None).expect("Hello").expect("Hello");
        handshake.take(&hello, &mut out).expect("it is an agent");
        handshake.welcome(Grant::New { ticket: None }, &mut out);
        channel.send(&out, &[], None).expect("it waits");
        channel.set_max_frame(limits.frame);
        let (mut session, mut outcome) = (EnvSession::new(), VectorOutcome::default());
        for _ in 0..requests {
            let Ok(Some(frame)) = channel.recv(None) else { return };
            let (request, done) = match session.handle(&frame, &limits).expect("the agent breaks no rule") {
                EnvEvent::Make { .. } => {
                    session.spec(&envs.spec(), &mut out).expect("it was asked");
                    channel.send(&out, &[], None).expect("it waits");
                    continue;
                }
                EnvEvent::Reset { request, reset } => (request, envs.reset_into(&reset, &mut outcome)),
                EnvEvent::Step { request, slots, payload } => (request, envs.step_into(&slots, payload, &mut outcome)),
                EnvEvent::Render { request, slots } => {
                    let frames = envs.render(&slots).expect("they can");
                    session.frames(request, &frames, &mut out).expect("it was asked");
                    channel.send(&out, &[], None).expect("it waits");
                    continue;
                }
                EnvEvent::Close { .. } => {
                    envs.close().expect("they can");
                    session.closed(&mut out).expect("it was asked");
                    channel.send(&out, &[], None).expect("it waits");
                    continue;
                }
                EnvEvent::Attribute { .. } => panic!("the agent asks for an attribute, and none is offered"),
                EnvEvent::Refused { error, .. } => panic!("the agent asks what it may not: {error}"),
                EnvEvent::Over(_) => return,
            };
            let VectorOutcome { rows, infos, packed, observations } = &outcome;
            let answered = done.and_then(|()| {
                session.result(request, rows, infos, (*packed, observations.len()), &mut out)?;
                Ok(&observations[..])
            });
            let body = answered.unwrap_or_else(|error| {
                session.fail(request, &error, &mut out).expect("it was asked");
                &[]
            });
            channel.send(&out, body, None).expect("it waits");
        }
    };
    Ok((address, thread::spawn(serve)))
}

fn connect(address: &str, options: AgentOptions, slots: u32, mode: AutoresetMode) -> Result<RawVectorEnv> {
    let options = options.render_mode("ansi").num_envs(slots).autoreset_mode(mode);
    RawVectorEnv::connect(address, options, &mut patience())
}

/// An agent's environments in `mode`, and their host.
fn connected(
    mode: AutoresetMode,
    hosting: Hosting,
    make: impl Fn(u32) -> Counter + Send + Sync + 'static,
) -> Result<(RawVectorEnv, Box<dyn std::any::Any>)> {
    if hosting == Hosting::Plain {
        let (address, thread) = host(usize::MAX, move || Plain::new((0..SLOTS).map(make).collect()))?;
        return Ok((connect(&address, patient(), SLOTS, mode)?, Box::new(thread)));
    }
    let threads = if hosting == Hosting::Threads { 3 } else { 1 };
    let backend = backend(patient_host().threads(threads), make)?;
    let env = connect(&backend.address().to_string(), patient(), SLOTS, mode)?;
    Ok((env, Box::new(backend)))
}

/// Runs `test` in every mode, with every kind of spaces, on every kind of host.
fn everywhere(test: impl Fn(Kind, AutoresetMode, Hosting) -> Result<()> + Send + 'static) {
    bounded(move || {
        for (kind, mode) in KINDS.into_iter().flat_map(|kind| MODES.map(|mode| (kind, mode))) {
            for hosting in HOSTINGS {
                test(kind, mode, hosting).unwrap_or_else(|e| panic!("{kind:?} {mode:?}, {hosting:?}: {e}"));
            }
        }
    });
}

#[test]
fn every_row_is_that_of_the_same_environments_here() {
    everywhere(|kind, mode, hosting| {
        let (mut env, _host) = connected(mode, hosting, move |slot| Counter::new(kind, slot))?;
        assert_eq!((env.spec().slots, env.autoreset_mode()), (SLOTS, mode));
        assert_eq!(env.spec().autoreset_mode, mode);
        let mut locals = Locals::new(mode, (0..SLOTS).map(|slot| Counter::new(kind, slot)).collect());
        let options: Value = Map::from([("far", 1)]).into();
        let at = |n: usize| format!("{kind:?} {mode:?}, {hosting:?}, after {n}");
        assert!(!env.observations().is_complete());
        locals.reset(&all(), &options);
        reset(&mut env, &all(), &options)?;
        locals.compare(&mut env, &at(0));
        assert!(env.observations().is_complete());
        for n in 1..60usize {
            // Some slots alone, those whose episodes have just ended among them.
            if n % 11 == 0 {
                let rows = [(3, Some(n as u64)), (1, None), (n as u32 % 2 * 4, Some(7))];
                locals.reset(&rows, &Value::None);
                reset(&mut env, &rows, &Value::None)?;
                locals.compare(&mut env, &at(n));
            }
            let numbers: Vec<i64> = (0..i64::from(SLOTS)).map(|slot| (n as i64 * 7 + slot * 31) % 100 + 20).collect();
            locals.step(&numbers, None);
            step(&mut env, kind, &numbers)?;
            locals.compare(&mut env, &at(n));
        }
        let frames = env.render(&mut patience())?;
        let wanted: Vec<(u32, Value)> = (0..SLOTS).map(|slot| (slot, (slot + 2).to_string().into())).collect();
        assert_eq!(frames.0.to_vec(), wanted);
        locals.compare(&mut env, "a render changes nothing");
        env.close(&mut patience())
    });
}

#[test]
fn a_slot_that_is_reset_before_the_others_has_its_observation() {
    everywhere(|kind, mode, hosting| {
        let (mut env, _host) = connected(mode, hosting, move |slot| Counter::new(kind, slot))?;
        let mut locals = Locals::new(mode, (0..SLOTS).map(|slot| Counter::new(kind, slot)).collect());
        for rows in [&[(4, None)][..], &[(1, Some(3)), (0, None)], &[(4, None), (2, None)], &[(3, None)]] {
            locals.reset(rows, &Value::None);
            reset(&mut env, rows, &Value::None)?;
            let space = env.spec().observation_space.clone();
            for (slot, _) in rows.iter().map(|(slot, seed)| (*slot as usize, seed)) {
                let there = env.observations_mut().element(slot, &space)?;
                assert_eq!(there, locals.observations[slot], "{kind:?} {mode:?}");
            }
            let is_whole = locals.envs.iter().all(|env| env.episode > 0);
            assert_eq!(env.observations().is_complete(), is_whole);
            if !is_whole {
                assert_eq!(step(&mut env, kind, &[1; 5]).unwrap_err().kind(), ErrorKind::ResetNeeded);
            }
        }
        locals.compare(&mut env, "all are reset, one by one");
        Ok(())
    });
}

#[test]
fn what_fails_in_one_slot_says_so_and_the_others_have_stepped() {
    for deed in [Deed::Fail, Deed::Panic] {
        everywhere(move |kind, mode, hosting| {
            let troubled =
                move |slot: u32| Counter { trouble: Some(deed).filter(|_| slot == 3), ..Counter::new(kind, slot) };
            // In some of these steps episodes of other slots end, and in some they are due for the next.
            for failing in 1..=8 {
                let (mut env, _host) = connected(mode, hosting, troubled)?;
                let mut locals = Locals::new(mode, (0..SLOTS).map(|slot| Counter::new(kind, slot)).collect());
                locals.reset(&all(), &Value::None);
                reset(&mut env, &all(), &Value::None)?;
                for n in 1..=12 {
                    let at = format!("{kind:?} {mode:?}, {hosting:?}, failing in {failing}, step {n}");
                    let mut numbers = vec![n; SLOTS as usize];
                    // A slot that is due takes no action.
                    let is_failing = n == failing && !locals.is_due[3];
                    if is_failing {
                        numbers[3] = HOLD;
                    }
                    let ended: Vec<i64> = locals.envs.iter().map(|env| (env.step + 1) % env.k).collect();
                    locals.step(&numbers, is_failing.then_some(3));
                    let stepped = step(&mut env, kind, &numbers);
                    if !is_failing {
                        stepped?;
                        locals.compare(&mut env, &at);
                        continue;
                    }
                    let error = stepped.unwrap_err();
                    assert_eq!((error.kind(), error.slot()), (ErrorKind::Env, Some(3)), "{at}: {error}");
                    assert!(error.to_string().contains("slot 3") && error.to_string().contains(WORDS), "{error}");
                    let failure = error.env_failure().expect("an error of the environment");
                    assert_eq!(failure.error_type, deed.class());
                    // The agent does not learn of the ends in a step that failed, and so begins no episode.
                    if hosting == Hosting::Plain && mode != AutoresetMode::Disabled && ended.contains(&0) {
                        step(&mut env, kind, &[1; 5])?;
                        break;
                    }
                }
            }
            Ok(())
        });
    }
}

#[test]
fn a_late_answer_is_fetched_with_all_rows_or_dropped_by_a_reset() {
    everywhere(|kind, mode, hosting| {
        if kind == Kind::Mixed {
            return Ok(()); // each deadline takes its time
        }
        let gate = Gate::default();
        let for_env = gate.clone();
        let gated = move |slot: u32| Counter {
            gate: Some(Gated(for_env.clone())).filter(|_| slot == 3),
            ..Counter::new(kind, slot)
        };
        let (mut env, _host) = connected(mode, hosting, gated)?;
        let mut locals = Locals::new(mode, (0..SLOTS).map(|slot| Counter::new(kind, slot)).collect());
        locals.reset(&all(), &Value::None);
        reset(&mut env, &all(), &Value::None)?;
        let at = |what: &str| format!("{kind:?} {mode:?}, {hosting:?}: {what}");
        let hold = |env: &mut RawVectorEnv, locals: &mut Locals| {
            let mut numbers = vec![1; SLOTS as usize];
            // A slot that is due takes no action, and another step does.
            while locals.is_due[3] {
                locals.step(&numbers, None);
                step(env, kind, &numbers).expect("it can");
            }
            numbers[3] = HOLD;
            locals.step(&numbers, None);
            let (packed, mut actions) = kind.encode(&numbers);
            let error = env.step(packed, &mut actions, &mut Wait::new(Some(HURRY))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            assert_eq!(step(env, kind, &numbers).unwrap_err().kind(), ErrorKind::Busy);
        };
        for n in 0..4 {
            hold(&mut env, &mut locals);
            if n == 0 {
                let error = env.late(&mut Wait::new(Some(HURRY))).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            }
            gate.open();
            assert_eq!(env.late(&mut patience())?, Call::Step, "{}", at("late"));
            locals.compare(&mut env, &at(&format!("{n} late")));
            assert_eq!(env.late(&mut patience()).unwrap_err().kind(), ErrorKind::Usage);
        }
        for _ in 0..2 {
            hold(&mut env, &mut locals);
            gate.open();
            // What was late may have ended episodes, of which a host in mode SameStep has begun the next ones.
            if hosting == Hosting::Plain && mode == AutoresetMode::SameStep {
                let ended = locals.lasts.iter().map(|(slot, ..)| *slot as usize).collect::<Vec<_>>();
                ended.into_iter().for_each(|slot| locals.envs[slot].episode -= 1);
            }
            locals.reset(&all(), &Value::None);
            reset(&mut env, &all(), &Value::None)?;
            // The rewards are those of the last step that was heard of.
            locals.rewards.clone_from(&env.results().rewards);
            locals.compare(&mut env, &at("the rest is dropped"));
        }
        let error = env.render(&mut Wait::new(Some(HURRY))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        gate.open();
        assert_eq!(env.late(&mut patience())?, Call::Render);
        assert_eq!(env.take_frames().0.len(), SLOTS as usize, "{}", at("a late render"));
        step(&mut env, kind, &[1; 5])?;
        env.close(&mut patience())
    });
}

#[test]
fn a_slot_that_is_dropped_late_begins_its_next_episode_all_the_same() {
    bounded(|| {
        for hosting in HOSTINGS {
            let gate = Gate::default();
            let for_env = gate.clone();
            let gated = move |slot: u32| Counter {
                gate: Some(Gated(for_env.clone())).filter(|_| slot == 3),
                ..Counter::new(Kind::Packed, slot)
            };
            let (mut env, _host) = connected(AutoresetMode::NextStep, hosting, gated)?;
            let mut locals =
                Locals::new(AutoresetMode::NextStep, (0..SLOTS).map(|slot| Counter::new(Kind::Packed, slot)).collect());
            locals.reset(&all(), &Value::None);
            reset(&mut env, &all(), &Value::None)?;
            for n in [1, HOLD] {
                let (packed, mut actions) = Kind::Packed.encode(&[1, 1, 1, n, 1]);
                locals.step(&[1, 1, 1, n, 1], None);
                let stepped = env.step(packed, &mut actions, &mut Wait::new(Some(HURRY * 10)));
                assert_eq!(stepped.is_ok(), n == 1);
            }
            assert!(locals.is_due[0], "the episode of slot 0 has ended");
            gate.open();
            // The end of its episode is dropped by a reset of another slot.
            locals.reset(&[(4, None)], &Value::None);
            reset(&mut env, &[(4, None)], &Value::None)?;
            locals.step(&[1; 5], None);
            step(&mut env, Kind::Packed, &[1; 5])?;
            locals.compare(&mut env, "after the reset of another slot");
        }
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn more_slots_than_a_host_makes_are_refused_in_words() {
    bounded(|| {
        let backend = backend(patient_host().max_slots(4), |slot| Counter::new(Kind::Packed, slot))?;
        let address = backend.address().to_string();
        let error = connect(&address, patient(), SLOTS, AutoresetMode::NextStep).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        let words = error.to_string();
        assert!(["5 environments", "4 at most", "max_slots"].iter().all(|word| words.contains(word)), "{words}");
        let env = connect(&address, patient(), 4, AutoresetMode::NextStep)?;
        assert_eq!(env.spec().slots, 4);
        assert_eq!(connect(&address, patient(), 0, AutoresetMode::SameStep)?.spec().slots, 1);
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn a_host_that_makes_something_else_is_refused_in_words() {
    bounded(|| {
        let plain = |slots: u32, mode| {
            host(usize::MAX, move || {
                let plain = Plain::new((0..slots).map(|slot| Counter::new(Kind::Packed, slot)).collect());
                Plain(plain.0, Spec { autoreset_mode: mode, ..plain.1 })
            })
        };
        let (address, thread) = plain(3, AutoresetMode::Disabled)?;
        let error = connect(&address, patient(), 5, AutoresetMode::NextStep).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        assert!(error.to_string().contains('5') && error.to_string().contains('3'), "{error}");
        thread.join().expect("the host was told");

        for (there, asked) in [(1, 0), (1, 2), (2, 1), (2, 0)] {
            let (there, asked) = (MODES[there], MODES[asked]);
            let (address, thread) = plain(5, there)?;
            let error = connect(&address, patient(), 5, asked).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
            let words = error.to_string();
            assert!(words.contains(&there.to_string()) && words.contains(&asked.to_string()), "{words}");
            thread.join().expect("the host was told");
        }
        let (address, _thread) = plain(5, AutoresetMode::Disabled)?;
        assert_eq!(connect(&address, patient(), 0, AutoresetMode::Disabled)?.spec().slots, 5, "as many as there are");
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn requests_for_wrong_slots_are_refused_and_change_nothing() {
    everywhere(|kind, mode, hosting| {
        let (mut env, _host) = connected(mode, hosting, move |slot| Counter::new(kind, slot))?;
        let mut locals = Locals::new(mode, (0..SLOTS).map(|slot| Counter::new(kind, slot)).collect());
        locals.reset(&all(), &Value::None);
        reset(&mut env, &all(), &Value::None)?;
        for n in 1..8 {
            locals.step(&[n; 5], None);
            step(&mut env, kind, &[n; 5])?;
            for wrong in [&[(5, None)][..], &[(0, None), (u32::MAX, None)], &[(0, None), (1, None), (0, None)], &[]] {
                let error = reset(&mut env, wrong, &Value::None).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            }
            let ends = env.results().terminations.iter().copied().zip(env.results().truncations.iter().copied());
            assert_eq!(ends.collect::<Vec<_>>(), locals.ends, "{kind:?} {mode:?}");
        }
        Ok(())
    });
}

#[test]
fn malformed_actions_reach_no_environment() {
    everywhere(|kind, mode, hosting| {
        let (mut env, _host) = connected(mode, hosting, move |slot| Counter::new(kind, slot))?;
        let mut locals = Locals::new(mode, (0..SLOTS).map(|slot| Counter::new(kind, slot)).collect());
        locals.reset(&all(), &Value::None);
        reset(&mut env, &all(), &Value::None)?;
        locals.step(&[1; 5], None);
        step(&mut env, kind, &[1; 5])?;
        for numbers in [&[1; 4][..], &[1; 6]] {
            let error = step(&mut env, kind, numbers).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::ConnectionLost, "{error}");
        }
        // Only what began with the wrong number of actions could have ended an episode.
        for _ in 0..4 {
            locals.step(&[2; 5], None);
            let stepped = step(&mut env, kind, &[2; 5]);
            stepped?;
            locals.compare(&mut env, &format!("{kind:?} {mode:?}, {hosting:?}"));
        }
        Ok(())
    });
}

#[test]
fn a_host_that_is_lost_is_named_by_every_call_after_that() {
    bounded(|| {
        // Make, reset, and no word about the step.
        let (address, thread) =
            host(2, || Plain::new((0..SLOTS).map(|slot| Counter::new(Kind::Packed, slot)).collect()))?;
        let mut env = connect(&address, patient(), SLOTS, AutoresetMode::NextStep)?;
        reset(&mut env, &all(), &Value::None)?;
        for _ in 0..2 {
            let error = step(&mut env, Kind::Packed, &[1; 5]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
        }
        assert!(env.is_lost());
        assert_eq!(env.render(&mut patience()).unwrap_err().kind(), ErrorKind::ConnectionLost);
        assert_eq!(reset(&mut env, &all(), &Value::None).unwrap_err().kind(), ErrorKind::ConnectionLost);
        thread.join().expect("it has ended");
        Ok::<_, Error>(())
    })
    .unwrap();
}
