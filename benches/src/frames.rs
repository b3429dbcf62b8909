//! How long RLay's frames are, so that the raw ping-pong moves exactly as many bytes.

use rlay_core::{
    Discrete, Map, Space, Value,
    session::{AgentSession, EnvSession},
    wire::{AutoresetMode, Limits, Make, Reset, Row, Spec, payload_head},
};

/// Bytes on the stream of one Step of a Discrete action and of its Result with an observation of
/// `observation` bytes and an empty info.
pub(crate) fn lengths(observation: usize) -> (usize, usize) {
    const PREFIX: usize = 4;
    let limits = Limits::default();
    let (mut agent, mut env, mut frame) = (AgentSession::new(), EnvSession::new(), Vec::new());
    let space = Discrete::new(2).describe();
    let spec = Spec {
        env_id: String::new(),
        observation_space: space.clone(),
        action_space: space,
        slots: 1,
        autoreset_mode: AutoresetMode::Disabled,
        render_mode: None,
        metadata: Map::new().into(),
        details: Map::new().into(),
        attributes: vec![],
    };
    agent.make(&Make::default(), &mut frame).expect("first");
    env.handle(&frame, &limits).expect("Make");
    env.spec(&spec, &mut frame).expect("answers Make");
    agent.handle(&frame, &limits).expect("Spec");
    let reset = Reset { rows: [(0, None)].into_iter().collect(), options: Value::None };
    agent.reset(&reset, &mut frame).expect("open");
    env.handle(&frame, &limits).expect("Reset");
    let mut info = Vec::new();
    rlay_core::wire::put_value(&mut info, &Value::Dict(Map::new()));
    let row =
        Row { slot: 0, first: true, last: false, terminated: false, truncated: false, reward: 0.0, info: Value::None };
    env.result(2, &[row], &info, (true, observation), &mut frame).expect("answers Reset");
    let result = PREFIX + frame.len() + observation;
    frame.resize(frame.len() + observation, 0);
    agent.handle(&frame, &limits).expect("Result");
    agent.step(&[0], &mut frame).expect("ready");
    payload_head(&mut frame, true, 16);
    (PREFIX + frame.len() + 16, result)
}
