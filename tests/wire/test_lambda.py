"""`slipway lambda` against a Runtime API of our own: what it asks, in which order, and what it says of failures."""
import base64
import hashlib
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time

import pytest
from runtime_api import Fault, RuntimeApi, failures, metric_lines, plain_lines, record, records
from slipway import BINARY, MODELS, START_TIMEOUT_S

DOUBLEIT = MODELS / "doubleit"


def store(tmp_path):
    return "--data-url", f"sqlite:{tmp_path}/results.db"


def rows(tmp_path, columns):
    with sqlite3.connect(f"{tmp_path}/results.db") as database:
        return database.execute(f"SELECT {columns} FROM records ORDER BY id").fetchall()


def results(tmp_path, *arguments):
    out = subprocess.run([BINARY, "results", *arguments, *store(tmp_path)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def test_queue_events_and_direct_requests():
    bodies = ["[1,2,3,4,5]", "[0,0,0,0,0]", "[1,1,1,1,1]"]
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "print")
        post = api.invoke(records(*[record(f"m{i}", body) for i, body in enumerate(bodies)]), "first")
        assert post[0] == "/2018-06-01/runtime/invocation/first/response"
        assert post[1]["Content-Type"] == "application/json" and failures(post) == []
        assert failures(api.invoke(records(record("a", "[1]"), record("b", "x"), record("c", "[3]")))) == ["b"]
        fifo = [record("a", "[1]", "g"), record("b", "x", "g"), record("c", "[3]", "g")]
        assert failures(api.invoke(records(*fifo))) == ["b", "c"]
        late = api.invoke(records(record("a", "[1]"), record("b", "[2]")), seconds=0)
        assert failures(late) == ["a", "b"]
        assert json.loads(api.invoke([1, 2.5])[2]) == [2, 5]
        reply = json.loads(api.invoke({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]})[2])
        assert reply["outputs"][0]["data"] == [2, 4]
        assert json.loads(api.invoke({"instances": [[1, 2]]})[2]) == {"predictions": [[2, 4]]}
        assert json.loads(api.invoke([4], seconds=None)[2]) == [8]
        out, _ = api.stop(process)
        assert api.extension == ("slipway", b'{"events":[]}')
    lines = plain_lines(out)
    assert [line["output"] for line in lines[:3]] == [[2, 4, 6, 8, 10], [0, 0, 0, 0, 0], [2, 2, 2, 2, 2]]
    assert [line["message_id"] for line in lines] == ["m0", "m1", "m2", "a", "c", "a"]
    assert process.returncode != 0  # the API failed, which ends a runtime


# --- results ----------------------------------------------------------------------------------------------------------


def test_a_result_is_in_the_store_before_its_record_counts(tmp_path):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path))
        trace = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
        batch = records(record("m-1", "[1,2]", AWSTraceHeader=trace), record("m-2", "[3]", attributes={"idempotency-key": "order-7"}),
                        record("m-3", "[5]", "g", MessageDeduplicationId="d-9"))
        batch["Records"][2]["eventSourceARN"] = "arn:aws:sqs:eu-west-3:123456789012:q.fifo"
        assert failures(api.invoke(batch)) == []
        assert [row[0] for row in rows(tmp_path, "key")] == ["m-1", "order-7", "q.fifo/g/d-9"]
        api.stop(process)
    found = {line["key"]: line for line in results(tmp_path, "export")}
    assert found["m-1"]["trace_id"] == "67891233abcdef012345678912345678"
    assert [found[key]["state"] for key in ("m-1", "order-7", "q.fifo/g/d-9")] == ["succeeded"] * 3


def test_a_redelivery_finds_the_result_and_another_input_is_refused(tmp_path):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path))
        assert failures(api.invoke(records(record("m-1", "[1,2]")))) == []
        for receives in (1, 2, 3):
            assert failures(api.invoke(records(record("m-1", "[1,2]", receives=receives)))) == []
        assert len(rows(tmp_path, "key")) == 1
        key = {"idempotency-key": "k"}
        assert failures(api.invoke(records(record("m-2", "[1]", attributes=key)))) == []
        for receives in (1, 2):
            assert failures(api.invoke(records(record("m-3", "[2]", attributes=key, receives=receives)))) == ["m-3"]
        assert len(rows(tmp_path, "key")) == 2
        out, _ = api.stop(process)
    assert sum(line["ResultsReused"] for line in metric_lines(out)) == 3


