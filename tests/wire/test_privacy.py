"""What may not be kept is not kept, whichever way it came: jobs, messages of others, workers; SQLite's file and PostgreSQL.

Each test sends SECRET and USER, and looks for them where they must not be: in what is shown, and in the bytes of the
database once the job is over and the log was copied into it.
"""
import hashlib
import json
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from slipway import BINARY, MODELS, ROOT, Server, echo_repository, tensor
from sqs_client import SqsClient

DOUBLEIT = MODELS / "doubleit"
SECRET = 987654321012345678
TWICE = 2 * SECRET
USER = "bobby-tables"
RULES = "slipway: {record: {input: inline, output: %s, redact: [x, $.parameters.user]}}\n"
SECRETS = [str(SECRET).encode(), str(TWICE).encode(), USER.encode()]
POSTGRES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))


def body_of(*more):
    data = [SECRET, *more]
    return {"parameters": {"user": USER}, "inputs": [tensor("x", "INT64", [len(data)], data)]}


def private_model(tmp_path, output="hashed", rules=None):
    """doubleit, which must not keep x, the user, or (hashed) any output."""
    model = tmp_path / "models" / "doubleit"
    shutil.copytree(DOUBLEIT, model)
    (model / "model.yaml").write_text(rules or RULES % output)
    return model


@pytest.fixture
def keep(tmp_path):
    """keep(models, **options) -> a running server with jobs, whose data lie in tmp_path/data."""
    servers = []

    def make(models, **options):
        if "data_url" not in options:
            options.setdefault("data_directory", tmp_path / "data")
        server = Server(models, **options)
        servers.append(server)
        server.start()
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        return server

    yield make
    for server in servers:
        server.stop()


def submit(server, body, path="/v2/models/doubleit/jobs", **arguments):
    reply = server.post(path, body, **arguments)
    assert reply.status in (200, 202), reply
    return reply.json()["id"]


def finished(server, job, wait=50):
    reply = server.get(f"/v2/jobs/{job}?wait={wait}", timeout=wait + 10)
    assert reply.status == 200, reply
    return reply


def record_of(server, identity):
    reply = server.get(f"/v2/results/{identity}")
    assert reply.status == 200, reply
    assert not any(secret in reply.body for secret in SECRETS), reply.body
    return reply.json()


def queue_records(server, queue, count):
    found = []
    server.wait_until(lambda: found.clear() or found.extend(
        server.get(f"/v2/results?payload=true&queue={queue}").json()["results"]) or len(found) >= count, "records")
    return found


def wait_until_gone(server, job):
    """Until the answer's time is over."""
    server.wait_until(lambda: server.get(f"/v2/jobs/{job}/result").status == 410, "the end of the loan", 30)
    return server.get(f"/v2/jobs/{job}/result")


def expect_clean_file(tmp_path, secrets=SECRETS):
    """No secret in the bytes of the database, once its log is in it."""
    path = tmp_path / "data" / "slipway.db"
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    content = path.read_bytes()
    assert len(content) > 4096
    for secret in secrets:
        assert secret not in content, secret


# ---- jobs


def test_nothing_of_a_private_job_is_left(keep, tmp_path):
    server = keep([private_model(tmp_path)], jobs_result_ttl="1s")
    body = json.dumps(body_of(1))
    job = submit(server, body, headers={"Idempotency-Key": "k"})
    answer = finished(server, job).json()
    assert answer["state"] == "succeeded" and answer["result"]["outputs"][0]["data"] == [TWICE, 2], answer
    gone = wait_until_gone(server, job)
    assert "jobs.result_ttl" in gone.error() and "again" in gone.error()
    record = record_of(server, job)
    assert record["input"]["json"] == {"parameters": {"user": "[redacted]"},
                                       "inputs": [{**body_of(1)["inputs"][0], "data": "[redacted]"}]}
    assert record["input"]["sha256"] == hashlib.sha256(body.encode()).hexdigest()
    assert record["output"]["keep"] == "hashed" and "json" not in record["output"]
    assert "result" not in finished(server, job).json()
    # The key is the input's as it came.
    again = server.post("/v2/models/doubleit/jobs", body, headers={"Idempotency-Key": "k"})
    assert again.status == 200 and again.json()["id"] == job and "result" not in again.json()
    other = server.post("/v2/models/doubleit/jobs", body_of(2), headers={"Idempotency-Key": "k"})
    assert other.status == 409 and "k" in other.error()
    redacted = server.post("/v2/models/doubleit/jobs", {"inputs": [{**tensor("x", "INT64", [2], "[redacted]")}]},
                           headers={"Idempotency-Key": "k"})
    assert redacted.status in (400, 409)
    server.stop()
    expect_clean_file(tmp_path)


