"""`slipway lambda --local`: what AWS would have done with each message, told and done against a queue of our own."""
import json
import subprocess

from slipway import BINARY, MODELS, Server

DOUBLEIT = MODELS / "doubleit"


def send(server, queue, *bodies, group=None):
    for index, body in enumerate(bodies):
        message = {"QueueUrl": f"http://x/000000000000/{queue}", "MessageBody": body}
        if group:
            message |= {"MessageGroupId": group, "MessageDeduplicationId": f"{group}-{index}"}
        sqs(server, "SendMessage", message)


def sqs(server, operation, body):
    reply = server.request("POST", "/", json.dumps(body), {"Content-Type": "application/x-amz-json-1.0",
                                                           "X-Amz-Target": f"AmazonSQS.{operation}"})
    assert reply.status == 200, reply.body
    return json.loads(reply.body or b"{}")


def run(data, queue, *arguments):
    done = subprocess.run([BINARY, "lambda", str(DOUBLEIT), "--data-url", data, "--local", "--queue", queue, "--once",
                           "--json", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def prepare(tmp_path, queue, *bodies, group=None, visibility="0", receives=2):
    data = f"sqlite:{tmp_path}/slipway.db"
    fifo = queue.endswith(".fifo")
    with Server([DOUBLEIT, "--data-url", data, "--worker-enabled=false"]) as server:
        dead = "dead.fifo" if fifo else "dead"
        kind = {"FifoQueue": "true"} if fifo else {}
        sqs(server, "CreateQueue", {"QueueName": dead, "Attributes": kind})
        policy = json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:000000000000:{dead}",
                             "maxReceiveCount": receives})
        sqs(server, "CreateQueue", {"QueueName": queue, "Attributes": dict(
            kind, VisibilityTimeout=visibility, RedrivePolicy=policy)})
        send(server, queue, *bodies, group=group)
    return data


def test_each_message_has_its_fate_and_results_are_kept(tmp_path):
    data = prepare(tmp_path, "calls", "[1,2]", "x", "[3]")
    fates = run(data, "calls")
    assert sorted(line["fate"] for line in fates) == ["back", "dead", "deleted", "deleted"]
    assert [line["queue"] for line in fates if line["fate"] == "dead"] == ["dead"]
    with Server([DOUBLEIT, "--data-url", data, "--worker-enabled=false"]) as server:
        counts = sqs(server, "GetQueueAttributes", {"QueueUrl": "http://x/000000000000/dead", "AttributeNames": ["All"]})
        assert counts["Attributes"]["ApproximateNumberOfMessages"] == "1"
        listed = server.get("/v2/results").json()
        assert len(listed["results"]) == 3
    assert run(data, "calls") == []


def test_a_group_stops_at_its_first_failure(tmp_path):
    data = prepare(tmp_path, "calls.fifo", "[1]", "x", "[3]", group="g", visibility="30", receives=5)
    fates = run(data, "calls.fifo")
    assert [(line["fate"], line["group"]) for line in fates] == [("deleted", "g"), ("back", "g"), ("back", "g")]
    assert all(0 < line["after_s"] <= 30 for line in fates[1:])
    assert run(data, "calls.fifo") == []  # the group waits for its time-out


def test_a_queue_that_is_not_there_is_said(tmp_path):
    done = subprocess.run([BINARY, "lambda", str(DOUBLEIT), "--data-url", f"sqlite:{tmp_path}/x.db", "--local", "--queue",
                           "none"], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "no queue 'none'" in done.stderr and "create-queue" in done.stderr
    done = subprocess.run([BINARY, "lambda", str(DOUBLEIT), "--local"], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and "--queue" in done.stderr