def test_a_failure_is_recorded_and_gives_way_to_a_success(tmp_path):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path))
        for receives in (1, 2):
            assert failures(api.invoke(records(record("bad", "x", receives=receives)))) == ["bad"]
        api.stop(process)
    (line,) = results(tmp_path, "export")
    assert line["state"] == "failed" and line["key"] == "bad" and "JSON" in line["error"]


def test_content_based_deduplication_ids_are_no_keys(tmp_path):
    digest = hashlib.sha256(b"[1]").hexdigest()
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path))
        for name in ("m-1", "m-2"):
            assert failures(api.invoke(records(record(name, "[1]", "g", MessageDeduplicationId=digest)))) == []
        assert sorted(row[0] for row in rows(tmp_path, "key")) == ["m-1", "m-2"]
        api.stop(process)


def test_a_store_that_cannot_keep_fails_the_record(tmp_path):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path))
        assert failures(api.invoke(records(record("m-1", "[1]")))) == []
        with sqlite3.connect(f"{tmp_path}/results.db", isolation_level=None) as database:
            database.execute("DROP TABLE records")
        assert failures(api.invoke(records(record("m-2", "[2]"), record("m-3", "[2]")))) == ["m-2", "m-3"]
        api.stop(process)


# --- init -------------------------------------------------------------------------------------------------------------


def expect_init_error(process, api, *words):
    path, headers, body = api.posts.get(timeout=START_TIMEOUT_S)
    assert path == "/2018-06-01/runtime/init/error"
    assert headers["Lambda-Runtime-Function-Error-Type"].startswith("Function.")
    cause = json.loads(headers["Lambda-Runtime-Function-XRay-Error-Cause"])
    assert cause["exceptions"][0]["type"] == headers["Lambda-Runtime-Function-Error-Type"]
    for word in words:
        assert word in json.loads(body)["errorMessage"]
    process.communicate(timeout=START_TIMEOUT_S)
    assert process.returncode not in (0, -signal.SIGTERM)
    assert api.posts.empty() and not api.waiting.is_set()


def test_a_model_that_cannot_be_loaded_is_an_init_error(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with RuntimeApi() as api:
        expect_init_error(api.start(tmp_path / "model.onnx", "--results", "none"), api, "model")


@pytest.mark.parametrize("arguments, words", [
    ([DOUBLEIT], ["data.url", "lambda.results"]),
    ([DOUBLEIT, "--data-url", "none"], ["data.url"]),
    ([DOUBLEIT, "--data-url", "oracle:x"], ["data.url"]),
    ([DOUBLEIT, "--data-url", "sqlite:/no/such/directory/x.db"], ["/no/such/directory"]),
    ([MODELS / "nothing", "--results", "none"], ["nothing"]),
    (["--results", "none"], ["name a model"]),
])
def test_what_is_missing_is_an_init_error(arguments, words):
    with RuntimeApi() as api:
        expect_init_error(api.start(*arguments), api, *words)


# --- the API's faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["500", "reset", "half", "no id"])
def test_an_api_that_fails_ends_the_runtime(kind):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none")
        assert json.loads(api.invoke([1])[2]) == [2]
        api.events.put(Fault(kind))
        if kind == "reset":  # a connection that broke while it was idle is made anew, once
            api.events.put(Fault("500"))
        process.communicate(timeout=START_TIMEOUT_S)
        assert process.returncode > 0
        api.violations.clear()


def test_connections_that_break_between_invocations_do_no_harm():
    with RuntimeApi(hangs_up=True) as api:
        process = api.start(DOUBLEIT, "--results", "none")
        for value in range(5):
            assert json.loads(api.invoke([value], f"r{value}")[2]) == [2 * value]
        api.stop(process)


def test_a_process_that_was_frozen_goes_on():
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none")
        assert json.loads(api.invoke([1])[2]) == [2]
        os.kill(process.pid, signal.SIGSTOP)
        api.send([2], seconds=60)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGCONT)
        assert json.loads(api.posts.get(timeout=START_TIMEOUT_S)[2]) == [4]
        api.stop(process)


@pytest.mark.parametrize("status", [400, 403, 413])
def test_an_answer_that_is_refused_does_not_end_the_runtime(status):
    with RuntimeApi(answer_status=status) as api:
        process = api.start(DOUBLEIT, "--results", "none")
        for _ in range(3):
            assert api.invoke([1, 2])[0].endswith("/response")
        assert api.posts.empty()  # and nothing is posted to /error: the platform knows
        api.stop(process)


