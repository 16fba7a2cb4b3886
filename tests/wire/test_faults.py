"""What goes wrong around a server: engines, descriptors, disk, memory, clients, files. Each fault stays where it is."""
import concurrent.futures
import json
import math
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import zipfile

import pytest

import metrics_page
from slipway import BINARY, MODELS, X, Server, echo_repository, http_request, read_all, tensor

SANITIZED = bool(os.environ.get("SLIPWAY_SANITIZE", ""))
ECHO = "input x FP32 [1]\noutput y x"
ONE = [tensor("x", "FP32", [1], [1])]


def bystander_is_well(server, name="good"):
    reply = server.infer(name, ONE)
    assert reply.status == 200 and reply.json()["outputs"][0]["data"] == [1.0], reply


# ---- Engines


def test_an_engine_that_fails(tmp_path, start):
    server = start([echo_repository(tmp_path, {"good": ECHO, "bad": ECHO + "\nfail_every 2 INTERNAL"})])
    replies = [server.infer("bad", ONE) for _ in range(10)]
    assert [reply.status for reply in replies] in ([200, 500] * 5, [500, 200] * 5)
    assert all("fails" in reply.error() for reply in replies if reply.status == 500)
    bystander_is_well(server)


def test_one_poisoned_row_fails_alone(tmp_path, start):
    rows = "input x FP32 [-1,1]\noutput y x\nfail_negative INVALID_ARGUMENT\ndelay_us 20000"
    root = echo_repository(tmp_path, {"rows": (rows, "max_batch_size: 16\ndynamic_batching { }\n")})
    server = start([root])
    values = [float(number) for number in range(1, 16)] + [-1.0]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda value: server.infer("rows", [tensor("x", "FP32", [1, 1], [value])]), values))
    for value, reply in zip(values, replies):
        assert reply.status == (400 if value < 0 else 200), (value, reply)
        assert value < 0 or reply.json()["outputs"][0]["data"] == [value]


def test_an_engine_that_hangs(tmp_path, start):
    release = tmp_path / "release"
    release.touch()  # the warm-up goes through
    # On its runner: inline, where models are that have proved to be cheap, a hang holds a loop thread.
    runner = 'parameters { key: "placement" value { string_value: "runner" } }\n'
    root = echo_repository(tmp_path, {"good": ECHO, "hang": (ECHO + f"\nhang_until {release}", runner)})
    server = start([root], model_execution_limit="300ms", ready=False)
    server.wait_until(lambda: server.get("/v2/models/good/ready").status == 200, "the good model")
    server.wait_until(lambda: server.get("/v2/models/hang/ready").status == 200, "the other model")
    release.unlink()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        stuck = pool.submit(server.infer, "hang", ONE)
        time.sleep(0.2)
        late = pool.submit(server.infer, "hang", ONE, parameters={"timeout": 100000})
        assert late.result().status == 503
        bystander_is_well(server)
        server.wait_until(lambda: server.get("/v2/models/hang/ready").status == 400, "unreadiness", 10)
        release.touch()
        assert stuck.result().status == 200
    server.wait_until(lambda: server.get("/v2/models/hang/ready").status == 200, "readiness", 10)
    bystander_is_well(server)


