//! Sessions in every state there is, each with what is under way in it.

use rlay_core::{
    Error, ErrorKind, Limits, Result, Value,
    session::{AgentSession, Call, EnvSession},
    wire::{Goodbye, Make, Reset},
};
use smallvec::smallvec;

use super::wire::{Numbers, attribute, row, spec};

/// An agent's session, and the answers that it waits for. It always has two slots; only slot 0 is used.
#[derive(Debug, Clone)]
pub(crate) struct AgentCase {
    pub(crate) name: String,
    /// The column of the tables.
    pub(crate) column: &'static str,
    pub(crate) session: AgentSession,
    /// The numbers of the env's next frame; `ack` is that of the agent's last frame.
    pub(crate) next: Numbers,
    /// Numbers of the requests under way.
    pub(crate) make: Option<u64>,
    pub(crate) close: Option<u64>,
    pub(crate) slot: Option<(u64, Call, bool)>,
    /// The state of slot 0 before the request under way.
    pub(crate) before: &'static str,
}

impl AgentCase {
    fn new() -> Self {
        Self {
            name: "NoSpec".into(),
            column: "NoSpec",
            session: AgentSession::new(),
            next: Numbers { seq: 1, ack: 0, re: 0 },
            make: None,
            close: None,
            slot: None,
            before: "Idle",
        }
    }

    fn named(mut self, name: &str, column: &'static str) -> Self {
        (self.name, self.column) = (name.into(), column);
        self
    }

    /// The agent makes a call that must succeed; its number.
    fn send(&mut self, call: impl FnOnce(&mut AgentSession, &mut Vec<u8>) -> Result<()>) -> u64 {
        call(&mut self.session, &mut Vec::new()).unwrap();
        self.next.ack += 1;
        self.next.ack
    }

    /// A frame arrives that must be legal.
    fn receive(&mut self, frame: &[u8]) {
        self.session.handle(frame, &Limits::default()).unwrap();
        self.next.seq += 1;
    }

    fn making() -> Self {
        let mut case = Self::new();
        case.make = Some(case.send(|session, out| session.make(&Make::default(), out)));
        case.named("Making", "Making")
    }

    fn idle() -> Self {
        let mut case = Self::making();
        case.receive(&case.next.re(1).spec(2));
        case.make = None;
        case.named("Open, slot Idle", "Open")
    }

    fn call(&mut self, call: Call, slots: &[u32]) {
        let re = self.send(|session, out| issue(session, call, slots, out));
        self.slot = Some((re, call, false));
    }

    fn ready() -> Self {
        let mut case = Self::idle();
        case.call(Call::Reset, &[0]);
        case.receive(&case.next.re(2).result(&[row(0, true)]));
        (case.slot, case.before) = (None, "Ready");
        case.named("Open, slot Ready", "Open")
    }

    fn done() -> Self {
        let mut case = Self::ready();
        case.call(Call::Step, &[0]);
        let row = rlay_core::wire::Row { truncated: true, ..row(0, false) };
        case.receive(&case.next.re(3).result(&[row]));
        (case.slot, case.before) = (None, "Done");
        case.named("Open, slot Done", "Open")
    }

    fn waiting(mut self, call: Call, late: bool) -> Self {
        self.call(call, &[0]);
        if late {
            self.session.give_up();
            self.slot = self.slot.map(|(re, call, _)| (re, call, true));
        }
        let name = format!("Open, slot Waiting for {call:?}, late {late}, before {}", self.before);
        self.named(&name, "Open")
    }

    fn closing(mut self) -> Self {
        self.close = Some(self.send(AgentSession::close));
        let name = format!("Closing from {}", self.name);
        self.named(&name, "Closing")
    }

    fn closed(mut self, failed: bool) -> Self {
        let answer = self.next.re(self.close.unwrap());
        self.receive(&if failed { answer.error(false) } else { answer.closed() });
        self.close = None;
        let name = format!("Closed, failed {failed}, after {}", self.name);
        self.named(&name, "Closed")
    }