def test_failures_have_types_that_lambda_knows():
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "print")
        for event, kind, word in ((b"{", "Function.BadInput", "JSON"),
                                  ("text", "Function.UnknownEvent", "neither"),
                                  ({}, "Function.UnknownEvent", "empty object"),
                                  ({"Records": [{"eventSource": "aws:s3"}]}, "Function.UnknownEvent", "aws:s3"),
                                  ({"Gr\u00f6\u00dfe": 1}, "Function.UnknownEvent", "'Gr\u00f6\u00dfe'"),
                                  ({"slipway": {"task": "\"fly\""}}, "Function.UnknownEvent", '"fly"'),
                                  ({"detail-type": "x"}, "Function.BadInput", "detail"),
                                  ({"inputs": 7}, "Function.BadInput", "")):
            path, headers, body = api.invoke(event, "r-7")
            assert path == "/2018-06-01/runtime/invocation/r-7/error"
            assert headers["Lambda-Runtime-Function-Error-Type"] == kind
            error = json.loads(body)
            assert error["errorType"] == kind and word in error["errorMessage"] and error["stackTrace"] == []
            cause = headers["Lambda-Runtime-Function-XRay-Error-Cause"]
            assert cause.isascii() and len(cause) < 65536
            assert json.loads(cause)["exceptions"][0]["type"] == kind
        assert failures(api.invoke(records(record("a", "[1]")))) == []
        api.stop(process)


def test_six_megabytes():
    body = b"[" + b"1," * 3145000 + b"1]"
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none")
        answer = json.loads(api.invoke(body)[2])
        assert len(answer) == 3145001 and set(answer) == {2}
        api.stop(process)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_sigterm_ends_an_idle_runtime_at_once(tmp_path):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path))
        assert api.waiting.wait(START_TIMEOUT_S) and api.extension_waits.wait(START_TIMEOUT_S)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
        assert process.returncode == 0, err
        assert "Sanitizer" not in err and api.posts.empty()


def test_sigterm_lets_an_invocation_finish(tmp_path):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path))
        assert api.waiting.wait(START_TIMEOUT_S)
        os.kill(process.pid, signal.SIGSTOP)
        api.send(records(record("m", "[1]")))
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGCONT)
        # The event and the signal come together: whichever is seen first, nothing is half done.
        _, err = process.communicate(timeout=10)
        assert process.returncode == 0, err
        answered = not api.posts.empty()
        assert len(rows(tmp_path, "key")) == answered


class HeldApi(RuntimeApi):
    """Answers no post before it is told to."""

    def __init__(self):
        super().__init__()
        self.posted = threading.Event()
        self.goes_on = threading.Event()

    def before_answer(self):
        self.posted.set()
        self.goes_on.wait(START_TIMEOUT_S)


