"""`slipway lambda` on a managed instance: AWS_LAMBDA_MAX_CONCURRENCY events at a time in one process, each with its own
deadline, trace and answer."""
import json
import re
import signal
import sqlite3

import pytest
from runtime_api import ConcurrentApi, Fault, RuntimeApi, failures, metric_lines, record, records
from slipway import MODELS, START_TIMEOUT_S

DOUBLEIT = MODELS / "doubleit_batch_onnx"


def request_of(post):
    return post[0].split("/")[-2]


def trace(number):
    return f"Root=1-{number:08x}-{number:024x};Parent={number + 1:016x};Sampled=1"


def collect(api, count):
    return {request_of(post): post for post in (api.posts.get(timeout=START_TIMEOUT_S) for _ in range(count))}


def rows(value, width=5):
    return [[value] * width]


def test_events_overlap_and_stay_apart():
    """No answer is accepted before all are there: one after the other would never end."""
    with ConcurrentApi(4) as api:
        process = api.start(DOUBLEIT, "--results", "none")
        assert api.waiting.wait(START_TIMEOUT_S)
        for turn in range(5):
            api.gate.clear()
            for number in range(4):
                name = f"r{turn}-{number}"
                api.send(b"{" if number == 2 else rows(number + turn), name, seconds=0 if number == 3 else 60,
                         **{"Lambda-Runtime-Trace-Id": trace(100 * turn + number + 1)})
            posts = collect(api, 4)
            api.gate.set()
            for number in (0, 1):
                path, _, body = posts[f"r{turn}-{number}"]
                assert path.endswith("/response") and json.loads(body) == rows(2 * (number + turn))
            for number, kind in ((2, "Function.BadInput"), (3, "Function.DeadlineExceeded")):
                path, headers, body = posts[f"r{turn}-{number}"]
                assert path.endswith("/error") and headers["Lambda-Runtime-Function-Error-Type"] == kind, body
        out, _ = api.stop(process)
        assert api.most == 4
    lines = {line["RequestId"]: line for line in metric_lines(out)}
    assert len(lines) == 20 and sum("InitLatency" in line for line in lines.values()) == 1
    for name, line in lines.items():
        turn, number = map(int, re.findall(r"\d+", name))
        assert line["TraceId"] == f"{100 * turn + number + 1:08x}{100 * turn + number + 1:024x}"
        assert line.get("InvocationsFailed", 0) == (number > 1)


def test_batches_and_http_beside_each_other(tmp_path):
    with ConcurrentApi(3) as api:
        process = api.start(DOUBLEIT, "--data-url", f"sqlite:{tmp_path}/r.db")
        api.gate.clear()
        for turn in range(2):
            batch = records(*(record(f"m{turn}-{i}", "x" if i == 1 else "[[1,2,3,4,5]]") for i in range(3)))
            api.send(batch, f"b{turn}")
        api.send({"version": "2.0", "rawPath": "/v2/health/ready", "headers": {},
                  "requestContext": {"http": {"method": "GET"}}}, "h")
        posts = collect(api, 3)
        api.gate.set()
        assert failures(posts["b0"]) == ["m0-1"] and failures(posts["b1"]) == ["m1-1"]
        assert json.loads(posts["h"][2])["statusCode"] == 200
        api.stop(process)
    with sqlite3.connect(f"{tmp_path}/r.db") as database:
        found = [key for (key,) in database.execute("SELECT key FROM records ORDER BY key")]
    assert found == [f"m{turn}-{i}" for turn in range(2) for i in range(3)]


def test_checks_beside_inferences():
    with ConcurrentApi(3) as api:
        process = api.start(DOUBLEIT, "--results", "none")
        api.gate.clear()
        for name in ("c0", "c1"):
            api.send({"slipway": {"task": "check"}}, name)
        api.send(rows(1), "d")
        posts = collect(api, 3)
        api.gate.set()
        assert all(json.loads(posts[name][2])["ok"] for name in ("c0", "c1"))
        assert json.loads(posts["d"][2]) == rows(2)
        api.stop(process)


@pytest.mark.parametrize("kind", ["500", "half"])
def test_a_failure_of_one_ends_all_when_they_have_answered(kind):
    with ConcurrentApi(3) as api:
        process = api.start(DOUBLEIT, "--results", "none")
        assert api.waiting.wait(START_TIMEOUT_S)
        api.gate.clear()
        api.send(rows(7), "last")
        path, _, body = api.posts.get(timeout=START_TIMEOUT_S)
        api.events.put(Fault(kind))
        assert api.misbehaved.wait(START_TIMEOUT_S)
        api.gate.set()  # the others stop waiting, this one is still taken
        process.communicate(timeout=START_TIMEOUT_S)
        assert path.endswith("/last/response") and json.loads(body) == rows(14)
        assert process.returncode > 0 and api.posts.empty()


def test_sigterm_ends_all():
    with ConcurrentApi(8) as api:
        process = api.start(DOUBLEIT, "--results", "none")
        assert api.waiting.wait(START_TIMEOUT_S)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=START_TIMEOUT_S)
        assert process.returncode == 0 and "Sanitizer" not in err, err


@pytest.mark.parametrize("text", ["0", "x", "-1", "1.5"])
def test_a_concurrency_that_is_none(text):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none", AWS_LAMBDA_MAX_CONCURRENCY=text)
        path, _, body = api.posts.get(timeout=START_TIMEOUT_S)
        process.communicate(timeout=START_TIMEOUT_S)
        assert path.endswith("/init/error") and "AWS_LAMBDA_MAX_CONCURRENCY" in json.loads(body)["errorMessage"]


def test_more_than_may_be_are_taken_as_far_as_they_may():
    with ConcurrentApi(64) as api:
        process = api.start(DOUBLEIT, "--results", "none", AWS_LAMBDA_MAX_CONCURRENCY="1600")
        assert api.waiting.wait(START_TIMEOUT_S)
        assert json.loads(api.invoke(rows(3))[2]) == rows(6)
        _, err = api.stop(process)
        assert "fewer events at a time" in err


def test_without_it_one_at_a_time():
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none")
        assert json.loads(api.invoke(rows(3))[2]) == rows(6)
        api.stop(process)
