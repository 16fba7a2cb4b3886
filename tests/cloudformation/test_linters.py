"""cfn-lint, sam validate and checkov have nothing to say. None of them may ask the network for anything."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

from template import DIRECTORY, REGION, ROOT

TEMPLATES = sorted(DIRECTORY.glob("*.yaml"))
TOOLS = pathlib.Path(sys.executable).parent
CHECKOV = ROOT / ".deps" / "checkov" / "bin" / "checkov"

def run(*command, **environment):
    return subprocess.run(command, cwd=DIRECTORY, capture_output=True, text=True, timeout=300, check=False, env={
        **os.environ, "AWS_DEFAULT_REGION": REGION, "SAM_CLI_TELEMETRY": "0", "LOG_LEVEL": "ERROR", **environment})


def test_the_templates_are_there():
    assert [path.name for path in TEMPLATES] == ["app.yaml", "billing.yaml", "bootstrap.yaml"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_cfn_lint(path):
    done = run(TOOLS / "cfn-lint", "--regions", "us-east-1" if path.name == "billing.yaml" else REGION, "--include-checks",
               "I", "--", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_sam_validate(path):
    done = run(TOOLS / "sam", "validate", "--lint", "--region", REGION, "--template", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


def test_checkov():
    """Clean; and what is suppressed has a reason beside it."""
    if not CHECKOV.exists():
        pytest.skip("tools/setup test installs checkov")
    # Relative: it searches the template's own path for secrets, and takes some absolute ones for one.
    done = run(CHECKOV, "--directory", ".", "--framework", "cloudformation", "--skip-download",
               "--output", "json")
    report = json.loads(done.stdout)
    failed = [f"{one['check_id']} {one['resource']}: {one['check_name']}" for one in report["results"]["failed_checks"]]
    assert failed == []
    assert done.returncode == 0 and report["summary"]["passed"] > 20 and report["summary"]["parsing_errors"] == 0
    for skipped in report["results"]["skipped_checks"]:
        assert len(skipped["check_result"]["suppress_comment"]) > 20, skipped["check_id"]


def test_sizes():
    """More than 51,200 bytes go by a bucket, which app.yaml has: bootstrap.yaml makes it, and so cannot use it."""
    for path in TEMPLATES:
        assert path.stat().st_size < (1000000 if path.name == "app.yaml" else 51200), path.name
