"""Prefer: respond-async, wait=N (RFC 7240): the answer itself if it is there in time, else the job."""
import time

import pytest

from slipway import MODELS, X, Server, echo_repository, tensor

SLOW = {"inputs": [tensor("x", "FP32", [1], [1])]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("prefer")
    echo = echo_repository(path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 3000000"})
    with Server([MODELS / "doubleit", echo], data_directory=path / "data") as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        yield server


def ask(server, prefer, path="/v2/models/doubleit/infer", body=None):
    return server.post(path, body or {"inputs": [X]}, headers={"Prefer": prefer}, timeout=60)


@pytest.mark.parametrize("path", ["/v2/models/doubleit/infer", "/models/doubleit"])
def test_what_is_done_in_time_is_answered_as_if_it_were_no_job(server, path):
    body = [1, 2, 3, 4, 5] if path == "/models/doubleit" else {"inputs": [X]}
    plain = server.post(path, body)
    reply = ask(server, "respond-async, wait=30", path, body)
    assert (reply.status, reply.body) == (200, plain.body)
    assert reply.headers["Preference-Applied"] == "wait=30"


def test_what_takes_longer_is_a_job(server):
    start = time.monotonic()
    reply = ask(server, "respond-async, wait=1", "/v2/models/slow/infer", SLOW)
    assert reply.status == 202 and time.monotonic() - start >= 1
    assert reply.headers["Preference-Applied"] == "respond-async, wait=1"
    job = reply.json()
    assert reply.headers["Location"] == f"/v2/jobs/{job['id']}" and job["state"] in ("pending", "running")
    assert server.get(f"/v2/jobs/{job['id']}?wait=30", timeout=40).json()["state"] == "succeeded"


@pytest.mark.parametrize("prefer", ["respond-async", "respond-async, wait=soon", "respond-async, wait=0"])
def test_without_a_wait_it_is_a_job_at_once(server, prefer):
    reply = ask(server, prefer, "/v2/models/slow/infer", SLOW)
    assert reply.status == 202 and reply.headers["Preference-Applied"].startswith("respond-async")
    server.get(f"/v2/jobs/{reply.json()['id']}?wait=30", timeout=40)


def test_a_wait_alone_changes_nothing(server):
    reply = ask(server, "wait=5")
    assert reply.status == 200 and reply.headers["Preference-Applied"] is None


def test_a_known_key_that_is_over_gives_its_answer(server):
    headers = {"Prefer": "respond-async, wait=30", "Idempotency-Key": "twice"}
    first = server.post("/v2/models/doubleit/infer", {"inputs": [X]}, headers=headers)
    again = server.post("/v2/models/doubleit/infer", {"inputs": [X]}, headers=headers)
    assert (first.status, again.status) == (200, 200) and first.body == again.body


def test_a_client_that_leaves_meanwhile_leaves_the_job(server):
    with pytest.raises(TimeoutError):
        server.post("/v2/models/slow/infer", SLOW, headers={"Prefer": "respond-async, wait=30"}, timeout=0.5)
    job = server.get("/v2/jobs?model=slow&limit=1").json()["jobs"][0]["id"]
    assert server.get(f"/v2/jobs/{job}?wait=30", timeout=40).json()["state"] == "succeeded"