def test_a_model_that_hangs_on_one_network_thread_is_moved_off_the_others(tmp_path, start):
    release = tmp_path / "release"
    root = echo_repository(tmp_path, {"moody": ECHO + f"\nhang_until {release}\nhang_negative 1"})
    # cost_max: a busy machine is not to move the model before it hangs
    server = start([root], http_threads=2, inline_stall_max="100ms", inline_cost_max="50ms")

    def ask(value, timeout):
        return server.request("POST", "/v2/models/moody/infer",
                              json.dumps({"inputs": [tensor("x", "FP32", [1], [value])]}), timeout=timeout)

    def metric(name):
        """By thread; asks until a thread that does not hang answers."""
        for _ in range(50):
            try:
                families = metrics_page.parse(server.request("GET", "/metrics", timeout=0.5).body.decode(), open_metrics=False)
                values = {dict(labels)["thread"]: value for (_, labels), value in families[name].samples.items()}
                return {thread: values[thread] for thread in ("0", "1")}  # behind them is the worker's
            except TimeoutError:
                continue
        raise AssertionError(f"no thread answers:\n{server.log()}")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(ask, -1, 60)
        server.wait_until(lambda: max(metric("slipway_model_stalled_seconds").values()) > 0.1, "a stall")
        answered = 0
        for _ in range(200):  # by whichever thread: the one that hangs does not answer
            try:
                answered += ask(1, 0.3).status == 200
            except TimeoutError:
                pass
            if answered == 5:
                break
        assert answered == 5
        assert set(metric("slipway_model_lane_inline").values()) == {0.0, 1.0}  # the one that hangs has not learnt yet
        release.touch()
        assert stuck.result().status == 200
    assert set(metric("slipway_model_lane_inline").values()) == {0.0}
    assert sorted(metric("slipway_model_stalls_total").values()) == [0.0, 1.0]
    assert "a model held its thread model=moody" in server.log()
    assert "a model held another thread model=moody" in server.log()


@pytest.mark.parametrize("where", ["load", "request"])
def test_a_hung_engine_does_not_keep_the_process(tmp_path, where):
    release = tmp_path / "release"
    if where == "request":
        release.touch()
    root = echo_repository(tmp_path, {"good": ECHO, "hang": ECHO + f"\nhang_until {release}"})
    server = Server([root], drain_grace="1s", ready=False).start()
    server.wait_until(lambda: server.get("/v2/models/good/ready").status == 200, "the good model")
    if where == "request":
        server.wait_until(lambda: server.get("/v2/models/hang/ready").status == 200, "the other model")
        release.unlink()
        threading.Thread(target=lambda: pytest.raises(Exception, server.infer, "hang", ONE), daemon=True).start()
        time.sleep(0.3)
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    code = server.process.wait(15)
    print(f"{where}: ended after {time.monotonic() - begin:.1f} s with {code}")
    assert code == -signal.SIGTERM, server.log()
    assert not any(mark in server.log() for mark in ("Sanitizer", "Assertion", "assertion failed")), server.log()
    assert ("ended while a model was loading" if where == "load" else "ended with requests unanswered") in server.log()


@pytest.mark.parametrize("kind", ["shape", "type", "size", "count", "data", "rank"])
def test_an_engine_that_returns_nonsense(tmp_path, start, kind):
    root = echo_repository(tmp_path, {"good": ECHO, "bad": ECHO + f"\nmalformed {kind}"})
    server = start([root], ready=False)
    server.wait_until(lambda: server.get("/v2/models/good/ready").status == 200, "the good model")
    server.wait_until(lambda: index(server)["bad"].get("state") in ("READY", "UNAVAILABLE"), "the bad model's verdict")
    for _ in range(3):
        reply = server.infer("bad", ONE)
        # Either it was found out while warming up, or it is this request's failure.
        assert reply.status in (400, 500) and reply.error(), reply
    bystander_is_well(server)


def test_nan_is_a_number_in_binary_and_told_in_json(tmp_path, start):
    server = start([echo_repository(tmp_path, {"nan": ECHO + "\nnan"})])
    reply = server.infer("nan", ONE, outputs=[{"name": "y", "parameters": {"binary_data": True}}])
    assert reply.status == 200
    assert math.isnan(struct.unpack("<f", reply.body[-4:])[0])
    reply = server.infer("nan", ONE)
    assert reply.status == 200 and math.isnan(reply.json()["outputs"][0]["data"][0]) or reply.error()


@pytest.mark.skipif(SANITIZED, reason="the leak is the test's")
def test_an_engine_that_leaks_is_told_apart(tmp_path, start):
    """A leaking engine grows; the same load on one that does not leaves the memory where it was."""
    root = echo_repository(tmp_path, {"leak": ECHO + "\nleak_bytes 100000", "good": ECHO})
    server = start([root])

    def growth(model):
        for _ in range(50):
            server.infer(model, ONE)
        before = rss(server)
        for _ in range(300):
            assert server.infer(model, ONE).status == 200
        return rss(server) - before
    good, leak = growth("good"), growth("leak")
    print(f"grown by {good / 1e6:.1f} MB, with the leak by {leak / 1e6:.1f} MB")
    assert good < 4e6 and leak > 20e6