def test_an_answer_is_there_for_its_time_and_byte_for_byte(keep, tmp_path):
    server = keep([private_model(tmp_path)])
    body = json.dumps({"id": "mine", **body_of()})
    sync = server.post("/v2/models/doubleit/infer", body)
    job = submit(server, body)
    for _ in range(2):  # not only once
        later = server.get(f"/v2/jobs/{job}/result?wait=30", timeout=40)
        assert (later.status, later.body) == (200, sync.body)
        assert later.headers["Content-Type"] == sync.headers["Content-Type"]
    record_of(server, job)
    for path in ["/v2/results?payload=true", "/v2/jobs"]:
        shown = server.get(path).body
        assert not any(secret in shown for secret in SECRETS)
    out = subprocess.run([BINARY, "results", "export", "--format=csv", f"--data-directory={tmp_path / 'data'}"],
                         capture_output=True, timeout=60, check=True).stdout
    assert job.encode() in out and not any(secret in out for secret in SECRETS)


def test_without_a_time_the_answer_is_gone_at_once(keep, tmp_path):
    server = keep([private_model(tmp_path, output="omitted")], jobs_result_ttl="0s")
    job = submit(server, body_of())
    assert finished(server, job).json()["state"] == "succeeded"
    assert server.get(f"/v2/jobs/{job}/result").status == 410
    assert record_of(server, job)["output"] == {"keep": "omitted"}
    server.stop()
    expect_clean_file(tmp_path)


def test_a_redacted_answer_is_no_answer(keep, tmp_path):
    """Inline, but not whole: what stands in the record is never given out as the result."""
    server = keep([private_model(tmp_path, rules="slipway: {record: {redact: [x, OUTPUT__0, $.parameters.user]}}\n")],
                  jobs_result_ttl="1s")
    job = submit(server, body_of())
    assert finished(server, job).json()["result"]["outputs"][0]["data"] == [TWICE]
    wait_until_gone(server, job)
    record = record_of(server, job)
    assert record["output"]["keep"] == "inline" and "[redacted]" in json.dumps(record["output"]["json"])
    server.stop()
    expect_clean_file(tmp_path)


def test_an_input_too_large_for_a_message_is_whole_until_it_was_run(keep, tmp_path):
    server = keep([private_model(tmp_path)], jobs_result_ttl="0s")
    large = list(range(300000))
    waits = submit(server, body_of(*large), path="/v2/models/doubleit/jobs?delay=1h")
    record = record_of(server, waits)
    assert record["state"] == "pending" and record["input"]["json"]["inputs"][0]["data"] == "[redacted]"
    job = submit(server, body_of(*large))
    assert finished(server, job).json()["state"] == "succeeded"
    record_of(server, job)
    assert server.post(f"/v2/jobs/{waits}/cancel").status == 200
    refused = server.post(f"/v2/jobs/{waits}/retry")
    assert refused.status == 409 and "not kept" in refused.error()
    server.stop()
    expect_clean_file(tmp_path)