@pytest.mark.parametrize("event, sources", [
    (records(record("m-1", "[1]"), record("m-2", "x"), record("m-3", "[3]")), ["queue"] * 3),
    ({"version": "2.0", "rawPath": "/models/doubleit", "headers": {"content-type": "application/json"}, "body": "[1]",
      "requestContext": {"http": {"method": "POST"}}}, ["http"]),
])
def test_sigterm_finds_results_and_metrics_written(tmp_path, event, sources):
    """They are, before the answer is posted: what comes after it may be cut off at any time, and is nothing."""
    with HeldApi() as api, open(tmp_path / "out", "wb") as out:
        environment = dict(os.environ, AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{api.server.server_port}")
        process = subprocess.Popen([BINARY, "lambda", DOUBLEIT, *store(tmp_path)], env=environment, stdout=out,
                                   stderr=subprocess.PIPE, text=True)
        api.send(event)
        assert api.posted.wait(START_TIMEOUT_S)
        process.send_signal(signal.SIGTERM)
        (line,) = metric_lines((tmp_path / "out").read_text())
        assert line["InferenceSucceeded"] == max(1, len(sources) - 1)
        assert {one["source"] for one in results(tmp_path, "export")} == set(sources)
        assert len(rows(tmp_path, "id")) == len(sources)
        assert process.poll() is None  # the answer is still to be taken
        api.goes_on.set()
        _, err = process.communicate(timeout=10)
        assert process.returncode == 0, err
        assert "ended by a signal" in err and "Sanitizer" not in err
        assert api.posts.get(timeout=START_TIMEOUT_S)[0].endswith("/response") and api.posts.empty()
        assert len(metric_lines((tmp_path / "out").read_text())) == 1


def test_an_api_without_extensions_will_do():
    with RuntimeApi(extensions=False) as api:
        process = api.start(DOUBLEIT, "--results", "none")
        assert json.loads(api.invoke([1])[2]) == [2]
        api.stop(process)


# --- metrics and logs -------------------------------------------------------------------------------------------------


def test_metrics_are_one_line_an_invocation(tmp_path):
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, *store(tmp_path), "--service", "iris", "--environment", "test",
                            AWS_LAMBDA_FUNCTION_VERSION="7")
        api.invoke(records(record("a", "[1]"), record("b", "x"), record("c", "[3]")), "r-1")
        api.invoke([1], "r-2")
        api.invoke(b"{", "r-3")
        out, err = api.stop(process)
    first, second, third = metric_lines(out)
    assert len(out.splitlines()) == 3
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Slipway"
    assert directive["Dimensions"] == [["Service", "Env"], ["Service", "Env", "FunctionVersion"]]
    assert (first["Service"], first["Env"], first["FunctionVersion"], first["RequestId"]) == ("iris", "test", "7", "r-1")
    assert abs(first["_aws"]["Timestamp"] / 1000 - time.time()) < 100
    assert (first["InferenceSucceeded"], first["InferenceFailed"], first["BatchRecords"]) == (2, 1, 3)
    assert len(first["InferenceLatency"]) == 3 and first["InitLatency"] > 0
    assert all(entry["Name"] in first for entry in directive["Metrics"])
    assert (second["InferenceFailed"], second["InferenceSucceeded"]) == (0, 1) and "InitLatency" not in second
    assert third["InvocationsFailed"] == 1
    for line in err.splitlines()[:-1]:  # the last is the command's own, of its failure
        assert json.loads(line)["level"]


# --- HTTP -------------------------------------------------------------------------------------------------------------


def v2(method, path, body=None, headers=None, query="", cookies=None, stage="$default", encoded=False):
    event = {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
             "headers": headers or {}, "requestContext": {"http": {"method": method, "path": path}, "stage": stage},
             "isBase64Encoded": encoded}
    if body is not None:
        event["body"] = body
    if cookies:
        event["cookies"] = cookies
    return event


def v1(method, path, body=None, headers=None, query=None, encoded=False):
    return {"resource": "/{proxy+}", "path": path, "httpMethod": method, "headers": {"Host": "x", "ignored": "y"},
            "multiValueHeaders": {name: [value] for name, value in (headers or {}).items()},
            "queryStringParameters": None, "multiValueQueryStringParameters": query,
            "requestContext": {"stage": "prod", "path": "/prod" + path}, "body": body, "isBase64Encoded": encoded}


def http(api, event):
    path, headers, body = api.invoke(event)
    assert path.endswith("/response"), body
    return json.loads(body)


def test_http_requests_are_answered_by_the_servers_routes(tmp_path):
    with RuntimeApi() as api:
        process = api.start(MODELS, *store(tmp_path), "--model", "doubleit")
        json_type = {"content-type": "application/json"}
        for make in (v1, v2):
            answer = http(api, make("GET", "/v2/health/ready"))
            assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is False
            answer = http(api, make("POST", "/v2/models/doubleit/infer", json.dumps(
                {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}), json_type))
            assert json.loads(answer["body"])["outputs"][0]["data"] == [2, 4]
            encoded = base64.b64encode(b"[1,2,3]").decode()
            answer = http(api, make("POST", "/models/doubleit", encoded, json_type, encoded=True))
            assert json.loads(answer["body"]) == [2, 4, 6]
            answer = http(api, make("GET", "/v2/models/none"))
            assert answer["statusCode"] == 404 or answer["statusCode"] == 400
            assert "error" in json.loads(answer["body"])
            assert http(api, make("PATCH", "/v2/health/ready"))["statusCode"] == 405
            assert http(api, make("POST", "/models/doubleit", "!", json_type, encoded=True))["statusCode"] == 400
        assert http(api, v2("GET", "/prod/v2/health/live", stage="prod"))["statusCode"] == 200
        assert http(api, v2("GET", "/v2/results", query="limit=1&model=doubleit"))["statusCode"] == 200
        assert http(api, v1("GET", "/v2/results", query={"limit": ["1"], "model": ["doubleit"]}))["statusCode"] == 200
        assert http(api, v2("GET", "/v2/health/live", headers={"x-evil": "a\r\nb: c"}))["statusCode"] == 400
        # Synchronous requests of HTTP leave their records before the process may be frozen.
        assert {line["source"] for line in results(tmp_path, "export")} == {"http"}
        api.stop(process)


