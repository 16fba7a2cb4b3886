"""SQS's protocol: FIFO queues."""
import hashlib
import time

from sqs_boto import arn, attributes, bodies, counts, queue, receive, refused, send, server, sqs  # noqa: F401

NO_ID = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
NO_GROUP = "The request must contain the parameter MessageGroupId."


def send_all(sqs, url, *texts):
    """Texts are group and number: "a1"."""
    for body in texts:
        send(sqs, url, body, group=body[0], dedup=body)


def change(sqs, url, message, seconds):
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds)


def delete(sqs, url, message):
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_F1_group_and_deduplication_id(sqs, queue):
    url = queue(fifo=True)
    refused(sqs.send_message, "MissingParameter", NO_GROUP, QueueUrl=url, MessageBody="x", MessageDeduplicationId="d")
    refused(sqs.send_message, "InvalidParameterValue", NO_ID, QueueUrl=url, MessageBody="x", MessageGroupId="g")
    entry = {"Id": "1", "MessageBody": "x"}
    refused(sqs.send_message_batch, "InvalidParameterValue", NO_GROUP, QueueUrl=url,
            Entries=[{**entry, "MessageDeduplicationId": "d"}])
    refused(sqs.send_message_batch, "InvalidParameterValue", NO_ID, QueueUrl=url,
            Entries=[{**entry, "MessageGroupId": "g"}])
    for wrong in ("", "group 123", "a" * 129):
        refused(sqs.send_message, "InvalidParameterValue",
                f"Value {wrong} for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can "
                "only include alphanumeric and punctuation characters. 1 to 128 in length.",
                QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId=wrong)
    assert receive(sqs, url) == []


def test_F2_a_duplicate_is_the_first_message(sqs, queue):
    """That it ends after five minutes is tested with a clock of our own."""
    url = queue(fifo=True)
    first = send(sqs, url, "one", group="g", dedup="d")
    again = send(sqs, url, "two", group="g", dedup="d")
    assert again["MessageId"] == first["MessageId"]
    message, = receive(sqs, url)
    assert message["Body"] == "one"
    delete(sqs, url, message)
    assert send(sqs, url, "three", group="g", dedup="d")["MessageId"] == first["MessageId"]
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 0, 0)
    sqs.purge_queue(QueueUrl=url)
    assert send(sqs, url, "four", group="g", dedup="d")["MessageId"] != first["MessageId"]
    assert bodies(receive(sqs, url)) == ["four"]


