"""The images of deploy/docker, built by tools/image from Debian's packages and run by runc.

What is built here is the real Dockerfile, its build stages too. That two builds of the last steps give the same digest is
tried here; SLIPWAY_IMAGE_AGAIN=1 does it from nothing, which takes minutes.
"""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

import container
from container import USER, Container, Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
BUILD = pathlib.Path(os.environ.get("SLIPWAY_BUILD", ROOT / "build" / "release"))
TARGETS = os.environ.get("SLIPWAY_IMAGE_TARGETS", "onnx,lambda,torch").split(",")
# What may be transferred, in bytes.
SIZE_MAX = {"onnx": 24e6, "lambda": 24e6, "torch": 80e6, "full": 95e6}
ENGINES = {"onnx": ["onnx"], "lambda": ["onnx"], "torch": ["torch"], "full": ["onnx", "torch"]}
SERVERS = [target for target in TARGETS if target != "lambda"]
sys.path.append(str(ROOT / "tools" / "images"))
sys.path.append(str(ROOT / "tests" / "wire"))
sys.dont_write_bytecode = True
import closure  # noqa: E402
import sbom  # noqa: E402
from runtime_api import RuntimeApi, failures, record, records  # noqa: E402


def run(*command, code=0, timeout=900, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


# ---- building


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    for tool in ("buildah", "runc", "mmdebstrap"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed: run tools/setup test")
    if os.geteuid() != 0:
        pytest.skip("root directories and cgroups of one's own need root")
    directory = pathlib.Path(os.environ.get("SLIPWAY_IMAGE_PLACE", BUILD / "images"))
    directory.mkdir(parents=True, exist_ok=True)
    yield directory
    if not os.environ.get("SLIPWAY_IMAGE_PLACE"):
        remove(directory)


def remove(directory):
    with_buildah = ["buildah", "--root", directory / "storage/layers", "--runroot", directory / "storage/run",
                    "--storage-driver", "overlay"]
    subprocess.run([*map(str, with_buildah), "rmi", "--all", "--force"], capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def build(place, target, output, *options):
    environment = {**os.environ, "SLIPWAY_IMAGE_STORAGE": str(place / "storage")}
    said = run(ROOT / "tools" / "image", "--base", "local", "--output", output, *options, target, env=environment)
    return said.splitlines()[-1].split()[0]


@pytest.fixture(scope="session")
def images(place):
    """Images by target, built when they are first asked for."""
    made = {}

    def get(target):
        if target not in made:
            digest = build(place, target, place / target)
            shutil.rmtree(place / f"{target}.unpacked", ignore_errors=True)
            made[target] = Image(place / target, place / f"{target}.unpacked")
            assert made[target].entry["digest"] == digest
        return made[target]

    yield get
    for image in made.values():
        shutil.rmtree(image.place, ignore_errors=True)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Repositories by engine: a server of one engine is not ready with models of the other."""
    directory = tmp_path_factory.mktemp("models")
    directory.chmod(0o755)
    for model in ("doubleit_onnx", "digits_onnx"):
        shutil.copytree(MODELS / model, directory / "onnx" / model)
    shutil.copytree(MODELS / "doubleit", directory / "torch" / "doubleit")
    shutil.copytree(directory / "onnx", directory / "full")
    shutil.copytree(directory / "torch", directory / "full", dirs_exist_ok=True)
    return directory


def model_of(target):
    return "doubleit" if target == "torch" else "doubleit_onnx"


# ---- what an image is


@pytest.mark.parametrize("target", TARGETS)
def test_its_configuration(images, target):
    image = images(target)
    assert image.manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert {layer["mediaType"] for layer in image.manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    config = image.config
    assert config["User"] == f"{USER}:{USER}" and config["Entrypoint"] == ["/usr/bin/slipway"]
    labels = config["Labels"]
    version = json.loads(run(BUILD / "slipway", "version", "--json"))["version"]
    assert labels["org.opencontainers.image.version"] == version
    for name in ("title", "description", "licenses", "source", "revision", "created", "base.name"):
        assert labels.get(f"org.opencontainers.image.{name}"), name
    if target == "lambda":
        assert config["Cmd"] == ["lambda", "/models"] and "Healthcheck" not in config
    else:
        assert config["Cmd"] == ["serve", "/models"] and config["StopSignal"] == "SIGTERM"
        assert "8080/tcp" in config["ExposedPorts"] and "/var/lib/slipway" in config["Volumes"]
        check = config["Healthcheck"]
        assert check["Test"] == ["CMD", "/usr/bin/slipway", "health"] and check["Interval"] == 10 * 10**9 and check["Retries"] == 3
    known = set(re.findall(r"`(SLIPWAY_\w+)`", (ROOT / "docs" / "options.md").read_text()))
    assert {line.split("=")[0] for line in config["Env"]} - {"PATH", "ORT_DISABLE_TELEMETRY"} <= known


@pytest.mark.parametrize("target", TARGETS)
def test_its_files(images, target):
    image = images(target)
    programs = set()
    for name, member in image.members.items():
        assert member.isfile() or member.isdir() or member.issym() or member.islnk(), f"{name} is a device or a pipe"
        assert not member.mode & (stat.S_ISUID | stat.S_ISGID), f"{name} is set-user-id"
        assert not member.issym() and (member.mode & 0o022 == 0 or name in ("/tmp", "/var/tmp")) or member.issym(), name
        assert member.uid == (USER if name == "/var/lib/slipway" else 0), (name, member.uid)
        assert member.mtime == int(os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct", cwd=ROOT))
        if member.isfile() and member.mode & 0o111 and ".so" not in name:
            programs.add(name)
    # no shell, no package manager, no compiler: nothing that can be run but this
    assert programs == {"/usr/bin/slipway"}
    assert "/var/lib/slipway" in image.members and "/models" in image.members
    assert image.members["/tmp"].mode & 0o1777 == 0o1777
    engines = {name.split("slipway_engine_")[1][:-3] for name in image.members if "slipway_engine_" in name}
    assert engines == set(ENGINES[target])
    links = [name for name, member in image.members.items() if member.issym()]
    for name in links:
        inside = pathlib.Path(os.path.normpath(image.root / os.readlink(image.root / name[1:])[1:])) \
            if os.readlink(image.root / name[1:]).startswith("/") else (image.root / name[1:]).resolve()
        assert inside.exists() or inside.is_symlink(), f"{name} leads nowhere"


@pytest.mark.parametrize("target", TARGETS)
def test_its_size(images, target):
    size = images(target).size()
    print(f"image {target}: {size / 1e6:.2f} MB compressed")
    assert size < SIZE_MAX[target]


@pytest.mark.parametrize("target", TARGETS)
def test_its_libraries_are_all_there(images, target):
    image = images(target)
    for path in [image.root / "usr/bin/slipway", *(image.root / "usr/lib/slipway/engines").glob("*.so"),
                 *image.root.rglob("libpq.so.5"), *image.root.rglob("libcurl.so.4")]:
        assert closure.check(path, image.root) == [], path
    names = {os.path.basename(name) for name in image.members}
    assert not [name for name in names if re.match("lib(gnutls|opencv_|python|perl)", name) and "stubs" not in name
                and not any(member.startswith("/usr/lib/slipway/engines/torch-stubs/") and member.endswith(name)
                            for member in image.members)]


def test_a_library_that_lacks_is_found(images, tmp_path):
    """The check above can fail."""
    broken = tmp_path / "root"
    shutil.copytree(images("onnx").root, broken, symlinks=True)
    [library] = broken.rglob("libyaml-0.so.2.*")
    library.unlink()
    assert any("libyaml" in problem for problem in closure.check(broken / "usr/bin/slipway", broken))


@pytest.mark.parametrize("target", TARGETS)
def test_its_bill_of_materials(images, target):
    image = images(target)
    text = (image.root / "usr/share/doc/slipway/sbom.spdx.json").read_text()
    assert sbom.problems(text, image.root) == []
    document = json.loads(text)
    packages = {package["name"]: package for package in document["packages"]}
    assert {"slipway", "libc6", "libssl3", "libsqlite3-0", "libpq5", "libcurl4", "ca-certificates"} <= set(packages)
    assert ("onnxruntime" in packages) == ("onnx" in ENGINES[target])
    assert any(name.startswith("libtorch") for name in packages) == ("torch" in ENGINES[target])
    for package in document["packages"]:
        assert package["externalRefs"][0]["referenceLocator"].startswith("pkg:")
    # what scanners read is the same
    listed = {path.name for path in (image.root / "var/lib/dpkg/status.d").iterdir()}
    assert listed == set(packages) - {"slipway", "onnxruntime"}
    for name in listed:
        assert (image.root / "usr/share/doc" / name / "copyright").exists(), name


# ---- running one


def call(port, path, body=None, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body and json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null"), answer.headers
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read(), problem.headers


def is_healthy(running):
    return subprocess.run(["runc", "exec", "--cwd", "/", running.name, "/usr/bin/slipway", "health"], capture_output=True).returncode == 0


@pytest.mark.parametrize("target", SERVERS)
def test_shut_in_it_serves(images, models, target):
    """As a careful operator runs it; requests, jobs and results come, and are there after a restart."""
    image, model = images(target), model_of(target)
    kept = image.place / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    with Container(image, models=models / target, data=kept) as running:
        port = running.port()
        running.wait_until(lambda: is_healthy(running), "health")
        status = running.status()
        assert status["Uid"].split() == [str(USER)] * 4 and status["Groups"].strip() == ""
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")] == [0] * 5
        assert call(port, f"/models/{model}", [1, 2, 3, 4, 5])[:2] == (200, [2, 4, 6, 8, 10])
        said = running.run("/usr/bin/slipway", "infer", model, f"--url=http://127.0.0.1:{port}", "--input=x=1,2,3,4,5", "--output=array")
        assert json.loads(said) == [2, 4, 6, 8, 10]
        code, _, headers = call(port, f"/models/{model}", [7, 0, 0, 0, 1], Prefer="respond-async")
        assert code == 202
        job = headers["Location"].rsplit("/", 1)[1]
        done = call(port, f"/v2/jobs/{job}?wait=30")[1]
        assert done["state"] == "succeeded" and done["result"] == [14, 0, 0, 0, 2]
        assert not os.path.lexists(image.root / "var/lib/slipway/slipway.db"), "the image itself was written to"
    assert (kept / "slipway.db").stat().st_uid == USER
    with Container(image, models=models / target, data=kept) as running:
        port = running.port()
        running.wait_until(lambda: is_healthy(running), "health")
        assert call(port, f"/v2/jobs/{job}")[1]["state"] == "succeeded"


def test_health_fails_before_the_models_are_ready(images, tmp_path):
    broken = tmp_path / "models" / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"this is no model")
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755)
    with Container(images("onnx"), models=tmp_path / "models") as running:
        running.port()
        said = running.run("/usr/bin/slipway", "health", code=1)
        assert said.startswith("not ready: ") and "503" in said
        assert running.run("/usr/bin/slipway", "health", "--live") == "alive\n"


def test_a_root_that_is_read_only_is_enough_without_a_volume(images, models):
    """Nothing is kept, nothing is written."""
    with Container(images("onnx"), models=models / "onnx", environment=["SLIPWAY_DATA_URL=memory:"]) as running:
        port = running.port()
        running.wait_until(lambda: is_healthy(running), "health")
        assert call(port, "/models/doubleit_onnx", [4, 0, 0, 0, 1])[:2] == (200, [8, 0, 0, 0, 2])
        assert {path.name for path in running.data.iterdir()} == {"port"}


def test_the_memory_limit_is_heeded(images, models):
    """A container has less than the machine, and the server's idea of it is the container's."""
    limit = 192 << 20
    with Container(images("onnx"), models=models / "onnx", memory=limit) as running:
        port = running.port()
        running.wait_until(lambda: is_healthy(running), "health")
        for i in range(50):
            assert call(port, "/models/doubleit_onnx", [i, 0, 0, 0, 1])[:2] == (200, [2 * i, 0, 0, 0, 2])
        assert int(running.status()["VmHWM"].split()[0]) * 1024 < limit


def test_a_worker_beside_a_server(images, models):
    """Two containers, one volume: what the server takes the worker does."""
    image = images("onnx")
    shared = image.place / "shared"
    shutil.rmtree(shared, ignore_errors=True)
    with Container(image, models=models / "onnx", data=shared, environment=["SLIPWAY_WORKER_ENABLED=false"]) as server:
        port = server.port()
        server.wait_until(lambda: is_healthy(server), "health")
        job = call(port, "/models/doubleit_onnx", [21, 0, 0, 0, 1], Prefer="respond-async")[2]["Location"].rsplit("/", 1)[1]
        with Container(image, ["worker", "/models"], models=models / "onnx", data=shared,
                       environment=["SLIPWAY_HTTP_PORT_FILE=/var/lib/slipway/worker"]) as worker:
            done = call(port, f"/v2/jobs/{job}?wait=30")[1]
            assert done["state"] == "succeeded" and done["result"] == [42, 0, 0, 0, 2]
            worker.wait_until((shared / "worker").exists, "the worker's port")
            worker.wait_until(lambda: is_healthy(worker), "the worker's health")


# ---- the wire tests that know nothing of images


def in_image(image, **more):
    return {**os.environ, "SLIPWAY_IMAGE_ROOT": str(image.root), **more}


def wire(image, *arguments):
    said = run(sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *arguments, cwd=ROOT,
               env=in_image(image, SLIPWAY_BINARY=str(ROOT / "tests" / "images" / "program")))
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    return int(passed[1])


@pytest.mark.skipif("torch" not in TARGETS, reason="SLIPWAY_IMAGE_TARGETS has no torch")
def test_wire_tests(images):
    """Health, inference by the command, jobs, queues and results, functions."""
    tests = [f"tests/wire/test_{name}.py" for name in ("health_command", "operate")]
    functions = [f"tests/wire/test_lambda.py::test_{name}"
                 for name in ("queue_events_and_direct_requests", "a_result_is_in_the_store_before_its_record_counts")]
    assert wire(images("torch"), *tests, *functions) >= 19


@pytest.mark.skipif("torch" not in TARGETS, reason="SLIPWAY_IMAGE_TARGETS has no torch")
def test_every_torch_test(images):
    """The engine that is in the image, through the ABI, with the image's libraries and no others."""
    programs = sorted((BUILD / "tests" / "torch").glob("torch_*"))
    programs = [path for path in programs if path.is_file() and os.access(path, os.X_OK)]
    if not programs:
        pytest.skip("the torch engine's tests were not built: there is no libtorch-dev or no python3-torch here")
    assert {path.name for path in programs} == {"torch_values", "torch_failures", "torch_life", "torch_suite"}
    image = images("torch")
    for path in programs:
        run(ROOT / "tests" / "images" / "program", cwd=path.parent,
            env=in_image(image, SLIPWAY_IMAGE_PROGRAM=str(path), SLIPWAY_IMAGE_ENGINES=str(BUILD / "engines")))


# ---- lambda


@pytest.mark.skipif("lambda" not in TARGETS, reason="SLIPWAY_IMAGE_TARGETS has no lambda")
@pytest.mark.parametrize("user", [USER, 993])
def test_the_function_answers(images, models, user):
    """Its own entry point and command, under any user, as Lambda runs it: nothing writable but /tmp."""
    image = images("lambda")
    with RuntimeApi() as api:
        environment = [f"AWS_LAMBDA_RUNTIME_API=127.0.0.1:{api.server.server_port}", "SLIPWAY_LAMBDA_RESULTS=print",
                       "SLIPWAY_LAMBDA_MODEL=doubleit_onnx", "AWS_LAMBDA_FUNCTION_NAME=slipway"]
        with Container(image, models=models / "onnx", user=user, environment=environment) as function:
            assert json.loads(api.invoke([1, 2, 3, 4, 5])[2]) == [2, 4, 6, 8, 10]
            messages = [record("a", "[1,1,1,1,1]"), record("b", "none"), record("c", "[5,4,3,2,1]")]
            assert failures(api.invoke(records(*messages))) == ["b"]
            function.kill("TERM")
            function.process.wait(60)


@pytest.mark.skipif("lambda" not in TARGETS, reason="SLIPWAY_IMAGE_TARGETS has no lambda")
def test_an_image_with_its_models(images, place):
    """As deploy/cloudformation/image makes it: what is listed there answers, and nothing has to be mounted."""
    listed = [line for line in (ROOT / "deploy/cloudformation/models").read_text().splitlines() if not line.startswith("#")]
    plain = images("lambda").entry["digest"]
    digest = build(place, "lambda", place / "with-models", *(word for model in listed for word in ("--model", ROOT / model)))
    image = Image(place / "with-models", place / "with-models.unpacked")
    assert image.entry["digest"] == digest != plain
    with RuntimeApi() as api:
        environment = [f"AWS_LAMBDA_RUNTIME_API=127.0.0.1:{api.server.server_port}", "SLIPWAY_LAMBDA_RESULTS=print"]
        with Container(image, user=993, environment=environment):
            assert json.loads(api.invoke([1, 2, 3, 4, 5])[2]) == [2, 4, 6, 8, 10]


# ---- the same again


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "torch"])
def test_built_again_it_is_the_same(images, place, target):
    """All that is made from the compiled program on: what the image holds, its libraries, its bill, the layers, the digest."""
    first = images(target).entry["digest"]
    if os.environ.get("SLIPWAY_IMAGE_AGAIN"):
        other = place / "again"
        assert build(other, target, other / target) == first
        remove(other)
    else:
        storage = place / "storage"
        run("buildah", "--root", storage / "layers", "--runroot", storage / "run", "--storage-driver", "overlay", "rmi", "--force",
            f"localhost/slipway:{target}")
        assert build(place, target, place / "again") == first


def test_another_commit_is_told_from_it(images):
    """What is compared above does differ when it should."""
    image = images("onnx")
    commit = image.config["Labels"]["org.opencontainers.image.revision"]
    told = json.loads(run(ROOT / "tests/images/program", "version", "--json", env=in_image(image)))
    assert told["commit"] == commit and told["engines"] == ["onnx"]


def test_targets_are_checked():
    done = subprocess.run([ROOT / "tools" / "image", "windows"], capture_output=True, text=True)
    assert done.returncode == 64 and "'windows'" in done.stderr
