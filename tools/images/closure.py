"""What the loader maps for a program, and stand-ins for some of it.

Debian's libpq and libcurl are linked with libraries for what Slipway never asks of them: LDAP and RTMP, behind which
stand another TLS library and its ten. A stand-in is a shared object of the same name with the same symbols, of which each
says on standard error what is not here and ends the process.
"""
import os
import pathlib
import re
import subprocess

STAND_INS = re.compile(r"lib(ldap|lber|rtmp)[-.0-9]*\.so\.")


def output_of(*command, **environment):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C", **environment}).stdout


def needed_by(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "--dynamic", "--wide", path))


def loaded_by(path):
    """SONAME -> path, as the loader finds them here."""
    found = {}
    for line in output_of("ldd", path).splitlines():
        if "not found" in line:
            raise SystemExit(f"closure: '{path}' needs what is not here: {line.strip()}")
        match = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if match:
            found[match[1] or os.path.basename(match[2])] = match[2]
    return found


def closure(path):
    """({SONAME: path} of what the file needs, {SONAME: [path of those that name it]} of what gets a stand-in)."""
    known = loaded_by(path)
    reached, stand_ins, rest = {}, {}, [(path, name) for name in needed_by(path)]
    while rest:
        user, name = rest.pop()
        if STAND_INS.match(name):
            stand_ins.setdefault(name, []).append(user)
        elif name in known and name not in reached:
            reached[name] = known[name]
            rest += [(known[name], further) for further in needed_by(known[name])]
    return reached, stand_ins


def symbols(path, *arguments):
    """{name: version or ""} of the dynamic symbol table."""
    found = {}
    for line in output_of("nm", "--dynamic", "--with-symbol-versions", *arguments, path).splitlines():
        kind, name = line.split()[-2:]
        if kind in "BDRGSC":
            continue # data has no stand-in: what needs it is found by check()
        name, _, version = name.partition("@")
        found[name] = version.lstrip("@")
    return found


def same_as(path, names):
    """The library that has all that this one has, if this one is a BLAS or a LAPACK: Debian's of OpenBLAS are copies of parts
    of libopenblas, which they need. `names` is {SONAME: path}."""
    if not re.match(r"lib(blas|lapack)\.so", os.path.basename(path)):
        return None
    mine = set(symbols(path, "--defined-only"))
    for name in needed_by(path):
        if name in names and mine <= set(symbols(names[name], "--defined-only")):
            return names[name]
    return None


SOURCE = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static const char text[] = "slipway: this image has no %(name)s\\n";
__attribute__((noreturn)) static void missing(void)
{
    (void)!write(2, text, sizeof text - 1);
    abort();
}
%(functions)s
"""


def make_stand_in(name, real, users, directory):
    """`directory`/`name`, with each symbol of the library at `real` that one of `users` takes."""
    has = symbols(real, "--defined-only")
    wanted = sorted({symbol for user in users for symbol in symbols(user, "--undefined-only") if symbol in has})
    by_version = {}
    for symbol in wanted:
        by_version.setdefault(has[symbol], []).append(symbol)
    by_version.pop("", None)
    made = pathlib.Path(directory, name)
    script = made.with_suffix(".map")
    script.write_text("".join(f"{version} {{ global: {'; '.join(names)}; }};\n" for version, names in by_version.items()))
    functions = "\n".join(f"void {symbol}(void); void {symbol}(void) {{ missing(); }}" for symbol in wanted)
    options = [f"-Wl,--version-script={script}"] if by_version else []
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-s", f"-Wl,-soname,{name}", "-Wl,--build-id=none", "-Wl,-z,relro,-z,now",
                    *options, "-o", made, "-x", "c", "-"],
                   check=True, text=True, input=SOURCE % {"name": name, "functions": functions})
    script.unlink()
    made.chmod(0o755)
    return wanted


def check(path, system):
    """What is wrong with a file of the tree `system`: every library within it, no symbol left undefined, by its own loader."""
    loader = next(found for name in ("usr/lib64", "usr/lib") for found in sorted((system / name).glob("ld-linux*")))
    directories = ":".join(sorted({str(found.parent) for found in system.rglob("*.so*") if "stubs" not in found.parent.name}))
    said = subprocess.run([loader, "--inhibit-cache", "--library-path", directories, path], capture_output=True, text=True,
                          env={"LD_TRACE_LOADED_OBJECTS": "1", "LD_WARN": "yes", "LD_BIND_NOW": "yes"})
    problems = [line.strip() for line in (said.stdout + said.stderr).splitlines()
                if "not found" in line or "undefined symbol" in line or "no version information" in line]
    for match in re.finditer(r"(?:=> |^\s*)(/\S+) \(0x", said.stdout, flags=re.MULTILINE):
        if not match[1].startswith(str(system)):
            problems.append(f"{match[1]} is not in the image")
    return problems
