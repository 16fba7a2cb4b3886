"""Messages that others send, and workers in processes of their own: each is answered once, groups in order, whoever dies."""
import hashlib
import hmac
import http.server
import json
import pathlib
import signal
import subprocess
import threading
import time

import pytest

from slipway import BINARY, MODELS, X, Server, echo_repository, tensor
from sqs_client import SqsClient


def number(value):
    return {"inputs": [tensor("x", "FP32", [1], [value])]}


@pytest.fixture
def keep(tmp_path):
    servers = []

    def make(models, **options):
        options.setdefault("data_directory", tmp_path / "data")
        server = Server(models, **options)
        servers.append(server)
        server.start()
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "jobs")
        return server

    yield make
    for server in servers:
        server.stop()


class Worker:
    """`slipway worker` on the same data."""

    def __init__(self, models, directory, *options):
        self.log_path = pathlib.Path(directory) / f"worker-{id(self)}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [BINARY, "worker", *map(str, models), f"--data-directory={pathlib.Path(directory) / 'data'}", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Of one that runs: before that, a signal ends it as any process, by its number."""
        end = time.monotonic() + 60
        while "leasing from queue" not in self.log() and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(45) == 0, self.log()
        assert "Sanitizer" not in self.log() and "runtime error" not in self.log(), self.log()


def submit(server, model, body, query=""):
    reply = server.post(f"/v2/models/{model}/jobs{query}", body)
    assert reply.status == 202, reply
    return reply.json()["id"]


def finished(server, job, wait=50):
    return server.get(f"/v2/jobs/{job}?wait={wait}", timeout=wait + 10).json()


def results_of(server, queue, count, timeout_s=60):
    found = []
    end = time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < end:
        found = server.get(f"/v2/results?queue={queue}&limit=1000").json()["results"]
        time.sleep(0.05)
    return found


def output_of(server, result):
    whole = server.get(f"/v2/results/{result['id']}").json()
    output = whole["output"]
    return output["data"] if isinstance(output, dict) and "data" in output else output


# ---- messages of others


def test_the_seeds_message_is_answered(keep):
    server = keep([MODELS / "doubleit"])
    client = SqsClient(server.port)
    client.call("CreateQueue", QueueName="inference-dev")
    client.call("CreateQueue", QueueName="inference_dev.fifo", Attributes={"FifoQueue": "true"})
    plain = client.call("SendMessage", QueueUrl=client.url("inference-dev"), MessageBody="[1,2,3,4,5]")
    fifo = client.call("SendMessage", QueueUrl=client.url("inference_dev.fifo"), MessageBody="[1,2,3,4,5]",
                       MessageGroupId="g", MessageDeduplicationId="d")
    for queue, sent, group in [("inference-dev", plain, None), ("inference_dev.fifo", fifo, "g")]:
        [result] = results_of(server, queue, 1)
        assert result["state"] == "succeeded" and result["message_id"] == sent["MessageId"], result
        assert result["model"] == "doubleit" and result.get("group") == group
        assert "[2,4,6,8,10]" in json.dumps(server.get(f"/v2/results/{result['id']}").json()).replace(" ", "")
    for queue in ["inference-dev", "inference_dev.fifo"]:
        attributes = client.call("GetQueueAttributes", QueueUrl=client.url(queue), AttributeNames=["All"])["Attributes"]
        assert attributes["ApproximateNumberOfMessages"] == attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_poison_goes_to_the_dead_letter_queue_and_is_not_taken_from_there(keep):
    server = keep([MODELS / "doubleit"], queue_consume=["inference-dev", "*dead*"])
    client = SqsClient(server.port)
    url = client.url("inference-dev")  # created by the server, with inference-dev-dead behind it
    server.wait_until(lambda: "inference-dev-dead" in json.dumps(client.call("ListQueues")), "the queues")
    for body in ["[1,2,3]", "no json", '{"inputs":[{"name":"z"}]}', "[4]"]:
        client.call("SendMessage", QueueUrl=url, MessageBody=body)
    found = results_of(server, "inference-dev", 4)
    assert sorted(one["state"] for one in found) == ["failed", "failed", "succeeded", "succeeded"], found
    bodies = set()
    end = time.monotonic() + 20
    while len(bodies) < 2 and time.monotonic() < end:
        reply = client.call("ReceiveMessage", QueueUrl=client.url("inference-dev-dead"), MaxNumberOfMessages=10,
                            WaitTimeSeconds=1)
        bodies |= {message["Body"] for message in reply.get("Messages", [])}
    assert bodies == {"no json", '{"inputs":[{"name":"z"}]}'}


def test_the_model_is_named_by_the_message_or_the_queue(keep):
    server = keep([MODELS / "doubleit", MODELS / "iris"], queue_consume=["named", "mapped"], queue_models="mapped=doubleit")
    client = SqsClient(server.port)
    server.wait_until(lambda: "mapped" in json.dumps(client.call("ListQueues")), "the queues")
    client.call("SendMessage", QueueUrl=client.url("mapped"), MessageBody="[1]")
    client.call("SendMessage", QueueUrl=client.url("named"), MessageBody="[1]",
                MessageAttributes={"model": {"DataType": "String", "StringValue": "doubleit"}})
    client.call("SendMessage", QueueUrl=client.url("named"), MessageBody="[2]")
    [mapped] = results_of(server, "mapped", 1)
    assert mapped["state"] == "succeeded" and mapped["model"] == "doubleit"
    named = results_of(server, "named", 2)
    assert sorted(one["state"] for one in named) == ["failed", "succeeded"]
    [failed] = [one for one in named if one["state"] == "failed"]
    assert "queue.models" in failed["error"] and "2 are loaded" in failed["error"]


