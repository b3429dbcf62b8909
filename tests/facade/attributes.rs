//! Attributes: agents get, set and call what a host lists, over every way to have an environment.

use std::{thread, time::Duration};

use rlay::{
    BoxSpace, ClientBackend, ClientEnv, ClientVectorEnv, Discrete, Env, EnvError, EnvFailure, Error, ErrorKind,
    HostOptions, Late, Map, Offers, PolledEnv, RemoteEnv, ResetResult, ServerBackend, ServerEnv, ServerVectorEnv,
    StepResult, Turn, Value, asynchronous, wire::Access,
};
use rlay_testkit::CountingEnv;

use crate::{
    reconnecting::enduring,
    support::{Gate, PATIENCE, Paradigm, Relay, bounded, eventually, fresh, hasty, patient, patient_host},
};

/// A [`CountingEnv`] with attributes.
struct World {
    env: CountingEnv,
    gravity: f64,
    gate: Gate,
}

impl World {
    fn new(gate: &Gate) -> Self {
        Self { env: CountingEnv::new(None), gravity: 9.8, gate: gate.clone() }
    }
}

impl Env for World {
    type ObservationSpace = BoxSpace<f64, [f64; 4]>;
    type ActionSpace = Discrete;

    fn observation_space(&self) -> &Self::ObservationSpace {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, options: &Value) -> Result<ResetResult<[f64; 4]>, EnvError> {
        self.env.reset(seed, options)
    }

    fn step(&mut self, action: i64) -> Result<StepResult<[f64; 4]>, EnvError> {
        self.env.step(action)
    }

    fn get_attr(&mut self, name: &str) -> Result<Option<Value>, EnvError> {
        match name {
            "gravity" => Ok(Some(self.gravity.into())),
            "odd" => Ok(Some(Value::Opaque { type_name: "Engine".into(), repr: "<Engine>".into() })),
            "broken" => panic!("the lever is stuck"),
            "add" | "held" => Ok(None),
            _ => Err(EnvFailure::new("AttributeError", format!("no attribute {name}")).into()),
        }
    }

    fn set_attr(&mut self, name: &str, value: &Value) -> Result<(), EnvError> {
        match (name, value.as_f64()) {
            ("gravity", Some(gravity)) if gravity >= 0.0 => {
                self.gravity = gravity;
                Ok(())
            }
            _ => Err(EnvFailure::new("ValueError", format!("{name} cannot be {value:?}")).into()),
        }
    }

    fn call(&mut self, name: &str, args: &[Value], kwargs: &Map) -> Result<Value, EnvError> {
        if name == "held" {
            self.gate.pass();
            self.gravity += 1.0;
            return Ok(self.gravity.into());
        }
        let sum: f64 = args.iter().filter_map(Value::as_f64).sum();
        Ok((sum * kwargs.get("scale").and_then(Value::as_f64).unwrap_or(1.0)).into())
    }
}

const NAMES: [&str; 6] = ["gravity", "odd", "broken", "add", "held", "absent"];

fn offering(names: &[&str]) -> Offers {
    Offers { attributes: names.iter().map(|name| (*name).to_owned()).collect(), ..Offers::default() }
}

fn host_options() -> HostOptions {
    patient_host().offers(offering(&NAMES))
}

fn backend(gate: &Gate) -> rlay::Result<ServerBackend> {
    let gate = gate.clone();
    let backend = ServerBackend::bind(move |_| Ok(World::new(&gate)), &fresh("tcp"), host_options())?;
    backend.start()?;
    Ok(backend)
}

/// Ends what hosts environments.
type Close = Box<dyn FnOnce()>;

/// An environment, and what hosts it.
fn world(scheme: &str, paradigm: Paradigm) -> Result<(RemoteEnv, Close), EnvError> {
    let gate = Gate::default();
    Ok(match paradigm {
        Paradigm::Client => {
            let backend = ServerBackend::bind(move |_| Ok(World::new(&gate)), &fresh(scheme), host_options())?;
            backend.start()?;
            let env = ClientEnv::connect(&backend.address().to_string(), patient())?;
            (env, Box::new(move || backend.close()))
        }
        Paradigm::Server => {
            let server = ServerEnv::bind(&fresh(scheme), patient())?;
            let address = server.address().to_string();
            let backend = ClientBackend::new(move |_| Ok(World::new(&gate)), &address, host_options())?;
            backend.start()?;
            let env = server.accept()?;
            (env, Box::new(move || backend.close()))
        }
    })
}

/// The error of RLay in what an environment returned.
fn error<T: std::fmt::Debug>(result: Result<T, EnvError>) -> Error {
    result.expect_err("it fails").downcast_ref::<Error>().expect("an error of RLay").clone()
}

fn class(error: &Error) -> &str {
    error.env_failure().map_or("", |failure| &failure.error_type)
}

