"""Two servers and two workers on one PostgreSQL; all of them die at random, the database too. One answer each, in order."""
import os
import random
import time

import pytest

from fleet import Fleet
from postgres import Postgres
from slipway import MODELS, echo_repository
from workload import Workload

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("ROUNDS", 1))
SANITIZED = bool(os.environ.get("SLIPWAY_SANITIZE"))
ENOUGH = 40  # messages; a database that syncs recovers slowly on a busy disk
CHAOS_S = float(os.environ.get("CHAOS_S", 10 if SANITIZED else 6))


def wait_for_more(work, count=10, patience_s=30):
    """After the database was away, senders get on by themselves."""
    wanted, end = work.count() + count, time.monotonic() + patience_s
    while work.count() < min(wanted, work.groups * work.numbers_max):
        assert time.monotonic() < end, f"no more is accepted {patience_s} s after a restart:\n{work.fleet.logs()}"
        time.sleep(0.05)


def torment(fleet, postgres, work, chance, chaos_s):
    """Kills and restarts for a while; all are there again at the end."""
    end = time.monotonic() + chaos_s

    def restart(how):
        postgres.control(how)
        wait_for_more(work)

    deeds = [lambda: fleet.kill(fleet.one(chance))] * 5 + [
        lambda: fleet.restart(fleet.one(chance)),
        lambda: fleet.stall(chance.choice(fleet.workers), chance.uniform(0.5, 3)),
        lambda: restart("restart"),
        lambda: restart("restart-fast"),
    ]
    restart(chance.choice(["restart", "restart-fast"]))
    while time.monotonic() < end or (work.count() < ENOUGH and time.monotonic() < end + 60):
        time.sleep(chance.uniform(0.1, 0.8))
        chance.choice(deeds)()


def run(tmp_path, queue, seed, durable, model="pair"):
    chance = random.Random(seed)
    models = echo_repository(tmp_path, {"pair": "input x INT64 [2]\noutput y x"}) if model == "pair" else MODELS / model
    with Postgres(durable) as postgres, Fleet(tmp_path, [models], servers=2, workers=2, data_url=postgres.url,
                                              worker_visibility="2s", drain_grace="5s",
                                              queue_consume=["work*"], data_connections=2, jobs_attempts_max=100) as fleet:
        work = Workload(fleet, queue, chance.random(), jobs=model if queue.endswith(".fifo") else None)
        work.create()
        work.start()
        torment(fleet, postgres, work, chance, CHAOS_S)
        work.finish()
        work.judge(f"SEED={seed}")


@pytest.mark.parametrize("queue", ["work.fifo", "work"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_nothing_is_lost_when_servers_workers_and_the_database_die(tmp_path, queue, round):
    run(tmp_path, queue, SEED + round, durable=False)


def test_nothing_is_lost_with_a_database_that_syncs(tmp_path):
    run(tmp_path, "work.fifo", SEED, durable=True)
