"""The worker's rights, as docs/aws.md gives them, with moto checking signatures and policies: with all of them it works; with one less,
or with wrong keys, it says what is missing, and loses nothing."""
import copy
import json
import pathlib

import boto3
import pytest

import moto
from slipway import MODELS
from sqs_worker import REGION, SqsWorker
from test_walk import client_of, make_table

POLICY = json.loads((pathlib.Path(__file__).resolve().parents[2] / "deploy" / "cloudformation" / "worker-policy.json").read_text())
ACCOUNT = "123456789012"
BODY = "[1,2,3,4,5]"


class Account:
    """A queue with one message, a table, and a role; from then on everything is checked."""

    def __init__(self, aws, policy):
        self.aws = aws
        aws.check_rights(1000)
        self.sqs, iam = client_of("sqs", aws.endpoint), client_of("iam", aws.endpoint)
        self.url = self.sqs.create_queue(QueueName="in", Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
        self.sqs.send_message(QueueUrl=self.url, MessageBody=BODY)
        make_table(aws.endpoint, "results")
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        arn = iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        text = json.dumps(policy).replace("REGION", REGION).replace("ACCOUNT", ACCOUNT).replace("QUEUE", "in").replace("TABLE", "results")
        iam.put_role_policy(RoleName="worker", PolicyName="worker", PolicyDocument=text)
        keys = client_of("sts", aws.endpoint).assume_role(RoleArn=arn, RoleSessionName="worker")["Credentials"]
        self.keys = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
                     "AWS_SESSION_TOKEN": keys["SessionToken"]}
        iam.create_user(UserName="admin")
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.put_user_policy(UserName="admin", PolicyName="admin", PolicyDocument=json.dumps(everything))
        admin = iam.create_access_key(UserName="admin")["AccessKey"]
        self.admin = lambda service: boto3.client(service, endpoint_url=aws.endpoint, region_name=REGION, aws_access_key_id=admin["AccessKeyId"],
                                                  aws_secret_access_key=admin["SecretAccessKey"])
        self.sqs = self.admin("sqs")
        aws.check_rights()

    def worker(self, **keys):
        environment = {**self.keys, **keys, "AWS_ENDPOINT_URL_DYNAMODB": self.aws.endpoint, "AWS_ENDPOINT_URL_CLOUDWATCH": self.aws.endpoint}
        worker = SqsWorker([MODELS / "doubleit_onnx"], self.aws.endpoint, ["in"], environment=environment, data_url="dynamodb:results",
                           metrics_cloudwatch="Slipway", metrics_cloudwatch_interval="1s", drain_grace="1s")
        worker.ready = False
        return worker

    def depth(self):
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def metrics(self):
        return self.admin("cloudwatch").list_metrics(Namespace="Slipway")["Metrics"]

    def records(self):
        items = self.admin("dynamodb").scan(TableName="results")["Items"]
        return [item for item in items if item["pk"]["S"].startswith("r#")]

    def says_no_secret(self, log):
        assert not [name for name, value in self.keys.items() if name != "AWS_ACCESS_KEY_ID" and value in log]


@pytest.fixture
def account():
    if not moto.is_there():
        pytest.skip("SKIPPED: no moto (tools/setup test brings it)")
    with moto.Moto() as aws:
        yield lambda policy=POLICY: Account(aws, policy)


def without(action):
    policy = copy.deepcopy(POLICY)
    for statement in policy["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != action]
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Action"]]
    return policy


def test_the_rights_suffice(account):
    there = account()
    with there.worker() as worker:
        worker.wait_until(lambda: there.depth() == 0, "an empty queue")
        worker.wait_until(there.metrics, "metrics")
        assert len(there.records()) == 1
        assert "AccessDenied" not in worker.log() and "not authorized" not in worker.log(), worker.log()
        there.says_no_secret(worker.log())


# What the worker does not need for a plain message is left to the tests of what needs it.
NEEDED = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage", "dynamodb:PutItem"]


@pytest.mark.parametrize("action", NEEDED)
def test_one_right_less(account, action):
    there = account(without(action))
    with there.worker() as worker:
        if action in ("sqs:DeleteMessage", "dynamodb:PutItem"):
            worker.expected_exit_code = -15  # it ends with a message in hand, and says so
        worker.wait_until(lambda: "AccessDenied" in worker.log() or "not authorized" in worker.log(), f"a word about {action}", 60)
        log = worker.log()
        assert action.split(":")[1] in log, log
        assert there.depth() == 1, log
        assert len(there.records()) == (1 if action == "sqs:DeleteMessage" else 0)
        there.says_no_secret(log)


def test_who_may_not_describe_a_table_may_use_it(account):
    there = account(without("dynamodb:DescribeTable"))
    with there.worker() as worker:
        worker.wait_until(lambda: there.depth() == 0, "an empty queue")
        assert len(there.records()) == 1


@pytest.mark.parametrize("wrong, expected", [({"AWS_SECRET_ACCESS_KEY": "x" * 40}, "SignatureDoesNotMatch"),
                                             ({"AWS_ACCESS_KEY_ID": "ASIAUNKNOWN"}, "InvalidClientTokenId"),
                                             ({"AWS_SESSION_TOKEN": "x"}, "InvalidClientTokenId")])
def test_wrong_keys(account, wrong, expected):
    there = account()
    with there.worker(**wrong) as worker:
        worker.wait_until(lambda: expected in worker.log(), expected, 60)
        there.says_no_secret(worker.log())
        assert there.depth() == 1
