"""boto3 against the real binary, for the tests of SQS's protocol. Import the fixtures by name:

    from sqs_boto import sqs, queue      # noqa: F401

`sqs` is a client of a server that all tests of a file share; `queue(**attributes)` makes a queue with a name of its own.
Each line of the protocol's conformance list has a test that is named after it (test_C1_...). What takes minutes by the
clock (five of deduplication, sixty seconds of purging) is tested with a clock of our own in tests/conform/queue.
"""
import itertools
import tempfile

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from slipway import Server

REGION = "eu-west-3"
ACCOUNT = "000000000000"
NAMES = itertools.count(1)


def connect(server, key="AKIDTEST", secret="secret", session=None, **more):
    """A client that tries once: a retry would hide what the first answer was."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=30, connect_timeout=5, **more)
    return boto3.client("sqs", endpoint_url=server.address(), region_name=REGION, aws_access_key_id=key,
                        aws_secret_access_key=secret, aws_session_token=session, config=config)


class SqsServer(Server):
    """Ready when its queues are: it answers health before its data store is open."""

    def start(self):
        super().start()
        self.wait_until(lambda: "data store open" in self.log() or "--data-url=none" in self.arguments, "the data store")
        return self


def start_server(directory, **options):
    options.setdefault("data_url", f"sqlite:{directory}/slipway.db")
    return SqsServer([directory], **options)


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="slipway-sqs-") as directory, start_server(directory) as running:
        yield running


@pytest.fixture(scope="module")
def sqs(server):
    return connect(server)


@pytest.fixture
def queue(sqs):
    """queue(fifo=False, **attributes) -> its URL; all of them are deleted at the end."""
    made = []

    def make(fifo=False, **attributes):
        name = f"test-{next(NAMES)}" + (".fifo" if fifo else "")
        if fifo:
            attributes.setdefault("FifoQueue", "true")
        url = sqs.create_queue(QueueName=name, Attributes={key: str(value) for key, value in attributes.items()})
        made.append(url["QueueUrl"])
        return made[-1]

    yield make
    for url in made:
        try:
            sqs.delete_queue(QueueUrl=url)
        except sqs.exceptions.QueueDoesNotExist:
            pass


def arn(url):
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rsplit('/', 1)[1]}"


def attributes(sqs, url, *names):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names) or ["All"]).get("Attributes", {})


def counts(sqs, url):
    """(visible, in flight, delayed)"""
    found = attributes(sqs, url)
    return tuple(int(found[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible", "Delayed"))


def send(sqs, url, body, group=None, dedup=None, **more):
    if group is not None:
        more["MessageGroupId"] = group
    if dedup is not None:
        more["MessageDeduplicationId"] = dedup
    return sqs.send_message(QueueUrl=url, MessageBody=body, **more)


def receive(sqs, url, count=10, wait=0, **more):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count, WaitTimeSeconds=wait, **more).get("Messages", [])


def bodies(messages):
    return [message["Body"] for message in messages]


def refused(call, code, message=None, status=400, **parameters):
    """The call must fail with this code, and this text if one is given; returns the failure."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    assert error["Error"]["Code"] == code, error
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status, error
    assert error["ResponseMetadata"]["RequestId"]
    if message is not None:
        assert error["Error"]["Message"] == message
    return error
