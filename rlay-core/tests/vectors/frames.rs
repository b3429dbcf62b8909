//! Vectors of whole frames, every kind of message among them, and of frames on a stream of bytes.

use rlay_core::{
    AnySpace, Array, Discrete, EnvFailure, ErrorKind, Limits, Map, Space, Text, Value,
    wire::{
        Access, Attribute, AutoresetMode, Challenge, EnvClose, Fault, Frames, Goodbye, Header, Hello, Kind, Make,
        Message, Payload, Proof, RESUMABLE, RESUMING, Reader, Reject, Reset, Resume, Returned, Role, Row, Seed, Slots,
        Spec, Welcome,
    },
};
use smallvec::{SmallVec, smallvec};

use super::{
    Item, Vector,
    common::{Frame, frame::Content},
    positive, spaces,
};

/// A frame of no payload. `numbers` are seq, ack and re.
pub(crate) fn frame(kind: Kind, numbers: (u64, u64, u64), message: Message<'static>) -> Frame<'static> {
    let (seq, ack, re) = numbers;
    Frame { header: Header { kind, seq, ack, re }, message, content: None }
}

/// A placeholder for a payload with bytes that are given apart.
fn no_payload() -> Payload<'static> {
    Payload { packed: false, reader: Reader::new(&[], 0, &Limits::default()) }
}

/// A Step that is frame 2 of the agent.
pub(crate) fn step(slots: &[u32], content: Content) -> Frame<'static> {
    let message = Message::Step(Slots::from_slice(slots), no_payload());
    Frame { content: Some(content), ..frame(Kind::Step, (3, 2, 0), message) }
}

/// A Result that answers frame 3 of the agent.
pub(crate) fn result(rows: &[Row], content: Content) -> Frame<'static> {
    let message = Message::Result(rows.iter().cloned().collect(), no_payload());
    Frame { content: Some(content), ..frame(Kind::Result, (3, 3, 3), message) }
}

/// An Attribute that is frame 4 of the agent.
pub(crate) fn attribute(slots: &[u32], access: Access) -> Frame<'static> {
    let attribute = Attribute { slots: Slots::from_slice(slots), name: "gravity".into(), access };
    frame(Kind::Attribute, (4, 3, 0), Message::Attribute(attribute))
}

/// A row of one step in the middle of an episode.
pub(crate) fn row(slot: u32, reward: f64) -> Row {
    let info = Value::Dict(Map::new());
    Row { slot, first: false, last: false, terminated: false, truncated: false, reward, info }
}

/// 32 bytes that count up.
fn bytes32(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first + i as u8)
}

pub(crate) fn hello() -> Hello {
    let peer = "rlay 0.1.0".into();
    let (wire_min, wire_max, nonce, resume) = (0, 0, None, None);
    Hello { wire_min, wire_max, role: Role::Agent, auth: 0, features: 0, max_frame: 64 << 20, peer, nonce, resume }
}

/// One packed Discrete action: a NumPy `int64`.
pub(crate) fn action(x: i64) -> Content {
    Content::Packed(packed(&Discrete::new(2).describe(), &[Discrete::new(2).to_value(&x)]))
}

fn packed(space: &AnySpace, values: &[Value]) -> Vec<u8> {
    super::common::pack_rows(space, values).expect("a packed form")
}

pub(crate) fn spec(observation_space: AnySpace, action_space: AnySpace) -> Spec {
    Spec {
        env_id: "CartPole-v1".into(),
        observation_space,
        action_space,
        slots: 1,
        autoreset_mode: AutoresetMode::Disabled,
        render_mode: Some("rgb_array".into()),
        metadata: Value::Dict(Map(vec![
            ("render_modes".into(), Value::List(vec!["human".into(), "rgb_array".into()])),
            ("render_fps".into(), Value::Int(50)),
        ])),
        details: Value::Dict(Map::from([("max_episode_steps", 500)])),
        attributes: vec![],
    }
}

