"""A Runtime API of our own, with the state machine of Lambda's, and faults on demand.

    with RuntimeApi() as api:
        process = api.start(MODELS / "doubleit", "--results", "none")
        path, headers, body = api.invoke([1, 2, 3])
        out, err = api.stop(process)

States: started -next-> ready -event-> running -response|error-> sent -next-> ready; started -init/error-> failed. Every
other step is 403 InvalidStateTransition, and noted in `violations`.
"""
import hashlib
import http.server
import json
import os
import queue
import socket
import struct
import subprocess
import threading
import time

from slipway import BINARY, START_TIMEOUT_S

NEXT = "/2018-06-01/runtime/invocation/next"
INIT_ERROR = "/2018-06-01/runtime/init/error"


class Fault:
    """An event that is none: what `next` does instead of answering."""

    def __init__(self, kind):
        self.kind = kind  # "500", "reset", "half", "no id"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b'{"status":"OK"}', headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        api = self.server.api
        if self.path == "/2020-01-01/extension/event/next":
            api.extension_waits.set()
            api.ended.wait()
            self.close_connection = True
            return
        assert self.path == NEXT, self.path
        api.step("next")
        item = api.events.get()
        if item is None:  # the end of the test
            self.answer(500)
        elif isinstance(item, Fault):
            self.misbehave(item)
        else:
            headers, body = item
            api.deliver(headers)
            self.answer(200, body, headers.items())

    def misbehave(self, fault):
        self.close_connection = True
        if fault.kind == "500":
            self.answer(500)
        elif fault.kind == "no id":
            self.answer(200, b"[1]")
        elif fault.kind == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: h\r\nContent-Length: 100\r\n\r\n[1")
        elif fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.server.api.misbehaved.set()

    def read_body(self):
        """Chunked or not; the fields behind a chunked one become fields of the head, in lower case."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            assert self.rfile.readline() == b"\r\n"
            self.server.api.has_read(self, len(body))
        allowed = [name.strip().lower() for name in self.headers.get("Trailer", "").split(",")]
        while line := self.rfile.readline().decode().strip():
            name, value = line.split(": ", 1)
            assert name.lower() in allowed
            self.headers["trailer-" + name.lower()] = value
        return body

    def do_POST(self):
        api = self.server.api
        body = self.read_body()
        if self.path == "/2020-01-01/extension/register":
            assert api.state == "started"
            if not api.extensions:
                self.answer(404, b"{}")
                return
            api.extension = (self.headers["Lambda-Extension-Name"], body)
            self.answer(200, b"{}", [("Lambda-Extension-Identifier", "id-1")])
            return
        ok = api.step("init/error" if self.path == INIT_ERROR else "answer", self.path)
        api.posts.put((self.path, self.headers, body))
        api.before_answer()
        self.answer(api.answer_status if ok else 403)
        if api.hangs_up:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


class RuntimeApi:
    """Hands out the events given to it, and keeps what the runtime posts: (path, headers, body)."""

    STEPS = {("started", "next"): "ready", ("sent", "next"): "ready", ("running", "answer"): "sent",
             ("started", "init/error"): "failed"}

    def __init__(self, answer_status=202, extensions=True, hangs_up=False):
        self.events = queue.Queue()
        self.posts = queue.Queue()
        self.answer_status = answer_status
        self.extensions = extensions
        self.hangs_up = hangs_up  # ends the connection after each answer, as a freeze may
        self.extension = None
        self.extension_waits = threading.Event()
        self.ended = threading.Event()
        self.state = "started"
        self.violations = []
        self.waiting = threading.Event()  # next was asked for
        self.misbehaved = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.api = self

    def deliver(self, headers):
        self.state = "running"

    def before_answer(self):
        """Before a post is answered."""

    def has_read(self, handler, size):
        """So many bytes of a streamed answer have come."""

    def step(self, name, path=NEXT):
        after = self.STEPS.get((self.state, name))
        if after is None:
            self.violations.append((self.state, name))
            return False
        self.state = after
        if name == "next":
            self.waiting.set()
        return True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind, *arguments):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        if kind is None:
            assert self.violations == []

    def start(self, *arguments, **variables):
        environment = dict(os.environ, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{self.server.server_port}", **variables)
        return subprocess.Popen([BINARY, "lambda", *map(str, arguments)], env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def send(self, event, name="r1", seconds=60, **headers):
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        fields = {"lambda-runtime-aws-request-id": name, **headers}
        if seconds is not None:
            fields["Lambda-Runtime-Deadline-Ms"] = str(int((time.time() + seconds) * 1000))
        self.events.put((fields, body))

    def invoke(self, event, name="r1", seconds=60, **headers):
        self.send(event, name, seconds, **headers)
        return self.posts.get(timeout=START_TIMEOUT_S)

    def stop(self, process):
        self.events.put(None)
        return process.communicate(timeout=START_TIMEOUT_S)


class ConcurrentApi(RuntimeApi):
    """That of a managed instance: as many events at a time as are asked for. Each is answered once. Posts are answered
    when `gate` is set."""

    def __init__(self, concurrency, **options):
        super().__init__(**options)
        self.concurrency = concurrency
        self.lock = threading.Lock()
        self.pollers = 0  # /next that wait
        self.most = 0
        self.running = set()
        self.gate = threading.Event()
        self.gate.set()

    def start(self, *arguments, **variables):
        return super().start(*arguments, **{"AWS_LAMBDA_MAX_CONCURRENCY": str(self.concurrency), **variables})

    def step(self, name, path=NEXT):
        with self.lock:
            if name == "next":
                self.state = "ready"
                self.pollers += 1
                self.most = max(self.most, self.pollers + len(self.running))
                if self.most == self.concurrency:
                    self.waiting.set()
                return True
            if name == "init/error":
                return self.state == "started"
            request = path.split("/")[-2]
            if request not in self.running:
                self.violations.append((request, name))
                return False
            self.running.remove(request)
            return True

    def deliver(self, headers):
        with self.lock:
            self.pollers -= 1
            self.running.add(headers["lambda-runtime-aws-request-id"])

    def before_answer(self):
        self.gate.wait(START_TIMEOUT_S)

    def stop(self, process):
        for _ in range(self.concurrency):
            self.events.put(None)
        out, err = process.communicate(timeout=START_TIMEOUT_S)
        assert "Sanitizer" not in err, err
        return out, err


def record(name, body, group=None, attributes=None, receives=1, **system):
    value = {"messageId": name, "receiptHandle": "h-" + name, "body": body,
             "attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": "1700000000000", **system},
             "messageAttributes": {}, "md5OfBody": hashlib.md5(body.encode()).hexdigest(),
             "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-3:123456789012:q",
             "awsRegion": "eu-west-3"}
    for key, text in (attributes or {}).items():
        value["messageAttributes"][key] = {"stringValue": text, "stringListValues": [], "binaryListValues": [],
                                           "dataType": "String"}
    if group:
        value["attributes"]["MessageGroupId"] = group
        value["eventSourceARN"] += ".fifo"
    return value


def records(*items):
    return {"Records": list(items)}


def failures(post):
    assert post[0].endswith("/response"), post
    answer = json.loads(post[2])
    assert list(answer) == ["batchItemFailures"]
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def metric_lines(out):
    return [line for line in map(json.loads, out.splitlines()) if "_aws" in line]


def plain_lines(out):
    return [line for line in map(json.loads, out.splitlines()) if "_aws" not in line]
