#!/bin/sh
# Checks what the scripts use of Godot's API, and translates them to Godot 3, in which they are tested.
# There is nothing to compile.
set -e
cd "$(dirname "$0")"
target="../../target/sdk/godot"
if command -v gdparse > /dev/null; then
    find . -name '*.gd' -exec gdparse {} +
fi
python3 tests/check_api.py
rm -rf "$target"
python3 tests/to_godot3.py . "$target"
scripts="addons/rlay/rlay.gd addons/rlay/rlay_host.gd sample/world.gd sample/agent.gd"
scripts="$scripts tests/environments.gd tests/answers.gd tests/cases.gd tests/mistakes.gd"
for script in $scripts; do
    # Godot ends with 0 after an error in a script.
    said="$(godot3-server --no-window --path "$target" -s tests/load.gd -- "$script" 2>&1)"
    case "$said" in
        # It may load a script that has an error, too.
        *"SCRIPT ERROR"*) echo "$said"; exit 1 ;;
        *"loaded $script"*) ;;
        *) echo "$said"; exit 1 ;;
    esac
done
