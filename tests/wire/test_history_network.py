"""The scaled form on a bad network: three servers, three workers and PostgreSQL, each on a machine of its own (network.py). Links fail in
several ways, processes are killed, also while nobody sees them, the database starts anew. One answer each, in order, nothing lost.

SEED repeats a run, as far as time lets it; CHAOS_S and ROUNDS make it longer.
"""
import collections
import os
import random
import socket
import subprocess
import time

import pytest

from fleet import Fleet
from network import CUTS, Network
from postgres import Postgres
from slipway import echo_repository
from test_history_postgres import wait_for_more
from workload import Workload

SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("ROUNDS", 1))
CHAOS_S = float(os.environ.get("CHAOS_S", 14))
# What docs/scaling.md advises for a PostgreSQL that others reach over a network: it lets go of whoever is gone.
SETTINGS = ["tcp_keepalives_idle = 5", "tcp_keepalives_interval = 1", "tcp_keepalives_count = 3", "tcp_user_timeout = 8000"]


class RemotePostgres(Postgres):
    """A cluster in a node's namespace, at its address."""

    def __init__(self, node, settings):
        super().__init__()
        self.node, self.settings = node, settings
        self.arguments = node.enter + self.arguments

    def __enter__(self):
        super().__enter__()
        data = f"{self.directory}/data"
        with open(f"{data}/postgresql.conf", "a", encoding="utf-8") as file:
            file.write("\n".join([f"listen_addresses = '{self.node.address}'", *self.settings, ""]))
        with open(f"{data}/pg_hba.conf", "a", encoding="utf-8") as file:
            file.write("host all all 10.99.0.0/24 trust\n")
        self.control("restart-fast")
        self.url = f"postgres://slipway@{self.node.address}/slipway"
        return self

    def control(self, what):
        return subprocess.run([*self.node.enter, self.program, what], check=True, timeout=90, capture_output=True, text=True).stdout


def spread(network, fleet):
    """Each member on a machine of its own."""
    for member in fleet.members:
        member.node = network.node(member.name)
        member.namespace = member.node.enter
        if member.listens:
            member.host = member.node.address
            member.arguments.append(f"--http-address={member.host}")
    fleet.patience_s = 4


class Weather:
    """What happens, by chance; `done` counts it."""

    def __init__(self, network, fleet, postgres, work, chance):
        self.network, self.fleet, self.postgres, self.work, self.chance = network, fleet, postgres, work, chance
        self.done = collections.Counter()
        self.deeds = [self.part] * 5 + [self.part_database, self.kill, self.kill, self.kill_unseen, self.kill_unseen, self.kill_both,
                                        self.restart, self.stall, self.restart_database]

    def blow(self, seconds):
        end = time.monotonic() + seconds
        first = [self.part, self.kill_unseen, self.part_database, self.restart_database]  # of each at least one
        self.chance.shuffle(first)
        while first or time.monotonic() < end:
            deed = first.pop() if first else self.chance.choice(self.deeds)
            self.done[deed.__name__] += 1
            deed()
            time.sleep(self.chance.uniform(0.05, 0.5))
        for node in self.network.nodes:
            node.mend()

    def pause(self, longest):
        time.sleep(self.chance.uniform(0.2, longest))

    def part(self):
        """Up to three at once: one that is, and one that is cut off while others come back."""
        members = self.chance.sample(self.fleet.members, self.chance.choice([1, 1, 2, 3]))
        for member in members:
            how = self.chance.choice(CUTS)
            self.done[how] += 1
            member.node.cut(how)
        self.pause(4)
        for member in members:
            member.node.mend()

    def part_database(self):
        self.network.database.cut(self.chance.choice(["link", "switch"]))
        self.pause(2.5)
        self.network.database.mend()

    def kill(self):
        self.fleet.kill(self.fleet.one(self.chance))

    def kill_both(self):
        for member in (self.chance.choice(self.fleet.servers), self.chance.choice(self.fleet.workers)):
            self.fleet.kill(member)

    def kill_unseen(self):
        """Nobody hears that it is gone: its connections look alive, with what they hold."""
        member = self.fleet.one(self.chance)
        member.node.cut(self.chance.choice(["link", "switch"]))
        self.pause(0.4)
        member.kill()
        self.pause(2)
        member.node.mend()
        member.start()

    def restart(self):
        self.fleet.restart(self.fleet.one(self.chance))

    def stall(self):
        self.fleet.stall(self.chance.choice(self.fleet.workers), self.chance.uniform(0.5, 3))

    def restart_database(self):
        self.postgres.control(self.chance.choice(["restart", "restart-fast"]))
        wait_for_more(self.work, patience_s=60)


@pytest.mark.parametrize("queue,settings", [("work.fifo", []), ("work", SETTINGS)], ids=["fifo", "standard"])
@pytest.mark.parametrize("round", range(ROUNDS))
def test_nothing_is_lost_when_the_network_parts(tmp_path, queue, settings, round):
    seed = SEED + round
    chance = random.Random(seed)
    models = echo_repository(tmp_path, {"pair": "input x INT64 [2]\noutput y x"})
    with Network() as network, RemotePostgres(network.database, settings) as postgres:
        fleet = Fleet(tmp_path, [models], servers=3, workers=3, data_url=postgres.url, worker_visibility="2s", drain_grace="5s",
                      queue_consume=["work*"], data_connections=2, jobs_attempts_max=100)
        spread(network, fleet)
        with network.visited(), fleet:
            # Sending goes on to the end: a group has 150 messages, two at a time on average.
            work = Workload(fleet, queue, chance.random(), jobs="pair" if queue.endswith(".fifo") else None, pause_s=CHAOS_S / 75)
            work.create()
            work.start()
            weather = Weather(network, fleet, postgres, work, chance)
            weather.blow(CHAOS_S)
            work.finish(patience_s=120)
            # Few, if a cut left locks behind that PostgreSQL took back after 10 s.
            work.judge(f"SEED={seed} {dict(weather.done)}", sent_min=10)


# ---- the network is one

def reach(node, port):
    with socket.create_connection((node.address, port), timeout=1):
        return True


def reaches(node, port):
    try:
        return reach(node, port)
    except OSError:
        return False


def wait_to_reach(node, port, what):
    """The kernel tells a bridge of a link that is up within a second or so."""
    end = time.monotonic() + 20
    while not reaches(node, port):
        assert time.monotonic() < end, what


@pytest.mark.parametrize("how", CUTS)
def test_a_cut_is_one(how):
    """Who is cut off is not reached, or does not reach the database; and is again when that is mended."""
    with Network() as network:
        node = network.node("node")
        with network.visited() as visitor:
            network.move_to(node.path)
            listener = socket.create_server((node.address, 0))
            network.move_to(visitor.path)
            port = listener.getsockname()[1]
            if how in ("database", "answers"):
                network.database = visitor  # the part of the database is played from here
            wait_to_reach(node, port, "there is no network")
            node.cut(how)
            assert not reaches(node, port)
            node.mend()
            wait_to_reach(node, port, "the cut is not mended")
            listener.close()
