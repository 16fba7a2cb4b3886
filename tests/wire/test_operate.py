"""`slipway jobs` and `slipway queue`: what an operator does to jobs and queues, through the real binary."""
import json
import subprocess

import pytest

from slipway import BINARY, MODELS, Server
from sqs_client import SqsClient


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server([MODELS / "doubleit"], data_directory=tmp_path_factory.mktemp("operate") / "data") as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        yield server


def run(server, command, *arguments, stdin=None, code=0):
    done = subprocess.run([BINARY, command, *map(str, arguments), f"--url=http://127.0.0.1:{server.port}"],
                          input=stdin, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def submit(server, *arguments, **more):
    return run(server, "jobs", "submit", "doubleit", *arguments, **more).strip()


def test_a_job_from_submission_to_result(server):
    job = submit(server, "--input=x=1,2,3", "--key=k 1/ü")
    assert submit(server, "--input=x=1,2,3", "--key=k 1/ü") == job
    done = json.loads(run(server, "jobs", "wait", job, "--timeout=60s"))
    assert done["state"] == "succeeded" and done["result"]["outputs"][0]["data"] == [2, 4, 6]
    assert json.loads(run(server, "jobs", "show", job)) == done


def test_input_from_file_and_standard_input(server, tmp_path):
    file = tmp_path / "input.json"
    file.write_text("[4, 5]")
    for job in (submit(server, f"--file={file}"), submit(server, stdin="[4, 5]")):
        done = json.loads(run(server, "jobs", "wait", job, "--timeout=60s"))
        assert done["result"]["outputs"][0]["data"] == [8, 10]


def test_lists_in_every_form_and_page_after_page(server):
    jobs = {submit(server, "--input=x=1", "--group=listed", "--delay=1h", "--format=json") for _ in range(3)}
    jobs = {json.loads(job)["id"] for job in jobs}
    table = run(server, "jobs", "list", "--group=listed").splitlines()
    assert len(table) == 4 and table[0].split()[:3] == ["id", "received", "model"]
    rows = [json.loads(line) for line in run(server, "jobs", "list", "--group=listed", "--format=ndjson").splitlines()]
    assert {row["id"] for row in rows} == jobs and {row["state"] for row in rows} == {"pending"}
    whole = json.loads(run(server, "jobs", "list", "--group=listed", "--format=json", "--all"))
    assert [row["id"] for row in whole] == [row["id"] for row in rows]
    oldest = json.loads(run(server, "jobs", "list", "--group=listed", "--format=json", "--oldest", "--limit=1"))
    assert oldest == [whole[-1]]
    assert json.loads(run(server, "jobs", "list", "--group=nobody", "--format=json")) == []
    assert len(json.loads(run(server, "jobs", "list", "--group=listed", "--since=1h", "--format=json"))) == 3
    assert json.loads(run(server, "jobs", "list", "--since=2099-01-01", "--format=json")) == []
    assert "state" in run(server, "jobs", "list", "--state=dead", code=65)


def test_cancel_and_retry(server):
    jobs = [submit(server, "--input=x=1", "--delay=1h") for _ in range(2)]
    assert run(server, "jobs", "cancel", *jobs).split() == [jobs[0], "cancelled", jobs[1], "cancelled"]
    assert "cancelled" in run(server, "jobs", "wait", jobs[0], code=75)
    assert run(server, "jobs", "retry", jobs[0]).split() == [jobs[0], "pending"]
    assert json.loads(run(server, "jobs", "show", jobs[0]))["state"] == "pending"


def test_what_is_wrong_is_said(server):
    later = submit(server, "--input=x=1", "--delay=1h")
    assert "pending after" in run(server, "jobs", "wait", later, "--timeout=100ms", code=75)
    assert "no id of a job" in run(server, "jobs", "show", "x", code=65)
    assert "usage: slipway jobs show ID" in run(server, "jobs", "show", code=65)
    assert "none of list" in run(server, "jobs", "lst", code=65)
    assert "there is no job" in run(server, "jobs", "cancel", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=66)
    assert "nobody" in run(server, "jobs", "submit", "nobody", "--input=x=1", code=65)
    assert "--yes" in run(server, "queue", "purge", "slipway-jobs", code=65)
    assert "queue 'nothing'" in run(server, "queue", "depth", "nothing", code=65)


def test_queues_are_listed_moved_and_emptied(server):
    client = SqsClient(server.port)

    def create(name, **attributes):
        return client.call("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]

    dead = create("post-dead")
    arn = client.call("GetQueueAttributes", QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    url = create("post", VisibilityTimeout="0", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn,
                                                                         "maxReceiveCount": 1}))
    client.call("SendMessage", QueueUrl=url, MessageBody="m")
    client.call("ReceiveMessage", QueueUrl=url)
    client.call("ReceiveMessage", QueueUrl=url)

    def depth(name):
        return json.loads(run(server, "queue", "depth", name, "--json"))

    assert depth("post") == {"name": "post", "visible": 0, "in_flight": 0, "delayed": 0, "dead_letter": "post-dead"}
    assert depth("post-dead")["visible"] == 1
    listed = run(server, "queue", "list").splitlines()
    assert {"post", "post-dead", "slipway-jobs"} <= {line.split()[0] for line in listed}
    assert len(run(server, "queue", "list", "post").splitlines()) == 3
    assert "post-dead are moved back to post" in run(server, "queue", "redrive", "post")
    server.wait_until(lambda: depth("post")["visible"] == 1 and depth("post-dead")["visible"] == 0, "the redrive")
    client.call("ReceiveMessage", QueueUrl=url)
    client.call("ReceiveMessage", QueueUrl=url)
    assert "where they came from" in run(server, "queue", "redrive", "post-dead")
    server.wait_until(lambda: depth("post")["visible"] == 1, "the redrive")
    run(server, "queue", "purge", "post", "--yes")
    assert depth("post")["visible"] == 0
