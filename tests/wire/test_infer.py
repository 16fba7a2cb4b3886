"""Inference in JSON: every model of ours, forms of data, and how mistakes are answered."""
import itertools
import json
import math
import sys

import pytest

from slipway import MODELS, ROOT, ROW, X, Server, echo_repository, tensor

sys.path.append(str(ROOT / "tests" / "conform" / "engine"))
import make_models  # noqa: E402

CASES = sorted(MODELS.glob("*/cases/*.json"))


def close(actual, expected, tolerance):
    if isinstance(expected, float):
        return math.isclose(actual, expected, rel_tol=tolerance.get("relative", 0), abs_tol=tolerance.get("absolute", 0))
    return actual == expected


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.parent.name}-{path.stem}" for path in CASES])
def test_case(server, path):
    """The models' own cases, over HTTP."""
    case = json.loads(path.read_text())
    reply = server.post(f"/v2/models/{path.parent.parent.name}/infer", case["request"])
    if "expect_error" in case:
        assert reply.status == 400 and case["expect_error"] in reply.error()
        return
    assert reply.status == 200, reply
    outputs = {output["name"]: output for output in reply.json()["outputs"]}
    for expected in case["expect"]["outputs"]:
        actual = outputs[expected["name"]]
        assert (actual["datatype"], actual["shape"]) == (expected["datatype"], expected["shape"])
        tolerance = case.get("tolerance", {})
        assert len(actual["data"]) == len(expected["data"])
        assert all(close(a, e, tolerance) for a, e in zip(actual["data"], expected["data"])), actual


def test_answer_carries_model_version_and_id(server):
    body = server.infer("doubleit", [X], id="request-17").json()
    assert body["model_name"] == "doubleit" and body["model_version"] == "1" and body["id"] == "request-17"
    assert "id" not in server.infer("doubleit", [X]).json()


def test_nested_data_is_read_and_flat_data_written(server):
    rows = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    body = server.infer("doubleit_batch_onnx", [tensor("x", "INT64", [2, 5], rows)]).json()
    assert body["outputs"][0]["data"] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]


def test_alias_names_of_position(server):
    for name in ("INPUT__0", "x"):
        reply = server.infer("doubleit", [dict(X, name=name)])
        assert reply.status == 200 and reply.json()["outputs"][0]["data"] == [2, 4, 6, 8, 10]


def test_bare_body(server):
    reply = server.post("/models/doubleit", "[1,2,3,4,5]")
    assert reply.status == 200 and reply.json() == [2, 4, 6, 8, 10]
    assert server.post("/models/doubleit_onnx", "[0,0,0,0,0]").json() == [0, 0, 0, 0, 0]
    assert server.post("/models/sentiment", '["lovely"]').json() == ["positive"]


@pytest.mark.parametrize("body", ["", "{", "[1,2", "[1,[2]]", '"x"', "nonsense", "[1,2,3,4,5]x"])
def test_bare_body_refused(server, body):
    reply = server.post("/models/doubleit_onnx", body)
    assert reply.status == 400 and reply.error()


def test_selected_outputs(server):
    reply = server.infer("iris", [tensor("measures", "FP32", [1, 4], [5.1, 3.5, 1.4, 0.2])], [{"name": "probabilities"}])
    assert [output["name"] for output in reply.json()["outputs"]] == ["probabilities"]


REFUSED = [
    ([], "expected 1 inputs but got 0 inputs for model 'doubleit_batch_onnx'"),
    ([tensor("y", "INT64", [1, 5], [1] * 5)], "'y'"),
    ([ROW, ROW], "input 'x' already exists in request"),
    ([tensor("x", "INT32", [1, 5], [1] * 5)],
     "inference input 'x' data-type is 'INT32', but model 'doubleit_batch_onnx' expects 'INT64'"),
    ([tensor("x", "INT64", [1, 4], [1] * 4)],
     "unexpected shape for input 'x' for model 'doubleit_batch_onnx'. Expected [-1,5], got [1,4]"),
    ([tensor("x", "INT64", [65, 5], [1] * 325)],
     "inference request batch-size must be <= 64 for 'doubleit_batch_onnx'"),
    ([tensor("x", "INT64", [1, -5], [1] * 5)],
     "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer"),
    ([tensor("x", "INT64", [2 ** 40, 2 ** 40], [1])], "exceed"),
]


