"""A worker on a bad day of SQS: throttles, errors, resets, answers that are lost, partial failures, damaged messages."""
import pytest

from faults import Faults
from slipway import MODELS
from sqs_worker import Queues, SqsWorker


@pytest.fixture
def day(slipway_endpoint, tmp_path):
    queues = Queues(slipway_endpoint)
    with Faults(slipway_endpoint) as proxy:
        yield queues, proxy, tmp_path / "data"


def run_all(day, bodies, fifo=False, visibility=4):
    """Sends, works through it, and returns the results; each message once, the queue empty."""
    queues, proxy, directory = day
    name = queues.create(fifo=fifo, receives=50, VisibilityTimeout=visibility)
    for index, body in enumerate(bodies):
        more = {"MessageGroupId": "g", "MessageDeduplicationId": str(index)} if fifo else {}
        queues.send(name, body, **more)
    with SqsWorker([MODELS / "doubleit"], proxy.endpoint, [name], data_directory=directory) as worker:
        worker.wait_until(lambda: worker.get("/v2/jobs").status == 200, "the data store")
        found = worker.results(name, len(bodies))
        worker.wait_empty(queues, name)
        found = worker.results(name, len(bodies))
        outputs = [worker.output(one)[0] for one in found]
        log = worker.log()
    assert proxy.left() == 0, proxy.plans
    return found, outputs, log


@pytest.mark.parametrize("fault", ["throttle", "error", "reset", "half"])
@pytest.mark.parametrize("operation", ["GetQueueUrl", "GetQueueAttributes", "ReceiveMessage", "DeleteMessageBatch"])
def test_what_may_pass_is_asked_again(day, operation, fault):
    day[1].plan(operation, fault, times=2)
    _, outputs, _ = run_all(day, [f"[{value}]" for value in range(12)])
    assert sorted(outputs) == [2 * value for value in range(12)]


def test_a_batch_that_fails_in_parts_is_finished(day):
    day[1].plan("DeleteMessageBatch", "partial", times=3)
    found, outputs, _ = run_all(day, [f"[{value}]" for value in range(12)], visibility=60)
    assert sorted(outputs) == [2 * value for value in range(12)]
    assert {one["attempts"] for one in found} == {1}


def test_a_receive_whose_answer_is_lost_brings_the_messages_later(day):
    day[1].plan("ReceiveMessage", "lose")
    _, outputs, _ = run_all(day, ["[1]", "[2]", "[3]"])
    assert sorted(outputs) == [2, 4, 6]


def test_a_fifo_receive_whose_answer_is_lost_is_repeated(day):
    """By its ReceiveRequestAttemptId: long before the messages' time-out is over."""
    day[1].plan("ReceiveMessage", "lose")
    found, outputs, _ = run_all(day, ["[1]", "[2]", "[3]"], fifo=True, visibility=600)
    assert [output for _, output in sorted(zip([one["done_us"] for one in found], outputs))] == [2, 4, 6]


def test_a_deletion_whose_answer_is_lost_is_repeated(day):
    day[1].plan("DeleteMessageBatch", "lose", times=2)
    _, outputs, _ = run_all(day, [f"[{value}]" for value in range(5)])
    assert sorted(outputs) == [0, 2, 4, 6, 8]


def test_a_damaged_message_is_not_run(day):
    day[1].plan("ReceiveMessage", "garble")
    found, outputs, log = run_all(day, ["[1]", "[2]"])
    assert sorted(outputs) == [2, 4] and "other digests" in log
    assert {one["state"] for one in found} == {"succeeded"}
