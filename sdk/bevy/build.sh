#!/bin/sh
# Builds the example of the plugin for Bevy below target/sdk/bevy of the repository, with warnings as errors.
set -e
cd "$(dirname "$0")"
export CARGO_TARGET_DIR="$PWD/../../target/sdk/bevy"
cargo fmt --check
cargo clippy --quiet --locked --all-targets -- -D warnings
cargo build --quiet --locked --examples
