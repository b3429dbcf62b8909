//! The conformance suite over `mem://`, the reference implementation.

rlay_testkit::conformance! {
    mod mem {
        transport: rlay_core::Mem,
        address: |n| format!("mem://conformance-{n}"),
    }
}
