"""What queues, jobs and results are kept in: memory, a file that something is wrong with, a file from another time."""
import os
import pathlib
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from slipway import BINARY, MODELS, Server, X
from sqs_boto import SqsServer, bodies, connect, receive, send

DOUBLEIT = MODELS / "doubleit"


def finished(server, job, wait=20):
    reply = server.get(f"/v2/jobs/{job['id']}?wait={wait}", timeout=wait + 10)
    assert reply.status == 200, reply
    return reply.json()


def command(*arguments, code, **more):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stderr


# ---- Memory


@pytest.fixture
def memory(tmp_path):
    """memory(**options) -> a server that keeps what it keeps in memory; started."""
    servers = []

    def start(**options):
        server = SqsServer([DOUBLEIT], data_url="memory:", data_directory=tmp_path / "never", **options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()
    assert not (tmp_path / "never").exists()


def open_files(server):
    links = pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()
    return [os.readlink(link) for link in links if link.is_symlink()]


def test_queues_jobs_and_results_in_memory(memory):
    server = memory()
    assert "queues, jobs and results end with this process" in server.log()
    sqs = connect(server)
    url = sqs.create_queue(QueueName="others")["QueueUrl"]
    send(sqs, url, "hello", DelaySeconds=1)
    assert receive(sqs, url) == []
    message, = receive(sqs, url, wait=10)
    assert message["Body"] == "hello"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    reply = server.post("/v2/models/doubleit/jobs", {"inputs": [X]}, headers={"Idempotency-Key": "k"})
    assert reply.status == 202
    done = finished(server, reply.json())
    assert done["state"] == "succeeded" and done["result"]["outputs"][0]["data"] == [2, 4, 6, 8, 10], done
    assert server.post("/v2/models/doubleit/jobs", {"inputs": [X]}, headers={"Idempotency-Key": "k"}).json()["id"] == done["id"]

    send(sqs, sqs.create_queue(QueueName="inference-dev")["QueueUrl"], "[1,2,3]")
    found = []
    server.wait_until(lambda: found.extend(server.get("/v2/results?queue=inference-dev&payload=true").json()["results"]) or found,
                      "the message's result")
    assert found[0]["output"]["json"] == [2, 4, 6]
    assert server.post(f"/v2/results/{found[0]['id']}/label", {"right": True}).status == 200
    assert server.get(f"/v2/results/{found[0]['id']}").json()["label"] == {"right": True}
    assert server.post("/models/doubleit", [4]).json() == [8]
    server.wait_until(lambda: len(server.get("/v2/results?source=http").json()["results"]) == 1, "the record")
    assert not [name for name in open_files(server) if name.endswith((".db", "-wal", "-shm", "-journal"))]


def test_nothing_in_memory_survives(memory):
    first = memory()
    sqs = connect(first)
    sqs.create_queue(QueueName="others")
    assert first.post("/v2/models/doubleit/jobs", {"inputs": [X]}).status == 202
    first.stop()
    second = memory()
    assert not [url for url in connect(second).list_queues().get("QueueUrls", []) if url.endswith("/others")]
    assert second.get("/v2/jobs").json()["jobs"] == []


def test_a_full_memory_is_told_and_ends(memory):
    server = memory(data_memory_bytes="1MiB")
    sqs = connect(server)
    url = sqs.create_queue(QueueName="others")["QueueUrl"]
    sent = []
    with pytest.raises(ClientError) as caught:
        for i in range(40):
            send(sqs, url, f"{i:02}" + "x" * 50000)
            sent.append(f"{i:02}")
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 503, error
    assert "data.memory_bytes" in error["Error"]["Message"] and "1048576" in error["Error"]["Message"], error
    assert 8 <= len(sent) < 21
    reply = server.post("/v2/models/doubleit/jobs", {"inputs": [X], "id": "y" * 50000})
    assert reply.status == 503 and "data.memory_bytes" in reply.error() and reply.headers["Retry-After"], reply
    assert server.post("/models/doubleit", [4]).json() == [8]  # inference goes on
    found = []
    while messages := receive(sqs, url):
        found += [body[:2] for body in bodies(messages)]
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert sorted(found) == sent
    send(sqs, url, "x" * 50000)
    assert finished(server, server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json())["state"] == "succeeded"


def test_records_make_room_for_others_in_memory(memory):
    server = memory(data_memory_bytes="1MiB", record_rate_max=100000)
    for i in range(300):
        assert server.post("/models/doubleit", list(range(2000))).status == 200
    server.wait_until(lambda: "slipway_records_pruned_total 0" not in server.get("/metrics").body.decode(), "pruning")
    done = finished(server, server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json())
    assert done["state"] == "succeeded"


def test_memory_is_of_one_process(tmp_path):
    text = command("worker", DOUBLEIT, "--data-url", "memory:", code=65)
    assert "workers need a data.url they share" in text
    text = command("results", "list", "--data-url", "memory:", code=65)
    assert "lies in the server that keeps it" in text and "--url" in text
    with SqsServer([DOUBLEIT], data_url="memory:") as server:
        assert server.post("/models/doubleit", [1]).json() == [2]
        server.wait_until(lambda: server.get("/v2/results").json()["results"], "the record")
        done = subprocess.run([BINARY, "results", "list", "--url", server.address()], capture_output=True, text=True)
        assert done.returncode == 0 and "doubleit" in done.stdout, done


@pytest.mark.parametrize("url, words", [("memory:x", "nothing follows 'memory:'"), ("sqlite::memory:", "'memory:'"),
                                        ("sqlite:", "names no file"), ("mysql://x", "begins with neither")])
def test_what_is_no_place_is_told(url, words):
    with Server([DOUBLEIT], data_url=url) as server:
        server.wait_until(lambda: "no data store" in server.log(), "the reason")
        assert words in server.log()
        assert server.get("/v2/jobs").status == 503
        assert server.post("/models/doubleit", [1]).json() == [2]
