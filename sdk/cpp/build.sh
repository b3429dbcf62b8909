#!/bin/sh
# Builds the programs of the C++ client into target/sdk/cpp, with warnings as errors, and runs those that need no agent.
#
#   CXX       the compiler (c++)
#   STD       the standard (c++17)
#   OPT       the level of optimization (2); with SANITIZE 0 compiles quickly
#   SANITIZE  what to check at run time, such as address,undefined; the tests alone, into target/sdk/cpp-sanitized
set -e
cd "$(dirname "$0")"
out=../../target/sdk/cpp${SANITIZE:+-sanitized}
mkdir -p "$out"
flags="-std=${STD:-c++17} -O${OPT:-2} -g -ffp-contract=off -pthread -Iinclude
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
programs="tests/game tests/vectors tests/unit tests/misuse"
if [ -n "$SANITIZE" ]; then
  flags="$flags -fsanitize=$SANITIZE -fno-sanitize-recover=all"
else
  programs="$programs examples/cartpole examples/engine_loop"
fi
cxx=${CXX:-c++}

# shellcheck disable=SC2086 # one word for each flag
if [ -z "$SANITIZE" ]; then
  # Engines build without exceptions and type information, and some behind the macros of windows.h.
  $cxx $flags -fno-exceptions -fno-rtti -fsyntax-only -Wno-unused-macros tests/macros.cpp
  for header in values wire codec; do
    $cxx $flags -fno-exceptions -fno-rtti -fsyntax-only -x c++ - <<END
#include "rlay/$header.hpp"
END
  done
fi
# shellcheck disable=SC2086
for source in $programs; do
  $cxx $flags -o "$out/$(basename $source)" $source.cpp &
  compilers="$compilers $!"
done
for compiler in $compilers; do wait "$compiler"; done
"$out/unit"
"$out/misuse"
