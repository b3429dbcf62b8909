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

#[test]
fn the_page_says_how_many_tests_that_makes() {
    let listed = std::process::Command::new(std::env::current_exe().expect("a test binary has a path"))
        .args(["--list", "--format", "terse"])
        .output()
        .expect("it lists its tests");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let count = listed.lines().filter(|line| line.starts_with("abstract_sockets::")).count();
    assert!(include_str!("../docs/custom-transport.md").contains(&format!("One line makes {count} tests")), "{count}");
}
