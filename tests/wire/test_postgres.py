"""PostgreSQL's client library in the process: beside an engine with libraries of its own, and what it would print."""
import ctypes.util
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from fleet import Caller, Fleet
from postgres import Postgres
from slipway import MODELS, Server, tensor
from sqs_client import SqsClient


def wait_until(condition, what, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


# ---- beside libtorch: each brings libraries that could stand in for those that the other needs


class Libpq:
    """A directory in the way of the loader, in which libpq is no library yet."""

    def __init__(self, directory):
        name = ctypes.util.find_library("pq")
        listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
        self.real = next(line.split("=> ")[1] for line in listed.splitlines() if line.strip().startswith(f"{name} "))
        self.directory = pathlib.Path(directory) / "libraries"
        self.directory.mkdir()
        self.stand_in = self.directory / name
        self.stand_in.write_text("not yet")

    def appear(self):
        new = self.directory / "new"
        new.symlink_to(self.real)
        new.rename(self.stand_in)


def model_appears(directory):
    shutil.copytree(MODELS / "doubleit", directory / "new" / "doubleit")
    (directory / "new" / "doubleit").rename(directory / "models" / "doubleit")


def has_all(fleet, text):
    return lambda: all(text in member.log() for member in fleet.members)


@pytest.mark.parametrize("first", ["database", "model"])
def test_libpq_and_libtorch_share_a_process(tmp_path, first):
    libpq, environment = None, {}
    (tmp_path / "models").mkdir()
    if first == "model":
        libpq = Libpq(tmp_path)
        environment = {"LD_LIBRARY_PATH": str(libpq.directory)}
        model_appears(tmp_path)
    with Postgres() as postgres, Fleet(tmp_path, [tmp_path / "models"], environment=environment, data_url=postgres.url,
                                       model_control_mode="poll", model_poll_interval="200ms",
                                       queue_consume=["inference*"]) as fleet:
        if first == "model":
            wait_until(has_all(fleet, "model ready"), fleet.logs)
            wait_until(has_all(fleet, "libpq5"), fleet.logs)  # is to be installed, the log says
            libpq.appear()
            wait_until(has_all(fleet, "data store open"), fleet.logs)
        else:
            wait_until(has_all(fleet, "data store open"), fleet.logs)
            model_appears(tmp_path)
            wait_until(has_all(fleet, "model ready"), fleet.logs)
        caller = Caller(fleet, random.Random(1))
        caller.patiently(caller.sqs, "CreateQueue", QueueName="inference.fifo", Attributes={"FifoQueue": "true"})
        for i in range(20):
            caller.sqs("SendMessage", QueueUrl=SqsClient.url("inference.fifo"), MessageBody=f"[{i},7]", MessageGroupId="g",
                       MessageDeduplicationId=str(i))
        wait_until(lambda: len(results(caller)) == 20, fleet.logs)
        # Messages of one millisecond have records in any order: what order they ran in is test_history's to say.
        found = results(caller)
        assert sorted(record["output"]["json"] for record in found) == [[2 * i, 14] for i in range(20)], found
        # The server's own, too: it runs no messages here.
        assert caller.request("POST", "/models/doubleit", "[1,2,3,4,5]").json() == [2, 4, 6, 8, 10]
        for member in fleet.members:
            maps = pathlib.Path(f"/proc/{member.process.pid}/maps").read_text()
            assert "libpq.so" in maps and "libtorch_cpu" in maps
        caller.close()


def results(caller):
    return caller.request("GET", "/v2/results?queue=inference.fifo&payload=true&limit=100").json()["results"]


# ---- what the library would print


def packet(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def said(kind, severity, code, text):
    fields = [("S", severity), ("V", severity), ("C", code), ("M", text)]
    return packet(kind, b"".join(name.encode() + value.encode() + b"\0" for name, value in fields) + b"\0")


class Ending:
    """What a server says that ends while somebody connects: welcome, a warning, the end."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.told = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self.talk(connection)
                except OSError:
                    pass

    def talk(self, connection):
        request = connection.recv(4096)
        if request[4:8] == struct.pack("!I", 80877103):  # SSL?
            connection.sendall(b"N")
            request = connection.recv(4096)
        if not request:
            return
        connection.sendall(packet(b"R", struct.pack("!I", 0)) +
                           said(b"N", "WARNING", "57P02", "terminating connection because of a crash") +
                           said(b"E", "FATAL", "57P01", "terminating connection due to administrator command"))
        self.told += 1


def test_what_a_server_says_goes_to_the_log(tmp_path):
    ending = Ending()
    url = f"postgres://somebody@127.0.0.1:{ending.port}/slipway?sslmode=disable&gssencmode=disable"
    with Server([MODELS / "doubleit_onnx"], ready=False, data_url=url, log_level="debug") as server:
        server.wait_until(lambda: ending.told > 0 and "administrator command" in server.log(), "the end of the database")
        log = server.log()
        notices = [line for line in log.splitlines() if "terminating connection because of a crash" in line]
        assert notices and all("DEBUG" in line and "notice of the database" in line for line in notices), log
        assert not [line for line in log.splitlines() if line.startswith("WARNING")], log
    ending.socket.close()


# ---- TLS


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def other_certificate(directory):
    made = directory / "other.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout",
                    directory / "other.key", "-out", made], check=True, capture_output=True)
    return made


def test_over_tls_only_to_whom_the_certificate_names(tmp_path):
    port = free_port()
    with Postgres(tls_port=port) as postgres:
        certificate = f"{postgres.directory}/server.crt"
        url = f"postgres://slipway@127.0.0.1:{port}/slipway"
        with Server([MODELS / "doubleit"], data_url=f"{url}?sslmode=verify-full&sslrootcert={certificate}") as server:
            job = server.post("/v2/models/doubleit/jobs", {"inputs": [tensor("x", "FP32", [2], [1, 2])]}).json()["id"]
            done = server.get(f"/v2/jobs/{job}?wait=30", timeout=40).json()
            assert done["state"] == "succeeded" and done["result"]["outputs"][0]["data"] == [2, 4], done
        for wrong, reason in [("?sslmode=verify-full&sslrootcert=/nowhere/root.crt", "/nowhere/root.crt"),
                              (f"?sslmode=verify-full&sslrootcert={other_certificate(tmp_path)}", "certificate verify failed"),
                              ("?sslmode=disable", "no pg_hba.conf entry")]:
            with Server([MODELS / "doubleit"], ready=False, data_url=url + wrong) as server:
                server.wait_until(lambda: reason in server.log(), reason)
                server.wait_until(lambda: server.get("/v2/health/ready").status == 200, "the model, which needs no database")
                assert server.get("/v2/jobs").status == 503
