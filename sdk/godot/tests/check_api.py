"""Checks every class, method, property and constant that the scripts use against the API of Godot 4.2 and a newer one.

    python3 check_api.py                        checks; exits with 1 where something is unknown
    python3 check_api.py --extract FILE...      makes api.json of files extension_api.json (crate gdextension-api)

api.json holds names alone, and for methods how many arguments they take: of the classes that the scripts name and their
bases, of the built-in types, and of the global functions and constants.

GDScript leaves most types open. Where the type of what stands before a dot is written down (a declared variable or
parameter, a class, a singleton), the name behind it is looked up there. Elsewhere it has to be a name of the scripts,
or of any class or built-in type in api.json, with as many arguments.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Those in the folder godot4 run in Godot 4 itself, and call JavaScript.
SCRIPTS = sorted(path for path in HERE.parent.rglob("*.gd") if "godot4" not in path.parts)
API = HERE / "api.json"
# What GDScript itself has (@GDScript), and no API file lists.
LANGUAGE = {
    "preload": (1, 1),
    "load": (1, 1),
    "range": (1, 3),
    "char": (1, 1),
    "get_stack": (0, 0),
    "print_debug": (0, 99),
    "int": (1, 1),
    "float": (1, 1),
    "bool": (1, 1),
    "Color": (0, 4),
    "Vector2": (0, 2),
    "Rect2": (0, 4),
    "Array": (0, 4),
    "PackedByteArray": (0, 1),
    "Callable": (0, 2),
}
WORDS = {"and", "or", "not", "in", "is", "as", "if", "elif", "else", "for", "while", "match", "return", "pass", "break"}
WORDS |= {"continue", "var", "const", "func", "class", "extends", "enum", "static", "super", "self"}


def scripts() -> dict[Path, str]:
    """Returns the scripts without comments and with empty texts."""
    found = {}
    for path in SCRIPTS:
        text = re.sub(r'"(?:[^"\\\n]|\\.)*"|(#[^\n]*)', lambda m: "" if m[1] else '""', path.read_text("utf-8"))
        found[path] = text
    return found


def arity(method: dict[str, Any]) -> list[int]:
    """Returns the least and the largest number of arguments."""
    arguments = method.get("arguments", [])
    least = sum("default_value" not in argument for argument in arguments)
    return [least, 99 if method.get("is_vararg") else len(arguments)]


def extract(files: list[str]) -> None:
    """Makes api.json."""
    words = set(re.findall(r"\b[A-Z]\w+", "\n".join(scripts().values())))
    releases = {}
    for file in files:
        api = json.loads(Path(file).read_text("utf-8"))
        classes = {entry["name"]: entry for entry in api["classes"]}
        wanted = [name for name in classes if name in words]
        for name in wanted:
            base = classes[name].get("inherits")
            if base and base not in wanted:
                wanted.append(base)
        kept: dict[str, Any] = {}
        for name in sorted(wanted):
            entry = classes[name]
            constants = [value["name"] for value in entry.get("constants", [])]
            constants += [value["name"] for enum in entry.get("enums", []) for value in enum["values"]]
            kept[name] = {
                "base": entry.get("inherits"),
                "methods": {method["name"]: arity(method) for method in entry.get("methods", [])},
                "names": sorted({p["name"] for p in entry.get("properties", [])} | set(constants)),
            }
        for entry in api["builtin_classes"]:
            kept[entry["name"]] = {
                "base": None,
                "methods": {method["name"]: arity(method) for method in entry.get("methods", [])},
                "names": sorted(
                    {m["name"] for m in entry.get("members", [])} | {c["name"] for c in entry.get("constants", [])}
                ),
            }
        header = api["header"]
        releases[f"{header['version_major']}.{header['version_minor']}"] = {
            "classes": kept,
            "all": sorted(classes) if not releases else [],
            "functions": {function["name"]: arity(function) for function in api["utility_functions"]},
            "constants": sorted(value["name"] for enum in api["global_enums"] for value in enum["values"]),
        }
    API.write_text(json.dumps(releases, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")
    print(f"{API.name}: {API.stat().st_size} bytes, of {', '.join(releases)}")


def arguments_at(text: str, place: int) -> int:
    """Returns how many arguments stand in the parentheses that open at this place."""
    depth, count, is_empty = 0, 0, True
    for c in text[place:]:
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth == 0:
                return 0 if is_empty else count + 1
        elif c == "," and depth == 1:
            count += 1
            is_empty = True
            continue
        if not (c.isspace() or (depth == 1 and c == "(")):
            is_empty = False if depth > 0 else is_empty
    return count


def members(release: dict[str, Any], name: str | None) -> tuple[dict[str, list[int]], set[str]]:
    """Returns methods and other names of a class with its bases."""
    methods: dict[str, list[int]] = {}
    names: set[str] = set()
    while name in release["classes"]:
        entry = release["classes"][name]
        methods = {**entry["methods"], **methods}
        names |= set(entry["names"])
        name = entry["base"]
    return methods, names


def typed_scopes(text: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yields for each function where it ends, and the types that are written down for names in it; None for no type."""
    heads = [match.start() for match in re.finditer(r"^\t*(?:static )?func ", text, re.MULTILINE)]
    members: dict[str, str | None] = {}
    for name, kind in re.findall(r"^\t?var (\w+)(?:: (\w+))?", text, re.MULTILINE):
        members[name] = None if name in members and members[name] != kind else kind or None
    yield (heads[0] if heads else len(text)), members
    for start, end in zip(heads, [*heads[1:], len(text)], strict=False):
        types = dict(members)
        head = text[start : text.index("\n", start)]
        local = re.findall(r"[(,] ?(\w+)(?:: (\w+))?(?= ?[,)=])", head)
        local += re.findall(r"\t(?:var|for) (\w+)(?:: (\w+))?", text[start:end])
        for name in {name for name, _ in local}:
            kinds = {kind for known, kind in local if known == name}
            types[name] = kinds.pop() or None if len(kinds) == 1 else None
        yield end, types
    yield len(text) + 1, members


