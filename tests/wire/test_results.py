"""Records of requests through the real binary: what is kept, what is shown, keys, feedback, the command."""
import base64
import concurrent.futures
import csv
import hashlib
import io
import json
import pathlib
import shutil
import sqlite3
import struct
import subprocess
import time

import pytest

from slipway import BINARY, MODELS

DOUBLEIT = MODELS / "doubleit"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def results(server, query="", count=None):
    """The records of a list; waits until there are `count` of them."""
    end = time.monotonic() + 20
    while True:
        reply = server.get(f"/v2/results?payload=true{query}")
        assert reply.status == 200, reply
        found = reply.json()["results"]
        if count is None or len(found) >= count:
            return found
        assert time.monotonic() < end, f"{len(found)} records, not {count}: {server.log()}"
        time.sleep(0.02)


def one(server, query=""):
    found = results(server, query, 1)
    assert len(found) == 1, found
    return found[0]


def run(server, *arguments, code=0):
    done = subprocess.run([BINARY, "results", *map(str, arguments)], capture_output=True, timeout=60,
                          env=server.environment)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout.decode() if code == 0 else done.stderr.decode()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    from slipway import Server
    with Server([DOUBLEIT], http_threads=2) as server:
        yield server


# ---- What is recorded


def test_a_request_leaves_a_record(start):
    server = start([DOUBLEIT])
    body = {"id": "r1", "inputs": [{"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]}]}
    before = time.time()
    reply = server.post("/v2/models/doubleit/infer", body, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    record = one(server)
    assert record["model"] == "doubleit" and record["version"] == "1" and record["source"] == "http"
    assert record["state"] == "succeeded" and record["status"] == "OK"
    assert record["request_id"] == "r1" and record["trace_id"] == TRACE
    assert len(record["digest"]) == 64 and len(record["id"]) == 26
    assert record["input"]["json"] == body and record["input"]["keep"] == "inline"
    assert record["output"]["json"] == reply.json()
    assert before * 1e6 - 1e6 < record["received_us"] <= record["queued_us"] <= record["started_us"] <= record["done_us"]
    assert record["done_us"] < (time.time() + 1) * 1e6
    assert server.get(f"/v2/results/{record['id']}").json() == record
    listed = server.get("/v2/results").json()["results"][0]
    assert "json" not in listed["input"] and listed["input"]["size"] == record["input"]["size"]


def test_each_protocol_leaves_its_record(start):
    server = start([DOUBLEIT])
    server.post("/models/doubleit", [1, 2])
    server.post("/v1/models/doubleit:predict", {"instances": [1, 2]})
    header = json.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": "INT64",
                                     "parameters": {"binary_data_size": 16}}],
                         "outputs": [{"name": "OUTPUT__0", "parameters": {"binary_data": True}}]}).encode()
    reply = server.post("/v2/models/doubleit/infer", header + struct.pack("<2q", 1, 2),
                        headers={"Inference-Header-Content-Length": str(len(header))})
    assert reply.status == 200
    binary, v1, bare = results(server, count=3)
    assert bare["input"] == {"keep": "inline", "type": "application/json; protocol=bare", "size": 6, "json": [1, 2]}
    assert bare["output"]["json"] == [2, 4]
    assert v1["input"]["type"] == "application/json; protocol=v1" and v1["output"]["json"]["predictions"] == [2, 4]
    assert binary["input"]["type"] == "application/octet-stream" and binary["input"]["header_size"] == len(header)
    assert base64.b64decode(binary["input"]["base64"]) == header + struct.pack("<2q", 1, 2)
    assert base64.b64decode(binary["output"]["base64"]) == reply.body
    assert binary["output"]["header_size"] == int(reply.headers["Inference-Header-Content-Length"])


def test_failures_are_recorded_requests_to_nobody_are_not(start):
    server = start([DOUBLEIT])
    assert server.post("/models/nobody", [1]).status == 400
    assert server.post("/models/doubleit", "[1,").status == 400
    record = one(server)
    assert record["state"] == "failed" and record["status"] == "INVALID_ARGUMENT" and "JSON" in record["error"]
    assert record["input"]["text"] == "[1," and record["output"] == {"keep": "omitted"}
    server.post("/models/doubleit", [1])
    results(server, count=2)
    assert [r["id"] for r in results(server, "&failed=true")] == [record["id"]]
    assert [r["id"] for r in results(server, "&state=failed")] == [record["id"]]


@pytest.mark.parametrize("sync, expected", [("none", 0), ("errors", 1), ("all", 2)])
def test_policies(start, sync, expected):
    server = start([DOUBLEIT], record_sync=sync)
    server.post("/models/doubleit", [1])
    server.post("/models/doubleit", "[1,")
    time.sleep(0.3)
    assert len(results(server, count=expected)) == expected


