"""SQS's protocol: dead-letter queues and redrives."""
import json
import time

import pytest

from sqs_boto import arn, attributes, bodies, counts, queue, receive, refused, send, server, sqs  # noqa: F401

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793"


def policy(url, count=1):
    return json.dumps({"deadLetterTargetArn": arn(url), "maxReceiveCount": count})


@pytest.fixture
def pair(queue):
    """pair(count, fifo) -> URLs of a queue and of its dead-letter queue."""
    def make(count=1, fifo=False, **more):
        dead = queue(fifo=fifo)
        return queue(fifo=fifo, RedrivePolicy=policy(dead, count), VisibilityTimeout=0, **more), dead
    return make


def move_all(sqs, url, times):
    """Receives until the dead-letter queue has taken what is there."""
    for _ in range(times):
        receive(sqs, url, VisibilityTimeout=0)


def test_D1_delivered_as_often_as_allowed(sqs, pair):
    url, dead = pair(count=2)
    send(sqs, url, "poison")
    assert bodies(receive(sqs, url)) == ["poison"]
    assert bodies(receive(sqs, url)) == ["poison"]
    assert counts(sqs, dead) == (0, 0, 0)
    assert receive(sqs, url) == []
    assert counts(sqs, url) == (0, 0, 0) and counts(sqs, dead) == (1, 0, 0)


