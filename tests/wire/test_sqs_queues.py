"""SQS's protocol: queues, their attributes, tags, permissions, lists."""
import json

import pytest

from sqs_boto import ACCOUNT, NAMES, arn, attributes, queue, receive, refused, send, server, sqs  # noqa: F401


def test_C1_creating_a_queue_again_is_the_same_queue(sqs, queue):
    url = queue(DelaySeconds=3, VisibilityTimeout=40)
    name = url.rsplit("/", 1)[1]
    again = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "40", "DelaySeconds": "3"})
    assert again["QueueUrl"] == url
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == url
    assert sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "3"})["QueueUrl"] == url
    assert attributes(sqs, url, "DelaySeconds") == {"DelaySeconds": "3"}


def test_C2_another_value_is_another_queue_of_that_name(sqs, queue):
    url = queue(DelaySeconds=3)
    error = refused(sqs.create_queue, "QueueAlreadyExists",
                    "A queue already exists with the same name and a different value for attribute DelaySeconds",
                    QueueName=url.rsplit("/", 1)[1], Attributes={"DelaySeconds": "4"})
    assert error["Error"]["QueryErrorCode"] == "QueueNameExists"
    fifo = queue(fifo=True)
    refused(sqs.create_queue, "QueueAlreadyExists",
            "A queue already exists with the same name and a different value for attribute ContentBasedDeduplication",
            QueueName=fifo.rsplit("/", 1)[1], Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})


@pytest.mark.parametrize("name", ["a b", "a/b", "a.b", "ä", "a" * 81, "a" * 76 + ".fifo", "x.fifo.fifo"])
def test_C3_names(sqs, name):
    more = {"Attributes": {"FifoQueue": "true"}} if name.endswith(".fifo") else {}
    refused(sqs.create_queue, "InvalidParameterValue", QueueName=name, **more)


def test_C3_names_may_be_eighty_long(sqs):
    for name, more in (("a" * 80, {}), ("b" * 75 + ".fifo", {"Attributes": {"FifoQueue": "true"}})):
        url = sqs.create_queue(QueueName=name, **more)["QueueUrl"]
        assert url.endswith(f"/{ACCOUNT}/{name}")
        sqs.delete_queue(QueueUrl=url)


def test_C4_the_suffix_comes_with_the_attribute(sqs):
    refused(sqs.create_queue, "InvalidParameterValue",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            QueueName="suffix.fifo")
    refused(sqs.create_queue, "InvalidParameterValue", QueueName="no-suffix", Attributes={"FifoQueue": "true"})
    refused(sqs.create_queue, "InvalidAttributeName", "Unknown Attribute FifoQueue.",
            QueueName="no-suffix", Attributes={"FifoQueue": "false"})
    refused(sqs.create_queue, "InvalidAttributeName", "Unknown Attribute ContentBasedDeduplication.",
            QueueName="no-suffix", Attributes={"ContentBasedDeduplication": "true"})
    refused(sqs.create_queue, "InvalidAttributeName",
            "You can specify the FifoThroughputLimit only when FifoQueue is set to true.",
            QueueName="no-suffix", Attributes={"FifoThroughputLimit": "perQueue"})


def test_C5_unknown_attributes(sqs, queue):
    refused(sqs.create_queue, "InvalidAttributeName", "Unknown Attribute Colour.",
            QueueName="colour", Attributes={"Colour": "red"})
    url = queue()
    for name in ("Colour", "QueueArn", "ApproximateNumberOfMessages"):
        refused(sqs.set_queue_attributes, "InvalidAttributeName", f"Unknown Attribute {name}.",
                QueueUrl=url, Attributes={name: "1"})
    refused(sqs.get_queue_attributes, "InvalidAttributeName", "Unknown Attribute Colour.",
            QueueUrl=url, AttributeNames=["All", "Colour"])


