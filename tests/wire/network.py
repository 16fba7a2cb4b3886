"""Machines on one network, as namespaces of this one: each with an address of its own, on a switch that can lose what it is given.

    with Network() as network:
        node = network.node("worker0")       # node.address; node.enter + [program, ...] runs there
        node.cut("link")                     # see CUTS
        node.mend()
        with network.visited():              # this thread, and those that it starts, are on the network
            ...

Namespaces live as long as a process that does nothing does; those end with the test, however that ends. Where they cannot be made, the
test is skipped.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess

import pytest

# link: the cable is out. switch: packets vanish. database: those to the database do, the answers and all others arrive. answers:
# those from the database do.
CUTS = ("link", "switch", "database", "answers")
NOWHERE = "02:00:00:00:00:99"  # nobody's hardware address
CLONE_NEWNET = 0x40000000


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"


class Namespace:
    def __init__(self):
        # Tells when it is in its namespace; ends when the test does, which holds the other end of its input.
        self.process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat >/dev/null"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.exists = self.process.stdout.read(1) == b"\n"

    @property
    def path(self):
        return f"/proc/{self.process.pid}/ns/net"

    @property
    def enter(self):
        return ["nsenter", f"--net={self.path}"]

    def run(self, *command):
        run(*self.enter, *command)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Node(Namespace):
    def __init__(self, network, name, number):
        super().__init__()
        self.network, self.name, self.address = network, name, f"10.99.0.{number}"
        self.hardware = f"02:00:00:00:00:{number:02x}"
        self.port = f"port{number}"
        self.cuts = []  # what mends them
        network.switch.run("ip", "link", "add", "wire", "address", self.hardware, "netns", self.process.pid, "type", "veth", "peer",
                           "name", self.port)
        network.switch.run("ip", "link", "set", self.port, "master", "switch", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "wire")
        self.run("ip", "link", "set", "wire", "up")

    def cut(self, how):
        switch, database = self.network.switch, self.network.database
        if how == "link":
            switch.run("ip", "link", "set", self.port, "down")
            self.cuts.append(lambda: switch.run("ip", "link", "set", self.port, "up"))
        elif how == "switch":
            switch.run("bridge", "link", "set", "dev", self.port, "state", "0")
            self.cuts.append(lambda: switch.run("bridge", "link", "set", "dev", self.port, "state", "3"))
        elif how == "database":
            self.lose(database)
            self.cuts.append(lambda: self.find(database))
        elif how == "answers":
            database.lose(self)
            self.cuts.append(lambda: database.find(self))

    def mend(self):
        while self.cuts:
            self.cuts.pop()()

    def lose(self, other):
        self.run("ip", "neighbour", "replace", other.address, "lladdr", NOWHERE, "nud", "permanent", "dev", "wire")

    def find(self, other):
        self.run("ip", "neighbour", "replace", other.address, "lladdr", other.hardware, "nud", "permanent", "dev", "wire")


class Network:
    def __init__(self):
        missing = [tool for tool in ("unshare", "nsenter", "ip", "bridge") if not shutil.which(tool)]
        if missing or os.geteuid() != 0:
            pytest.skip(f"no network namespaces: {'this is not root' if not missing else f'{missing} are not installed'}")
        self.nodes = []
        self.switch = Namespace()
        if not self.switch.exists:
            pytest.skip(f"no network namespaces: {self.switch.process.stderr.read().decode().strip()}")
        self.switch.run("ip", "link", "add", "switch", "type", "bridge")
        self.switch.run("ip", "link", "set", "switch", "up")
        self.database = self.node("database")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in [*self.nodes, self.switch]:
            node.close()

    def node(self, name):
        self.nodes.append(Node(self, name, len(self.nodes) + 1))
        return self.nodes[-1]

    @contextlib.contextmanager
    def visited(self):
        """Here is a machine on the network, for this thread and those that it starts."""
        node, home = self.node("visitor"), os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            self.move_to(node.path)
            yield node
        finally:
            self.move_to(f"/proc/self/fd/{home}")
            os.close(home)

    @staticmethod
    def move_to(path):
        namespace = os.open(path, os.O_RDONLY)
        try:
            assert ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        finally:
            os.close(namespace)
