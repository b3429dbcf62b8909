//! Render modes: those the environment declares, and no other.

use rlay::{
    ClientBackend, ClientEnv, Env, EnvError, Error, ErrorKind, Limits, Options, ServerBackend, ServerEnv, Value,
};

use crate::{
    cartpole::CartPole,
    support::{bounded, counting, fresh, patient},
};

fn mode(mode: &str) -> Options {
    Options { render_mode: Some(mode.into()), ..patient() }
}

/// That the error names the mode and lists those there are.
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
        let factory = |make: &rlay::wire::Make| Ok(CartPole::new(make.render_mode.as_deref()));
        let backend = ClientBackend::new(factory, &server.address().to_string(), patient())?;
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
        let factory = |make: &rlay::wire::Make| Ok(CartPole::new(make.render_mode.as_deref()));
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient())?;
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
        let factory = |make: &rlay::wire::Make| Ok(CartPole::new(make.render_mode.as_deref()));
        let backend = ServerBackend::bind(factory, &fresh("tcp"), patient())?;
        backend.start()?;
        let limits = Limits { frame: 64 << 10, ..Limits::default() };
        let mut env = ClientEnv::connect(&backend.address().to_string(), Options { limits, ..mode("rgb_array") })?;
        env.reset(Some(1), &Value::None)?;
        let error = env.render().unwrap_err().to_string();
        assert!(error.contains("frame limit"), "{error}");
        assert_eq!(env.step(Value::Int(1))?.reward, 1.0);
        backend.close();
        Ok::<_, EnvError>(())
    })
    .unwrap();
}
