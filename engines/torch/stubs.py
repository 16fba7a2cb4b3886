#!/usr/bin/env python3
"""Finds shared objects that a library names without using them, and builds empty ones of that name.

Usage: stubs.py DIRECTORY COMPILER LIBRARY

Debian links libtorch_cpu with OpenCV, FFmpeg and others (NEEDED), of which it uses no symbol; the
loader maps them and all they need, 240 files, all the same. An empty shared object of the same
SONAME, found first, spares that: engines/torch/CMakeLists.txt puts DIRECTORY first on the engine's
search path.

An entry is kept if it has any symbol that a kept object leaves undefined and the C and C++ libraries
do not have -- also if another one has it too, because which BLAS or LAPACK is installed differs from
machine to machine -- or if what only it brings along has one that is found nowhere else, or if a
kept object needs it. Symbols count by name, weak ones too: when in doubt an entry is kept.
DIRECTORY is emptied first; nothing in it means nothing to spare.
"""
import os
import shutil
import subprocess
import sys

RUNTIME = ("libc.so.", "libm.so.", "libstdc++.so.", "libgcc_s.so.", "ld-linux", "libpthread.so.",
           "libdl.so.", "librt.so.")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def libraries_of(path):
    """SONAME -> path of all that the loader would map with it, in its order."""
    found = {}
    for line in output_of("ldd", path).splitlines():
        words = line.split()
        if "=>" in words and len(words) >= 3 and words[2].startswith("/"):
            found[words[0]] = words[2]
        elif words and words[0].startswith("/"):
            found[os.path.basename(words[0])] = words[0]
    return found


def needed_by(path):
    lines = output_of("readelf", "-d", path).splitlines()
    return [line.split("[")[1].split("]")[0] for line in lines if "(NEEDED)" in line]


def symbols_of(path):
    """(defined, undefined) names of the dynamic symbol table."""
    defined, undefined = set(), set()
    for line in output_of("nm", "-D", path).splitlines():
        kind, name = line.split()[-2:]
        (undefined if kind in "Uwv" else defined).add(name.split("@")[0])
    return defined, undefined


class Closure:
    """A library and what it needs, with symbols read once."""

    def __init__(self, path):
        self.path = path
        self.libraries = libraries_of(path)
        self.symbols = {}
        self.needed = {}

    def symbols_in(self, path):
        if path not in self.symbols:
            self.symbols[path] = symbols_of(path)
        return self.symbols[path]

    def reach(self, names):
        """Paths of these libraries and all they need."""
        seen, rest = set(), list(names)
        while rest:
            path = self.libraries.get(rest.pop())
            if path is None or path in seen:
                continue
            seen.add(path)
            if path not in self.needed:
                self.needed[path] = needed_by(path)
            rest += self.needed[path]
        return seen

    def unused(self):
        """The NEEDED entries of the library that nobody needs."""
        candidates = needed_by(self.path)
        kept = {name for name in candidates if name.startswith(RUNTIME)}
        runtime = set()
        for path in self.reach(kept):
            runtime |= self.symbols_in(path)[0]
        while True:
            objects = self.reach(kept) | {self.path}
            defined, undefined = set(), set()
            for path in objects:
                defined |= self.symbols_in(path)[0]
                undefined |= self.symbols_in(path)[1]
            wanted = undefined - runtime
            left = [name for name in candidates
                    if name not in kept and self.libraries.get(name) not in objects | {None}]
            more = [name for name in left if self.symbols_in(self.libraries[name])[0] & wanted]
            # only then what they bring along, one at a time: the next may add nothing to the first
            more = more or [name for name in left if self.brings(name, undefined - defined)][:1]
            if not more:
                return left
            kept.update(more)

    def brings(self, name, missing):
        return any(self.symbols_in(path)[0] & missing for path in self.reach([name]))


def main():
    directory, compiler, library = sys.argv[1:]
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    closure = Closure(os.path.realpath(library))
    names = closure.unused()
    for name in names:
        subprocess.run([compiler, "-shared", "-nostdlib", "-s", "-Wl,-soname," + name, "-o",
                        os.path.join(directory, name), "-x", "c", "/dev/null"], check=True)
    spared = len(closure.libraries) - len(closure.reach(
        [name for name in needed_by(closure.path) if name not in names]))
    print(f"{len(names)} unused libraries of {os.path.basename(library)} are replaced by empty "
          f"ones, {spared} of {len(closure.libraries)} are not mapped")


if __name__ == "__main__":
    main()
