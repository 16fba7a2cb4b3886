"""A disk that is full for a while, again and again, and processes that die on it: what was accepted is there and is answered,
what cannot be is refused with a reason, and all goes on by itself as soon as there is room."""
import os
import random
import time

import pytest

from fleet import Caller, Fleet
from slipway import echo_repository
from small_disk import KINDS, SmallDisk
from sqs_client import Refused, SqsClient
from workload import Workload

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("ROUNDS", 1))
TIMES = int(os.environ.get("TIMES", 3))  # that the disk is full


def refusal(caller, queue, number):
    """Sends until it is refused: there may be room in files that are there already, and with a limit the log may grow to the
    size of the database. (the refusal, how many were accepted)"""
    for count in range(2000):
        try:
            caller.sqs("SendMessage", QueueUrl=SqsClient.url(queue), MessageBody=f"{number} {count} " + "x" * 40000)
        except Refused as refused:
            return refused, count
    raise AssertionError("a full disk takes 80 MB")


def job_taken(work):
    """The queues of jobs are made a moment after the others can be used."""
    if not work.ids:
        raise Refused(503, b"no job was taken yet")


def check_refusals(caller, disk, number):
    refused, accepted = refusal(caller, "stock", number)
    words = b"the disk is full; make room" if disk.kind != "limit" else b"the disk failed"
    assert refused.status == 503 and words in refused.body and b"stock" not in refused.body, refused
    reply = caller.request("POST", "/v2/models/pair/jobs",
                           '{"inputs":[{"name":"x","datatype":"INT64","shape":[2],"data":[1,2]}],"id":"' + "x" * 40000 + '"}')
    # One that was started on the full disk cannot see to its queues until there is room.
    opening = number > 0 and b"queues are being opened" in reply.body
    assert reply.status == 503 and (words in reply.body or opening) and int(reply.headers["Retry-After"]) > 0, reply
    # What needs no room is answered as ever.
    assert caller.request("POST", "/models/pair", "[1,2]").json() == [1, 2]
    return accepted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("queue", ["work.fifo", "work"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_nothing_is_lost_when_the_disk_is_full(tmp_path, kind, queue, round):
    seed = SEED + round
    chance = random.Random(seed)
    models = echo_repository(tmp_path, {"pair": "input x INT64 [2]\noutput y x"})
    with SmallDisk(kind, tmp_path / "disk", mebibytes=32) as disk, \
            Fleet(tmp_path, [models], data_directory=disk.path, worker_visibility="2s", drain_grace="5s",
                  queue_consume=["work*"], record_sync="none") as fleet:
        disk.processes = lambda: [member.process for member in fleet.members]
        work = Workload(fleet, queue, chance.random(), jobs="pair")
        work.create()
        caller = Caller(fleet, chance)
        caller.sqs("CreateQueue", QueueName="stock")
        work.start()
        stock = 0
        caller.patiently(job_taken, work)
        for number in range(TIMES):
            time.sleep(chance.uniform(0.2, 1))
            disk.fill()
            stock += check_refusals(caller, disk, number)
            if chance.random() < 0.5:
                fleet.kill(fleet.one(chance))
                disk.limit()
            time.sleep(chance.uniform(0.1, 1.5))
            disk.free()
            # By itself, and soon.
            caller.patiently(caller.sqs, "SendMessage", patience_s=20, QueueUrl=SqsClient.url("stock"), MessageBody="room")
            stock += 1
        work.finish()
        assert work.depth(caller, "stock") >= stock
        caller.close()
        work.judge(f"SEED={seed}", sent_min=20)
