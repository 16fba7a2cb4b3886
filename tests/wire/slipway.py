"""The real binary as the wire tests see it: a process, a port, and bytes.

    with Server(["models"]) as server:
        assert server.get("/v2/health/live").json() == {"live": True}

SLIPWAY_BINARY names the program. Leaving the block stops it with SIGTERM and checks that it went as it should: exit code
0, no report of a sanitizer.
"""
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / "models"
BINARY = os.path.abspath(os.environ.get("SLIPWAY_BINARY", ROOT / "build" / "release" / "slipway"))
# Sanitizers make everything slower, libtorch's start most of all.
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 45
SANITIZER_MARKS = ("Sanitizer", "runtime error:", "Assertion `", "assertion failed")


class Reply:
    """An HTTP answer."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # of http.client: get() ignores case
        self.body = body

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The text of an error body, which must be {"error": text} and nothing else."""
        body = self.json()
        assert list(body) == ["error"] and isinstance(body["error"], str), body
        assert self.headers.get("Content-Type") == "application/json"
        return body["error"]

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Server:
    """`slipway serve` on a free port. Options are flags without dashes: http_idle_timeout="2s"."""

    def __init__(self, models, ready=True, environment=None, **options):
        self.directory = tempfile.TemporaryDirectory(prefix="slipway-wire-")
        self.port_file = pathlib.Path(self.directory.name) / "port"
        self.log_path = pathlib.Path(self.directory.name) / "log"
        self.arguments = [BINARY, "serve", *map(str, models), "--http-port=0", f"--http-port-file={self.port_file}"]
        for key, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                self.arguments.append(f"--{key.replace('_', '-')}={one}")
        # What is kept goes with the server's directory; a test that starts it again keeps the directory.
        self.environment = dict(os.environ, SLIPWAY_DATA_DIRECTORY=self.directory.name, **(environment or {}))
        self.wanted_ready = ready
        self.expected_exit_code = 0
        self.process = None
        self.port = None

    def start(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment)
        self.wait_until(lambda: self.port_file.exists(), "the port file")
        self.port = int(self.port_file.read_text())
        if self.wanted_ready:
            self.wait_until(lambda: self.get("/v2/health/ready").status == 200, "readiness")
        return self

    def wait_until(self, condition, what, timeout_s=START_TIMEOUT_S):
        end = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {what}:\n{self.log()}"
            assert time.monotonic() < end, f"no {what} within {timeout_s} s:\n{self.log()}"
            time.sleep(0.01)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        """SIGTERM, and all that must be true of the end."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not end within {STOP_TIMEOUT_S} s of SIGTERM:\n{self.log()}") from None
        log = self.log()
        self.directory.cleanup()
        self.process = None
        for mark in SANITIZER_MARKS:
            assert mark not in log, log
        assert code == self.expected_exit_code, f"exit code {code}:\n{log}"

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            raise

    def __exit__(self, kind, value, traceback):
        self.stop()

    # ---- Requests

    def address(self, path=""):
        return f"http://127.0.0.1:{self.port}{path}"

    def request(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **arguments):
        return self.request("GET", path, **arguments)

    def post(self, path, body=b"", **arguments):
        """A body that is no bytes or text is sent as JSON."""
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        return self.request("POST", path, body=body, **arguments)

    def infer(self, model, inputs, outputs=None, version=None, headers=None, **more):
        """inputs as tensor() makes them."""
        body = {"inputs": inputs, **({"outputs": outputs} if outputs is not None else {}), **more}
        at = f"/versions/{version}" if version else ""
        return self.post(f"/v2/models/{model}{at}/infer", body, headers=headers)

    # ---- Raw bytes

    def connect(self, timeout=20):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, data, timeout=20):
        """Sends bytes, closes the sending half, and returns what came until the server closed."""
        with self.connect(timeout) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server may have answered and closed before it read all
            return read_all(connection)


def read_all(connection):
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def statuses(data):
    """The status codes of the answers in a stream of bytes; bodies by Content-Length."""
    return [reply.status for reply in split_replies(data)]


def split_replies(data):
    replies = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"a head without an end: {head!r}"
        lines = head.decode("latin-1").split("\r\n")
        headers = http.client.HTTPMessage()
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name] = value.strip()
        status = int(lines[0].split()[1])
        size = int(headers.get("Content-Length", 0))
        body, data = data[:size], data[size:]
        replies.append(Reply(status, headers, body))
        if status == 100:
            assert size == 0
    return replies


def tensor(name, datatype, shape, data, **parameters):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data,
            **({"parameters": parameters} if parameters else {})}


X = tensor("x", "INT64", [5], [1, 2, 3, 4, 5])
ROW = tensor("x", "INT64", [1, 5], [1, 2, 3, 4, 5])


def http_request(method, path, body=b"", headers=()):
    """A request as bytes, with Host and Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: slipway", *headers]
    if method == "POST" and not any("transfer-encoding" in header.lower() for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def echo_repository(directory, models):
    """A repository of models of the reference engine: {name: statements} or {name: (statements, config.pbtxt)}."""
    root = pathlib.Path(directory) / "echo"
    for name, content in models.items():
        statements, config = content if isinstance(content, tuple) else (content, None)
        (root / name / "1").mkdir(parents=True)
        (root / name / "1" / "model.echo").write_text(statements + "\nend\n")
        if config:
            (root / name / "config.pbtxt").write_text(config)
    return root
