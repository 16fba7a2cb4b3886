"""Memory over a long life: what a model took comes back, and requests leave nothing behind."""
import os
import pathlib
import resource
import subprocess
import time

import pytest

from slipway import BINARY, MODELS, X, Server

SANITIZED = bool(os.environ.get("SLIPWAY_SANITIZE", ""))
LOAD = pathlib.Path(BINARY).parent / "bench" / "load"
CYCLES = 200
MILLION = 1_000_000

pytestmark = pytest.mark.skipif(SANITIZED, reason="sanitizers keep freed memory")


def rss(server):
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def threads(server):
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


@pytest.mark.parametrize("model,bound_mb", [("doubleit_onnx", 6), ("doubleit", 12)])
def test_loads_and_unloads_give_the_memory_back(model, bound_mb):
    with Server([MODELS], model_control_mode="explicit", model_load=model) as server:
        marks = []
        for cycle in range(CYCLES + 1):
            assert server.infer(model, [X]).json()["outputs"][0]["data"] == [2, 4, 6, 8, 10]
            assert server.post(f"/v2/repository/models/{model}/unload").status == 200
            server.wait_until(lambda: server.infer(model, [X]).status == 400, "the unload", 10)
            if cycle % 20 == 0:
                time.sleep(0.1)  # unloading goes on behind the answer
                marks.append((cycle, rss(server), descriptors(server), threads(server)))
            assert server.post(f"/v2/repository/models/{model}/load").status == 200
        print(f"\n{model}: RSS in MB unloaded, after cycles: "
              + ", ".join(f"{cycle}: {size / 1e6:.1f}" for cycle, size, _, _ in marks))
        growth = marks[-1][1] - marks[1][1]
        print(f"{model}: {growth / 1e6:+.2f} MB from cycle {marks[1][0]} to {marks[-1][0]}")
        assert growth < bound_mb * 1e6
        assert marks[-1][2] <= marks[1][2] + 2 and marks[-1][3] <= marks[1][3] + 2


# What is recorded fills the database's page cache and the rings in front of it, up to their limits: without records a leak
# of the request path itself shows; with them, and a small cache that the first load fills, one of the recorder.
@pytest.mark.parametrize("options,bound_mb", [({"record_sync": "none"}, 2),
                                              ({"record_sync": "all", "data_cache_bytes": "1MiB"}, 4)])
@pytest.mark.skipif(not LOAD.exists(), reason="needs the load generator beside the program")
def test_a_million_requests_leave_nothing_behind(options, bound_mb):
    body = "[1,2,3,4,5]"
    with Server([MODELS / "doubleit_onnx"], http_threads=1, **options) as server:
        def load(count):
            done = subprocess.run([LOAD, str(server.port), "64", f"{count}x", "/models/doubleit_onnx", body],
                                  capture_output=True, text=True, timeout=60, check=True)
            assert " errors 0" in done.stdout, done.stdout
            return done.stdout.strip()
        load(50_000 if options["record_sync"] == "none" else 300_000)
        before, begin = rss(server), time.monotonic()
        text = load(MILLION)
        seconds = time.monotonic() - begin
        growth = rss(server) - before
        print(f"\n{MILLION} requests in {seconds:.1f} s ({text}): RSS {before / 1e6:.1f} MB {growth / 1e6:+.2f} MB")
        assert growth < bound_mb * 1e6 and seconds < 60
        assert server.infer("doubleit_onnx", [X]).status == 200


def test_many_sizes_leave_nothing_behind():
    """Bodies and answers of all sizes, connections that come and go: the pools reach their size and stay."""
    with Server([MODELS / "iris_onnx"], http_threads=1, record_sync="none") as server:
        def rounds(count):
            for number in range(count):
                rows = 1 + (number * 37) % 3000
                body = {"inputs": [{"name": server.input, "datatype": "FP32", "shape": [rows, 4], "data": [1.5] * (rows * 4)}]}
                assert server.post("/v2/models/iris_onnx/infer", body).status in (200, 400)
        server.input = server.get("/v2/models/iris_onnx").json()["inputs"][0]["name"]
        rounds(150)
        before = rss(server)
        rounds(300)
        growth = rss(server) - before
        print(f"\n300 requests of up to 3,000 rows: RSS {before / 1e6:.1f} MB {growth / 1e6:+.2f} MB")
        assert growth < 8e6
