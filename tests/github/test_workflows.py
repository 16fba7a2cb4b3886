"""The workflows are clean to actionlint and zizmor, and keep what docs/delivery.md promises; each check of ours finds what it is for."""
import copy
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / ".github"
FILES = sorted((DIRECTORY / "workflows").glob("*.yml"))
TOOLS = ROOT / ".deps" / "workflows" / "bin"
PINNED = re.compile(r"^\s*(?:- )?uses: (\S+)@([0-9a-f]{40}) # v[0-9]+(\.[0-9]+)*$")
USED = re.compile(r"\b(secrets|vars)\.([A-Z_]+)")


def test_zizmor():
    done = subprocess.run([TOOLS / "zizmor", "--offline", "--no-progress", "--format", "plain", DIRECTORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint():
    if not (TOOLS / "actionlint").exists():
        pytest.skip("SKIPPED: there is no actionlint (tools/setup test builds it, with Go)")
    if not shutil.which("shellcheck"):
        pytest.skip("SKIPPED: there is no shellcheck, which actionlint asks about each script")
    done = subprocess.run([TOOLS / "actionlint", *FILES], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", ["deploy/cloudformation/image", "tools/publish", "tools/changelog", "tools/release", "bench/compare", "tests/soak"])
def test_shellcheck(script):
    if not shutil.which("shellcheck"):
        pytest.skip("SKIPPED: there is no shellcheck")
    done = subprocess.run(["shellcheck", "-x", "-S", "warning", "-e", "SC2154,SC2034", ROOT / script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# ---- checks of our own


def load(text):
    workflow = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True)  # what YAML 1.1 makes of `on`
    return workflow


def steps(workflow):
    return [(name, step) for name, job in workflow["jobs"].items() for step in job.get("steps", [])]


def make_targets():
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def documented():
    return set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "delivery.md").read_text(), re.MULTILINE))


def findings(text):
    workflow = load(text)
    for line in text.splitlines():
        if "uses: " in line and "uses: ./" not in line and not PINNED.match(line):
            yield f"not pinned by commit, or without its version: {line.strip()}"
    if workflow.get("permissions") != {}:
        yield "the workflow gives rights to all its jobs"
    if "concurrency" not in workflow and "workflow_call" not in workflow["on"]:
        yield "two of it may run at once"
    for trigger in ("pull_request_target", "workflow_run"):
        if trigger in workflow["on"]:
            yield f"{trigger} gives secrets to what a stranger wrote"
    for name, job in workflow["jobs"].items():
        if "permissions" not in job:
            yield f"{name}: its rights are not said"
        if "write-all" in str(job.get("permissions")):
            yield f"{name}: may do anything"
        if "steps" in job and "timeout-minutes" not in job:
            yield f"{name}: may run for six hours"
        image = (job.get("container") or {}).get("image", "")
        pinned = image if "${{" not in image else job["strategy"]["matrix"]["debian"][0]["image"]
        if pinned and not re.search("@sha256:[0-9a-f]{64}$", pinned):
            yield f"{name}: its container's image may change"
    targets, known = make_targets(), documented()
    for name, step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@") and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{name}: leaves the token where every later step finds it"
        run = step.get("run", "")
        if re.search(r"\$\{\{", run):
            yield f"{name}: an expression in a script is a way in for whoever names a branch"
        for target in re.findall(r"^(?:run: )?make (?:--no-print-directory )?([a-z][a-z-]*)", run, re.MULTILINE):
            if target not in targets:
                yield f"{name}: there is no make {target}"
        for script in re.findall(r"(?:^|\s)((?:tools|deploy|tests|bench)/[a-z_/]+)(?=\s|$)", run, re.MULTILINE):
            if not os.access(ROOT / script, os.X_OK):
                yield f"{name}: {script} is no program here"
    for _, used in USED.findall(text):
        if used != "GITHUB_TOKEN" and used not in known:
            yield f"docs/delivery.md does not say what {used} is"
    for job in workflow["jobs"].values():
        if any('make "$TARGET"' in step.get("run", "") for step in job.get("steps", [])):
            for target in set(job["strategy"]["matrix"]["target"]) - targets:
                yield f"there is no make {target}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_workflow(file):
    assert list(findings(file.read_text())) == []


def test_all_of_them_are_there():
    assert {file.stem for file in FILES} >= {"ci", "nightly", "release", "deploy", "chat", "model-check"}


CI = (DIRECTORY / "workflows" / "ci.yml").read_text()
PIN = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"


@pytest.mark.parametrize("old, new, expected", [
    (PIN, "actions/checkout@v7", "not pinned"),
    (PIN, PIN.split(" #")[0], "not pinned"),
    ("permissions: {}\n\nconcurrency", "permissions: write-all\n\nconcurrency", "gives rights to all"),
    ("  pull_request:\n", "  pull_request_target:\n", "what a stranger wrote"),
    ("persist-credentials: false", "persist-credentials: true", "leaves the token"),
    ("timeout-minutes: 90", "name: x", "six hours"),
    ("make test", "make tests", "no make tests"),
    ("make test", "tools/testing now", "tools/testing is no program"),
    ("make test", "make test ${{ github.ref }}", "a way in"),
    ("@sha256:7c7b2c", ":", "image may change"),
    ("secrets.SONAR_TOKEN", "secrets.SOMETHING_ELSE", "SOMETHING_ELSE"),
    ("[debug, thread,", "[debugging, thread,", "no make debugging"),
])
def test_what_is_wrong_is_found(old, new, expected):
    assert old in CI
    assert any(expected in finding for finding in findings(CI.replace(old, new))), expected


# ---- the way to production


def deploy_jobs():
    return load((DIRECTORY / "workflows" / "deploy.yml").read_text())["jobs"]


def needs_of(jobs, name):
    found, todo = set(), [name]
    while todo:
        for need in jobs[todo.pop()].get("needs", []):
            if need not in found:
                found.add(need)
                todo.append(need)
    return found


def delivery_findings(jobs):
    if "ci" not in needs_of(jobs, "deploy"):
        yield "what did not pass is deployed"
    if "environment" not in jobs["deploy"] or "environment" not in jobs["image"]:
        yield "a job without an environment has no role"
    if jobs["deploy"]["permissions"].get("id-token") != "write":
        yield "a job that is nobody has no role"
    if not any("--try" in step.get("run", "") for step in jobs["deploy"]["steps"]):
        yield "nobody looks whether it works"
    if "deploy" not in needs_of(jobs, "tested") or "test" not in jobs["tested"]["if"]:
        yield "the mark says nothing"
    if any("make image" in step.get("run", "") for step in jobs["deploy"]["steps"]):
        yield "it is built again"


def test_the_way_to_production():
    assert list(delivery_findings(deploy_jobs())) == []


def test_a_wrong_way_is_found():
    jobs = copy.deepcopy(deploy_jobs())
    jobs["image"]["needs"] = []
    jobs["deploy"]["steps"] = [{"run": "make image"}]
    jobs["deploy"]["permissions"] = {}
    del jobs["deploy"]["environment"]
    jobs["tested"]["needs"] = ["image"]
    assert len(list(delivery_findings(jobs))) == 6
