//! Hosts that step on several threads: requests about different slots are under way at once, and each is answered when
//! its own environments have answered, whatever else happens.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Instant,
};

use async_trait::async_trait;
use rlay::{
    Address, BlockingChannel, BlockingListener, Channel, Discrete, Env, EnvError, Error, ErrorKind, Frame, HostOptions,
    Incoming, Limits, Listener, Map, ResetResult, Result, ServerBackend, StepResult, Tcp, Transport, TransportOptions,
    Value,
    session::{AgentEvent, AgentSession, ClientHandshake, Local},
    wire::{AutoresetMode, HANDSHAKE_FRAME, Make, Reset, Resume, Role, Ticket, payload_head},
};

use crate::support::{Gate, HOLD, PATIENCE, Relay, WORDS, bounded, eventually, fresh, patient_host};

/// A channel, the ticket of its session, and what a listener that resumes one has received.
type Opened = (Box<dyn BlockingChannel>, Option<Ticket>, Option<u64>);

const PANIC: i64 = 14;
const FAIL: i64 = 15;

/// Observes its slot and how often it has stepped, and waits at its gate for the action [`HOLD`].
struct Paced {
    slot: i64,
    steps: i64,
    space: Discrete,
    gate: Gate,
    closed: Arc<AtomicUsize>,
    thread: thread::ThreadId,
}

impl Env for Paced {
    type ObservationSpace = Discrete;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Discrete {
        &self.space
    }

    fn action_space(&self) -> &Discrete {
        &self.space
    }

    fn reset(&mut self, _: Option<u64>, _: &Value) -> Result<ResetResult<i64>, EnvError> {
        self.steps = 0;
        Ok(ResetResult { observation: self.slot * 100, info: Map::new() })
    }

    fn step(&mut self, action: i64) -> Result<StepResult<i64>, EnvError> {
        assert_eq!(self.thread, thread::current().id(), "it is stepped where it was made");
        match action {
            HOLD => self.gate.pass(),
            PANIC => panic!("{WORDS}"),
            FAIL => return Err(WORDS.into()),
            _ => {}
        }
        self.steps += 1;
        let observation = self.slot * 100 + self.steps;
        Ok(StepResult { observation, reward: action as f64, terminated: false, truncated: false, info: Map::new() })
    }

    fn close(&mut self) -> Result<(), EnvError> {
        assert_eq!(self.thread, thread::current().id(), "it is closed where it was made");
        self.closed.fetch_add(1, SeqCst);
        Ok(())
    }
}

/// A host of environments that share a gate.
struct Host {
    backend: ServerBackend,
    gate: Gate,
    closed: Arc<AtomicUsize>,
}

impl Host {
    fn start(scheme: &str, options: HostOptions) -> Result<Self> {
        let (gate, closed, next) = (Gate::default(), Arc::new(AtomicUsize::new(0)), AtomicI64::new(0));
        let (for_envs, counts) = (gate.clone(), closed.clone());
        let factory = move |_: &Make| {
            let (gate, closed, thread) = (for_envs.clone(), counts.clone(), thread::current().id());
            Ok(Paced { slot: next.fetch_add(1, SeqCst), steps: 0, space: Discrete::new(1 << 32), gate, closed, thread })
        };
        let backend = ServerBackend::bind(factory, &fresh(scheme), options)?;
        backend.start()?;
        Ok(Self { backend, gate, closed })
    }

    fn address(&self) -> String {
        self.backend.address().to_string()
    }
}

/// TCP whose channels have nothing of what a channel may leave out.
#[derive(Debug)]
struct Plain;