RANGES = {"DelaySeconds": (0, 900), "VisibilityTimeout": (0, 43200), "ReceiveMessageWaitTimeSeconds": (0, 20),
          "MessageRetentionPeriod": (60, 1209600), "MaximumMessageSize": (1024, 1048576)}


@pytest.mark.parametrize("name", RANGES)
def test_C6_ranges(sqs, queue, name):
    low, high = RANGES[name]
    url = queue()
    for value in (low - 1, high + 1, "x", ""):
        refused(sqs.set_queue_attributes, "InvalidAttributeValue", f"Invalid value for the parameter {name}.",
                QueueUrl=url, Attributes={name: str(value)})
        refused(sqs.create_queue, "InvalidAttributeValue", QueueName="range", Attributes={name: str(value)})
    for value in (low, high):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(value)})
        assert attributes(sqs, url, name) == {name: str(value)}


def test_C7_a_name_is_not_free_at_once(sqs):
    name = f"test-{next(NAMES)}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.delete_queue(QueueUrl=url)
    error = refused(sqs.create_queue, "AWS.SimpleQueueService.QueueDeletedRecently",
                    "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
                    QueueName=name)
    assert error["Error"]["QueryErrorCode"] == "QueueDeletedRecently"


def test_C8_nothing_asked_nothing_told(sqs, queue):
    url = queue()
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=url)
    assert set(attributes(sqs, url, "QueueArn", "DelaySeconds")) == {"QueueArn", "DelaySeconds"}


def test_all_attributes_of_a_new_queue(sqs, queue):
    url = queue()
    found = attributes(sqs, url)
    assert abs(int(found.pop("CreatedTimestamp")) - int(found.pop("LastModifiedTimestamp"))) <= 1
    assert found == {
        "QueueArn": arn(url), "ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0",
        "ApproximateNumberOfMessagesDelayed": "0", "VisibilityTimeout": "30", "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600", "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0"}
    fifo = attributes(sqs, queue(fifo=True))
    assert {name: fifo[name] for name in fifo if name not in found and "Timestamp" not in name} == {
        "FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue",
        "FifoThroughputLimit": "perQueue"}


def test_the_type_of_a_queue_stays(sqs, queue):
    refused(sqs.set_queue_attributes, "InvalidAttributeName", "Unknown Attribute FifoQueue.",
            QueueUrl=queue(), Attributes={"FifoQueue": "true"})
    fifo = queue(fifo=True)
    refused(sqs.set_queue_attributes, "InvalidAttributeValue",
            "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
            QueueUrl=fifo, Attributes={"FifoQueue": "false"})
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})
    assert attributes(sqs, fifo, "ContentBasedDeduplication") == {"ContentBasedDeduplication": "true"}


def test_queues_that_are_not_there(sqs):
    text = "The specified queue does not exist."
    code = "AWS.SimpleQueueService.NonExistentQueue"
    for url in ("http://127.0.0.1/000000000000/nothing", "nothing", "http://127.0.0.1/a b"):
        error = refused(sqs.receive_message, code, text, QueueUrl=url)
        assert error["Error"]["QueryErrorCode"] == "QueueDoesNotExist"
        refused(sqs.send_message, code, text, QueueUrl=url, MessageBody="x")
        refused(sqs.delete_queue, code, text, QueueUrl=url)
        refused(sqs.purge_queue, code, text, QueueUrl=url)
        refused(sqs.get_queue_attributes, code, text, QueueUrl=url, AttributeNames=["All"])
    refused(sqs.get_queue_url, code, text, QueueName="nothing")
    refused(sqs.get_queue_url, code, text, QueueName="no such name")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName="nothing")


def test_urls_are_known_by_their_last_part(sqs, queue):
    url = queue()
    name = url.rsplit("/", 1)[1]
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId="123456789012")["QueueUrl"] == url
    for other in (name, f"https://sqs.eu-west-3.amazonaws.com/123456789012/{name}",
                  f"http://sqs.us-east-1.localhost:4566/000000000000/{name}"):
        send(sqs, other, "x")
    assert len(receive(sqs, url, 10)) == 3


