"""What the workflows call: chat to a webhook that listens, models from a repository, images with an ECR that writes down its calls."""
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("SLIPWAY_BINARY", ROOT / "build" / "release" / "slipway")).resolve()


# ---- chat


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def webhook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.got, server.answers = [], []
    server.url = f"http://127.0.0.1:{server.server_port}/services/T1/B1/verysecret"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def pull_request(action="opened", **more):
    request = {"number": 7, "title": "A <b>title</b> <!channel> *x*", "html_url": "https://example.com/pull/7", "merged": False, **more}
    return {"action": action, "sender": {"login": "ann"}, "pull_request": request}


@pytest.fixture
def chat(tmp_path, webhook):
    def run(event, name="pull_request", slack=True, teams=True, **environment):
        (tmp_path / "event").write_text(json.dumps(event))
        variables = {"PATH": os.environ["PATH"], "GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(tmp_path / "event"),
                     "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "5", "GITHUB_SERVER_URL": "https://example.com", "CHAT_BACKOFF_S": "0.001",
                     "SLACK_WEBHOOK_URL": webhook.url if slack else "", "TEAMS_WEBHOOK_URL": webhook.url if teams else ""}
        done = subprocess.run([sys.executable, ROOT / "tools" / "chat"], env={**variables, **environment}, capture_output=True, text=True,
                              timeout=60, check=False)
        assert "verysecret" not in done.stdout + done.stderr and "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr
    return run


REVIEW = {**pull_request("submitted"), "review": {"state": "approved"}}


@pytest.mark.parametrize("event, name, expected", [
    (pull_request(), "pull_request", "ann opened #7"),
    (pull_request("closed", merged=True), "pull_request", "ann merged #7"),
    (pull_request("closed"), "pull_request", "ann closed #7"),
    (REVIEW, "pull_request_review", "ann approved #7"),
    ({**REVIEW, "review": {"state": "CHANGES_REQUESTED"}}, "pull_request_review", "ann asked for changes to #7"),
])
def test_chat_tells(chat, webhook, event, name, expected):
    assert chat(event, name)[0] == 0
    slack, teams = webhook.got
    assert expected in slack["blocks"][0]["text"]["text"] and "https://example.com/pull/7" in slack["blocks"][0]["text"]["text"]
    card = teams["attachments"][0]["content"]
    assert expected in json.dumps(card["body"]) and card["actions"][0]["url"] == "https://example.com/pull/7"


def test_chat_reads_no_markup_of_strangers(chat, webhook):
    assert chat({**pull_request(), "sender": {"login": "<!here>|x"}})[0] == 0
    slack, teams = webhook.got
    for block in slack["blocks"]:
        if block["text"]["type"] == "mrkdwn":
            assert "<!" not in block["text"]["text"] and "title" not in block["text"]["text"]
    assert "<!here>" not in slack["text"]
    assert {block["type"] for block in teams["attachments"][0]["content"]["body"]} == {"RichTextBlock"}


def test_chat_tells_what_failed(chat, webhook):
    assert chat({}, "push", FAILED="deploy of main")[0] == 0
    assert "deploy of main failed" in json.dumps(webhook.got[0]) and "https://example.com/a/b/actions/runs/5" in json.dumps(webhook.got[0])


@pytest.mark.parametrize("event", [pull_request("labeled"), pull_request("opened", draft=True)])
def test_chat_says_nothing(chat, webhook, event):
    status, said = chat(event)
    assert status == 0 and "nothing to tell" in said and webhook.got == []


def test_chat_without_webhooks(chat, webhook):
    status, said = chat(pull_request(), slack=False, teams=False)
    assert status == 0 and "no webhook is set" in said and webhook.got == []


def test_chat_tries_again(chat, webhook):
    webhook.answers = [503, 429]
    assert chat(pull_request(), teams=False)[0] == 0 and len(webhook.got) == 3


def test_chat_gives_up(chat, webhook):
    webhook.answers = [404]
    status, said = chat(pull_request(), teams=False)
    assert status == 1 and "status 404" in said and len(webhook.got) == 1
    webhook.answers = [500] * 9
    status, said = chat(pull_request(), teams=False)
    assert status == 1 and "status 500" in said and len(webhook.got) == 5


def test_chat_one_that_fails_does_not_keep_the_other_from_it(chat, webhook):
    status, said = chat(pull_request(), SLACK_WEBHOOK_URL="ftp://verysecret")
    assert status == 1 and "no https address" in said and "told Teams" in said


