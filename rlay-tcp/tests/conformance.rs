//! The conformance suite over `tcp://`, `tls://` and `unix://`.

rlay_testkit::conformance! {
    mod tcp {
        transport: rlay_tcp::Tcp,
        address: |_| "tcp://127.0.0.1:0".to_owned(),
    }
}

#[cfg(feature = "tls")]
rlay_testkit::conformance! {
    mod tls {
        transport: rlay_tcp::Tcp,
        address: |_| "tls://127.0.0.1:0".to_owned(),
        takes_two: true,
    }
}

rlay_testkit::conformance! {
    mod unix {
        transport: rlay_tcp::Tcp,
        address: |n| {
            let file = std::env::temp_dir().join(format!("rlay-conformance-{}-{n}.sock", std::process::id()));
            format!("unix://{}", file.display())
        },
    }
}
