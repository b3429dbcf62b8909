#!/bin/sh
# The program `vectors` of sdk/tests/GAME.md: Godot reads no standard input, so questions and answers go through files.
set -e
project="$(cd "$(dirname "$0")/../../.." && pwd)/target/sdk/godot"
files="$(mktemp -d)"
trap 'rm -r "$files"' EXIT
cat > "$files/questions"
godot3-server --no-window --path "$project" -s tests/vectors.gd -- "$files/questions" "$files/answers" >&2
cat "$files/answers"