@pytest.mark.parametrize("inputs, message", REFUSED)
def test_wrong_inputs_are_refused_with_the_known_words(server, inputs, message):
    reply = server.infer("doubleit_batch_onnx", inputs)
    assert reply.status == 400 and message in reply.error()


@pytest.mark.parametrize("count, message", [(6, "Shape does not match true shape of 'data' field"),
                                            (4, "shape does not match true shape")])
def test_data_that_does_not_fill_the_shape(server, count, message):
    reply = server.infer("doubleit_batch_onnx", [tensor("x", "INT64", [1, 5], [1] * count)])
    assert reply.status in (400, 500) and message in reply.error()


@pytest.mark.parametrize("outputs, message", [
    ([{"name": "z"}], "unexpected inference output 'z' for model 'doubleit_batch_onnx'"),
    ([{"name": "y"}, {"name": "y"}], "output 'y' already exists in request"),
])
def test_wrong_outputs(server, outputs, message):
    reply = server.infer("doubleit_batch_onnx", [ROW], outputs)
    assert reply.status == 400 and message in reply.error()


@pytest.mark.parametrize("body", ["", "{", "[]", '{"inputs":3}', '{"inputs":[3]}', '{"inputs":[{"name":3}]}',
                                  '{"inputs":[{"name":"x","shape":[1,5],"datatype":"INT64","data":[1,2,3,4,"5"]}]}',
                                  '{"inputs":[{"name":"x","shape":[1,5],"datatype":"INT64","data":[1,2,3,4,1e400]}]}',
                                  '{"inputs":[{"name":"x","shape":[1,5],"datatype":"FLOAT","data":[1,2,3,4,5]}]}',
                                  '{"inputs":[{"name":"x","shape":[1,5],"datatype":"INT64","data":[1,2,3,4,5]}]} trailing',
                                  '{"inputs":[{"name":"\\ud800","shape":[1],"datatype":"INT64","data":[1]}]}'])
def test_bodies_that_are_no_request(server, body):
    reply = server.post("/v2/models/doubleit_batch_onnx/infer", body)
    assert reply.status in (400, 500) and reply.error()


def test_no_data_field(server):
    reply = server.infer("doubleit_batch_onnx", [{"name": "x", "shape": [1, 5], "datatype": "INT64"}])
    assert reply.status == 400
    assert "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters'" in reply.error()


def test_depth_is_limited(server):
    deep = "[" * 200 + "]" * 200
    reply = server.post("/v2/models/doubleit_batch_onnx/infer",
                        '{"inputs":[{"name":"x","shape":[1,5],"datatype":"INT64","data":' + deep + "}]}")
    assert reply.status == 400 and "JSON nesting depth exceeds maximum allowed limit (100)" in reply.error()


def test_reserved_parameters_are_refused(server):
    reply = server.infer("doubleit_onnx", [X], parameters={"triton_enable": True})
    assert reply.status == 400 and "parameter keys starting with 'triton_' are reserved for Triton usage" in reply.error()
    reply = server.infer("doubleit_onnx", [X], parameters={"list": [1]})
    assert reply.status == 400 and "parameter 'list' has invalid type" in reply.error()
    assert server.infer("doubleit_onnx", [X], parameters={"mine": 1, "other": "two"}).status == 200


def test_all_number_types_round_trip(tmp_path):
    types = {"BOOL": [True, False], "UINT8": [0, 255], "UINT16": [0, 65535], "UINT32": [0, 2 ** 32 - 1],
             "UINT64": [0, 2 ** 64 - 1], "INT8": [-128, 127], "INT16": [-2 ** 15, 2 ** 15 - 1],
             "INT32": [-2 ** 31, 2 ** 31 - 1], "INT64": [-2 ** 63, 2 ** 63 - 1], "FP32": [-1.5, 3.25],
             "FP64": [0.1, -1e300], "BYTES": ["", "ü\n\u0000\"☃"]}
    root = echo_repository(tmp_path, {name.lower(): f"input x {name} [2]\noutput y x" for name in types})
    with Server([root]) as running:
        for name, values in types.items():
            body = running.infer(name.lower(), [tensor("x", name, [2], values)]).json()
            assert body["outputs"] == [{"name": "y", "datatype": name, "shape": [2], "data": values}], name