# ---- the models that changed


def git(directory, *arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def models(tmp_path):
    for name in ("doubleit_onnx", "iris_onnx", "sentiment_onnx"):
        shutil.copytree(ROOT / "models" / name, tmp_path / "models" / name)
    (tmp_path / "models" / "README.md").write_text("models")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "before")
    git(tmp_path, "tag", "base")

    def run():
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", "after")
        done = subprocess.run([sys.executable, ROOT / "tools" / "check_models", "base", "out"], cwd=tmp_path, capture_output=True, text=True,
                              env={**os.environ, "BUILD": str(BINARY.parent)}, timeout=240, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, (tmp_path / "out" / "report.md").read_text()
    run.directory = tmp_path / "models"
    return run


def test_models_nothing_changed(models):
    (models.directory / "README.md").write_text("other")
    assert models() == (0, "## slipway check: No model changed\n")


def test_models_good_ones(models):
    case = next((models.directory / "iris_onnx" / "cases").glob("*.json"))
    case.rename(case.with_name("another.json"))
    shutil.rmtree(models.directory / "sentiment_onnx")
    status, report = models()
    assert status == 0, report
    assert "2 of the models changed, and all passed" in report and "### iris&#95;onnx: passed" in report and "removed" in report
    assert "doubleit" not in report


def test_models_a_bad_one(models):
    case = next((models.directory / "doubleit_onnx" / "cases").glob("*.json"))
    text = case.read_text()
    case.write_text(text.replace("[", "[9, ", 1) if "data" not in text else text.replace('"data": [', '"data": [9, ').replace('"data":[', '"data":[9,'))
    status, report = models()
    assert status == 1 and "1 of them failed" in report and "**FAIL**" in report


def test_models_no_model_at_all(models):
    next((models.directory / "iris_onnx").rglob("*.onnx")).write_text("<img src=x> @everybody")
    status, report = models()
    assert status == 1 and "**FAIL**" in report and "<img" not in report and "@everybody" not in report


# ---- the image of a tree of files

REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/slipway"
FAKE = '''#!{python}
import json, os, pathlib, sys
name, store = pathlib.Path(sys.argv[0]).name, pathlib.Path(os.environ["STORE"])
words = sys.argv[1:]
with open(store / "calls", "a") as calls:
    calls.write(" ".join([name, *words]) + "\\n")
tags = json.loads((store / "tags").read_text())
def keep(tag, digest):
    if tags.get(tag, digest) != digest: sys.exit("ImageTagAlreadyExistsException")
    tags[tag] = digest
    (store / "tags").write_text(json.dumps(tags))
if name == "skopeo" and words[0] == "copy":
    keep(words[-1].rsplit(":", 1)[1], os.environ.get("BUILT", "sha256:" + "b" * 64))
elif name == "skopeo":
    assert sys.stdin.read() == "password", "the password is no argument"
elif name == "aws" and words[1] == "get-login-password":
    print("password", end="")
elif name == "aws" and words[1] == "describe-images":
    if os.environ.get("DENIED"): sys.exit("AccessDeniedException")
    tag = words[words.index("--image-ids") + 1].split("=")[1]
    print(tags[tag]) if tag in tags else sys.exit("An error occurred (ImageNotFoundException)")
elif name == "aws" and words[1] == "batch-get-image":
    print("MANIFEST")
elif name == "aws" and words[1] == "put-image":
    assert words[words.index("--image-manifest") + 1] == "MANIFEST"
    keep(words[words.index("--image-tag") + 1], words[words.index("--image-digest") + 1])
'''


@pytest.fixture
def ecr(tmp_path):
    """A checkout of its own with the script, and an ECR of a file."""
    work, programs = tmp_path / "checkout", tmp_path / "bin"
    (work / "deploy" / "cloudformation").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "cloudformation" / "image", work / "deploy" / "cloudformation")
    (work / "deploy" / "cloudformation" / "models").write_text("# a comment\nmodels/a\nmodels/b\n")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "one")
    programs.mkdir()
    for name in ("aws", "skopeo", "cosign", "make"):
        (programs / name).write_text(FAKE.format(python=sys.executable))
        (programs / name).chmod(0o755)
    (tmp_path / "tags").write_text("{}")

    def run(*arguments, **environment):
        (tmp_path / "calls").write_text("")
        done = subprocess.run([work / "deploy" / "cloudformation" / "image", *arguments], capture_output=True, text=True, check=False,
                              env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "STORE": str(tmp_path), **environment})
        return done.returncode, done.stdout, done.stderr, (tmp_path / "calls").read_text()
    run.work, run.tags = work, lambda: json.loads((tmp_path / "tags").read_text())
    return run


