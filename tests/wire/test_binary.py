"""The binary tensor extension: requests and answers with tensors behind the JSON, raw requests, wrong sizes."""
import json
import struct

import numpy
import pytest

from slipway import Server, echo_repository, tensor

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    models = {name.lower(): f"input x {name} [-1]\noutput y x" for name in ("FP32", "FP16", "BF16", "BOOL", "BYTES", "INT64")}
    models["two"] = "input a INT32 [-1]\ninput b FP32 [-1]\noutput c a\noutput d b"
    models["wide"] = "input x FP32 [-1,-1]\noutput y x"
    models["text"] = "input x BYTES [1]\noutput y x"
    with Server([echo_repository(tmp_path_factory.mktemp("binary"), models)]) as running:
        yield running


def binary_input(name, datatype, shape, size):
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def send(server, model, body, blobs, header=None, headers=None):
    text = json.dumps(body).encode()
    value = str(len(text)) if header is None else header
    return server.request("POST", f"/v2/models/{model}/infer", text + blobs, {HEADER: value, **(headers or {})})


def parts(reply):
    """The JSON of an answer and what lies behind it, by output."""
    size = int(reply.headers[HEADER])
    body, rest = json.loads(reply.body[:size]), reply.body[size:]
    blobs = {}
    for output in body["outputs"]:
        count = output.get("parameters", {}).get("binary_data_size")
        if count is not None:
            blobs[output["name"]], rest = rest[:count], rest[count:]
    assert rest == b""
    return body, blobs


def test_binary_in_and_json_out(echo):
    data = numpy.array([1.5, -2.25], dtype="<f4").tobytes()
    reply = send(echo, "fp32", {"inputs": [binary_input("x", "FP32", [2], 8)]}, data)
    assert reply.status == 200 and reply.json()["outputs"][0]["data"] == [1.5, -2.25]


@pytest.mark.parametrize("model, datatype, width", [("fp32", "FP32", 4), ("fp16", "FP16", 2), ("bf16", "BF16", 2),
                                                    ("int64", "INT64", 8)])
