"""Translates the GDScript 4 of this folder to Godot 3, where it can be tested: to_godot3.py SOURCE TARGET, folders.

The rules are mechanical: what has another name in Godot 3, and what it lacks. They hold for the code here, not for
GDScript in general. Godot 3.2 cannot tell which port it listens at, so a port 0 becomes one by chance there.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

NAMES = {
    "RefCounted": "Reference",
    "PackedByteArray": "PoolByteArray",
    "PackedFloat32Array": "PoolRealArray",
    "to_utf8_buffer": "to_utf8",
    "unicode_at": "ord_at",
    "is_valid_int": "is_valid_integer",
    "TCPServer": "TCP_Server",
    "TYPE_FLOAT": "TYPE_REAL",
    "TYPE_STRING_NAME": "TYPE_STRING",
    "TYPE_CALLABLE": "TYPE_OBJECT",
    "TYPE_PACKED_BYTE_ARRAY": "TYPE_RAW_ARRAY",
    "TYPE_PACKED_FLOAT32_ARRAY": "TYPE_REAL_ARRAY",
    "TYPE_PACKED_INT32_ARRAY": "TYPE_INT_ARRAY",
    # Types that Godot 3 does not have.
    "TYPE_PACKED_FLOAT64_ARRAY": "-1",
    "TYPE_PACKED_INT64_ARRAY": "-2",
    "TYPE_VECTOR2I": "-3",
    "TYPE_VECTOR3I": "-4",
    "get_cmdline_user_args": "get_cmdline_args",
    "physics_ticks_per_second": "iterations_per_second",
    "process_physics_priority": "process_priority",
    "process_mode": "pause_mode",
    "PROCESS_MODE_ALWAYS": "PAUSE_MODE_PROCESS",
    "queue_redraw": "update",
    "can_instantiate": "can_instance",
}

PATTERNS = [
    (r"\bsuper\.", "."),
    (r"\bTime\.get_ticks", "OS.get_ticks"),
    (r"^@tool\n", "tool\n"),
    (r"@export var (\w+): (\w+)", r"export(\2) var \1"),
    (r"\bbytes\.slice\((\w+), (\w+)\)", r"bytes.subarray(\1, \2 - 1)"),
    (r": Callable\b", ""),
    (r"\bCallable\((\w+), ", r"funcref(\1, "),
    (r"\b(_make|log_to)\.call\(", r"\1.call_func("),
    (r"\n\s*var _polled: int = _socket\.poll\(\)", ""),
    (r"FileAccess\.open\((.+), FileAccess\.(READ|WRITE)\)", r"_open(\1, File.\2)"),
    (r": FileAccess\b", ": File"),
    (r"\bserver\.listen\(_place\.port, host\)", "_listen_at(server, host)"),
    (r"\bserver\.get_local_port\(\)", "_place.port"),
]

LISTEN = """
	func _listen_at(server, host):
		if _place.port != 0:
			return server.listen(_place.port, host)
		randomize()
		for _i in range(100):
			_place.port = 20000 + randi() % 40000
			if server.listen(_place.port, host) == OK:
				return OK
		return FAILED

	## Listens; from then on"""

OPEN = """

func _open(path, mode):
	var file = File.new()
	file.open(path, mode)
	return file
"""

SCENES = [
    (r"format=3", "format=2"),
    (r'path="([^"]+)" id="(\d+)"', r'path="\1" id=\2'),
    (r'ExtResource\("(\d+)"\)', r"ExtResource( \1 )"),
]


def script(text: str) -> str:
    """Translates a script."""
    text = re.sub(r"\b(" + "|".join(NAMES) + r")\b", lambda match: NAMES[match[1]], text)
    for pattern, replacement in PATTERNS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    text = text.replace("\n\t## Listens; from then on", LISTEN)
    return text + OPEN if "_open(" in text else text


def main() -> None:
    """Translates a folder."""
    source, target = map(Path, sys.argv[1:])
    for file in sorted(source.rglob("*")):
        if not file.is_file() or file.suffix in (".py", ".md", ".json") or "godot4" in file.parts:
            continue
        there = target / file.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text("utf-8")
        if file.suffix == ".gd":
            there.write_text(script(text), "utf-8")
        elif file.suffix == ".tscn":
            for pattern, replacement in SCENES:
                text = re.sub(pattern, replacement, text)
            there.write_text(text, "utf-8")
        elif file.name == "project.godot":
            there.write_text(text.replace("config_version=5", "config_version=4"), "utf-8")
        else:
            shutil.copy(file, there)


main()