    fn over(mut self) -> Self {
        self.send(|session, out| session.goodbye(&Goodbye { code: 0, message: String::new() }, out));
        let name = format!("Over after {}", self.name);
        self.named(&name, "Over")
    }
}

/// Issues a request for `slots`.
pub(crate) fn issue(session: &mut AgentSession, call: Call, slots: &[u32], out: &mut Vec<u8>) -> Result<()> {
    match call {
        Call::Reset => {
            let rows = slots.iter().map(|slot| (*slot, None)).collect();
            session.reset(&Reset { rows, options: Value::None }, out)
        }
        Call::Step => session.step(slots, out),
        Call::Render => session.render(slots, out),
        Call::Attribute => session.attribute(&attribute(slots), out),
    }
}

/// An agent in every state: of the session, of slot 0, and of what is under way.
pub(crate) fn agents() -> Vec<AgentCase> {
    let mut again = AgentCase::making();
    again.receive(&again.next.re(1).error(false));
    again.make = None;
    let mut open = vec![AgentCase::idle(), AgentCase::ready(), AgentCase::done()];
    for from in open.clone() {
        for call in [Call::Reset, Call::Step, Call::Render, Call::Attribute] {
            if call != Call::Step || from.before != "Idle" {
                open.push(from.clone().waiting(call, false));
                open.push(from.clone().waiting(call, true));
            }
        }
    }
    let closing: Vec<AgentCase> = open.iter().map(|case| case.clone().closing()).collect();
    let closed: Vec<AgentCase> =
        closing.iter().flat_map(|case| [false, true].map(|f| case.clone().closed(f))).collect();
    let made = vec![AgentCase::new(), again.named("NoSpec after a failure", "NoSpec"), AgentCase::making()];
    let alive = [made, open, closing, closed].concat();
    let over: Vec<AgentCase> = alive.iter().map(|case| case.clone().over()).collect();
    [alive, over].concat()
}

/// A host's session, and the requests that it has yet to answer. It always has two slots; only slot 0 is used.
#[derive(Debug, Clone)]
pub(crate) struct EnvCase {
    pub(crate) name: String,
    pub(crate) column: &'static str,
    pub(crate) session: EnvSession,
    /// The numbers of the agent's next frame; `ack` is that of the env's last frame.
    pub(crate) next: Numbers,
    pub(crate) make: Option<u64>,
    pub(crate) close: Option<u64>,
    pub(crate) slot: Option<(u64, Call)>,
    pub(crate) before: &'static str,
}

impl EnvCase {
    fn new() -> Self {
        Self {
            name: "NoEnv".into(),
            column: "NoEnv",
            session: EnvSession::new(),
            next: Numbers { seq: 1, ack: 0, re: 0 },
            make: None,
            close: None,
            slot: None,
            before: "Idle",
        }
    }

    fn named(mut self, name: &str, column: &'static str) -> Self {
        (self.name, self.column) = (name.into(), column);
        self
    }

    /// A request arrives that must be accepted; its number.
    fn receive(&mut self, frame: &[u8]) -> u64 {
        self.session.handle(frame, &Limits::default()).unwrap();
        self.next.seq += 1;
        self.next.seq - 1
    }

    fn reply(&mut self, reply: impl FnOnce(&mut EnvSession, &mut Vec<u8>) -> Result<()>) {
        reply(&mut self.session, &mut Vec::new()).unwrap();
        self.next.ack += 1;
    }

    fn making() -> Self {
        let mut case = Self::new();
        case.make = Some(case.receive(&case.next.make()));
        case.named("Making", "Making")
    }

    fn idle() -> Self {
        let mut case = Self::making();
        case.reply(|session, out| session.spec(&spec(2), out));
        case.make = None;
        case.named("Open, slot Idle", "Open")
    }

