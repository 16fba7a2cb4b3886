"""The model repository: index, load, unload, versions, control modes, changes under way."""
import base64
import json
import shutil
import subprocess
import time

import pytest

from slipway import BINARY, MODELS, X, Server, echo_repository, tensor

ECHO = "input x FP32 [-1]\noutput y x"
ONE = tensor("x", "FP32", [1], [1.5])


def index(server, **body):
    return {row["name"]: row for row in server.post("/v2/repository/index", body).json()}


def test_index(server):
    rows = index(server)
    assert rows["iris"]["version"] == "1" and rows["iris"]["state"] == "READY" and rows["iris"]["reason"] == ""
    assert server.post("/v2/repository/index", b"").status == 200
    assert set(index(server, ready=True)) == set(rows)


def test_index_with_a_wrong_body(server):
    reply = server.post("/v2/repository/index", {"ready": 3})
    assert reply.status == 400 and "Invalid value for 'ready': expected a boolean" in reply.error()
    assert server.post("/v2/repository/index", "{").status == 400


def test_named_repositories_are_not_supported(server):
    reply = server.post("/v2/repository/main/index", {})
    assert reply.status == 501 and "'repository_name' specification is not supported" in reply.error()


def test_explicit_mode(tmp_path, start):
    root = echo_repository(tmp_path, {"one": ECHO, "two": ECHO})
    server = start([root], model_control_mode="explicit", model_load="one")
    assert server.infer("one", [ONE]).status == 200
    assert server.infer("two", [ONE]).status == 400
    assert index(server)["two"].get("state") in (None, "UNAVAILABLE")
    assert server.post("/v2/repository/models/two/load").status == 200
    assert server.infer("two", [ONE]).json()["outputs"][0]["data"] == [1.5]
    assert server.post("/v2/repository/models/one/unload").status == 200
    server.wait_until(lambda: server.infer("one", [ONE]).status == 400, "the unload", 10)
    assert "two" in index(server, ready=True) and "one" not in index(server, ready=True)


def test_load_of_what_is_not_there(tmp_path, start):
    root = echo_repository(tmp_path, {"one": ECHO, "bad": "fail_load EXHAUSTED"})
    server = start([root], model_control_mode="explicit", model_load="one")
    reply = server.post("/v2/repository/models/nobody/load")
    assert reply.status >= 400 and "failed to load 'nobody', failed to poll from model repository" in reply.error()
    assert server.post("/v2/repository/models/bad/load").status >= 400
    for name in ("..%2Fone", "%2e%2e", "a%2Fb"):
        assert server.post(f"/v2/repository/models/{name}/load").status == 400
    assert server.infer("one", [ONE]).status == 200


def test_load_with_a_broken_body(tmp_path, start):
    root = echo_repository(tmp_path, {"one": ECHO})
    server = start([root], model_control_mode="explicit", model_load="one")
    for body in ("{", '{"parameters":3}', {"parameters": {"config": "{"}}, {"parameters": {"file:1/model.echo": "%%%"}},
                 {"parameters": {"file:../../model.echo": "", "config": "{}"}},
                 {"parameters": {"file:1/" + "x" * 300: "", "config": "{}"}}):
        assert server.post("/v2/repository/models/one/load", body).status >= 400, body
    assert server.infer("one", [ONE]).status == 200


def test_load_with_configuration_and_files(tmp_path, start):
    root = echo_repository(tmp_path, {"one": ECHO})
    server = start([root], model_control_mode="explicit", model_load="one")
    statements = base64.b64encode(b"input x INT32 [-1]\noutput y x\nend\n").decode()
    config = json.dumps({"backend": "echo"})
    body = {"parameters": {"config": config, "file:1/model.echo": statements}}
    assert server.post("/v2/repository/models/one/load", body).status == 200
    assert server.get("/v2/models/one").json()["inputs"][0]["datatype"] == "INT32"


def test_modes_refuse_loads(tmp_path, start):
    root = echo_repository(tmp_path, {"one": ECHO})
    server = start([root], model_control_mode="poll")
    reply = server.post("/v2/repository/models/one/load")
    assert reply.status == 503 and "explicit model load / unload is not allowed" in reply.error()


def test_versions_latest_and_by_number(tmp_path, start):
    root = echo_repository(tmp_path, {"one": (ECHO, "version_policy { all { } }\n")})
    shutil.copytree(root / "one" / "1", root / "one" / "3")
    server = start([root])
    assert server.get("/v2/models/one").json()["versions"] == ["1", "3"]
    assert server.infer("one", [ONE]).json()["model_version"] == "3"
    assert server.infer("one", [ONE], version=1).json()["model_version"] == "1"


