"""Large binary answers, which are sent from where the engine wrote them: they outlive the batch, the client and the model."""
import concurrent.futures
import gzip
import json
import shutil
import signal
import socket
import time

import pytest

from slipway import Server, echo_repository, http_request

COUNT = 1 << 20  # floats: 4 MiB, more than a socket buffers
ROWS = 64 * 1024
ECHO = "input x FP32 [-1]\noutput y x"
BATCHED = (f"input x FP32 [-1,{ROWS}]\noutput y x\ndelay_us 3000", "max_batch_size: 8\ndynamic_batching { }\n")


def request(model, shape, data, output=True):
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": shape,
                                   "parameters": {"binary_data_size": len(data)}}],
                       "parameters": {"binary_data_output": output}}).encode()
    return http_request("POST", f"/v2/models/{model}/infer", head + data,
                        [f"Inference-Header-Content-Length: {len(head)}"])


def read_answer(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1 << 20)
        assert piece, data[:300]
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    pieces, size = [body], len(body)
    while size < int(fields["Content-Length"]):
        piece = connection.recv(1 << 20)
        assert piece, size
        pieces.append(piece)
        size += len(piece)
    return head, b"".join(pieces)[int(fields["Inference-Header-Content-Length"]):]


def pattern(seed, count):
    return bytes((seed * 7 + i) % 251 for i in range(251)) * (count * 4 // 251 + 1)


def data_of(seed, count):
    return pattern(seed, count)[:count * 4]


def test_a_slow_reader_gets_every_byte_while_others_go_on(tmp_path, start):
    server = start([echo_repository(tmp_path, {"echo": ECHO})], http_threads=1)
    slow = server.connect()
    first = data_of(1, COUNT)
    slow.sendall(request("echo", [COUNT], first))
    time.sleep(0.3)  # the answer waits in the server, the memory of the engine's next calls lies beside it
    for seed in range(2, 12):
        with server.connect() as connection:
            other = data_of(seed, COUNT)
            connection.sendall(request("echo", [COUNT], other))
            assert read_answer(connection)[1] == other
    assert read_answer(slow)[1] == first
    slow.sendall(request("echo", [4], data_of(3, 4)))  # the connection goes on
    assert read_answer(slow)[1] == data_of(3, 4)
    slow.close()


def test_rows_of_one_batch_reach_their_own_readers(tmp_path, start):
    server = start([echo_repository(tmp_path, {"rows": BATCHED})], http_threads=2)

    def one(seed):
        with server.connect() as connection:
            for turn in range(5):
                data = data_of(seed * 5 + turn, ROWS)
                connection.sendall(request("rows", [1, ROWS], data))
                if seed % 3 == 0:
                    time.sleep(0.02)
                assert read_answer(connection)[1] == data
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(16)))


@pytest.mark.parametrize("model", ["echo", "rows"])
def test_readers_that_hang_up(tmp_path, start, model):
    server = start([echo_repository(tmp_path, {"echo": ECHO, "rows": BATCHED})])
    shape, data = ([COUNT], data_of(1, COUNT)) if model == "echo" else ([8, ROWS], data_of(1, 8 * ROWS))
    for number in range(12):
        connection = server.connect()
        connection.sendall(request(model, shape, data))
        if number % 3:
            connection.recv(1000)
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    with server.connect() as connection:
        connection.sendall(request(model, shape, data))
        assert read_answer(connection)[1] == data


def test_unload_and_reload_while_an_answer_waits(tmp_path, start):
    root = echo_repository(tmp_path, {"echo": ECHO})
    server = start([root], model_control_mode="explicit", model_load="echo")
    data = data_of(5, COUNT)
    readers = [server.connect() for _ in range(4)]
    for reader in readers:
        reader.sendall(request("echo", [COUNT], data))
    time.sleep(0.4)
    assert server.post("/v2/repository/models/echo/unload").status == 200
    assert server.post("/v2/repository/models/echo/load").status == 200
    assert server.post("/v2/repository/models/echo/unload").status == 200
    shutil.rmtree(root)
    time.sleep(0.2)
    for reader in readers:
        assert read_answer(reader)[1] == data
        reader.close()


def test_drain_sends_what_waits(tmp_path):
    with Server([echo_repository(tmp_path, {"echo": ECHO})]) as server:
        data = data_of(9, COUNT)
        readers = [server.connect() for _ in range(4)]
        for reader in readers:
            reader.sendall(request("echo", [COUNT], data))
        time.sleep(0.4)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.6)
        for reader in readers:
            assert read_answer(reader)[1] == data
            reader.close()


def test_cut_off_by_the_grace_time(tmp_path):
    """A reader that never reads does not keep the server."""
    server = Server([echo_repository(tmp_path, {"echo": ECHO})], drain_grace="500ms").start()
    with server.connect() as reader:
        reader.sendall(request("echo", [8 * COUNT], data_of(9, 8 * COUNT)))  # more than the system buffers
        time.sleep(0.4)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert "ended with connections open" in server.log()


def test_compressed_answers_are_the_same(tmp_path, start):
    server = start([echo_repository(tmp_path, {"echo": ECHO})])
    data = data_of(2, 100_000)
    whole = request("echo", [100_000], data).replace(b"Host: slipway\r\n", b"Host: slipway\r\nAccept-Encoding: gzip\r\n", 1)
    with server.connect() as connection:
        connection.sendall(whole)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        head, _, body = head.partition(b"\r\n\r\n")
        size = int(head.decode().lower().split("content-length: ")[-1].split("\r\n")[0])
        while len(body) < size:
            body += connection.recv(65536)
        assert b"gzip" in head and gzip.decompress(body).endswith(data)
