//! Frames with any numbers, as a peer that violates the protocol may send them.

use rlay_core::{
    Discrete, EnvFailure, ErrorKind, Map, Space, Value,
    wire::{
        Access, Attribute, AutoresetMode, EnvClose, Fault, Frames, Goodbye, Header, Hello, Kind, Make, Reject, Reset,
        Returned, Role, Row, Spec, Welcome, Writer, payload_head, put_value,
    },
};

/// The numbers of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) seq: u64,
    pub(crate) ack: u64,
    pub(crate) re: u64,
}

impl Numbers {
    /// The same, answering `re`.
    pub(crate) fn re(self, re: u64) -> Self {
        Self { re, ..self }
    }

    fn frame(self, kind: Kind, body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        Header { kind, seq: self.seq, ack: self.ack, re: self.re }.begin(&mut out);
        body(&mut Writer(&mut out));
        out
    }

    pub(crate) fn hello(self) -> Vec<u8> {
        let (wire_min, wire_max, role, peer) = (0, 0, Role::Agent, String::new());
        let (nonce, resume) = (None, None);
        let hello = Hello { wire_min, wire_max, role, auth: 0, features: 0, max_frame: 1 << 20, peer, nonce, resume };
        self.frame(Kind::Hello, |w| hello.put(w))
    }

    pub(crate) fn welcome(self) -> Vec<u8> {
        let (peer, proof, ticket, received) = (String::new(), None, None, None);
        let welcome = Welcome { wire: 0, features: 0, max_frame: 1 << 20, peer, proof, ticket, received };
        self.frame(Kind::Welcome, |w| welcome.put(w))
    }

    /// What belongs between the two.
    pub(crate) fn challenge_and_proof(self) -> [Vec<u8>; 2] {
        [Kind::Challenge, Kind::Proof].map(|kind| self.frame(kind, |w| w.put([7u8; 32])))
    }

    pub(crate) fn reject(self) -> Vec<u8> {
        let reject = Reject { code: 5, wire_min: 0, wire_max: 0, message: "full".into() };
        self.frame(Kind::Reject, |w| reject.put(w))
    }

    pub(crate) fn goodbye(self, code: u32) -> Vec<u8> {
        self.frame(Kind::Goodbye, |w| Goodbye { code, message: "enough".into() }.put(w))
    }

    pub(crate) fn error(self, fatal: bool) -> Vec<u8> {
        let failure = EnvFailure::new("ValueError", "no");
        let fault = Fault { code: ErrorKind::Env.code(), fatal, slots: Default::default(), failure };
        self.frame(Kind::Error, |w| fault.put(w))
    }

    pub(crate) fn make(self) -> Vec<u8> {
        self.frame(Kind::Make, |w| Make::default().put(w))
    }

    pub(crate) fn reset(self, slots: &[u32]) -> Vec<u8> {
        let rows = slots.iter().map(|slot| (*slot, None)).collect();
        self.frame(Kind::Reset, |w| Reset { rows, options: Value::None }.put(w))
    }

    pub(crate) fn step(self, slots: &[u32]) -> Vec<u8> {
        let mut out = self.frame(Kind::Step, |w| w.list(slots, |w, slot| w.put(*slot)));
        payload_head(&mut out, false, 0);
        slots.iter().for_each(|_| put_value(&mut out, &Value::Int(1)));
        out
    }

    pub(crate) fn render(self, slots: &[u32]) -> Vec<u8> {
        self.frame(Kind::Render, |w| w.list(slots, |w, slot| w.put(*slot)))
    }

    pub(crate) fn attribute(self, slots: &[u32]) -> Vec<u8> {
        self.frame(Kind::Attribute, |w| attribute(slots).put(w))
    }

    pub(crate) fn close(self) -> Vec<u8> {
        self.frame(Kind::Close, |w| EnvClose(Default::default()).put(w))
    }

    pub(crate) fn spec(self, slots: u32) -> Vec<u8> {
        self.frame(Kind::Spec, |w| spec(slots).put(w))
    }

    /// An env that does this where an episode has ended.
    pub(crate) fn spec_in(self, slots: u32, autoreset_mode: AutoresetMode) -> Vec<u8> {
        self.frame(Kind::Spec, |w| Spec { autoreset_mode, ..spec(slots) }.put(w))
    }

    pub(crate) fn result(self, rows: &[Row]) -> Vec<u8> {
        let mut out = self.frame(Kind::Result, |w| {
            w.list(rows, |w, row| row.put(w));
            rows.iter().for_each(|row| w.value(&row.info));
        });
        payload_head(&mut out, false, 0);
        rows.iter().for_each(|_| put_value(&mut out, &Value::Int(1)));
        out
    }

    pub(crate) fn frames(self, slots: &[u32]) -> Vec<u8> {
        let frames = slots.iter().map(|slot| (*slot, Value::None)).collect();
        self.frame(Kind::Frames, |w| Frames(frames).put(w))
    }

    pub(crate) fn returned(self, slots: &[u32]) -> Vec<u8> {
        let values = slots.iter().map(|slot| (*slot, Some(Value::Float(9.8)))).collect();
        self.frame(Kind::Returned, |w| Returned(values).put(w))
    }

    pub(crate) fn closed(self) -> Vec<u8> {
        self.frame(Kind::Closed, |w| EnvClose(Default::default()).put(w))
    }

    /// A frame of each reserved kind, one of them with a body.
    pub(crate) fn reserved(self) -> Vec<Vec<u8>> {
        let kinds = [Kind::StepAgents, Kind::ResultAgents];
        kinds.iter().enumerate().map(|(i, kind)| self.frame(*kind, |w| w.0.resize(w.0.len() + i % 2, 7))).collect()
    }

    /// Frames that are malformed or have wrong numbers.
    pub(crate) fn malformed(self) -> Vec<Vec<u8>> {
        let goodbye = self.goodbye(0);
        let mut reserved_byte = goodbye.clone();
        reserved_byte[4] = 1;
        let mut unknown = goodbye.clone();
        unknown[0] = 0x7f;
        vec![
            vec![],
            goodbye[..31].to_vec(),
            goodbye[..goodbye.len() - 1].to_vec(),
            [&goodbye[..], &[0]].concat(),
            reserved_byte,
            unknown,
            Self { seq: self.seq + 1, ..self }.goodbye(0),
            Self { seq: self.seq - 1, ..self }.goodbye(0),
            Self { seq: 0, ..self }.goodbye(0),
            Self { seq: u64::MAX, ..self }.goodbye(0),
            Self { ack: self.ack + 1, ..self }.goodbye(0),
            Self { ack: u64::MAX, ..self }.goodbye(0),
            Self { re: self.ack + 1, ..self }.goodbye(0),
        ]
    }
}

/// A request for an attribute.
pub(crate) fn attribute(slots: &[u32]) -> Attribute {
    Attribute { slots: slots.iter().copied().collect(), name: "gravity".into(), access: Access::Get }
}

/// A row in the middle of an episode, or its first.
pub(crate) fn row(slot: u32, first: bool) -> Row {
    Row { slot, first, last: false, terminated: false, truncated: false, reward: 1.0, info: Map::new().into() }
}

/// An environment of `slots` slots.
pub(crate) fn spec(slots: u32) -> Spec {
    let space = Discrete::new(2).describe();
    Spec {
        env_id: String::new(),
        observation_space: space.clone(),
        action_space: space,
        slots,
        autoreset_mode: AutoresetMode::Disabled,
        render_mode: None,
        metadata: Map::new().into(),
        details: Map::new().into(),
        attributes: vec!["gravity".into()],
    }
}
