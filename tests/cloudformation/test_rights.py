"""Roles of app.yaml against moto with signatures and policies checked: what a role needs passes, the rest is refused."""
import json
import time

import boto3
import botocore.exceptions
import pytest
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count
from moto.dynamodb.responses import DynamoHandler
from moto.logs.responses import LogsResponse

import checks
from template import REGION, example, load

ACCOUNT = "123456789012"  # moto's
PREFIX = f":{REGION}:{ACCOUNT}:"
QUEUES = {"Standard": "slipway-{}-standard", "StandardDead": "slipway-{}-standard-dead", "Fifo": "slipway-{}.fifo",
          "FifoDead": "slipway-{}-dead.fifo"}


def as_json(body):
    return body if isinstance(body, dict) else json.loads(body)


def table_of(self):
    """The resource of a request. moto finds it out for SQS only and takes every other policy for one on *."""
    body = as_json(self.body)
    arn = f"arn:aws:dynamodb{PREFIX}table/{body.get('TableName', '*')}"
    return f"{arn}/index/{body['IndexName']}" if "IndexName" in body else arn


def group_of(self):
    return f"arn:aws:logs{PREFIX}log-group:{as_json(self.body).get('logGroupName', '*')}:*"


@pytest.fixture(autouse=True)
def resources(monkeypatch):
    monkeypatch.setattr(DynamoHandler, "_determine_resource", table_of, raising=False)
    monkeypatch.setattr(LogsResponse, "_determine_resource", group_of, raising=False)


def arns(environment):
    """What the deployed resources would be called."""
    return {**{f"<{name}.Arn>": f"arn:aws:sqs{PREFIX}{queue.format(environment)}" for name, queue in QUEUES.items()},
            "<Table.Arn>": f"arn:aws:dynamodb{PREFIX}table/results", "<Payloads.Arn>": "arn:aws:s3:::payloads", "<Key.Arn>": f"arn:aws:kms{PREFIX}key/k",
            "<LogGroup.Arn>": f"arn:aws:logs{PREFIX}log-group:slipway-log:*",
            "<WorkflowLog.Arn>": f"arn:aws:logs{PREFIX}log-group:workflow-log:*"}


def documents(role, environment, **changes):
    policies = checks.Subject(load("app.yaml"), example(environment, **changes)).plain[role]["Properties"]["Policies"]
    text = json.dumps([policy["PolicyDocument"] for policy in policies])
    for name, arn in arns(environment).items():
        text = text.replace(name, arn)
    return json.loads(text)


class Account:
    """Queues, tables and logs of an environment, and of somebody else."""

    def __init__(self, role, environment, **changes):
        sqs, dynamodb, logs = (boto3.client(name, region_name=REGION) for name in ("sqs", "dynamodb", "logs"))
        self.urls = {}
        for name, queue in {**{key: text.format(environment) for key, text in QUEUES.items()}, "Other": "payroll"}.items():
            attributes = {"FifoQueue": "true"} if queue.endswith(".fifo") else {}
            self.urls[name] = sqs.create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"]
        for table in ("results", "payroll"):
            dynamodb.create_table(
                TableName=table, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "shard", "id")],
                GlobalSecondaryIndexes=[{"IndexName": "by_time", "Projection": {"ProjectionType": "ALL"}, "KeySchema": [
                    {"AttributeName": "shard", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]}])
        s3 = boto3.client("s3", region_name=REGION)
        for bucket in ("payloads", "payroll"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            for prefix in ("results", "else"):
                s3.put_object(Bucket=bucket, Key=f"{prefix}/k", Body=b"b")
        for group in ("slipway-log", "payroll-log"):
            logs.create_log_group(logGroupName=group)
        iam = boto3.client("iam", region_name=REGION)
        arn = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]
        for number, document in enumerate(documents(role, environment, **changes)):
            iam.put_role_policy(RoleName="r", PolicyName=f"p{number}", PolicyDocument=json.dumps(document))
        keys = boto3.client("sts", region_name=REGION).assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
        self.session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION)

    def allows(self, service, action, arguments):
        @set_initial_no_auth_action_count(0)
        def call():
            try:
                getattr(self.session.client(service), action)(**arguments)
            except botocore.exceptions.ClientError as error:
                code = error.response["Error"]["Code"]
                assert "Signature" not in code, code
                return error.response["ResponseMetadata"]["HTTPStatusCode"] != 403
            return True
        return call()


EVENT = {"timestamp": int(time.time() * 1000), "message": "m"}
ITEM = {"pk": {"S": "r#1"}}


