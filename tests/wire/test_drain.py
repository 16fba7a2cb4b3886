"""SIGTERM in the middle of a load: no request that was sent goes without its answer."""
import signal
import socket
import threading
import time

import pytest

from slipway import MODELS, Server, echo_repository, http_request

CLIENTS = 32


class Client(threading.Thread):
    """One keep-alive connection after another, one request after another, until nobody listens."""

    def __init__(self, server, request):
        super().__init__(daemon=True)
        self.server, self.bytes = server, request
        self.answered, self.lost, self.said_close, self.wrong = 0, [], 0, []

    def run(self):
        while True:
            try:
                connection = self.server.connect(timeout=30)
            except OSError:
                return  # the door is closed
            with connection:
                while self.one(connection):
                    pass

    def one(self, connection):
        connection.setblocking(False)
        try:
            if connection.recv(1) == b"":
                return False  # closed before anything of the request was written
        except BlockingIOError:
            pass
        connection.settimeout(30)
        try:
            connection.sendall(self.bytes)
            data = b""
            while b"\r\n\r\n" not in data or len(data) < self.size(data):
                piece = connection.recv(65536)
                if not piece:
                    self.lost.append(f"end after {len(data)} bytes")
                    return False
                data += piece
        except OSError as error:
            self.lost.append(repr(error))
            return False
        if not data.startswith(b"HTTP/1.1 200 "):
            self.wrong.append(data)
        self.answered += 1
        closes = b"\r\nConnection: close\r\n" in data
        self.said_close += closes
        return not closes

    @staticmethod
    def size(data):
        head = data.index(b"\r\n\r\n")
        at = data.index(b"Content-Length: ") + 16
        return head + 4 + int(data[at:data.index(b"\r\n", at)])


def drain_under_load(server, request, seconds):
    clients = [Client(server, request) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(seconds)
    server.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join(60)
        assert not client.is_alive()
    assert server.process.wait(30) == 0, server.log()
    answered = sum(client.answered for client in clients)
    lost = [text for client in clients for text in client.lost]
    wrong = [data for client in clients for data in client.wrong]
    print(f"answered {answered}, lost {len(lost)}, told to close {sum(client.said_close for client in clients)}")
    assert answered >= CLIENTS and not lost and not wrong, (answered, lost[:5], wrong[:2])
    return clients


@pytest.mark.parametrize("round_number", range(10))
@pytest.mark.parametrize("threads", [1, 2])
def test_a_busy_client_loses_no_answer(tmp_path, threads, round_number):
    with Server([MODELS / "doubleit_onnx"], http_threads=threads) as server:
        request = http_request("POST", "/models/doubleit_onnx", b"[1,2,3,4,5]")
        clients = drain_under_load(server, request, 0.2 + round_number * 0.013)
        # Kept-alive connections were told, not cut.
        assert sum(client.said_close for client in clients) >= CLIENTS // 2


@pytest.mark.parametrize("round_number", range(3))
def test_slow_models_answer_what_was_accepted(tmp_path, round_number):
    root = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 20000"})
    with Server([root], http_threads=2) as server:
        drain_under_load(server, http_request("POST", "/models/slow", b"[1]"), 0.3 + round_number * 0.07)


@pytest.mark.parametrize("round_number", range(3))
def test_a_connection_for_each_request(tmp_path, round_number):
    """The worst case: handshakes cross the closing door all the time."""
    with Server([MODELS / "doubleit_onnx"], http_threads=2) as server:
        request = http_request("POST", "/models/doubleit_onnx", b"[1,2,3,4,5]", headers=["Connection: close"])
        drain_under_load(server, request, 0.3 + round_number * 0.05)


def test_idle_connections_end_cleanly_and_soon():
    with Server([MODELS / "doubleit_onnx"], drain_idle="100ms") as server:
        idle = [server.connect() for _ in range(20)]
        time.sleep(0.1)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for connection in idle:
            assert connection.recv(1) == b""  # an end, no reset
            connection.close()
        assert server.process.wait(10) == 0
        assert 0.08 < time.monotonic() - begin < 5


def test_a_request_sent_while_draining_is_answered():
    with Server([MODELS / "doubleit_onnx"], drain_idle="2s") as server:
        connection = server.connect()
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(http_request("POST", "/models/doubleit_onnx", b"[1,2,3,4,5]"))
        data = b""
        while piece := connection.recv(65536):
            data += piece
        connection.close()
        assert data.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in data and data.endswith(b"[2,4,6,8,10]")


def test_no_new_connection_while_draining():
    with Server([MODELS / "doubleit_onnx"], drain_idle="2s") as server:
        keeper = server.connect()  # keeps the server from ending at once
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises((ConnectionRefusedError, socket.timeout)):
            server.connect(timeout=0.5).close()
        keeper.close()
