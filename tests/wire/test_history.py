"""Seeded random work on a queue while the server is killed: nothing acknowledged is lost, nothing overtakes."""
import os
import random
import threading
import time

import pytest

from history import History
from slipway import MODELS, Server
from sqs_client import Refused, SqsClient, Unknown

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
SANITIZED = bool(os.environ.get("SLIPWAY_SANITIZE"))
CHAOS_S = 6 if SANITIZED else 4
GROUPS = 4
VISIBILITY_S = 2


class Killed:
    """A server that is killed now and then and started again on its port and its data."""

    def __init__(self, tmp_path):
        self.options = {"data_directory": str(tmp_path), "http_idle_timeout": "60s"}
        self.server = Server([MODELS / "doubleit"], ready=False, **self.options).start()
        self.port = self.server.port
        self.options["http_port"] = self.port

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()
        self.server.process = None
        self.server.directory.cleanup()
        self.server = Server([MODELS / "doubleit"], ready=False, **self.options).start()

    def stop(self):
        self.server.stop()


def patiently(client, operation, **parameters):
    """Asks until it is answered: for what may be done twice."""
    end = time.monotonic() + 60
    while True:
        try:
            return client.call(operation, **parameters)
        except (Refused, Unknown):
            assert time.monotonic() < end, f"{operation} is not answered"
            time.sleep(0.05)


def produce(port, history, queue, group, running, seed):
    """One thread a group: its messages are sent in order, each acknowledged before the next."""
    chance, client, number = random.Random(seed), SqsClient(port), 0
    while running.is_set():
        key = f"{group}-{number}"
        history.tried(key, group, number)
        parameters = {"QueueUrl": client.url(queue), "MessageBody": key}
        if queue.endswith(".fifo"):
            parameters |= {"MessageGroupId": group, "MessageDeduplicationId": key}
        try:
            client.call("SendMessage", **parameters)
            history.sent(key, group, number)
        except Refused:
            pass
        except Unknown:
            pass
        # A number whose fate is unknown is not used again: a late second copy would be a new message.
        number += 1
        time.sleep(chance.uniform(0, 0.01))
    client.close()


def consume(port, history, queue, name, running, chaos, seed, careless):
    """Receives, and deletes most of it; while there is chaos, `careless` lets some come back by waiting or gives it back."""
    chance, client = random.Random(seed), SqsClient(port)
    while running.is_set():
        try:
            reply = client.call("ReceiveMessage", QueueUrl=client.url(queue), MaxNumberOfMessages=10,
                                VisibilityTimeout=VISIBILITY_S, WaitTimeSeconds=1, AttributeNames=["All"])
        except (Refused, Unknown):
            time.sleep(0.02)
            continue
        now = time.monotonic()
        for message in reply.get("Messages", []):
            group, number = message["Body"].rsplit("-", 1)
            history.received(message["Body"], group, int(number), at=now, hidden_s=VISIBILITY_S,
                             count=int(message["Attributes"]["ApproximateReceiveCount"]), consumer=name)
        for message in reply.get("Messages", []):
            try:
                fate = chance.random() if careless and chaos.is_set() else 1
                if fate < 0.03:
                    break  # dies with the rest of the lease in its hands
                if fate < 0.08:
                    client.call("ChangeMessageVisibility", QueueUrl=client.url(queue), VisibilityTimeout=0,
                                ReceiptHandle=message["ReceiptHandle"])
                    break  # what follows in its group stays with us until its time is over
                client.call("DeleteMessage", QueueUrl=client.url(queue), ReceiptHandle=message["ReceiptHandle"])
                history.deleted(message["Body"], at=time.monotonic())
            except Refused:
                pass  # it took too long: the message is somebody else's
            except Unknown:
                break
    client.close()


def is_empty(client, queue):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = patiently(client, "GetQueueAttributes", QueueUrl=client.url(queue), AttributeNames=names)["Attributes"]
    return all(int(attributes[name]) == 0 for name in names)


def run(killed, history, queue, kills):
    chance = random.Random(SEED)
    producing, consuming = threading.Event(), threading.Event()
    producing.set(), consuming.set()
    threads = [threading.Thread(target=produce, args=(killed.port, history, queue, f"g{i}", producing, chance.random()))
               for i in range(GROUPS)]
    consumers = [threading.Thread(target=consume, args=(killed.port, history, queue, f"c{i}", consuming,
                                                        producing, chance.random(), i % 2 == 0)) for i in range(3)]
    for thread in threads + consumers:
        thread.start()
    end = time.monotonic() + CHAOS_S
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 1.0))
        if kills:
            killed.kill()
    producing.clear()
    for thread in threads:
        thread.join()
    client = SqsClient(killed.port)
    end = time.monotonic() + 90
    while not is_empty(client, queue):
        assert time.monotonic() < end, f"the queue is not empty after 90 s (SEED={SEED})"
        time.sleep(0.2)
    consuming.clear()
    for thread in consumers:
        thread.join()


@pytest.mark.parametrize("queue", ["orders.fifo", "orders"])
def test_nothing_is_lost_when_the_server_is_killed(tmp_path, queue):
    history, killed = History(), Killed(tmp_path)
    fifo = queue.endswith(".fifo")
    patiently(SqsClient(killed.port), "CreateQueue", QueueName=queue, Attributes={"FifoQueue": "true"} if fifo else {})
    run(killed, history, queue, kills=True)
    killed.stop()
    assert len(history.of("sent")) > 50, f"too little happened (SEED={SEED})"
    assert history.problems(fifo=fifo) == [], f"SEED={SEED}"