@pytest.mark.parametrize("datatype, value", [("UINT8", 256), ("UINT8", -1), ("INT8", 128), ("UINT64", 2 ** 64),
                                             ("INT64", 2 ** 63), ("INT32", 1.5), ("BOOL", 2), ("BYTES", 3), ("FP32", "x")])
def test_values_that_do_not_fit_are_refused(values_server, datatype, value):
    reply = values_server.infer(datatype.lower(), [tensor("x", datatype, [1], [value])])
    assert reply.status in (400, 500) and reply.error()


@pytest.fixture(scope="module")
def values_server(tmp_path_factory):
    types = ("UINT8", "INT8", "UINT64", "INT64", "INT32", "BOOL", "BYTES", "FP32", "FP16")
    root = echo_repository(tmp_path_factory.mktemp("values"),
                           {name.lower(): f"input x {name} [-1]\noutput y x" for name in types} |
                           {"nan": "input x FP32 [-1]\noutput y x\nnan"})
    with Server([root]) as running:
        yield running


def test_not_a_number_is_answered_as_python_reads_it(values_server):
    reply = values_server.infer("nan", [tensor("x", "FP32", [2], [1, 2])])
    assert reply.status == 200 and all(math.isnan(value) for value in reply.json()["outputs"][0]["data"])


def test_half_precision_is_not_for_json(values_server):
    reply = values_server.infer("fp16", [tensor("x", "FP16", [1], [1])])
    assert reply.status == 400
    assert "receiving FP16 data via JSON is not supported. Please use the binary data format" in reply.error()


def test_empty_tensor(values_server):
    reply = values_server.infer("fp32", [tensor("x", "FP32", [0], [])])
    assert reply.status == 200 and reply.json()["outputs"][0] == {"name": "y", "datatype": "FP32", "shape": [0], "data": []}


def test_engine_failures_are_errors_of_the_request(tmp_path):
    root = echo_repository(tmp_path, {"moody": "input x FP32 [1]\noutput y x\nfail_negative INVALID_ARGUMENT",
                                      "down": "input x FP32 [1]\noutput y x\nfail_every 1 UNAVAILABLE",
                                      "liar": "input x FP32 [1]\noutput y x\nmalformed shape"})
    with Server([root]) as running:
        assert running.infer("moody", [tensor("x", "FP32", [1], [-1])]).status == 400
        assert running.infer("moody", [tensor("x", "FP32", [1], [1])]).status == 200
        assert running.infer("down", [tensor("x", "FP32", [1], [1])]).status == 503
        assert running.infer("liar", [tensor("x", "FP32", [1], [1])]).status == 500
        assert running.get("/v2/health/ready").status == 200


def test_unknown_model(server):
    reply = server.infer("nobody", [X])
    assert (reply.status, reply.error()) == (400, "Request for unknown model: 'nobody' is not found")
    reply = server.infer("doubleit", [X], version=99)
    assert (reply.status, reply.error()) == (404, "Request for unknown model: 'doubleit' version 99 is not found")
    assert server.infer("doubleit", [X], version=1).status == 200


def test_an_output_by_its_alias_is_answered_under_it(server):
    for name in ("OUTPUT__0", "y"):
        reply = server.infer("doubleit_onnx", [X], outputs=[{"name": name}])
        assert reply.status == 200 and [(out["name"], out["data"]) for out in reply.json()["outputs"]] == [
            (name, [2, 4, 6, 8, 10])]


def test_only_the_outputs_asked_for_come_back(tmp_path):
    """Any choice, after any other: the engine binds them anew."""
    (tmp_path / "several" / "1").mkdir(parents=True)
    (tmp_path / "several" / "1" / "model.onnx").write_bytes(make_models.several_outputs())
    inputs = [tensor("x", "FP32", [2], [1.0, 2.0]), tensor("t", "BYTES", [1], ["word"])]
    values = {"minus": [-1.0, -2.0], "text": ["word"], "x": [1.0, 2.0], "twice": [2.0, 4.0]}
    with Server([tmp_path]) as server:
        for count in (4, 1, 3, 2, 1):
            for names in itertools.combinations(values, count):
                reply = server.infer("several", inputs, outputs=[{"name": name} for name in names]).json()
                assert {output["name"]: output["data"] for output in reply["outputs"]} == {
                    name: values[name] for name in names}
        assert len(server.infer("several", inputs).json()["outputs"]) == 4
