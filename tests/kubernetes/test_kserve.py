"""The KServe example: valid for KServe's own definitions, chosen for its InferenceService, and run as KServe runs it."""
import copy
import shutil
import subprocess

import pytest
import yaml

import checks
from chart import KSERVE, TOOLS, tool
from slipway import BINARY, MODELS, Server

IRIS = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}


def load(name):
    return yaml.safe_load((KSERVE / f"{name}.yaml").read_text())


def validate(document):
    schemas = str(TOOLS / "schemas") + "/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
    return subprocess.run([tool("kubeconform"), "-strict", "-schema-location", schemas], input=yaml.safe_dump(document),
                          capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["runtime", "inferenceservice"])
def test_valid(name):
    run = validate(load(name))
    assert run.returncode == 0, run.stdout


def test_the_schemas_find_what_is_wrong():
    for change in (lambda d: d["spec"].update(protocolVersion="v2"), lambda d: d["spec"]["containers"][0].update(argz=[]),
                   lambda d: d["spec"]["supportedModelFormats"][0].pop("name")):
        document = copy.deepcopy(load("runtime"))
        change(document)
        assert validate(document).returncode != 0
    document = load("inferenceservice")
    document["spec"]["predictor"]["model"]["modelformat"] = {}
    assert validate(document).returncode != 0


def container(name="iris"):
    """As KServe makes it: placeholders are filled in from the InferenceService's metadata."""
    (one,) = load("runtime")["spec"]["containers"]
    return yaml.safe_load(yaml.safe_dump(one).replace("{{.Name}}", name))


def test_the_runtime_is_chosen():
    model, runtime = load("inferenceservice")["spec"]["predictor"]["model"], load("runtime")
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert model["modelFormat"]["name"] in {one["name"] for one in runtime["spec"]["supportedModelFormats"]}
    assert runtime["spec"]["containers"][0]["name"] == "kserve-container"


def test_the_container():
    one = container()
    flags = {argument[2:].split("=")[0] for argument in one["args"] if argument.startswith("--")}
    assert flags <= checks.table()[0]
    assert list(checks.loose(one)) == [] and one["securityContext"]["runAsUser"] == 65532
    probes = {name: one[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")}
    assert {probe["path"] for probe in probes.values()} <= checks.paths()
    assert {probe["port"] for probe in probes.values()} == {8080} == {one["ports"][0]["containerPort"]}
    given = dict(argument[2:].split("=", 1) for argument in one["args"] if argument.startswith("--"))
    assert checks.duration(given["drain-delay"]) + checks.duration(given["drain-grace"]) < 30  # what a pod has if nobody says more
    annotations = load("runtime")["spec"]["annotations"]
    assert annotations["prometheus.kserve.io/port"] == given["http-port"] and annotations["prometheus.kserve.io/path"] in checks.paths()


LAYOUTS = {
    "a repository's model": lambda root: shutil.copytree(MODELS / "iris_onnx", root),
    "a version": lambda root: shutil.copytree(MODELS / "iris_onnx" / "1", root / "1"),
    "a file": lambda root: (root.mkdir(), shutil.copy(MODELS / "iris_onnx" / "1" / "model.onnx", root)),
    "a file of another name": lambda root: (root.mkdir(), shutil.copy(MODELS / "iris_onnx" / "1" / "model.onnx", root / "v7.onnx")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_model_answers_by_the_name_of_the_inference_service(tmp_path, layout):
    LAYOUTS[layout](tmp_path / "models")
    server = Server([])
    server.environment = {"PATH": "/usr/bin:/bin"}
    # Later flags win where a test needs its own.
    server.arguments = [BINARY, *(one.replace("/mnt/models", str(tmp_path / "models")) for one in container("shop-iris")["args"]),
                        "--http-address=127.0.0.1", "--http-port=0", f"--http-port-file={server.port_file}", "--drain-delay=0s"]
    with server:
        assert server.get("/v2").json()["name"] == "shop-iris"
        assert server.get("/v2/models/shop-iris/ready").status == 200
        inputs = server.get("/v2/models/shop-iris").json()["inputs"]
        assert len(inputs) == 1
        reply = server.infer("shop-iris", [IRIS | {"name": inputs[0]["name"]}])
        assert reply.status == 200 and reply.json()["model_name"] == "shop-iris", reply