def test_D2_nothing_of_a_message_is_lost(sqs, pair):
    url, dead = pair()
    sent = send(sqs, url, "poison", MessageAttributes={"a": {"DataType": "String", "StringValue": "1"}},
                MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}})
    first, = receive(sqs, url, AttributeNames=["All"])
    receive(sqs, url)
    found, = receive(sqs, dead, AttributeNames=["All"], MessageAttributeNames=["All"])
    assert found["MessageId"] == sent["MessageId"] and found["Body"] == "poison"
    assert found["MessageAttributes"] == {"a": {"DataType": "String", "StringValue": "1"}}
    assert found["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert found["Attributes"]["ApproximateReceiveCount"] == "2"
    assert found["Attributes"]["DeadLetterQueueSourceArn"] == arn(url)
    assert found["Attributes"]["AWSTraceHeader"] == TRACE
    for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"):
        assert found["Attributes"][name] == first["Attributes"][name]


def test_R7_attributes_are_those_that_were_sent(sqs, pair):
    """The same as D2, from the receiver's side: digests of both queues agree."""
    url, dead = pair()
    given = {"b": {"DataType": "Binary.x", "BinaryValue": b"\x00\xff"}, "n": {"DataType": "Number", "StringValue": "1.5"}}
    send(sqs, url, "poison", MessageAttributes=given)
    before, = receive(sqs, url, MessageAttributeNames=["All"])
    receive(sqs, url)
    after, = receive(sqs, dead, MessageAttributeNames=["All"])
    assert before["MessageAttributes"] == after["MessageAttributes"] == given
    assert before["MD5OfMessageAttributes"] == after["MD5OfMessageAttributes"]


def test_D3_the_time_of_sending_stays(sqs, pair):
    """Standard queues; that a FIFO queue's retention begins again is tested with a clock of our own."""
    url, dead = pair()
    send(sqs, url, "poison")
    before, = receive(sqs, url, AttributeNames=["SentTimestamp"])
    time.sleep(0.05)
    receive(sqs, url)
    after, = receive(sqs, dead, AttributeNames=["SentTimestamp"])
    assert before["Attributes"] == after["Attributes"]


def test_D4_fifo_dead_letters(sqs, queue, pair):
    url, dead = pair(fifo=True)
    refused(sqs.create_queue, "InvalidParameterValue", QueueName="kinds.fifo", Attributes={
        "FifoQueue": "true", "RedrivePolicy": policy(queue())})
    refused(sqs.set_queue_attributes, "InvalidParameterValue", QueueUrl=queue(), Attributes={
        "RedrivePolicy": policy(dead)})
    sent = send(sqs, url, "poison", group="g", dedup="mine")
    move_all(sqs, url, 2)
    found, = receive(sqs, dead, AttributeNames=["All"])
    assert found["Attributes"]["MessageDeduplicationId"] == sent["MessageId"] == found["MessageId"]
    assert found["Attributes"]["MessageGroupId"] == "g"


def wait_for_move(sqs, url):
    end = time.monotonic() + 20
    while True:
        task = sqs.list_message_move_tasks(SourceArn=arn(url))["Results"][0]
        if task["Status"] != "RUNNING":
            return task
        assert time.monotonic() < end, task
        time.sleep(0.1)


def test_D5_redriven_messages_are_new(sqs, pair):
    url, dead = pair()
    sent = {send(sqs, url, str(i))["MessageId"] for i in range(3)}
    move_all(sqs, url, 2)
    assert counts(sqs, dead) == (3, 0, 0)
    handle = sqs.start_message_move_task(SourceArn=arn(dead))["TaskHandle"]
    assert handle
    task = wait_for_move(sqs, dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"], task["SourceArn"]) == ("COMPLETED", 3, arn(dead))
    assert "TaskHandle" not in task and "DestinationArn" not in task
    again = receive(sqs, url, AttributeNames=["All"])
    assert sorted(bodies(again)) == ["0", "1", "2"]
    for message in again:
        assert message["MessageId"] not in sent
        assert message["Attributes"]["ApproximateReceiveCount"] == "1"
        assert "DeadLetterQueueSourceArn" not in message["Attributes"]


def test_D5_to_another_queue_and_slowly(sqs, queue, pair):
    url, dead = pair()
    other = queue()
    for i in range(8):
        send(sqs, url, str(i))
    move_all(sqs, url, 2)
    handle = sqs.start_message_move_task(SourceArn=arn(dead), DestinationArn=arn(other),
                                         MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    task, = sqs.list_message_move_tasks(SourceArn=arn(dead))["Results"]
    assert task["Status"] == "RUNNING" and task["TaskHandle"] == handle
    assert task["DestinationArn"] == arn(other) and task["MaxNumberOfMessagesPerSecond"] == 1
    refused(sqs.start_message_move_task, "InvalidParameterValue",
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
            SourceArn=arn(dead))
    cancelled = sqs.cancel_message_move_task(TaskHandle=handle)
    assert cancelled["ApproximateNumberOfMessagesMoved"] < 8
    assert wait_for_move(sqs, dead)["Status"] in ("CANCELLED", "CANCELLING")
    assert counts(sqs, other)[0] + counts(sqs, dead)[0] == 8


def test_D5_what_cannot_be_redriven(sqs, queue, pair):
    url, dead = pair()
    refused(sqs.start_message_move_task, "InvalidParameterValue",
            "Source queue must be configured as a Dead Letter Queue.", SourceArn=arn(url))
    gone = "arn:aws:sqs:eu-west-3:000000000000:nothing"
    refused(sqs.start_message_move_task, "ResourceNotFoundException",
            "The resource that you specified for the SourceArn parameter doesn't exist.", status=404, SourceArn=gone)
    refused(sqs.start_message_move_task, "ResourceNotFoundException",
            "The resource that you specified for the DestinationArn parameter doesn't exist.", status=404,
            SourceArn=arn(dead), DestinationArn=gone)
    refused(sqs.start_message_move_task, "InvalidParameterValue", SourceArn="nothing")
    refused(sqs.start_message_move_task, "InvalidParameterValue", SourceArn=arn(dead), MaxNumberOfMessagesPerSecond=501)
    refused(sqs.cancel_message_move_task, "InvalidParameterValue", TaskHandle="garbage")
    refused(sqs.list_message_move_tasks, "InvalidParameterValue", SourceArn=arn(dead), MaxResults=11)
    assert sqs.list_message_move_tasks(SourceArn=arn(dead))["Results"] == []


def test_D6_who_may_send_dead_letters_here(sqs, queue):
    dead, first, second = queue(), queue(), queue()
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(
        {"redrivePermission": "byQueue", "sourceQueueArns": [arn(first)]})})
    sqs.set_queue_attributes(QueueUrl=first, Attributes={"RedrivePolicy": policy(dead)})
    refused(sqs.set_queue_attributes, "InvalidParameterValue", QueueUrl=second,
            Attributes={"RedrivePolicy": policy(dead)})
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'})
    refused(sqs.create_queue, "InvalidParameterValue", QueueName="denied", Attributes={"RedrivePolicy": policy(dead)})
    assert attributes(sqs, dead, "RedriveAllowPolicy") == {"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'}


def test_D7_looking_counts_as_receiving(sqs, pair):
    url, dead = pair(count=3)
    send(sqs, url, "x")
    for _ in range(3):
        assert receive(sqs, url, VisibilityTimeout=0)
    assert receive(sqs, url) == [] and counts(sqs, dead) == (1, 0, 0)


def test_D8_a_chain(sqs, queue):
    last = queue()
    middle = queue(RedrivePolicy=policy(last, 2), VisibilityTimeout=0)
    first = queue(RedrivePolicy=policy(middle), VisibilityTimeout=0)
    send(sqs, first, "x")
    move_all(sqs, first, 2)
    assert counts(sqs, middle) == (1, 0, 0)
    move_all(sqs, middle, 4)
    assert counts(sqs, middle) == (0, 0, 0) and counts(sqs, last) == (1, 0, 0)


def test_D9_a_group_goes_on(sqs, pair):
    url, dead = pair(fifo=True)
    for i, body in enumerate(["poison", "good"]):
        send(sqs, url, body, group="g", dedup=str(i))
    assert bodies(receive(sqs, url, 1)) == ["poison"]
    assert bodies(receive(sqs, url, 1)) == ["good"]
    assert bodies(receive(sqs, dead)) == ["poison"]


def test_policies_of_redrive(sqs, queue):
    url, dead = queue(), queue()
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(
        {"deadLetterTargetArn": arn(dead), "maxReceiveCount": "4"})})
    assert json.loads(attributes(sqs, url, "RedrivePolicy")["RedrivePolicy"]) == {
        "deadLetterTargetArn": arn(dead), "maxReceiveCount": 4}
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    assert sqs.list_dead_letter_source_queues(QueueUrl=url)["queueUrls"] == []
    gone = {"deadLetterTargetArn": "arn:aws:sqs:eu-west-3:000000000000:nothing", "maxReceiveCount": 1}
    for wrong in ("x", "{}", json.dumps({"deadLetterTargetArn": arn(dead)}), json.dumps({"maxReceiveCount": 1}),
                  policy(dead, 0), policy(dead, 1001), json.dumps(gone)):
        refused(sqs.set_queue_attributes, "InvalidParameterValue", QueueUrl=url, Attributes={"RedrivePolicy": wrong})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert attributes(sqs, url, "RedrivePolicy") == {}
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == []
