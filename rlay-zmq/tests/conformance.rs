//! The conformance suite over `zmq://` and `zmq+ipc://`.

rlay_testkit::conformance! {
    mod zmq {
        transport: rlay_zmq::Zmq,
        address: |_| "zmq://127.0.0.1:0".to_owned(),
        exceptions: [
            the_frame_limit_is_exact: "the zeromq crate takes in a whole message before its length can be looked at"
        ],
    }
}

rlay_testkit::conformance! {
    mod ipc {
        transport: rlay_zmq::Zmq,
        address: |n| {
            let file = std::env::temp_dir().join(format!("rlay-zmq-{}-{n}.sock", std::process::id()));
            format!("zmq+ipc://{}", file.display())
        },
        exceptions: [
            the_frame_limit_is_exact: "the zeromq crate takes in a whole message before its length can be looked at"
        ],
    }
}
