#!/bin/sh
# Builds target/sdk/java/rlay.jar, and beside it the programs of the tests. Takes a JDK of release 9 or newer.
set -e
cd "$(dirname "$0")"
out=../../target/sdk/java
rm -rf "$out"
mkdir -p "$out/client" "$out/tests"
# That release 8 will not be supported for ever is the one warning that says nothing about this code.
flags="--release 8 -encoding UTF-8 -Xlint:all -Xlint:-options -Xdoclint:all,-missing -Werror"
javac $flags -d "$out/client" src/rlay/*.java
jar --create --file "$out/rlay.jar" -C "$out/client" .
javac $flags -cp "$out/rlay.jar" -d "$out/tests" tests/*.java
