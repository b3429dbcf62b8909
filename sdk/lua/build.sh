#!/bin/sh
# Checks the syntax of the client and its programs; there is nothing to compile.
set -e
cd "$(dirname "$0")"
for file in rlay.lua tests/*.lua; do
    luac5.4 -p "$file"
done
