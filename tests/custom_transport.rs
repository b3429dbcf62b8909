//! The example of a custom transport keeps every promise of a channel.

#[path = "../examples/custom_transport.rs"]
mod custom_transport;

use custom_transport::Abstract;

rlay_testkit::conformance! {
    mod abstract_sockets {
        transport: Abstract,
        address: |n| format!("abstract://conformance-{}-{n}", std::process::id()),
    }
}
