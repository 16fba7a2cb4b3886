"""HTTP/1.1 as bytes: keep-alive, pipelining, chunks, what could mean two things, limits, slow and vanishing clients."""
import json
import time

import pytest

from slipway import MODELS, X, Server, http_request, read_all, split_replies, statuses

LIVE = http_request("GET", "/v2/health/live")
BODY = json.dumps({"inputs": [X]}).encode()
PATH = "/v2/models/doubleit_onnx/infer"
INFER = http_request("POST", PATH, BODY)


@pytest.fixture(scope="module")
def small():
    """Short times and small sizes, so that limits are met quickly."""
    with Server([MODELS / "doubleit_onnx"], http_header_timeout="1s", http_body_timeout="1s", http_idle_timeout="2s",
                http_header_bytes_max="4KiB", http_body_bytes_max="64KiB") as running:
        yield running


def chunked(path, *chunks, end=b"0\r\n\r\n"):
    body = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + end
    return http_request("POST", path, headers=["Transfer-Encoding: chunked"]) + body


def outputs(replies):
    return [reply.json()["outputs"][0]["data"] for reply in replies]


def test_keep_alive(small):
    with small.connect() as connection:
        for _ in range(3):
            connection.sendall(LIVE)
            assert b'{"live":true}' in connection.recv(65536)


def test_pipelined_requests_are_answered_in_order(small):
    requests = b"".join(http_request("POST", PATH, json.dumps({"inputs": [dict(X, data=[n] * 5)]}).encode())
                        for n in range(50))
    replies = split_replies(small.exchange(requests))
    assert outputs(replies) == [[2 * n] * 5 for n in range(50)]


def test_a_request_byte_by_byte(small):
    with small.connect() as connection:
        for number in range(len(LIVE)):
            connection.sendall(LIVE[number:number + 1])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_close_is_heeded(small):
    data = small.exchange(http_request("GET", "/v2/health/live", headers=["Connection: close"]) + LIVE)
    assert statuses(data) == [200] and b"connection: close" in data.lower()


def test_http_1_0(small):
    with small.connect() as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
        assert statuses(read_all(connection)) == [200]


def test_chunked_body(small):
    assert outputs(split_replies(small.exchange(chunked(PATH, BODY[:7], BODY[7:8], BODY[8:])))) == [[2, 4, 6, 8, 10]]


def test_chunked_body_with_extension_and_trailer(small):
    data = http_request("POST", PATH, headers=["Transfer-Encoding: chunked"])
    data += f"{len(BODY):X};name=value\r\n".encode() + BODY + b"\r\n0\r\nX-After: all\r\n\r\n" + LIVE
    assert statuses(small.exchange(data)) == [200, 200]


def test_expect_continue(small):
    head = http_request("POST", PATH, headers=["Expect: 100-continue", f"Content-Length: {len(BODY)}"])
    head = head.replace(b"Content-Length: 0\r\n", b"", 1)
    with small.connect() as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert b"[2,4,6,8,10]" in connection.recv(65536)


def test_unknown_expectation(small):
    assert statuses(small.exchange(http_request("POST", PATH, BODY, ["Expect: wonders"])))[0] == 417


def test_head_on_the_wire(small):
    with small.connect() as connection:
        connection.sendall(http_request("HEAD", "/v2") + http_request("GET", "/", headers=["Connection: close"]))
        data = read_all(connection)
    first, _, rest = data.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200") and rest.startswith(b"HTTP/1.1 200")


AMBIGUOUS = {
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "two equal lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "length list": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked not last": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "tab in the name": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    "folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "bare line feed": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare carriage return": b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "zero byte in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "hexadecimal length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na",
    "length beyond all": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "chunk size beyond all": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "chunk size no number": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk longer than told": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "next version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_could_mean_two_things_is_refused_and_ends_the_connection(small, data):
    """Refused before anything after it is read: a second request behind it is never answered."""
    replies = split_replies(small.exchange(data + LIVE))
    assert len(replies) == 1 and replies[0].status in (400, 413, 417, 501, 505), replies
    assert replies[0].error()


def test_header_limits(small):
    reply = split_replies(small.exchange(http_request("GET", "/", headers=["X: " + "x" * 8192])))[0]
    assert reply.status == 431 and reply.error()
    reply = split_replies(small.exchange(http_request("GET", "/" + "x" * 8192)))[0]
    assert reply.status in (414, 431)
    reply = split_replies(small.exchange(http_request("GET", "/", headers=[f"X{n}: y" for n in range(150)])))[0]
    assert reply.status == 431


def test_body_limit_by_length_and_by_chunks(small):
    reply = split_replies(small.exchange(http_request("POST", PATH, b"x" * 70000)))[0]
    assert reply.status == 413 and "65536" in reply.error()
    assert statuses(small.exchange(chunked(PATH, *[b"x" * 8000] * 10)))[0] == 413


def test_slow_header_is_cut(small):
    with small.connect() as connection:
        start = time.monotonic()
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: ")
        data = read_all(connection)
        assert time.monotonic() - start < 8
    assert data == b"" or statuses(data) == [408]


def test_dripping_header_does_not_help(small):
    with small.connect() as connection:
        start = time.monotonic()
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n")
        try:
            while time.monotonic() - start < 10:
                connection.sendall(b"X: y\r\n")
                time.sleep(0.2)
        except OSError:
            pass
        assert time.monotonic() - start < 8


def test_slow_body_is_cut(small):
    with small.connect() as connection:
        start = time.monotonic()
        connection.sendall(INFER[:-5])
        data = read_all(connection)
        assert time.monotonic() - start < 8
    assert data == b"" or statuses(data) == [408]


def test_idle_connection_is_closed(small):
    with small.connect() as connection:
        connection.sendall(LIVE)
        connection.recv(65536)
        start = time.monotonic()
        assert connection.recv(65536) == b"" and time.monotonic() - start < 10


def test_clients_that_vanish(small):
    for cut in (1, 20, len(INFER) - 1, len(INFER)):
        with small.connect() as connection:
            connection.sendall(INFER[:cut])
    assert small.get("/v2/health/live").status == 200


def test_many_connections(small):
    connections = [small.connect() for _ in range(200)]
    for connection in connections:
        connection.sendall(INFER)
    for connection in connections:
        assert b"[2,4,6,8,10]" in connection.recv(65536)
        connection.close()


def test_percent_encoded_names(small):
    assert small.get("/v2/models/doubleit%5Fonnx").status == 200
    assert small.get("/v2/models/%00").status == 400
    assert small.get("/v2/models/..%2f..%2fetc/ready").status in (400, 404)
