"""Each docs/tutorials/*.md is typed into a shell, command by command, and what comes is what the page shows.

In a block ```console a line "$ ..." is a command, "> ..." goes on with it, the rest is what it prints; "..." in a line is anything, a
line of "..." any lines. A command must succeed, unless the next one is `echo $?`. Each page has a network of its own, so that the ports
are those of the page.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from slipway import BINARY, MODELS, ROOT

PAGES = sorted((pathlib.Path(ROOT) / "docs" / "tutorials").glob("*.md"))
CLIENTS = pathlib.Path(ROOT) / ".deps" / "clients" / "aws" / "bin"
TIMEOUT_S = 120


def commands_of(text):
    """[(command, expected lines)]"""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.startswith("> ") or line == ">":
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", found[-1][1])
            else:
                found[-1][1].append(line)
    return found


def pattern_of(lines):
    pieces = [r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + "\n" for line in lines]
    return re.compile("".join(pieces))


def matches(lines, printed):
    return pattern_of(lines).fullmatch(printed if printed.endswith("\n") or not printed else printed + "\n") is not None


def script_of(commands):
    """After each command a line that says its number and status, which the next one still sees."""
    lines = ["exec 2>&1", "set +m", "ip link set lo up || exit 99"]
    for number, (command, _) in enumerate(commands):
        lines += [command, f"__status=$?; printf '\\n@@%d %d\\n' {number} $__status; (exit $__status)"]
    return "\n".join([*lines, "kill $(jobs -p) 2>/dev/null; wait", ""])


def run(commands, directory):
    """What each command printed, and its status; fewer where the shell ended."""
    path = f"{pathlib.Path(BINARY).parent}:{CLIENTS}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(directory), "LANG": "C.UTF-8", "AWS_DEFAULT_REGION": "eu-west-1",
                   "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true",
                   **{name: os.environ[name] for name in ("LSAN_OPTIONS", "ASAN_OPTIONS") if name in os.environ}}
    with tempfile.TemporaryFile("w+") as output:
        try:
            shell = subprocess.run(["unshare", "--net", "bash", "-c", script_of(commands)], cwd=directory, env=environment, stdout=output,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False)
            status = shell.returncode
        except subprocess.TimeoutExpired:
            status = "timeout"
        output.seek(0)
        text = output.read()
    found, rest = [], text
    for number in range(len(commands)):
        mark = re.search(rf"\n@@{number} (\d+)\n", rest)
        if mark is None:
            break
        found.append((rest[:mark.start()], int(mark.group(1))))
        rest = rest[mark.end():]
    return found, f"the shell ended with {status}, and said last: {rest[-2000:]}"


def has_a_network_of_its_own():
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tutorial(page, tmp_path):
    if not has_a_network_of_its_own():
        pytest.skip("SKIPPED: no network of its own can be made here (unshare --net)")
    text = page.read_text()
    if "aws " in text and not CLIENTS.exists():
        pytest.skip("SKIPPED: there is no AWS CLI (tools/setup test installs it)")
    commands = commands_of(text)
    assert len(commands) >= 5, "a tutorial of few commands is none"
    shutil.copytree(MODELS, tmp_path / "models")
    found, end = run(commands, tmp_path)
    for number, (command, expected) in enumerate(commands):
        assert number < len(found), f"{command}\n{end}"
        printed, status = found[number]
        forgiven = number + 1 < len(commands) and commands[number + 1][0] == "echo $?"
        assert status == 0 or forgiven, f"{command}\nended with {status}:\n{printed}"
        assert matches(expected, printed), f"$ {command}\nprinted:\n{printed}\nthe page says:\n" + "\n".join(expected)


def test_there_are_tutorials():
    assert {page.stem for page in PAGES} >= {"first-model", "jobs", "sqs", "gate", "function"}


def test_what_differs_is_found():
    assert matches(["a ... c", "...", "z"], "a b c\n1\n2\nz\n") and matches([], "")
    for printed in ("a b d\nz\n", "a b c\nz\nmore\n", "", "a b\nc\nz\n"):
        assert not matches(["a ... c", "...", "z"], printed)
    assert commands_of("```console\n$ a\n> b\nc\n```\n```sh\n$ no\n```\n") == [("a\nb", ["c"])]


def test_a_wrong_page_is_found(tmp_path):
    if not has_a_network_of_its_own():
        pytest.skip("SKIPPED: no network of its own can be made here (unshare --net)")
    found, end = run([("echo one; false", []), ("echo $?", []), ("exit 3", []), ("echo four", [])], tmp_path)
    assert found == [("one\n", 1), ("1\n", 0)] and "ended with 3" in end
