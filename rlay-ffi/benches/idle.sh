#!/bin/sh
# Measures what rlay_env_poll costs while no agent wants anything, with the optimized library.
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
"$here/build.sh"
target=$here/../target/sdk/c
cc -std=c99 -Wall -Wextra -Werror -pedantic -O2 -pthread -I"$here/include" "$here/benches/idle.c" \
    -o "$target/idle" -L"$target" -lrlay -Wl,-rpath,'$ORIGIN'
exec "$target/idle"
