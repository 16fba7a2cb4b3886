"""Jobs over HTTP: accepted now, run later, each answered once; what becomes of them when things go wrong."""
import concurrent.futures
import json
import signal
import socket
import struct
import time

import pytest

from slipway import MODELS, X, Server, echo_repository, tensor

ONE = {"inputs": [tensor("x", "FP32", [1], [1])]}
STATES = {"pending", "running", "succeeded", "failed", "cancelled", "expired"}


def number(value):
    return {"inputs": [tensor("x", "FP32", [1], [value])]}


def wait_for_jobs(server):
    """The data store is opened beside the start: jobs are refused until it is."""
    server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
    return server


@pytest.fixture
def keep(tmp_path):
    """keep(models, **options) -> a server whose data lie in one place for the whole test; started and stopped by hand."""
    servers = []

    def make(models, **options):
        options.setdefault("data_directory", tmp_path / "data")
        server = Server(models, **options)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("jobs")
    echo = echo_repository(root, {
        "slow": "input x FP32 [1]\noutput y x\ndelay_us 700000",
        "picky": "input x FP32 [1]\noutput y x\nfail_negative INVALID_ARGUMENT",
        "frail": "input x FP32 [1]\noutput y x\nfail_every 2 UNAVAILABLE",
    })
    with Server([MODELS, echo], data_directory=root / "data") as running:
        yield wait_for_jobs(running)


def submit(server, model="doubleit", body=None, path=None, **arguments):
    reply = server.post(path or f"/v2/models/{model}/jobs", body if body is not None else {"inputs": [X]}, **arguments)
    assert reply.status in (200, 202), reply
    return reply.json()


def finished(server, job, wait=20):
    reply = server.get(f"/v2/jobs/{job['id']}?wait={wait}", timeout=wait + 10)
    assert reply.status == 200, reply
    return reply.json()


# ---- the plain way


def test_a_job_is_accepted_and_answered(server):
    reply = server.post("/v2/models/doubleit/jobs", {"id": "mine", "inputs": [X]})
    assert reply.status == 202
    job = reply.json()
    assert reply.headers["Location"] == f"/v2/jobs/{job['id']}" and job["state"] == "pending"
    done = finished(server, job)
    assert done["state"] == "succeeded" and done["progress"] == 1 and done["attempts"] == 1, done
    assert done["result"]["outputs"][0]["data"] == [2, 4, 6, 8, 10] and done["result"]["id"] == "mine"
    assert done["received_at"] <= done["started_at"] <= done["done_at"]


def test_the_result_is_what_the_synchronous_call_answers(server):
    body = json.dumps({"id": "a", "inputs": [X]})
    sync = server.post("/v2/models/doubleit/infer", body)
    job = submit(server, body=body)
    later = server.get(f"/v2/jobs/{job['id']}/result?wait=20")
    assert (later.status, later.body) == (sync.status, sync.body)
    assert later.headers["Content-Type"] == sync.headers["Content-Type"]


def test_binary_tensors_go_and_come_back_as_bytes(server):
    header = json.dumps({"inputs": [{"name": "x", "datatype": "INT64", "shape": [3], "parameters": {"binary_data_size": 24}}],
                         "parameters": {"binary_data_output": True}}).encode()
    body = header + struct.pack("<3q", 1, 2, 3)
    headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
    sync = server.post("/v2/models/doubleit/infer", body, headers=headers)
    job = submit(server, body=body, headers=headers)
    later = server.get(f"/v2/jobs/{job['id']}/result?wait=20")
    assert (later.status, later.body) == (200, sync.body)
    assert later.headers["Inference-Header-Content-Length"] == sync.headers["Inference-Header-Content-Length"]
    assert later.body.endswith(struct.pack("<3q", 2, 4, 6))


@pytest.mark.parametrize("path,body", [
    ("/v2/models/doubleit/infer", json.dumps({"inputs": [X]})),
    ("/v1/models/doubleit:predict", '{"instances":[1,2,3]}'),
    ("/models/doubleit", "[1,2,3,4,5]"),
])
def test_every_inference_can_be_asked_for_later(server, path, body):
    sync = server.post(path, body)
    assert sync.status == 200
    job = submit(server, path=path, body=body, headers={"Prefer": "respond-async"})
    later = server.get(f"/v2/jobs/{job['id']}/result?wait=20")
    assert (later.status, later.body) == (200, sync.body)


def test_a_job_can_be_wrapped(server):
    job = submit(server, body={"request": {"inputs": [X]}, "priority": 2, "ttl": "1h", "idempotency_key": "wrapped"})
    assert job["priority"] == 2 and job["idempotency_key"] == "wrapped" and "expires_at" in job
    assert finished(server, job)["result"]["outputs"][0]["data"] == [2, 4, 6, 8, 10]


