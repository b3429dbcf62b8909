//! The conformance suite over `quic://`.

rlay_testkit::conformance! {
    mod quic {
        transport: rlay_quic::Quic,
        address: |_| "quic://127.0.0.1:0".to_owned(),
    }
}
