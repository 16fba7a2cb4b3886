"""deploy/docker/compose.yaml: what it asks of Slipway exists, what it mounts is there, and every service is shut in."""
import copy
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

yaml = pytest.importorskip("yaml")

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLIPWAY_BUILD", ROOT / "build" / "release"))
FILE = ROOT / "deploy" / "docker" / "compose.yaml"
# What the operator brings: docs/images.md.
BROUGHT = {"secrets/slipway.yaml", "secrets/postgres_password", "secrets/grafana_password", "models"}
SERVICE_KEYS = {"image", "user", "environment", "secrets", "volumes", "tmpfs", "networks", "depends_on", "healthcheck", "command",
                "stop_grace_period", "pids_limit", "mem_limit", "ports", "read_only", "cap_drop", "cap_add", "security_opt",
                "restart", "logging", "shm_size"}
TOP_KEYS = {"name", "services", "networks", "volumes", "secrets", "x-hardened", "x-slipway"}


def plain(value):
    """${NAME:-default} as it is without NAME."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def options():
    text = (ROOT / "docs" / "options.md").read_text()
    return set(re.findall(r"`(SLIPWAY_\w+)`", text)), set(re.findall(r"`(--[a-z0-9-]+)`", text))


def seconds(duration):
    return sum(int(number) * {"s": 1, "m": 60}[unit] for number, unit in re.findall(r"(\d+)([sm])", duration))


def is_ours(service):
    return "slipway/slipway" in service.get("image", "")


def problems_of_names(document):
    found = [f"'{key}' is no part of a compose file" for key in set(document) - TOP_KEYS]
    for name, service in document["services"].items():
        found += [f"{name}: '{key}' is not known" for key in set(service) - SERVICE_KEYS]
        for kind in ("networks", "secrets"):
            found += [f"{name}: there is no {kind[:-1]} '{one}'" for one in service.get(kind, []) if one not in document[kind]]
        found += [f"{name}: there is no service '{one}'" for one in service.get("depends_on", {}) if one not in document["services"]]
        found += [f"{name}: waits for '{one}', which has no health check" for one in service.get("depends_on", {})
                  if "healthcheck" not in document["services"].get(one, {})]
    return found


def problems_of_hardening(document):
    found = []
    for name, service in document["services"].items():
        if service.get("read_only") is not True:
            found.append(f"{name}: its root can be written to")
        if service.get("cap_drop") != ["ALL"] or (is_ours(service) and service.get("cap_add")):
            found.append(f"{name}: has capabilities")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            found.append(f"{name}: may gain privileges")
        if not re.fullmatch(r"\S+:v?\d+\.\d+\.?\d*(-\w+)?(@sha256:[0-9a-f]{64})?", plain(service.get("image", ""))):
            found.append(f"{name}: its image is not pinned")
        if not service.get("healthcheck", {}).get("test"):
            found.append(f"{name}: has no health check")
        if "mem_limit" not in service:
            found.append(f"{name}: has no memory limit")
        found += [f"{name}: '{key}' is a secret in the environment" for key, value in service.get("environment", {}).items()
                  if re.search("PASSWORD|SECRET|TOKEN|KEY", key) and not key.endswith("_FILE")]
        found += [f"{name}: port '{port}' is open to all" for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
    return found


def problems_of_mounts(document, directory):
    found = []

    def look(who, source):
        path = plain(source).removeprefix("./")
        if path not in BROUGHT and not (directory / path).exists():
            found.append(f"{who}: there is no '{path}'")

    for name, service in document["services"].items():
        for volume in service.get("volumes", []):
            source, target, *mode = plain(volume).split(":")
            if source.startswith("."):
                look(name, source)
                if mode != ["ro"]:
                    found.append(f"{name}: '{source}' can be written to")
            elif source not in document["volumes"]:
                found.append(f"{name}: there is no volume '{source}'")
            if not target.startswith("/"):
                found.append(f"{name}: '{target}' is no place")
    for name, secret in document["secrets"].items():
        look(name, secret["file"])
    return found


def problems_of_settings(document):
    variables, flags = options()
    found = []
    for name, service in document["services"].items():
        if not is_ours(service):
            continue
        found += [f"{name}: there is no setting {key}" for key in service["environment"] if key not in variables]
        for word in service["command"][1:]:
            flag = re.sub(r"^--no-", "--", word.split("=")[0])
            if word.startswith("--") and flag not in flags:
                found.append(f"{name}: there is no flag {word}")
        if service["healthcheck"]["test"] != ["CMD", "/usr/bin/slipway", "health"]:
            found.append(f"{name}: its health is not what `slipway health` says")
        port = service["environment"].get("SLIPWAY_HTTP_PORT")
        found += [f"{name}: publishes {one}, and listens on {port}" for one in service.get("ports", []) if one.split(":")[-1] != port]
        mounted = {plain(volume).split(":")[1] for volume in service["volumes"]}
        found += [f"{name}: serves {word}, which is not mounted" for word in service["command"][1:]
                  if word.startswith("/") and word not in mounted]
    return found


def problems(document, directory=FILE.parent):
    return (problems_of_names(document) + problems_of_hardening(document) + problems_of_mounts(document, directory)
            + problems_of_settings(document))


@pytest.fixture()
def document():
    return yaml.safe_load(FILE.read_text())


def test_it_is_in_order(document):
    assert problems(document) == []


@pytest.mark.parametrize("spoil, told", [
    (lambda d: d["services"]["server"].update(read_only=False), "its root"),
    (lambda d: d["services"]["worker"].update(cap_add=["NET_ADMIN"]), "capabilities"),
    (lambda d: d["services"]["grafana"].pop("security_opt"), "privileges"),
    (lambda d: d["services"]["postgres"].update(image="postgres:latest"), "pinned"),
    (lambda d: d["services"]["postgres"].pop("healthcheck"), "no health check"),
    (lambda d: d["services"]["postgres"]["environment"].update(POSTGRES_PASSWORD="x"), "secret"),
    (lambda d: d["services"]["server"].update(ports=["8080:8080"]), "open to all"),
    (lambda d: d["services"]["server"].update(ports=["127.0.0.1:8080:9999"]), "listens on"),
    (lambda d: d["services"]["server"]["environment"].update(SLIPWAY_HTTP_PROT="1"), "no setting"),
    (lambda d: d["services"]["worker"].update(command=["worker", "/models", "--fast"]), "no flag"),
    (lambda d: d["services"]["worker"].update(command=["worker", "/model"]), "not mounted"),
    (lambda d: d["services"]["prometheus"]["volumes"].append("./none.yaml:/x:ro"), "there is no 'none.yaml'"),
    (lambda d: d["services"]["prometheus"]["volumes"].append("./compose:/x"), "written to"),
    (lambda d: d["services"]["grafana"].update(networks=["nets"]), "no network"),
    (lambda d: d["services"]["worker"].update(helthcheck={}), "not known"),
    (lambda d: d["secrets"].pop("slipway"), "no secret"),
])
def test_what_is_wrong_is_found(document, spoil, told):
    spoiled = copy.deepcopy(document)
    spoil(spoiled)
    assert any(told in problem for problem in problems(spoiled)), problems(spoiled)


def test_it_waits_longer_than_a_drain(document):
    grace = next(line for line in (ROOT / "docs" / "options.md").read_text().splitlines() if "`drain.grace`" in line)
    drain = int(re.search(r"\| `(\d+)s` \|", grace)[1])
    for name in ("server", "worker"):
        assert seconds(document["services"][name]["stop_grace_period"]) >= 2 * drain


def test_the_settings_are_read_by_the_program(document, tmp_path):
    """`slipway config` with the services' own arguments, environment and secret."""
    settings = tmp_path / "slipway.yaml"
    settings.write_text((FILE.parent / "compose" / "slipway.example.yaml").read_text())
    for name in ("server", "worker"):
        service = document["services"][name]
        environment = {**os.environ, **service["environment"], "SLIPWAY_CONFIG": str(settings)}
        arguments = [word for word in service["command"][1:] if word.startswith("--")]
        said = subprocess.run([BUILD / "slipway", "config", *arguments], env=environment, capture_output=True, text=True, check=True)
        assert re.search(r"^http\.address +0\.0\.0\.0 +environment", said.stdout, re.MULTILINE), said.stdout
        # the secret is read, and not shown
        assert re.search(r"^data\.url +\*\*\* +file ", said.stdout, re.MULTILINE), said.stdout


