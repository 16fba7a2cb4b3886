"""Requests that ask the same, and answers that keep the order of their requests."""
import concurrent.futures
import json
import select

import pytest

from slipway import Server, echo_repository, http_request, read_all, tensor

CACHE = "response_cache { enable: true }\n"
RUNNER = 'parameters { key: "placement" value { string_value: "runner" } }\n'


def counts(server, model):
    stats = server.get(f"/v2/models/{model}/stats").json()["model_stats"][0]
    return stats["execution_count"], stats["inference_stats"]["cache_hit"]["count"]


def test_requests_that_ask_the_same_at_the_same_time_run_once(tmp_path):
    root = echo_repository(tmp_path, {"slow": ("input x FP32 [4]\noutput y x\ndelay_us 400000", CACHE)})
    with Server([root], cache_bytes_max="1MiB", http_threads=1) as server:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            replies = list(pool.map(lambda _: server.infer("slow", [tensor("x", "FP32", [4], [1, 2, 3, 4])]), range(12)))
        assert all(reply.status == 200 and reply.json()["outputs"][0]["data"] == [1, 2, 3, 4] for reply in replies)
        assert counts(server, "slow") == (1, 11)


def test_who_hangs_up_takes_nobody_along(tmp_path):
    gate = tmp_path / "gate"
    gate.touch()  # for the warm-up
    root = echo_repository(tmp_path, {"slow": (f"input x FP32 [4]\noutput y x\nhang_until {gate}", CACHE + RUNNER)})
    body = json.dumps({"inputs": [tensor("x", "FP32", [4], [1, 2, 3, 4])]}).encode()
    with Server([root], cache_bytes_max="1MiB", http_threads=1) as server:
        gate.unlink()
        request = http_request("POST", "/v2/models/slow/infer", body, ["Connection: close"])
        first, second = server.connect(), server.connect()
        first.sendall(request)
        assert server.get("/v2/health/live").status == 200  # the one thread has read what came before
        second.sendall(request)
        first.close()
        gate.touch()
        assert b"200 OK" in read_all(second)
        second.close()


CONFIG = """max_batch_size: 1
instance_group [ {{ count: 2 }} ]
dynamic_batching {{ {} }}
"""


@pytest.mark.parametrize("ordered", [True, False])
def test_an_answer_waits_for_that_of_an_earlier_request(tmp_path, ordered):
    gate = tmp_path / "gate"
    root = echo_repository(tmp_path, {
        "m": (f"input x FP32 [-1,4]\noutput y x\nhang_until {gate}\nhang_negative 1",
              RUNNER + CONFIG.format("preserve_ordering: true" if ordered else ""))})

    def send(server, first):
        body = json.dumps({"inputs": [tensor("x", "FP32", [1, 4], [first, 2, 3, 4])]}).encode()
        connection = server.connect()
        connection.sendall(http_request("POST", "/v2/models/m/infer", body, ["Connection: close"]))
        return connection

    with Server([root], http_threads=1) as server:
        with send(server, -1) as early:
            assert server.get("/v2/health/live").status == 200  # the one thread has read what came before
            with send(server, 5) as late:
                readable, _, _ = select.select([late], [], [], 0.5 if ordered else 20)
                assert bool(readable) == (not ordered)
                gate.touch()
                assert b"[-1" in read_all(early).replace(b" ", b"")
                assert b"[5" in read_all(late).replace(b" ", b"")


def test_an_order_with_priorities_is_refused(tmp_path):
    root = echo_repository(tmp_path, {"m": (
        "input x FP32 [-1,4]\noutput y x",
        CONFIG.format("preserve_ordering: true priority_levels: 2 default_priority_level: 1"))})
    with Server([root], ready=False, model_ready_requires_all="false") as server:
        server.wait_until(lambda: "one priority level" in server.post("/v2/repository/index").body.decode(), "a reason")
