"""What app.yaml expects of the binary, asked of the binary: the workflow's check, and the metrics that alarms look at. The part of
Lambda is played by a small Runtime API, that of DynamoDB by moto; nothing of AWS is reached."""
import contextlib
import hashlib
import json
import os
import queue
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

import checks
from template import REGION, ROOT, evaluate, example, load

BINARY = os.environ.get("SLIPWAY_BINARY", ROOT / "build" / "release" / "slipway")


class Runtime(ThreadingHTTPServer):
    """Gives events, keeps answers."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.events, self.answers = queue.Queue(), queue.Queue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def ask(self, event):
        self.events.put(event)
        return self.answers.get(timeout=20)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if not self.path.endswith("/runtime/invocation/next"):
            threading.Event().wait(120)  # an extension's next event, which never comes
            return
        event = json.dumps(self.server.events.get()).encode()
        self.reply(200, event, (("Lambda-Runtime-Aws-Request-Id", "r-1"), ("Lambda-Runtime-Deadline-Ms", "99999999999999"),
                                ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:f:7")))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if "/runtime/" in self.path:
            self.server.answers.put((self.path.rsplit("/", 1)[1], json.loads(body)))
        self.reply(202 if "/runtime/" in self.path else 200, b'{"status":"OK"}', (("Lambda-Extension-Identifier", "e"),))


RESOURCES = evaluate(load("app.yaml"), example("main"))


@pytest.fixture(scope="module")
def table():
    """The template's table, and what a client needs to reach it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": REGION,
             "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    client = boto3.client("dynamodb", REGION, endpoint_url=given["AWS_ENDPOINT_URL"], aws_access_key_id="id",
                          aws_secret_access_key="secret")
    asked = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    client.create_table(TableName="results", **{key: RESOURCES["Table"]["Properties"][key] for key in asked})
    yield client, given
    server.stop()


MODEL = ROOT / "models" / "doubleit_onnx"


@contextlib.contextmanager
def running(properties, directory, **changes):
    """The binary with a function's variables."""
    runtime = Runtime()
    variables = properties["Environment"]["Variables"]
    given = {name: value.replace("<Table>", "results").replace("<Payloads>", "payloads") for name, value in variables.items()}
    given |= {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_port}", "AWS_LAMBDA_FUNCTION_VERSION": "7",
              "AWS_LAMBDA_FUNCTION_NAME": properties["FunctionName"], "PATH": os.environ["PATH"],
              "SLIPWAY_MODEL_FETCH_DIRECTORY": str(directory / "models"), **changes}
    output = directory / "output"
    with open(output, "wb") as file:
        process = subprocess.Popen([BINARY, *properties["ImageConfig"]["Command"]], stdout=file, stderr=subprocess.STDOUT,
                                   env=given)
    yield runtime, output
    process.kill()
    process.wait()
    runtime.shutdown()


@pytest.fixture(scope="module")
def function(table, tmp_path_factory):
    """Models from the source."""
    with running(RESOURCES["Function"]["Properties"], tmp_path_factory.mktemp("function"), **table[1],
                 SLIPWAY_MODEL_REPOSITORY=str(MODEL)) as started:
        yield started


@pytest.mark.parametrize("file", ["model.onnx", "SHA256SUMS"])
def test_models_of_s3_are_found_by_the_templates_variables(table, tmp_path, file):
    bucket = "slipway-models-" + ("list" if file == "SHA256SUMS" else "file")
    model = (MODEL / "1/model.onnx").read_bytes()
    files = {"model.onnx": model, "SHA256SUMS": f"{hashlib.sha256(model).hexdigest()}  model.onnx\n".encode()}
    s3 = boto3.client("s3", REGION, endpoint_url=table[1]["AWS_ENDPOINT_URL"], aws_access_key_id="id", aws_secret_access_key="secret")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, body in files.items():
        s3.put_object(Bucket=bucket, Key=f"double/7/{name}", Body=body)
    resources = evaluate(load("app.yaml"), example("main", ModelFolder=f"{bucket}/double/7", ModelFile=file,
                                                   ModelSha256=hashlib.sha256(files[file]).hexdigest()))
    with running(resources["Function"]["Properties"], tmp_path, **table[1]) as (runtime, output):
        assert runtime.ask([1, 2, 3, 4, 5]) == ("response", [2, 4, 6, 8, 10]), output.read_text()
        _, answer = runtime.ask({"slipway": {"task": "check"}})
        assert answer["ok"] is True, answer


def test_the_hook_starts_without_models(tmp_path):
    with running(RESOURCES["Hook"]["Properties"], tmp_path) as (runtime, output):
        assert runtime.ask({"slipway": {"task": "ping"}}) == ("response", {"ok": True, "models": 0}), output.read_text()
        kind, answer = runtime.ask({"slipway": {"task": "check"}})
        assert kind == "error" and "no models" in answer["errorMessage"]


def test_the_workflow_understands_the_check(function):
    """Its payload is a task that the function knows, and the answer has what the workflow chooses by."""
    state = RESOURCES["Workflow"]["Properties"]["Definition"]["States"]["Check"]
    kind, answer = function[0].ask(state["Parameters"]["Payload"])
    assert kind == "response", (answer, function[1].read_text())
    assert state["ResultSelector"] == {"ok.$": "$.Payload.ok"} and answer["ok"] is True


def metrics_of(output):
    """Name and dimension set of every metric that was written."""
    found = set()
    for line in output.read_text().splitlines():
        record = json.loads(line)
        for directive in record.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                values = tuple((name, record[name]) for name in names)
                found |= {(directive["Namespace"], metric["Name"], values) for metric in directive["Metrics"]}
    return found


def test_a_message_leaves_its_result_in_the_table_and_what_alarms_look_at(function, table):
    runtime, output = function
    record = {"messageId": "m", "receiptHandle": "h", "body": "[1,2,3,4,5]",
              "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}, "eventSource": "aws:sqs",
              "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:slipway-main-standard", "awsRegion": "eu-west-1"}
    assert runtime.ask({"Records": [record]}) == ("response", {"batchItemFailures": []})
    found = [item for shard in range(8) for item in table[0].query(
        TableName="results", IndexName="by_time", KeyConditionExpression="shard = :s",
        ExpressionAttributeValues={":s": {"S": str(shard)}})["Items"]]
    assert len(found) == 1 and found[0]["model"]["S"] == "doubleit_onnx", found
    written = metrics_of(output)
    version = {"<Function.Version.Version>": "7"}
    looked_at = [(space, metric, tuple((key, version.get(value, value)) for key, value in pairs))
                 for one in RESOURCES.values() if one["Type"] == "AWS::CloudWatch::Alarm"
                 for space, metric, pairs in checks.stats_of(one["Properties"]) if space == "Slipway"]
    assert len(looked_at) >= 3 and set(looked_at) <= written
    assert ("Slipway", "InferenceLatency", (("Service", "slipway"), ("Env", "main"), ("Variant", "champion"))) in written
