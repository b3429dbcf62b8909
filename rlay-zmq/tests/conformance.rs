//! The conformance suite over `zmq://` and `zmq+ipc://`.

rlay_testkit::conformance! {
    mod zmq {
        transport: rlay_zmq::Zmq,
        address: |_| "zmq://127.0.0.1:0".to_owned(),
    }
}

rlay_testkit::conformance! {
    mod ipc {
        transport: rlay_zmq::Zmq,
        address: |n| {
            let file = std::env::temp_dir().join(format!("rlay-zmq-{}-{n}.sock", std::process::id()));
            format!("zmq+ipc://{}", file.display())
        },
    }
}