def test_a_flood_is_shed_and_counted(start):
    server = start([DOUBLEIT], record_rate_max=5)
    for _ in range(60):
        assert server.post("/models/doubleit", [1]).status == 200
    page = server.get("/metrics").body.decode()
    shed = int(next(line for line in page.splitlines() if line.startswith('slipway_records_shed_total{reason="rate"}')).split()[1])
    recorded = results(server, count=60 - shed)
    assert 5 <= len(recorded) <= 30 and shed + len(recorded) == 60


def test_without_a_data_store_requests_are_served(start):
    server = start([DOUBLEIT], data_url="none")
    assert server.post("/models/doubleit", [1], headers={"Idempotency-Key": "k"}).json() == [2]
    refused = server.get("/v2/results")
    assert refused.status == 503 and "none" in refused.error()


def test_records_outlive_the_server(start, tmp_path):
    first = start([DOUBLEIT], data_directory=tmp_path)
    first.post("/models/doubleit", [1])
    first.stop()  # at once: what waits is written on the way down
    second = start([DOUBLEIT], data_directory=tmp_path)
    assert one(second)["output"]["json"] == [2]


# ---- Privacy


def test_nothing_redacted_is_on_the_disk(start, tmp_path):
    server = start([DOUBLEIT], data_directory=tmp_path, record_redact=["$.parameters.user", "x"])
    body = {"parameters": {"user": "bobby-tables"},
            "inputs": [{"name": "x", "shape": [2], "datatype": "INT64", "data": [987654321012345678, 1]}]}
    server.post("/v2/models/doubleit/infer", body)
    server.post("/models/doubleit", [987654321012345678])
    bare, oip = results(server, count=2)
    assert oip["input"]["json"] == {"parameters": {"user": "[redacted]"},
                                    "inputs": [{**body["inputs"][0], "data": "[redacted]"}]}
    assert oip["input"]["sha256"] == hashlib.sha256(json.dumps(body).encode()).hexdigest()
    assert bare["input"]["json"] == "[redacted]"
    server.stop()
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert b"bobby-tables" not in content and b"987654321012345678" not in content, path


def test_a_model_has_the_last_word(start, tmp_path):
    model = tmp_path / "doubleit"
    shutil.copytree(DOUBLEIT, model)
    (model / "config.pbtxt").unlink(missing_ok=True)
    (model / "model.yaml").write_text("slipway: {record: {input: hashed, output: omitted}}\n")
    server = start([model], record_input="inline")
    body = b"[1,2,3]"
    assert server.post("/models/doubleit", body).status == 200
    record = one(server)
    assert record["input"] == {"keep": "hashed", "type": "application/json; protocol=bare", "size": 7,
                               "sha256": hashlib.sha256(body).hexdigest()}
    assert record["output"] == {"keep": "omitted"}


