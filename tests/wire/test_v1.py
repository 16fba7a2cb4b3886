"""V1, as TensorFlow Serving and KServe speak it."""
import pytest


def predict(server, model, body, version=""):
    return server.post(f"/v1/models/{model}{version}:predict", body)


def test_rows(server):
    reply = predict(server, "doubleit_batch_onnx", {"instances": [[1, 2, 3, 4, 5], [0, 0, 0, 0, 1]]})
    assert reply.status == 200 and reply.json() == {"predictions": [[2, 4, 6, 8, 10], [0, 0, 0, 0, 2]]}


def test_columns(server):
    reply = predict(server, "doubleit_batch_onnx", {"inputs": [[1, 2, 3, 4, 5]]})
    assert reply.status == 200 and reply.json() == {"outputs": [[2, 4, 6, 8, 10]]}
    reply = predict(server, "doubleit_batch_onnx", {"inputs": {"x": [[1, 2, 3, 4, 5]]}})
    assert reply.json()["outputs"] == [[2, 4, 6, 8, 10]]


def test_rows_by_name_and_a_version(server):
    reply = predict(server, "doubleit_batch_onnx", {"instances": [{"x": [1, 1, 1, 1, 1]}]}, "/versions/1")
    assert reply.status == 200 and reply.json()["predictions"] == [[2, 2, 2, 2, 2]]


def test_texts(server):
    reply = predict(server, "sentiment", {"instances": ["lovely", "awful"]})
    assert reply.json() == {"predictions": ["positive", "negative"]}
    reply = predict(server, "sentiment_onnx", {"instances": [{"b64": "bG92ZWx5"}]})
    assert reply.json() == {"predictions": ["positive"]}


@pytest.mark.parametrize("body", ["", "{}", '{"instances":3}', '{"instances":[[1,2],[3]]}', '{"instances":[],"inputs":[]}',
                                  '{"instances":[{"y":[1]}]}', '{"instances":[[1,2,3,4,5]]', '{"instances":[{"b64":"%"}]}'])
def test_refused(server, body):
    reply = predict(server, "doubleit_batch_onnx", body)
    assert reply.status == 400 and reply.error()


def test_listing_and_status(server):
    assert "iris" in server.get("/v1/models").json()["models"]
    assert server.get("/v1/models/iris").status == 200
    assert server.get("/v1/models/nobody").status in (400, 404)
    assert predict(server, "nobody", {"instances": [1]}).status in (400, 404)
