#!/usr/bin/env python3
"""Checks who includes whom: docs/ARCHITECTURE.md draws the rooms, this holds them to it.

A room of src/ includes only rooms further down STEPS, never a sibling of its own step. A third-party header has one
home. An engine sees nothing of ours but <slipway/...>. Prints each violation; exits 1 if there is one.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# From the top of the building to its ground; one step a line.
STEPS = [
    ["cli"],
    ["server", "worker", "lambda"],
    ["app"],
    ["watch", "rollout", "explain", "jobs"],
    ["serve"],
    ["store", "queue", "protocol", "engine"],
    ["aws"],
    ["db", "net"],
    ["config", "tensor", "loop"],
    ["base"],
]
# Rooms that may include less than their step would allow.
ONLY = {"protocol": {"tensor", "base"}, "engine": {"tensor", "base"}, "tensor": {"base"}, "loop": {"base"}}
# serve is pure of any transport and of outbound traffic.
NEVER = {"serve": {"net", "aws", "db"}}
# Headers of implementations; only app and the implementation itself name them.
IMPLEMENTATION = re.compile(r"^(store|queue)/\1_\w+\.h$")

# Third-party header -> the homes, as path prefixes.
HOMES = [
    (r"^curl/", ["src/net/client"]),
    (r"^llhttp\.h$", ["src/net/"]),
    (r"^nghttp2/", ["src/net/"]),
    (r"^openssl/", ["src/net/", "src/base/hash"]),
    (r"^zlib\.h$", ["src/net/"]),
    (r"^yaml\.h$", ["src/config/"]),
    (r"^zip\.h$", ["src/engine/", "engines/"]),
    (r"^(sqlite3|libpq-fe)\.h$", ["src/db/"]),
    (r"^(torch|ATen|c10|caffe2)/", ["engines/"]),
    (r"^onnxruntime", ["engines/"]),
    (r"^sys/epoll\.h$", ["src/loop/"]),
]
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)


def step_of(room):
    for number, rooms in enumerate(STEPS):
        if room in rooms:
            return number
    return None


def room_may_include(room, other):
    if room == other:
        return True
    if room in ONLY and other not in ONLY[room]:
        return False
    if other in NEVER.get(room, ()):
        return False
    return step_of(other) > step_of(room)


def check_room_include(path, room, header):
    """One quoted include of a file in src/ROOM; yields what is wrong with it."""
    target = header.split("/")[0]
    if "/" not in header:
        yield f"{path}: includes \"{header}\" without its room"
        return
    if target == "migrations":  # what the build makes of src/db/migrations
        target = "db"
    if step_of(target) is None:
        yield f"{path}: includes \"{header}\", and '{target}' is no room of tools/layers.py"
        return
    if room != "main" and not room_may_include(room, target):
        yield f"{path}: {room} must not include {target} (\"{header}\")"
    own = str(path).startswith("src/" + header[:-2])
    if IMPLEMENTATION.match(header) and room not in ("app", target) and not own:
        yield f"{path}: only app names an implementation (\"{header}\")"


def check_third_party(path, header):
    for pattern, homes in HOMES:
        if re.match(pattern, header) and not any(str(path).startswith(home) for home in homes):
            yield f"{path}: <{header}> lives in {' or '.join(homes)} only"


def check_file(path, text):
    parts = path.parts
    room = "main" if path == pathlib.Path("src/main.c") else parts[1]
    if parts[0] == "src" and room != "main" and step_of(room) is None:
        yield f"{path}: '{room}' is no room; add it to STEPS of tools/layers.py and to docs/ARCHITECTURE.md"
        return
    for kind, header in INCLUDE.findall(text):
        yield from check_third_party(path, header)
        if parts[0] == "src" and kind == '"':
            yield from check_room_include(path, room, header)
        if parts[0] == "engines" and kind == '"' and not (ROOT / path.parent / header).exists():
            yield f"{path}: an engine includes its own files and <slipway/...>, not \"{header}\""


def main():
    problems = []
    count = 0
    for top in ("src", "engines"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".c", ".h", ".cc", ".cpp", ".hpp"):
                count += 1
                relative = path.relative_to(ROOT)
                problems += check_file(relative, path.read_text(encoding="utf-8"))
    for problem in problems:
        print(problem)
    if count == 0:
        print("layers: found no source file")
        return 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
