//! CountingEnv counts, and ImageEnv costs nothing.

use rlay_core::{Array, Elements, Env, EnvFailure, HostEnv, Hosted, Outcome, Space, Value, wire::Seed};
use rlay_testkit::{CountingEnv, ImageEnv, SharedArray};

#[test]
fn every_result_names_its_call() {
    let mut env = CountingEnv::new(None);
    for episode in 1..=4u32 {
        let seed = (episode % 3 == 0).then_some(u64::from(episode));
        let reset = env.reset(seed, &"options".into()).unwrap();
        let shown = if episode == 3 { 3.0 } else { -1.0 };
        assert_eq!(reset.observation, [shown, f64::from(episode), 0.0, -1.0]);
        assert_eq!(reset.info.get("options"), Some(&"options".into()));
        assert_eq!(reset.info.get("seed"), Some(&seed.map_or(Value::None, Value::from)));
        for step in 1..=15u32 {
            let action = i64::from(step * 7);
            let result = env.step(action).unwrap();
            assert_eq!(result.observation, [shown, f64::from(episode), f64::from(step), action as f64]);
            assert_eq!(result.reward, f64::from(100 * step) + action as f64);
            assert_eq!(result.terminated, episode % 2 == 1 && step >= 10);
            assert_eq!(result.truncated, episode % 2 == 0 && step >= 12);
            assert_eq!(result.info.get("int"), Some(&Value::Int(-i64::from(step))));
            assert!(result.info.get("options").is_none());
            assert!(env.observation_space().contains(&result.observation));
        }
    }
}

#[test]
fn two_of_them_agree() {
    let (mut one, mut other) = (CountingEnv::new(None), CountingEnv::new(None));
    let options = Value::List(vec![Value::Float(0.5), Value::None]);
    assert_eq!(one.reset(Some(1), &options).unwrap(), other.reset(Some(1), &options).unwrap());
    for action in 0..20 {
        assert_eq!(one.step(action).unwrap(), other.step(action).unwrap());
    }
}

#[test]
fn misuse_is_an_error_and_counts_nothing() {
    let mut env = CountingEnv::new(None);
    let name = |error: rlay_core::EnvError| EnvFailure::from(error).error_type;
    assert_eq!(name(env.step(0).unwrap_err()), "RuntimeError");
    env.reset(None, &Value::None).unwrap();
    assert_eq!(name(env.step(1000).unwrap_err()), "ValueError");
    assert_eq!(name(env.step(-1).unwrap_err()), "ValueError");
    assert_eq!(env.step(999).unwrap().observation[2], 1.0);
}

#[test]
fn renders_what_it_counts() {
    let mut env = CountingEnv::new(Some("rgb_array"));
    env.reset(None, &Value::None).unwrap();
    env.step(5).unwrap();
    let Value::Array(image) = env.render().unwrap() else { panic!("an array") };
    assert_eq!((image.shape.as_slice(), image.data[0], image.data[8]), (&[2, 4, 3][..], 1, 1));
    let mut env = CountingEnv::new(Some("ansi"));
    env.reset(None, &Value::None).unwrap();
    assert_eq!(env.render().unwrap(), "episode 1, step 0".into());
    assert_eq!(rlay_core::render_modes(&env.metadata().to_value()), Some(vec!["rgb_array", "ansi"]));
}

#[test]
fn images_count_steps() {
    let mut env = ImageEnv::new([2, 2, 3]);
    assert_eq!(env.reset(None, &Value::None).unwrap().observation[..8], 0u64.to_le_bytes());
    for step in 1..300u64 {
        let image = env.step(0).unwrap().observation;
        assert_eq!((&image[..8], &image[8..]), (&step.to_le_bytes()[..], &[0; 4][..]));
    }
}

#[test]
fn a_kept_image_never_changes() {
    let mut env = ImageEnv::new([8]);
    let kept: Vec<_> = (0..5).map(|_| env.step(0).unwrap().observation).collect();
    for (image, step) in kept.iter().zip(1u64..) {
        assert_eq!(**image, step.to_le_bytes());
    }
}

#[test]
fn a_hosted_image_env_uses_one_buffer_for_ever() {
    let mut host = Hosted::new(ImageEnv::new([64, 64, 3]), None);
    let mut outcome = Outcome::default();
    host.reset_into(Some(&Seed::from(1u64)), &Value::None, &mut outcome).unwrap();
    let mut addresses = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut action = vec![];
        rlay_core::wire::put_value(&mut action, &Value::Int(0));
        let limits = rlay_core::Limits::default();
        let reader = rlay_core::wire::Reader::new(&action, 0, &limits);
        host.step_into(rlay_core::wire::Payload { packed: false, reader }, &mut outcome).unwrap();
        addresses.insert(host.observation().expect("sent from where it lies").as_ptr() as usize);
    }
    assert_eq!(addresses.len(), 1);
}

#[test]
fn shared_arrays_are_elements_of_a_box() {
    let space = ImageEnv::new([3, 4]).observation_space().clone();
    let value = Value::Array(Array::new(&[3, 4], &[9u8; 12]));
    let image = space.from_value(&value).unwrap();
    assert_eq!(image, SharedArray::from(vec![9; 12]));
    assert_eq!(space.to_value(&image), value);
    assert_eq!(image.elements().len(), 12);
}
