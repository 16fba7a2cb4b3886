"""The commands, as a person types them."""
import hashlib
import json
import os
import pathlib
import subprocess
import xml.etree.ElementTree

import pytest

from slipway import BINARY, MODELS, echo_repository

DATA = pathlib.Path(__file__).parent / "data"
BODY = json.dumps([1, 2, 3, 4, 5])


def run(*arguments, stdin=None, code=0):
    done = subprocess.run([BINARY, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def event(*bodies, md5=None):
    records = [{"messageId": str(i), "body": body, **({"md5OfBody": md5} if md5 else {})}
               for i, body in enumerate(bodies)]
    return json.dumps({"Records": records})


# ---- invoke


def test_invoke_prints_one_line_per_record(tmp_path):
    path = tmp_path / "event.json"
    path.write_text(event("[1,2,3,4,5]", "[0,0,0,0,0]"))
    assert run("invoke", MODELS / "doubleit", path).stdout == "[2,4,6,8,10]\n[0,0,0,0,0]\n"


def test_invoke_with_events_as_a_queue_sends_them():
    """Their digests are the first one's, as when a body is edited by hand: a warning, no failure."""
    events = [DATA / name for name in ("event.json", "event0.json", "event1.json")]
    done = run("invoke", MODELS / "doubleit", *events)
    assert done.stdout == "[2,4,6,8,10]\n[0,0,0,0,0]\n[2,2,2,2,2]\n"
    assert done.stderr.count("md5OfBody is not that of the body") == 2


def test_invoke_takes_a_file_and_standard_input():
    model = MODELS / "doubleit" / "1" / "model.pt"
    assert run("invoke", model, "-", stdin=event(BODY)).stdout == "[2,4,6,8,10]\n"


def test_invoke_warns_of_a_stale_digest():
    done = run("invoke", MODELS / "doubleit", "-", stdin=event("[1]", md5="0" * 32))
    assert done.stdout == "[2]\n" and "md5OfBody" in done.stderr
    done = run("invoke", MODELS / "doubleit", "-",
               stdin=event("[1,2,3,4,5]", md5="9244013098e13300d3c599dc2a8a7e07"))
    assert "md5OfBody" not in done.stderr


def test_invoke_goes_on_after_a_bad_record():
    done = run("invoke", MODELS / "doubleit", "-", stdin=event("[1]", "oops", "[3]"), code=65)
    assert done.stdout == "[2]\nnull\n[6]\n" and "record failed" in done.stderr


@pytest.mark.parametrize("text", ["", "3", "{}", '{"Records":3}', '{"Records":[{}]}'])
def test_invoke_refuses_what_is_no_event(text):
    assert run("invoke", MODELS / "doubleit", "-", stdin=text, code=65).stdout == ""


@pytest.mark.parametrize("kind, expected", [
    ("direct", "[2,4,6,8,10]"), ("task", '"ok":true'), ("sqs-fifo", "[2,4,6,8,10]"), ("function-url", "[2,4,6,8,10]"),
    ("http-api", "[2,4,6,8,10]"), ("rest-api", "[2,4,6,8,10]"), ("eventbridge", '"model":"doubleit_onnx"')])
def test_invoke_replays_every_shape(kind, expected):
    event = run("events", kind, "--model", "doubleit_onnx").stdout
    done = run("invoke", MODELS / "doubleit_onnx", "-", stdin=event)
    assert expected in done.stdout.replace('\\"', '"') and done.stdout.count("\n") == 1


def test_invoke_takes_events_of_several_shapes(tmp_path):
    (tmp_path / "direct.json").write_text("[1,0,0,0,0]")
    (tmp_path / "queue.json").write_text(event("[3,0,0,0,0]"))
    done = run("invoke", MODELS / "doubleit_onnx", tmp_path / "direct.json", tmp_path / "queue.json", tmp_path / "direct.json")
    assert done.stdout == "[2,0,0,0,0]\n[6,0,0,0,0]\n[2,0,0,0,0]\n"


def test_invoke_names_what_is_missing():
    assert "slipway invoke models/doubleit event.json" in run("invoke", code=65).stderr
    assert "nowhere" in run("invoke", "/nowhere", "-", stdin=event("[1]"), code=66).stderr


# ---- check


@pytest.mark.skipif("address" not in os.environ.get("SLIPWAY_SANITIZE", ""), reason="only AddressSanitizer sees leaks")
def test_a_leak_would_be_seen(tmp_path):
    """The commands of this file end by a leak check; this is its canary."""
    root = echo_repository(tmp_path, {"leaky": "input x FP32 [1]\noutput y x\nleak_bytes 1000"})
    done = subprocess.run([BINARY, "check", root], capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "LeakSanitizer: detected memory leaks" in done.stderr


def test_check_passes_and_reports(tmp_path):
    junit = tmp_path / "report.xml"
    report = json.loads(run("check", MODELS / "iris", "--json", "--junit", junit, "--runs", "5").stdout)
    assert report["passed"] and report["failures"] == 0
    checks = {item["check"]: item for item in report["items"]}
    for name in ("load", "digest", "signature", "determinism", "batching", "nan", "memory"):
        assert name in checks, name
    assert checks["batching"]["verdict"] == "PASS"
    assert any(name.startswith("case ") for name in checks)
    suites = xml.etree.ElementTree.parse(junit).getroot()
    assert suites.tag == "testsuites" and int(suites.get("tests")) == len(report["items"])


def case_model(directory, case):
    """doubleit with one case of its own."""
    (directory / "1").mkdir(parents=True)
    (directory / "1" / "model.pt").write_bytes((MODELS / "doubleit" / "1" / "model.pt").read_bytes())
    (directory / "cases").mkdir()
    (directory / "cases" / "one.json").write_text(json.dumps(case))
    return directory


REQUEST = {"inputs": [{"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]}]}


def expect(data):
    return {"outputs": [{"name": "OUTPUT__0", "shape": [2], "datatype": "INT64", "data": data}]}


def test_check_finds_the_wrong_value(tmp_path):
    model = case_model(tmp_path / "m", {"request": REQUEST, "expect": expect([2, 5])})
    out = run("check", model, "--runs", "2", code=65).stdout
    assert "FAIL  case one" in out and "worst at [1]: got 4, expected 5" in out


def test_check_refuses_a_case_that_checks_nothing(tmp_path):
    model = case_model(tmp_path / "m", {"request": REQUEST, "expcet": expect([2, 4])})
    assert "unknown member 'expcet'" in run("check", model, "--runs", "2", code=65).stdout


def test_check_knows_expected_errors(tmp_path):
    model = case_model(tmp_path / "m", {"request": {"inputs": []}, "expect_error": "input"})
    assert "refused as expected" in run("check", model, "--runs", "2").stdout


def test_check_holds_to_budgets():
    out = run("check", MODELS / "doubleit", "--runs", "5", "--latency-p99-max", "1ns", "--memory-max", "1MiB",
              code=65).stdout
    assert "FAIL  latency p99" in out and "FAIL  memory" in out


def test_check_of_a_broken_file(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes((MODELS / "doubleit" / "1" / "model.pt").read_bytes()[:500])
    assert "FAIL  load" in run("check", path, code=65).stdout


def test_check_warns_without_cases(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes((MODELS / "iris" / "1" / "model.pt").read_bytes())
    assert "WARN  cases" in run("check", path, "--runs", "2").stdout
    run("check", path, "--runs", "2", "--strict", code=65)


# ---- infer, models, bench


def test_infer_here():
    arguments = ("infer", "--local", MODELS / "doubleit", "--output", "array")
    assert run(*arguments, "--input", "x=1,2,3,4,5").stdout == "[2,4,6,8,10]\n"
    assert run(*arguments, stdin=BODY).stdout == "[2,4,6,8,10]\n"


def test_infer_from_a_server(server):
    url = f"http://127.0.0.1:{server.port}"
    reply = json.loads(run("infer", "doubleit", "--url", url, "--input", "x=1,2,3,4,5").stdout)
    assert reply["model_name"] == "doubleit" and reply["outputs"][0]["data"] == [2, 4, 6, 8, 10]
    table = run("infer", "doubleit", "--url", url, "--input", "x=1,2", "--output", "table").stdout
    assert "doubleit, version 1" in table and "2  4" in table
    rows = "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n"
    plain = json.loads(run("infer", "iris", "--url", url, stdin=rows).stdout)
    binary = json.loads(run("infer", "iris", "--url", url, "--binary", stdin=rows).stdout)
    assert plain["outputs"][0]["shape"] == [2, 3]
    assert plain["outputs"][0]["data"] == binary["outputs"][0]["data"]


def test_infer_tells_the_servers_words(server):
    url = f"http://127.0.0.1:{server.port}"
    done = run("infer", "nosuch", "--url", url, "--input", "x=1", code=65)
    assert "Request for unknown model: 'nosuch' is not found" in done.stderr
    assert "127.0.0.1:1" in run("infer", "m", "--url", "http://127.0.0.1:1", "--input", "x=1", code=69).stderr


def test_models_lists_and_refuses(server):
    url = f"http://127.0.0.1:{server.port}"
    assert "doubleit" in run("models", "--url", url).stdout
    assert {"name": "doubleit", "version": "1", "state": "READY"}.items() <= next(
        row for row in json.loads(run("models", "--url", url, "--json").stdout) if row["name"] == "doubleit").items()
    assert "doubleit" in run("models", MODELS / "doubleit").stdout


def test_bench_counts(server):
    url = f"http://127.0.0.1:{server.port}"
    out = run("bench", url, "--model", "iris", "--concurrency", "1,4", "--duration", "200ms", "--warmup", "50ms",
              "--json").stdout
    results = json.loads(out)["results"]
    assert [row["concurrency"] for row in results] == [1, 4]
    for row in results:
        assert row["answers"] > 0 and row["refused"] == 0 and row["broken"] == 0
        assert 0 < row["p50_us"] <= row["p99_us"] <= row["max_us"]
    out = run("bench", url, "--model", "iris", "--concurrency", "4", "--rate", "200", "--duration", "500ms",
              "--warmup", "0", "--json").stdout
    assert 80 <= json.loads(out)["results"][0]["answers"] <= 101


def test_bench_here():
    out = run("bench", MODELS / "iris", "--concurrency", "8", "--duration", "100ms", "--warmup", "20ms").stdout
    assert "requests/s" in out


# ---- doctor, metrics


def test_doctor():
    report = json.loads(run("doctor", "--http-port", "0", MODELS, "--json").stdout)
    assert report["passed"]
    assert "FAIL" in run("doctor", "--http-port", "0", "/nowhere", code=69).stdout


def test_doctor_finds_a_taken_port(server):
    assert "is in use" in run("doctor", "--http-port", str(server.port), code=69).stdout


# ---- config, version


def test_config_tells_each_settings_origin(tmp_path):
    path = tmp_path / "server.yaml"
    path.write_text("queue: {size_max: 7}\n")
    rows = {line.split()[0]: line.split()[1:] for line in
            run("config", "--config", path, "--http-port", "1234").stdout.splitlines() if line.strip()}
    assert rows["queue.size_max"][0] == "7" and str(path) in " ".join(rows["queue.size_max"])
    assert rows["http.port"][0] == "1234" and rows["http.port"][1] != "default"
    assert rows["http.address"] == ["127.0.0.1", "default"]


def test_config_refuses_a_wrong_file(tmp_path):
    path = tmp_path / "server.yaml"
    path.write_text("queue:\n  size_mx: 7\n")
    done = run("config", "--config", path, code=64)
    assert f"{path}:2:12" in done.stderr and "queue.size_max" in done.stderr


def test_version():
    assert run("version").stdout.startswith("slipway ")
    report = json.loads(run("version", "--json").stdout)
    assert {"onnx", "torch"} <= set(report["engines"]) and report["engine_abi"] >= 1
    assert run("--version").stdout.split()[1] == report["version"]
    assert report["digests"]["slipway"] == hashlib.sha256(pathlib.Path(BINARY).read_bytes()).hexdigest()
    assert set(report["engines"]) == set(report["digests"]) - {"slipway"}


def test_a_wrong_value_without_effect_is_named(tmp_path):
    path = tmp_path / "slipway.yaml"
    path.write_text("http:\n  port: many\n")
    arguments = ["config", "--config", str(path), "--http-port=8081"]
    done = run(*arguments)
    assert f"{path}:2:9: http.port: 'many' is not a whole number; it has no effect because of --http-port" in done.stderr
    assert "8081" in done.stdout
    assert "'many' is not a whole number" in run(*arguments[:-1], code=64).stderr
