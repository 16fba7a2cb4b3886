"""Servers and workers that share one data store, and what may happen to them: kill -9, SIGTERM, a stall, a restart.

    fleet = Fleet(tmp_path, [model], servers=2, workers=2, data_url=url)
    fleet.start()
    fleet.kill(fleet.one(chance))      # kill -9, and started again on its port
    fleet.stop()                       # SIGTERM to all; fails if one had ended by itself or a sanitizer had something to say

A member keeps one log for all its lives. Whoever ends without having been told to is a failure of the test, seen at the next
thing that is done to it.
"""
import http.client
import pathlib
import os
import signal
import subprocess
import time

from slipway import BINARY, SANITIZER_MARKS, START_TIMEOUT_S, STOP_TIMEOUT_S, Reply
from sqs_client import Refused, SqsClient, Unknown

PATIENCE_S = 90


class Member:
    """One process, and those that follow it under the same name."""

    def __init__(self, name, directory, arguments, environment=None):
        self.name = name
        self.arguments = [BINARY, name.rstrip("0123456789"), *map(str, arguments)]
        self.environment = dict(os.environ, **(environment or {}))
        self.port_file = pathlib.Path(directory) / f"{name}.port"
        self.log_path = pathlib.Path(directory) / f"{name}.log"
        self.listens = name.startswith("serve")
        self.process = None
        self.host, self.port = "127.0.0.1", 0
        self.namespace = []  # a command that enters the network namespace it lives in

    def start(self):
        port = [f"--http-port={self.port}", f"--http-port-file={self.port_file}"] if self.listens else []
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.namespace + self.arguments + port, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment)

    def wait_for_port(self):
        end = time.monotonic() + START_TIMEOUT_S
        while not self.port_file.exists():
            self.check_alive()
            assert time.monotonic() < end, f"{self.name} does not listen:\n{self.log()}"
            time.sleep(0.01)
        self.port = int(self.port_file.read_text())

    def log(self):
        return self.log_path.read_text(errors="replace")

    def check_alive(self):
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log()[-8000:]}"

    def kill(self):
        self.check_alive()
        self.process.kill()
        self.process.wait()

    def terminate(self):
        self.check_alive()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {STOP_TIMEOUT_S} s of SIGTERM:\n{self.log()[-8000:]}") from None
        assert code == 0, f"{self.name} ended with {code}:\n{self.log()[-8000:]}"

    def check_log(self):
        for mark in SANITIZER_MARKS:
            assert mark not in self.log(), f"{self.name}:\n{self.log()[-8000:]}"


class Fleet:
    """`options` go to servers and workers alike: data_url="..."; `environment` too."""

    patience_s = 20  # of a caller, for one answer

    def __init__(self, directory, models, servers=1, workers=1, environment=None, server_options=None, **options):
        arguments = [*models, *flags(options)]
        alone = [] if not workers else ["--worker-enabled=false"]
        self.servers = [Member(f"serve{i}", directory, arguments + alone + flags(server_options or {}), environment)
                        for i in range(servers)]
        self.workers = [Member(f"worker{i}", directory, arguments, environment) for i in range(workers)]
        self.members = self.servers + self.workers

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, traceback):
        if kind is None:
            self.stop()
            return
        for member in self.members:
            if member.process and member.process.poll() is None:
                member.process.kill()
                member.process.wait()

    def start(self):
        for member in self.members:
            member.start()
        for member in self.servers:
            member.wait_for_port()
        return self

    def stop(self):
        for member in self.members:
            member.terminate()
        for member in self.members:
            member.check_log()

    def logs(self):
        return "\n".join(f"==== {member.name}\n{member.log()[-3000:]}" for member in self.members)

    # ---- what happens to them

    def one(self, chance):
        return chance.choice(self.members)

    def kill(self, member):
        member.kill()
        member.start()

    def restart(self, member):
        member.terminate()
        member.start()

    def stall(self, member, seconds):
        """Stops its time, for longer than its leases last perhaps; what it held is others' when it wakes up."""
        member.check_alive()
        member.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        member.process.send_signal(signal.SIGCONT)


def flags(options):
    return [f"--{name.replace('_', '-')}={one}" for name, value in options.items()
            for one in (value if isinstance(value, list) else [value])]


class Caller:
    """One thread's client: each call goes to some server. Refused: it said no. Unknown: no answer came."""

    def __init__(self, fleet, chance):
        self.chance = chance
        self.patience_s = fleet.patience_s
        self.servers = [(server.host, server.port) for server in fleet.servers]
        self.clients = {(host, port): SqsClient(port, self.patience_s, host) for host, port in self.servers}

    def close(self):
        for client in self.clients.values():
            client.close()

    def sqs(self, operation, **parameters):
        return self.clients[self.chance.choice(self.servers)].call(operation, **parameters)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(*self.chance.choice(self.servers), timeout=self.patience_s)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException) as problem:
            raise Unknown(str(problem)) from problem
        finally:
            connection.close()

    def patiently(self, call, *arguments, patience_s=PATIENCE_S, **parameters):
        """Asks until it is answered: for what may be done twice."""
        end = time.monotonic() + patience_s
        while True:
            try:
                reply = call(*arguments, **parameters)
                if not isinstance(reply, Reply) or reply.status < 500:
                    return reply
                problem = reply
            except Unknown as unknown:
                problem = unknown
            except Refused as refused:
                if refused.status < 500:
                    raise
                problem = refused
            assert time.monotonic() < end, f"{arguments} is not answered: {problem!r}"
            time.sleep(0.05)
