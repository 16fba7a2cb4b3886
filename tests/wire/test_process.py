"""The process: its start, its end under load, its wrong arguments, and what it does not do behind one's back."""
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from slipway import BINARY, MODELS, X, Server, echo_repository, tensor

ONE = [tensor("x", "FP32", [1], [1])]


def run(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_wrong_arguments_are_refused_with_advice():
    done = run("serve", str(MODELS), "--http-prot=1")
    assert done.returncode != 0 and "http-port" in done.stderr
    done = run("serve", str(MODELS), "--http-port=70000")
    assert done.returncode != 0 and "70000" in done.stderr
    done = run("srve")
    assert done.returncode != 0 and "serve" in done.stderr
    assert run("serve").returncode != 0
    done = run("serve", "/nowhere/at/all")
    assert done.returncode != 0 and "/nowhere/at/all" in done.stderr


def test_a_taken_port_is_a_clear_error(start):
    server = start([MODELS / "doubleit_onnx"])
    done = run("serve", str(MODELS / "doubleit_onnx"), f"--http-port={server.port}")
    assert done.returncode != 0 and str(server.port) in done.stderr


def test_sigterm_under_load_loses_no_answer(tmp_path):
    """Whatever was accepted is answered; what comes later finds a closed door, never half an answer."""
    with Server([echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 20000"})]) as server:
        broken, answered, stop = [], [], threading.Event()

        def load():
            while not stop.is_set():
                try:
                    with server.connect() as connection:
                        connection.sendall(b"POST /models/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n[1]")
                        data = connection.recv(65536)
                        (answered if data.startswith(b"HTTP/1.1 200") else broken).append(data)
                except (ConnectionRefusedError, ConnectionResetError):
                    return
        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        stop.set()
        unanswered = [data for data in broken if data and not data.startswith(b"HTTP/1.1 503")]
        assert len(answered) > 20 and not unanswered


def test_readiness_turns_false_before_the_door_closes(start):
    server = start([MODELS / "doubleit_onnx"], drain_delay="2s")
    server.process.send_signal(signal.SIGTERM)
    server.wait_until(lambda: server.get("/v2/health/ready").status == 503, "unreadiness", 5)
    assert server.infer("doubleit_onnx", [X]).status == 200


def test_a_second_signal_ends_it(tmp_path):
    release = tmp_path / "release"
    release.touch()  # the warm-up, of each thread's instance, goes through
    runner = 'parameters { key: "placement" value { string_value: "runner" } }\n'
    root = echo_repository(tmp_path, {"hang": (f"input x FP32 [1]\noutput y x\nhang_until {release}", runner)})
    server = Server([root]).start()
    release.unlink()
    thread = threading.Thread(target=lambda: pytest.raises(Exception, server.infer, "hang", ONE))
    thread.daemon = True
    thread.start()
    time.sleep(0.5)
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
    server.process.wait(30)
    assert time.monotonic() - begin < 25


def test_an_onnx_server_never_maps_libtorch(start):
    server = start([MODELS / "doubleit_onnx"])
    maps = open(f"/proc/{server.process.pid}/maps").read()
    assert "libonnxruntime" in maps and "libtorch" not in maps


def test_json_log_lines(start):
    server = start([MODELS / "doubleit_onnx"], log_format="json", http_access_log="true")
    server.infer("doubleit_onnx", [X], headers={"X-Request-Id": "mine-1"})
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert lines and any("/v2/models/doubleit_onnx/infer" in json.dumps(line) for line in lines)


def test_settings_from_the_environment(start):
    server = start([MODELS / "doubleit_onnx"], environment={"SLIPWAY_SERVER_NAME": "from-environment"})
    assert server.get("/v2").json()["name"] == "from-environment"


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.skipif("thread" in os.environ.get("SLIPWAY_SANITIZE", "") or "address" in os.environ.get("SLIPWAY_SANITIZE", ""),
                    reason="sanitizers' own calls would be seen")
def test_no_phone_home(tmp_path):
    """No program started, no socket but our listener, no file written, with CI unset as telemetry heeds it."""
    trace, port_file = tmp_path / "trace", tmp_path / "port"
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    environment["SLIPWAY_DATA_DIRECTORY"] = str(tmp_path)
    process = subprocess.Popen(["strace", "-f", "-qq", "-o", str(trace), "-e",
                                "trace=execve,execveat,connect,socket,sendto,sendmsg,openat,open,creat", BINARY, "serve",
                                str(MODELS / "doubleit_onnx"), "--http-port=0", f"--http-port-file={port_file}"],
                               env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not port_file.exists() and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.05)
    server = Server([])
    server.port = int(port_file.read_text())
    while server.get("/v2/health/ready").status != 200 and time.monotonic() < end:
        time.sleep(0.05)
    assert server.infer("doubleit_onnx", [X]).status == 200
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    process.wait(60)
    calls = trace.read_text().splitlines()
    programs = [line for line in calls if "execve" in line]
    assert len(programs) == 1, programs
    assert not [line for line in calls if " connect(" in line]
    sockets = [line for line in calls if " socket(" in line]
    assert all(re.search(r"socket\(AF_INET6?, SOCK_STREAM", line) for line in sockets) and len(sockets) <= 16, sockets
    written = [line for line in calls if re.search(r"O_(WRONLY|RDWR|CREAT)", line) and "ENOENT" not in line]
    foreign = [line for line in written if not any(word in line for word in (str(tmp_path), "/dev/null", ".gcda"))]
    assert not foreign, foreign