def tree(ecr):
    return subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=ecr.work, capture_output=True, text=True, check=True).stdout.strip()


URI = f"{REPOSITORY}@sha256:{'b' * 64}"


def test_an_image_is_built_once_and_promoted(ecr):
    status, said, trouble, calls = ecr("develop", REPOSITORY)
    assert status == 0, trouble
    assert said == f"environment=dev\nuri={URI}\n"
    assert "make --no-print-directory image TARGET=lambda MODELS=models/a models/b\n" in calls and f"cosign sign --yes {URI}" in calls
    # The release branch has another commit with the same files.
    git(ecr.work, "commit", "-q", "--allow-empty", "-m", "two")
    status, said, _, calls = ecr("release/1.2", REPOSITORY, BUILT="sha256:" + "c" * 64)
    assert status == 0 and said == f"environment=test\nuri={URI}\n" and "make" not in calls and "skopeo" not in calls
    # main does not take it before it was tested.
    status, said, trouble, calls = ecr("main", REPOSITORY)
    assert status == 1 and said == "" and "was deployed to test" in trouble and f"tested-{tree(ecr)}" in trouble and "make" not in calls
    assert ecr("--tested", URI)[0] == 0
    assert ecr.tags() == {f"tree-{tree(ecr)}": "sha256:" + "b" * 64, f"tested-{tree(ecr)}": "sha256:" + "b" * 64}
    assert ecr("--tested", URI)[1] == "image: it is marked already\n"
    git(ecr.work, "commit", "-q", "--allow-empty", "-m", "merge")
    assert ecr("main", REPOSITORY)[1] == f"environment=main\nuri={URI}\n"


def test_other_files_are_another_image(ecr):
    assert ecr("develop", REPOSITORY)[0] == 0 and ecr("--tested", URI)[0] == 0
    (ecr.work / "more").write_text("x")
    git(ecr.work, "add", ".")
    git(ecr.work, "commit", "-q", "-m", "repair")
    assert ecr("main", REPOSITORY)[0] == 1
    assert ecr("release/1.2", REPOSITORY, BUILT="sha256:" + "c" * 64)[1].endswith("c" * 64 + "\n")
    status, _, trouble, _ = ecr("--tested", URI)
    assert status == 1 and "is not the image of these files" in trouble


@pytest.mark.parametrize("arguments, environment, expected", [
    (("feature/x", REPOSITORY), {}, "no environment belongs to 'feature/x'"),
    (("release/x$(touch pwned)", "ghcr.io/a/b"), {}, "no repository of ECR"),
    (("develop", ""), {}, "set the variable IMAGE_REPOSITORY"),
    (("develop", REPOSITORY), {"DENIED": "1"}, "AccessDenied"),
    (("main", REPOSITORY), {"DENIED": "1"}, "AccessDenied"),
    (("--tested", f"{REPOSITORY}@sha256:xyz"), {}, "names no digest"),
    ((), {}, "usage"),
])
def test_what_is_wrong_builds_nothing(ecr, arguments, environment, expected):
    status, said, trouble, calls = ecr(*arguments, **environment)
    assert status != 0 and said == "" and expected in trouble and "make" not in calls and "put-image" not in calls


# ---- what a release publishes


