//! The conformance suite over `shm://`.

rlay_testkit::conformance! {
    mod shm {
        transport: rlay_shm::Shm,
        address: |n| format!("shm://conformance-{}-{n}", std::process::id()),
    }
}