fn requests() -> Vec<(&'static str, Frame<'static>)> {
    let make = |make: Make| frame(Kind::Make, (1, 0, 0), Message::Make(make));
    let reset = |rows: &[(u32, Option<Seed>)], options: Value| {
        let rows: SmallVec<_> = rows.iter().cloned().collect();
        frame(Kind::Reset, (2, 1, 0), Message::Reset(Reset { rows, options }))
    };
    let large = Seed(SmallVec::from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    let text = Text::new(3, "ab").describe();
    let text = |x: &str| text.to_value(&Value::Str(x.into()));
    let cart_pole = |x: f32| Value::Array(Array::new(&[4], &[x; 4]));
    let two = packed(&spaces::cart_pole(), &[cart_pole(0.5), cart_pole(-0.5)]);
    vec![
        ("hello/agent", frame(Kind::Hello, (0, 0, 0), Message::Hello(hello()))),
        (
            "hello/env",
            frame(
                Kind::Hello,
                (0, 0, 0),
                Message::Hello(Hello {
                    role: Role::Env,
                    wire_max: 3,
                    features: 1 << 63,
                    peer: "Spiel 🎮".into(),
                    ..hello()
                }),
            ),
        ),
        (
            "hello/with-a-token",
            frame(Kind::Hello, (0, 0, 0), Message::Hello(Hello { auth: 1, nonce: Some(bytes32(1)), ..hello() })),
        ),
        (
            "hello/resuming",
            frame(
                Kind::Hello,
                (0, 0, 0),
                Message::Hello(Hello {
                    auth: 1,
                    features: RESUMABLE | RESUMING,
                    nonce: Some(bytes32(1)),
                    resume: Some(Resume { ticket: bytes32(5), received: 41 }),
                    ..hello()
                }),
            ),
        ),
        ("challenge", frame(Kind::Challenge, (0, 0, 0), Message::Challenge(Challenge { nonce: bytes32(2) }))),
        ("proof", frame(Kind::Proof, (0, 0, 0), Message::Proof(Proof { proof: bytes32(3) }))),
        ("make/default", make(Make { kwargs: Value::Dict(Map::new()), ..Make::default() })),
        (
            "make/everything",
            make(Make {
                env_id: Some("Ünïcode-v0".into()),
                kwargs: Map::from([("gravity", 9.81)]).into(),
                render_mode: Some("human".into()),
                ..Make::default()
            }),
        ),
        (
            "make/several-that-reset-themselves",
            make(Make {
                kwargs: Value::Dict(Map::new()),
                slots: 64,
                autoreset_mode: AutoresetMode::SameStep,
                ..Make::default()
            }),
        ),
        ("reset/without-seed", reset(&[(0, None)], Value::None)),
        ("reset/seed-zero", reset(&[(0, Some(Seed::from(0)))], Value::None)),
        ("reset/seed-and-options", reset(&[(0, Some(Seed::from(256)))], Map::from([("level", 3)]).into())),
        ("reset/two-slots-and-a-large-seed", reset(&[(1, Some(large)), (0, None)], Value::Dict(Map::new()))),
        ("step/packed-discrete", step(&[0], action(1))),
        ("step/packed-two-boxes", step(&[0, 1], Content::Packed(two))),
        ("step/packed-nothing", step(&[0], Content::Packed(vec![]))),
        ("step/values", step(&[0], Content::Values(vec![text("ab")]))),
        ("step/values-of-two-slots", step(&[3, 1], Content::Values(vec![Value::Int(1), text("b")]))),
        ("render", frame(Kind::Render, (4, 3, 0), Message::Render(smallvec![0]))),
        ("attribute/get", attribute(&[0], Access::Get)),
        ("attribute/set", attribute(&[1, 0], Access::Set(vec![Value::Float(9.8), Value::None]))),
        ("attribute/call", {
            let kwargs = Map::from([("scale", Value::Int(2)), ("copy", Value::Bool(true))]);
            attribute(&[0, 1], Access::Call(vec!["moon".into(), Value::List(vec![])], kwargs))
        }),
        ("attribute/call-without-arguments", attribute(&[0], Access::Call(vec![], Map::new()))),
        ("close", frame(Kind::Close, (5, 4, 0), Message::Close(EnvClose(Slots::new())))),
        ("close/named-slots", frame(Kind::Close, (5, 4, 0), Message::Close(EnvClose(smallvec![0, 1])))),
    ]
}

fn replies() -> Vec<(&'static str, Frame<'static>)> {
    let discrete = Discrete::new(2).describe();
    let spec = |spec| frame(Kind::Spec, (1, 1, 1), Message::Spec(Box::new(spec)));
    let bare = Spec {
        env_id: String::new(),
        render_mode: None,
        slots: 64,
        autoreset_mode: AutoresetMode::Disabled,
        metadata: Map::new().into(),
        details: Map::new().into(),
        attributes: vec!["gravity".into(), "größe".into()],
        ..self::spec(spaces::dict(), AnySpace::Tuple(vec![discrete.clone()]))
    };
    let info = Value::Dict(Map(vec![("lives".into(), Value::Int(3)), ("TimeLimit.truncated".into(), true.into())]));
    let observation = Content::Packed(packed(&spaces::cart_pole(), &[Value::Array(Array::new(&[4], &[0.25f32; 4]))]));
    let rendered = |frame: Value| self::frame(Kind::Frames, (4, 4, 4), Message::Frames(Frames(smallvec![(0, frame)])));
    let returned = |rows: &[(u32, Option<Value>)]| {
        frame(Kind::Returned, (4, 4, 4), Message::Returned(Returned(rows.iter().cloned().collect())))
    };
    let fault = |code: ErrorKind, fatal, slots: &[u32], failure| {
        let re = if fatal { 0 } else { 3 };
        let fault = Fault { code: code.code(), fatal, slots: Slots::from_slice(slots), failure };
        frame(Kind::Error, (3, 3, re), Message::Error(fault))
    };
    let traceback = EnvFailure {
        traceback: "Traceback (most recent call last):\n  …".into(),
        ..EnvFailure::new("mygame.GameError", "the level 漢 does not exist")
    };
    let (peer, proof, ticket, received) = ("rlay 0.1.0".into(), None, None, None);
    let welcome = Welcome { wire: 0, features: 0, max_frame: 64 << 20, peer, proof, ticket, received };
    let proven = Welcome { proof: Some(bytes32(4)), ..welcome.clone() };
    let lasting = Welcome { features: RESUMABLE, ticket: Some(bytes32(5)), ..proven.clone() };
    let resumed = Welcome { features: RESUMING, received: Some(40), ..proven.clone() };
    let reject = Reject { code: ErrorKind::Incompatible.code(), wire_min: 0, wire_max: 0, message: "no".into() };
    let goodbye = |code, message: &str| {
        frame(Kind::Goodbye, (6, 5, 0), Message::Goodbye(Goodbye { code, message: message.into() }))
    };
    vec![
        ("welcome/proven", frame(Kind::Welcome, (0, 0, 0), Message::Welcome(proven))),
        ("welcome/lasting", frame(Kind::Welcome, (0, 0, 0), Message::Welcome(lasting))),
        ("welcome/resumed", frame(Kind::Welcome, (0, 0, 0), Message::Welcome(resumed))),
        ("welcome", frame(Kind::Welcome, (0, 0, 0), Message::Welcome(welcome))),
        ("reject", frame(Kind::Reject, (0, 0, 0), Message::Reject(reject))),
        ("spec/several-that-reset-themselves", {
            let mode = AutoresetMode::NextStep;
            spec(Spec { slots: 64, autoreset_mode: mode, ..self::spec(spaces::cart_pole(), discrete.clone()) })
        }),
        ("spec/cart-pole", spec(self::spec(spaces::cart_pole(), discrete))),
        ("spec/bare", spec(bare)),
        ("result/first", result(&[Row { first: true, ..row(0, 0.0) }], observation.clone())),
        ("result/step", result(&[row(0, 1.0)], observation.clone())),
        ("result/terminated", result(&[Row { last: false, terminated: true, ..row(0, -1.0) }], observation.clone())),
        ("result/truncated-with-info", result(&[Row { truncated: true, info, ..row(0, 0.5) }], observation)),
        (
            "result/terminated-and-truncated",
            result(
                &[Row { last: false, terminated: true, truncated: true, ..row(0, 0.0) }],
                Content::Values(vec![Value::None]),
            ),
        ),
        ("result/nan-reward", result(&[row(0, f64::NAN)], Content::Values(vec!["é".into()]))),
        ("result/two-slots", {
            let directions = [Value::Int(1), Discrete::new(4).to_value(&2)];
            result(&[row(1, 1.5), row(0, 2.5)], Content::Packed(packed(&Discrete::new(4).describe(), &directions)))
        }),
        ("result/the-next-episode-in-the-same-step", {
            let ended = Row { terminated: true, ..row(0, 1.5) };
            let rows = [Row { first: true, ..ended.clone() }, row(1, 2.5), Row { last: true, ..ended }];
            let directions = [Value::Int(0), Value::Int(1), Discrete::new(4).to_value(&3)];
            result(&rows, Content::Packed(packed(&Discrete::new(4).describe(), &directions)))
        }),
        ("frames/image", rendered(Value::Array(Array::new(&[1, 2, 3], &[1u8, 2, 3, 4, 5, 6])))),
        ("frames/ansi", rendered("┌─┐\n└─┘".into())),
        ("frames/none", rendered(Value::None)),
        ("returned/value", returned(&[(0, Some(Value::Float(9.8)))])),
        ("returned/function", returned(&[(0, None)])),
        ("returned/two-slots", returned(&[(1, Some(Value::None)), (0, Some("é".into()))])),
        ("closed", frame(Kind::Closed, (5, 5, 5), Message::Closed(EnvClose(Slots::new())))),
        ("error/env", fault(ErrorKind::Env, false, &[], traceback)),
        ("error/named-slots", fault(ErrorKind::InvalidAction, false, &[1, 0], EnvFailure::new("", "no key 'x'"))),
        ("error/fatal", fault(ErrorKind::Protocol, true, &[], EnvFailure::new("", "frame 9 arrived twice"))),
        ("goodbye", goodbye(0, "")),
        ("goodbye/with-a-reason", goodbye(ErrorKind::Env.code(), "the game was closed")),
    ]
}

pub(crate) fn all() -> Vec<Vector> {
    let reserved = [Kind::StepAgents, Kind::ResultAgents];
    let reserved = reserved.map(|kind| (format!("reserved/{kind:?}"), frame(kind, (2, 1, 0), Message::Reserved(kind))));
    let named = requests().into_iter().chain(replies()).map(|(name, frame)| (name.to_owned(), frame));
    named
        .chain(reserved)
        .map(|(name, frame)| positive(&format!("frame/{name}"), &Item::Frame(Box::new(frame))))
        .collect()
}

pub(crate) fn streams() -> Vec<Vector> {
    let goodbye = frame(Kind::Goodbye, (1, 0, 0), Message::Goodbye(Goodbye { code: 0, message: String::new() }));
    let stream = |frames: &[Vec<u8>], closed| Item::Stream { frames: frames.to_vec(), closed };
    [
        ("nothing", stream(&[], false)),
        ("closed-at-once", stream(&[], true)),
        ("an-empty-frame-is-a-frame", stream(&[vec![]], false)),
        ("one-frame", stream(&[goodbye.bytes()], false)),
        ("two-frames-and-a-close", stream(&[step(&[0], action(0)).bytes(), goodbye.bytes()], true)),
    ]
    .into_iter()
    .map(|(name, item)| positive(&format!("stream/{name}"), &item))
    .collect()
}
