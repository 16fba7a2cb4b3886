"""`slipway lambda` against a Runtime API of our own: what it asks, in which order, and what it says of failures."""
import hashlib
import http.server
import json
import os
import queue
import subprocess
import threading
import time

from slipway import BINARY, MODELS, START_TIMEOUT_S


class RuntimeApi:
    """Hands out the events given to it, and keeps what the runtime posts: (path, headers, body)."""

    def __init__(self, answer_status=202):
        api = self
        self.events = queue.Queue()
        self.posts = queue.Queue()
        self.answer_status = answer_status

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                assert self.path == "/2018-06-01/runtime/invocation/next"
                item = api.events.get()
                if item is None:  # the end of the test
                    self.send_error(500)
                    return
                headers, body = item
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.posts.put((self.path, self.headers, body))
                self.send_response(api.answer_status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *arguments):
        self.server.shutdown()
        self.server.server_close()

    def start(self, model):
        environment = dict(os.environ, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{self.server.server_port}")
        return subprocess.Popen([BINARY, "lambda", str(model)], env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def invoke(self, event, name="r1", seconds=60):
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.events.put(({"lambda-runtime-aws-request-id": name,
                          "Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000))}, body))
        return self.posts.get(timeout=START_TIMEOUT_S)

    def stop(self, process):
        self.events.put(None)
        return process.communicate(timeout=START_TIMEOUT_S)


def record(name, body, group=None):
    value = {"messageId": name, "body": body, "md5OfBody": hashlib.md5(body.encode()).hexdigest(), "attributes": {},
             "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-3:123456789012:q"}
    if group:
        value["attributes"]["MessageGroupId"] = group
        value["eventSourceARN"] += ".fifo"
    return value


def failures(post):
    assert post[0].endswith("/response"), post
    answer = json.loads(post[2])
    assert list(answer) == ["batchItemFailures"]
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_queue_events_and_direct_requests():
    bodies = ["[1,2,3,4,5]", "[0,0,0,0,0]", "[1,1,1,1,1]"]
    with RuntimeApi() as api:
        process = api.start(MODELS / "doubleit")
        post = api.invoke({"Records": [record(f"m{i}", body) for i, body in enumerate(bodies)]}, "first")
        assert post[0] == "/2018-06-01/runtime/invocation/first/response"
        assert post[1]["Content-Type"] == "application/json" and failures(post) == []
        assert failures(api.invoke({"Records": [record("a", "[1]"), record("b", "x"), record("c", "[3]")]})) == ["b"]
        fifo = [record("a", "[1]", "g"), record("b", "x", "g"), record("c", "[3]", "g")]
        assert failures(api.invoke({"Records": fifo})) == ["b", "c"]
        late = api.invoke({"Records": [record("a", "[1]"), record("b", "[2]")]}, seconds=0)
        assert failures(late) == ["a", "b"]
        assert json.loads(api.invoke([1, 2.5])[2]) == [2, 5]
        reply = json.loads(api.invoke({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]})[2])
        assert reply["outputs"][0]["data"] == [2, 4]
        out, _ = api.stop(process)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["output"] for line in lines[:3]] == [[2, 4, 6, 8, 10], [0, 0, 0, 0, 0], [2, 2, 2, 2, 2]]
    assert [line["message_id"] for line in lines] == ["m0", "m1", "m2", "a", "c", "a"]
    assert process.returncode != 0  # the API failed, which ends a runtime


def test_failures_have_types_that_lambda_knows():
    with RuntimeApi() as api:
        process = api.start(MODELS / "doubleit")
        for event, kind in ((b"{", "Function.BadInput"), (b'"text"', "Function.BadInput"),
                            (b'{"Records":[{"eventSource":"aws:s3"}]}', "Function.NotSupported"),
                            (b'{"detail-type":"x"}', "Function.NotSupported")):
            path, headers, body = api.invoke(event, "r-7")
            assert path == "/2018-06-01/runtime/invocation/r-7/error"
            assert headers["Lambda-Runtime-Function-Error-Type"] == kind
            assert json.loads(body)["errorType"] == kind and json.loads(body)["errorMessage"]
        assert failures(api.invoke({"Records": [record("a", "[1]")]})) == []
        api.stop(process)


def test_an_answer_that_is_refused_does_not_end_the_runtime():
    with RuntimeApi(answer_status=413) as api:
        process = api.start(MODELS / "doubleit")
        for _ in range(3):
            assert api.invoke([1, 2])[0].endswith("/response")
        api.stop(process)


def test_a_model_that_cannot_be_loaded_is_an_init_error(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with RuntimeApi() as api:
        process = api.start(tmp_path / "model.onnx")
        path, headers, _ = api.posts.get(timeout=START_TIMEOUT_S)
        assert path == "/2018-06-01/runtime/init/error"
        assert headers["Lambda-Runtime-Function-Error-Type"].startswith("Function.")
        process.communicate(timeout=START_TIMEOUT_S)
        assert process.returncode != 0
        assert api.events.empty() and api.posts.empty()