def test_lists_and_pages(sqs, queue):
    urls = sorted(queue() for _ in range(5))
    prefix = "test-"
    found = sqs.list_queues(QueueNamePrefix=prefix)
    assert set(urls) <= set(found["QueueUrls"]) and "NextToken" not in found
    pages, token = [], {}
    while True:
        page = sqs.list_queues(QueueNamePrefix=prefix, MaxResults=2, **token)
        assert len(page["QueueUrls"]) <= 2
        pages += page["QueueUrls"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == found["QueueUrls"]
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="none-such")
    for number in (0, 1001):
        refused(sqs.list_queues, "InvalidParameterValue", MaxResults=number)
    refused(sqs.list_queues, "InvalidParameterValue", MaxResults=2, NextToken="garbage!")


def test_tags(sqs, queue):
    url = sqs.create_queue(QueueName=f"test-{next(NAMES)}", tags={"a": "1", "b": ""})["QueueUrl"]
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1", "b": ""}
    sqs.tag_queue(QueueUrl=url, Tags={"b": "2", "c": "ü"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1", "b": "2", "c": "ü"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["a", "c", "none"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}
    refused(sqs.tag_queue, "InvalidParameterValue", QueueUrl=url, Tags={str(i): "x" for i in range(50)})
    refused(sqs.tag_queue, "InvalidParameterValue", QueueUrl=url, Tags={"k" * 129: "x"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["b"])
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=url)
    sqs.delete_queue(QueueUrl=url)


def test_permissions_are_kept_and_told(sqs, queue):
    url = queue()
    sqs.add_permission(QueueUrl=url, Label="one", AWSAccountIds=["123456789012", "210987654321"],
                       Actions=["ReceiveMessage"])
    policy = json.loads(attributes(sqs, url, "Policy")["Policy"])
    assert policy == {"Version": "2008-10-17", "Id": f"{arn(url)}/SQSDefaultPolicy", "Statement": [
        {"Sid": "one", "Effect": "Allow", "Action": "SQS:ReceiveMessage", "Resource": arn(url),
         "Principal": {"AWS": ["arn:aws:iam::123456789012:root", "arn:aws:iam::210987654321:root"]}}]}
    refused(sqs.add_permission, "InvalidParameterValue", "Value one for parameter Label is invalid. Reason: Already exists.",
            QueueUrl=url, Label="one", AWSAccountIds=["123456789012"], Actions=["SendMessage"])
    sqs.add_permission(QueueUrl=url, Label="two", AWSAccountIds=["123456789012"], Actions=["SendMessage", "GetQueueUrl"])
    sqs.remove_permission(QueueUrl=url, Label="one")
    policy = json.loads(attributes(sqs, url, "Policy")["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["two"]
    assert policy["Statement"][0]["Action"] == ["SQS:SendMessage", "SQS:GetQueueUrl"]
    refused(sqs.remove_permission, "InvalidParameterValue",
            "Value one for parameter Label is invalid. Reason: can't find label.", QueueUrl=url, Label="one")
    sqs.remove_permission(QueueUrl=url, Label="two")
    assert attributes(sqs, url, "Policy") == {}
    refused(sqs.add_permission, "InvalidParameterValue", QueueUrl=url, Label="x", AWSAccountIds=["123456789012"],
            Actions=["CreateQueue"])


def test_attributes_without_effect_are_kept(sqs, queue):
    url = queue(KmsMasterKeyId="alias/x", SqsManagedSseEnabled="false")
    assert attributes(sqs, url, "KmsMasterKeyId") == {"KmsMasterKeyId": "alias/x"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "", "DelaySeconds": "1"})
    found = attributes(sqs, url)
    assert "KmsMasterKeyId" not in found and found["SqsManagedSseEnabled"] == "false" and found["DelaySeconds"] == "1"
