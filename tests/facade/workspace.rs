//! The dependencies that the crates of the workspace may have.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value as Json;

/// Crates that move bytes.
const TRANSPORTS: [&str; 5] = ["rlay-tcp", "rlay-zmq", "rlay-quic", "rlay-shm", "rlay-ws"];

/// The crates of this workspace, each with those of its ordinary dependencies that are among them.
fn crates() -> Vec<(String, BTreeSet<String>)> {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: Json = serde_json::from_slice(&cargo.stdout).expect("cargo writes JSON");
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let name = |json: &Json| json["name"].as_str().expect("a name").to_owned();
    let packages = list(&metadata["packages"]);
    let ours: BTreeSet<_> = packages.iter().map(name).collect();
    let dependencies = |package: &Json| {
        let ordinary = list(&package["dependencies"]).into_iter().filter(|dependency| dependency["kind"] != "dev");
        ordinary.map(|dependency| name(&dependency)).filter(|name| ours.contains(name)).collect()
    };
    packages.iter().map(|package| (name(package), dependencies(package))).collect()
}

#[test]
fn a_transport_depends_on_the_core_and_on_no_other_transport() {
    let crates = crates();
    let mut seen = 0;
    for (name, dependencies) in &crates {
        if TRANSPORTS.contains(&name.as_str()) {
            // The certificates to trust are the same for all that speak TLS.
            let others: Vec<_> = dependencies.iter().filter(|name| *name != "rlay-tls").collect();
            assert_eq!(others, ["rlay-core"], "{name}");
            seen += 1;
        }
    }
    assert!(seen > 0, "there is a transport among {crates:?}");
}

#[test]
fn the_core_depends_on_no_crate_of_ours() {
    let crates = crates();
    let (_, dependencies) = crates.iter().find(|(name, _)| name == "rlay-core").expect("there is a core");
    assert!(dependencies.is_empty(), "{dependencies:?}");
}

/// Every file of Rust in `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The conversation is data and decisions: any driver can run it, and the model checker does.
#[test]
fn the_conversation_sees_no_socket_clock_thread_or_runtime() {
    const FOREIGN: [&str; 22] = [
        "std::net",
        "std::os",
        "std::fs",
        "std::io",
        "std::thread",
        "std::process",
        "std::env",
        "std::sync::mpsc",
        "Mutex",
        "Condvar",
        "Instant::now",
        "SystemTime",
        "tokio",
        "rustix",
        "libc",
        "crate::endpoint",
        "crate::channel",
        "crate::bridge",
        "crate::net",
        "crate::cancel_token",
        "crate::stream",
        "crate::registry",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rlay-core/src");
    let mut files: Vec<_> = ["wire", "space", "session"].iter().flat_map(|room| sources(&root.join(room))).collect();
    files.push(root.join("value.rs"));
    files.retain(|path| !path.components().any(|part| part.as_os_str() == "model"));
    for path in &files {
        let text = fs::read_to_string(path).expect("it is text");
        // The names in a group of imports are written out, and tests may block.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let mut group = String::new();
        for (line, code) in code.lines().enumerate().filter(|(_, code)| !code.trim_start().starts_with("//")) {
            if let Some(("use", name)) = code.strip_suffix("::{").and_then(|code| code.split_once(' ')) {
                group = format!("{name}::");
            } else if code.starts_with('}') {
                group.clear();
            }
            let written_out = if group.is_empty() { code.to_owned() } else { format!("{group}{}", code.trim_start()) };
            for foreign in FOREIGN {
                assert!(!written_out.contains(foreign), "{}:{}: {code}", path.display(), line + 1);
            }
        }
    }
    assert!(files.len() > 30, "{} files", files.len());
}

/// Programs depend on the facade, which shows the documentation of these as its own.
#[test]
fn no_example_of_the_documentation_needs_the_core() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut examples = 0;
    for path in ["rlay-core/src", "rlay-testkit/src"].iter().flat_map(|folder| sources(&root.join(folder))) {
        let text = fs::read_to_string(&path).expect("it is text");
        for (line, comment) in text.lines().map(str::trim).enumerate() {
            if !comment.starts_with("///") && !comment.starts_with("//!") {
                continue;
            }
            examples += usize::from(comment.contains("use rlay::"));
            // Links are to the core, for the documentation is there.
            let code = comment.replace("[`rlay_core::", "").replace("](rlay_core::", "");
            assert!(!code.contains("rlay_core"), "{}:{}: {comment}", path.display(), line + 1);
        }
    }
    assert!(examples > 20, "{examples} examples");
}

/// A branch that moves would run code here that no commit of ours has chosen.
#[test]
fn every_action_of_the_workflows_is_pinned_to_a_tag() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    let mut actions = 0;
    for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let text = fs::read_to_string(&path).expect("it is text");
        for action in text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")) {
            let (_, tag) = action.split_once('@').unwrap_or_else(|| panic!("{action} has no version"));
            let numbers: Vec<_> = tag.strip_prefix('v').unwrap_or_default().split('.').collect();
            let is_pinned = numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok());
            assert!(is_pinned, "{}: {action} is not pinned to a tag", path.display());
            actions += 1;
        }
    }
    assert!(actions > 5, "{actions} actions");
}

/// `ci.yml` reads the version of the oldest Rust from a line of this form.
#[test]
fn the_oldest_rust_is_named_where_the_workflow_looks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("it is text");
    let named: Vec<_> = manifest.lines().filter_map(|line| line.strip_prefix("rust-version = ")).collect();
    assert_eq!(named, [format!("{:?}", env!("CARGO_PKG_RUST_VERSION"))]);
}
