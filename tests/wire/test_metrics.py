"""GET /metrics, read strictly in both forms, and the numbers in it."""
import pytest

import metrics_page
from slipway import MODELS, X, tensor

ACCEPT_OPEN = {"Accept": "application/openmetrics-text; version=1.0.0"}


def page(server, open_metrics=False):
    reply = server.get("/metrics", headers=ACCEPT_OPEN if open_metrics else {})
    assert reply.status == 200
    kind = "application/openmetrics-text; version=1.0.0" if open_metrics else "text/plain; version=0.0.4"
    assert reply.headers["Content-Type"].startswith(kind)
    return metrics_page.parse(reply.body.decode(), open_metrics)


def value(families, sample, family=None, **labels):
    found = [number for (name, pairs), number in families[family or sample].samples.items()
             if name == sample and labels.items() <= dict(pairs).items()]
    assert len(found) == 1, (sample, labels, found)
    return found[0]


@pytest.mark.parametrize("open_metrics", [False, True])
def test_the_page_is_well_formed(server, open_metrics):
    server.infer("doubleit_onnx", [X])
    families = page(server, open_metrics)
    assert len(families) > 40
    assert all(family.help and family.type for family in families.values())
    assert {"counter", "gauge", "histogram"} <= {family.type for family in families.values()}


def test_both_forms_tell_the_same(server):
    plain, opened = page(server), page(server, open_metrics=True)
    assert len(plain) == len(opened)
    for family in opened.values():
        same = plain.get(family.name) or plain.get(family.name + "_total") or plain.get(family.name + "_info")
        assert same and same.help == family.help and len(same.samples) == len(family.samples), family.name


def test_requests_are_counted(server):
    iris = {"model": "iris_onnx", "version": "1"}
    rows = tensor("measures", "FP32", [3, 4], [1.0] * 12)
    before = page(server)
    for _ in range(5):
        assert server.infer("iris_onnx", [rows]).status == 200
    after = page(server)

    def grown(sample, family=None, **labels):
        return value(after, sample, family, **labels) - value(before, sample, family, **labels)

    assert grown("nv_inference_request_success", **iris) == 5
    assert grown("nv_inference_count", **iris) == 15
    assert 1 <= grown("nv_inference_exec_count", **iris) <= 5
    assert grown("slipway_request_duration_seconds_count", "slipway_request_duration_seconds", phase="total", **iris) == 5
    assert grown("slipway_batch_size_sum", "slipway_batch_size", **iris) == 15
    assert grown("slipway_http_requests_total") >= 5
    assert value(after, "slipway_in_flight", **iris) == 0


def test_refusals_are_counted(server):
    before = page(server)
    assert server.get("/nowhere").status == 404
    assert server.post("/v2/models/doubleit_onnx/infer", "{").status == 400
    after = page(server)
    grown = (value(after, "slipway_http_responses_total", **{"class": "4xx"}) -
             value(before, "slipway_http_responses_total", **{"class": "4xx"}))
    assert grown == 2


def test_the_process_tells_of_itself(server):
    families = page(server)
    assert value(families, "process_resident_memory_bytes") > 1 << 20
    assert 1 <= value(families, "process_open_fds") <= value(families, "process_max_fds")
    assert value(families, "process_threads") >= 2
    assert value(families, "process_start_time_seconds") > 1.7e9


def test_unloading_takes_the_models_samples_away(start):
    server = start([MODELS], model_control_mode="explicit", model_load="doubleit_onnx")
    assert value(page(server), "slipway_model_info", model="doubleit_onnx") == 1
    assert server.post("/v2/repository/models/doubleit_onnx/unload").status == 200
    server.wait_until(lambda: not any(dict(labels).get("model") == "doubleit_onnx"
                                      for _, labels in page(server)["slipway_model_info"].samples), "the unload", 10)


def test_metrics_can_be_switched_off(start):
    server = start([MODELS / "doubleit_onnx"], metrics_enabled="false")
    reply = server.get("/metrics")
    assert (reply.status, reply.error()) == (404, "Not Found")
