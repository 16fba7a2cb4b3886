"""What an operator sees of queues and jobs: the metrics page of a server and of a worker."""
import socket
import time
import urllib.request

import pytest

import metrics_page
from slipway import MODELS, X, Server
from sqs_client import SqsClient
from test_metrics import value
from test_worker import Worker


@pytest.fixture
def keep(tmp_path):
    servers = []

    def make(models, **options):
        options.setdefault("data_directory", tmp_path / "data")
        options.setdefault("metrics_queues_interval", "100ms")
        server = Server(models, **options)
        servers.append(server)
        server.start()
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        return server

    yield make
    for server in servers:
        server.stop()


def queue_client(server):
    client = SqsClient(server.port)

    def create(name, **attributes):
        return client.call("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]

    return client, create


def page(server, open_metrics=False):
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"} if open_metrics else {}
    return metrics_page.parse(server.get("/metrics", headers=headers).body.decode(), open_metrics)


def fresh_page(server):
    """A page whose queues were read after this call."""
    start = time.time()
    pages = []

    def is_fresh():
        pages.append(page(server))
        return value(pages[-1], "slipway_queue_read_timestamp_seconds") > start + 0.05

    server.wait_until(is_fresh, "a fresh reading")
    return pages[-1]


def test_messages_are_seen_where_they_lie(keep):
    server = keep([MODELS / "doubleit"])
    client, create = queue_client(server)
    dead = create("letters-dead")
    arn = client.call("GetQueueAttributes", QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    url = create("letters", VisibilityTimeout="0",
                 RedrivePolicy='{"deadLetterTargetArn":"%s","maxReceiveCount":1}' % arn)
    for i in range(3):
        client.call("SendMessage", QueueUrl=url, MessageBody=f"m{i}")
    client.call("SendMessage", QueueUrl=url, MessageBody="later", DelaySeconds=600)
    seen = fresh_page(server)
    assert value(seen, "slipway_queue_messages", queue="letters", state="visible") == 3
    assert value(seen, "slipway_queue_messages", queue="letters", state="delayed") == 1
    assert value(seen, "slipway_queue_sent_total", queue="letters") == 4
    assert value(seen, "slipway_queue_dead_letter_messages", queue="letters", dead_letter="letters-dead") == 0
    client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=3)
    client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=3)
    received = client.call("ReceiveMessage", QueueUrl=dead, MaxNumberOfMessages=1)
    client.call("DeleteMessage", QueueUrl=dead, ReceiptHandle=received["Messages"][0]["ReceiptHandle"])
    seen = fresh_page(server)
    assert value(seen, "slipway_queue_dead_lettered_total", queue="letters") == 3
    assert value(seen, "slipway_queue_received_total", queue="letters") == 3
    assert value(seen, "slipway_queue_deleted_total", queue="letters-dead") == 1
    assert value(seen, "slipway_queue_dead_letter_messages", queue="letters", dead_letter="letters-dead") == 2
    assert value(seen, "slipway_queue_messages", queue="letters", state="visible") == 0


def test_jobs_are_counted_by_model_and_state(keep):
    server = keep([MODELS / "doubleit"])
    body = {"inputs": [X]}
    job = server.post("/v2/models/doubleit/jobs", body).json()["id"]
    assert server.get(f"/v2/jobs/{job}?wait=30", timeout=40).json()["state"] == "succeeded"
    later = server.post("/v2/models/doubleit/jobs?delay=1h", body).json()["id"]
    assert server.post(f"/v2/jobs/{later}/cancel", {}).status == 200
    assert server.post(f"/v2/jobs/{later}/cancel", {}).status == 200
    for open_metrics in (False, True):
        seen = page(server, open_metrics)
        family = "slipway_jobs" if open_metrics else "slipway_jobs_total"
        counts = {state: value(seen, "slipway_jobs_total", family, model="doubleit", state=state)
                  for state in ("submitted", "succeeded", "failed", "cancelled", "expired", "retried")}
        assert counts == {"submitted": 2, "succeeded": 1, "failed": 0, "cancelled": 1, "expired": 0, "retried": 0}
    assert value(page(server), "slipway_worker_outcomes_total", outcome="succeeded") == 1
    assert value(page(server), "slipway_worker_queues") >= 2
    assert value(page(server), "slipway_database_commits_total") > 0


def test_a_worker_shows_its_own_numbers(keep, tmp_path):
    server = keep([MODELS / "doubleit"], worker_enabled="false")
    job = server.post("/v2/models/doubleit/jobs", {"inputs": [X]}).json()["id"]
    expires = server.post("/v2/models/doubleit/jobs?ttl=1s", {"inputs": [X]}).json()["id"]
    time.sleep(1.2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = Worker([MODELS / "doubleit"], tmp_path, f"--http-port={port}", "--metrics-queues-interval=100ms")
    try:
        assert server.get(f"/v2/jobs/{job}?wait=30", timeout=40).json()["state"] == "succeeded"
        assert server.get(f"/v2/jobs/{expires}?wait=30", timeout=40).json()["state"] == "expired"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
            seen = metrics_page.parse(reply.read().decode(), False)
        assert value(seen, "slipway_worker_outcomes_total", outcome="succeeded") == 1
        assert value(seen, "slipway_jobs_total", model="doubleit", state="succeeded") == 1
        assert value(seen, "slipway_jobs_total", model="doubleit", state="expired") == 1
        assert value(page(server), "slipway_worker_queues") == 0
        assert value(page(server), "slipway_jobs_total", model="doubleit", state="succeeded") == 0
    finally:
        worker.stop()


def test_a_hundred_and_more_queues_stay_few_labels(keep):
    server = keep([MODELS / "doubleit"])
    client, create = queue_client(server)
    for i in range(120):
        create(f"many-{i:03}")
    create("other")
    client.call("SendMessage", QueueUrl=create("zz-long"), MessageBody="m")
    seen = fresh_page(server)
    labels = {dict(pairs)["queue"] for _, pairs in seen["slipway_queue_messages"].samples}
    assert len(labels) == 101 and {"other", "zz-long", "slipway-jobs"} <= labels
    labels = {dict(pairs)["queue"] for _, pairs in seen["slipway_queue_sent_total"].samples}
    assert len(labels) <= 101 and {"other", "slipway-jobs"} <= labels
