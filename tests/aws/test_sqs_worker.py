"""Workers on queues of SQS, in this server's own imitation (which answers as AWS was recorded to) and in ElasticMQ."""
import json
import signal
import subprocess
import time

import pytest

from slipway import BINARY, MODELS, echo_repository, tensor
from sqs_worker import KEYS, Queues, SqsWorker

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def number(value):
    return json.dumps({"inputs": [tensor("x", "FP32", [1], [value])]})


def value_of(worker, result):
    return worker.output(result)["outputs"][0]["data"][0]


@pytest.fixture
def queues(endpoint):
    return Queues(endpoint)


@pytest.fixture
def run(endpoint, tmp_path):
    workers = []

    def start(models, names, **options):
        options.setdefault("data_directory", tmp_path / "data")
        worker = SqsWorker(models, endpoint, names, **options)
        workers.append(worker)
        worker.start()
        worker.wait_until(lambda: worker.get("/v2/jobs").status == 200, "the data store")
        return worker

    yield start
    for worker in workers:
        if worker.process and worker.process.poll() is None:
            worker.stop()


# ---- results


def test_messages_are_answered_once(queues, run):
    name = queues.create(receives=5)
    sent = [queues.send(name, f"[{value}]") for value in range(25)]
    worker = run([MODELS / "doubleit"], [name])
    found = worker.results(name, 25)
    assert sorted(one["message_id"] for one in found) == sorted(sent)
    assert sorted(worker.output(one)[0] for one in found) == [2 * value for value in range(25)]
    worker.wait_empty(queues, name)
    assert worker.count('slipway_worker_outcomes_total{outcome="succeeded"}') == 25
    assert worker.count('slipway_queue_received_total{queue="sqs:%s"}' % name) >= 25
    assert worker.count('slipway_queue_deleted_total{queue="sqs:%s"}' % name) == 25


def test_a_queue_is_named_by_its_url_or_its_arn(queues, run):
    by_url, by_arn = queues.create(), queues.create()
    arn = queues.client.get_queue_attributes(QueueUrl=queues.url(by_arn), AttributeNames=["All"])["Attributes"]["QueueArn"]
    region = arn.split(":")[3]
    worker = run([MODELS / "doubleit"], [queues.url(by_url), arn], environment={"AWS_REGION": region})
    queues.send(by_url, "[1]")
    queues.send(by_arn, "[2]")
    assert worker.output(worker.results(by_url, 1)[0]) == [2]
    assert worker.output(worker.results(by_arn, 1)[0]) == [4]


def test_the_model_is_named_by_the_message_or_the_queue(queues, run):
    named, mapped = queues.create("named"), queues.create("mapped")
    worker = run([MODELS / "doubleit", MODELS / "iris"], [named, mapped], queue_models="mapped-*=doubleit")
    queues.send(mapped, "[1]")
    queues.send(named, "[2]", {"model": "doubleit"})
    queues.send(named, "[3]")
    [result] = worker.results(mapped, 1)
    assert result["model"] == "doubleit" and worker.output(result) == [2]
    assert sorted(one["state"] for one in worker.results(named, 2)) == ["failed", "succeeded"]


def test_poison_is_left_to_the_redrive_policy(queues, run):
    name = queues.create(receives=2)
    worker = run([MODELS / "doubleit"], [name])
    for body in ["no json", "[1]", '{"inputs":[{"name":"z"}]}']:
        queues.send(name, body)
    found = worker.results(name, 3)
    assert sorted(one["state"] for one in found) == ["failed", "failed", "succeeded"]
    bodies = sorted(message["Body"] for message in queues.receive(queues.dead(name), 2))
    assert bodies == ["no json", '{"inputs":[{"name":"z"}]}']
    worker.wait_empty(queues, name)
    # It was run and counted once, however often it came.
    assert worker.count('slipway_worker_outcomes_total{outcome="failed"}') == 2
    assert len(worker.results(name, 3)) == 3


def test_what_may_pass_is_tried_again(queues, run, tmp_path):
    echo = echo_repository(tmp_path, {"flaky": "input x FP32 [1]\noutput y x\nfail_every 2 UNAVAILABLE"})
    name = queues.create(receives=9)
    worker = run([echo], [name])
    for value in range(6):
        queues.send(name, number(value))
    found = worker.results(name, 6)
    assert {one["state"] for one in found} == {"succeeded"}
    assert sorted(value_of(worker, one) for one in found) == list(range(6))
    worker.wait_empty(queues, name)


# ---- identity


