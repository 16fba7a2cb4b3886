"""SQS's protocol: signatures, the way down, clients that hang up, and what is no request of it."""
import datetime
import http.client
import json
import threading
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.exceptions import ClientError

from sqs_boto import ACCOUNT, REGION, NAMES, bodies, connect, counts, queue, receive, refused, send, server, sqs, start_server  # noqa: F401

TYPE = "application/x-amz-json-1.0"
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def post(server, operation, body, **headers):
    text = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return server.post("/", text, headers={"X-Amz-Target": f"AmazonSQS.{operation}", "Content-Type": TYPE, **headers})


# ---- what is no request, or a wrong one


def test_answers_have_the_headers_clients_look_for(server):
    reply = post(server, "GetQueueUrl", {"QueueName": "nothing"})
    assert reply.status == 400 and reply.headers["Content-Type"] == TYPE
    assert reply.headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert reply.headers["x-amzn-RequestId"]
    assert reply.json() == {"__type": "com.amazonaws.sqs#QueueDoesNotExist",
                            "message": "The specified queue does not exist."}


@pytest.mark.parametrize("name", ["slipway-jobs", "slipway-jobs.fifo", "slipway-jobs-dead", "slipway-jobs-dead.fifo",
                                  "slipway-callbacks", "slipway-callbacks-dead"])
def test_the_queues_of_jobs_are_not_deleted(server, name):
    """A result is written together with what is sent there: without the queue it could not be."""
    server.wait_until(lambda: post(server, "GetQueueUrl", {"QueueName": name}).status == 200, "the queue")
    url = post(server, "GetQueueUrl", {"QueueName": name}).json()["QueueUrl"]
    reply = post(server, "DeleteQueue", {"QueueUrl": url})
    assert reply.status == 400 and reply.json()["__type"].endswith("UnsupportedOperation"), reply.json()
    assert name in reply.json()["message"] and "purge" in reply.json()["message"]
    assert post(server, "PurgeQueue", {"QueueUrl": url}).status == 200


@pytest.mark.parametrize("body", ["x", "[]", '{"QueueName":1}', '{"QueueName":"q"', '{"Attributes":[]}', b"\xff"])
def test_other_bodies_are_refused(server, body):
    reply = post(server, "CreateQueue", body)
    assert reply.status == 400 and reply.json()["__type"].endswith("#SerializationException")


def test_bodies_are_bounded(server):
    assert post(server, "ListQueues", " " * (8 << 20)).status == 400
    assert post(server, "ListQueues", " " * ((8 << 20) + 1)).status == 413


def test_a_message_may_be_escaped_byte_by_byte(server, queue):
    body = '{"QueueUrl":"%s","MessageBody":"%s"}' % (queue(), "\\u0041" * (1 << 20))
    reply = post(server, "SendMessage", body)
    assert reply.status == 200, reply


def test_unknown_operations(server):
    for operation in ("", "Nothing", "sendmessage", "x" * 1000):
        reply = post(server, operation, {})
        assert reply.status == 400 and reply.json()["__type"].endswith("#UnknownOperationException")


def test_only_requests_with_a_target_are_its(server):
    assert server.post("/", "{}").status == 405
    assert server.post("/", "{}", headers={"X-Amz-Target": "DynamoDB_20120810.GetItem"}).status == 405
    assert server.get("/").status == 200
    assert server.request("GET", "/", headers={"X-Amz-Target": "AmazonSQS.ListQueues"}).status == 200


def test_a_queues_own_path_is_as_good(server, queue):
    url = queue()
    name = url.rsplit("/", 1)[1]
    reply = server.post(f"/{ACCOUNT}/{name}", json.dumps({"QueueUrl": url, "MessageBody": "x"}),
                        headers={"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": TYPE})
    assert reply.status == 200 and reply.json()["MessageId"]


def test_urls_follow_the_host_that_was_asked(server, queue):
    name = queue().rsplit("/", 1)[1]
    reply = post(server, "GetQueueUrl", {"QueueName": name}, Host="queues.example:1234")
    assert reply.json()["QueueUrl"] == f"http://queues.example:1234/{ACCOUNT}/{name}"
    reply = post(server, "GetQueueUrl", {"QueueName": name}, Host="queues.example", **{"X-Forwarded-Proto": "https"})
    assert reply.json()["QueueUrl"] == f"https://queues.example/{ACCOUNT}/{name}"