def test_poll_finds_new_changed_and_removed_models(tmp_path, start):
    root = echo_repository(tmp_path, {"one": ECHO})
    server = start([root], model_control_mode="poll", model_poll_interval="200ms")
    echo_repository(tmp_path / "more", {"two": ECHO})
    shutil.copytree(tmp_path / "more" / "echo" / "two", root / "two")
    server.wait_until(lambda: server.infer("two", [ONE]).status == 200, "the new model", 15)
    (root / "two" / "1" / "model.echo").write_text("input x INT8 [-1]\noutput y x\nend\n")
    server.wait_until(lambda: server.get("/v2/models/two").json()["inputs"][0]["datatype"] == "INT8", "the change", 15)
    # What is broken later does not take away what works.
    (root / "two" / "1" / "model.echo").write_text("nonsense\n")
    time.sleep(1)
    assert server.infer("two", [tensor("x", "INT8", [1], [1])]).status == 200
    shutil.rmtree(root / "two")
    server.wait_until(lambda: server.infer("two", [ONE]).status == 400, "the removal", 15)
    assert server.infer("one", [ONE]).status == 200


def test_a_single_file_and_a_single_directory(start):
    server = start([MODELS / "doubleit_onnx" / "1" / "model.onnx"])
    names = list(index(server))
    assert len(names) == 1 and server.infer(names[0], [X]).json()["outputs"][0]["data"] == [2, 4, 6, 8, 10]
    server = start([MODELS / "doubleit_onnx"])
    assert list(index(server)) == ["doubleit_onnx"]


# ---- NAME=PATH

def tree(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


MODEL = ECHO + "\nend\n"
ONE_MODEL = [
    {"1/model.echo": MODEL},
    {"model.echo": MODEL},
    {"resnet.echo": MODEL},                                                    # whatever it is called
    {"resnet/1/model.echo": MODEL, "resnet/config.pbtxt": 'name: "resnet"\n'},  # a repository of one
    {"1/model.echo": MODEL, "config.pbtxt": 'name: "resnet"\n'},               # what it calls itself does not count
    {"3/model.echo": MODEL, "4/model.echo": MODEL, "README.md": "no model"},
]


@pytest.mark.parametrize("files", ONE_MODEL)
def test_a_model_under_another_name(tmp_path, start, files):
    root = tree(tmp_path / "models", files)
    server = start([f"prod-7={root}"])
    assert list(index(server)) == ["prod-7"]
    assert server.infer("prod-7", [ONE]).json()["model_name"] == "prod-7"
    assert server.get("/v2/models/prod-7/config").json()["name"] == "prod-7"


def test_a_file_under_another_name_beside_others(tmp_path, start):
    root = tree(tmp_path / "models", {"a.echo": MODEL, "b.echo": MODEL})
    server = start([f"first={root / 'a.echo'}", root])
    assert sorted(index(server)) == ["a", "b", "first"]
    assert all(server.infer(name, [ONE]).status == 200 for name in ("a", "b", "first"))


@pytest.mark.parametrize("files,count", [({"a.echo": MODEL, "b/1/model.echo": MODEL}, 2), ({"README.md": "nothing"}, 0)])
def test_which_model_is_meant(tmp_path, files, count):
    root = tree(tmp_path / "models", files)
    with Server([f"prod={root}"], ready=False) as server:
        server.wait_until(lambda: index(server).get("prod", {}).get("state") == "UNAVAILABLE", "the refusal")
        assert f"is to be one model, but {count} lie there" in index(server)["prod"]["reason"]


def test_a_path_with_an_equals_sign_is_a_path(tmp_path, start, monkeypatch):
    tree(tmp_path / "run=7" / "iris", {"1/model.echo": MODEL})
    monkeypatch.chdir(tmp_path)
    assert list(index(start(["run=7"]))) == ["iris"]
    assert list(index(start([tmp_path / "run=7"]))) == ["iris"]
    assert list(index(start([f"other={tmp_path / 'run=7'}"]))) == ["other"]


@pytest.mark.parametrize("argument", ["prod=nothing/there", "../prod=models", "=models", "prod="])
def test_a_named_path_that_is_not_there(tmp_path, argument):
    tree(tmp_path / "models", {"1/model.echo": MODEL})
    run = subprocess.run([BINARY, "serve", argument, "--http-port=0"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode != 0 and "cannot be read" in run.stderr, run


def test_a_named_model_is_polled_and_loaded_by_its_name(tmp_path, start):
    root = tree(tmp_path / "models", {"1/model.echo": MODEL, "model.yaml": "name: resnet\n"})
    server = start([f"prod={root}"], model_control_mode="poll", model_poll_interval="200ms")
    (root / "1" / "model.echo").write_text("input x INT8 [-1]\noutput y x\nend\n")
    server.wait_until(lambda: server.get("/v2/models/prod").json()["inputs"][0]["datatype"] == "INT8", "the change", 15)
    server = start([f"prod={root}"], model_control_mode="explicit")
    assert server.post("/v2/repository/models/prod/load").status == 200
    assert server.post("/v2/repository/models/resnet/load").status != 200
    assert index(server)["prod"]["state"] == "READY"


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04cut", b"\x08\x08\x12\x00garbage" * 10])
def test_files_that_are_no_models(tmp_path, content):
    for name in ("model.onnx", "model.pt"):
        directory = tmp_path / name / "bad" / "1"
        directory.mkdir(parents=True)
        (directory / name).write_bytes(content)
        with Server([tmp_path / name], ready=False) as server:
            server.wait_until(lambda: index(server).get("bad", {}).get("state") == "UNAVAILABLE", "the failure")
            assert index(server)["bad"]["reason"]
            assert server.get("/v2/health/live").status == 200
