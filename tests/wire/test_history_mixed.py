"""Engines that take longer than a lease lasts, or fail now and then, poison beside good messages, and senders that send all of it
several times at once: one result a message, in the order of its group, whoever is killed."""
import os
import random
import time

import pytest

from fleet import Fleet
from slipway import echo_repository
from workload import Workload

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("ROUNDS", 1))
SANITIZED = bool(os.environ.get("SLIPWAY_SANITIZE"))
CHAOS_S = float(os.environ.get("CHAOS_S", 8 if SANITIZED else 5))
FACE = "input x INT64 [2]\noutput y x\n"
SLOW_S, VISIBILITY_S = 1.1, 1


def fleet_of(tmp_path, statements, **options):
    models = echo_repository(tmp_path, {"pair": FACE + statements})
    return Fleet(tmp_path, [models], data_directory=tmp_path, worker_visibility=f"{VISIBILITY_S}s", drain_grace="10s",
                 queue_consume=["work*"], record_sync="none", **options)


@pytest.mark.parametrize("queue", ["work.fifo", "work"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_work_longer_than_its_lease_is_done_once(tmp_path, queue, round):
    """Nobody dies: heartbeats keep every message with the one who has it, those too that only wait for the engine."""
    seed = SEED + round
    chance = random.Random(seed)
    with fleet_of(tmp_path, f"delay_us {int(SLOW_S * 1e6)}", servers=1, workers=2) as fleet:
        work = Workload(fleet, queue, chance.random(), visibility_s=VISIBILITY_S, pause_s=0.2, groups=3, numbers_max=3, jobs="pair",
                        rivals=2 if queue.endswith(".fifo") else 1)
        work.create()
        work.start()
        time.sleep(3)
        work.finish()
        again = [(key, said) for key, said in work.seen.values() if said["attempts"] != 1]
        assert again == [], f"SEED={seed}: run more than once: {again}\n{fleet.logs()}"
        work.judge(f"SEED={seed}", sent_min=8)


@pytest.mark.parametrize("queue", ["work.fifo", "work"])
@pytest.mark.parametrize("kind", ["slow", "failing"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_duplicates_poison_and_deaths_leave_one_result_each(tmp_path, queue, kind, round):
    seed = SEED + round
    chance = random.Random(seed)
    statements = "delay_us 50000" if kind == "slow" else "fail_every 9 UNAVAILABLE"
    with fleet_of(tmp_path, statements, servers=2, workers=2, jobs_attempts_max=100) as fleet:
        work = Workload(fleet, queue, chance.random(), visibility_s=VISIBILITY_S, poison=0.2, again=0.3, pause_s=0.1, jobs="pair",
                        rivals=2 if queue.endswith(".fifo") else 1, numbers_max=40)
        work.create()
        work.start()
        end = time.monotonic() + CHAOS_S
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.2, 1))
            member = fleet.one(chance)
            chance.choice([fleet.kill] * 3 + [fleet.restart, lambda one: fleet.stall(one, chance.uniform(1, 2.5))])(member)
        work.finish()
        work.judge(f"SEED={seed}", sent_min=20)
