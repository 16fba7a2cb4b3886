"""`slipway health`, what a container's health check runs: the exit code is the answer."""
import os
import signal
import socket
import subprocess
import threading

import pytest

from slipway import BINARY, MODELS, Server


def health(*arguments, environment=None):
    done = subprocess.run([BINARY, "health", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(environment or {})})
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def server():
    with Server([MODELS / "doubleit"]) as server:
        yield server


def test_a_server_that_is_ready(server):
    assert health(f"--http-port={server.port}") == (0, "ready")
    assert health(f"--url=http://127.0.0.1:{server.port}/") == (0, "ready")
    assert health(f"--http-port={server.port}", "--live") == (0, "alive")
    # as in a container: the settings are the server's own, by the environment
    assert health(environment={"SLIPWAY_HTTP_PORT": str(server.port), "SLIPWAY_HTTP_ADDRESS": "0.0.0.0"}) == (0, "ready")
    assert health("--http-port=0", f"--http-port-file={server.port_file}") == (0, "ready")


def test_a_server_that_is_not(tmp_path):
    broken = tmp_path / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"this is no model")
    with Server([tmp_path / "broken"], ready=False) as server:
        code, said = health(f"--http-port={server.port}")
        assert code == 1 and said.startswith("not ready: ") and "503" in said
        assert health(f"--http-port={server.port}", "--live") == (0, "alive")


def test_no_server():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code, said = health(f"--http-port={taken.getsockname()[1]}")
    assert code == 1 and "refused" in said


def test_one_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, said = health(f"--http-port={silent.getsockname()[1]}", "--timeout=200ms")
    assert code == 1 and said.startswith("not ready: ")


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n",
                                    b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}"])
def test_one_that_answers_something_else(answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)
        thread = threading.Thread(target=serve)
        thread.start()
        code, said = health(f"--http-port={listener.getsockname()[1]}")
        thread.join()
    assert code == 1 and said.startswith("not ready: "), said


def test_the_port_file_must_tell_one(tmp_path):
    assert health("--http-port=0")[0] == 1
    for text in ("", "eight", "1" * 100, "-1", "70000"):
        (tmp_path / "port").write_text(text)
        code, said = health("--http-port=0", f"--http-port-file={tmp_path}/port")
        assert code == 1 and said.startswith("not ready: "), (text, said)
    assert health("--http-port=0", f"--http-port-file={tmp_path}/none")[0] == 1


def test_while_it_drains_it_is_not_ready():
    with Server([MODELS / "doubleit"], drain_delay="2s") as server:
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda: health(f"--http-port={server.port}")[0] == 1, "the drain")


def test_no_arguments():
    code, said = health("doubleit")
    assert code not in (0, 1) and "doubleit" in said