def test_the_region_is_that_of_the_credentials(tmp_path):
    with start_server(tmp_path, sqs_account="123456789012", sqs_region="ap-south-1") as server:
        url = connect(server).create_queue(QueueName="q")["QueueUrl"]
        assert url == server.address("/123456789012/q")
        found = connect(server).get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        assert found["Attributes"]["QueueArn"] == f"arn:aws:sqs:{REGION}:123456789012:q"
        reply = post(server, "GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["QueueArn"]})
        assert reply.json()["Attributes"]["QueueArn"] == "arn:aws:sqs:ap-south-1:123456789012:q"


def test_without_a_data_store(tmp_path):
    with start_server(tmp_path, data_url="none") as server:
        refused(connect(server).list_queues, "ServiceUnavailable", status=503)
        reply = post(server, "ListQueues", {})
        assert reply.headers["x-amzn-query-error"] == "ServiceUnavailable;Receiver"


def test_messages_outlive_the_server(tmp_path):
    with start_server(tmp_path) as server:
        url = connect(server).create_queue(QueueName="q", tags={"a": "b"})["QueueUrl"]
        sent = send(connect(server), url, "x", DelaySeconds=0)
    with start_server(tmp_path) as server:
        message, = receive(connect(server), "q")
        assert message["MessageId"] == sent["MessageId"]
        assert connect(server).list_queue_tags(QueueUrl="q")["Tags"] == {"a": "b"}


# ---- long polls


def begin_poll(server, name, wait=20):
    """A connection on which a long poll waits."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/", json.dumps({"QueueUrl": name, "WaitTimeSeconds": wait, "MaxNumberOfMessages": 10}),
                       {"X-Amz-Target": "AmazonSQS.ReceiveMessage", "Content-Type": TYPE})
    time.sleep(0.5)
    return connection


def test_a_client_that_hangs_up_takes_no_message(server, sqs, queue):
    url = queue()
    for _ in range(3):
        begin_poll(server, url).close()
    time.sleep(0.3)
    send(sqs, url, "x")
    message, = receive(sqs, url, wait=5, AttributeNames=["ApproximateReceiveCount"])
    assert message["Body"] == "x" and message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_many_wait_one_gets_it(server, sqs, queue):
    url = queue()
    polls = [begin_poll(server, url, wait=3) for _ in range(5)]
    send(sqs, url, "x")
    found = [json.loads(poll.getresponse().read()) for poll in polls]
    assert sum(len(one.get("Messages", [])) for one in found) == 1


def test_the_way_down_ends_long_polls(tmp_path):
    with start_server(tmp_path) as server:
        url = connect(server).create_queue(QueueName="q")["QueueUrl"]
        polls = [begin_poll(server, url) for _ in range(4)]
        begin = time.monotonic()
        server.stop()
        for poll in polls:
            reply = poll.getresponse()
            assert reply.status == 200 and json.loads(reply.read()) == {}
        assert time.monotonic() - begin < 15


# ---- signatures


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("signed")
    with start_server(directory, sqs_access_keys=[f"{KEY}:{SECRET}", "other:key"]) as server:
        yield server


def test_signed_requests_are_answered(signed):
    for key, secret, session in ((KEY, SECRET, None), ("other", "key", None), (KEY, SECRET, "session/token==")):
        client = connect(signed, key, secret, session)
        url = client.create_queue(QueueName="signed")["QueueUrl"]
        send(client, url, "ä 😀", MessageAttributes={"a": {"DataType": "String", "StringValue": "ü"}})
        assert bodies(receive(client, url)) == ["ä 😀"]


def test_wrong_signatures(signed):
    refused(connect(signed, KEY, "other").list_queues, "SignatureDoesNotMatch", status=403)
    refused(connect(signed, "nobody", SECRET).list_queues, "InvalidClientTokenId",
            "The security token included in the request is invalid.", status=403)
    reply = post(signed, "ListQueues", {})
    assert reply.status == 403 and reply.json()["__type"].endswith("#MissingAuthenticationTokenException")
    assert reply.headers["x-amzn-query-error"] == "MissingAuthenticationToken;Sender"
    reply = post(signed, "ListQueues", {}, Authorization="AWS4-HMAC-SHA256 nonsense")
    assert reply.status == 400 and reply.json()["__type"].endswith("#IncompleteSignatureException")


def sign(server, body, date=None, **headers):
    request = botocore.awsrequest.AWSRequest("POST", server.address("/"), headers={
        "X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": TYPE, **headers}, data=body)
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(KEY, SECRET), "sqs", REGION)
    request.context["timestamp"] = (date or datetime.datetime.now(datetime.timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    canonical = signer.canonical_request(request)
    text = signer.string_to_sign(request, canonical)
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return dict(request.headers.items())


def test_signatures_are_of_one_request(signed):
    headers = sign(signed, "{}")
    assert signed.post("/", "{}", headers=headers).status == 200
    for path, body, changed in (("/", "{ }", {}), ("/?a=b", "{}", {}), ("/0/q", "{}", {}),
                                ("/", "{}", {"X-Amz-Target": "AmazonSQS.CreateQueue"})):
        reply = signed.post(path, body, headers={**headers, **changed})
        assert reply.status == 403 and reply.json()["__type"].endswith("#InvalidSignatureException")


def test_signatures_are_for_a_quarter_of_an_hour(signed):
    now = datetime.datetime.now(datetime.timezone.utc)
    for minutes, status in ((0, 200), (-14, 200), (14, 200), (-16, 403), (16, 403)):
        headers = sign(signed, "{}", now + datetime.timedelta(minutes=minutes))
        assert signed.post("/", "{}", headers=headers).status == status, minutes


def test_keys_that_are_none(tmp_path):
    for keys in (["nocolon"], [":secret"], ["id:"]):
        with pytest.raises(AssertionError, match="sqs.access_keys"):
            start_server(tmp_path, sqs_access_keys=keys).start()
    with pytest.raises(AssertionError, match="sqs.account"):
        start_server(tmp_path, sqs_account="12345678901x").start()


# ---- many at once


def test_many_clients_at_once(server, sqs, queue):
    """Every message that was sent is received, and deleted once."""
    url = queue()
    sent, got, lock = set(), [], threading.Lock()

    def produce(number):
        client = connect(server)
        for i in range(20):
            found = send(client, url, f"{number}-{i}")["MessageId"]
            with lock:
                sent.add(found)

    def consume():
        client = connect(server)
        while len(got) < 80:
            messages = receive(client, url, wait=1)
            with lock:
                got.extend(message["MessageId"] for message in messages)
            for message in messages:
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    threads = [threading.Thread(target=produce, args=(i,)) for i in range(4)]
    threads += [threading.Thread(target=consume) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(got) == sorted(sent) and counts(sqs, url) == (0, 0, 0)
