"""SQS's protocol: sending, receiving, visibility of standard queues."""
import hashlib
import struct
import threading
import time

import pytest

from sqs_boto import ACCOUNT, attributes, bodies, connect, counts, queue, receive, refused, send, server, sqs  # noqa: F401

LIMIT = 1048576
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def text(value, suffix=""):
    return {"DataType": "String" + suffix, "StringValue": value}


def digest_of(attributes):
    """As AWS documents it, written a second time."""
    out = b""
    for name in sorted(attributes):
        one = attributes[name]
        binary = one["DataType"].startswith("Binary")
        value = one["BinaryValue"] if binary else one["StringValue"].encode()
        for part in (name.encode(), one["DataType"].encode()):
            out += struct.pack(">I", len(part)) + part
        out += bytes([2 if binary else 1]) + struct.pack(">I", len(value)) + value
    return hashlib.md5(out).hexdigest()


# ---- S: sending


def test_S1_the_digest_of_the_body(sqs, queue):
    url = queue()
    body = "äöü 😀 \"quoted\"\n"
    sent = send(sqs, url, body)
    assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
    assert "MD5OfMessageAttributes" not in sent and "SequenceNumber" not in sent
    message, = receive(sqs, url)
    assert message["Body"] == body and message["MessageId"] == sent["MessageId"]
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]


def test_S2_the_digest_of_attributes(sqs, queue):
    url = queue()
    given = {"b": text("x", ".suffix"), "a": {"DataType": "Number.int", "StringValue": "42"},
             "B": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}, "ü-not": None}
    del given["ü-not"]
    sent = send(sqs, url, "x", MessageAttributes=given)
    assert sent["MD5OfMessageAttributes"] == digest_of(given)
    message, = receive(sqs, url, MessageAttributeNames=["All"])
    assert message["MessageAttributes"] == given
    assert message["MD5OfMessageAttributes"] == digest_of(given)
    known = {"MyAttribute": text("foobar")}  # recorded on AWS
    assert send(sqs, url, "x", MessageAttributes=known)["MD5OfMessageAttributes"] == "adb59cd4678ea5a855436b949cd07ab6"


def test_S3_system_attributes_have_a_digest_of_their_own(sqs, queue):
    url = queue()
    trace, user = {"AWSTraceHeader": text(TRACE)}, {"a": text("1")}
    sent = send(sqs, url, "x", MessageAttributes=user, MessageSystemAttributes=trace)
    assert sent["MD5OfMessageAttributes"] == digest_of(user)
    assert sent["MD5OfMessageSystemAttributes"] == digest_of(trace)
    message, = receive(sqs, url, MessageSystemAttributeNames=["AWSTraceHeader"])
    assert message["Attributes"] == {"AWSTraceHeader": TRACE}
    refused(sqs.send_message, "InvalidParameterValue", QueueUrl=url, MessageBody="x",
            MessageSystemAttributes={"Other": text("x")})


@pytest.mark.parametrize("name", ["", "a b", "ä", ".a", "a.", "a..b", "AWS.x", "aws.x", "Amazon.y", "aMAZON.y", "a" * 257])
def test_S4_names_of_attributes(sqs, queue, name):
    refused(sqs.send_message, "InvalidParameterValue", QueueUrl=queue(), MessageBody="x",
            MessageAttributes={name: text("v")})


def test_S4_ten_attributes(sqs, queue):
    url = queue()
    names = ["a" * 256, "A-b_c.d9", "awsx"] + [str(i) for i in range(7)]
    send(sqs, url, "x", MessageAttributes={name: text("v") for name in names})
    refused(sqs.send_message, "InvalidParameterValue",
            "Number of message attributes [11] exceeds the allowed maximum [10].",
            QueueUrl=url, MessageBody="x", MessageAttributes={name: text("v") for name in names + ["one-more"]})
    for wrong in ({"DataType": "Float", "StringValue": "1"}, {"DataType": "Number", "StringValue": "x"},
                  {"DataType": "String", "StringValue": ""}):
        refused(sqs.send_message, "InvalidParameterValue", QueueUrl=url, MessageBody="x",
                MessageAttributes={"a": wrong})