def check(version: str, release: dict[str, Any], native: set[str]) -> list[str]:
    """Returns what is wrong for one release."""
    texts = scripts()
    everything = "\n".join(texts.values())
    own = set(re.findall(r"\bfunc (\w+)", everything)) | set(re.findall(r"\b(?:var|const) (\w+)", everything))
    own_classes = set(re.findall(r"\bclass (\w+)", everything)) | set(
        re.findall(r"\bconst ([A-Z]\w*) = preload", everything)
    )
    enums = set(re.findall(r"\benum (\w+)", everything))
    for body in re.findall(r"\benum \w+ \{([^}]*)\}", everything):
        own |= set(re.findall(r"[A-Z][A-Z_]*", body))
    anywhere: dict[str, list[list[int]]] = {}
    for name in release["classes"]:
        for method, counts in release["classes"][name]["methods"].items():
            anywhere.setdefault(method, []).append(counts)
    any_name = {name for entry in release["classes"].values() for name in entry["names"]}
    wrong = []
    for path, text in texts.items():

        def report(place: int, what: str, path: Path = path, text: str = text) -> None:
            wrong.append(f"{path.name}:{text.count(chr(10), 0, place) + 1}: Godot {version}: {what}")

        for name in re.findall(r"^\t*class (\w+)", text, re.MULTILINE):
            if name in native:
                report(0, f"the class {name} has the name of one of Godot's")
        bases = re.findall(r"^extends (\w+)", text, re.MULTILINE)
        base = bases[0] if bases else "Node"
        taken, _ = members(release, base)
        for match in re.finditer(r"^(\t?)(?:static )?func (\w+)\(", text, re.MULTILINE):
            # Inner classes extend RefCounted.
            if match[2] in (members(release, "RefCounted")[0] if match[1] else taken) and not match[2].startswith("_"):
                report(match.start(), f"{match[2]} is a method of {base} already")
        scopes = list(typed_scopes(text))
        for match in re.finditer(r"(?<![\w.])([A-Za-z_]\w*)\b(?!\s*:)", text):
            name, follows = match[1], text[match.end() : match.end() + 1]
            before = text[: match.start()].rstrip(" \t")
            is_call = follows == "("
            if name in WORDS or name in own or name in own_classes or name in enums or before.endswith("func"):
                continue
            if is_call:
                known = release["functions"].get(name) or LANGUAGE.get(name) or members(release, base)[0].get(name)
                count = arguments_at(text, match.end())
                if known is None or not known[0] <= count <= known[1]:
                    report(match.start(), f"the function {name} with {count} arguments")
            elif name[0].isupper() and len(name) > 1:
                is_known = name in release["classes"] or name in release["constants"] or name in native
                if not is_known and name not in ("INF", "NAN"):
                    report(match.start(), f"the name {name}")
        for match in re.finditer(r"(?:(?<![\w.)\]])([A-Za-z_]\w*))?\.([A-Za-z_]\w*)(\()?", text):
            owner, name, call = match[1], match[2], match[3]
            if text[match.start() - 1 : match.start()].isdigit() or owner == "super":
                continue
            count = arguments_at(text, match.end() - 1) if call else 0
            types = next(types for end, types in scopes if match.start() < end)
            kind = owner if owner in release["classes"] else types.get(owner or "")
            if kind in release["classes"]:
                methods, names = members(release, kind)
                if name == "new" or (not call and (name in names or name in methods)):
                    continue
                if not call or name not in methods or not methods[name][0] <= count <= methods[name][1]:
                    report(match.start(), f"{kind}.{name} with {count} arguments" if call else f"{kind}.{name}")
            elif name not in own and name not in own_classes and name not in enums and name != "new":
                if call and not any(least <= count <= most for least, most in anywhere.get(name, [])):
                    report(match.start(), f"no class has a method {name} with {count} arguments")
                if not call and name not in any_name and name not in anywhere:
                    report(match.start(), f"no class has a property {name}")
    return wrong


def main() -> None:
    """Checks, or makes api.json."""
    if sys.argv[1:2] == ["--extract"]:
        extract(sys.argv[2:])
        return
    releases = json.loads(API.read_text("utf-8"))
    native = {name for release in releases.values() for name in release["all"]}
    wrong = [line for version, release in releases.items() for line in check(version, release, native)]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(SCRIPTS)} scripts, Godot {' and '.join(releases)}: {len(wrong)} names unknown")
    sys.exit(bool(wrong))


main()