def test_large_payloads(start):
    server = start([DOUBLEIT], record_bytes_max=100, record_output="truncated")
    body = json.dumps(list(range(1000))).encode()
    reply = server.post("/models/doubleit", body)
    record = one(server)
    assert record["input"]["keep"] == "hashed" and record["input"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert record["input"]["size"] == len(body) and "json" not in record["input"]
    assert record["output"]["keep"] == "truncated" and record["output"]["text"] == reply.body[:100].decode()
    assert record["output"]["size"] == len(reply.body)


# ---- Lists


def test_filters_and_pages(start):
    server = start([DOUBLEIT, MODELS / "iris"] if (MODELS / "iris").exists() else [DOUBLEIT])
    for i in range(25):
        server.post("/models/doubleit", [i])
    everything = results(server, "&limit=1000", 25)
    ids = [record["id"] for record in everything]
    assert ids == sorted(ids, reverse=True) and len(set(ids)) == 25
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get(f"/v2/results?limit=7{cursor and '&cursor=' + cursor}").json()
        seen += [record["id"] for record in page["results"]]
        server.post("/models/doubleit", [99])  # newer ones do not disturb
        cursor = page.get("next")
    assert seen == ids
    assert [r["id"] for r in results(server, "&order=oldest&limit=3")] == sorted(ids)[:3]
    assert results(server, "&model=nobody") == []
    assert results(server, "&since=2100-01-01") == [] and results(server, "&until=2000-01-01T00:00:00Z") == []
    assert len(results(server, "&since=1h&model=doubleit&version=1&source=http&limit=1000")) >= 25


def test_wrong_questions(recorded):
    for query in ["limit=0", "limit=1001", "limit=x", "order=up", "payload=1", "state=gone", "since=yesterday",
                  "cursor=abc", "modle=x", "failed=1"]:
        reply = recorded.get(f"/v2/results?{query}")
        assert reply.status == 400 and reply.error(), query
    assert recorded.get("/v2/results/nonsense").status == 404
    assert recorded.get("/v2/results/01ARZ3NDEKTSV4RRFFQ69G5FAV").status == 404
    assert recorded.post("/v2/results/01ARZ3NDEKTSV4RRFFQ69G5FAV/label", {}).status == 404
    assert recorded.post("/v2/results").status == 405


def test_a_cursor_belongs_to_its_list(recorded):
    for i in range(3):
        recorded.post("/models/doubleit", [i])
    results(recorded, count=3)
    cursor = recorded.get("/v2/results?limit=1").json()["next"]
    reply = recorded.get(f"/v2/results?limit=1&state=failed&cursor={cursor}")
    assert reply.status == 400 and "another filter" in reply.error()


# ---- Feedback


def test_feedback(start):
    server = start([DOUBLEIT])
    server.post("/models/doubleit", [1])
    path = f"/v2/results/{one(server)['id']}"
    label = {"right": [2], "by": "a person \u00e9"}
    assert server.post(f"{path}/label", label).status == 200
    assert server.get(path).json()["label"] == label
    assert server.post(f"{path}/label", "{not json").status == 400
    assert server.post(f"{path}/label", json.dumps("x" * 5000)).status == 400
    assert server.get(path).json()["label"] == label
    assert server.post(f"{path}/label", "null").status == 200
    assert "label" not in server.get(path).json()


# ---- Idempotency


def test_a_key_gives_the_stored_answer(start):
    server = start([DOUBLEIT], record_sync="none")
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [21]}]}
    path, headers = "/v2/models/doubleit/infer", {"Idempotency-Key": "order 17"}
    first = server.post(path, body, headers=headers)
    again = server.post(path, body, headers=headers)
    assert first.status == again.status == 200 and first.body == again.body
    assert "Idempotent-Replayed" not in first.headers and again.headers["Idempotent-Replayed"] == "true"
    other = server.post(path, {**body, "id": "x"}, headers=headers)
    assert other.status == 409 and "order 17" in other.error()
    assert server.post("/models/doubleit", "[21]", headers=headers).status == 409
    record = one(server)
    assert record["key"] == "order 17" and record["output"]["json"] == first.json()


def test_keys_with_binary_answers_and_after_a_restart(start, tmp_path):
    server = start([DOUBLEIT], data_directory=tmp_path)
    header = json.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": "INT64",
                                     "parameters": {"binary_data_size": 16}}],
                         "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header)), "Idempotency-Key": "b"}
    body = header + struct.pack("<2q", 3, -4)
    first = server.post("/v2/models/doubleit/infer", body, headers=headers)
    server.stop()
    server = start([DOUBLEIT], data_directory=tmp_path)
    again = server.post("/v2/models/doubleit/infer", body, headers=headers)
    assert first.status == 200 and again.body == first.body and again.headers["Idempotent-Replayed"] == "true"
    for name in ["Content-Type", "Inference-Header-Content-Length"]:
        assert again.headers[name] == first.headers[name]


def test_failures_leave_the_key_free(start):
    server = start([DOUBLEIT])
    headers = {"Idempotency-Key": "k"}
    assert server.post("/models/doubleit", "[1,", headers=headers).status == 400
    assert server.post("/models/doubleit", [1], headers=headers).json() == [2]
    assert server.post("/models/nobody", [1], headers=headers).status == 400
    assert server.post("/models/doubleit", [1], headers={"Idempotency-Key": "x" * 256}).status == 400
    assert server.post("/models/doubleit", [1], headers={"Idempotency-Key": ""}).status == 400


def test_many_at_once_with_one_key_get_one_answer(start):
    server = start([DOUBLEIT], record_sync="none")

    def ask(_):
        reply = server.post("/models/doubleit", [5], headers={"Idempotency-Key": "same"})
        return reply.status, reply.body

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {(200, b"[10]")}
    assert len(results(server, count=1)) == 1


def test_an_answer_that_is_not_kept_is_computed_again(start):
    server = start([DOUBLEIT], record_output="hashed", record_sync="none")
    for _ in range(3):
        reply = server.post("/models/doubleit", [5], headers={"Idempotency-Key": "k"})
        assert reply.json() == [10] and "Idempotent-Replayed" not in reply.headers
    assert server.post("/models/doubleit", [6], headers={"Idempotency-Key": "k"}).status == 409


# ---- The command


