//! RLay's side of the comparison: an environment that counts, and an agent that checks the count.

use rlay_core::{
    AgentOptions, BoxSpace, ClientEnv, ConnectionOptions, Discrete, Env, FrameArray, HostOptions, Result,
    ServerBackend, Token, Value,
};
use rlay_testkit::ImageEnv;

use crate::{
    cartpole::CartPole,
    party::{obey, say},
};

/// How many observations an agent holds on to, as one with a frame stack does.
const KEPT: usize = 4;

/// Hosts [`ImageEnv`]; each of its observations starts with the number of steps so far.
pub(crate) fn serve(address: &str, shape: &str, token: &str) {
    let shape: Vec<u64> = shape.split('x').map(|n| n.parse().expect("a number")).collect();
    run(ServerBackend::bind(move |_| Ok(ImageEnv::new(shape.clone())), address, HostOptions::new(options(token))));
}

/// Hosts the CartPole of the examples.
pub(crate) fn serve_cartpole(address: &str) {
    run(ServerBackend::bind(|_| Ok(CartPole::new(None)), address, rlay::host_options()));
}

/// With a token, unless it is empty.
fn options(token: &str) -> ConnectionOptions {
    let token = (!token.is_empty()).then(|| Token::new(token).expect("it is not empty"));
    rlay::connection_options().token(token)
}

fn run(backend: Result<ServerBackend>) {
    let backend = backend.expect("the address is free");
    say(&backend.address().to_string());
    backend.run().expect("serves until it is killed");
}

/// Steps the environment at `address`; fails if an observation is not the answer to its own step.
pub(crate) fn step(address: &str, token: &str) {
    let env = ClientEnv::connect(address, AgentOptions::new(options(token))).expect("the env listens");
    let mut env = env.typed::<BoxSpace<u8, FrameArray<u8>>, Discrete>().expect("ImageEnv's spaces");
    env.reset(Some(0), &Value::None).expect("an episode");
    let mut kept = std::array::from_fn::<_, KEPT, _>(|_| None);
    let mut count = 0u64;
    obey(|n| {
        for _ in 0..n {
            let observation = env.step(1).expect("the env is alive").observation;
            count += 1;
            assert_eq!(observation[..8], count.to_le_bytes(), "a result that answers another step");
            kept[count as usize % KEPT] = Some(observation);
        }
    });
}
