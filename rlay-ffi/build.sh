#!/bin/sh
# Builds the library, optimized, and the programs of the tests with it, below target/sdk/c of the repository.
set -e
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
out=$here/../target/sdk/c
cargo build --quiet --release --manifest-path "$here/Cargo.toml"
mkdir -p "$out"
# Under the name by which the programs look for it.
cp "$target/release/librlay_ffi.so" "$out/librlay.so.0"
ln -sf librlay.so.0 "$out/librlay.so"
cc -std=c99 -Wall -Wextra -Werror -pedantic -O2 -ffp-contract=off -I"$here/include" \
    "$here/tests/c/game.c" "$here/tests/c/drift.c" "$here/tests/c/echo.c" \
    -o "$out/game" -L"$out" -lrlay -lm -Wl,-rpath,'$ORIGIN'
# The same game in C++, with the rules of that in C.
cc -std=c99 -O2 -ffp-contract=off -I"$here/include" -c "$here/tests/c/drift.c" -o "$out/drift.o"
c++ -std=c++17 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fno-exceptions -fno-rtti -O"${OPT:-2}" \
    -I"$here/include" "$here/tests/cpp/game.cpp" "$out/drift.o" \
    -o "$out/game-cpp" -L"$out" -lrlay -lm -Wl,-rpath,'$ORIGIN'