def test_binary_tensors_travel_as_base64():
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2],
                                   "parameters": {"binary_data_size": 8}}],
                       "outputs": [{"name": "output", "parameters": {"binary_data": True}}]})
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none")
        metadata = json.loads(http(api, v2("GET", "/v2/models/doubleit"))["body"])
        head = head.replace('"output"', json.dumps(metadata["outputs"][0]["name"])) \
            .replace('"x"', json.dumps(metadata["inputs"][0]["name"]))
        body = head.encode() + b"\0\0\x80\x3f\0\0\0\x40"
        answer = http(api, v2("POST", "/v2/models/doubleit/infer", base64.b64encode(body).decode(),
                              {"Inference-Header-Content-Length": str(len(head)),
                               "content-type": "application/octet-stream"}, encoded=True))
        assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is True
        assert base64.b64decode(answer["body"]).endswith(b"\0\0\0\x40\0\0\x80\x40")
        api.stop(process)


def test_a_function_url_may_be_answered_as_a_stream():
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none", "--stream")
        path, headers, body = api.invoke(v2("POST", "/models/doubleit", "[1,2]"))
        assert headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
        assert headers["Content-Type"] == "application/vnd.awslambda.http-integration-response"
        assert headers["Transfer-Encoding"] == "chunked" and headers["Content-Length"] is None
        prelude, rest = body.split(b"\0" * 8)
        assert json.loads(prelude)["statusCode"] == 200 and json.loads(rest) == [2, 4]
        assert json.loads(api.invoke([1])[2]) == [2]  # other shapes are not streamed
        api.stop(process)


class SlowApi(RuntimeApi):
    """Stops reading a stream after its first bytes, until it is told to go on."""

    def __init__(self, hangs_up_at=None):
        super().__init__()
        self.server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.hangs_up_at = hangs_up_at
        self.begun = threading.Event()
        self.goes_on = threading.Event()

    def has_read(self, handler, size):
        if self.hangs_up_at is not None and size >= self.hangs_up_at:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            raise ConnectionResetError
        self.begun.set()
        self.goes_on.wait(START_TIMEOUT_S)


COUNT = 100000  # five numbers each: more than what sockets keep between two ends


def large_request():
    """An answer of 10 MB: 19 digits for each of the 8 bytes that came."""
    head = json.dumps({"inputs": [{"name": "x", "datatype": "INT64", "shape": [5 * COUNT],
                                   "parameters": {"binary_data_size": 40 * COUNT}}]}).encode()
    body = head + struct.pack("<q", 2 ** 61 + 1) * (5 * COUNT)
    return v2("POST", "/v2/models/doubleit/infer", base64.b64encode(body).decode(), encoded=True, headers={
        "content-type": "application/octet-stream", "inference-header-content-length": str(len(head))})





def test_a_large_stream_is_whole_and_needs_no_copy():
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none", "--stream")
        for _ in range(2):
            _, headers, body = api.invoke(large_request())
            prelude, rest = body.split(b"\0" * 8, 1)
            assert json.loads(prelude)["statusCode"] == 200
            values = json.loads(rest)["outputs"][0]["data"]
            assert len(values) == 5 * COUNT and set(values) == {2 ** 62 + 2}
            assert not [name for name in headers if name.startswith("trailer-")]
            assert json.loads(api.invoke([1])[2]) == [2]
        out, _ = api.stop(process)
    assert [line["InferenceSucceeded"] for line in metric_lines(out)] == [1] * 4


