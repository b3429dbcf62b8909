#!/bin/sh
# Checks the syntax of the client and its programs; there is nothing to compile.
set -e
cd "$(dirname "$0")"
for file in rlay.mjs tests/*.mjs tests/browser/*.mjs examples/*/*.mjs; do
    node --check "$file"
done
