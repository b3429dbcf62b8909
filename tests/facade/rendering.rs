//! Render modes: those the environment declares, and no other.

use rlay::{
    AgentOptions, ClientBackend, ClientEnv, Env, EnvError, Error, ErrorKind, HostEnv, Hosted, HostedEnv, Limits, Map,
    Outcome, ServerBackend, ServerEnv, Value,
    endpoint::{Acceptor, Host, Wait, serve},
    wire::{Make, Payload, Role, Seed, Spec},
};
use rlay_testkit::CountingEnv;

use crate::{
    cartpole::CartPole,
    support::{Deed, Trouble, WORDS, bounded, counting, fresh, patient, patient_host},
};

fn mode(mode: &str) -> AgentOptions {
    patient().render_mode(mode)
}

/// Asserts that the error names the mode and lists the available ones.
fn assert_lists_modes(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let text = error.to_string();
    assert!(["\"human\"", "rgb_array", "ansi"].iter().all(|word| text.contains(word)), "{text}");
}

#[test]
fn an_undeclared_mode_is_refused_with_a_list_of_the_declared_ones() {
    bounded(|| {
        let (backend, address) = counting(&fresh("tcp"))?;
        assert_lists_modes(&ClientEnv::connect(&address, mode("human")).unwrap_err());
        let mut env = ClientEnv::connect(&address, mode("ansi"))?;
        env.reset(Some(1), &Value::None)?;
        assert_eq!(env.render()?, "episode 1, step 0".into());
        backend.close();

        let server = ServerEnv::bind(&fresh("tcp"), mode("human"))?;
        let factory = |make: &Make| Ok(CartPole::new(make.render_mode.as_deref()));
        let backend = ClientBackend::new(factory, &server.address().to_string(), patient_host())?;
        backend.start()?;
        assert_lists_modes(&server.accept().unwrap_err());
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn to_render_one_needs_a_mode() {
    bounded(|| {
        let (backend, address) = counting(&fresh("tcp"))?;
        let mut env = ClientEnv::connect(&address, patient())?;
        env.reset(Some(1), &Value::None)?;
        let error = env.render().unwrap_err();
        assert_eq!(error.downcast_ref::<Error>().expect("of RLay").kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("render_mode"), "{error}");
        env.step(Value::Int(1))?;
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn cartpole_draws_in_both_modes() {
    bounded(|| {
        let factory = |make: &Make| Ok(CartPole::new(make.render_mode.as_deref()));
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient_host())?;
        backend.start()?;
        let address = backend.address().to_string();
        let mut env = ClientEnv::connect(&address, mode("rgb_array"))?;
        env.reset(Some(1), &Value::None)?;
        let Value::Array(frame) = env.render()? else { panic!("not an array") };
        assert_eq!((frame.shape.as_slice(), frame.dtype), ([160, 240, 3].as_slice(), rlay::DType::U8));
        let mut local = CartPole::new(Some("rgb_array"));
        local.reset(Some(1), &Value::None)?;
        assert_eq!(local.render()?, Value::Array(frame.clone()), "the same picture as a local one");
        for _ in 0..8 {
            env.step(Value::Int(1))?;
        }
        assert_ne!(env.render()?, Value::Array(frame), "the cart has moved");

        let mut env = ClientEnv::connect(&address, mode("ansi"))?;
        env.reset(Some(1), &Value::None)?;
        assert!(env.render()?.as_str().is_some_and(|line| line.contains('|')));
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn a_frame_too_large_to_send_is_an_error_and_the_session_goes_on() {
    bounded(|| {
        let factory = |make: &Make| Ok(CartPole::new(make.render_mode.as_deref()));
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient_host())?;
        backend.start()?;
        let limits = Limits { frame: 64 << 10, ..Limits::default() };
        let mut env = ClientEnv::connect(&backend.address().to_string(), mode("rgb_array").limits(limits))?;
        env.reset(Some(1), &Value::None)?;
        let error = env.render().unwrap_err().to_string();
        assert!(error.contains("frame limit"), "{error}");
        assert_eq!(env.step(Value::Int(1))?.reward, 1.0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

#[test]
fn why_an_environment_is_refused_stands_before_what_closing_it_raised() {
    bounded(|| {
        let factory = |_: &Make| Ok(Trouble { env: CountingEnv::new(None), deed: Deed::Fail, renders: 0 });
        let assert_says_both = |error: &Error| {
            let text = error.to_string();
            let (first, second) = text.split_once("its close() failed besides: ").expect(&text);
            assert!(first.contains("does not render in mode \"human\"") && second.contains(WORDS), "{text}");
            assert_lists_modes(error);
        };
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient_host())?;
        backend.start()?;
        let address = backend.address().to_string();
        assert_says_both(&ClientEnv::connect(&address, mode("human")).unwrap_err());
        backend.close();

        let server = ServerEnv::bind(&fresh("tcp"), mode("human"))?;
        let backend = ClientBackend::new(factory, &server.address().to_string(), patient_host())?;
        backend.start()?;
        assert_says_both(&server.accept().unwrap_err());
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}

/// A host's environment with metadata of its own.
#[derive(Debug)]
struct Says(Hosted<CountingEnv>, Value);

impl HostEnv for Says {
    fn spec(&self) -> Spec {
        Spec { metadata: self.1.clone(), ..self.0.spec() }
    }

    fn reset_into(&mut self, seed: Option<&Seed>, options: &Value, outcome: &mut Outcome) -> rlay::Result<()> {
        self.0.reset_into(seed, options, outcome)
    }

    fn step_into(&mut self, action: Payload<'_>, outcome: &mut Outcome) -> rlay::Result<()> {
        self.0.step_into(action, outcome)
    }

    fn render(&mut self) -> rlay::Result<Value> {
        self.0.render()
    }

    fn close(&mut self) -> rlay::Result<()> {
        self.0.close()
    }
}

/// Metadata with these `render_modes`.
fn modes(modes: impl Into<Value>) -> Value {
    Value::Dict(Map::from([("render_modes", modes)]))
}

#[test]
fn a_declaration_is_one_in_any_container_and_without_one_the_environment_judges() {
    let ansi = || Value::from("ansi");
    let declared = [
        ("list", modes(vec![ansi()])),
        ("tuple", modes(Value::Tuple(vec![ansi()]))),
        ("str", modes(ansi())),
        ("dict", modes(Value::Dict(Map::from([("ansi", 1i64)])))),
    ];
    let undeclared = [
        ("an empty dict", Value::Dict(Map::new())),
        ("None", modes(Value::None)),
        ("the old key", Value::Dict(Map::from([("render.modes", vec![ansi()])]))),
    ];
    for (name, metadata) in declared {
        assert_eq!(asked(&metadata, "ansi"), Ok(Some("episode 1, step 0".into())), "{name}");
        let refusal = asked(&metadata, "rgb_array").unwrap_err();
        assert!(refusal.ends_with("it declares [\"ansi\"]; choose one of these"), "{name}: {refusal}");
    }
    for (name, metadata) in undeclared {
        assert_eq!(asked(&metadata, "ansi"), Ok(Some("episode 1, step 0".into())), "{name}");
    }
    let refusal = asked(&modes(vec![]), "ansi").unwrap_err();
    assert!(refusal.contains("it declares none; leave render_mode out"), "{refusal}");
}

/// The render that an agent gets if it asks an environment with this metadata for this mode.
fn asked(metadata: &Value, wanted: &str) -> Result<Option<Value>, String> {
    let (metadata, wanted) = (metadata.clone(), wanted.to_owned());
    bounded(move || {
        let acceptor = Acceptor::bind(&fresh("tcp").parse().expect("an address"), Role::Env, patient().connection())
            .expect("a port");
        let address = acceptor.address().to_string();
        let host = std::thread::spawn(move || {
            let mut connection = acceptor.next(&mut Wait::default()).expect("an agent");
            let mut factory = |make: &Make| {
                let env = CountingEnv::new(make.render_mode.as_deref());
                let says = Says(Hosted::new(env, make.render_mode.clone()), metadata.clone());
                Ok(HostedEnv::One(Box::new(says)))
            };
            let limits = connection.limits();
            serve(&mut connection, &mut Host::new(&mut factory, limits, true), &mut Wait::default())
        });
        let played = ClientEnv::connect(&address, mode(&wanted)).map_err(|error| error.to_string()).map(|mut env| {
            env.reset(None, &Value::None).expect("a reset");
            let frame = env.render().ok();
            env.close().expect("a goodbye");
            frame
        });
        host.join().expect("it does not panic").expect("it ends in order");
        played
    })
}