def test_F3_scopes_of_deduplication(sqs, queue):
    url = queue(fifo=True)
    first = send(sqs, url, "one", group="a", dedup="d")
    assert send(sqs, url, "two", group="b", dedup="d")["MessageId"] == first["MessageId"]
    assert bodies(receive(sqs, url)) == ["one"]
    url = queue(fifo=True, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    first = send(sqs, url, "one", group="a", dedup="d")
    assert send(sqs, url, "two", group="b", dedup="d")["MessageId"] != first["MessageId"]
    assert send(sqs, url, "three", group="a", dedup="d")["MessageId"] == first["MessageId"]
    assert sorted(bodies(receive(sqs, url))) == ["one", "two"]


def test_F4_by_content(sqs, queue):
    url = queue(fifo=True, ContentBasedDeduplication="true")
    one = {"DataType": "String", "StringValue": "1"}
    first = send(sqs, url, "x", group="g", MessageAttributes={"a": one})
    assert send(sqs, url, "x", group="g")["MessageId"] == first["MessageId"]
    assert send(sqs, url, "x", group="g", dedup="mine")["MessageId"] != first["MessageId"]
    found = receive(sqs, url, AttributeNames=["MessageDeduplicationId"])
    assert [message["Attributes"]["MessageDeduplicationId"] for message in found] == [
        hashlib.sha256(b"x").hexdigest(), "mine"]


def test_F5_numbers_rise(sqs, queue):
    url = queue(fifo=True)
    sent = [send(sqs, url, str(i), group="g", dedup=str(i))["SequenceNumber"] for i in range(3)]
    batch = sqs.send_message_batch(QueueUrl=url, Entries=[
        {"Id": str(i), "MessageBody": str(i), "MessageGroupId": "g", "MessageDeduplicationId": str(i)} for i in (3, 4)])
    sent += [one["SequenceNumber"] for one in batch["Successful"]]
    assert all(len(number) == 20 and number.isdigit() for number in sent)
    assert sent == sorted(set(sent))
    found = receive(sqs, url, AttributeNames=["All"])
    assert bodies(found) == ["0", "1", "2", "3", "4"]
    assert [message["Attributes"]["SequenceNumber"] for message in found] == sent
    assert found[0]["Attributes"]["MessageGroupId"] == "g" and found[0]["Attributes"]["MessageDeduplicationId"] == "0"


def test_F6_many_of_one_group_first(sqs, queue):
    url = queue(fifo=True)
    send_all(sqs, url, "a1", "b1", "a2", "a3")
    assert bodies(receive(sqs, url)) == ["a1", "a2", "a3", "b1"]


def test_F7_a_group_is_locked(sqs, queue):
    url = queue(fifo=True)
    send_all(sqs, url, "a1", "a2", "b1")
    first, = receive(sqs, url, 1)
    assert first["Body"] == "a1"
    assert bodies(receive(sqs, url)) == ["b1"]
    assert receive(sqs, url) == []
    delete(sqs, url, first)
    assert bodies(receive(sqs, url)) == ["a2"]


def test_F8_locked_until_the_last_is_deleted(sqs, queue):
    url = queue(fifo=True)
    send_all(sqs, url, "a1", "a2", "a3")
    first, second = receive(sqs, url, 2)
    delete(sqs, url, first)
    assert receive(sqs, url) == []
    delete(sqs, url, second)
    assert bodies(receive(sqs, url)) == ["a3"]


def test_F9_the_first_given_back(sqs, queue):
    url = queue(fifo=True)
    send_all(sqs, url, "a1", "a2")
    first, _ = receive(sqs, url, 2)
    change(sqs, url, first, 0)
    assert bodies(receive(sqs, url)) == ["a1"]


def test_F10_what_is_behind_an_extended_one_waits(sqs, queue):
    url = queue(fifo=True, VisibilityTimeout=1)
    send_all(sqs, url, "a1", "a2", "a3")
    _, second, _ = receive(sqs, url)
    change(sqs, url, second, 60)
    time.sleep(1.3)
    assert bodies(receive(sqs, url)) == ["a1"]


def test_F11_deleting_late(sqs, queue):
    url = queue(fifo=True, VisibilityTimeout=1)
    send_all(sqs, url, "a1")
    message, = receive(sqs, url)
    time.sleep(1.3)
    error = refused(sqs.delete_message, "InvalidParameterValue", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert error["Error"]["Message"] == (f"Value {message['ReceiptHandle']} for parameter ReceiptHandle is invalid. "
                                         "Reason: The receipt handle has expired.")
    message, = receive(sqs, url)
    change(sqs, url, message, 30)
    time.sleep(1.3)
    delete(sqs, url, message)
    assert counts(sqs, url) == (0, 0, 0)


def test_F12_the_same_attempt_finds_the_same_messages(sqs, queue):
    """That it ends after five minutes is tested with a clock of our own."""
    url = queue(fifo=True)
    send_all(sqs, url, "a1", "a2", "b1")
    first = receive(sqs, url, 2, ReceiveRequestAttemptId="attempt-1")
    again = receive(sqs, url, 2, ReceiveRequestAttemptId="attempt-1")
    assert bodies(first) == bodies(again) == ["a1", "a2"]
    assert bodies(receive(sqs, url, 2, ReceiveRequestAttemptId="attempt-2")) == ["b1"]
    refused(sqs.receive_message, "InvalidParameterValue", QueueUrl=url, ReceiveRequestAttemptId="a b")
    refused(sqs.receive_message, "InvalidParameterValue", QueueUrl=queue(), ReceiveRequestAttemptId="a")


def test_F13_delays(sqs, queue):
    url = queue(fifo=True)
    refused(sqs.send_message, "InvalidParameterValue",
            "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid "
            "for this queue type.", QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d",
            DelaySeconds=2)
    send(sqs, url, "a1", group="a", dedup="a1", DelaySeconds=0)
    assert bodies(receive(sqs, url)) == ["a1"]
    url = queue(fifo=True, DelaySeconds=600)
    send_all(sqs, url, "a1")
    assert receive(sqs, url) == [] and counts(sqs, url) == (0, 0, 1)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0"})
    assert bodies(receive(sqs, url, wait=3)) == ["a1"]


def test_F14_F15_limits_are_told(sqs, queue):
    """120,000 in flight, and retention, are tested with a clock of our own; here: that the setting arrives."""
    url = queue(fifo=True, MessageRetentionPeriod=60)
    assert attributes(sqs, url, "MessageRetentionPeriod") == {"MessageRetentionPeriod": "60"}
