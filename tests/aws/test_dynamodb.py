"""Results in DynamoDB through the real binary: what is written once whatever fails on the way, and what is shown."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

import dynamodb
from slipway import BINARY, MODELS, Server, tensor

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOUBLEIT = MODELS / "doubleit"
KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}]
ATTRIBUTES = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "shard", "id")]


def projected():
    """What the template for AWS has, so that template and store cannot part."""
    template = (ROOT / "deploy/cloudformation/app.yaml").read_text(encoding="utf-8")
    return re.findall(r"\w+", re.search(r"NonKeyAttributes: \[([^\]]*)\]", template).group(1))


def index(names):
    return [{"IndexName": "by_time", "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": names},
             "KeySchema": [{"AttributeName": "shard", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]}]


@pytest.fixture(scope="module")
def emulators():
    if not dynamodb.is_there():
        pytest.skip("no DynamoDB Local: tools/setup test brings it")
    with dynamodb.Emulators() as running:
        yield running


@pytest.fixture
def aws(emulators):
    """An empty table, and no faults."""
    emulators.faults([])
    client = emulators.client()
    if "results" in client.list_tables()["TableNames"]:
        client.delete_table(TableName="results")
    client.create_table(TableName="results", KeySchema=KEYS, AttributeDefinitions=ATTRIBUTES,
                        BillingMode="PAY_PER_REQUEST", GlobalSecondaryIndexes=index(projected()))
    yield emulators
    emulators.faults([])


@contextlib.contextmanager
def serve(aws, **options):
    with Server([DOUBLEIT], environment=aws.environment, data_results_url="dynamodb:results", **options) as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "store and queues")
        yield server


def infer(server, value=3.0, **headers):
    reply = server.infer("doubleit", [tensor("x", "FP32", [1, 4], [value] * 4)], headers=headers)
    assert reply.status == 200, reply
    return reply


def records(server, count, query=""):
    end = time.monotonic() + 30
    while True:
        reply = server.get(f"/v2/results?payload=true{query}")
        assert reply.status == 200, (reply, server.log())
        found = reply.json()["results"]
        if len(found) >= count:
            assert len(found) == count, found
            return found
        assert time.monotonic() < end, f"{len(found)} records, not {count}: {server.log()}"
        time.sleep(0.05)


def items(aws):
    found = aws.client().scan(TableName="results", ConsistentRead=True)["Items"]
    return [item for item in found if item["pk"]["S"].startswith("r#")]


def finished_job(server, identity):
    end = time.monotonic() + 30
    while True:
        job = server.get(f"/v2/jobs/{identity}").json()
        if job["state"] not in ("pending", "running"):
            return job
        assert time.monotonic() < end, (job, server.log())
        time.sleep(0.05)


def post_job(server, **headers):
    body = json.dumps({"inputs": [tensor("x", "FP32", [1, 4], [1.0] * 4)]}).encode()
    return server.post("/v2/models/doubleit/jobs", body=body,
                       headers={"Content-Type": "application/json", **headers})


def command(aws, *arguments, code=0):
    done = subprocess.run([BINARY, "results", *arguments, "--data-url", "dynamodb:results"], capture_output=True,
                          timeout=60, env=dict(os.environ, **aws.environment))
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return (done.stdout if code == 0 else done.stderr).decode()


def test_results_are_shown_listed_and_exported(aws):
    with serve(aws) as server:
        for i in range(5):
            infer(server, float(i))
        found = records(server, 5)
        assert [r["id"] for r in found] == sorted((r["id"] for r in found), reverse=True)
        assert found[0]["output"]["json"]["outputs"][0]["data"] == [8.0] * 4
        assert server.get("/v2/results/" + found[0]["id"]).json()["id"] == found[0]["id"]
        page = server.get("/v2/results?limit=2").json()
        assert len(page["results"]) == 2 and page["next"]
    assert found[0]["id"] in command(aws, "list")
    assert found[0]["id"] in command(aws, "show", found[0]["id"])
    assert len(command(aws, "export", "--format", "ndjson").splitlines()) == 5
    item = items(aws)[0]
    assert int(item["expires_at"]["N"]) > time.time() + 29 * 86400  # record.keep_age


@pytest.mark.parametrize("fault", ["lost", "half", "throttled", "trouble", "reset", "expired", "skewed"])
def test_one_record_whatever_happens_to_a_put(aws, fault):
    # "expired" is final with keys of the environment: such a record is lost, and said to be.
    with serve(aws) as server:
        aws.faults([{"operation": "PutItem", "fault": fault, "count": 1}])
        infer(server)
        if fault == "expired":
            server.wait_until(lambda: "ExpiredToken" in server.log(), "the failure")
            return
        assert records(server, 1)[0]["state"] == "succeeded"
        assert ["PutItem", fault] in aws.log()
    assert len(items(aws)) == 1


@pytest.mark.parametrize("fault", ["lost", "half", "throttled", "trouble", "reset"])
@pytest.mark.parametrize("operation", ["TransactWriteItems", "UpdateItem"])
def test_a_job_has_one_result_whatever_happens_on_the_way(aws, operation, fault):
    with serve(aws) as server:
        aws.faults([{"operation": operation, "fault": fault, "count": 2}])
        reply = post_job(server, **{"Idempotency-Key": "k1"})
        assert reply.status == 202, (reply, server.log())
        identity = reply.json()["id"]
        job = finished_job(server, identity)
        assert job["state"] == "succeeded", (job, server.log())
        assert job["attempts"] == 1, job
        assert [operation, fault] in aws.log()
        again = post_job(server, **{"Idempotency-Key": "k1"})
        assert again.json()["id"] == identity
        assert len(records(server, 1)) == 1
    found = items(aws)
    assert len(found) == 1 and found[0]["attempts"]["N"] == "1"


def test_a_list_goes_on_where_keys_are_left_unprocessed(aws):
    with serve(aws) as server:
        for i in range(4):
            infer(server, float(i))
        records(server, 4)
        aws.faults([{"operation": "BatchGetItem", "fault": "unprocessed", "count": 3},
                    {"operation": "Query", "fault": "throttled", "count": 2}])
        found = records(server, 4)
        assert len({r["id"] for r in found}) == 4
        assert sum(entry == ["BatchGetItem", "unprocessed"] for entry in aws.log()) == 3


def test_large_payloads_lie_in_s3_and_are_checked(aws):
    values = [1.5] * 60000
    with serve(aws, record_bytes_max="10MiB", data_results_spill="s3://bucket/results") as server:
        reply = server.infer("doubleit", [tensor("x", "FP32", [15000, 4], values)])
        assert reply.status == 200
        record = records(server, 1)[0]
        assert record["output"]["json"]["outputs"][0]["data"][:3] == [3.0] * 3
        item = items(aws)[0]
        assert "output" not in item and item["output_at"]["S"].startswith(f"results/{record['id']}/output-")
        aws.faults([{"operation": "GET", "fault": "corrupt", "count": 9}])
        reply = server.get("/v2/results/" + record["id"])
        assert reply.status == 500 and "is not what was written to S3" in reply.error()


def test_a_record_that_has_expired_is_not_there(aws):
    with serve(aws) as server:
        infer(server)
        record = records(server, 1)[0]
        aws.client().update_item(TableName="results", Key={"pk": {"S": "r#" + record["id"]}},
                                 UpdateExpression="SET expires_at = :then",
                                 ExpressionAttributeValues={":then": {"N": str(int(time.time()) - 5)}})
        assert server.get("/v2/results/" + record["id"]).status == 404
        assert records(server, 0) == []


def test_a_table_that_is_missing_or_anothers_is_named(aws):
    client = aws.client()
    names = projected()
    assert "has no table 'missing'" in command(aws, "list", "--data-results-url", "dynamodb:missing", code=66)
    assert "missing" not in client.list_tables()["TableNames"]
    for table, keys, indexes, complaint in (
            ("ranged", KEYS + [{"AttributeName": "id", "KeyType": "RANGE"}], index(names), "other keys"),
            ("plain", KEYS, None, "has no index"),
            ("poor", KEYS, index(names[1:]), f"does not project '{names[0]}'")):
        more = {"GlobalSecondaryIndexes": indexes} if indexes else {}
        used = {key["AttributeName"] for part in [keys] + [i["KeySchema"] for i in indexes or []] for key in part}
        client.create_table(TableName=table, KeySchema=keys, BillingMode="PAY_PER_REQUEST",
                            AttributeDefinitions=[a for a in ATTRIBUTES if a["AttributeName"] in used], **more)
        try:
            assert complaint in command(aws, "list", "--data-results-url", f"dynamodb:{table}", code=65)
        finally:
            client.delete_table(TableName=table)


def test_nothing_secret_is_said(aws):
    with serve(aws, log_level="debug") as server:
        aws.faults([{"operation": "PutItem", "fault": "expired", "count": 5}])
        infer(server)
        server.wait_until(lambda: "ExpiredToken" in server.log(), "the failure")
        assert "a secret of the tests" not in server.log()
