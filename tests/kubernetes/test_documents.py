"""docs/scaling.md says where its figures are from, and computes rightly; what docs/kubernetes.md tells to do, the chart takes."""
import re
import subprocess

import pytest
import yaml

import checks
from chart import CHART, ROOT, documents, helm

SCALING = (ROOT / "docs" / "scaling.md").read_text()
KUBERNETES = (ROOT / "docs" / "kubernetes.md").read_text()
LINES = [line for block in re.findall(r"```calc\n(.*?)```", SCALING, re.S) for line in block.splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_arithmetic(line):
    calculation = re.split(r"\s{2,}", line.strip())[0]
    left, said = calculation.split(" = ")
    assert re.fullmatch(r"[0-9.()+*/ -]+", left), left
    decimals = len(said.partition(".")[2])
    # A figure of a line before is rounded already: the last digit may be off by one.
    assert abs(eval(left) - float(said)) <= max(0.51 * 10 ** -decimals, 0.0006 * float(said)), eval(left)


def test_there_is_arithmetic():
    assert len(LINES) > 40


def known():
    table = SCALING.split("## What is known")[1].split("##")[0]
    return re.findall(r"^\| ([0-9.]+) \| (.*?) \|", table, re.M)


def test_what_is_known_was_measured():
    pages = (ROOT / "docs" / "performance.md").read_text().replace(",", "")
    missing = [(figure, what) for figure, what in known() if not re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.])", pages)]
    assert len(known()) > 10 and not missing, missing


def test_figures_of_the_arithmetic_have_a_source():
    """A number of several digits is known, decided, computed before, a constant of nature, or the goal."""
    own = {"1000", "1000000", "1000000000", "1000000000000", "86400", "3600", "730", "1024", "16384", "3136", "3.1"}
    given = {figure for figure, _ in known()} | own
    decided = set(re.findall(r"\d+\.\d+|\d+", SCALING.split("## What is decided")[1].split("## Requests")[0]))
    costs = SCALING.split("## What it costs")[1].split("## In which order")[0]
    prices = set(re.findall(r"\d+\.\d+", re.sub(r"```calc.*?```", "", costs, flags=re.S)))
    for line in LINES:
        left, said = re.split(r"\s{2,}", line.strip())[0].split(" = ")
        strange = [one for one in re.findall(r"\d+\.\d+|\d{4,}", left)
                   if one not in given | decided | prices and str(float(one) / 1000) not in given and one not in ("0.002", "5400")]
        assert not strange, f"{line}: {strange}"
        given.add(said)


def test_the_settings_it_names_are_there():
    names = checks.table()[2]
    for text in (SCALING, KUBERNETES):
        named = set(re.findall(r"`((?:record|http|data|drain|worker|memory|cache|queue|log)\.[a-z_]+)(?::[^`]*)?`", text))
        values = {"drain.delaySeconds", "worker.autoscaling", "drain.graceSeconds"}
        assert not {one for one in named - values if one not in names and not (CHART / "values.yaml").read_text().count(one.split(".")[1])}


def test_the_settings_of_postgresql_are_those_of_the_test():
    from test_history_network import SETTINGS
    assert all(f"    {one}\n" in SCALING for one in SETTINGS)


def test_the_values_of_the_page_are_taken(tmp_path):
    (values,) = re.findall(r"cat >values.yaml <<END\n(.*?)\n    END", KUBERNETES, re.S)
    digest = "sha256:" + "0" * 64
    text = re.sub(r"^    ", "", values, flags=re.M).replace("REGISTRY", "registry.example").replace("ACCOUNT", "000000000000")
    text = text.replace('"sha256:..."', f'"{digest}"').replace("#sha256=...", "#sha256=" + "0" * 64)
    path = tmp_path / "values.yaml"
    path.write_text(text)
    run = helm("template", "slipway", CHART, "--values", path, "--kube-version", "1.34.0")
    assert run.returncode == 0, run.stderr
    assert checks.problems(documents(run.stdout)) == []
    assert "secretName: slipway-database" in run.stdout and "sslrootcert=/etc/slipway-database/ca.crt" in KUBERNETES
    (extra,) = re.findall(r"^    (networkPolicy: \{extraEgress.*\})$", KUBERNETES, re.M)
    path.write_text(extra)
    run = helm("template", "slipway", CHART, "--values", path, "--kube-version", "1.34.0")
    assert run.returncode == 0 and "203.0.113.0/24" in run.stdout, run.stderr


def test_the_names_the_page_uses_are_those_of_the_chart():
    run = helm("template", "slipway", CHART, "--kube-version", "1.34.0")
    (server,) = [one for one in documents(run.stdout) if one["kind"] == "StatefulSet"]
    assert server["metadata"]["name"] == "slipway" and "exec slipway-0 -c slipway" in KUBERNETES
    assert {"slipway"} == {one["name"] for one in server["spec"]["template"]["spec"]["containers"]}


def test_commands_of_the_page_exist():
    for command in re.findall(r"slipway (results [a-z]+|models|queue [a-z]+|serve|worker)\b", KUBERNETES + SCALING):
        assert subprocess.run([checks_binary(), "help", command.split()[0]], capture_output=True, timeout=20).returncode == 0, command


def checks_binary():
    from slipway import BINARY
    return BINARY


def test_links():
    for text, page in ((SCALING, "scaling"), (KUBERNETES, "kubernetes")):
        for target, anchor in re.findall(r"\]\(([a-z-]+\.md)?(?:#([a-z0-9-]+))?\)", text):
            path = ROOT / "docs" / (target or f"{page}.md")
            assert path.exists(), target
            headings = [re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in re.findall(r"^#+ (.*)", path.read_text(), re.M)]
            assert not anchor or anchor in headings, (target, anchor)
