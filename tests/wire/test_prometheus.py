"""The alert rules and the dashboard: every metric in them is one that we export, every alert has its entry in the runbook,
the rules do what their unit tests say, and a real Prometheus takes our pages and evaluates all of it without an error."""
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from slipway import MODELS, ROOT, X, Server

RULES = ROOT / "deploy" / "prometheus" / "slipway.rules.yaml"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "slipway.rules.test.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "slipway.json"
METRIC = re.compile(r"\b((?:slipway|nv|process)_[a-z0-9_]+)\b(?!\s*:)")
LABELS = re.compile(r"\b((?:slipway|nv|process)_[a-z0-9_]+)\{([^}]*)\}")
# What Prometheus itself puts on every series.
OF_PROMETHEUS = {"instance", "job", "le"}


def exported():
    """Name of each sample -> its labels, by the table that the server writes its page from."""
    table = (ROOT / "src" / "watch" / "metrics.def").read_text()
    found = {}
    for name, kind, labels in re.findall(r'METRIC\((\w+), (\w+), "([^"]*)"', table):
        names = [name + suffix for suffix in ("_bucket", "_sum", "_count")] if kind == "HISTOGRAM" else [name]
        for one in names:
            found[one] = {label.strip() for label in labels.split(",") if label.strip()} | OF_PROMETHEUS
    assert len(found) > 50
    return found


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    board = json.loads(DASHBOARD.read_text())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (note["expr"] for note in board["annotations"]["list"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield re.fullmatch(r"label_values\((.*), \w+\)", variable["definition"])[1]


EXPRESSIONS = [rule["expr"] for rule in rules()] + list(dashboard_expressions())


def unknown_in(expression, known):
    """What an expression names that we do not export: metrics, and labels in their braces."""
    found = [name for name in METRIC.findall(expression) if name not in known]
    for name, matchers in LABELS.findall(expression):
        labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)
        found += [f"{name}{{{label}}}" for label in labels if label not in known.get(name, set())]
    return found


def test_only_what_is_exported_is_asked_for():
    known = exported()
    assert len(EXPRESSIONS) > 50
    assert not {expression: unknown_in(expression, known) for expression in EXPRESSIONS if unknown_in(expression, known)}
    assert unknown_in('rate(slipway_jobs_sum{state="x"}[5m])', known) == ["slipway_jobs_sum", "slipway_jobs_sum{state}"]
    assert unknown_in('slipway_jobs_total{queue="x"}', known) == ["slipway_jobs_total{queue}"]


def test_recorded_series_are_recorded():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"\bslipway:[a-z0-9_:]+", expression)}
    assert asked and asked <= recorded, asked - recorded


def test_each_alert_has_its_entry_in_the_runbook():
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) >= 10
    for alert in alerts:
        assert alert["annotations"]["runbook"] in anchors, alert["alert"]
        assert alert["labels"]["severity"] in ("page", "warn") and alert["annotations"]["summary"]


def test_each_panel_is_told_apart_and_has_a_unit():
    ids = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"] and panel["title"] and panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.fixture
def promtool():
    if not shutil.which("promtool"):
        pytest.skip("no promtool is installed: run tools/setup test")
    return "promtool"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_the_rules_do_what_their_tests_say(promtool):
    code, said = run(promtool, "check", "rules", RULES)
    assert code == 0, said
    code, said = run(promtool, "test", "rules", RULE_TESTS)
    assert code == 0 and "SUCCESS" in said, said


def test_each_alert_but_the_plainest_is_tested():
    tested = {case["alertname"] for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]
              for case in test.get("alert_rule_test", [])}
    named = {rule["alert"] for rule in rules() if "alert" in rule}
    assert tested <= named and len(tested) >= 8


def test_our_page_is_clean_for_promtool(promtool):
    with Server([MODELS / "doubleit"]) as server:
        server.post("/v2/models/doubleit/infer", {"inputs": [X]})
        page = server.get("/metrics").body
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).decode().splitlines()
                  if not line.startswith("nv_")]  # Triton's names are not ours to mend
    assert complaints == [], complaints


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Prometheus:
    def __init__(self, directory, target):
        self.port = free_port()
        settings = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)],
                    "scrape_configs": [{"job_name": "slipway", "static_configs": [{"targets": [target]}]}]}
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(settings))
        self.log = open(directory / "prometheus.log", "w+b")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yaml", f"--storage.tsdb.path={directory}/series",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def ask(self, path, **parameters):
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}{query}", timeout=20) as reply:
                return json.load(reply)["data"]
        except OSError:
            return None


def until(look, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < end, "Prometheus did not get there"
        time.sleep(0.2)
    return found


def test_a_real_prometheus_reads_and_evaluates_it_all(tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip("no Prometheus is installed: run tools/setup test")
    with Server([MODELS / "doubleit"]) as server, Prometheus(tmp_path, f"127.0.0.1:{server.port}") as prometheus:
        job = server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json()["id"]
        assert server.get(f"/v2/jobs/{job}?wait=20").json()["state"] == "succeeded"
        server.post("/v2/models/doubleit/infer", {"inputs": [X]})
        [target] = until(lambda: [one for one in (prometheus.ask("targets") or {}).get("activeTargets", [])
                                  if one["health"] == "up"])
        assert not target["lastError"], target
        # It prefers OpenMetrics; the names are the same there, Triton's too.
        series = {"nv_inference_request_success", "slipway_jobs_total", "slipway_request_duration_seconds_bucket"}
        until(lambda: series <= set(prometheus.ask("label/__name__/values") or []))
        groups = until(lambda: [group for group in (prometheus.ask("rules") or {}).get("groups", [])
                                if all(rule["health"] != "unknown" for rule in group["rules"])])
        assert len(groups) >= 3
        broken = [(rule["name"], rule.get("lastError")) for group in groups for rule in group["rules"] if rule["health"] != "ok"]
        assert not broken, broken
        for expression in dashboard_expressions():
            plain = expression.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$model", ".*")
            assert prometheus.ask("query", query=plain) is not None, expression