def rss(server):
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


# ---- Descriptors, disk, memory


def test_out_of_descriptors_and_back(tmp_path, start):
    server = start([echo_repository(tmp_path, {"good": ECHO})], http_threads=1)
    used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 8, used + 8))
    connections, refused = [], 0
    for _ in range(30):
        connection = server.connect()
        connection.settimeout(0.3)
        connection.sendall(http_request("GET", "/v2/health/live"))
        try:
            data = connection.recv(4096)
        except (socket.timeout, ConnectionResetError):
            data = b""
        refused += data.startswith(b"HTTP/1.1 503 ")
        assert not data or data.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 200 ")), data
        connections.append(connection)
    assert refused > 0
    busy = cpu_seconds(server)
    time.sleep(0.5)
    assert cpu_seconds(server) - busy < 0.3  # it does not spin
    for connection in connections:
        connection.close()
    server.wait_until(lambda: server.get("/v2/health/live").status == 200, "recovery", 10)
    bystander_is_well(server)


def cpu_seconds(server):
    with open(f"/proc/{server.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_a_clear_error(tmp_path):
    """The only file the server writes is the port's; its log may go to a full disk and nothing else happens."""
    target = tmp_path / "port.new"
    target.symlink_to("/dev/full")
    done = subprocess.run([BINARY, "serve", str(MODELS / "doubleit_onnx"), "--http-port=0",
                           f"--http-port-file={tmp_path / 'port'}"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "No space left on device" in done.stderr and "port" in done.stderr, done
    assert not (tmp_path / "port").exists()


def test_a_log_on_a_full_disk_stops_nobody(tmp_path):
    port = tmp_path / "port"
    with open("/dev/full", "w") as full:
        process = subprocess.Popen([BINARY, "serve", str(echo_repository(tmp_path, {"good": ECHO})), "--http-port=0",
                                    f"--http-port-file={port}", "--http-access-log=true"], stdout=full, stderr=full)
    try:
        server = Server([])
        server.process = process
        server.log = lambda: ""
        server.wait_until(port.exists, "the port file")
        server.port = int(port.read_text())
        server.wait_until(lambda: server.get("/v2/health/ready").status == 200, "readiness")
        for _ in range(20):
            bystander_is_well(server)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.skipif(SANITIZED, reason="sanitizers reserve address space of their own")
def test_short_of_memory_refuses_and_goes_on(tmp_path, start):
    big = "input x FP32 [-1]\noutput y x"
    root = echo_repository(tmp_path, {"good": ECHO, "big": big})
    server = start([root], http_threads=1, http_body_bytes_max="1GiB", memory_request_bytes_max="1GiB")
    bystander_is_well(server)
    with open(f"/proc/{server.process.pid}/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    limit = size + 48 * 1024 * 1024
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, (limit, limit))
    count = 40 * 1024 * 1024
    with server.connect() as connection:
        try:
            connection.sendall(http_request("POST", "/v2/models/big/infer", b"", [f"Content-Length: {count * 4}"])
                               .replace(b"Content-Length: 0\r\n", b""))
            for _ in range(count * 4 // (1 << 20)):
                connection.sendall(b"\0" * (1 << 20))
        except OSError:
            pass  # refused before all was read
        answer = read_all(connection)
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 503 ", b"HTTP/1.1 400 ")), answer[:300]
    for _ in range(10):
        bystander_is_well(server)
    assert server.process.poll() is None


# ---- Clients


def test_clients_killed_in_the_middle(tmp_path, start):
    slow = "input x FP32 [1]\noutput y x\ndelay_us 30000"
    server = start([echo_repository(tmp_path, {"good": ECHO, "slow": slow})])
    request = http_request("POST", "/models/slow", b"[1]")
    reset = b"\1\0\0\0\0\0\0\0"
    for cut in [1, 10, len(request) - 1, len(request)] * 15:
        connection = server.connect()
        connection.sendall(request[:cut])
        if cut % 2:  # a reset instead of an end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        connection.close()
    bystander_is_well(server)
    server.wait_until(lambda: metric(server, "nv_inference_pending_request_count", "slow") == 0, "an empty queue", 20)
    assert server.infer("slow", ONE).status == 200


def metric(server, name, model):
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(name + "{") and f'model="{model}"' in line:
            return float(line.rpartition(" ")[2])
    return None


# ---- Files


def index(server):
    return {row["name"]: row for row in server.post("/v2/repository/index", {}).json()}


def test_one_bad_model_stops_nobody(tmp_path, start):
    root = echo_repository(tmp_path, {"good": ECHO, "refused": "fail_load EXHAUSTED", "garbage": "\0\1\2 no statement",
                                      "halves": ECHO + "\nfail_instance EXHAUSTED"})
    (root / "empty" / "1").mkdir(parents=True)
    (root / "torn" / "1").mkdir(parents=True)
    whole = (MODELS / "doubleit_onnx" / "1" / "model.onnx").read_bytes()
    (root / "torn" / "1" / "model.onnx").write_bytes(whole[:len(whole) // 2])
    (root / "junk" / "1").mkdir(parents=True)
    (root / "junk" / "1" / "model.pt").write_bytes(os.urandom(5000))
    server = start([root], ready=False)
    server.wait_until(lambda: server.get("/v2/models/good/ready").status == 200, "the good model")
    server.wait_until(lambda: all(row["state"] != "LOADING" for row in index(server).values()), "the end of all loads")
    rows = index(server)
    for name in ("refused", "garbage", "halves", "torn", "junk"):
        assert rows[name]["state"] == "UNAVAILABLE" and rows[name]["reason"], rows[name]
        assert server.infer(name, ONE).status in (400, 503)
    bystander_is_well(server)


def test_a_failed_reload_keeps_the_old(tmp_path, start):
    root = echo_repository(tmp_path, {"good": ECHO})
    server = start([root], model_control_mode="explicit", model_load="good")
    for text in ("fail_load EXHAUSTED\nend\n", ECHO + "\nfail_instance EXHAUSTED\nend\n", "nonsense", ""):
        (root / "good" / "1" / "model.echo").write_text(text)
        assert server.post("/v2/repository/models/good/load").status >= 400, text
        bystander_is_well(server)
    (root / "good" / "1" / "model.echo").write_text("input x INT32 [1]\noutput y x\nend\n")
    assert server.post("/v2/repository/models/good/load").status == 200
    assert server.infer("good", [tensor("x", "INT32", [1], [1])]).status == 200


@pytest.mark.parametrize("what", ["garbage", "half", "empty", "growing"])
@pytest.mark.parametrize("model,file", [("doubleit_onnx", "model.onnx"), ("doubleit", "model.pt")])
def test_a_file_that_goes_bad_while_polling(tmp_path, start, what, model, file):
    if model == "doubleit" and what not in ("garbage", "half"):
        pytest.skip("the same road as for ONNX")
    root = tmp_path / "repository"
    shutil.copytree(MODELS / model, root / model)
    path = next((root / model).glob(f"*/{file}"))
    whole = path.read_bytes()
    server = start([root], model_control_mode="poll", model_poll_interval="100ms")
    failed, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            reply = server.infer(model, [X])
            if reply.status != 200 or reply.json()["outputs"][0]["data"] != [2, 4, 6, 8, 10]:
                failed.append(reply)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        if what == "growing":  # as `cp` into the repository does it
            for part in range(10):
                path.write_bytes(whole[:len(whole) * part // 10])
                time.sleep(0.05)
        else:
            path.write_bytes({"garbage": os.urandom(3000), "half": whole[:len(whole) // 2], "empty": b""}[what])
            time.sleep(1)
        path.write_bytes(whole)
        time.sleep(0.5)
    finally:
        stop.set()
        thread.join()
    assert not failed, failed[:3]
    server.wait_until(lambda: server.get(f"/v2/models/{model}/ready").status == 200, "readiness", 10)


# ---- files that crash the engine


def misspelt_archive(path):
    """A TorchScript archive whose code is text that no compiler wrote: libtorch 1.13 crashes on it."""
    with zipfile.ZipFile(MODELS / "iris" / "1" / "model.pt") as whole, zipfile.ZipFile(path, "w") as damaged:
        for name in whole.namelist():
            data = whole.read(name)
            damaged.writestr(name, data.replace(b"__parameters__", b"__parametErs__") if name.endswith(".py") else data)


@pytest.mark.parametrize("kind", ["echo", "torch"])
def test_check_survives_a_file_that_crashes_its_engine(tmp_path, kind):
    if kind == "echo":
        path = echo_repository(tmp_path, {"bad": "input x FP32 [1]\noutput y x\ncrash_load 1"})
        reason = "is damaged or hostile: the engine 'echo' crashed on it in a trial (Aborted)"
    else:
        path = tmp_path / "bad.pt"
        misspelt_archive(path)
        reason = "bad.pt"  # a later libtorch may refuse it in order
    done = subprocess.run([BINARY, "check", path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 65, (done.returncode, done.stdout, done.stderr)
    assert "FAIL  load" in done.stdout and reason in done.stdout


@pytest.mark.parametrize("options", [{}, {"model_control_mode": "explicit", "model_load": "slow"}])
def test_a_model_that_is_still_loading_is_no_unknown_model(tmp_path, options):
    """A 400 would make clients give up what they need only send again."""
    root = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\nload_delay_us 3000000"})
    with Server([root], ready=False, **options) as server:
        server.wait_until(lambda: server.infer("slow", ONE).status != 400, "the repository was read")
        reply = server.infer("slow", ONE)
        assert reply.status == 503 and "no available versions" in reply.error(), reply.body
        assert int(reply.headers["Retry-After"]) > 0
        assert server.infer("nobody", ONE).status == 400
        server.wait_until(lambda: server.infer("slow", ONE).status == 200, "the model is loaded")


def test_a_trial_keeps_a_crash_out_of_the_server(tmp_path):
    root = echo_repository(tmp_path, {"bad": "input x FP32 [1]\noutput y x\ncrash_load 1",
                                      "good": "input x FP32 [1]\noutput y x",
                                      "moody": "input x FP32 [1]\noutput y x\nfail_load EXHAUSTED"})
    (root / "worse" / "1").mkdir(parents=True)
    misspelt_archive(root / "worse" / "1" / "model.pt")
    with Server([root], model_trial_load="on", ready=False, model_ready_requires_all="false") as server:
        server.wait_until(lambda: server.get("/v2/health/ready").status == 200, "readiness")
        assert server.infer("good", ONE).status == 200
        rows = {row["name"]: row for row in server.post("/v2/repository/index").json()}
        assert rows["good"]["state"] == "READY"
        assert "crashed on it in a trial" in rows["bad"]["reason"]
        assert "says that it cannot be loaded" in rows["moody"]["reason"]  # refused in order: the load's own words
        reason = rows["worse"]["reason"]
        assert rows["worse"]["state"] == "UNAVAILABLE"
        assert "model.pt" in reason or "__parametErs__" in reason, reason  # a later libtorch quotes the line


def test_a_trial_that_hangs_ends_with_its_server(tmp_path):
    gate = tmp_path / "gate"
    root = echo_repository(tmp_path, {"stuck": f"input x FP32 [1]\noutput y x\nhang_until {gate}"})
    server = Server([root], model_trial_load="on", ready=False, drain_grace="1s")
    server.expected_exit_code = -signal.SIGTERM  # what a load that is not over ends in
    with server:
        children = pathlib.Path(f"/proc/{server.process.pid}/task")

        def trials():
            return [int(child) for task in children.iterdir() for child in (task / "children").read_text().split()]

        server.wait_until(trials, "the trial")
        trial = trials()[0]
    server_gone = time.monotonic() + 10
    while pathlib.Path(f"/proc/{trial}").exists() and time.monotonic() < server_gone:
        if "Z" in pathlib.Path(f"/proc/{trial}/stat").read_text().rpartition(")")[2].split()[0]:
            break
        time.sleep(0.02)
    else:
        assert not pathlib.Path(f"/proc/{trial}").exists(), "the trial outlived its server"
