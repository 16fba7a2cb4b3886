"""AWS's own Runtime Interface Emulator drives the real binary: the events of production, as its runtime API hands them
over. Without the emulator (tools/setup test builds it where there is Go) these tests are skipped, and say so."""
import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "wire"))
from runtime_api import record, records  # noqa: E402
from slipway import BINARY, MODELS, ROOT, START_TIMEOUT_S  # noqa: E402

RIE = ROOT / ".deps" / "rie" / "aws-lambda-rie"
pytestmark = pytest.mark.skipif(not RIE.exists(), reason="NO RUNTIME INTERFACE EMULATOR: tools/setup test builds it; needs Go")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Emulator:
    def __init__(self, *arguments, **variables):
        self.port = free_port()
        command = [RIE, "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}", "--runtime-api-address",
                   f"127.0.0.1:{free_port()}", BINARY, "lambda", *map(str, arguments)]
        self.process = subprocess.Popen(command, env=dict(os.environ, AWS_LAMBDA_FUNCTION_TIMEOUT="30", **variables),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert self.process.poll() is None, self.process.communicate()
                time.sleep(0.05)
        raise AssertionError("the emulator does not listen")

    def __exit__(self, *arguments):
        self.out = self.err = ""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.out, self.err = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.out, self.err = self.process.communicate()

    def invoke(self, event, expected=200):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT_S)
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        connection.request("POST", "/2015-03-31/functions/function/invocations", body)
        reply = connection.getresponse()
        answer = reply.read()
        connection.close()
        assert reply.status == expected, (reply.status, answer)
        return json.loads(answer)


def test_the_seeds_events_and_the_others(tmp_path):
    with Emulator(MODELS / "doubleit", "--data-url", f"sqlite:{tmp_path}/r.db") as emulator:
        for path in sorted((ROOT / "tests" / "aws" / "events").glob("*.json")):
            assert emulator.invoke(path.read_bytes()) == {"batchItemFailures": []}, path
        batch = records(record("a", "[1]"), record("b", "x"), record("c", "[3]"))
        assert emulator.invoke(batch) == {"batchItemFailures": [{"itemIdentifier": "b"}]}
        fifo = records(record("d", "[1]", "g"), record("e", "x", "g"), record("f", "[3]", "g"))
        assert emulator.invoke(fifo) == {"batchItemFailures": [{"itemIdentifier": "e"}, {"itemIdentifier": "f"}]}
        assert emulator.invoke([1, 2.5]) == [2, 5]
        answer = emulator.invoke({"version": "2.0", "rawPath": "/models/doubleit", "headers": {},
                                  "requestContext": {"http": {"method": "POST"}}, "isBase64Encoded": True,
                                  "body": base64.b64encode(b"[7]").decode()})
        assert answer["statusCode"] == 200 and json.loads(answer["body"]) == [14]
        assert emulator.invoke({"slipway": {"task": "check"}})["ok"] is True
    # The emulator's own lines may come in the middle of ours: it copies pieces, not lines.
    assert emulator.out.count('"CloudWatchMetrics"') >= 8
    listed = subprocess.run([BINARY, "results", "export", "--data-url", f"sqlite:{tmp_path}/r.db"], capture_output=True,
                            text=True, check=True).stdout.splitlines()
    states = [json.loads(line)["state"] for line in listed]
    assert states.count("failed") == 2 and states.count("succeeded") >= 6


def test_failures_are_the_emulators_too():
    with Emulator(MODELS / "doubleit", "--results", "none") as emulator:
        assert emulator.invoke(b"{")["errorType"] == "Function.BadInput"
        assert emulator.invoke({"a": 1})["errorType"] == "Function.UnknownEvent"
        assert emulator.invoke([4]) == [8]


def test_an_init_error_is_reported():
    with Emulator(MODELS / "doubleit") as emulator:
        answer = emulator.invoke([1], expected=502)
        assert answer["errorType"].startswith("Function.") and "data.url" in answer["errorMessage"]


def test_events_are_replayed_by_the_command():
    with Emulator(MODELS / "doubleit", "--results", "none") as emulator:
        for body, code, answer in [("[1,2]", 0, {"batchItemFailures": []}), ("no json", 0, None)]:
            event = subprocess.run([BINARY, "events", "sqs", body], capture_output=True, check=True).stdout
            done = subprocess.run([BINARY, "invoke", "--url", f"http://127.0.0.1:{emulator.port}", "-"], input=event,
                                  capture_output=True, timeout=60)
            assert done.returncode == code, done.stderr
            told = json.loads(done.stdout)
            assert told == answer if answer else len(told["batchItemFailures"]) == 1
        done = subprocess.run([BINARY, "invoke", "--url", f"http://127.0.0.1:{emulator.port}", "-"], input=b'{"what":1}',
                              capture_output=True, timeout=60)
        assert done.returncode == 65 and b"Function.UnknownEvent" in done.stdout, (done.stdout, done.stderr)


# The emulator of managed instances starts /opt/bootstrap in /var/task, as another user: in a name space of our own both are
# made of nothing, and the machine has neither.
NAME_SPACE = """
mount -t tmpfs none /opt && mount -t tmpfs none /var && mkdir /var/task && chmod 755 /opt /var || exit 77
printf '%s\\n' '#!/bin/sh' "exec $SLIPWAY_BINARY lambda $MODEL --results none" > /opt/bootstrap
chmod 755 /opt/bootstrap
exec "$@" /opt/bootstrap
"""


def may_mount():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/opt"], check=False,
                                                capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="NO MANAGED INSTANCES: their emulator needs root and mounts")
def test_a_managed_instance_runs_several_at_a_time():
    port = free_port()
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", NAME_SPACE, "sh", RIE, "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
         "--runtime-api-address", f"127.0.0.1:{free_port()}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, AWS_LAMBDA_MAX_CONCURRENCY="3", SLIPWAY_BINARY=str(pathlib.Path(BINARY).resolve()),
                 MODEL=str(MODELS / "doubleit_batch_onnx")))
    end = time.monotonic() + START_TIMEOUT_S

    def invoke(value):
        """Until it is taken: more than three at a time are refused, and so is what comes before the runtime asks again."""
        while time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_S)
            try:
                connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps([[value] * 5]))
                reply = connection.getresponse()
                answer = json.loads(reply.read())
                if reply.status == 200:
                    return answer
                assert answer == {"errorType": "Runtime.Unavailable"}, answer
            except OSError:
                assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        raise AssertionError("never taken")

    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            assert list(pool.map(invoke, range(30))) == [[[2 * value] * 5] for value in range(30)]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
