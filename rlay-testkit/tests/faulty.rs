//! The conformance suite over `faulty://` without faults, and over one that delivers in small pieces.

use rlay_testkit::Faulty;

rlay_testkit::conformance! {
    mod whole {
        transport: Faulty,
        address: |n| format!("faulty://whole-{n}"),
    }
}

rlay_testkit::conformance! {
    mod chopped {
        transport: Faulty,
        address: |n| format!("faulty://chopped-{n}?chop=4093"),
    }
}
