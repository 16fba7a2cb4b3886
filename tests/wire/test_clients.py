"""Clients as they are: curl, and tritonclient over HTTP."""
import json
import subprocess

import numpy
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", connection_timeout=30, network_timeout=30) as client:
        yield client


def triton_input(name, array, datatype, binary=True):
    value = triton.InferInput(name, list(array.shape), datatype)
    value.set_data_from_numpy(array, binary_data=binary)
    return value


def curl(server, path, *arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "30", *arguments, server.address(path)], capture_output=True,
                          check=True)
    return done.stdout


def test_curl_as_the_readme_says(server):
    assert curl(server, "/models/doubleit", "-d", "[1,2,3,4,5]") == b"[2,4,6,8,10]"
    body = '{"inputs":[{"name":"x","shape":[5],"datatype":"INT64","data":[1,2,3,4,5]}]}'
    answer = json.loads(curl(server, "/v2/models/doubleit/infer", "-d", body))
    assert answer["outputs"][0]["data"] == [2, 4, 6, 8, 10]


def test_curl_compressed_and_chunked(server):
    body = '{"inputs":[{"name":"x","shape":[5],"datatype":"INT64","data":[1,2,3,4,5]}]}'
    answer = curl(server, "/v2/models/doubleit_onnx/infer", "--compressed", "-H", "Transfer-Encoding: chunked", "-d", body)
    assert json.loads(answer)["outputs"][0]["data"] == [2, 4, 6, 8, 10]


def test_triton_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("iris") and client.is_model_ready("iris", "1") and not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "slipway"
    assert client.get_model_metadata("iris")["inputs"][0]["name"] == "measures"
    assert client.get_model_config("iris")["max_batch_size"] == 64
    assert client.get_inference_statistics("iris")["model_stats"][0]["name"] == "iris"
    assert any(row["name"] == "iris" for row in client.get_model_repository_index())
    assert "log_info" in client.get_log_settings()


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("model, output", [("doubleit_batch", "OUTPUT__0"), ("doubleit_batch_onnx", "y")])
def test_triton_infer(client, model, output, binary_in, binary_out):
    x = numpy.arange(15, dtype=numpy.int64).reshape(3, 5)
    result = client.infer(model, [triton_input("x", x, "INT64", binary_in)],
                          outputs=[triton.InferRequestedOutput(output, binary_data=binary_out)], request_id="7")
    assert numpy.array_equal(result.as_numpy(output), x * 2)
    assert result.get_response()["id"] == "7"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_triton_compression(client, algorithm):
    x = numpy.ones((64, 5), dtype=numpy.int64)
    result = client.infer("doubleit_batch_onnx", [triton_input("x", x, "INT64")],
                          request_compression_algorithm=algorithm, response_compression_algorithm=algorithm)
    assert numpy.array_equal(result.as_numpy("y"), x * 2)


def test_triton_texts(client):
    texts = numpy.array(["lovely".encode(), "awful".encode(), "ü".encode()], dtype=object)
    for model, output in (("sentiment", "OUTPUT__0"), ("sentiment_onnx", "label")):
        labels = client.infer(model, [triton_input("text", texts, "BYTES")]).as_numpy(output)
        assert list(labels) == [b"positive", b"negative", b"neutral"]


def test_triton_classification(client):
    measures = numpy.array([[5.1, 3.5, 1.4, 0.2]], dtype=numpy.float32)
    result = client.infer("iris", [triton_input("measures", measures, "FP32")],
                          outputs=[triton.InferRequestedOutput("probabilities", class_count=1)])
    assert result.as_numpy("probabilities").flatten()[0].decode().endswith(":0:setosa")


def test_triton_images(client):
    for model in ("digits", "digits_onnx"):
        image = numpy.zeros((2, 1, 8, 8), dtype=numpy.float32)
        result = client.infer(model, [triton_input("image", image, "FP32")]).as_numpy("probabilities")
        assert result.shape == (2, 10) and numpy.allclose(result.sum(1), 1, atol=1e-5)


def test_triton_asynchronous(client):
    x = numpy.ones((1, 5), dtype=numpy.int64)
    waiting = [client.async_infer("doubleit_batch_onnx", [triton_input("x", x * n, "INT64")]) for n in range(20)]
    for n, request in enumerate(waiting):
        assert numpy.array_equal(request.get_result().as_numpy("y"), x * 2 * n)


def test_triton_errors(client):
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'nobody' is not found"):
        client.infer("nobody", [triton_input("x", numpy.ones(5, dtype=numpy.int64), "INT64")])
    with pytest.raises(InferenceServerException, match="unexpected shape for input 'x'"):
        client.infer("doubleit_batch_onnx", [triton_input("x", numpy.ones((1, 4), dtype=numpy.int64), "INT64")])