def test_an_input_too_large_for_a_message_is_run_too(server):
    data = list(range(300000))
    job = submit(server, body={"inputs": [tensor("x", "INT64", [len(data)], data)]})
    done = finished(server, job)
    assert done["state"] == "succeeded" and done["result"]["outputs"][0]["data"] == [2 * value for value in data]


def test_a_job_is_refused_until_its_queues_are_there_and_never_misled(start, tmp_path):
    for life in range(5):  # a new data store each time
        server = start([MODELS / "doubleit"], data_directory=tmp_path / str(life))
        reply = server.post("/v2/models/doubleit/jobs", {"inputs": [X]})
        while reply.status == 503:
            assert "opened" in reply.error()
            reply = server.post("/v2/models/doubleit/jobs", {"inputs": [X]})
        assert reply.status == 202, reply
        server.stop()


# ---- what is wrong is refused at once


@pytest.mark.parametrize("model,body,status", [
    ("nothing", {"inputs": [X]}, 400),
    ("doubleit/versions/99", {"inputs": [X]}, 404),
    ("doubleit", "{", 400),
    ("doubleit", {"inputs": []}, 400),
    ("doubleit", {"inputs": [tensor("x", "INT64", [4], [1, 2])]}, 500),  # Triton's status, as for the synchronous call
    ("doubleit", {"inputs": [tensor("z", "INT64", [1], [1])]}, 400),
    ("doubleit", {"request": {"inputs": [X]}, "surprise": 1}, 400),
    ("doubleit", {"request": {"inputs": [X]}, "priority": 10}, 400),
    ("doubleit", {"request": {"inputs": [X]}, "delay": "soon"}, 400),
    ("doubleit", {"request": {"inputs": [X]}, "delay": "10s", "ttl": "5s"}, 400),
])
def test_what_is_wrong_is_refused_at_submission(server, model, body, status):
    reply = server.post(f"/v2/models/{model}/jobs", body)
    assert reply.status == status and reply.error()


def test_callbacks_are_refused_unless_allowed(server):
    reply = server.post("/v2/models/doubleit/jobs?callback=http://127.0.0.1:1/x", {"inputs": [X]})
    assert reply.status == 403 and "callback" in reply.error()


def test_unknown_jobs(server):
    for path in ["/v2/jobs/nonsense", "/v2/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/v2/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV/result",
                 "/v2/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV/events"]:
        assert server.get(path).status == 404, path
    for verb in ["cancel", "retry"]:
        assert server.post(f"/v2/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV/{verb}").status == 404


def test_a_synchronous_record_is_no_job(server):
    assert server.get("/v2/jobs?wait=x").status == 200  # no parameter of the list
    assert server.get("/v2/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV?wait=x").status == 400


# ---- idempotency


def test_the_same_key_and_input_is_the_same_job(server):
    first = submit(server, headers={"Idempotency-Key": "k1"})
    finished(server, first)
    again = server.post("/v2/models/doubleit/jobs", {"inputs": [X]}, headers={"Idempotency-Key": "k1"})
    assert again.status == 200 and again.json()["id"] == first["id"]
    assert again.json()["result"]["outputs"][0]["data"] == [2, 4, 6, 8, 10]


def test_the_same_key_with_another_input_is_a_conflict(server):
    submit(server, headers={"Idempotency-Key": "k2"})
    other = server.post("/v2/models/doubleit/jobs", {"inputs": [tensor("x", "INT64", [1], [7])]},
                        headers={"Idempotency-Key": "k2"})
    assert other.status == 409 and "k2" in other.error()


def test_one_key_many_times_at_once_is_one_job(server):
    def one(_):
        return submit(server, headers={"Idempotency-Key": "k3"})["id"]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(one, range(48)))
    assert len(ids) == 1


# ---- the list


def test_jobs_are_listed_by_page_and_filter(server):
    ids = [submit(server, path="/v2/models/doubleit/jobs?group=listed")["id"] for _ in range(7)]
    for one in ids:
        finished(server, {"id": one})
    seen, cursor = [], ""
    while True:
        page = server.get(f"/v2/jobs?group=listed&limit=3{cursor}").json()
        assert len(page["jobs"]) <= 3
        seen += [job["id"] for job in page["jobs"]]
        if "next" not in page:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == sorted(ids, reverse=True)
    assert [job["id"] for job in server.get("/v2/jobs?group=listed&order=oldest").json()["jobs"]] == ids
    assert server.get("/v2/jobs?group=listed&state=failed").json()["jobs"] == []
    assert len(server.get("/v2/jobs?group=listed&state=failed,succeeded").json()["jobs"]) == 7
    for bad in ["state=done", "limit=0", "limit=x", "cursor=nonsense", "since=yesterday"]:
        assert server.get(f"/v2/jobs?{bad}").status == 400, bad


