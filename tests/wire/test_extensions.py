"""What Triton adds: classification, statistics, model configuration, logging; and /metrics."""
import re

import pytest

from slipway import X, tensor

MEASURES = tensor("measures", "FP32", [2, 4], [5.1, 3.5, 1.4, 0.2, 6.7, 3.0, 5.2, 2.3])


def classify(server, count, model="iris", **parameters):
    return server.infer(model, [MEASURES], [{"name": "probabilities",
                                             "parameters": {"classification": count, **parameters}}])


@pytest.mark.parametrize("model", ["iris", "iris_onnx"])
def test_classification(server, model):
    output = classify(server, 2, model).json()["outputs"][0]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    assert all(re.fullmatch(r"\d\.\d{6}:[012]:(setosa|versicolor|virginica)", text) for text in output["data"])
    assert output["data"][0].endswith(":0:setosa") and output["data"][2].endswith(":2:virginica")
    assert float(output["data"][0].split(":")[0]) >= float(output["data"][1].split(":")[0])


def test_classification_of_more_than_there_are(server):
    assert classify(server, 50).json()["outputs"][0]["shape"] == [2, 3]


def test_classification_and_binary(server):
    reply = classify(server, 1, binary_data=True)
    assert reply.status in (200, 400)


def test_classification_of_texts_is_refused(server):
    reply = server.infer("sentiment_onnx", [tensor("text", "BYTES", [1], ["good"])],
                         [{"name": "label", "parameters": {"classification": 1}}])
    assert reply.status == 400
    assert "class result not available for output due to unsupported type 'BYTES'" in reply.error()


def test_statistics_count(server):
    before = server.get("/v2/models/iris_onnx/stats").json()["model_stats"][0]
    server.infer("iris_onnx", [MEASURES])
    server.infer("iris_onnx", [dict(MEASURES, datatype="INT32", data=[1] * 8)])
    after = server.get("/v2/models/iris_onnx/versions/1/stats").json()["model_stats"][0]
    assert (after["name"], after["version"]) == ("iris_onnx", "1")
    assert after["inference_count"] - before["inference_count"] == 2  # rows
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 1
    for part in ("queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss", "fail"):
        assert set(after["inference_stats"][part]) == {"count", "ns"}
    assert any(row["batch_size"] == 2 for row in after["batch_stats"])
    assert after["last_inference"] > 1_600_000_000_000


def test_statistics_of_all(server):
    names = {row["name"] for row in server.get("/v2/models/stats").json()["model_stats"]}
    assert {"iris", "iris_onnx", "doubleit"} <= names


def test_model_configuration(server):
    body = server.get("/v2/models/iris/config").json()
    assert body["name"] == "iris" and body["max_batch_size"] == 64
    assert body["input"][0]["data_type"] == "TYPE_FP32" and body["output"][0]["label_filename"] == "labels.txt"
    assert server.get("/v2/models/iris/versions/1/config").json() == body
    body = server.get("/v2/models/doubleit_onnx/config").json()
    assert body["input"][0]["name"] == "x" and body.get("max_batch_size", 0) == 0


def test_logging_settings(server):
    before = server.get("/v2/logging").json()
    assert set(before) == {"log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"}
    after = server.post("/v2/logging", {"log_verbose_level": 1}).json()
    assert after["log_verbose_level"] == 1
    server.post("/v2/logging", {"log_verbose_level": 0})
    reply = server.post("/v2/logging", {"log_file": "/tmp/elsewhere"})
    assert reply.status == 400 and "log file location can not be updated through network protocol" in reply.error()
    assert server.post("/v2/logging", {"log_inf": True}).status == 400
    assert server.post("/v2/logging", "[").status == 400


def test_metrics(server):
    for _ in range(3):
        server.infer("doubleit_onnx", [X])
    reply = server.get("/metrics")
    assert reply.status == 200 and reply.headers["Content-Type"].startswith("text/plain")
    text = reply.body.decode()
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? \S+", line) for line in rows)
    success = [line for line in rows if line.startswith("nv_inference_request_success") and '"doubleit_onnx"' in line]
    assert success and float(success[0].split()[-1]) >= 3
    assert "# TYPE" in text and "_bucket{" in text


def test_open_metrics(server):
    reply = server.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")
