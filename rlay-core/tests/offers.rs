//! The requests that a host refuses.

use rlay_core::{Map, Offers, Value, wire::Make};

#[test]
fn only_what_is_offered_can_be_asked_for() {
    let offers = Offers { env_ids: vec!["arena".into()], kwargs: vec!["size".into()], ..Offers::default() };
    let make =
        |env_id: Option<&str>, kwargs: Value| Make { env_id: env_id.map(str::to_owned), kwargs, ..Make::default() };
    let kwargs = |name: &str| Value::Dict(Map(vec![(Value::Str(name.into()), Value::Int(3))]));

    let none = || Value::Dict(Map::new());
    for good in [make(None, none()), make(Some("arena"), kwargs("size"))] {
        offers.check(&good).expect("it is offered");
    }
    for (bad, why) in [
        (make(Some("cellar"), none()), "offers no environment \"cellar\"; agents may ask for [\"arena\"]"),
        (make(None, Value::None), "keyword arguments are a dict"),
        (make(None, kwargs("path")), "offers no keyword argument \"path\""),
        (make(None, Value::Int(1)), "a dict"),
        (make(None, Value::Dict(Map(vec![(Value::Int(1), Value::None)]))), "is a string"),
    ] {
        let error = offers.check(&bad).expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
    }
    let nothing = Offers::default();
    nothing.check(&make(None, Value::Dict(Map::new()))).expect("the environment that there is");
    let error = nothing.check(&make(None, kwargs("size"))).expect_err("nothing is offered");
    assert!(error.to_string().contains("agents may ask for none"), "{error}");
}
