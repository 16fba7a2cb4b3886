"""SQS's older protocol, Query: forms in, XML out, for SDKs that do not speak the newer one."""
import hashlib
import json
import urllib.parse
import xml.etree.ElementTree as ElementTree

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from sqs_boto import ACCOUNT, REGION, bodies, queue, receive, send, server, sqs, start_server  # noqa: F401

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def call(server, action, path="/", status=200, **parameters):
    """The answer as an element; parameters as of the form, with __ for a dot."""
    fields = {"Action": action, "Version": "2012-11-05", **{k.replace("__", "."): v for k, v in parameters.items()}}
    reply = server.post(path, urllib.parse.urlencode(fields), headers={"Content-Type": FORM})
    assert reply.status == status, reply
    assert reply.headers["Content-Type"] == "text/xml"
    root = ElementTree.fromstring(reply.body)
    wanted = "ErrorResponse" if status != 200 else f"{action}Response"
    assert root.tag == NAMESPACE + wanted
    assert root.find(f".//{NAMESPACE}RequestId").text == reply.headers["x-amzn-RequestId"]
    return root


def texts(root, name):
    return [element.text for element in root.iter(NAMESPACE + name)]


def test_the_life_of_a_message(server):
    url, = texts(call(server, "CreateQueue", QueueName="query", Attribute__1__Name="DelaySeconds",
                      Attribute__1__Value="0", Tag__1__Key="k", Tag__1__Value="v"), "QueueUrl")
    assert url == server.address(f"/{ACCOUNT}/query")
    body = "ä <&>\r\n\t\"😀\""
    sent = call(server, "SendMessage", QueueUrl=url, MessageBody=body, MessageAttribute__1__Name="a",
                MessageAttribute__1__Value__DataType="String", MessageAttribute__1__Value__StringValue="v<")
    assert texts(sent, "MD5OfMessageBody") == [hashlib.md5(body.encode()).hexdigest()]
    found = call(server, "ReceiveMessage", path=f"/{ACCOUNT}/query", AttributeName__1="SentTimestamp",
                 MessageAttributeName__1="All", MaxNumberOfMessages="10", VisibilityTimeout="60")
    assert texts(found, "Body") == [body] and texts(found, "MessageId") == texts(sent, "MessageId")
    assert texts(found, "Name") == ["SentTimestamp", "a"] and texts(found, "StringValue") == ["v<"]
    handle, = texts(found, "ReceiptHandle")
    counted = call(server, "GetQueueAttributes", QueueUrl=url, AttributeName__1="ApproximateNumberOfMessagesNotVisible")
    assert texts(counted, "Value") == ["1"]
    call(server, "ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout="10")
    call(server, "DeleteMessage", QueueUrl=url, ReceiptHandle=handle)
    assert texts(call(server, "ReceiveMessage", QueueUrl=url), "Message") == []
    assert texts(call(server, "ListQueueTags", QueueUrl=url), "Key") == ["k"]
    assert url in texts(call(server, "ListQueues"), "QueueUrl")
    call(server, "DeleteQueue", QueueUrl=url)


def test_batches(server, sqs, queue):
    url = queue()
    entry = "SendMessageBatchRequestEntry"
    sent = call(server, "SendMessageBatch", QueueUrl=url, **{
        f"{entry}.1.Id": "a", f"{entry}.1.MessageBody": "one", f"{entry}.2.Id": "b", f"{entry}.2.MessageBody": "\x01"})
    assert texts(sent, "Id") == ["a", "b"] and texts(sent, "Code") == ["InvalidMessageContents"]
    message, = receive(sqs, url)
    entry = "DeleteMessageBatchRequestEntry"
    deleted = call(server, "DeleteMessageBatch", QueueUrl=url, **{
        f"{entry}.1.Id": "x", f"{entry}.1.ReceiptHandle": message["ReceiptHandle"]})
    assert texts(deleted, "Id") == ["x"]


def test_both_protocols_see_the_same(server, sqs, queue):
    url = queue()
    call(server, "SendMessage", QueueUrl=url, MessageBody="from a form")
    assert bodies(receive(sqs, url)) == ["from a form"]


def test_failures(server):
    root = call(server, "GetQueueUrl", status=400, QueueName="nothing")
    assert texts(root, "Code") == ["AWS.SimpleQueueService.NonExistentQueue"] and texts(root, "Type") == ["Sender"]
    assert texts(call(server, "Nothing", status=400), "Code") == ["InvalidAction"]
    root = call(server, "ListQueues", status=400, MaxResults="x")
    assert texts(root, "Code") == ["MalformedInput"]
    reply = server.post("/", "Action=%", headers={"Content-Type": FORM})
    assert reply.status == 400 and b"MalformedInput" in reply.body


def test_forms_elsewhere_are_not_its(server):
    assert server.post("/", "{}", headers={"Content-Type": FORM}).status == 405
    assert server.post("/v2/models", "Action=ListQueues", headers={"Content-Type": FORM}).status == 405
    for path in ("/nothing", "/a/b", "/1/b/c", "/v2/nothing/else/at/all", "/1/b.c"):
        reply = server.post(path, "Action=ListQueues", headers={"Content-Type": FORM})
        assert reply.status == 404 and "error" in json.loads(reply.body), path


def test_signed_forms(tmp_path):
    with start_server(tmp_path, sqs_access_keys="id:secret") as server:
        assert texts(call(server, "ListQueues", status=403), "Code") == ["MissingAuthenticationToken"]
        body = "Action=CreateQueue&QueueName=q"
        request = botocore.awsrequest.AWSRequest("POST", server.address("/"), headers={"Content-Type": FORM}, data=body)
        botocore.auth.SigV4Auth(botocore.credentials.Credentials("id", "secret"), "sqs", REGION).add_auth(request)
        headers = dict(request.headers.items())
        assert server.post("/", body, headers=headers).status == 200
        assert server.post("/", body + "x", headers=headers).status == 403
