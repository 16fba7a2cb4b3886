"""A clock that is set, back and forth, by minutes to days, while servers and workers run and between their lives (docs/queues.md,
"Time"): nothing is lost, nothing overtakes, one result each; and what was hidden for seconds is not hidden for days."""
import email.utils
import mmap
import os
import pathlib
import random
import shutil
import struct
import subprocess
import time

import pytest

from fleet import Caller, Fleet
from slipway import echo_repository
from workload import Workload

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("ROUNDS", 1))
SANITIZED = bool(os.environ.get("SLIPWAY_SANITIZE"))
CHAOS_S = float(os.environ.get("CHAOS_S", 8 if SANITIZED else 5))
SHIM = pathlib.Path(__file__).with_name("clock_shim.c")
MINUTE, DAY = 60, 86400


class Clock:
    """The wall clock of the processes that get `environment`."""

    def __init__(self, directory):
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            pytest.skip("no C compiler: the clock cannot be set")
        library, self.path = directory / "clock_shim.so", directory / "clock"
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SHIM], check=True)
        self.path.write_bytes(bytes(8))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8)
        # A sanitizer's own library would have to come first, and does not mind.
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIM_FILE": str(self.path),
                            "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0".lstrip(":")}

    @property
    def offset_s(self):
        return struct.unpack("=q", self.map[:8])[0]

    def set(self, offset_s):
        self.map[:8] = struct.pack("=q", int(offset_s))

    def check(self, caller):
        """It is this clock that the server looks at."""
        end = time.monotonic() + 20  # it is not read for every answer
        while True:
            told = caller.patiently(caller.request, "GET", "/v2/health/live").headers["Date"]
            ahead = email.utils.parsedate_to_datetime(told).timestamp() - time.time() - self.offset_s
            if abs(ahead) < MINUTE:
                return
            assert time.monotonic() < end, f"{told} is {ahead} s ahead of the clock"
            time.sleep(0.1)


def jump(chance):
    """Seconds, up to three days: a message is kept for fourteen."""
    return chance.choice([1, 5]) * chance.choice([1, MINUTE, 60 * MINUTE, DAY / 2]) * chance.uniform(0.2, 1.2)


def run(tmp_path, queue, seed, move, kills, **options):
    chance = random.Random(seed)
    clock = Clock(tmp_path)
    models = echo_repository(tmp_path, {"pair": "input x INT64 [2]\noutput y x\ndelay_us 10000"})  # who dies holds something
    with Fleet(tmp_path, [models], servers=1, workers=2, data_directory=tmp_path, environment=clock.environment,
               worker_visibility="2s", drain_grace="5s", queue_consume=["work*"], record_sync="none", jobs_attempts_max=100) as fleet:
        work = Workload(fleet, queue, chance.random(), jobs="pair", calm_clock=False, pause_s=0.1,
                        attributes={"MessageRetentionPeriod": str(14 * DAY)}, **options)
        work.create()
        work.start()
        end = time.monotonic() + CHAOS_S
        caller = Caller(fleet, random.Random(seed))
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.05, 0.4))
            clock.set(move(chance, clock.offset_s))
            if kills:
                fleet.kill(fleet.one(chance))
        clock.check(caller)
        caller.close()
        work.finish()
        work.judge(f"SEED={seed}")


def anywhere(chance, _):
    return chance.choice([-1, 1]) * jump(chance)


def back(chance, now):
    return now - jump(chance)


@pytest.mark.parametrize("queue", ["work.fifo", "work"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_clock_that_jumps_while_all_run_changes_nothing(tmp_path, queue, round):
    run(tmp_path, queue, SEED + round, anywhere, kills=False, again=0.3)


@pytest.mark.parametrize("queue", ["work.fifo", "work"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_clock_set_back_between_lives_changes_nothing(tmp_path, queue, round):
    """Deduplication, too: no id is forgotten early."""
    run(tmp_path, queue, SEED + round, back, kills=True, again=0.3)


@pytest.mark.parametrize("queue", ["work.fifo", "work"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_clock_set_anywhere_between_lives_loses_nothing(tmp_path, queue, round):
    """Set forward, deduplication ends early: what got no answer is not sent again."""
    run(tmp_path, queue, SEED + round, anywhere, kills=True, again=0, resends=False)
