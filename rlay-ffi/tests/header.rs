//! `include/rlay.h` is what cbindgen makes of the crate: `RLAY_WRITE_HEADER=1 cargo test -p rlay-ffi --test header` writes it.

use std::{fs, path::Path};

#[test]
fn the_header_is_that_of_the_functions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut made = Vec::new();
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("a configuration");
    // By files and not by crate, for the order of this list is that of the header.
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in FILES {
        builder = builder.with_src(root.join("src").join(name).with_extension("rs"));
    }
    let preamble = fs::read_to_string(root.join("include/preamble.h")).expect("the text at the beginning");
    builder.with_header(preamble).generate().expect("a header").write(&mut made);
    let made = String::from_utf8(made).expect("it is text");
    let path = root.join("include/rlay.h");
    if std::env::var_os("RLAY_WRITE_HEADER").is_some() {
        fs::write(&path, &made).expect("it is written");
    }
    let checked_in = fs::read_to_string(&path).expect("a header");
    assert!(made == checked_in, "include/rlay.h is old: RLAY_WRITE_HEADER=1 cargo test -p rlay-ffi --test header");
}

/// Every file with a function or type of the interface.
const FILES: [&str; 14] = [
    "status",
    "value",
    "value_reader",
    "space",
    "space_reader",
    "spec",
    "options",
    "access",
    "turn",
    "env",
    "reply",
    "run",
    "agent",
    "vector_agent",
];

#[test]
fn no_file_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let code = fs::read_to_string(&path).expect("it is text");
        let is_interface = code.contains("#[unsafe(no_mangle)]") || code.contains("#[repr(C)]");
        assert_eq!(is_interface, FILES.contains(&name.as_str()), "{name}");
    }
}
