"""The whole way on AWS outside Lambda: a backend's messages in SQS, a worker, the model, the result in DynamoDB, and the
metric that alarms watch in CloudWatch. SQS is this server's own endpoint, DynamoDB and CloudWatch are moto's."""
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import time

import boto3
import pytest

import moto
from faults import Faults
from slipway import BINARY, MODELS, echo_repository
from sqs_worker import KEYS, REGION, Queues, SqsWorker

EVENTS = pathlib.Path(__file__).parent / "events"
PROJECTED = ["model", "version", "variant", "message_group", "queue", "key", "trace_id", "state", "source", "status", "done_us",
             "bytes", "expires_at", "lent"]


@pytest.fixture(scope="module")
def cloud():
    if not moto.is_there():
        pytest.skip("no moto: tools/setup cloud brings it")
    with moto.Moto() as running:
        yield running.endpoint


def client_of(service, endpoint):
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id="test",
                        aws_secret_access_key="test")


def make_table(endpoint, name):
    client_of("dynamodb", endpoint).create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "shard", "id")],
        GlobalSecondaryIndexes=[{
            "IndexName": "by_time", "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": PROJECTED},
            "KeySchema": [{"AttributeName": "shard", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]}])


def items_of(endpoint, table, count, timeout_s=60):
    dynamodb = client_of("dynamodb", endpoint)
    end = time.monotonic() + timeout_s
    while True:
        found = [item for item in dynamodb.scan(TableName=table)["Items"] if item["pk"]["S"].startswith("r#")]
        if len(found) >= count or time.monotonic() > end:
            return found
        time.sleep(0.1)


def sum_of(endpoint, metric):
    now = datetime.datetime.now(datetime.timezone.utc)
    points = client_of("cloudwatch", endpoint).get_metric_statistics(
        Namespace="Slipway", MetricName=metric, Dimensions=[{"Name": "Service", "Value": "walk"}, {"Name": "Env", "Value": "test"}],
        StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(hours=1), Period=3600,
        Statistics=["Sum"])["Datapoints"]
    return sum(point["Sum"] for point in points)


def records_of_events():
    """Bodies and queues of the events that the functions of the cloud get; their digests are the bodies'."""
    found = []
    for path in sorted(EVENTS.glob("*.json")):
        for record in json.loads(path.read_text())["Records"]:
            assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
            found.append((record["eventSourceARN"].rsplit(":", 1)[1], record))
    return found


def test_from_the_backend_to_the_alarm(slipway_endpoint, cloud, tmp_path):
    queues, records = Queues(slipway_endpoint), records_of_events()
    table = "walk-results"
    make_table(cloud, table)
    names, sent = {}, {}
    for queue, record in records:
        fifo = queue.endswith(".fifo")
        if queue not in names:
            names[queue] = queues.create(queue.replace(".fifo", ""), fifo=fifo, receives=2)
        more = {}
        if fifo:
            more = {"MessageGroupId": record["attributes"]["MessageGroupId"],
                    "MessageDeduplicationId": record["attributes"]["MessageDeduplicationId"]}
        sent[queues.send(names[queue], record["body"], **more)] = (record["body"], names[queue])
    [plain] = [name for name in names.values() if not name.endswith(".fifo")]
    poison = queues.send(plain, "__import__('os').system('id')")
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": cloud, "AWS_ENDPOINT_URL_CLOUDWATCH": cloud}
    with SqsWorker([MODELS / "doubleit"], slipway_endpoint, names.values(), environment=environment,
                   data_url=f"dynamodb:{table}", metrics_cloudwatch="Slipway", metrics_cloudwatch_interval="1s",
                   metrics_cloudwatch_dimensions=["Service=walk", "Env=test"]) as worker:
        items = items_of(cloud, table, len(sent) + 1)
        assert len(items) == len(sent) + 1, (items, worker.log())
        for name in names.values():
            worker.wait_empty(queues, name)
        worker.wait_until(lambda: sum_of(cloud, "InferenceFailed") == 1, "the alarm's metric")
        worker.wait_until(lambda: sum_of(cloud, "InferenceSucceeded") == len(sent), "the count")
        found = {one["message_id"]: one for name in names.values() for one in
                 worker.get(f"/v2/results?queue={name}").json()["results"]}
        for message, (body, name) in sent.items():
            assert found[message]["queue"] == name and found[message]["state"] == "succeeded"
            assert worker.output(found[message]) == [2 * value for value in json.loads(body)]
        assert found[poison]["state"] == "failed" and found[poison]["status"] == "INVALID_ARGUMENT"
    dead = queues.receive(queues.dead(plain), 1)
    assert [message["Body"] for message in dead] == ["__import__('os').system('id')"]


