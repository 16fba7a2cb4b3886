"""Health, metadata, listing: what a client asks before it infers."""
import pytest

from slipway import MODELS, Server, echo_repository


def test_live_and_ready(server):
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}


def test_server_metadata_names_what_works(server):
    reply = server.get("/v2")
    body = reply.json()
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    assert body["name"] == "slipway" and body["version"]
    assert {"classification", "binary_tensor_data", "model_repository", "statistics"} <= set(body["extensions"])


def test_a_trailing_slash_is_the_same(server):
    assert server.get("/v2/").json() == server.get("/v2").json()
    assert server.get("/v2/health/live/").status == 200


def test_no_server_header_by_default(server):
    assert server.get("/v2").headers.get("Server") is None


def test_server_header_and_name_when_asked(start):
    running = start([MODELS / "doubleit_onnx"], http_server_header="mine", server_name="other")
    reply = running.get("/v2")
    assert reply.headers["Server"] == "mine" and reply.json()["name"] == "other"


@pytest.mark.parametrize("model, platform", [("iris", "pytorch"), ("iris_onnx", "onnx")])
def test_model_metadata(server, model, platform):
    body = server.get(f"/v2/models/{model}").json()
    assert body["name"] == model and body["versions"] == ["1"] and platform in body["platform"]
    assert body["inputs"] == [{"name": "measures", "datatype": "FP32", "shape": [-1, 4]}]
    assert body["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    assert server.get(f"/v2/models/{model}/versions/1").json()["name"] == model


def test_model_metadata_without_configuration(server):
    body = server.get("/v2/models/doubleit_onnx").json()
    assert body["inputs"] == [{"name": "x", "datatype": "INT64", "shape": [5]}]
    assert [put["name"] for put in server.get("/v2/models/doubleit").json()["inputs"]] == ["x"]


def test_model_ready(server):
    assert server.get("/v2/models/doubleit/ready").status == 200
    assert server.get("/v2/models/doubleit/versions/1/ready").status == 200
    assert server.get("/v2/models/doubleit/versions/7/ready").status in (400, 404)


def test_unknown_model_and_version(server):
    reply = server.get("/v2/models/nobody")
    assert (reply.status, reply.error()) == (400, "Request for unknown model: 'nobody' is not found")
    reply = server.get("/v2/models/doubleit/versions/99")
    assert (reply.status, reply.error()) == (404, "Request for unknown model: 'doubleit' version 99 is not found")


def test_unknown_path_and_wrong_method(server):
    reply = server.get("/v2/nothing/here")
    assert (reply.status, reply.error()) == (404, "Not Found")
    reply = server.request("DELETE", "/v2/health/live")
    assert (reply.status, reply.error()) == (405, "Method Not Allowed")
    assert "GET" in reply.headers["Allow"]
    assert server.post("/v2/models/doubleit", {}).status == 405


def test_head_has_the_headers_and_no_body(server):
    head, get = server.request("HEAD", "/v2"), server.get("/v2")
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_listing(server):
    listing = server.get("/v2/models").json()
    names = listing["models"]
    assert {"doubleit", "iris", "iris_onnx"} <= {name if isinstance(name, str) else name["name"] for name in names}


def test_a_bad_model_makes_the_server_unready_and_stops_nobody(tmp_path):
    root = echo_repository(tmp_path, {"good": "input x FP32 [1]\noutput y x", "bad": "fail_load EXHAUSTED"})
    with Server([root], ready=False) as running:
        running.wait_until(lambda: running.get("/v2/models/good/ready").status == 200, "the good model")
        reply = running.get("/v2/health/ready")
        assert reply.status == 503 and reply.json() == {"ready": False}
        assert running.get("/v2/health/live").status == 200
        assert running.get("/v2/models/bad/ready").status == 400


def test_readiness_can_ignore_a_bad_model(tmp_path):
    root = echo_repository(tmp_path, {"good": "input x FP32 [1]\noutput y x", "bad": "fail_load EXHAUSTED"})
    with Server([root], model_ready_requires_all="false") as running:
        assert running.get("/v2/models/good/ready").status == 200
