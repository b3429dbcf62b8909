#!/bin/sh
# Builds the library, optimized, and installs it below a prefix: install.sh PREFIX [--no-build]
set -e
[ $# -ge 1 ] || { echo "usage: install.sh PREFIX [--no-build]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
[ "$2" = --no-build ] || cargo build --quiet --release --manifest-path "$here/Cargo.toml"
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' "$here/../Cargo.toml")
mkdir -p "$1/include" "$1/lib/pkgconfig" "$1/lib/cmake/rlay"
prefix=$(cd "$1" && pwd)
install -m 644 "$here/include/rlay.h" "$here/include/rlay_ffi.hpp" "$prefix/include/"
install -m 755 "$target/release/librlay_ffi.so" "$prefix/lib/librlay.so.$version"
install -m 644 "$target/release/librlay_ffi.a" "$prefix/lib/librlay.a"
# The name for the loader, which has the number of the ABI, and the name for the linker.
ln -sf "librlay.so.$version" "$prefix/lib/librlay.so.0"
ln -sf librlay.so.0 "$prefix/lib/librlay.so"
fill() {
    sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$here/dist/$1.in" > "$2/$1"
}
fill rlay.pc "$prefix/lib/pkgconfig"
fill rlay-config.cmake "$prefix/lib/cmake/rlay"
fill rlay-config-version.cmake "$prefix/lib/cmake/rlay"
