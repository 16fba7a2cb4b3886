"""The chart, rendered by Helm.

    documents = render("scaled.yaml", "worker.replicas=0")   # values of values/, and what `helm --set` takes
    pods(documents)                                          # [(name, pod's metadata and spec)]
    refusal("mode=both")                                     # what Helm says; fails if it renders
"""
import functools
import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "kubernetes"
CHART = ROOT / "deploy" / "kubernetes" / "slipway"
KSERVE = ROOT / "deploy" / "kubernetes" / "kserve"
TOOLS = ROOT / ".deps" / "kubernetes"
VERSION = "1.34.0"  # of Kubernetes, as the schemas are
VALUES = sorted(path.name for path in (HERE / "values").glob("*.yaml"))

sys.path.insert(0, str(ROOT / "tests" / "wire"))


def tool(name):
    path = TOOLS / "bin" / name
    if not path.exists():
        pytest.skip(f"{name} is not there: tools/setup test builds it with Go")
    return str(path)


def helm(*arguments):
    return subprocess.run([tool("helm"), *map(str, arguments)], capture_output=True, text=True, timeout=60)


def template(*values):
    given = [part for one in values
             for part in (["--values", HERE / "values" / one] if one.endswith(".yaml") else ["--set", one])]
    return helm("template", "prod", CHART, "--namespace", "models", "--kube-version", VERSION, *given)


@functools.cache
def rendered(*values):
    run = template(*values)
    assert run.returncode == 0, run.stderr
    return run.stdout


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def render(*values):
    return documents(rendered(*values))


def refusal(*values):
    run = template(*values)
    assert run.returncode != 0, f"{values} is rendered"
    return run.stderr


def of_kind(found, *kinds):
    return [document for document in found if document["kind"] in kinds]


def pods(found):
    """Each pod: what it is named by, its metadata, its spec."""
    for document in of_kind(found, "Deployment", "StatefulSet"):
        template = document["spec"]["template"]
        yield f"{document['kind']} {document['metadata']['name']}", template["metadata"], template["spec"]
    for document in of_kind(found, "Pod"):
        yield f"Pod {document['metadata']['name']}", document["metadata"], document["spec"]


def servers(found):
    """The pods that run `slipway serve` or `worker`: (name, metadata, spec, its container)."""
    for name, metadata, spec in pods(found):
        container = next(one for one in spec["containers"] if one["name"] == "slipway")
        if container["args"][0] in ("serve", "worker"):
            yield name, metadata, spec, container


def settings(found, container):
    """What stands in the settings file of a container."""
    (path,) = [one.split("=", 1)[1] for one in container["args"] if one.startswith("--config=")]
    (config,) = [one for one in of_kind(found, "ConfigMap") if "server.yaml" in one["data"]]
    return yaml.safe_load(config["data"][pathlib.Path(path).name])
