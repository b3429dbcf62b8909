//! The conformance suite over `ws://` and `wss://`.

rlay_testkit::conformance! {
    mod ws {
        transport: rlay_ws::Ws,
        address: |_| "ws://127.0.0.1:0".to_owned(),
    }
}

rlay_testkit::conformance! {
    mod wss {
        transport: rlay_ws::Ws,
        address: |_| "wss://127.0.0.1:0/game".to_owned(),
    }
}