#[async_trait]
impl Transport for Plain {
    fn schemes(&self) -> &'static [&'static str] {
        &["tcp"]
    }

    async fn connect(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Channel>> {
        Tcp.connect(address, options).await
    }

    async fn listen(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn Listener>> {
        Tcp.listen(address, options).await
    }

    fn listen_blocking(&self, address: &Address, options: &TransportOptions) -> Result<Box<dyn BlockingListener>> {
        Ok(Box::new(PlainListener(Tcp.listen_blocking(address, options)?)))
    }
}

#[derive(Debug)]
struct PlainListener(Box<dyn BlockingListener>);

impl BlockingListener for PlainListener {
    fn accept(&mut self, deadline: Option<Instant>) -> Result<Box<dyn Incoming>> {
        Ok(Box::new(PlainIncoming(self.0.accept(deadline)?)))
    }

    fn address(&self) -> &Address {
        self.0.address()
    }
}

#[derive(Debug)]
struct PlainIncoming(Box<dyn Incoming>);

impl Incoming for PlainIncoming {
    fn peer(&self) -> String {
        self.0.peer()
    }

    fn open(self: Box<Self>) -> Result<Box<dyn Channel>> {
        self.0.open()
    }

    fn open_blocking(self: Box<Self>) -> Result<Box<dyn BlockingChannel>> {
        Ok(Box::new(PlainChannel(self.0.open_blocking()?)))
    }
}

#[derive(Debug)]
struct PlainChannel(Box<dyn BlockingChannel>);

impl BlockingChannel for PlainChannel {
    fn send_while(
        &mut self,
        head: &[u8],
        body: &[u8],
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.0.send_while(head, body, deadline, look)
    }

    fn recv(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>> {
        self.0.recv(deadline)
    }

    fn close(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.0.close(deadline)
    }

    fn set_max_frame(&mut self, max_frame: usize) {
        self.0.set_max_frame(max_frame);
    }

    fn peer(&self) -> String {
        self.0.peer()
    }
}

fn soon() -> Option<Instant> {
    Instant::now().checked_add(PATIENCE)
}

/// An agent that asks for slots apart, over a connection that it cuts itself.
struct Agent {
    address: Address,
    channel: Box<dyn BlockingChannel>,
    ticket: Option<Ticket>,
    session: AgentSession,
    sent: Vec<Vec<u8>>,
}

/// What a request came to: its slots, and an observation for each.
type Answer = Result<Vec<(u32, i64)>>;

impl Agent {
    /// Makes so many environments and resets all.
    fn begin(address: &str, slots: u32) -> Result<Self> {
        let address: Address = address.parse()?;
        let (channel, ticket, _) = Self::dial(&address, None)?;
        let mut agent = Self { address, channel, ticket, session: AgentSession::new(), sent: vec![] };
        let make = Make { slots, autoreset_mode: AutoresetMode::NextStep, ..Make::default() };
        agent.ask(|session, out| session.make(&make, out))?;
        let frame = agent.channel.recv(soon())?.expect("an answer");
        match agent.session.handle(&frame, &Limits::default())? {
            AgentEvent::Spec(spec) => assert_eq!(spec.slots, slots),
            AgentEvent::Failed { fault, .. } => return Err(fault.into_error()),
            other => panic!("{other:?}"),
        }
        let reset = Reset { rows: (0..slots).map(|slot| (slot, None)).collect(), options: Value::None };
        agent.ask(|session, out| session.reset(&reset, out))?;
        let wanted: Vec<(u32, i64)> = (0..slots).map(|slot| (slot, i64::from(slot) * 100)).collect();
        assert_eq!(agent.answer()?, wanted);
        Ok(agent)
    }

    fn dial(address: &Address, resume: Option<Resume>) -> Result<Opened> {
        let options = rlay::connection_options();
        let transport = options.registry().find(address)?;
        let mut channel = transport.connect_blocking(address, &TransportOptions::default(), soon())?;
        channel.set_max_frame(HANDSHAKE_FRAME);
        let (limits, mut frame) = (Limits::default(), vec![]);
        let local = Local { role: Role::Agent, limits, token: None, is_resumable: true };
        let mut handshake = ClientHandshake::begin(local, [7; 32], resume, &mut frame);
        channel.send(&frame, &[], soon())?;
        let answer = channel.recv(soon())?.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "no answer"))?;
        let welcome = handshake.take(&answer, &mut frame)?.expect("no token is asked for");
        channel.set_max_frame(limits.frame);
        Ok((channel, welcome.ticket, welcome.received))
    }

    /// Sends a request.
    fn ask(&mut self, write: impl FnOnce(&mut AgentSession, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        let mut out = vec![];
        write(&mut self.session, &mut out)?;
        self.sent.push(out.clone());
        self.channel.send(&out, &[], soon())
    }

    /// Asks these slots to take an action.
    fn step(&mut self, slots: &[u32], action: i64) -> Result<()> {
        self.ask(|session, out| {
            session.step(slots, out)?;
            payload_head(out, true, (slots.len() * 8) + slots.len().next_multiple_of(8));
            slots.iter().for_each(|_| out.extend(action.to_le_bytes()));
            out.resize(out.len() + slots.len().next_multiple_of(8), 0);
            Ok(())
        })
    }

    /// The next answer, whatever it is about.
    fn answer(&mut self) -> Answer {
        let frame = self.channel.recv(soon())?.ok_or_else(|| Error::new(ErrorKind::ConnectionLost, "closed"))?;
        self.take(&frame)
    }

    /// A frame that is there already.
    fn poll(&mut self) -> Result<Option<Frame>> {
        match self.channel.recv(Some(Instant::now())) {
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(None),
            frame => frame,
        }
    }

    fn take(&mut self, frame: &[u8]) -> Answer {
        match self.session.handle(frame, &Limits::default())? {
            AgentEvent::Result { rows, payload, .. } => {
                let bytes = payload.reader.rest();
                let number = |at: usize| i64::from_le_bytes(bytes[at * 8..][..8].try_into().expect("eight"));
                Ok(rows.iter().enumerate().map(|(at, row)| (row.slot, number(at))).collect())
            }
            AgentEvent::Failed { fault, .. } => Err(fault.into_error()),
            AgentEvent::Over(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    /// Goes on over another connection, as the specification says.
    fn resume(&mut self) -> Result<()> {
        let resume = Resume { ticket: self.ticket.expect("it is resumable"), received: self.session.received() };
        let (channel, _, received) = Self::dial(&self.address, Some(resume))?;
        self.channel = channel;
        for frame in &self.sent[received.expect("it goes on") as usize..] {
            self.channel.send(frame, &[], soon())?;
        }
        Ok(())
    }
}

fn each_transport(test: impl Fn(&'static str) -> Result<()> + Send + 'static) {
    bounded(move || {
        for scheme in [
            "mem",
            "tcp",
            "unix",
            #[cfg(feature = "shm")]
            "shm",
            #[cfg(feature = "zmq")]
            "zmq",
            #[cfg(feature = "quic")]
            "quic",
            #[cfg(feature = "ws")]
            "ws",
        ] {
            test(scheme).unwrap_or_else(|error| panic!("{scheme}: {error}"));
        }
    });
}

#[test]
fn a_slow_slot_holds_no_others() {
    each_transport(|scheme| slow_slot(&Host::start(scheme, patient_host().threads(4))?));
}

#[test]
fn nor_does_it_over_a_channel_that_knows_no_cancel_tokens() {
    bounded(|| {
        let options = HostOptions::over(Plain).connect_timeout(PATIENCE).threads(4);
        slow_slot(&Host::start("tcp", options)?)
    })
    .unwrap();
}

fn slow_slot(host: &Host) -> Result<()> {
    let mut agent = Agent::begin(&host.address(), 4)?;
    agent.step(&[0], HOLD)?;
    for n in 1..=30 {
        for slot in 1..4 {
            agent.step(&[slot], 1)?;
        }
        let mut heard = BTreeSet::new();
        for _ in 1..4 {
            let rows = agent.answer()?;
            assert!(heard.insert(rows[0].0) && rows[0].1 == i64::from(rows[0].0) * 100 + n, "{rows:?}");
        }
    }
    // A request for several waits for the slowest.
    agent.step(&[3, 1], HOLD)?;
    agent.step(&[2], 1)?;
    assert_eq!(agent.answer()?, [(2, 231)]);
    eventually("all three wait at the gate", || host.gate.visits() == 3);
    (0..3).for_each(|_| host.gate.open());
    let mut rows = [agent.answer()?, agent.answer()?];
    rows.sort_by_key(Vec::len);
    assert_eq!(rows[0], [(0, 1)]);
    rows[1].sort_unstable();
    assert_eq!(rows[1], [(1, 131), (3, 331)]);
    host.backend.close();
    assert_eq!(host.closed.load(SeqCst), 4);
    Ok(())
}

#[test]
fn what_goes_wrong_on_one_thread_names_its_slot_and_the_threads_go_on() {
    bounded(|| {
        let host = Host::start("tcp", patient_host().threads(2))?;
        let mut agent = Agent::begin(&host.address(), 4)?;
        for (n, action) in [PANIC, FAIL].into_iter().enumerate() {
            for slots in [&[2][..], &[0, 2, 3]] {
                agent.step(slots, action)?;
                let error = agent.answer().unwrap_err();
                assert_eq!((error.kind(), error.slot()), (ErrorKind::Env, Some(slots[0])), "{error}");
                assert!(error.to_string().contains(WORDS), "{error}");
            }
            agent.step(&[0, 1, 2, 3], 1)?;
            let wanted: Vec<(u32, i64)> = (0..4).map(|slot| (slot, i64::from(slot) * 100 + n as i64 + 1)).collect();
            assert_eq!(agent.answer()?, wanted);
        }
        host.backend.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn a_connection_that_is_cut_with_several_requests_under_way_loses_no_answer() {
    bounded(|| {
        let host = Host::start("tcp", patient_host().threads(24))?;
        let relay = Relay::to(&host.address());
        let mut agent = Agent::begin(relay.address(), 24)?;
        for round in 1..=3 {
            // Some have answered when the connection is cut, unheard; others answer while there is none; others after
            // the next one has come.
            for slot in 0..24 {
                agent.step(&[slot], if slot < 8 { 1 } else { HOLD })?;
            }
            eventually("the others wait", || host.gate.visits() == 16 * round);
            relay.cut();
            (0..8).for_each(|_| host.gate.open());
            agent.resume()?;
            (0..8).for_each(|_| host.gate.open());
            let mut heard: Vec<(u32, i64)> = vec![];
            for _ in 0..24 {
                heard.extend(agent.answer()?);
            }
            heard.sort_unstable();
            let wanted: Vec<_> = (0..24).map(|slot| (slot, i64::from(slot) * 100 + round as i64)).collect();
            assert_eq!(heard, wanted);
        }
        host.backend.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn an_agent_that_vanishes_is_noticed_during_a_step() {
    bounded(|| {
        let host = Host::start("unix", patient_host().threads(2))?;
        let mut agent = Agent::begin(&host.address(), 4)?;
        agent.step(&[0], HOLD)?;
        eventually("it waits", || host.gate.visits() == 1);
        drop(agent);
        // Those of the other thread are closed, though the environment is not done.
        eventually("two are closed", || host.closed.load(SeqCst) == 2);
        host.gate.open();
        eventually("the session has ended", || host.backend.sessions() == 0);
        assert_eq!(host.closed.load(SeqCst), 4);
        host.backend.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn a_host_that_is_closed_during_a_step_says_so_at_once() {
    each_transport(|scheme| {
        let host = Host::start(scheme, patient_host().threads(2))?;
        let mut agent = Agent::begin(&host.address(), 4)?;
        agent.step(&[0], HOLD)?;
        eventually("it waits", || host.gate.visits() == 1);
        let closing = host.backend.clone();
        let close = thread::spawn(move || closing.close());
        let error = agent.answer().unwrap_err();
        assert!(error.to_string().contains("the host is closing"), "{error}");
        eventually("those of the other thread are closed", || host.closed.load(SeqCst) == 2);
        host.gate.open();
        close.join().expect("it returns");
        eventually("all are closed", || host.closed.load(SeqCst) == 4);
        Ok(())
    });
}

#[test]
fn many_slots_step_on_two_threads_apart_and_together() {
    bounded(|| {
        const SLOTS: u32 = 1024;
        let host = Host::start("unix", patient_host().threads(2))?;
        let mut agent = Agent::begin(&host.address(), SLOTS)?;
        let (all, mut backwards): (Vec<u32>, Vec<u32>) = ((0..SLOTS).collect(), (0..SLOTS).rev().collect());
        agent.step(&all, 1)?;
        let at = |n: i64| (0..SLOTS).map(|slot| (slot, i64::from(slot) * 100 + n)).collect::<Vec<_>>();
        assert_eq!(agent.answer()?, at(1));
        backwards.rotate_left(100);
        agent.step(&backwards, 1)?;
        let mut rows = agent.answer()?;
        rows.sort_unstable();
        assert_eq!(rows, at(2));
        let mut rows = vec![];
        for slot in backwards {
            agent.step(&[slot], 1)?;
            // The answers that are there already, or neither side may take in what the other sends.
            while let Some(frame) = agent.poll()? {
                rows.extend(agent.take(&frame)?);
            }
        }
        while rows.len() < SLOTS as usize {
            rows.extend(agent.answer()?);
        }
        rows.sort_unstable();
        assert_eq!(rows, at(3));
        host.backend.close();
        assert_eq!(host.closed.load(SeqCst), SLOTS as usize);
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn an_environment_that_cannot_be_made_closes_those_before_it() {
    bounded(|| {
        let (closed, made) = (Arc::new(AtomicUsize::new(0)), AtomicI64::new(0));
        let counts = closed.clone();
        let factory = move |_: &Make| match made.fetch_add(1, SeqCst) {
            5 => Err(WORDS.into()),
            slot => {
                let (closed, thread) = (counts.clone(), thread::current().id());
                let space = Discrete::new(1 << 32);
                Ok::<_, EnvError>(Paced { slot, steps: 0, space, gate: Gate::default(), closed, thread })
            }
        };
        let backend = ServerBackend::bind(factory, &fresh("mem"), patient_host().threads(3))?;
        backend.start()?;
        let error = Agent::begin(&backend.address().to_string(), 8).err().expect("it cannot be made");
        assert!(error.to_string().contains(WORDS), "{error}");
        assert_eq!(closed.load(SeqCst), 5);
        backend.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}