#[test]
fn an_agent_gets_sets_and_calls() {
    for (scheme, paradigm) in
        ["mem", "tcp", "unix"].into_iter().flat_map(|scheme| [(scheme, Paradigm::Client), (scheme, Paradigm::Server)])
    {
        bounded(move || {
            let (mut env, close) = world(scheme, paradigm)?;
            assert_eq!(env.spec().attributes, NAMES);
            assert_eq!(env.get_attr("gravity")?, Some(9.8.into()));
            env.reset(Some(3), &Value::None)?;
            env.set_attr("gravity", &1.6.into())?;
            assert_eq!(env.get_attr("gravity")?, Some(1.6.into()));
            assert_eq!(env.get_attr("add")?, None, "a function");
            let scale = Map::from([("scale", 2)]);
            assert_eq!(env.call("add", &[1.into(), 2.5.into()], &scale)?, 7.0.into());
            assert_eq!(env.call("gravity", &[1.into()], &scale)?, 1.6.into(), "what is no function is got");

            assert_eq!(class(&error(env.set_attr("gravity", &Value::from(-1.0)))), "ValueError");
            assert_eq!(class(&error(env.get_attr("absent"))), "AttributeError");
            assert_eq!(class(&error(env.get_attr("broken"))), "panic");
            let odd = error(env.get_attr("odd"));
            assert!(class(&odd) == "TypeError" && odd.to_string().contains("did not cross the wire"), "{odd}");
            let secret = error(env.get_attr("secret"));
            assert_eq!(secret.kind(), ErrorKind::Usage);
            assert!(secret.to_string().contains("attributes=[\"secret\"]"), "{secret}");
            let held = Value::Opaque { type_name: "Engine".into(), repr: String::new() };
            assert_eq!(error(env.set_attr("gravity", &held)).kind(), ErrorKind::Usage);
            assert_eq!(error(env.call("add", &[held], &Map::new())).kind(), ErrorKind::Usage);
            env.step(Value::Int(1))?;
            env.close()?;
            close();
            Ok::<_, EnvError>(())
        })
        .unwrap();
    }
}

