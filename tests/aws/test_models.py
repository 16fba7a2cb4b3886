"""Models that lie in S3: fetched at the start, used only with the digest that was asked for, kept for the next start."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

import boto3
import botocore.config
import pytest
from dynamodb import die_with_parent, wait_for
from runtime_api import RuntimeApi, plain_lines
from slipway import BINARY, MODELS, ROOT, START_TIMEOUT_S, Server

DOUBLEIT = (MODELS / "doubleit_onnx/1/model.onnx").read_bytes()


def digest(body):
    return hashlib.sha256(body).hexdigest()


class Bucket:
    """tests/aws/stub.py as S3; what is put lies in the bucket "models"."""

    def __init__(self, directory):
        port_file = directory / "port"
        self.process = subprocess.Popen([sys.executable, "-B", str(ROOT / "tests/aws/stub.py"), "http://127.0.0.1:1",
                                         str(port_file)], preexec_fn=die_with_parent)
        wait_for("the stub", port_file.exists, self.process)
        self.endpoint = f"http://127.0.0.1:{port_file.read_text()}"
        self.environment = {"AWS_ENDPOINT_URL_S3": self.endpoint, "AWS_REGION": "eu-west-3",
                            "AWS_ACCESS_KEY_ID": "AKIDTESTS", "AWS_SECRET_ACCESS_KEY": "a secret of the tests",
                            "AWS_EC2_METADATA_DISABLED": "true"}
        plain = botocore.config.Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"})
        self.client = boto3.client("s3", endpoint_url=self.endpoint, region_name="eu-west-3", config=plain,
                                   aws_access_key_id="AKIDTESTS", aws_secret_access_key="a secret of the tests")

    def put(self, key, body):
        """The URL of the object, pinned."""
        self.client.put_object(Bucket="models", Key=key, Body=body)
        return f"s3://models/{key}#sha256={digest(body)}"

    def put_tree(self, prefix, files):
        lines = []
        for path, body in files.items():
            self.put(f"{prefix}{path}", body)
            lines.append(f"{digest(body)}  ./{path}\n")
        return self.put(f"{prefix}SHA256SUMS", "".join(lines).encode())

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.endpoint + path, data), timeout=30) as reply:
            return json.loads(reply.read() or b"null")

    def faults(self, *faults):
        self.control("/-/faults", [{"operation": "GET", **fault} for fault in faults])

    def gets(self):
        """What was asked for since the last call of faults(): the fault of each GET, or None."""
        return [fault for operation, fault in self.control("/-/log") if operation == "GET"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    bucket = Bucket(tmp_path_factory.mktemp("bucket"))
    yield bucket
    bucket.process.kill()
    bucket.process.wait()


def start(api, bucket, cache, *places, **variables):
    arguments = [*places, "--results", "none", "--model-fetch-directory", cache]
    return api.start(*arguments, **{**bucket.environment, **variables})


def doubles(bucket, cache, *places, **variables):
    """One life of a function: its log's lines."""
    with RuntimeApi() as api:
        process = start(api, bucket, cache, *places, **variables)
        post = api.invoke([1, 2, 3, 4, 5])
        assert json.loads(post[2]) == [2, 4, 6, 8, 10], post
        _, err = api.stop(process)
        assert "Sanitizer" not in err, err
    return [line["message"] for line in plain_lines("\n".join(err.splitlines()[:-1]))]


def init_error(bucket, cache, place, *words, **variables):
    with RuntimeApi() as api:
        process = start(api, bucket, cache, place, **variables)
        path, headers, body = api.posts.get(timeout=START_TIMEOUT_S)
        assert path.endswith("/runtime/init/error")
        process.communicate(timeout=START_TIMEOUT_S)
        assert process.returncode > 0 and not api.waiting.is_set()
    message = json.loads(body)["errorMessage"]
    for word in words:
        assert word in message, message
    return headers["Lambda-Runtime-Function-Error-Type"], message


def files(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def no_faults(bucket):
    bucket.faults()


# --- what works -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key, name, kept", [
    ("iris/1/model.onnx", "iris", "iris/model.onnx"),
    ("releases/7/double-it.onnx", "double-it", "releases/double-it.onnx"),
    ("model.onnx", "models", "models/model.onnx"),
    ("a b+c/ü%/model.onnx", "ü%", "ü%/model.onnx"),
])
def test_a_file_is_fetched_once_and_named(bucket, tmp_path, key, name, kept):
    place = bucket.put(key, DOUBLEIT)
    cache = tmp_path / "cache"
    bucket.faults()
    lines = doubles(bucket, cache, place, "--model", name)
    assert bucket.gets() == [None] and "file of a model fetched" in lines
    assert files(cache) == [f"{digest(DOUBLEIT)}/{kept}"]
    assert (cache.stat().st_mode & 0o777) == 0o700
    lines = doubles(bucket, cache, place, "--model", name)
    assert bucket.gets() == [None] and "file of a model fetched" not in lines  # the second start asks for nothing