def test_list_show_export(start):
    server = start([DOUBLEIT])
    server.post("/models/doubleit", [1, 2])
    server.post("/models/doubleit", "[1,")
    failed, good = results(server, count=2)
    for where in [["--url", server.address()], []]:
        table = run(server, "list", *where).splitlines()
        assert table[0].split()[:3] == ["id", "received", "model"]
        assert [line.split()[0] for line in table[1:]] == [failed["id"], good["id"]]
        assert run(server, "list", "--failed", "--since", "1h", "--format", "ndjson", *where).count("\n") == 1
        assert json.loads(run(server, "show", good["id"], *where)) == good
        exported = [json.loads(line) for line in run(server, "export", *where).splitlines()]
        assert exported == [good, failed]
        rows = list(csv.DictReader(io.StringIO(run(server, "export", "--format", "csv", *where), newline="")))
        assert [row["id"] for row in rows] == [good["id"], failed["id"]]
        assert rows[0]["output"] == "[2,4]" and rows[1]["error"] == failed["error"]
        assert list(rows[0])[:4] == ["id", "model", "version", "digest"] and list(rows[0])[-1] == "label"
        assert run(server, "list", "--state", "gone", *where, code=65)
    assert "is no id" in run(server, "show", "x", code=65)
    assert "there is no record" in run(server, "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=66)
    assert "--data-url" in run(server, "prune", "--older-than", "1d", "--url", server.address(), code=65)


def test_export_has_as_many_pages_as_it_takes(start, tmp_path):
    server = start([DOUBLEIT], record_rate_max=100000)
    for i in range(60):
        server.post("/models/doubleit", [i])
    results(server, "&limit=1000", 60)
    with sqlite3.connect(pathlib.Path(server.directory.name) / "slipway.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(records)") if row[1] not in ("sequence", "id")]
        for i in range(20):  # 1,260 rows: copies with ids of their own
            database.execute(f"INSERT INTO records (id, {', '.join(columns)}) SELECT CAST(substr(id, 1, 8) || randomblob(8) AS BLOB),"
                             f" {', '.join(columns)} FROM records LIMIT 60")
    path = tmp_path / "all.ndjson"
    run(server, "export", "--output", path, "--url", server.address())
    exported = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert len(exported) == 1260 and len(set(exported)) == 1260 and exported == sorted(exported)
    assert len(run(server, "export", "--limit", "700").splitlines()) == 700


def test_backup_while_writing_check_and_restore(start, tmp_path):
    server = start([DOUBLEIT])
    for i in range(30):
        server.post("/models/doubleit", [i])
    results(server, count=30)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(server.post, "/models/doubleit", [i]) for i in range(50)]
        run(server, "backup", tmp_path / "slipway.db")
        assert all(future.result().status == 200 for future in writing)
    assert "exists" in run(server, "backup", tmp_path / "slipway.db", code=73)
    assert "no damage" in run(server, "check", "--data-url", f"sqlite:{tmp_path}/slipway.db")
    restored = start([DOUBLEIT], data_directory=tmp_path)
    assert len(results(restored, "&limit=1000")) >= 30


def test_damage_is_found(start, tmp_path):
    server = start([DOUBLEIT], data_directory=tmp_path)
    for i in range(50):
        server.post("/models/doubleit", list(range(i * 20)))
    results(server, count=50)
    run(server, "backup", tmp_path / "copy.db", "--data-directory", tmp_path)
    content = bytearray((tmp_path / "copy.db").read_bytes())
    content[8192:12288] = bytes(4096)
    (tmp_path / "copy.db").write_bytes(content)
    text = run(server, "check", "--data-url", f"sqlite:{tmp_path}/copy.db", code=74)
    assert "copy.db" in text


def test_prune(start):
    server = start([DOUBLEIT])
    for i in range(10):
        server.post("/models/doubleit", [i])
    results(server, count=10)
    assert run(server, "prune", "--older-than", "1h") == "0 records deleted\n"
    assert run(server, "prune", "--older-than", "1ms") == "10 records deleted\n"
    assert results(server) == []
    assert "--older-than" in run(server, "prune", code=65)


def test_old_records_are_pruned_by_the_server(start, tmp_path):
    first = start([DOUBLEIT], data_directory=tmp_path)
    first.post("/models/doubleit", [1])
    first.stop()
    second = start([DOUBLEIT], data_directory=tmp_path, record_keep_age="1ms")
    second.wait_until(lambda: "slipway_records_pruned_total 1" in second.get("/metrics").body.decode(), "pruning")
    assert results(second) == []


# ---- A database of another time


def test_a_newer_database_is_refused_and_left_alone(start, tmp_path):
    server = start([DOUBLEIT], data_directory=tmp_path)
    server.post("/models/doubleit", [1])
    one(server)
    server.stop()
    with sqlite3.connect(tmp_path / "slipway.db") as database:
        database.execute("INSERT INTO slipway_schema VALUES ('store', 99, 'future', 0)")
    text = run(server, "list", "--data-directory", tmp_path, code=65)
    assert "newer Slipway" in text
    second = start([DOUBLEIT], data_directory=tmp_path)
    assert second.post("/models/doubleit", [1]).json() == [2]  # inference goes on
    refused = second.get("/v2/results")
    assert refused.status == 503 and "newer Slipway" in refused.error()