def test_S5_size_is_body_and_attributes(sqs, queue):
    url = queue()
    attribute = {"name": text("value")}
    size = len("name") + len("String") + len("value")
    send(sqs, url, "x" * (LIMIT - size), MessageAttributes=attribute, MessageSystemAttributes={
        "AWSTraceHeader": text(TRACE)})
    refused(sqs.send_message, "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
            QueueUrl=url, MessageBody="x" * (LIMIT - size + 1), MessageAttributes=attribute)


def test_S5_a_queue_may_take_less(sqs, queue):
    url = queue(MaximumMessageSize=1024)
    send(sqs, url, "x" * 1024)
    refused(sqs.send_message, "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.",
            QueueUrl=url, MessageBody="x" * 1025)


def test_S6_characters(sqs, queue):
    url = queue()
    good = "\t\n\r \x7f\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    send(sqs, url, good)
    assert bodies(receive(sqs, url)) == [good]
    for bad in ("\x00", "a\x01", "\x0b", "\x1f", "\ufffe", "\uffff"):
        refused(sqs.send_message, "InvalidMessageContents", QueueUrl=url, MessageBody=bad)


def test_S7_one_mebibyte(sqs, queue):
    url = queue()
    send(sqs, url, "x" * LIMIT)
    refused(sqs.send_message, "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
            QueueUrl=url, MessageBody="x" * (LIMIT + 1))
    message, = receive(sqs, url)
    assert len(message["Body"]) == LIMIT


def test_S7_an_empty_body(sqs, queue):
    error = refused(sqs.send_message, "MissingParameter", "The request must contain the parameter MessageBody.",
                    QueueUrl=queue(), MessageBody="")
    assert error["Error"]["QueryErrorCode"] == "MissingRequiredParameterException"


def entry(number, body="x", **more):
    return {"Id": str(number), "MessageBody": body, **more}


