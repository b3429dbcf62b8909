#!/bin/sh
# Builds the programs of the C++ client for another system into target/sdk/cpp-SYSTEM, and runs what can be run here.
# By hand: `make sdk-windows`, `make sdk-macos`; their tools are large.
set -e
system=$1
cd "$(dirname "$0")"
out=../../target/sdk/cpp-$system
mkdir -p "$out"
flags='-std=c++17 -O1 -ffp-contract=off -Iinclude -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
programs='tests/game tests/vectors tests/unit examples/cartpole'

# Installs packages of Debian that are missing.
debian() {
    if dpkg -s "$@" >/dev/null 2>&1; then return; fi
    root=
    if [ "$(id -u)" != 0 ]; then root=sudo; fi
    $root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $root apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

case $system in
windows)
    debian g++-mingw-w64-x86-64-posix wine64
    for program in $programs; do
        # shellcheck disable=SC2086 # one word for each flag
        x86_64-w64-mingw32-g++-posix $flags -static -o "$out/$(basename $program).exe" $program.cpp -lws2_32
    done
    WINEPREFIX=$(realpath "$out")/wine WINEDEBUG=-all /usr/lib/wine/wine64 "$out/unit.exe"
    ;;
macos)
    zig=$out/zig/bin/python
    [ -x "$zig" ] || python3 -m venv "$out/zig"
    "$zig" -m pip install --quiet --disable-pip-version-check ziglang==0.17.1
    for processor in aarch64 x86_64; do
        for program in $programs; do
            # shellcheck disable=SC2086 # one word for each flag
            "$zig" -m ziglang c++ -target $processor-macos $flags -o "$out/$(basename $program)-$processor" $program.cpp
        done
    done
    ls "$out"/game-*
    ;;
*)
    echo "there is no $system; the systems are windows and macos" >&2
    exit 2
    ;;
esac