def test_what_is_kept_needs_no_s3_at_all(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    doubles(bucket, tmp_path / "c", place)
    doubles(bucket, tmp_path / "c", place, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")


@pytest.mark.parametrize("fault", ["half", "reset", "trouble", "skewed", "lost"])
def test_a_fault_is_asked_again(bucket, tmp_path, fault):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    bucket.faults({"fault": fault})
    doubles(bucket, tmp_path / "c", place)
    assert bucket.gets() == [fault, None]
    assert files(tmp_path / "c") == [f"{digest(DOUBLEIT)}/d/model.onnx"]


def test_a_damaged_file_is_fetched_again(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    doubles(bucket, tmp_path, place)
    kept = tmp_path / digest(DOUBLEIT) / "d/model.onnx"
    for damage in (DOUBLEIT[:-1], b"", DOUBLEIT[:100] + b"x" + DOUBLEIT[101:]):
        kept.write_bytes(damage)
        bucket.faults()
        lines = doubles(bucket, tmp_path, place)
        assert "a fetched file is damaged: once more" in lines and bucket.gets() == [None]
        assert kept.read_bytes() == DOUBLEIT


def test_a_killed_fetch_leaves_nothing_that_is_used_or_stays(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    bucket.faults({"fault": "late", "seconds": 60})
    with RuntimeApi() as api:
        process = start(api, bucket, tmp_path, place)
        end = time.monotonic() + START_TIMEOUT_S
        while not files(tmp_path) and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
        process.communicate()
    (left,) = files(tmp_path)
    assert left.startswith(f"{digest(DOUBLEIT)}/d/model.onnx.")
    bucket.faults()
    doubles(bucket, tmp_path, place)
    assert files(tmp_path) == [f"{digest(DOUBLEIT)}/d/model.onnx"]


def test_two_processes_fetch_once(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    bucket.faults({"fault": "late", "seconds": 1})
    with RuntimeApi() as one, RuntimeApi() as two:
        first, second = (start(api, bucket, tmp_path, place) for api in (one, two))
        for api in (one, two):
            assert json.loads(api.invoke([3] * 5)[2]) == [6] * 5
        one.stop(first)
        two.stop(second)
    assert bucket.gets() == ["late"]


def test_a_list_brings_a_models_directory(bucket, tmp_path):
    model = {"model.yaml": b"dynamic_batching: {}\n", "1/model.onnx": DOUBLEIT}
    place = bucket.put_tree("prod/double/", model)
    bucket.faults()
    doubles(bucket, tmp_path, place, "--model", "double")
    assert bucket.gets() == [None] * 3
    doubles(bucket, tmp_path, place, "--model", "double")
    assert bucket.gets() == [None] * 3
    found = [path.split("/", 1)[1] for path in files(tmp_path)]
    assert found == ["SHA256SUMS", "double/1/model.onnx", "double/model.yaml"]


def test_a_list_brings_a_repository(bucket, tmp_path):
    tree = {f"{name}/{path.relative_to(MODELS / name)}": path.read_bytes()
            for name in ("doubleit_onnx", "iris_onnx") for path in (MODELS / name).glob("*/model.*")}
    place = bucket.put_tree("all/", tree)
    doubles(bucket, tmp_path, place, "--model", "doubleit_onnx")


def test_a_place_may_be_given_a_name(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    with RuntimeApi() as api:
        process = start(api, bucket, tmp_path, f"other={place}")
        assert json.loads(api.invoke({"model_name": "other", "inputs": [
            {"name": "x", "datatype": "INT64", "shape": [5], "data": [1] * 5}]})[2])["outputs"][0]["data"] == [2] * 5
        assert json.loads(api.invoke({"slipway": {"task": "check"}})[2])["ok"] is True
        api.stop(process)


def test_a_server_and_its_other_models(bucket, tmp_path):
    place = bucket.put("far/model.onnx", DOUBLEIT)
    with Server([place, MODELS / "doubleit"], environment=bucket.environment, model_fetch_directory=tmp_path) as server:
        names = sorted(row["name"] for row in server.post("/v2/repository/index", {}).json())
        assert names == ["doubleit", "far"]


# --- what does not ----------------------------------------------------------------------------------------------------


def test_another_file_is_never_used(bucket, tmp_path):
    bucket.put("d/model.onnx", DOUBLEIT)
    place = f"s3://models/d/model.onnx#sha256={digest(b'another')}"
    _, message = init_error(bucket, tmp_path, place, "s3://models/d/model.onnx", digest(DOUBLEIT), digest(b"another"))
    assert message.startswith("fetching model 's3://models/d/model.onnx': ")
    assert files(tmp_path) == []


def test_a_file_of_a_list_that_is_another_one(bucket, tmp_path):
    place = bucket.put_tree("d/", {"1/model.onnx": DOUBLEIT, "model.yaml": b"{}"})
    bucket.put("d/1/model.onnx", DOUBLEIT + b"x")
    init_error(bucket, tmp_path, place, "d/SHA256SUMS", "d/1/model.onnx", digest(DOUBLEIT))


def test_damage_on_the_way_is_seen(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    bucket.faults({"fault": "corrupt"})
    init_error(bucket, tmp_path, place, "not the file that was meant")
    assert files(tmp_path) == []


def test_halves_to_the_end(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    bucket.faults({"fault": "half", "count": 9})
    kind, _ = init_error(bucket, tmp_path, place, "s3://models/d/model.onnx")
    assert kind == "Function.Unavailable"
    assert bucket.gets() == ["half"] * 3 and files(tmp_path) == []


def test_what_is_not_there_and_what_may_not_be_read(bucket, tmp_path):
    place = f"s3://models/no/model.onnx#sha256={digest(b'')}"
    assert init_error(bucket, tmp_path, place, "NoSuchKey")[0] == "Function.NotFound"
    bucket.faults({"fault": "denied"})
    init_error(bucket, tmp_path, place, "AccessDenied", "allow s3:GetObject on arn:aws:s3:::models/no/model.onnx")
    init_error(bucket, tmp_path, place, "s3://models/no/model.onnx", AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")


@pytest.mark.parametrize("url, words", [
    ("s3://models/d/model.onnx", ["#sha256=DIGEST", "sha256sum"]),
    ("s3://models/d/model.onnx#sha256=12", ["#sha256=DIGEST"]),
    ("s3://models/d/model.onnx#sha256=" + "0" * 63 + "g", ["#sha256=DIGEST"]),
    ("s3://models/d/model.onnx#md5=" + "0" * 64, ["#sha256=DIGEST"]),
    ("s3://models/d/#sha256=" + "0" * 64, ["names no file"]),
    ("s3://models#sha256=" + "0" * 64, ["names no file"]),
    ("s3://models/../x.onnx#sha256=" + "0" * 64, ["names no file"]),
    ("s3://M/x.onnx#sha256=" + "0" * 64, ["names no bucket"]),
    ("s3://#sha256=" + "0" * 64, ["names no bucket"]),
])
def test_a_place_that_is_none(bucket, tmp_path, url, words):
    bucket.faults()
    init_error(bucket, tmp_path, url, url[:5], *words)
    assert bucket.gets() == []


@pytest.mark.parametrize("text, word", [
    ("", "names no file"),
    ("no digest\n", "sha256sum"),
    (f"{'0' * 64}  ../../etc/passwd\n", "below the list's own place"),
    (f"{'0' * 64}  /etc/passwd\n", "below the list's own place"),
    (f"{'0' * 64} x\n", "sha256sum"),
])
def test_a_list_that_is_none(bucket, tmp_path, text, word):
    init_error(bucket, tmp_path, bucket.put("d/SHA256SUMS", text.encode()), "d/SHA256SUMS", word)


def test_limits(bucket, tmp_path):
    place = bucket.put("d/model.onnx", b"x" * 2000)
    init_error(bucket, tmp_path, place, "1024", "model.fetch_bytes_max", SLIPWAY_MODEL_FETCH_BYTES_MAX="1KiB")
    assert files(tmp_path) == []
    bucket.faults({"fault": "late", "seconds": 60})
    init_error(bucket, tmp_path, place, "s3://models/d/model.onnx", SLIPWAY_MODEL_FETCH_TIMEOUT="1s")


def test_a_directory_that_others_may_write_to(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o700)
    shared.chmod(0o777)
    init_error(bucket, shared, place, str(shared), "model.fetch_directory")
    shared.chmod(0o700)
    (tmp_path / "link").symlink_to(shared)
    init_error(bucket, tmp_path / "link", place, "model.fetch_directory")
    init_error(bucket, tmp_path / "no" / "such", place, str(tmp_path / "no"))


def test_a_signal_ends_a_server_that_fetches(bucket, tmp_path):
    place = bucket.put("d/model.onnx", DOUBLEIT)
    bucket.faults({"fault": "late", "seconds": 60})
    process = subprocess.Popen([BINARY, "serve", place, "--model-fetch-directory", tmp_path / "c", "--http-port", "0"],
                               env=dict(os.environ, **bucket.environment), stderr=subprocess.PIPE)
    while not (tmp_path / "c" / digest(DOUBLEIT) / "d").is_dir() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=START_TIMEOUT_S)
    assert process.returncode == -signal.SIGTERM
