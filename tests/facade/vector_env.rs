//! VectorEnv: a simulator that steps many environments at once gives, byte by byte, what the same environments give that
//! are stepped one by one.

use rlay::{
    Actions, BoxSpace, ClientBackend, ClientVectorEnv, Dict, Discrete, Env, EnvError, Error, ErrorKind, HostEnv,
    HostSlots, HostVectorEnv, Hosted, HostedEnv, HostedVector, Limits, Map, MultiBinary, MultiDiscrete, Observation,
    RemoteVectorEnv, ResetResult, ResetRows, Result, Rng, ServerBackend, ServerVectorEnv, Space, StepResult, StepRows,
    Value, VectorEnv, VectorOutcome,
    endpoint::{SessionPool, SlabSizes, Stack, Wait},
    wire::{AutoresetMode, Make, Payload, Reader, Reset, Seed, put_value},
};

use crate::{
    cartpole::CartPole,
    cartpoles::CartPoles,
    support::{bounded, fresh, patient, patient_host},
};

const MODES: [AutoresetMode; 3] = [AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep];
const SLOTS: usize = 6;

type Seen = Dict<(BoxSpace<f32, [f32; 3]>, Discrete, BoxSpace<bool, [bool; 3]>, MultiBinary)>;
type Done = (Discrete, MultiDiscrete);

fn seen() -> Seen {
    let members = (
        BoxSpace::new([3], f32::NEG_INFINITY, f32::INFINITY),
        Discrete::new(100),
        BoxSpace::new([3], false, true),
        MultiBinary::new(5),
    );
    Dict::new(["at", "time", "doors", "keys"], members)
}

/// An environment of several leaves, whose episodes end at random and whose results show what it was asked.
struct Walker {
    observations: Seen,
    actions: Done,
    rng: Rng,
    time: i64,
}

impl Walker {
    fn new() -> Self {
        let actions = (Discrete::new(10), MultiDiscrete::new(&[4, 4]));
        Self { observations: seen(), actions, rng: Rng::seeded(1), time: 0 }
    }

    fn observation(&mut self, action: i64) -> Observation<Self> {
        let at = [self.rng.uniform(-1.0, 1.0), self.time as f64, action as f64].map(|x| x as f32);
        let time = self.time;
        let doors = [0, 1, 2].map(|door| (time + door) % 3 == 0);
        (at, time, doors, (0..5).map(|key| ((time + key) % 2) as i8).collect())
    }

    fn info(&self) -> Map {
        if self.time % 3 == 1 { Map::from([("time", self.time)]) } else { Map::new() }
    }
}

impl Env for Walker {
    type ObservationSpace = Seen;
    type ActionSpace = Done;

    fn observation_space(&self) -> &Seen {
        &self.observations
    }

    fn action_space(&self) -> &Done {
        &self.actions
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<Observation<Self>>, EnvError> {
        if let Some(seed) = seed {
            self.rng = Rng::seeded(seed);
        }
        self.time = if *options == Value::None { 0 } else { 10 };
        Ok(ResetResult { observation: self.observation(-1), info: self.info() })
    }

    fn step(&mut self, (turn, steps): (i64, Vec<i64>)) -> Result<StepResult<Observation<Self>>, EnvError> {
        match turn {
            7 => return Err("there is a wall".into()),
            8 => panic!("there is a pit"),
            _ => self.time += 1,
        }
        let (terminated, truncated) = (self.rng.below(5) == 0, self.rng.below(7) == 0);
        let reward = self.rng.uniform(0.0, 1.0);
        let observation = self.observation(turn + 10 * steps[0] + 100 * steps[1]);
        Ok(StepResult { observation, reward, terminated, truncated, info: self.info() })
    }
}

/// The same, as one simulator.
struct Walkers(Vec<Walker>);

impl Walkers {
    fn new(number: usize) -> Self {
        Self((0..number).map(|_| Walker::new()).collect())
    }
}

fn write(rows: &mut (&mut [f32], &mut [i64], &mut [bool], &mut [i8]), slot: usize, x: Observation<Walker>) {
    rows.0[3 * slot..][..3].copy_from_slice(&x.0);
    rows.1[slot] = x.1;
    rows.2[3 * slot..][..3].copy_from_slice(&x.2);
    rows.3[5 * slot..][..5].copy_from_slice(&x.3);
}

impl VectorEnv for Walkers {
    type ObservationSpace = Seen;
    type ActionSpace = Done;

