"""Queues: full ones answer at once, time-outs fire while waiting, priorities are refused or heeded, nobody is forgotten."""
import concurrent.futures
import threading
import time

from slipway import echo_repository, tensor

ONE = [tensor("x", "FP32", [1], [1])]
SLOW = "input x FP32 [1]\noutput y x\ndelay_us 300000"
ROWS = "input x FP32 [-1,1]\noutput y x\ndelay_us 50000"


def together(server, count, model="slow", **more):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(server.infer, model, ONE, **more) for _ in range(count)]
        return [future.result() for future in futures]


def test_a_full_queue_answers_at_once(tmp_path, start):
    server = start([echo_repository(tmp_path, {"slow": SLOW})], queue_size_max=2)
    replies = []

    def one():
        begin = time.monotonic()
        reply = server.infer("slow", ONE)
        replies.append((reply, time.monotonic() - begin))

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [(reply, seconds) for reply, seconds in replies if reply.status == 503]
    assert refused and len(refused) < 12
    for reply, seconds in refused:
        assert "Exceeds maximum queue size" in reply.error() and reply.headers["Retry-After"] == "1"
        assert seconds < 0.25
    assert all(reply.status in (200, 503) for reply, _ in replies)


def test_a_timeout_fires_while_waiting(tmp_path, start):
    server = start([echo_repository(tmp_path, {"slow": SLOW})])
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(server.infer, "slow", ONE)
        time.sleep(0.1)
        late = [pool.submit(server.infer, "slow", ONE, parameters={"timeout": 50000}) for _ in range(4)]
        replies = [future.result() for future in late]
        waited = time.monotonic() - begin
        assert first.result().status == 200
    expired = [reply for reply in replies if reply.status == 503]
    assert expired and all("Request timeout expired" in reply.error() for reply in expired)
    assert waited < 3


def test_rows_that_come_together_are_one_batch(tmp_path, start):
    root = echo_repository(tmp_path, {"rows": (ROWS, "max_batch_size: 16\ndynamic_batching { }\n")})
    server = start([root])
    row = [tensor("x", "FP32", [1, 1], [2.5])]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: server.infer("rows", row), range(32)))
    assert all(reply.json()["outputs"][0]["data"] == [2.5] for reply in replies)
    stats = server.get("/v2/models/rows/stats").json()["model_stats"][0]
    assert stats["inference_count"] == 32 and stats["execution_count"] < 24


def test_a_slow_model_does_not_hold_up_others(tmp_path, start):
    server = start([echo_repository(tmp_path, {"slow": SLOW, "quick": "input x FP32 [1]\noutput y x"})])
    server.infer("slow", ONE)
    thread = threading.Thread(target=lambda: together(server, 6))
    thread.start()
    time.sleep(0.2)
    begin = time.monotonic()
    for _ in range(10):
        assert server.infer("quick", ONE).status == 200
    assert time.monotonic() - begin < 1
    thread.join()


def test_clients_that_hang_up_while_waiting(tmp_path, start):
    server = start([echo_repository(tmp_path, {"slow": SLOW})])
    body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}'
    head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for _ in range(8):
        with server.connect() as connection:
            connection.sendall(head + body)
    time.sleep(0.5)
    begin = time.monotonic()
    assert server.infer("slow", ONE).status == 200
    assert time.monotonic() - begin < 2  # not behind eight that nobody waits for


def test_a_default_timeout_for_those_who_set_none(tmp_path, start):
    """queue.timeout holds where neither the model nor the request has a limit of its own."""
    patient = "max_batch_size: 0\ndynamic_batching { default_queue_policy { default_timeout_microseconds: 20000000 } }\n"
    root = echo_repository(tmp_path, {"slow": SLOW, "patient": (SLOW, patient)})
    server = start([root], queue_timeout="50ms")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        plain = [pool.submit(server.infer, "slow", ONE) for _ in range(4)]
        own = [pool.submit(server.infer, "slow", ONE, parameters={"timeout": 20000000}) for _ in range(2)]
        configured = [pool.submit(server.infer, "patient", ONE) for _ in range(3)]
        expired = [reply.result() for reply in plain if reply.result().status == 503]
        assert expired and all("Request timeout expired" in reply.error() for reply in expired)
        assert [reply.result().status for reply in own + configured] == [200] * 5
