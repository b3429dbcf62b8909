#!/bin/sh
# Builds the programs of the C++ client into target/sdk/cpp, with warnings as errors.
#
#   CXX       the compiler (c++)
#   STD       the standard (c++17)
#   OPT       the level of optimization (2); with SANITIZE 0 compiles quickly
#   SANITIZE  what to check at run time, such as address,undefined
set -e
cd "$(dirname "$0")"
out=../../target/sdk/cpp
mkdir -p "$out"
flags="-std=${STD:-c++17} -O${OPT:-2} -g -ffp-contract=off -pthread -Iinclude
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
if [ -n "$SANITIZE" ]; then flags="$flags -fsanitize=$SANITIZE -fno-sanitize-recover=all"; fi
cxx=${CXX:-c++}

# Engines build without exceptions and type information.
for header in values wire codec rlay; do
  $cxx $flags -fno-exceptions -fno-rtti -fsyntax-only -x c++ - <<END
#include "rlay/$header.hpp"
END
done
for source in tests/game tests/vectors tests/unit examples/cartpole examples/engine_loop; do
  $cxx $flags -o "$out/$(basename $source)" $source.cpp
done
"$out/unit"
