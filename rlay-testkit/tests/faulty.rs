//! The conformance suite over `faulty://` without faults, and over links that only chop or delay.

use rlay_testkit::Faulty;

rlay_testkit::conformance! {
    mod whole {
        transport: Faulty,
        address: |n| format!("faulty://whole-{n}"),
    }
}

rlay_testkit::conformance! {
    mod chopped_and_late {
        transport: Faulty,
        address: |n| format!("faulty://chopped-{n}?chop=4093&delay=1"),
    }
}