def test_each_message_is_one_item_whoever_dies(slipway_endpoint, cloud, tmp_path):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 50000"})
    queues, table = Queues(slipway_endpoint), "deaths-results"
    make_table(cloud, table)
    name = queues.create(VisibilityTimeout=3, receives=20)
    fifo = queues.create(fifo=True, VisibilityTimeout=3, receives=20)
    number = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[%d]}]}'
    sent = {queues.send(name, number % value) for value in range(20)}
    sent |= {queues.send(fifo, number % value, MessageGroupId="g", MessageDeduplicationId=str(value)) for value in range(8)}
    first = queues.send(name, number % 50, {"idempotency-key": "order-1"})
    same = queues.send(name, number % 50, {"idempotency-key": "order-1"})
    options = {"environment": {"AWS_ENDPOINT_URL_DYNAMODB": cloud}, "data_url": f"dynamodb:{table}"}
    for life in range(2):
        worker = SqsWorker([echo], slipway_endpoint, [name, fifo], **options)
        worker.start()
        worker.wait_until(lambda: worker.count("slipway_worker_in_flight") > 0, "work in hand")
        time.sleep(0.1 * life)
        worker.kill()
    with SqsWorker([echo], slipway_endpoint, [name, fifo], **options) as worker:
        worker.wait_empty(queues, name, 60)
        worker.wait_empty(queues, fifo, 60)
    items = items_of(cloud, table, len(sent) + 1)
    messages = [item["message_id"]["S"] for item in items]
    assert len(messages) == len(sent) + 1 and set(messages) - {first, same} == sent, messages
    assert {item["state"].get("S", item["state"].get("N")) for item in items} in ({"succeeded"}, {"2"}), items[0]


def test_cloudwatch_is_told_and_misses_nothing(slipway_endpoint, cloud, tmp_path):
    """The counts of a worker that CloudWatch could not hear for a while come with the next."""
    queues = Queues(slipway_endpoint)
    name = queues.create(receives=5)
    before = sum_of(cloud, "InferenceSucceeded")
    with Faults(cloud) as proxy:
        proxy.plan("PutMetricData", "error", times=7)
        with SqsWorker([MODELS / "doubleit"], slipway_endpoint, [name], data_directory=tmp_path,
                       environment={"AWS_ENDPOINT_URL_CLOUDWATCH": proxy.endpoint},
                       metrics_cloudwatch="Slipway", metrics_cloudwatch_interval="1s",
                       metrics_cloudwatch_dimensions=["Service=walk", "Env=test"]) as worker:
            worker.wait_until(lambda: "CloudWatch is not told" in worker.log(), "a warning")
            for value in range(5):
                queues.send(name, f"[{value}]")
            worker.wait_until(lambda: sum_of(cloud, "InferenceSucceeded") == before + 5, "the counts")
            queues.send(name, "[6]")
            worker.wait_empty(queues, name)
        # What was left was told at the end.
        assert sum_of(cloud, "InferenceSucceeded") == before + 6
        assert proxy.left() == 0


def test_a_namespace_that_cloudwatch_does_not_take_ends_the_start(tmp_path):
    result = subprocess.run([BINARY, "worker", str(MODELS / "doubleit"), "--queue=sqs:q", "--metrics-cloudwatch=AWS/Mine",
                             f"--data-directory={tmp_path}"], env=dict(os.environ, **KEYS), capture_output=True, text=True,
                            timeout=60)
    assert result.returncode != 0 and "AWS/Mine" in result.stderr, result.stderr