# ---- when


def test_a_delayed_job_starts_later(server):
    start = time.monotonic()
    job = submit(server, path="/v2/models/doubleit/jobs?delay=1500ms")
    assert job["start_at"] > job["received_at"]
    assert finished(server, job)["state"] == "succeeded" and time.monotonic() - start >= 1.4


def test_a_delayed_job_of_a_group_holds_its_group(server):
    first = submit(server, path="/v2/models/doubleit/jobs?delay=1500ms&group=held")
    second = submit(server, path="/v2/models/doubleit/jobs?group=held")
    second, first = finished(server, second), finished(server, first)
    assert first["state"] == second["state"] == "succeeded" and first["done_at"] <= second["done_at"]


def test_a_job_whose_time_is_over_is_not_run(server):
    blocker = submit(server, "slow", ONE, path="/v2/models/slow/jobs?group=expiring")
    job = submit(server, "slow", ONE, path="/v2/models/slow/jobs?group=expiring&ttl=100ms")
    assert finished(server, blocker)["state"] == "succeeded"
    done = finished(server, job)
    assert done["state"] == "expired" and "result" not in done, done
    assert server.get(f"/v2/jobs/{job['id']}/result").status == 410


def test_a_long_poll_ends_when_its_time_does(server):
    job = submit(server, path="/v2/models/doubleit/jobs?delay=1h")
    start = time.monotonic()
    reply = server.get(f"/v2/jobs/{job['id']}?wait=1")
    assert 0.9 <= time.monotonic() - start < 10 and reply.json()["state"] == "pending"
    assert server.get(f"/v2/jobs/{job['id']}/result").status == 202
    server.request("DELETE", f"/v2/jobs/{job['id']}")


# ---- cancelled and run again


def test_a_waiting_job_is_cancelled(server):
    job = submit(server, path="/v2/models/doubleit/jobs?delay=1h")
    reply = server.post(f"/v2/jobs/{job['id']}/cancel")
    assert reply.status == 200 and reply.json()["state"] == "cancelled"
    assert server.request("DELETE", f"/v2/jobs/{job['id']}").status == 200  # twice is once
    assert finished(server, job)["state"] == "cancelled"
    assert server.get(f"/v2/jobs/{job['id']}/result").status == 410


def test_a_running_job_is_cancelled_and_its_result_is_not_kept(server):
    job = submit(server, "slow", ONE)
    server.wait_until(lambda: server.get(f"/v2/jobs/{job['id']}").json()["state"] == "running", "the run")
    assert server.post(f"/v2/jobs/{job['id']}/cancel").status == 200
    time.sleep(1)
    done = finished(server, job)
    assert done["state"] == "cancelled" and "result" not in done


def test_a_finished_job_is_not_cancelled(server):
    job = finished(server, submit(server))
    reply = server.post(f"/v2/jobs/{job['id']}/cancel")
    assert reply.status == 409 and "succeeded" in reply.error()
    assert server.post(f"/v2/jobs/{job['id']}/retry").status == 409


def test_a_cancelled_job_is_run_again(server):
    job = submit(server, path="/v2/models/doubleit/jobs?delay=1s")
    server.post(f"/v2/jobs/{job['id']}/cancel")
    assert server.post(f"/v2/jobs/{job['id']}/retry").status == 202
    assert finished(server, job)["result"]["outputs"][0]["data"] == [2, 4, 6, 8, 10]


# ---- failures


def test_poison_fails_at_once_and_its_neighbours_do_not_notice(server):
    bad = submit(server, "picky", number(-1))
    good = [submit(server, "picky", number(1)) for _ in range(5)]
    done = finished(server, bad)
    assert done["state"] == "failed" and done["code"] == "INVALID_ARGUMENT" and done["error"] and done["attempts"] == 1
    assert [finished(server, job)["state"] for job in good] == ["succeeded"] * 5
    assert server.get(f"/v2/jobs/{bad['id']}/result").status == 400


def test_poison_in_a_group_lets_the_group_go_on(server):
    values = [1, -1, 2, -1, 3]
    jobs = [submit(server, "picky", number(value), path="/v2/models/picky/jobs?group=poisoned") for value in values]
    states = [finished(server, job)["state"] for job in jobs]
    assert states == ["succeeded", "failed", "succeeded", "failed", "succeeded"]