def test_the_same_key_is_one_result(queues, run):
    name = queues.create()
    worker = run([MODELS / "doubleit"], [name])
    queues.send(name, "[1]", {"idempotency-key": "order-1"})
    worker.wait_empty(queues, name)
    queues.send(name, "[1]", {"idempotency-key": "order-1"})
    queues.send(name, "[2]", {"idempotency-key": "order-2"})
    worker.wait_empty(queues, name)
    found = worker.results(name, 2)
    assert sorted(one["key"] for one in found) == ["order-1", "order-2"]
    # Another input is another order, and somebody's mistake.
    queues.send(name, "[3]", {"idempotency-key": "order-1"})
    [conflict] = [one for one in worker.results(name, 3) if one["state"] == "failed"]
    assert "idempotency key" in conflict["error"]


def test_a_deduplication_id_that_was_chosen_is_a_key(queues, run):
    name = queues.create(fifo=True)
    worker = run([MODELS / "doubleit"], [name])
    queues.send(name, "[1]", MessageGroupId="g", MessageDeduplicationId="once")
    [result] = worker.results(name, 1)
    assert result["key"] == f"{name}/g/once"
    content = queues.create(fifo=True, ContentBasedDeduplication="true")
    other = run([MODELS / "doubleit"], [content])
    queues.send(content, "[1]", MessageGroupId="g")
    [result] = other.results(content, 1)
    assert "key" not in result


# ---- order


def test_a_group_keeps_its_order(queues, run, tmp_path):
    echo = echo_repository(tmp_path, {"flaky": "input x FP32 [1]\noutput y x\nfail_every 5 UNAVAILABLE"})
    name = queues.create(fifo=True, receives=50)
    for value in range(24):
        queues.send(name, number(value), MessageGroupId="abc"[value % 3], MessageDeduplicationId=str(value))
    worker = run([echo], [name])
    found = worker.results(name, 24, timeout_s=90)
    for group in "abc":
        done = sorted((one["done_us"], value_of(worker, one)) for one in found if one["group"] == group)
        values = [value for _, value in done]
        assert values == sorted(values), values
    worker.wait_empty(queues, name)


def test_a_group_goes_on_behind_its_poison(queues, run):
    name = queues.create(fifo=True, receives=2)
    for index, body in enumerate(["[1]", "poison", "[2]", "[3]"]):
        queues.send(name, body, MessageGroupId="g", MessageDeduplicationId=str(index))
    worker = run([MODELS / "doubleit"], [name])
    found = sorted(worker.results(name, 4), key=lambda one: one["done_us"])
    assert [one["state"] for one in found].count("failed") == 1
    outputs = [worker.output(one)[0] for one in found if one["state"] == "succeeded"]
    assert outputs == [2, 4, 6]
    assert [message["Body"] for message in queues.receive(queues.dead(name), 1)] == ["poison"]
    worker.wait_empty(queues, name)


# ---- lives and deaths


def test_long_work_stays_hidden(queues, run, tmp_path):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 5000000"})
    name = queues.create(VisibilityTimeout=2)
    worker = run([echo], [name])
    queues.send(name, number(1))
    [result] = worker.results(name, 1)
    assert result["state"] == "succeeded" and result["attempts"] == 1
    assert worker.count("slipway_worker_extended_total") >= 2
    worker.wait_empty(queues, name)


def test_who_is_killed_loses_and_repeats_nothing(queues, run, tmp_path):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 30000"})
    name = queues.create(VisibilityTimeout=3, receives=20)
    fifo = queues.create(fifo=True, VisibilityTimeout=3, receives=20)
    sent = {queues.send(name, number(value)): value for value in range(30)}
    for value in range(10):
        sent[queues.send(fifo, number(value), MessageGroupId="g", MessageDeduplicationId=str(value))] = value
    for life in range(2):
        worker = run([echo], [name, fifo])
        time.sleep(0.2 + 0.2 * life)
        worker.kill()
    worker = run([echo], [name, fifo])
    worker.wait_empty(queues, name, 60)
    worker.wait_empty(queues, fifo, 60)
    found = worker.results(name, 30) + worker.results(fifo, 10)
    assert {one["message_id"]: value_of(worker, one) for one in found} == sent
    ordered = sorted(worker.results(fifo, 10), key=lambda one: one["done_us"])
    assert [value_of(worker, one) for one in ordered] == list(range(10))


def test_who_is_asked_to_end_gives_back_what_is_not_begun(queues, run, tmp_path):
    echo = echo_repository(tmp_path, {"slow": "input x FP32 [1]\noutput y x\ndelay_us 200000"})
    name = queues.create(VisibilityTimeout=300)
    for value in range(20):
        queues.send(name, number(value))
    first = run([echo], [name])
    first.wait_until(lambda: first.count("slipway_worker_in_flight") > 0, "work in hand")
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(40) == 0, first.log()
    # Nothing is left hidden for the five minutes that a lease is long.
    second = run([echo], [name])
    found = second.results(name, 20)
    assert sorted(value_of(second, one) for one in found) == list(range(20))
    second.wait_empty(queues, name)


