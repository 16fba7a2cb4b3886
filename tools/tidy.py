#!/usr/bin/env python3
"""House rules that no compiler checks: banned calls, sizes, notes to self, purpose comments, dead files, foreign names.

Looks at the files that git tracks. Prints each finding as path:line: text; exits 1 if there is one.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 1000
NAMED = ("tools", "training", "docs", "bench", "deploy")  # what lies here is reached by its name only
CODE = (".c", ".h", ".cc", ".cpp", ".hpp")

# name pattern -> path prefixes where it is allowed. Checked in src/ and engines/, comments and strings aside.
BANNED = {
    r"strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca|rand|srand|random": [],
    r"gmtime|localtime|ctime|asctime|mktime": [],
    r"atoi|atol|atoll|atof|strtol|strtoll|strtoul|strtoull|strtod|strtof": ["src/base/num", "src/base/decimal", "engines/"],
    r"getenv|secure_getenv": ["src/config/"],
    r"malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf|aligned_alloc|posix_memalign": ["src/base/mem", "engines/"],
    r"free": ["src/base/mem", "engines/"],
    # trial: a child that ends before a library's destructors can spoil its verdict
    r"exit|_exit": ["src/main.c", "src/base/mem", "src/serve/trial"],
    r"clock_gettime|gettimeofday|time": ["src/base/clock", "engines/"],
}
BANNED_CALL = {name: re.compile(rf"(?<![\w.>])(?:{name})\s*\(") for name in BANNED}

# Written in pieces, so that this file does not find itself.
NOTE = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
HOSTS = re.compile(
    r"\b(?:(?:registry\.)?npm" + r"js\.(?:org|com)|py" + r"pi\.org|python" + r"hosted\.org|crates" + r"\.io"
    r"|deb\.deb" + r"ian\.org|security\.deb" + r"ian\.org|archive\.ubu" + r"ntu\.com|proxy\.gol" + r"ang\.org"
    r"|repo1?\.maven" + r"\.|registry-1\.dock" + r"er\.io)"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}*-])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me)/\w")


def tracked():
    listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                             check=True, capture_output=True, text=True)
    return [pathlib.Path(name) for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def read(path):
    """The text of a file, or None for binary ones."""
    try:
        text = (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def without_comments(text):
    """C text with comments and the insides of strings blanked, line for line."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_banned(path, code):
    for name, pattern in BANNED_CALL.items():
        if any(str(path).startswith(home) for home in BANNED[name]):
            continue
        for match in pattern.finditer(code):
            yield line_of(code, match.start()), f"banned call {match.group().strip(' (')}()"


def check_function_sizes(code):
    """Functions open and close with a brace in column one (clang-format sees to that)."""
    lines = code.split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{" and not re.match(r"\s*(namespace|struct|union|enum|class|extern)\b[^(]*$", lines[number - 2]):
            start = number
        elif line.startswith("}") and start is not None:
            length = number - start - 1
            if length > FUNCTION_LINES_MAX:
                yield start, f"function of {length} lines; the limit is {FUNCTION_LINES_MAX}"
            start = None


def has_purpose_comment(path, text):
    body = text
    if body.startswith("#!"):
        body = body.split("\n", 1)[1] if "\n" in body else ""
    if path.parts[:2] == ("tests", "unit"):
        return True  # its name is its purpose
    if path.suffix == ".cc" and (ROOT / path).with_suffix(".h").exists():
        return True  # its header says it
    if path.suffix in CODE:
        return body.startswith(("/*", "//"))
    if path.suffix == ".py":
        return body.lstrip().startswith(('"""', "#"))
    if text.startswith("#!"):
        return body.startswith(("#", '"""'))
    return True


def check_text(path, text):
    """What holds for every text file."""
    for pattern, what in ((HOSTS, "the host name of a package registry"), (MACHINE_PATHS, "a path of one machine")):
        for match in pattern.finditer(text):
            yield line_of(text, match.start()), f"{what}: {match.group()}"
    if path.suffix in CODE + (".py", ".cmake", ".txt", "") and path.name != "LICENSE":
        for match in NOTE.finditer(text):
            yield line_of(text, match.start()), f"a note to self: {match.group()}"
        if text.count("\n") > FILE_LINES_MAX:
            yield 1, f"file of {text.count(chr(10))} lines; the limit is {FILE_LINES_MAX}"
        if not has_purpose_comment(path, text):
            yield 1, "does not open with a comment that says what it is for"


def check_file(path, text):
    yield from check_text(path, text)
    if path.suffix in CODE:
        code = without_comments(text)
        yield from check_function_sizes(code)
        if path.parts[0] in ("src", "engines"):
            yield from check_banned(path, code)


def check_dead(texts):
    """A header nobody includes, a tool or document nobody names."""
    for path in texts:
        if path.suffix == ".h" and path.parts[0] in ("src", "engines", "tests", "bench"):
            wanted = re.compile(r'#\s*include\s+["<](?:[\w./]+/)?' + re.escape(path.name) + '[">]')
        elif path.parts[0] in NAMED and path.name != "CMakeLists.txt" and path.suffix in ("", ".py", ".md", ".cmake") \
                and "adr" not in path.parts:
            wanted = re.compile(r"\b" + re.escape(path.stem if path.suffix in (".cmake", ".py") else path.name) + r"\b")
        else:
            continue
        if not any(other != path and wanted.search(text) for other, text in texts.items()):
            yield path, "nothing includes or names this file"


def main():
    texts = {path: read(path) for path in tracked()}
    texts = {path: text for path, text in texts.items() if text is not None}
    findings = [(path, line, what) for path, text in texts.items() for line, what in check_file(path, text)]
    findings += [(path, 1, what) for path, what in check_dead(texts)]
    for path, line, what in findings:
        print(f"{path}:{line}: {what}")
    return 1 if findings or not texts else 0


if __name__ == "__main__":
    sys.exit(main())
