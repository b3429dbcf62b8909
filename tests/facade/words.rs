//! Messages that made people stop: each as it reads now, and the part of it that says what to do next.

use std::fmt::Display;

/// Asserts that `message` reads as `pattern`, where … stands for any text, and says to do `advice`.
#[allow(dead_code)]
#[track_caller]
fn reads(message: impl Display, pattern: &str, advice: &str) {
    let text = message.to_string();
    assert!(matches(&text, pattern), "{text}");
    assert!(text.contains(advice), "{text:?} does not say {advice:?}");
}

fn matches(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        (rest, last) = (&rest[at + part.len()..], Some(part));
    }
    match last {
        None => rest.is_empty(),
        Some(last) => text.ends_with(last),
    }
}

#[test]
fn a_pattern_tells_texts_apart() {
    for (text, pattern, is_so) in [
        ("it broke; mend it", "it …; mend it", true),
        ("it broke; mend it", "it broke", false),
        ("it broke; mend it", "…mend …", true),
        ("it broke", "it broke", true),
        ("it broke", "they …", false),
    ] {
        assert_eq!(matches(text, pattern), is_so, "{text} {pattern}");
    }
}

// -- values, spaces, options

// -- arguments and the surface

#[test]
fn an_address_without_a_scheme() {
    let words = |text: &str| text.parse::<rlay::Address>().unwrap_err();
    reads(
        words("localhost:5005"),
        "\"localhost:5005\" is not an address: it has no ://; write …",
        "\"tcp://localhost:5005\"",
    );
    reads(
        words("/tmp/x.sock"),
        "\"/tmp/x.sock\" is not an address: …",
        "for a Unix socket write \"unix:///tmp/x.sock\"",
    );
    reads(words(""), "\"\" is not an address: it is empty; …", "an address looks like tcp://127.0.0.1:5005");
}

#[test]
fn what_a_host_does_not_offer() {
    let make = rlay::wire::Make {
        kwargs: rlay::Value::Dict(rlay::Map::from([("size", 5i64)])),
        ..rlay::wire::Make::default()
    };
    reads(
        rlay::Offers::default().check(&make).unwrap_err(),
        "this host offers no keyword argument \"size\"; agents may ask for none; leave it out, or let the host allow it: …",
        "ServerBackend(..., env_kwargs=[\"size\"]), in Rust Options::offers",
    );
    let make = rlay::wire::Make { env_id: Some("maze".into()), ..rlay::wire::Make::default() };
    reads(
        rlay::Offers::default().check(&make).unwrap_err(),
        "this host offers no environment \"maze\"; agents may ask for none; leave env_id out, or let the host …",
        "ServerBackend({\"maze\": ...}), in Rust Options::offers",
    );
}

// -- hosting

// -- launching

// -- transports and waits
