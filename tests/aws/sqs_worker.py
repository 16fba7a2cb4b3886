"""`slipway worker` on queues of SQS, and boto3 beside it, for the tests of this directory."""
import itertools
import json
import time

import boto3
from botocore.config import Config

from slipway import Server

REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
NAMES = itertools.count(1)


class Queues:
    """boto3 at an endpoint, and short ways to say things."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.client = boto3.client("sqs", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="test",
                                   aws_secret_access_key="test", config=Config(retries={"total_max_attempts": 1}))

    def create(self, stem="in", fifo=False, receives=None, **attributes):
        """A queue with a name of its own; with `receives` a dead-letter queue behind it, NAME-dead. Its name."""
        end = ".fifo" if fifo else ""
        name = f"{stem}-{next(NAMES)}"
        if fifo:
            attributes["FifoQueue"] = "true"
        if receives:
            dead = {"FifoQueue": "true"} if fifo else {}
            url = self.client.create_queue(QueueName=f"{name}-dead{end}", Attributes=dead)["QueueUrl"]
            arn = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        self.client.create_queue(QueueName=name + end, Attributes={key: str(value) for key, value in attributes.items()})
        return name + end

    def dead(self, name):
        return name.replace(".fifo", "") + "-dead" + (".fifo" if name.endswith(".fifo") else "")

    def url(self, name):
        return self.client.get_queue_url(QueueName=name)["QueueUrl"]

    def send(self, name, body, attributes=None, trace=None, **more):
        more["MessageAttributes"] = {
            key: {"DataType": "String", "StringValue": value} for key, value in (attributes or {}).items()}
        if trace:
            more["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
        return self.client.send_message(QueueUrl=self.url(name), MessageBody=body, **more)["MessageId"]

    def receive(self, name, count, timeout_s=30):
        found, end = [], time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < end:
            reply = self.client.receive_message(QueueUrl=self.url(name), MaxNumberOfMessages=10, WaitTimeSeconds=1,
                                                MessageAttributeNames=["All"], AttributeNames=["All"],
                                                MessageSystemAttributeNames=["All"])
            found += reply.get("Messages", [])
        return found

    def depth(self, name):
        """Messages that are there, visible or not."""
        attributes = self.client.get_queue_attributes(QueueUrl=self.url(name), AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])


class SqsWorker(Server):
    """Its results are asked for over its own HTTP."""

    def __init__(self, models, endpoint, queues, environment=None, **options):
        options.setdefault("worker_sqs_poll", "1s")
        super().__init__(models, environment={**KEYS, "AWS_ENDPOINT_URL_SQS": endpoint, **(environment or {})},
                         queue=[f"sqs:{name}" for name in queues], **options)
        self.arguments[1] = "worker"

    def results(self, queue, count, timeout_s=60):
        found, end = [], time.monotonic() + timeout_s
        while time.monotonic() < end:
            reply = self.get(f"/v2/results?queue={queue}&limit=1000&order=oldest")
            found = reply.json()["results"] if reply.status == 200 else []
            if len(found) >= count:
                break
            time.sleep(0.1)
        assert len(found) == count, (found, self.log())
        return found

    def output(self, result):
        return self.get(f"/v2/results/{result['id']}").json()["output"]["json"]

    def wait_empty(self, queues, name, timeout_s=40):
        end = time.monotonic() + timeout_s
        while queues.depth(name) > 0:
            assert time.monotonic() < end, self.log()
            time.sleep(0.1)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def count(self, metric):
        page = self.get("/metrics").body.decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(metric))
