"""What queues, jobs and results are kept in: memory, a file that something is wrong with, a file from another time."""
import os
import pathlib
import sqlite3
import subprocess
import tempfile
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

    def is_pruned_after_some_more():
        """Few at a time: many would be one write that is too large for the rest of the room, and lost as a whole."""
        for _ in range(5):
            assert server.post("/models/doubleit", list(range(2000))).status == 200
        return "slipway_records_pruned_total 0" not in server.get("/metrics").body.decode()

    server.wait_until(is_pruned_after_some_more, "pruning")
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


# ---- Files that something is wrong with: the server infers, says why it keeps nothing, and ends as it should


def keep_jobs(directory, count=1):
    """A data directory with so many jobs that are over."""
    with SqsServer([DOUBLEIT], data_directory=directory) as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        return [finished(server, server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json())["id"] for _ in range(count)]


def expect_degraded(server, *words):
    server.wait_until(lambda: "no data store" in server.log(), "the reason")
    server.wait_until(lambda: all(word in server.get("/v2/jobs").error() for word in words), f"{words} as the reason")
    refused = server.post("/v2/models/doubleit/jobs", {"inputs": [X]})
    assert refused.status == 503 and refused.headers["Retry-After"], refused
    for word in words:
        assert word in server.log() and word in refused.error(), (word, refused)
    assert server.post("/models/doubleit", [4]).json() == [8]
    assert server.get("/v2/health/ready").status == 200
    time.sleep(0.5)
    assert server.log().count("no data store") == 1  # told once, not at each try


def expect_jobs(directory, jobs):
    with SqsServer([DOUBLEIT], data_directory=directory) as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        assert {job["id"] for job in server.get("/v2/jobs").json()["jobs"]} == set(jobs)


def test_garbage_is_refused_and_left_alone(tmp_path):
    garbage = b"This is no database. " * 1000
    (tmp_path / "slipway.db").write_bytes(garbage)
    with Server([DOUBLEIT], data_directory=tmp_path) as server:
        expect_degraded(server, "slipway.db", "the file is no database")
    assert (tmp_path / "slipway.db").read_bytes() == garbage


def test_another_programs_database_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "slipway.db") as database:
        database.execute("CREATE TABLE theirs(a)")
    with Server([DOUBLEIT], data_directory=tmp_path) as server:
        expect_degraded(server, "slipway.db", "belongs to another program")


def test_damage_is_told_and_the_backup_brings_back(tmp_path):
    jobs = keep_jobs(tmp_path, 3)
    path = tmp_path / "slipway.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = path.read_bytes()
    path.write_bytes(good[:4096] + bytes(4096) * (len(good) // 4096 - 1))
    with Server([DOUBLEIT], data_directory=tmp_path) as server:
        expect_degraded(server, "slipway.db", "the file is damaged", "restore a backup")
    for name in tmp_path.iterdir():
        name.unlink()
    path.write_bytes(good)
    expect_jobs(tmp_path, jobs)


def test_a_newer_schema_of_the_queues_is_refused(tmp_path):
    jobs = keep_jobs(tmp_path, 2)
    with sqlite3.connect(tmp_path / "slipway.db") as database:
        database.execute("INSERT INTO slipway_schema VALUES ('queue', 99, 'future', 0)")
    with Server([DOUBLEIT], data_directory=tmp_path) as server:
        expect_degraded(server, "'queue'", "newer Slipway", "restore a backup")
    with sqlite3.connect(tmp_path / "slipway.db") as database:
        database.execute("DELETE FROM slipway_schema WHERE number = 99")
    expect_jobs(tmp_path, jobs)


class NobodysServer(Server):
    """Rights do not bind root."""

    def start(self):
        if os.geteuid() == 0:
            self.arguments[:0] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chmod(self.directory.name, 0o777)
        return super().start()


@pytest.fixture
def reachable():
    """A directory that others may enter, as those of tmp_path may not be."""
    with tempfile.TemporaryDirectory(prefix="slipway-wire-data-") as directory:
        os.chmod(directory, 0o755)
        yield pathlib.Path(directory)


def test_a_directory_that_cannot_be_written(reachable):
    with NobodysServer([DOUBLEIT], data_directory=reachable / "data" / "below") as server:
        expect_degraded(server, "data directory", "Permission denied", "data.directory")
    assert not (reachable / "data").exists()


def test_a_file_that_cannot_be_written(reachable):
    jobs = keep_jobs(reachable)
    path = reachable / "slipway.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    for name in reachable.iterdir():
        name.chmod(0o444)
    with NobodysServer([DOUBLEIT], data_directory=reachable) as server:
        expect_degraded(server, "slipway.db", "rights of")
    assert path.read_bytes() == before
    for name in reachable.iterdir():
        name.chmod(0o600)
    expect_jobs(reachable, jobs)


def test_a_file_that_is_taken_away_while_running(tmp_path):
    with SqsServer([DOUBLEIT], data_directory=tmp_path) as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        kept = [finished(server, server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json())["id"]]
        (tmp_path / "slipway.db").rename(tmp_path / "away")
        refused = server.post("/v2/models/doubleit/jobs", {"inputs": [X]})
        assert refused.status == 503 and "was removed or replaced while it was in use" in refused.error(), refused
        assert str(tmp_path / "slipway.db") in refused.error()
        assert server.post("/models/doubleit", [4]).json() == [8]
        (tmp_path / "away").rename(tmp_path / "slipway.db")
        kept.append(finished(server, server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json())["id"])
    expect_jobs(tmp_path, kept)


# ---- A file from another time


DAY_MS = 24 * 3600 * 1000


def test_a_clock_that_was_set_back_freezes_nothing(tmp_path):
    """The file of a server whose clock was a day ahead, opened by one whose clock is right."""
    with SqsServer([DOUBLEIT], data_directory=tmp_path) as server:
        sqs = connect(server)
        url = sqs.create_queue(QueueName="others")["QueueUrl"]
        fifo = sqs.create_queue(QueueName="others.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        send(sqs, url, "leased")
        assert bodies(receive(sqs, url, VisibilityTimeout=4)) == ["leased"]
        send(sqs, url, "delayed", DelaySeconds=4)
        first = send(sqs, fifo, "once", group="g", dedup="d")
    with sqlite3.connect(tmp_path / "slipway.db") as database:
        for table, column in (("slipway_clock", "last_ms"), ("message", "sent_ms"), ("deduplication", "expires_ms"),
                              ("message", "hidden_until"), ("message", "leased_ms")):
            database.execute(f"UPDATE {table} SET {column} = {column} + {DAY_MS} WHERE {column} > 0")
    with SqsServer([DOUBLEIT], data_directory=tmp_path) as server:
        server.wait_until(lambda: "clock is behind the latest time in the data store" in server.log(), "the warning")
        sqs = connect(server)
        assert send(sqs, fifo, "again", group="g", dedup="d")["MessageId"] == first["MessageId"]
        found, end = [], time.monotonic() + 15
        while len(found) < 2 and time.monotonic() < end:
            found += bodies(receive(sqs, url, wait=2))
        assert sorted(found) == ["delayed", "leased"]
        done = finished(server, server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json())
        assert done["state"] == "succeeded"
