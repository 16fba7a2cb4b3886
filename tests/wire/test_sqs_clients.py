"""SQS's protocol with AWS's other clients: the JavaScript SDK and the command line, as tools/setup test installs them."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from slipway import ROOT
from sqs_boto import start_server

CLIENTS = ROOT / ".deps" / "clients"
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture(scope="module", params=["", f"{KEY}:{SECRET}"], ids=["open", "signed"])
def server(request, tmp_path_factory):
    options = {"sqs_access_keys": request.param} if request.param else {}
    with start_server(tmp_path_factory.mktemp("clients"), **options) as running:
        yield running


def run(arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(arguments, env={**clean, **environment}, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_the_javascript_sdk(server):
    node = shutil.which("node")
    if not node or not (CLIENTS / "node_modules" / "@aws-sdk" / "client-sqs").exists():
        pytest.skip("SKIPPED, @aws-sdk/client-sqs is not installed: tools/setup test does that where npm is")
    script = pathlib.Path(__file__).parent / "data" / "sqs_client.cjs"
    code, out, err = run([node, str(script), server.address()], NODE_PATH=str(CLIENTS / "node_modules"), KEY=KEY,
                         SECRET=SECRET)
    assert code == 0, err
    assert json.loads(out) == {"url": True, "batch": [1, "InvalidMessageContents"], "bodies": ["ä 😀", "one"],
                               "binary": [0, 255], "group": "g", "left": "0", "listed": True,
                               "failure": [True, "QueueDoesNotExist"]}


def test_the_command_line(server, tmp_path):
    aws = CLIENTS / "aws" / "bin" / "aws"
    if not aws.exists():
        aws = shutil.which("aws")
    if not aws:
        pytest.skip("SKIPPED, the AWS command line is not installed: tools/setup test does that")

    def call(operation, *arguments, fails=None):
        code, out, err = run(
            [str(aws), "--endpoint-url", server.address(), "sqs", operation, *arguments, "--output", "json"],
            AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="eu-west-3", AWS_PAGER="",
            AWS_CONFIG_FILE=str(tmp_path / "none"), AWS_MAX_ATTEMPTS="1")
        if fails:
            assert code != 0 and fails in err, (out, err)
            return None
        assert code == 0, err
        return json.loads(out) if out.strip() else {}

    url = call("create-queue", "--queue-name", "tool", "--attributes", "VisibilityTimeout=60")["QueueUrl"]
    sent = call("send-message", "--queue-url", url, "--message-body", "[1,2,3]")
    found, = call("receive-message", "--queue-url", url, "--attribute-names", "All")["Messages"]
    assert found["MessageId"] == sent["MessageId"] and found["Body"] == "[1,2,3]"
    call("delete-message", "--queue-url", url, "--receipt-handle", found["ReceiptHandle"])
    assert url in call("list-queues")["QueueUrls"]
    call("purge-queue", "--queue-url", url)
    call("get-queue-url", "--queue-name", "nothing", fails="AWS.SimpleQueueService.NonExistentQueue")
    call("delete-queue", "--queue-url", url)