# ---- workers of their own


def test_a_worker_runs_what_the_server_accepted(keep, tmp_path):
    server = keep([MODELS / "doubleit"], worker_enabled="false")
    job = submit(server, "doubleit", {"inputs": [X]})
    worker = Worker([MODELS / "doubleit"], tmp_path)
    done = finished(server, job)
    assert done["state"] == "succeeded" and done["result"]["outputs"][0]["data"] == [2, 4, 6, 8, 10], worker.log()
    worker.stop()


def test_workers_that_are_killed_lose_and_repeat_nothing(keep, tmp_path):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 20000"})
    server = keep([echo], worker_enabled="false")
    groups = ["", "?group=a", "?group=b"]
    jobs = [(submit(server, "slow", number(value), groups[value % 3]), value, groups[value % 3]) for value in range(60)]
    options = ["--worker-visibility=2s", "--worker-in-flight-max=8"]
    for life in range(3):
        worker = Worker([echo], tmp_path, *options)
        time.sleep(1.0 + 0.2 * life)
        worker.kill()
    workers = [Worker([echo], tmp_path, *options) for _ in range(2)]
    done = {job: finished(server, job) for job, _, _ in jobs}
    for job, value, _ in jobs:
        assert done[job]["state"] == "succeeded" and done[job]["result"]["outputs"][0]["data"] == [value], done[job]
    for group in groups[1:]:
        times = [done[job]["done_at"] for job, _, one in jobs if one == group]
        assert times == sorted(times)
    assert len(server.get("/v2/jobs?limit=1000").json()["jobs"]) == len(jobs)
    for worker in workers:
        worker.stop()


def test_long_work_is_not_given_to_another(keep, tmp_path):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 5000000"})
    server = keep([echo], worker_visibility="1s")
    done = finished(server, submit(server, "slow", number(1)))
    assert done["state"] == "succeeded" and done["attempts"] == 1


# ---- callbacks


class Receiver:
    """An HTTP server that remembers what it was told, and answers as it is told."""

    def __init__(self, statuses=()):
        self.requests, self.statuses = [], list(statuses)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                status = outer.statuses.pop(0) if outer.statuses else 200
                self.send_response(status)
                if status in (301, 302, 307):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count, timeout_s=40):
        end = time.monotonic() + timeout_s
        while len(self.requests) < count and time.monotonic() < end:
            time.sleep(0.05)
        return self.requests


def check_signature(headers, body, secret=b"secret"):
    fields = dict(part.split("=", 1) for part in headers["Slipway-Signature"].split(","))
    expected = hmac.new(secret, fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert fields["v1"] == expected and abs(time.time() - int(fields["t"])) < 60


def test_the_end_of_a_job_is_told(keep):
    receiver = Receiver([500, 307])
    server = keep([MODELS / "doubleit"], jobs_callback_allow=f"{receiver.url}/hooks!private", jobs_callback_secret="secret")
    job = submit(server, "doubleit", {"inputs": [X]}, f"?callback={receiver.url}/hooks/1")
    assert finished(server, job)["state"] == "succeeded"
    requests = receiver.wait(3)
    assert len(requests) == 3 and {path for path, _, _ in requests} == {"/hooks/1"}, requests
    assert len({headers["Slipway-Event-Id"] for _, headers, _ in requests}) == 1
    for _, headers, body in requests:
        check_signature(headers, body)
        event = json.loads(body)
        assert event["event"] == "job.succeeded" == headers["Slipway-Event"] and event["job"]["id"] == job
    cancelled = submit(server, "doubleit", {"inputs": [X]}, f"?callback={receiver.url}/hooks/2&delay=1h")
    assert server.post(f"/v2/jobs/{cancelled}/cancel").status == 200
    assert json.loads(receiver.wait(4)[3][2])["event"] == "job.cancelled"


def test_a_callback_survives_a_restart(keep, tmp_path):
    receiver = Receiver()
    options = {"jobs_callback_allow": f"{receiver.url}!private", "jobs_callback_secret": "secret"}
    first = keep([MODELS / "doubleit"], worker_enabled="false", **options)
    job = submit(first, "doubleit", {"inputs": [X]}, f"?callback={receiver.url}/x&delay=1h")
    assert first.post(f"/v2/jobs/{job}/cancel").status == 200
    first.stop()
    assert receiver.requests == []
    keep([MODELS / "doubleit"], **options)
    assert len(receiver.wait(1)) == 1


def test_callbacks_inside_are_refused(keep):
    receiver = Receiver()
    port = receiver.server.server_port
    server = keep([MODELS / "doubleit"], jobs_callback_allow=[receiver.url, f"http://localhost:{port}"],
                  jobs_callback_secret="secret", jobs_callback_tries="1")
    for url in [receiver.url, f"http://localhost:{port}/x"]:
        job = submit(server, "doubleit", {"inputs": [X]}, f"?callback={url}")
        assert finished(server, job)["state"] == "succeeded"
    server.wait_until(lambda: server.log().count("callback given up") == 2, "two refusals")
    assert receiver.requests == [] and "private network" in server.log()
    for url in ["http://169.254.169.254/latest", "file:///etc/passwd", f"{receiver.url}.evil.example/", f"{receiver.url}@evil/"]:
        assert server.post(f"/v2/models/doubleit/jobs?callback={url}", {"inputs": [X]}).status in (400, 403), url


def test_callbacks_without_a_secret_are_a_mistake():
    run = subprocess.run([BINARY, "serve", str(MODELS / "doubleit"), "--http-port=0", "--jobs-callback-allow=a.com"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode != 0 and "callback_secret" in run.stderr