def test_what_is_not_kept_is_not_run_again(keep, tmp_path):
    echo = echo_repository(tmp_path, {"picky": "input x FP32 [1]\noutput y x\nfail_negative INVALID_ARGUMENT"})
    (echo / "picky" / "model.yaml").write_text("slipway: {record: {redact: [$.parameters.user]}}\n")
    server = keep([echo])
    body = {"parameters": {"user": USER}, "inputs": [tensor("x", "FP32", [1], [-1])]}
    job = submit(server, body, path="/v2/models/picky/jobs")
    assert finished(server, job).json()["state"] == "failed"
    assert record_of(server, job)["input"]["keep"] == "inline"  # but not whole
    refused = server.post(f"/v2/jobs/{job}/retry")
    assert refused.status == 409 and "as it came" in refused.error() and "new one" in refused.error()
    # Its message is in the dead-letter queue, whole: moved back it is run once more.
    client = SqsClient(server.port)
    arn = client.call("GetQueueAttributes", QueueUrl=client.url("slipway-jobs-dead"),
                      AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.call("StartMessageMoveTask", SourceArn=arn)
    server.wait_until(lambda: server.get(f"/v2/jobs/{job}").json()["attempts"] == 2, "the second run")
    assert "negative" in finished(server, job).json()["error"]
    # One that has nothing to hide is run again.
    plain = submit(server, {"inputs": body["inputs"]}, path="/v2/models/picky/jobs")
    assert finished(server, plain).json()["state"] == "failed"
    assert server.post(f"/v2/jobs/{plain}/retry").status == 202


def test_a_large_input_that_failed_is_not_run_on_what_is_left_of_it(keep, tmp_path):
    echo = echo_repository(tmp_path, {"picky": "input x FP32 [-1]\noutput y x\nfail_negative INVALID_ARGUMENT"})
    (echo / "picky" / "model.yaml").write_text("slipway: {record: {redact: [$.parameters.user]}}\n")
    server = keep([echo])
    data = [-1] + [0.125] * 300000
    job = submit(server, {"parameters": {"user": USER}, "inputs": [tensor("x", "FP32", [len(data)], data)]},
                 path="/v2/models/picky/jobs")
    assert finished(server, job).json()["state"] == "failed"
    client = SqsClient(server.port)
    arn = client.call("GetQueueAttributes", QueueUrl=client.url("slipway-jobs-dead"),
                      AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.call("StartMessageMoveTask", SourceArn=arn)
    server.wait_until(lambda: "not kept" in server.get(f"/v2/jobs/{job}").json().get("error", ""), "the refusal")
    server.stop()
    expect_clean_file(tmp_path, [USER.encode()])


# ---- what nobody asked to hide


def test_answers_stay_whole_when_nothing_was_set(keep, tmp_path):
    server = keep([DOUBLEIT], jobs_result_ttl="1s")
    data = list(range(100000))
    job = submit(server, {"inputs": [tensor("x", "INT64", [len(data)], data)]})
    assert finished(server, job).json()["state"] == "succeeded"
    time.sleep(3)  # long after every loan
    result = server.get(f"/v2/jobs/{job}/result")
    assert result.status == 200 and len(result.body) > 500000
    record = server.get(f"/v2/results/{job}").json()
    assert record["input"]["keep"] == record["output"]["keep"] == "inline" and "sha256" not in record["output"]


@pytest.mark.parametrize("by_model", [False, True])
def test_a_limit_that_was_set_holds_for_jobs_too(keep, tmp_path, by_model):
    model = private_model(tmp_path, rules="slipway: {record: {bytes_max: 100}}\n") if by_model else DOUBLEIT
    server = keep([model], jobs_result_ttl="1s", **({} if by_model else {"record_bytes_max": 100}))
    data = list(range(100))
    job = submit(server, {"inputs": [tensor("x", "INT64", [len(data)], data)]})
    assert finished(server, job).json()["result"]["outputs"][0]["data"][-1] == 198
    wait_until_gone(server, job)
    assert record_of(server, job)["output"]["keep"] == "hashed"


# ---- messages of others, workers


def test_nothing_of_a_private_message_is_left(keep, tmp_path):
    server = keep([private_model(tmp_path)])
    client = SqsClient(server.port)
    server.wait_until(lambda: "inference-dev" in json.dumps(client.call("ListQueues")) or client.call(
        "CreateQueue", QueueName="inference-dev"), "the queue")
    url = client.url("inference-dev")
    for body in [json.dumps(body_of()), f"[{SECRET}]"]:
        client.call("SendMessage", QueueUrl=url, MessageBody=body)
    for record in queue_records(server, "inference-dev", 2):
        assert record["state"] == "succeeded" and record["output"]["keep"] == "hashed", record
        assert "[redacted]" in json.dumps(record["input"]["json"])
        record_of(server, record["id"])
    server.stop()
    expect_clean_file(tmp_path)


def test_of_a_model_that_is_not_there_the_rules_are_not_known(keep, tmp_path):
    server = keep([private_model(tmp_path)], queue_consume=["inbox"])
    client = SqsClient(server.port)
    server.wait_until(lambda: "inbox-dead" in json.dumps(client.call("ListQueues")), "the queues")
    client.call("SendMessage", QueueUrl=client.url("inbox"), MessageBody=json.dumps(body_of()),
                MessageAttributes={"model": {"DataType": "String", "StringValue": "unloaded"}})
    [record] = queue_records(server, "inbox", 1)
    assert record["state"] == "failed" and record["input"]["keep"] == "hashed", record
    record_of(server, record["id"])
    dead = client.call("ReceiveMessage", QueueUrl=client.url("inbox-dead"), WaitTimeSeconds=10)["Messages"]
    assert json.loads(dead[0]["Body"]) == body_of()  # whole: it may be moved back


def test_poison_of_a_private_model_is_redacted_as_well(keep, tmp_path):
    server = keep([private_model(tmp_path)], queue_consume=["inbox"])
    client = SqsClient(server.port)
    server.wait_until(lambda: "inbox-dead" in json.dumps(client.call("ListQueues")), "the queues")
    wrong = {"parameters": {"user": USER}, "inputs": [tensor("x", "INT64", [9], [SECRET])]}
    client.call("SendMessage", QueueUrl=client.url("inbox"), MessageBody=json.dumps(wrong))
    client.call("SendMessage", QueueUrl=client.url("inbox"), MessageBody=f"{USER} {SECRET}")  # no JSON
    records = queue_records(server, "inbox", 2)
    assert {record["state"] for record in records} == {"failed"}
    assert sorted(record["input"]["keep"] for record in records) == ["hashed", "inline"]
    for record in records:
        record_of(server, record["id"])


def test_a_worker_of_its_own_keeps_to_the_rules(keep, tmp_path):
    model = private_model(tmp_path)
    server = keep([model], worker_enabled="false")
    client = SqsClient(server.port)
    client.call("CreateQueue", QueueName="inference-dev")
    log = tmp_path / "worker.log"
    with open(log, "wb") as out:
        worker = subprocess.Popen([BINARY, "worker", str(model), f"--data-directory={tmp_path / 'data'}",
                                   "--jobs-result-ttl=1s"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        job = submit(server, body_of())
        client.call("SendMessage", QueueUrl=client.url("inference-dev"), MessageBody=json.dumps(body_of()))
        answer = finished(server, job).json()
        assert answer["result"]["outputs"][0]["data"] == [TWICE], answer
        [record] = queue_records(server, "inference-dev", 1)
        record_of(server, record["id"])
        wait_until_gone(server, job)  # the worker's doing: the server's own time is ten minutes
        record_of(server, job)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(45) == 0, log.read_text(errors="replace")
    assert "Sanitizer" not in log.read_text(errors="replace")
    server.stop()
    expect_clean_file(tmp_path)


# ---- PostgreSQL


@pytest.fixture
def cluster():
    """The connection string of a PostgreSQL that is gone after the test."""
    if not POSTGRES:
        pytest.skip("no PostgreSQL server")
    process = subprocess.Popen([str(ROOT / "tests" / "postgres" / "with_cluster"), "sh", "-c",
                                'echo "$SLIPWAY_TEST_POSTGRES"; cat >/dev/null'],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    address = dict(part.split("=", 1) for part in process.stdout.readline().split())
    yield address
    process.stdin.close()
    process.wait(60)


def dump(cluster):
    """All rows, as text and with every bytea decoded."""
    text = subprocess.run([str(POSTGRES[-1] / "pg_dump"), "-h", cluster["host"], "-U", cluster["user"], cluster["dbname"]],
                          capture_output=True, timeout=60, check=True).stdout
    pieces = [bytes.fromhex(piece.split(b"\t")[0].split(b"\n")[0].decode())
              for piece in text.split(b"\\\\x")[1:]]
    return text + b"\n".join(pieces)


def test_the_rules_hold_in_postgresql(keep, tmp_path, cluster):
    url = f"postgres://{cluster['user']}@/{cluster['dbname']}?host={cluster['host']}"
    server = keep([private_model(tmp_path)], data_url=url, jobs_result_ttl="2s")
    client = SqsClient(server.port)
    client.call("CreateQueue", QueueName="inference-dev")
    plain = submit(server, {"parameters": {"user": "nobody"}, "inputs": [tensor("x", "INT64", [1], [424242424242])]},
                   path="/v2/models/doubleit/jobs?delay=1h")
    large = submit(server, body_of(*range(300000)), path="/v2/models/doubleit/jobs?delay=1h")
    assert USER.encode() in dump(cluster) and b"424242424242" in dump(cluster)  # the dump would show it
    job = submit(server, body_of())
    client.call("SendMessage", QueueUrl=client.url("inference-dev"), MessageBody=json.dumps(body_of()))
    assert finished(server, job).json()["result"]["outputs"][0]["data"] == [TWICE]
    [record] = queue_records(server, "inference-dev", 1)
    for identity in [record["id"], job, large]:
        record_of(server, identity)
    assert server.post(f"/v2/jobs/{large}/cancel").status == 200
    wait_until_gone(server, job)
    server.wait_until(lambda: not any(secret in dump(cluster) for secret in SECRETS), "an empty database", 30)
    assert b"424242424242" in dump(cluster) and server.get(f"/v2/jobs/{plain}").json()["state"] == "pending"
