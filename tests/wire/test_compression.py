"""Content-Encoding of requests, Accept-Encoding of answers, and bodies that unpack to more than is allowed."""
import gzip
import json
import zlib

import pytest

from slipway import MODELS, X, Server, tensor

BODY = json.dumps({"inputs": [X]}).encode()
PATH = "/v2/models/doubleit_onnx/infer"
PACK = {"gzip": gzip.compress, "deflate": zlib.compress}
UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress}


@pytest.fixture(scope="module")
def small():
    with Server([MODELS], http_body_bytes_max="1MiB", http_compression_min_bytes="100") as running:
        yield running


@pytest.mark.parametrize("coding", PACK)
def test_packed_request(small, coding):
    reply = small.request("POST", PATH, PACK[coding](BODY), {"Content-Encoding": coding})
    assert reply.status == 200 and reply.json()["outputs"][0]["data"] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize("coding", PACK)
def test_packed_answer(small, coding):
    rows = tensor("x", "INT64", [64, 5], [1000] * 320)
    reply = small.infer("doubleit_batch_onnx", [rows], headers={"Accept-Encoding": coding})
    assert reply.headers["Content-Encoding"] == coding
    assert json.loads(UNPACK[coding](reply.body))["outputs"][0]["data"] == [2000] * 320


@pytest.mark.parametrize("accept, coding", [("gzip;q=0, deflate", "deflate"), ("deflate;q=0.1, gzip;q=0.9", "gzip"),
                                            ("identity", None), ("gzip;q=0", None), ("br", None), ("", None)])
def test_accept_encoding_is_weighed(small, accept, coding):
    rows = tensor("x", "INT64", [64, 5], [1000] * 320)
    reply = small.infer("doubleit_batch_onnx", [rows], headers={"Accept-Encoding": accept})
    assert reply.status == 200 and reply.headers.get("Content-Encoding") == coding


def test_small_answers_stay_as_they_are(small):
    assert small.get("/v2/health/live", headers={"Accept-Encoding": "gzip"}).headers.get("Content-Encoding") is None


def test_packed_binary_request(small):
    text = json.dumps({"inputs": [{"name": "x", "datatype": "INT64", "shape": [5],
                                   "parameters": {"binary_data_size": 40}}]}).encode()
    packed = gzip.compress(text + b"".join(n.to_bytes(8, "little") for n in range(5)))
    reply = small.request("POST", PATH, packed, {"Content-Encoding": "gzip",
                                                 "Inference-Header-Content-Length": str(len(text))})
    assert reply.json()["outputs"][0]["data"] == [0, 2, 4, 6, 8]


def test_a_bomb_is_refused(small):
    bomb = gzip.compress(b" " * (64 << 20))
    reply = small.request("POST", PATH, bomb, {"Content-Encoding": "gzip"})
    assert reply.status == 413 and reply.error()


@pytest.mark.parametrize("body", [b"", b"no gzip at all", gzip.compress(BODY)[:-4], gzip.compress(BODY)[:20],
                                  gzip.compress(BODY)[:-8] + b"\0" * 8, gzip.compress(BODY) + b"more"])
def test_packed_bodies_that_are_broken(small, body):
    reply = small.request("POST", PATH, body, {"Content-Encoding": "gzip"})
    assert reply.status == 400 and reply.error()


def test_unknown_coding(small):
    reply = small.request("POST", PATH, BODY, {"Content-Encoding": "br"})
    assert reply.status == 501 and "gzip" in reply.headers["Accept-Encoding"]