def layer(directory, files):
    """A blob with these files; its descriptor."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return blob(directory, out.getvalue())


def blob(directory, content):
    name = hashlib.sha256(content).hexdigest()
    (directory / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (directory / "blobs" / "sha256" / name).write_bytes(content)
    return {"digest": f"sha256:{name}", "size": len(content)}


@pytest.mark.parametrize("files, expected", [([{"./usr/share/doc/slipway/sbom.spdx.json": "old"}, {"usr/share/doc/slipway/sbom.spdx.json": "new"}], "new"),
                                             ([{"etc/passwd": "x"}], None)])
def test_parts_of_an_image(tmp_path, files, expected):
    manifest = {"layers": [layer(tmp_path, one) for one in files]}
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [blob(tmp_path, json.dumps(manifest).encode())]}))
    done = subprocess.run([ROOT / "tools" / "images" / "parts", tmp_path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (expected, 0) if expected else (done.returncode != 0 and "has no" in done.stderr)


@pytest.fixture
def publish(tmp_path):
    """What a registry would get, written down; a digest is that of what was pushed."""
    programs, artifacts = tmp_path / "bin", tmp_path / "artifacts"
    programs.mkdir()
    fake = '''#!{python}
import hashlib, os, sys, pathlib
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls: calls.write(" ".join([name, *words]) + "\\n")
if words[0] == "login" or "login" in words[:2]:
    assert sys.stdin.read().strip() == "token"
    pathlib.Path(os.environ["REGISTRY_AUTH_FILE"]).write_text("{{}}")
if "get-login-password" in words: print("token")
if "--digestfile" in words:
    what = pathlib.Path(words[-2].split(":", 1)[1]).read_bytes() if words[0] == "copy" else " ".join(words).encode()
    pathlib.Path(words[words.index("--digestfile") + 1]).write_text("sha256:" + hashlib.sha256(what).hexdigest())
'''
    for name in ("skopeo", "buildah", "cosign", "gh", "aws"):
        (programs / name).write_text(fake.format(python=sys.executable))
        (programs / name).chmod(0o755)
    for architecture in ("amd64", "arm64"):
        (artifacts / f"packages-{architecture}").mkdir(parents=True)
        (artifacts / f"packages-{architecture}" / f"slipway_0.1.0_{architecture}.deb").write_text("deb")
        for target in ("onnx", "torch", "full", "lambda"):
            directory = artifacts / f"image-{target}-{architecture}"
            directory.mkdir()
            (directory / f"{target}-{architecture}.tar").write_text(f"{target} {architecture}")
            (directory / f"{target}.sbom.json").write_text("{}")

    def run(what, *more, version="0.1.0"):
        (tmp_path / "calls").write_text("")
        done = subprocess.run([ROOT / "tools" / "publish", what, version, artifacts, *more], capture_output=True, text=True, check=False,
                              env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"),
                                   "REGISTRY_USER": "u", "REGISTRY_TOKEN": "token"})
        return done.returncode, done.stdout + done.stderr, (tmp_path / "calls").read_text().splitlines()
    run.artifacts = artifacts
    return run


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_publish_images(publish):
    status, said, calls = publish("images", "ghcr.io/a/b")
    assert status == 0, said
    listed = dict(reversed(line.split("  ")) for line in (publish.artifacts / "images.sha256").read_text().splitlines())
    assert len(listed) == 4 * 3
    for target in ("onnx", "torch", "full", "lambda"):
        for architecture in ("amd64", "arm64"):
            expected = digest(f"{target} {architecture}")
            assert listed[f"ghcr.io/a/b:0.1.0-{target}-{architecture}"] == expected
            assert f"cosign sign --yes ghcr.io/a/b@sha256:{expected}" in calls
            attested = next(call for call in calls if call.startswith("cosign attest") and expected in call)
            assert f"image-{target}-{architecture}/{target}.sbom.json" in attested
            assert f"buildah manifest add localhost/list-{target} docker://ghcr.io/a/b@sha256:{expected}" in calls
        assert f"cosign sign --yes ghcr.io/a/b@sha256:{listed[f'ghcr.io/a/b:0.1.0-{target}']}" in calls
    assert any(call.endswith("localhost/list-onnx docker://ghcr.io/a/b:0.1.0") for call in calls)
    assert not any("token" in call for call in calls if "--password-stdin" not in call)


def test_publish_lambda(publish):
    status, said, calls = publish("lambda", REPOSITORY)
    assert status == 0, said
    assert any(call.startswith("skopeo copy") and call.endswith(f"docker://{REPOSITORY}:0.1.0") for call in calls)
    assert f"cosign sign --yes {REPOSITORY}@sha256:{digest('lambda amd64')}" in calls
    assert any("get-login-password --region eu-west-1" in call for call in calls)


def test_publish_files(publish):
    assert publish("images", "ghcr.io/a/b")[0] == 0
    status, said, (call,) = publish("files")
    assert status == 0, said
    assert call.startswith("gh release create v0.1.0 --verify-tag") and "slipway_0.1.0_arm64.deb" in call
    assert "slipway-0.1.0-images.sbom.json" not in call, "each list of parts keeps its own name"
    assert call.count(".sbom.json") == 8


@pytest.mark.parametrize("what, version, expected", [("images", "v1", "usage"), ("everything", "0.1.0", "is neither"), ("files", "9.9.9", "no section")])
def test_publish_refuses(publish, what, version, expected):
    status, said, calls = publish(what, "ghcr.io/a/b", version=version)
    assert status != 0 and expected in said and calls == []