    fn num_envs(&self) -> usize {
        self.0.len()
    }

    fn single_observation_space(&self) -> &Seen {
        &self.0[0].observations
    }

    fn single_action_space(&self) -> &Done {
        &self.0[0].actions
    }

    fn reset(
        &mut self,
        slots: &[(usize, Option<u64>)],
        options: &Value,
        rows: &mut ResetRows<'_, Seen>,
    ) -> Result<(), EnvError> {
        for &(slot, seed) in slots {
            let ResetResult { observation, info } = self.0[slot].reset(seed, options)?;
            write(&mut rows.observations, slot, observation);
            if !info.is_empty() {
                rows.infos.set(slot, &info)?;
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        slots: &[usize],
        (turns, steps): Actions<'_, Self>,
        rows: &mut StepRows<'_, Seen>,
    ) -> Result<(), EnvError> {
        for &slot in slots {
            let result = self.0[slot].step((turns[slot], steps[2 * slot..][..2].to_vec()))?;
            write(&mut rows.observations, slot, result.observation);
            rows.rewards[slot] = result.reward;
            (rows.terminations[slot], rows.truncations[slot]) = (result.terminated, result.truncated);
            if !result.info.is_empty() {
                rows.infos.set(slot, &result.info)?;
            }
        }
        Ok(())
    }
}

fn make(mode: AutoresetMode) -> Make {
    Make { slots: SLOTS as u32, autoreset_mode: mode, ..Make::default() }
}

/// The same environments one by one.
fn one_by_one(mode: AutoresetMode) -> HostSlots<'static> {
    let envs = (0..SLOTS).map(|_| Box::new(Hosted::new(Walker::new(), None)) as Box<dyn HostEnv>);
    HostSlots::new(envs.collect(), mode).expect("they share their spaces")
}

/// Actions of so many slots, packed or not.
fn actions(rng: &mut Rng, number: usize, packed: bool) -> Vec<u8> {
    let (space, mut out) = (Walker::new().actions, Vec::new());
    let mut stack = Stack::new(SlabSizes::of(&space.describe()).expect("it has a packed form"));
    for _ in 0..number {
        let action = (rng.below(7) as i64, space.1.sample(rng));
        let mut element = Vec::new();
        match packed {
            true => assert!(space.pack(&action, &mut element)),
            false => put_value(&mut out, &space.to_value(&action)),
        }
        if packed {
            stack.push(&element).expect("it is one element");
        }
    }
    if packed {
        stack.finish(&mut out);
    }
    out
}

/// What a call gave.
fn given(envs: &dyn HostVectorEnv, outcome: &VectorOutcome) -> (String, Vec<u8>, Vec<u8>) {
    assert!(outcome.packed);
    let observations = envs.observations().unwrap_or(&outcome.observations);
    (format!("{:?}", outcome.rows), outcome.infos.clone(), observations.to_vec())
}

/// Some slots, or all of them, in any order.
fn some(rng: &mut Rng) -> Vec<u32> {
    let mut slots: Vec<u32> = (0..SLOTS as u32).collect();
    if rng.below(3) == 0 {
        for i in (1..SLOTS).rev() {
            slots.swap(i, rng.below(i as u64 + 1) as usize);
        }
        slots.truncate(1 + rng.below(SLOTS as u64) as usize);
    }
    slots
}

#[test]
fn every_byte_is_that_of_environments_stepped_one_by_one() -> Result<()> {
    for (mode, packed) in MODES.into_iter().flat_map(|mode| [(mode, true), (mode, false)]) {
        let mut rng = Rng::seeded(3);
        let (mut ours, mut theirs) = (HostedVector::new(Walkers::new(SLOTS), &make(mode))?, one_by_one(mode));
        assert_eq!(ours.spec(), theirs.spec());
        let (mut our_outcome, mut their_outcome) = (VectorOutcome::default(), VectorOutcome::default());
        let mut lasts = 0;
        for step in 0..400 {
            let slots = if step == 0 { (0..SLOTS as u32).collect() } else { some(&mut rng) };
            if step == 0 || rng.below(20) == 0 {
                let seed = |rng: &mut Rng| (rng.below(2) == 0).then(|| Seed::from(rng.below(100)));
                let rows = slots.iter().map(|slot| (*slot, seed(&mut rng))).collect();
                let reset = Reset { rows, options: if step % 2 == 0 { Value::None } else { Map::new().into() } };
                ours.reset_into(&reset, &mut our_outcome)?;
                theirs.reset_into(&reset, &mut their_outcome)?;
            } else {
                let actions = actions(&mut rng, slots.len(), packed);
                let payload = || Payload { packed, reader: Reader::new(&actions, 0, &Limits::default()) };
                ours.step_into(&slots, payload(), &mut our_outcome)?;
                theirs.step_into(&slots, payload(), &mut their_outcome)?;
            }
            let at = format!("{mode:?}, packed {packed}, step {step}, {slots:?}");
            assert_eq!(given(&ours, &our_outcome), given(&theirs, &their_outcome), "{at}");
            lasts += our_outcome.rows.iter().filter(|row| row.last).count();
        }
        assert_eq!(lasts > 100, mode == AutoresetMode::SameStep);
    }
    Ok(())
}

/// An agent's poles in `mode`, of a backend that steps all at once and of one that steps each.
fn poles(scheme: &str, mode: AutoresetMode) -> Result<[(RemoteVectorEnv, ServerBackend); 2]> {
    let at_once = ServerBackend::bind_vector(
        |make| Ok(CartPoles::new(make.slots.max(1) as usize)),
        &fresh(scheme),
        patient_host(),
    )?;
    let each = ServerBackend::bind(|_| Ok(CartPole::new(None)), &fresh(scheme), patient_host())?;
    let connected = |backend: ServerBackend| -> Result<_> {
        backend.start()?;
        let options = patient().num_envs(SLOTS as u32).autoreset_mode(mode);
        Ok((ClientVectorEnv::connect(&backend.address().to_string(), options)?, backend))
    };
    Ok([connected(at_once)?, connected(each)?])
}

#[test]
fn an_agent_cannot_tell_them_apart() {
    for scheme in ["mem", "tcp"] {
        bounded(move || {
            for mode in MODES {
                let [(ours, _our_host), (theirs, _their_host)] = poles(scheme, mode)?;
                let mut ours = ours.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
                let mut theirs = theirs.typed::<BoxSpace<f32>, Discrete>()?;
                let mut rng = Rng::seeded(5);
                assert_eq!(ours.observation_batch().unwrap_err().kind(), ErrorKind::ResetNeeded);
                ours.reset(Some(7), &Value::None)?;
                theirs.reset(Some(7), &Value::None)?;
                let mut ends = 0;
                for step in 0..300 {
                    let actions = [0; SLOTS].map(|_| rng.below(2) as i64);
                    let (here, there) = (ours.step(&actions)?, theirs.step(&actions)?);
                    assert_eq!(format!("{here:?}"), format!("{there:?}"), "{mode:?}, step {step}");
                    ends += here.terminations.iter().filter(|ended| **ended).count();
                    let due: Vec<_> = (0..SLOTS as u32).filter(|slot| here.terminations[*slot as usize]).collect();
                    if mode == AutoresetMode::Disabled && !due.is_empty() {
                        let rows: Vec<_> = due.iter().map(|slot| (*slot, (step % 2 == 0).then_some(step))).collect();
                        ours.reset_some(&rows, &Value::None)?;
                        theirs.reset_some(&rows, &Value::None)?;
                    }
                    assert_eq!(ours.observation_batch()?, theirs.observation_batch()?);
                    let (batch, slot) = (ours.observation_batch()?.to_vec(), step as usize % SLOTS);
                    assert_eq!(batch[4 * slot..][..4], ours.observation(slot)?);
                }
                assert!(ends > 20, "{ends}");
                let actions = [[0; SLOTS - 1].as_slice(), &[2]].concat();
                let error = ours.step(&actions).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Env);
                assert!(error.to_string().contains("2 is neither 0 (left) nor 1 (right), in slot 5"), "{error}");
                ours.close()?;
                theirs.close()?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

#[test]
fn a_simulator_dials_in_and_fills_as_many_slots() {
    bounded(|| {
        let server = ServerVectorEnv::bind(&fresh("tcp"), patient().num_envs(5))?;
        let game = ClientBackend::vector(|_| Ok(CartPoles::new(5)), &server.address().to_string(), patient_host())?;
        game.start()?;
        let mut envs = server.accept()?.typed::<BoxSpace<f32, [f32; 4]>, Discrete>()?;
        envs.reset(Some(1), &Value::None)?;
        assert_eq!(envs.step(&[1; 5])?.rewards, [1.0; 5]);
        assert_eq!(envs.observation_batch()?.len(), 20);
        envs.close()?;
        game.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn what_fails_in_a_simulator_fails_the_call_and_changes_no_episode() -> Result<()> {
    for mode in MODES {
        let mut envs = HostedVector::new(Walkers::new(SLOTS), &make(mode))?;
        let mut outcome = VectorOutcome::default();
        let slots: Vec<u32> = (0..SLOTS as u32).collect();
        let rows = slots.iter().map(|slot| (*slot, None)).collect();
        envs.reset_into(&Reset { rows, options: Value::None }, &mut outcome)?;
        let mut step = |turn: i64| {
            let mut out = Vec::new();
            let space = Walker::new().actions;
            slots.iter().for_each(|_| put_value(&mut out, &space.to_value(&(turn, vec![0, 0]))));
            let payload = Payload { packed: false, reader: Reader::new(&out, 0, &Limits::default()) };
            envs.step_into(&slots, payload, &mut outcome)
        };
        for (turn, words) in [(7, "there is a wall"), (8, "panic: there is a pit")] {
            let error = step(turn).unwrap_err();
            assert!(error.kind() == ErrorKind::Env && error.to_string().contains(words), "{error}");
        }
        step(1)?;
        // The wrong number of actions, and what is no action.
        for (packed, bytes) in [(true, vec![0; 8]), (false, vec![0, 0, 0, 0])] {
            let payload = Payload { packed, reader: Reader::new(&bytes, 0, &Limits::default()) };
            assert!(envs.step_into(&slots, payload, &mut outcome).is_err());
        }
    }
    Ok(())
}

#[test]
fn a_simulator_that_cannot_be_hosted_says_why() {
    struct Odd(MultiDiscrete, usize);
    impl VectorEnv for Odd {
        type ObservationSpace = MultiDiscrete;
        type ActionSpace = MultiDiscrete;

        fn num_envs(&self) -> usize {
            self.1
        }

        fn single_observation_space(&self) -> &MultiDiscrete {
            &self.0
        }

        fn single_action_space(&self) -> &MultiDiscrete {
            &self.0
        }

        fn reset(
            &mut self,
            _: &[(usize, Option<u64>)],
            _: &Value,
            _: &mut ResetRows<'_, MultiDiscrete>,
        ) -> Result<(), EnvError> {
            Ok(())
        }

        fn step(&mut self, _: &[usize], _: &[i64], _: &mut StepRows<'_, MultiDiscrete>) -> Result<(), EnvError> {
            Ok(())
        }
    }
    let narrow = MultiDiscrete { dtype: rlay::DType::I8, ..MultiDiscrete::new(&[2]) };
    for (odd, words) in [
        (Odd(narrow, 3), "a MultiDiscrete of int8 has no batch; declare it as int64"),
        (Odd(MultiDiscrete::new(&[2]), 0), "let num_envs() be one or more"),
    ] {
        let error = HostedVector::new(odd, &make(AutoresetMode::Disabled)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn one_simulator_is_lent_to_one_session_after_another() {
    bounded(|| {
        let pool = SessionPool::listen(&fresh("mem"), patient_host().max_sessions(1), None)?;
        let address = pool.acceptor().expect("it listens").address().to_string();
        pool.claim()?;
        let playing = std::thread::spawn(move || {
            for seed in [None, Some(3)] {
                let mut envs = ClientVectorEnv::connect(&address, patient().num_envs(4))?;
                envs.reset(seed, &Value::None)?;
                envs.step(&vec![Value::from(1); 4])?;
                envs.close()?;
            }
            Ok::<_, Error>(())
        });
        let mut simulator = CartPoles::new(4);
        for _ in 0..2 {
            let session = pool.next(&mut Wait::default())?.expect("the pool is open");
            let mut lent = Some(&mut simulator);
            let mut factory = |make: &Make| {
                let simulator = lent.take().expect("it is made once");
                Ok(HostedEnv::Several(Box::new(HostedVector::new(simulator, make)?)))
            };
            session.serve(&mut factory, &mut Wait::default())?;
        }
        playing.join().expect("it does not panic")
    })
    .unwrap();
}