def test_a_stream_that_fails_says_so_behind_what_was_sent(tmp_path):
    """The platform reads too slowly: before the time is over the answer ends, with the reason in its trailers."""
    with SlowApi() as api:
        process = api.start(DOUBLEIT, "--results", "none", "--stream")
        assert api.waiting.wait(START_TIMEOUT_S)
        api.send(large_request(), seconds=8)
        assert api.begun.wait(START_TIMEOUT_S)
        time.sleep(8)  # until its deadline
        api.goes_on.set()
        path, headers, body = api.posts.get(timeout=START_TIMEOUT_S)
        assert path.endswith("/response")
        prelude, rest = body.split(b"\0" * 8, 1)
        assert json.loads(prelude)["statusCode"] == 200 and rest.startswith(b'{"model_name":')
        with pytest.raises(ValueError):
            json.loads(rest)
        assert headers["trailer-lambda-runtime-function-error-type"] == "Function.DeadlineExceeded"
        failure = json.loads(base64.b64decode(headers["trailer-lambda-runtime-function-error-body"], validate=True))
        assert failure["errorType"] == "Function.DeadlineExceeded" and failure["stackTrace"] == []
        assert failure["errorMessage"].startswith("sending the answer: ")
        assert json.loads(api.invoke([1], "r2")[2]) == [2]  # and goes on
        out, err = api.stop(process)
    (line,) = [line for line in metric_lines(out) if line["RequestId"] == "r1"]
    assert line["InvocationsFailed"] == 1
    assert [one["error"] for one in plain_lines("\n".join(err.splitlines()[:-1])) if one["level"] == "ERROR"] == [
        failure["errorMessage"]]


def test_a_platform_that_hangs_up_in_a_stream_ends_the_runtime():
    with SlowApi(hangs_up_at=100000) as api:
        api.goes_on.set()
        process = api.start(DOUBLEIT, "--results", "none", "--stream")
        api.send(large_request())
        out, _ = process.communicate(timeout=START_TIMEOUT_S)
        assert process.returncode > 0
        (line,) = metric_lines(out)
        assert line["InvocationsFailed"] == 1
        api.violations.clear()


# --- EventBridge, tasks, hooks ----------------------------------------------------------------------------------------


def test_eventbridge_details_are_run_and_kept(tmp_path):
    event = {"version": "0", "id": "e-1", "detail-type": "inference", "source": "app.orders", "time": "2026-01-01T00:00:00Z",
             "detail": {"model": "doubleit", "request": [1, 2]}}
    with RuntimeApi() as api:
        process = api.start(MODELS, *store(tmp_path))
        assert json.loads(api.invoke(event)[2]) == {"key": "e-1", "model": "doubleit"}
        assert json.loads(api.invoke(event)[2]) == {"key": "e-1", "model": "doubleit"}
        assert api.invoke(dict(event, detail={"model": "none", "request": [1]}, id="e-2"))[0].endswith("/error")
        api.stop(process)
    assert [line["key"] for line in results(tmp_path, "export")] == ["e-1"]


def test_tasks_of_a_workflow():
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "none")
        answer = json.loads(api.invoke({"slipway": {"task": "check"}})[2])
        assert answer["ok"] is True and answer["report"]["items"]
        assert json.loads(api.invoke({"slipway": {"task": "ping"}})[2])["ok"] is True
        assert json.loads(api.invoke([1])[2]) == [2]
        api.stop(process)


# --- sample events ----------------------------------------------------------------------------------------------------


def sample(*arguments, code=0):
    done = subprocess.run([BINARY, "events", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def test_sample_events_are_answered():
    with RuntimeApi() as api:
        process = api.start(DOUBLEIT, "--results", "print")
        assert failures(api.invoke(sample("sqs", "[1,2]", "no json", "[3]"))) != []
        assert failures(api.invoke(sample("sqs", "[1,2]", "[3]"))) == []
        fifo = sample("sqs-fifo", "[1]", "broken", "[3]")
        assert failures(api.invoke(fifo)) == [one["messageId"] for one in fifo["Records"][1:]]
        assert fifo["Records"][0]["eventSourceARN"].endswith(":inference-dev.fifo")
        assert json.loads(api.invoke(sample("direct"))[2]) == [2, 4, 6, 8, 10]
        for kind in ("function-url", "http-api", "rest-api"):
            answer = json.loads(api.invoke(sample(kind))[2])
            assert answer["statusCode"] == 200 and json.loads(answer["body"]) == [2, 4, 6, 8, 10], answer
        assert json.loads(api.invoke(sample("eventbridge", "--model", "doubleit"))[2])
        assert json.loads(api.invoke(sample("task"))[2])["ok"] is True
        out, _ = api.stop(process)
    assert [4, 8] not in [line["output"] for line in plain_lines(out)]
    assert [2, 4, 6, 8, 10] in [line["output"] for line in plain_lines(out)]


def test_sample_events_refuse_what_is_none():
    assert "there are direct, task, sqs" in sample("sqs_fifo", code=65)
    assert "has one body" in sample("direct", "[1]", "[2]", code=65)
    assert "invalid JSON" in sample("eventbridge", "{", code=65)
    assert "name a kind" in sample(code=65)