def calls(account):
    """Every call that matters, as service, action, arguments, by name."""
    urls = account.urls
    made = {}
    for queue in (*QUEUES, "Other"):
        url = {"QueueUrl": urls[queue]}
        made |= {f"receive {queue}": ("sqs", "receive_message", url),
                 f"delete {queue}": ("sqs", "delete_message", {**url, "ReceiptHandle": "h"}),
                 f"look at {queue}": ("sqs", "get_queue_attributes", {**url, "AttributeNames": ["All"]}),
                 f"send {queue}": ("sqs", "send_message", {**url, "MessageBody": "b", **(
                     {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if url["QueueUrl"].endswith(".fifo") else {})}),
                 f"purge {queue}": ("sqs", "purge_queue", url), f"drop {queue}": ("sqs", "delete_queue", url)}
    for table in ("results", "payroll"):
        name = {"TableName": table}
        made |= {f"put {table}": ("dynamodb", "put_item", {**name, "Item": ITEM}),
                 f"get {table}": ("dynamodb", "get_item", {**name, "Key": ITEM}),
                 f"update {table}": ("dynamodb", "update_item", {**name, "Key": ITEM, "UpdateExpression": "SET a = :a",
                                                             "ExpressionAttributeValues": {":a": {"S": "1"}}}),
                 f"remove {table}": ("dynamodb", "delete_item", {**name, "Key": ITEM}),
                 f"query {table}": ("dynamodb", "query", {
                     **name, "IndexName": "by_time", "KeyConditionExpression": "shard = :s",
                     "ExpressionAttributeValues": {":s": {"S": "0"}}}),
                 f"scan {table}": ("dynamodb", "scan", name), f"drop {table}": ("dynamodb", "delete_table", name)}
    for bucket in ("payloads", "payroll"):
        for prefix in ("results", "else"):
            one = {"Bucket": bucket, "Key": f"{prefix}/k"}
            made |= {f"store {bucket} {prefix}": ("s3", "put_object", one), f"fetch {bucket} {prefix}": ("s3", "get_object", one),
                     f"drop {bucket} {prefix}": ("s3", "delete_object", one)}
        made[f"list {bucket}"] = ("s3", "list_objects_v2", {"Bucket": bucket})
    for group in ("slipway-log", "payroll-log"):
        made |= {f"stream {group}": ("logs", "create_log_stream", {"logGroupName": group, "logStreamName": "s"}),
                 f"write {group}": ("logs", "put_log_events", {"logGroupName": group, "logStreamName": "s", "logEvents": [EVENT]}),
                 f"read {group}": ("logs", "filter_log_events", {"logGroupName": group})}
    return made


FUNCTION = {f"{verb} {queue}" for verb in ("receive", "delete", "look at") for queue in ("Standard", "Fifo")} | {
    f"{verb} results" for verb in ("put", "get", "update", "remove", "query")} | {
        "stream slipway-log", "write slipway-log"} | {f"{verb} payloads results" for verb in ("store", "fetch", "drop")}
READS = {f"look at {queue}" for queue in QUEUES} | {"get results", "query results", "read slipway-log"}
TRIES = READS | {"send Standard", "send Fifo"} | {f"{verb} {queue}" for verb in ("receive", "delete")
                                                 for queue in ("StandardDead", "FifoDead")}


@pytest.mark.parametrize("role, environment, expected", [
    ("FunctionRole", "main", FUNCTION), ("FunctionRole", "dev", FUNCTION),
    ("DeveloperRole", "dev", TRIES), ("DeveloperRole", "test", READS),
], ids=["function in main", "function in dev", "developer in dev", "developer in test"])
def test_a_role_may_do_what_it_needs_and_nothing_else(role, environment, expected):
    with mock_aws():
        account = Account(role, environment)
        allowed = {name for name, call in sorted(calls(account).items(), key=lambda one: one[0].startswith(("drop", "purge")))
                   if account.allows(*call)}
    assert allowed == expected


def test_models_of_s3_may_be_read_and_nothing_else():
    with mock_aws():
        account = Account("FunctionRole", "main", ModelFolder="payroll/else", ModelSha256="0" * 64)
        allowed = {name for name, call in calls(account).items() if call[0] == "s3" and account.allows(*call)}
    assert allowed == {f"{verb} payloads results" for verb in ("store", "fetch", "drop")} | {"fetch payroll else"}


def test_a_wider_policy_is_seen(monkeypatch):
    """The proof can fail: with the rights of the example that this began with, far more passes."""
    wide = [{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}]}]
    monkeypatch.setitem(globals(), "documents", lambda role, environment, **changes: wide)
    with mock_aws():
        account = Account("FunctionRole", "main")
        made = calls(account)
        assert account.allows(*made["scan payroll"]) and account.allows(*made["drop payroll"])
        assert not account.allows(*made["receive Standard"])