def test_S8_batches(sqs, queue):
    url = queue()
    sent = sqs.send_message_batch(QueueUrl=url, Entries=[entry(i, f"m{i}") for i in range(10)])
    assert [one["Id"] for one in sent["Successful"]] == [str(i) for i in range(10)] and "Failed" not in sent
    assert all(one["MD5OfMessageBody"] == hashlib.md5(f"m{one['Id']}".encode()).hexdigest()
               for one in sent["Successful"])
    assert sorted(bodies(receive(sqs, url))) == [f"m{i}" for i in range(10)]
    prefix = "AWS.SimpleQueueService."
    refused(sqs.send_message_batch, prefix + "TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10. You have sent 20.",
            QueueUrl=url, Entries=[entry(i) for i in range(20)])
    refused(sqs.send_message_batch, prefix + "EmptyBatchRequest", QueueUrl=url, Entries=[])
    refused(sqs.send_message_batch, prefix + "BatchEntryIdsNotDistinct", QueueUrl=url, Entries=[entry(1), entry(1)])
    for wrong in ("", "a b", "a:b", "a" * 81):
        refused(sqs.send_message_batch, prefix + "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.", QueueUrl=url, Entries=[entry(wrong)])
    refused(sqs.send_message_batch, prefix + "BatchRequestTooLong",
            "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
            QueueUrl=url, Entries=[entry(1, "x" * (LIMIT // 2)), entry(2, "x" * (LIMIT // 2 + 1))])
    assert receive(sqs, url) == []


def test_S8_a_bad_entry_fails_alone(sqs, queue):
    url = queue()
    sent = sqs.send_message_batch(QueueUrl=url, Entries=[
        entry("good"), entry("bad", "\x00"), entry("late", DelaySeconds=901), entry("fine", "y")])
    assert [one["Id"] for one in sent["Successful"]] == ["good", "fine"]
    assert [(one["Id"], one["Code"], one["SenderFault"]) for one in sent["Failed"]] == [
        ("bad", "InvalidMessageContents", True), ("late", "InvalidParameterValue", True)]
    assert sorted(bodies(receive(sqs, url))) == ["x", "y"]
    only_bad = sqs.send_message_batch(QueueUrl=url, Entries=[entry("bad", "\x00")])
    assert "Successful" not in only_bad and len(only_bad["Failed"]) == 1


def test_S9_groups_on_a_standard_queue(sqs, queue):
    url = queue()
    send(sqs, url, "x", group="tenant-1")
    message, = receive(sqs, url, AttributeNames=["All"])
    assert message["Attributes"]["MessageGroupId"] == "tenant-1"
    for wrong in ("", "group 123", "a" * 129):
        refused(sqs.send_message, "InvalidParameterValue",
                f"Value {wrong} for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include "
                "alphanumeric and punctuation characters. 1 to 128 in length.",
                QueueUrl=url, MessageBody="x", MessageGroupId=wrong)
    refused(sqs.send_message, "InvalidParameterValue", QueueUrl=url, MessageBody="x", MessageDeduplicationId="d")


def test_S10_carriage_returns_stay(sqs, queue):
    url = queue()
    send(sqs, url, "a\r\nb\rc")
    assert bodies(receive(sqs, url)) == ["a\r\nb\rc"]


# ---- R: receiving


def test_R1_one_to_ten(sqs, queue):
    url = queue()
    for i in range(12):
        send(sqs, url, str(i))
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
    assert len(receive(sqs, url, 10)) == 10
    for wrong in (0, 11, -1):
        refused(sqs.receive_message, "InvalidParameterValue",
                f"Value {wrong} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, "
                "if provided.", QueueUrl=url, MaxNumberOfMessages=wrong)
    for wrong in (-1, 21):
        refused(sqs.receive_message, "InvalidParameterValue",
                f"Value {wrong} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
                QueueUrl=url, WaitTimeSeconds=wrong)


def test_R2_only_what_was_asked_for(sqs, queue):
    url = queue()
    given = {name: text("v") for name in ("order.id", "order.total", "orders", "other")}
    send(sqs, url, "x", MessageAttributes=given)
    for names, wanted in ((None, []), (["All"], given), ([".*"], given), (["*"], given), (["oth.*"], ["other"]),
                          (["other", "none"], ["other"]), (["none"], []),
                          (["order.*"], ["order.id", "order.total", "orders"])):
        more = {} if names is None else {"MessageAttributeNames": names}
        message, = receive(sqs, url, VisibilityTimeout=0, **more)
        assert "Attributes" not in message
        assert sorted(message.get("MessageAttributes", {})) == sorted(wanted)
        if wanted:
            assert message["MD5OfMessageAttributes"] == digest_of({name: given[name] for name in wanted})
        else:
            assert "MD5OfMessageAttributes" not in message


def test_R3_two_parameters_for_one_thing(sqs, queue):
    url = queue()
    before = int(time.time() * 1000)
    send(sqs, url, "x")
    always = {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"}
    for parameters in ({"AttributeNames": ["All"]}, {"MessageSystemAttributeNames": ["All"]},
                       {"AttributeNames": ["All"], "MessageSystemAttributeNames": ["SenderId"]}):
        message, = receive(sqs, url, VisibilityTimeout=0, **parameters)
        assert set(message["Attributes"]) == always
        assert abs(int(message["Attributes"]["SentTimestamp"]) - before) < 20000
    message, = receive(sqs, url, VisibilityTimeout=0, AttributeNames=["SenderId"],
                       MessageSystemAttributeNames=["ApproximateReceiveCount"])
    assert set(message["Attributes"]) == {"SenderId", "ApproximateReceiveCount"}


def test_R4_a_long_poll_returns_when_something_comes(server, sqs, queue):
    url = queue()
    got = []
    thread = threading.Thread(target=lambda: got.append((receive(connect(server), url, wait=20), time.monotonic())))
    thread.start()
    time.sleep(0.5)
    sent = time.monotonic()
    send(sqs, url, "x")
    thread.join(30)
    messages, when = got[0]
    assert bodies(messages) == ["x"] and when - sent < 10


def test_R4_a_long_poll_ends(sqs, queue):
    url = queue(ReceiveMessageWaitTimeSeconds=1)
    for more in ({"WaitTimeSeconds": 1}, {}):
        begin = time.monotonic()
        reply = sqs.receive_message(QueueUrl=url, **more)
        assert "Messages" not in reply and 0.9 < time.monotonic() - begin < 15
    begin = time.monotonic()
    sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0)
    assert time.monotonic() - begin < 0.9


def test_R5_a_short_poll_of_an_empty_queue(sqs, queue):
    assert "Messages" not in sqs.receive_message(QueueUrl=queue())


def test_R6_each_receive_has_a_handle_of_its_own(sqs, queue):
    url = queue()
    send(sqs, url, "x")
    seen = [receive(sqs, url, VisibilityTimeout=0, AttributeNames=["All"])[0] for _ in range(3)]
    assert len({message["ReceiptHandle"] for message in seen}) == 3
    assert [message["Attributes"]["ApproximateReceiveCount"] for message in seen] == ["1", "2", "3"]
    assert len({message["Attributes"]["ApproximateFirstReceiveTimestamp"] for message in seen}) == 1


# ---- V: visibility


def test_V1_hidden_and_back(sqs, queue):
    url = queue(VisibilityTimeout=1)
    send(sqs, url, "x")
    first, = receive(sqs, url)
    assert receive(sqs, url) == []
    again, = receive(sqs, url, wait=5)
    assert again["MessageId"] == first["MessageId"]


def test_V2_a_time_of_its_own(sqs, queue):
    url = queue()
    send(sqs, url, "x")
    assert receive(sqs, url, VisibilityTimeout=0)
    assert receive(sqs, url, VisibilityTimeout=1)
    assert receive(sqs, url) == []
    message, = receive(sqs, url, wait=5, AttributeNames=["All"])
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"
    for wrong in (-1, 43201):
        refused(sqs.receive_message, "InvalidParameterValue", QueueUrl=url, VisibilityTimeout=wrong)


def test_V3_more_time_for_this_receive(sqs, queue):
    url = queue(VisibilityTimeout=1)
    send(sqs, url, "x")
    message, = receive(sqs, url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=4)
    assert receive(sqs, url, wait=2) == []
    assert bodies(receive(sqs, url, wait=6)) == ["x"]


def test_V4_no_more_time(sqs, queue):
    url = queue()
    send(sqs, url, "x")
    message, = receive(sqs, url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(receive(sqs, url)) == ["x"]


def test_V5_twelve_hours_in_all(sqs, queue):
    url = queue()
    send(sqs, url, "x")
    message, = receive(sqs, url)
    time.sleep(1.1)
    change = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    refused(sqs.change_message_visibility, "InvalidParameterValue", VisibilityTimeout=43201, **change)
    error = refused(sqs.change_message_visibility, "InvalidParameterValue", VisibilityTimeout=43200, **change)
    assert "Total VisibilityTimeout for the message is beyond the limit" in error["Error"]["Message"]
    sqs.change_message_visibility(VisibilityTimeout=43000, **change)


def test_V6_a_change_after_the_end(sqs, queue):
    url = queue(VisibilityTimeout=1)
    send(sqs, url, "x")
    message, = receive(sqs, url)
    time.sleep(1.3)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=30)
    assert receive(sqs, url) == []


def test_V7_deleted_after_the_end(sqs, queue):
    url = queue(VisibilityTimeout=1)
    send(sqs, url, "x")
    message, = receive(sqs, url)
    time.sleep(1.3)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 0, 0)


def test_V8_an_old_handle_is_no_error(sqs, queue):
    url = queue()
    send(sqs, url, "x")
    old, = receive(sqs, url, VisibilityTimeout=0)
    new, = receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=old["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=new["ReceiptHandle"])
    assert counts(sqs, url) == (0, 0, 0)


def test_V9_deleted_twice(sqs, queue):
    url = queue()
    send(sqs, url, "x")
    message, = receive(sqs, url)
    for _ in range(2):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    refused(sqs.change_message_visibility, "InvalidParameterValue", QueueUrl=url, VisibilityTimeout=0,
            ReceiptHandle=message["ReceiptHandle"])


def test_V10_garbage(sqs, queue):
    url, other = queue(), queue()
    text_of = 'The input receipt handle "garbage" is not a valid receipt handle.'
    refused(sqs.delete_message, "ReceiptHandleIsInvalid", text_of, QueueUrl=url, ReceiptHandle="garbage")
    refused(sqs.change_message_visibility, "ReceiptHandleIsInvalid", text_of, QueueUrl=url, ReceiptHandle="garbage",
            VisibilityTimeout=1)
    refused(sqs.delete_message, "MissingParameter", QueueUrl=url, ReceiptHandle="")
    send(sqs, url, "x")
    message, = receive(sqs, url)
    refused(sqs.delete_message, "ReceiptHandleIsInvalid", QueueUrl=other, ReceiptHandle=message["ReceiptHandle"])


def test_V10_batches_of_receipts(sqs, queue):
    url = queue()
    sqs.send_message_batch(QueueUrl=url, Entries=[entry(i) for i in range(3)])
    handles = [message["ReceiptHandle"] for message in receive(sqs, url)]
    changed = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[
        {"Id": "a", "ReceiptHandle": handles[0], "VisibilityTimeout": 0},
        {"Id": "b", "ReceiptHandle": "garbage", "VisibilityTimeout": 0},
        {"Id": "c", "ReceiptHandle": handles[1], "VisibilityTimeout": 43201}])
    assert [one["Id"] for one in changed["Successful"]] == ["a"]
    assert [(one["Id"], one["Code"]) for one in changed["Failed"]] == [
        ("b", "ReceiptHandleIsInvalid"), ("c", "InvalidParameterValue")]
    assert counts(sqs, url) == (1, 2, 0)
    deleted = sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": str(i), "ReceiptHandle": handle} for i, handle in enumerate(handles)] + [
        {"Id": "x", "ReceiptHandle": "garbage"}])
    assert len(deleted["Successful"]) == 3 and [one["Id"] for one in deleted["Failed"]] == ["x"]
    assert counts(sqs, url) == (0, 0, 0)
    for call in (sqs.delete_message_batch, sqs.change_message_visibility_batch):
        refused(call, "AWS.SimpleQueueService.EmptyBatchRequest", QueueUrl=url, Entries=[])


def test_V11_counts(sqs, queue):
    url = queue()
    for _ in range(3):
        send(sqs, url, "x")
    for _ in range(2):
        send(sqs, url, "x", DelaySeconds=60)
    assert counts(sqs, url) == (3, 0, 2)
    receive(sqs, url, 2)
    assert counts(sqs, url) == (1, 2, 2)


def test_delays_of_a_message_and_of_a_queue(sqs, queue):
    url = queue(DelaySeconds=1)
    send(sqs, url, "later")
    send(sqs, url, "now", DelaySeconds=0)
    assert bodies(receive(sqs, url)) == ["now"]
    assert bodies(receive(sqs, url, wait=5)) == ["later"]
    for wrong in (-1, 901):
        refused(sqs.send_message, "InvalidParameterValue", QueueUrl=url, MessageBody="x", DelaySeconds=wrong)


def test_purge(sqs, queue):
    url = queue()
    send(sqs, url, "x")
    sqs.purge_queue(QueueUrl=url)
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 0, 0)
    refused(sqs.purge_queue, "AWS.SimpleQueueService.PurgeQueueInProgress",
            f"Only one PurgeQueue operation on {url.rsplit('/', 1)[1]} is allowed every 60 seconds.", QueueUrl=url)