def test_prometheus_asks_who_is_there(document, tmp_path):
    config = yaml.safe_load((FILE.parent / "compose" / "prometheus.yaml").read_text())
    [job] = config["scrape_configs"]
    targets = job["static_configs"][0]["targets"]
    assert {target.split(":")[0] for target in targets} == {name for name, one in document["services"].items() if is_ours(one)}
    assert {target.split(":")[1] for target in targets} == {document["services"]["server"]["environment"]["SLIPWAY_HTTP_PORT"]}
    mounted = {volume.split(":")[1] for volume in document["services"]["prometheus"]["volumes"]}
    assert set(config["rule_files"]) <= mounted
    # the alert that a server is gone looks at this job
    assert re.fullmatch(".*slipway.*", job["job_name"])
    if shutil.which("promtool"):
        config["rule_files"] = [str(ROOT / "deploy" / "prometheus" / "slipway.rules.yaml")]
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
        done = subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yaml"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_dashboard_and_data(document):
    volumes = {volume.split(":")[1]: volume.split(":")[0] for volume in document["services"]["grafana"]["volumes"] if ":" in volume}
    [provider] = yaml.safe_load((FILE.parent / "compose" / "grafana-dashboards.yaml").read_text())["providers"]
    [dashboard] = [source for target, source in volumes.items() if target.startswith(provider["options"]["path"] + "/")]
    wanted = json.loads((FILE.parent / dashboard).read_text())["templating"]["list"][0]
    [source] = yaml.safe_load((FILE.parent / "compose" / "grafana-datasource.yaml").read_text())["datasources"]
    assert wanted["type"] == "datasource" and wanted["query"] == source["type"] == "prometheus"
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()
    assert host in document["services"] and f":{port}" in document["services"][host]["healthcheck"]["test"][-1]