def test_what_may_pass_is_tried_again(server):
    jobs = [submit(server, "frail", number(value)) for value in range(4)]
    done = [finished(server, job, 60) for job in jobs]
    assert {job["state"] for job in done} == {"succeeded"}, done
    assert max(job["attempts"] for job in done) > 1


# ---- events


def read_events(server, job, headers=""):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"GET /v2/jobs/{job['id']}/events HTTP/1.0\r\n{headers}\r\n".encode())
        data = b""
        while piece := connection.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"text/event-stream" in head, head
    events = []
    for block in body.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def test_events_tell_what_happens(server):
    job = submit(server, "slow", ONE)
    events = read_events(server, job)
    names = [name for _, name, _ in events]
    assert names == ["pending", "running", "succeeded"], names
    numbers = [event for event, _, _ in events]
    assert numbers == sorted(set(numbers)) and events[-1][2]["id"] == job["id"]
    assert read_events(server, job, f"Last-Event-ID: {numbers[1]}\r\n") == events[2:]


def test_a_client_that_leaves_its_events_costs_nothing(server):
    job = submit(server, path="/v2/models/doubleit/jobs?delay=1h")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(f"GET /v2/jobs/{job['id']}/events HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            data = b""
            while b"event: pending" not in data:
                piece = connection.recv(65536)
                assert piece, data
                data += piece
    server.request("DELETE", f"/v2/jobs/{job['id']}")
    assert server.get("/v2/health/live").status == 200


# ---- without a store


def test_without_a_store_jobs_are_refused_and_inference_goes_on(start):
    server = start([MODELS / "doubleit"], data_url="none")
    for reply in [server.post("/v2/models/doubleit/jobs", {"inputs": [X]}), server.get("/v2/jobs")]:
        assert reply.status == 503 and reply.headers["Retry-After"] and "data.url" in reply.error()
    assert server.infer("doubleit", [X]).status == 200


# ---- through restarts


def test_jobs_survive_a_restart(keep, tmp_path):
    first = keep([MODELS / "doubleit"], worker_enabled="false")
    wait_for_jobs(first.start())
    jobs = [submit(first) for _ in range(10)]
    first.stop()
    second = keep([MODELS / "doubleit"])
    wait_for_jobs(second.start())
    assert all(finished(second, job)["state"] == "succeeded" for job in jobs)


def test_sigterm_drains_what_runs_and_gives_back_the_rest(keep, tmp_path):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 300000"})
    first = keep([echo], worker_in_flight_max=2)
    wait_for_jobs(first.start())
    jobs = [submit(first, "slow", number(value)) for value in range(8)]
    time.sleep(0.5)
    first.stop()
    second = keep([echo])
    wait_for_jobs(second.start())
    done = [finished(second, job) for job in jobs]
    assert [job["result"]["outputs"][0]["data"] for job in done] == [[value] for value in range(8)]
    assert {job["attempts"] for job in done} == {1}


def test_a_long_poll_does_not_hold_up_the_end(keep):
    server = keep([MODELS / "doubleit"])
    wait_for_jobs(server.start())
    job = submit(server, path="/v2/models/doubleit/jobs?delay=1h")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.get, f"/v2/jobs/{job['id']}?wait=50", timeout=60)
        time.sleep(0.5)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        reply = waiting.result()
        assert reply.status == 200 and reply.json()["state"] == "pending"
        assert server.process.wait(30) == 0 and time.monotonic() - start < 15


@pytest.mark.parametrize("round_number", range(3))
def test_kill_9_of_the_server_loses_and_repeats_nothing(keep, tmp_path, round_number):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 20000"})
    options = {"worker_visibility": "2s", "worker_in_flight_max": 8}
    accepted = []
    for life in range(3):
        server = keep([echo], **options)
        wait_for_jobs(server.start())
        for value in range(20):
            group = f"?group=g{value % 3}" if value % 2 else ""
            reply = server.post(f"/v2/models/slow/jobs{group}", number(100 * life + value))
            assert reply.status == 202
            accepted.append((reply.json()["id"], 100 * life + value, group))
        time.sleep(0.05 * round_number + 0.02)
        server.process.kill()
        server.process.wait()
        server.process = None
    server = keep([echo], **options)
    wait_for_jobs(server.start())
    done = {job: finished(server, {"id": job}, 60) for job, _, _ in accepted}
    for job, value, _ in accepted:
        assert done[job]["state"] == "succeeded", done[job]
        assert done[job]["result"]["outputs"][0]["data"] == [value]
    for group in {group for _, _, group in accepted if group}:
        times = [done[job]["done_at"] for job, _, one in accepted if one == group]
        assert times == sorted(times), group
    listed = server.get("/v2/jobs?limit=1000").json()["jobs"]
    assert len(listed) == len(accepted)