#[test]
fn each_slot_has_its_own() {
    for paradigm in [Paradigm::Client, Paradigm::Server] {
        bounded(move || {
            let (options, gate) = (patient().num_envs(3), Gate::default());
            let (mut envs, hosts) = match paradigm {
                Paradigm::Client => {
                    let host = backend(&gate)?;
                    let envs = ClientVectorEnv::connect(&host.address().to_string(), options)?;
                    (envs, Box::new(move || host.close()) as Close)
                }
                Paradigm::Server => {
                    let server = ServerVectorEnv::bind(&fresh("tcp"), options)?;
                    let address = server.address().to_string();
                    let make =
                        move || ClientBackend::new(|_| Ok(World::new(&Gate::default())), &address, host_options());
                    let games = [make()?, make()?, make()?];
                    games.iter().try_for_each(ClientBackend::start)?;
                    (
                        server.accept()?,
                        Box::new(move || games.iter().for_each(ClientBackend::close)) as Box<dyn FnOnce()>,
                    )
                }
            };
            let values = |numbers: [f64; 3]| numbers.map(Value::from).to_vec();
            envs.reset(Some(1), &Value::None)?;
            envs.set_attr("gravity", values([1.0, 2.0, 3.0]))?;
            assert_eq!(envs.get_attr("gravity")?, values([1.0, 2.0, 3.0]).into_iter().map(Some).collect::<Vec<_>>());
            assert_eq!(envs.get_attr("add")?, [None, None, None]);
            assert_eq!(envs.call("add", &[4.into()], &Map::new())?, values([4.0; 3]));
            assert_eq!(envs.call("gravity", &[], &Map::new())?, values([1.0, 2.0, 3.0]));

            let short = envs.set_attr("gravity", values([1.0; 3])[..2].to_vec()).unwrap_err();
            assert_eq!(short.kind(), ErrorKind::Usage, "{short}");
            let failed = envs.set_attr("gravity", values([5.0, -1.0, 6.0])).unwrap_err();
            assert_eq!((class(&failed), failed.slot()), ("ValueError", Some(1)));
            assert_eq!(envs.call("secret", &[], &Map::new()).unwrap_err().kind(), ErrorKind::Usage);
            envs.step(&[Value::Int(1), Value::Int(2), Value::Int(3)])?;
            envs.close()?;
            hosts();
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

#[test]
fn a_call_that_hangs_is_late() {
    bounded(|| {
        let gate = Gate::default();
        let host = backend(&gate)?;
        let mut env = ClientEnv::connect(&host.address().to_string(), hasty())?;
        assert_eq!(error(env.call("held", &[], &Map::new())).kind(), ErrorKind::Timeout);
        assert_eq!(error(env.get_attr("gravity")).kind(), ErrorKind::Busy);
        gate.open();
        let Late::Attribute(value) = env.late(Some(PATIENCE))? else { panic!("not an attribute") };
        assert_eq!(value, Some(10.8.into()));
        env.timeout = None;
        assert_eq!(env.get_attr("gravity")?, Some(10.8.into()), "it was called once");
        host.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_call_outlasts_its_connection_and_is_made_once() {
    bounded(|| {
        let (gate, options) = (Gate::default(), enduring());
        let factory = {
            let gate = gate.clone();
            move |_: &rlay::wire::Make| Ok(World::new(&gate))
        };
        let host_options = HostOptions::new(options.clone()).offers(offering(&NAMES));
        let host = ServerBackend::bind(factory, &fresh("tcp"), host_options)?;
        host.start()?;
        let relay = Relay::to(&host.address().to_string());
        let mut env = ClientEnv::connect(relay.address(), rlay::AgentOptions::new(options))?;
        let waiting = thread::spawn(move || env.call("held", &[], &Map::new()).map(|value| (env, value)));
        eventually("the environment is called", || gate.visits() == 1);
        assert_ne!(relay.cut(), 0, "there is nothing to cut");
        gate.open();
        let (mut env, value) = waiting.join().expect("it does not panic")?;
        assert_eq!((value, gate.visits()), (10.8.into(), 1));
        relay.cut();
        assert_eq!(env.get_attr("gravity")?, Some(10.8.into()));
        env.close()?;
        host.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_engine_answers_in_a_turn_of_its_own() {
    bounded(|| {
        let server = ServerEnv::bind(&fresh("tcp"), patient())?;
        let world = CountingEnv::new(None);
        let (observations, actions) = (world.observation_space().clone(), world.action_space().clone());
        let (address, options) = (server.address().to_string(), patient_host().offers(offering(&["gravity", "add"])));
        let mut engine = PolledEnv::new(observations, actions, &world.metadata(), &address, options)?;
        let playing = thread::spawn(move || {
            let mut gravity = Value::from(9.8);
            loop {
                match engine.turn(Duration::from_millis(20))? {
                    Some(Turn::Attribute { name, access }) => match (name.as_str(), access) {
                        ("gravity", Access::Set(values)) => {
                            gravity = values[0].clone();
                            engine.reply_attribute(None)?;
                        }
                        ("gravity", _) => engine.reply_attribute(Some(gravity.clone()))?,
                        (_, Access::Get) => engine.reply_attribute(None)?,
                        (_, Access::Call(args, _)) if args.is_empty() => {
                            assert_eq!(engine.reply_frame(Value::None).unwrap_err().kind(), ErrorKind::Usage);
                            engine.reply_error(EnvFailure::new("TypeError", "nothing to add"))?;
                        }
                        (_, _) => engine.reply_attribute(Some(3.into()))?,
                    },
                    Some(Turn::Close(_)) => return Ok::<_, Error>(()),
                    _ => {}
                }
            }
        });
        let mut env = server.accept()?;
        env.set_attr("gravity", &1.6.into())?;
        assert_eq!(env.get_attr("gravity")?, Some(1.6.into()));
        assert_eq!(env.get_attr("add")?, None);
        assert_eq!(env.call("add", &[1.into()], &Map::new())?, 3.into());
        assert_eq!(class(&error(env.call("add", &[], &Map::new()))), "TypeError");
        assert_eq!(error(env.get_attr("secret")).kind(), ErrorKind::Usage);
        env.close()?;
        playing.join().expect("it does not panic")?;
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn an_agent_inside_tokio_has_them_too() {
    bounded(|| {
        let host = backend(&Gate::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut env = asynchronous::AsyncEnv::connect(&host.address().to_string(), &patient()).await?;
            env.attribute("gravity", Access::Set(vec![1.6.into()])).await?;
            assert_eq!(env.attribute("gravity", Access::Get).await?, Some(1.6.into()));
            let call = Access::Call(vec![1.into(), 2.into()], Map::new());
            assert_eq!(env.attribute("add", call).await?, Some(3.0.into()));
            assert_eq!(env.attribute("secret", Access::Get).await.unwrap_err().kind(), ErrorKind::Usage);
            assert_eq!(env.attribute("absent", Access::Get).await.unwrap_err().kind(), ErrorKind::Env);
            env.close().await
        })?;
        host.close();
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn names_that_no_host_can_offer_are_refused_when_it_is_made() {
    let long = "x".repeat(257);
    for name in ["step", "spec", "_level", "", &long] {
        let options = || patient_host().offers(offering(&["gravity", name]));
        let make = |_: &rlay::wire::Make| Ok(CountingEnv::new(None));
        let refused = [
            ServerBackend::bind(make, &fresh("mem"), options()).map(drop),
            ClientBackend::new(make, &fresh("mem"), options()).map(drop),
        ];
        for refused in refused {
            let error = refused.unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && error.to_string().starts_with("attributes: "), "{error}");
        }
    }
}
