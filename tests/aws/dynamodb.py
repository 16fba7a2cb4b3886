"""DynamoDB Local, and in front of it and for S3 the stub of stub.py, on ports of their own. tools/setup test brings it.

    with Emulators() as aws:
        aws.client().create_table(...)               # boto3's, of the emulator itself
        Server([...], environment=aws.environment)   # what asks goes through the stub
        aws.faults([{"operation": "PutItem", "fault": "lost"}])
"""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / ".deps" / "dynamodb"
PYTHON = ROOT / ".venv" / "bin" / "python"
SECONDS = 90


def die_with_parent():
    """PR_SET_PDEATHSIG: even if this program is killed, nothing stays."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, is_there, process):
    until = time.monotonic() + SECONDS
    while not is_there():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{what} does not start")
        time.sleep(0.05)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def start_dynamodb(directory):
    """The port is chosen before it is bound: another may take it, so there is a second and a third try."""
    for _ in range(3):
        port = free_port()
        process = subprocess.Popen(
            ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", f"-Djava.library.path={LIBRARY}", "-cp", f"{LIBRARY}/*",
             "com.amazonaws.services.dynamodbv2.local.main.ServerRunner", "-inMemory", "-sharedDb", "-disableTelemetry",
             "-port", str(port)],
            cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        time.sleep(0.5)
        if process.poll() is None:
            wait_for("DynamoDB Local", lambda: answers(port), process)
            return process, f"http://127.0.0.1:{port}"
    raise RuntimeError("DynamoDB Local does not start")


def is_there():
    return LIBRARY.is_dir() and shutil.which("java")


class Emulators:
    def __enter__(self):
        python = str(PYTHON) if PYTHON.exists() else sys.executable
        self.directory = tempfile.TemporaryDirectory(prefix="slipway-aws-")
        port_file = pathlib.Path(self.directory.name, "port")
        self.processes = []
        emulator, self.dynamodb = start_dynamodb(self.directory.name)
        self.processes.append(emulator)
        stub = subprocess.Popen([python, "-B", str(ROOT / "tests/aws/stub.py"), self.dynamodb, str(port_file)],
                                preexec_fn=die_with_parent)
        self.processes.append(stub)
        wait_for("the stub", port_file.exists, stub)
        self.stub = "http://127.0.0.1:" + port_file.read_text(encoding="ascii")
        self.environment = {
            "AWS_ENDPOINT_URL_DYNAMODB": self.stub, "AWS_ENDPOINT_URL_S3": self.stub, "AWS_REGION": "eu-west-3",
            "AWS_ACCESS_KEY_ID": "AKIDTESTS", "AWS_SECRET_ACCESS_KEY": "a secret of the tests",
            "AWS_EC2_METADATA_DISABLED": "true", "SLIPWAY_TEST_AWS": self.stub, "SLIPWAY_TEST_DYNAMODB": self.dynamodb}
        return self

    def __exit__(self, kind, value, traceback):
        for process in self.processes:
            process.kill()
            process.wait()
        self.directory.cleanup()

    def ask_stub(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.stub + path, data), timeout=30) as reply:
            return json.loads(reply.read() or b"null")

    def faults(self, faults):
        """From now on; forgets the log."""
        self.ask_stub("/-/faults", faults)

    def log(self):
        return self.ask_stub("/-/log")

    def client(self):
        import boto3  # not in the Python that only starts a program beside it
        return boto3.client("dynamodb", endpoint_url=self.dynamodb, region_name="eu-west-3",
                            aws_access_key_id="AKIDTESTS", aws_secret_access_key="x")