    fn ready() -> Self {
        let mut case = Self::idle();
        let re = case.receive(&case.next.reset(&[0]));
        case.reply(|session, out| session.result(re, &[row(0, true)], &[], (false, 0), out));
        case.before = "Ready";
        case.named("Open, slot Ready", "Open")
    }

    fn busy(mut self, call: Call) -> Self {
        let frame = match call {
            Call::Reset => self.next.reset(&[0]),
            Call::Step => self.next.step(&[0]),
            Call::Render => self.next.render(&[0]),
            Call::Attribute => self.next.attribute(&[0]),
        };
        self.slot = Some((self.receive(&frame), call));
        let name = format!("Open, slot Busy with {call:?}, before {}", self.before);
        self.named(&name, "Open")
    }

    fn closing(mut self) -> Self {
        self.close = Some(self.receive(&self.next.close()));
        let name = format!("Closing from {}", self.name);
        self.named(&name, "Closing")
    }

    fn closed(mut self, failed: bool) -> Self {
        let request = self.close.take().unwrap();
        let error = Error::new(ErrorKind::Env, "no");
        self.reply(|session, out| if failed { session.fail(request, &error, out) } else { session.closed(out) });
        let name = format!("Closed, failed {failed}, after {}", self.name);
        self.named(&name, "Closed")
    }

    fn over(mut self) -> Self {
        self.reply(|session, out| session.goodbye(&Goodbye { code: 0, message: String::new() }, out));
        let name = format!("Over after {}", self.name);
        self.named(&name, "Over")
    }
}

/// A host in every state: of the session, of slot 0, and of what it owes.
pub(crate) fn envs() -> Vec<EnvCase> {
    let mut again = EnvCase::making();
    again.reply(|session, out| session.fail(1, &Error::new(ErrorKind::Env, "no"), out));
    again.make = None;
    let open = vec![EnvCase::idle(), EnvCase::ready()];
    let busy = smallvec::SmallVec::<[EnvCase; 7]>::from_vec(vec![
        EnvCase::idle().busy(Call::Reset),
        EnvCase::idle().busy(Call::Render),
        EnvCase::idle().busy(Call::Attribute),
        EnvCase::ready().busy(Call::Reset),
        EnvCase::ready().busy(Call::Step),
        EnvCase::ready().busy(Call::Render),
        EnvCase::ready().busy(Call::Attribute),
    ]);
    let closing: Vec<EnvCase> = open.iter().map(|case| case.clone().closing()).collect();
    let closed: Vec<EnvCase> = closing.iter().flat_map(|case| [false, true].map(|f| case.clone().closed(f))).collect();
    let made = vec![EnvCase::new(), again.named("NoEnv after a failure", "NoEnv"), EnvCase::making()];
    let alive = [made, open, busy.into_vec(), closing, closed].concat();
    let over: Vec<EnvCase> = alive.iter().map(|case| case.clone().over()).collect();
    [alive, over].concat()
}

/// The names of the state of a session and of its slots, as its debug form has them: there a field of the session is
/// a line that is indented once, and a slot begins one that is indented twice.
pub(crate) fn names(session: &impl std::fmt::Debug) -> (String, Vec<String>) {
    let text = format!("{session:#?}");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphabetic()).collect::<String>();
    let state = text.lines().find_map(|line| line.strip_prefix("    state: ")).expect("a state");
    assert!(text.contains("\n    slots: ["), "{text}");
    let slots = text.lines().skip_while(|line| *line != "    slots: [").take_while(|line| *line != "    ],");
    let slots = slots.filter_map(|line| line.strip_prefix("        ")).map(word);
    (word(state), slots.filter(|name| !name.is_empty()).collect())
}

/// An empty reset of two slots, the second of which has a seed.
pub(crate) fn two_slots() -> Reset {
    Reset { rows: smallvec![(0, None), (1, Some(7.into()))], options: Value::None }
}