def test_a_queue_that_is_not_there_is_waited_for_and_named(queues, run):
    worker = run([MODELS / "doubleit"], ["nowhere"])
    worker.wait_until(lambda: "queue 'sqs:nowhere'" in worker.log(), "the reason")
    queues.client.create_queue(QueueName="nowhere")
    queues.send("nowhere", "[1]")
    assert worker.output(worker.results("nowhere", 1)[0]) == [2]


def test_settings_that_lose_messages_are_told(queues, run):
    bare, good = queues.create(VisibilityTimeout=1), queues.create(receives=5)
    worker = run([MODELS / "doubleit"], [bare, good])
    worker.wait_until(lambda: f"queue={good} kind=sqs" in worker.log(), "the start")
    told = [line for line in worker.log().splitlines() if " WARN " in line]
    assert len([line for line in told if "redrive policy" in line and f"queue={bare}" in line]) == 1
    assert len([line for line in told if "visibility time-out is short" in line and f"queue={bare}" in line]) == 1
    assert not [line for line in told if f"queue={good}" in line]


def test_settings_that_change_are_noticed(queues, run):
    name, dead = queues.create(), queues.create("late-dead")
    worker = run([MODELS / "doubleit"], [name])
    worker.wait_until(lambda: f"queue={name} kind=sqs" in worker.log(), "the start")
    arn = queues.client.get_queue_attributes(QueueUrl=queues.url(dead), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queues.client.set_queue_attributes(QueueUrl=queues.url(name), Attributes={
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})})
    time.sleep(20)
    queues.send(name, "poison")
    assert [message["Body"] for message in queues.receive(dead, 1)] == ["poison"]


# ---- answers


def test_an_answer_is_sent_to_who_asked(queues, run):
    name, replies, ordered = queues.create(receives=2), queues.create("replies"), queues.create("replies", fifo=True)
    worker = run([MODELS / "doubleit"], [name], queue_reply_allow="replies-*")
    good = queues.send(name, "[1,2]", {"reply-to": replies, "correlation-id": "c-1"}, TRACE)
    queues.send(name, "bad", {"reply-to": replies})
    queues.send(name, "[5]", {"reply-to": ordered, "correlation-id": "c-3"})
    found = {message["Body"]: message for message in queues.receive(replies, 2)}
    bodies = {json.loads(body)["status"]: json.loads(body) for body in found}
    answer = bodies["succeeded"]
    assert answer["correlation_id"] == "c-1" and answer["output"] == [2, 4] and answer["model"] == "doubleit"
    [message] = [one for one in found.values() if json.loads(one["Body"]) == answer]
    assert message["MessageAttributes"]["correlation-id"]["StringValue"] == "c-1"
    assert message["Attributes"]["AWSTraceHeader"] == TRACE
    record = worker.get(f"/v2/results/{answer['id']}").json()
    assert record["message_id"] == good and record["trace_id"] == "5759e988bd862e3fe1be46a994272793"
    assert bodies["failed"]["error"]["status"] == "INVALID_ARGUMENT" and bodies["failed"]["output"] is None
    [other] = queues.receive(ordered, 1)
    assert json.loads(other["Body"])["output"] == [10]
    # Nobody may have answers sent where the options do not say so.
    queues.send(name, "[1]", {"reply-to": name})
    [refused] = [one for one in worker.results(name, 4) if one["status"] == "PERMISSION_DENIED"]
    assert "queue.reply_allow" in refused["error"]


def test_answers_go_where_the_queue_has_them(queues, run):
    name, replies = queues.create("asked"), queues.create("told")
    run([MODELS / "doubleit"], [name], queue_reply_to=f"asked-*={replies}")
    sent = queues.send(name, "[4]")
    [message] = queues.receive(replies, 1)
    answer = json.loads(message["Body"])
    assert answer["correlation_id"] == sent and answer["output"] == [8]


def test_an_answer_that_nobody_takes_holds_up_nothing(queues, run):
    name = queues.create(receives=5)
    worker = run([MODELS / "doubleit"], [name], queue_reply_allow="*")
    queues.send(name, "[1]", {"reply-to": "missing"})
    [result] = worker.results(name, 1)
    assert result["state"] == "succeeded"
    worker.wait_empty(queues, name)
    assert worker.count('slipway_worker_replies_total{result="refused"}') == 1


# ---- the start


@pytest.mark.parametrize("argument, word", [("sqs:a b", "alphanumeric"), ("sqs:arn:aws:sns:r:123456789012:t", "ARN"),
                                            ("sqs:arn:aws:sqs:eu-north-1:123456789012:q", "eu-north-1")])
def test_what_names_no_queue_ends_the_start(argument, word, tmp_path):
    import os
    result = subprocess.run([BINARY, "worker", str(MODELS / "doubleit"), f"--queue={argument}",
                             f"--data-directory={tmp_path}"], env=dict(os.environ, **KEYS), capture_output=True, text=True,
                            timeout=60)
    assert result.returncode != 0 and word in result.stderr, result.stderr