def test_binary_both_ways_keeps_every_bit(echo, model, datatype, width):
    data = bytes(range(256))
    reply = send(echo, model, {"inputs": [binary_input("x", datatype, [256 // width], 256)],
                               "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, data)
    body, blobs = parts(reply)
    assert body["outputs"][0]["shape"] == [256 // width] and blobs["y"] == data
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert int(reply.headers["Content-Length"]) == len(reply.body)


def test_strings(echo):
    data = b"".join(struct.pack("<I", len(text)) + text for text in (b"", b"one", b"\x00\xff\n"))
    reply = send(echo, "bytes", {"inputs": [binary_input("x", "BYTES", [3], len(data))],
                                 "parameters": {"binary_data_output": True}}, data)
    assert parts(reply)[1]["y"] == data


def test_request_wide_switch_and_its_exception(echo):
    body = {"inputs": [tensor("a", "INT32", [2], [1, 2]), tensor("b", "FP32", [2], [0.5, 1])],
            "parameters": {"binary_data_output": True},
            "outputs": [{"name": "c"}, {"name": "d", "parameters": {"binary_data": False}}]}
    answer, blobs = parts(echo.post("/v2/models/two/infer", body))
    assert blobs == {"c": struct.pack("<2i", 1, 2)} and answer["outputs"][1]["data"] == [0.5, 1]


def test_mixed_inputs_in_order(echo):
    body = {"inputs": [tensor("a", "INT32", [2], [7, 8]), binary_input("b", "FP32", [2], 8)]}
    reply = send(echo, "two", body, struct.pack("<2f", 3, 4))
    assert [output["data"] for output in reply.json()["outputs"]] == [[7, 8], [3, 4]]


def test_empty_binary_tensor(echo):
    reply = send(echo, "fp32", {"inputs": [binary_input("x", "FP32", [0], 0)],
                                "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, b"")
    body, blobs = parts(reply)
    assert body["outputs"][0]["shape"] == [0] and blobs["y"] == b""


def test_megabytes(echo):
    data = numpy.arange(1 << 20, dtype="<f4").tobytes()
    reply = send(echo, "fp32", {"inputs": [binary_input("x", "FP32", [1 << 20], len(data))],
                                "parameters": {"binary_data_output": True}}, data)
    assert parts(reply)[1]["y"] == data


def test_raw_request(echo):
    data = numpy.array([1, 2, 3], dtype="<f4").tobytes()
    reply = echo.request("POST", "/v2/models/fp32/infer", data, {HEADER: "0"})
    body, blobs = parts(reply)
    assert body["outputs"][0]["shape"][-1] == 3 and blobs["y"] == data
    reply = echo.request("POST", "/v2/models/text/infer", b"any text", {HEADER: "0"})
    assert parts(reply)[1]["y"] == struct.pack("<I", 8) + b"any text"


@pytest.mark.parametrize("model, message", [
    ("two", "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'two' model configuration"),
    ("wide", "The shape of the raw input 'x' can not be deduced because there are more than one variable-sized dimension"),
])
def test_raw_request_that_cannot_be_deduced(echo, model, message):
    reply = echo.request("POST", f"/v2/models/{model}/infer", b"\0" * 16, {HEADER: "0"})
    assert reply.status == 400 and message in reply.error()


@pytest.mark.parametrize("size, data, message", [
    (8, b"\0" * 12, "unexpected additional input data for model 'fp32'"),
    (8, b"\0" * 7, "unexpected size for input 'x'"),
    (12, b"\0" * 12, "input byte size mismatch for input 'x' for model 'fp32'. Expected 8, got 12"),
    (7, b"\0" * 7, "input byte size mismatch for input 'x' for model 'fp32'. Expected 8, got 7"),
])
def test_sizes_that_do_not_match(echo, size, data, message):
    reply = send(echo, "fp32", {"inputs": [binary_input("x", "FP32", [2], size)]}, data)
    assert reply.status == 400 and message in reply.error()


@pytest.mark.parametrize("data, message", [
    (struct.pack("<I", 3) + b"abc", "expected 2 string elements for inference input 'x'"),
    (struct.pack("<I", 3) + b"abc" + b"\1\0", "incomplete string length indicator for inference input 'x'"),
    (struct.pack("<I", 0xFFFFFFFF) + b"abc", "inference input 'x'"),
    (3 * struct.pack("<I", 0), "unexpected number of string elements 3 for inference input 'x'"),
])
def test_strings_that_are_cut(echo, data, message):
    reply = send(echo, "bytes", {"inputs": [binary_input("x", "BYTES", [2], len(data))]}, data)
    assert reply.status == 400 and message in reply.error()


@pytest.mark.parametrize("value", ["100000", "-1", "x", "99999999999999999999", "1.5", ""])
def test_header_sizes_that_are_wrong(echo, value):
    reply = send(echo, "fp32", {"inputs": [binary_input("x", "FP32", [2], 8)]}, b"\0" * 8, header=value)
    assert reply.status == 400 and reply.error()


def test_header_size_beyond_the_body_has_the_known_words(echo):
    reply = send(echo, "fp32", {"inputs": []}, b"", header="100000")
    assert "inference header size should be in range (0, " in reply.error() and "got: 100000" in reply.error()


def test_data_and_binary_size_together(echo):
    both = dict(tensor("x", "FP32", [1], [1.0]), parameters={"binary_data_size": 4})
    reply = send(echo, "fp32", {"inputs": [both]}, b"\0" * 4)
    assert reply.status == 400 and "Input must set only one of the following fields" in reply.error()


@pytest.mark.parametrize("size", [-4, 2 ** 63, 1.5, "4", True])
def test_binary_sizes_that_are_no_sizes(echo, size):
    reply = send(echo, "fp32", {"inputs": [binary_input("x", "FP32", [1], size)]}, b"\0" * 4)
    assert reply.status == 400 and reply.error()
