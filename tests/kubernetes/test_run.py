"""What is rendered, run: the arguments, settings and variables of the containers by the real program, the queries of the scalers by
PostgreSQL and Prometheus. Only paths are others here, and the port."""
import hashlib
import http.server
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import threading

import pytest
import yaml

import checks
from chart import ROOT, of_kind, pods, render, servers
from postgres import Postgres
from slipway import BINARY, MODELS, Server
from sqs_client import SqsClient


class Container(Server):
    """A container of the chart; `secrets` are the values behind its references."""

    def __init__(self, found, component, directory, secrets=None, models=MODELS / "doubleit_onnx"):
        (container,) = [one for *_, one in servers(found) if f"--config=/etc/slipway/{component}.yaml" in one["args"]]
        (config,) = [one for one in of_kind(found, "ConfigMap") if f"{component}.yaml" in one["data"]]
        data = pathlib.Path(directory) / f"{component}-data"
        data.mkdir()
        text = config["data"][f"{component}.yaml"].replace("/var/lib/slipway", str(data)).replace("/models/", f"{data}/")
        path = pathlib.Path(directory) / f"{component}.yaml"
        path.write_text(text)
        super().__init__([])
        swap = {"/models": str(models)} if "/models" in container["args"] else {}
        swap |= {f"--config=/etc/slipway/{component}.yaml": f"--config={path}"}
        assert set(swap) <= set(container["args"])
        self.arguments = [BINARY, *(swap.get(one, one) for one in container["args"]), "--http-address=127.0.0.1", "--http-port=0",
                          f"--http-port-file={self.port_file}"]
        self.environment.pop("SLIPWAY_DATA_DIRECTORY")
        for one in container.get("env", []):
            reference = one.get("valueFrom", {}).get("secretKeyRef")
            self.environment[one["name"]] = secrets[reference["name"]][reference["key"]] if reference else one["value"]
        self.probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    def check_probes(self):
        for name, path in self.probes.items():
            assert self.get(path).status == 200, name


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as one:
        yield one


def test_a_single_server(tmp_path):
    with Container(render("default.yaml", "drain.delaySeconds=0"), "server", tmp_path) as server:
        server.check_probes()
        assert server.infer("doubleit_onnx", [{"name": "x", "datatype": "INT64", "shape": [5], "data": [1, 2, 3, 4, 5]}])
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "the data store")
        reply = server.post("/v2/models/doubleit_onnx/jobs", {"inputs": [{"name": "x", "datatype": "INT64", "shape": [5],
                                                                          "data": [1, 2, 3, 4, 5]}]})
        assert reply.status == 202, reply
        assert server.get(f"/v2/jobs/{reply.json()['id']}?wait=30").json()["state"] == "succeeded"
        assert server.get("/metrics").status == 200
        assert json.loads(server.log().splitlines()[0])  # log.format json
        assert (tmp_path / "server-data" / "slipway.db").exists()


def test_a_single_server_as_a_pod_has_it(tmp_path):
    """User 65532 without a capability, everything read-only but the volumes, of which a fresh one belongs to root and the group."""
    if os.geteuid() != 0:
        pytest.skip("only root makes such a place")
    for directory in [tmp_path, *tmp_path.parents]:
        if not directory.stat().st_mode & 1:
            directory.chmod(directory.stat().st_mode | 0o711)
    server = Container(render("default.yaml", "drain.delaySeconds=0"), "server", tmp_path)
    volumes = [tmp_path / "server-data", pathlib.Path(server.directory.name)]
    for volume in volumes:
        os.chown(volume, 0, 65532)
        volume.chmod(0o2775)
    place = "mount --make-rprivate / && for volume; do mount --bind $volume $volume || exit; done && mount -o remount,ro,bind /"
    drop = "setpriv --reuid=65532 --regid=65532 --groups=65532 --inh-caps=-all --bounding-set=-all --no-new-privs"
    server.arguments = ["unshare", "--mount", "sh", "-c",
                        f'set -- {" ".join(map(str, volumes))}; {place} && exec {drop} "$0" {shlex.join(server.arguments[1:])}', BINARY]
    server.environment["HOME"] = "/"
    with server:
        server.check_probes()
        body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [5], "data": [1, 2, 3, 4, 5]}]}
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "the data store")
        assert server.post("/v2/models/doubleit_onnx/infer", body).status == 200
        job = server.post("/v2/models/doubleit_onnx/jobs", body).json()["id"]
        assert server.get(f"/v2/jobs/{job}?wait=30").json()["state"] == "succeeded"
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        assert "Uid:\t65532" in status and re.search(r"CapBnd:\t0+\n", status) and "NoNewPrivs:\t1" in status
        with pytest.raises(OSError):  # it is read-only, for root as well
            pathlib.Path(f"/proc/{server.process.pid}/root{ROOT}/written").touch()
    assert (volumes[0] / "slipway.db").stat().st_uid == 65532


def test_a_server_and_a_worker(tmp_path, postgres):
    found = render("scaled.yaml", "drain.delaySeconds=4")
    secrets = {"slipway-database": {"url": postgres.url}}
    with Container(found, "server", tmp_path, secrets) as server:
        body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [5], "data": [1, 2, 3, 4, 5]}]}
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "the database")
        job = server.post("/v2/models/doubleit_onnx/jobs", body).json()["id"]
        assert server.get(f"/v2/jobs/{job}").json()["state"] == "pending"  # the server does not work
        with Container(found, "worker", tmp_path, secrets) as worker:
            worker.check_probes()
            done = server.get(f"/v2/jobs/{job}?wait=30").json()
            assert done["state"] == "succeeded" and done["result"]["outputs"][0]["data"] == [2, 4, 6, 8, 10], done
            assert "slipway_worker_queues" in worker.get("/metrics").body.decode()
        # What takes the place of a preStop: unready at once, accepting until drain.delay is over.
        server.check_probes()
        server.process.terminate()
        server.wait_until(lambda: server.get("/v2/health/ready").status == 503, "unready")
        assert server.get("/v2/health/live").status == 200
        assert server.post("/v2/models/doubleit_onnx/infer", body).status == 200
        server.process.wait(30)


def test_the_test_pod(tmp_path):
    found = render("default.yaml", "drain.delaySeconds=0")
    (arguments,) = [spec["containers"][0]["args"] for name, _, spec in pods(found) if name.startswith("Pod")]
    with Container(found, "server", tmp_path) as server:
        (service,) = [one for one in of_kind(found, "Service") if one["metadata"]["name"] == "prod-slipway"]
        url = f"http://prod-slipway:{service['spec']['ports'][0]['port']}"
        assert f"--url={url}" in arguments

        def ask(to):
            return subprocess.run([BINARY, *(one.replace(url, to) for one in arguments)], capture_output=True, text=True, timeout=30)

        run = ask(server.address())
        assert run.returncode == 0 and "doubleit_onnx" in run.stdout, run
    assert ask(server.address()).returncode != 0  # nobody is there any more


def test_a_wrong_setting_is_found_at_the_start(tmp_path):
    """What the schema of the values cannot know: the server says it, and the old pods stay."""
    server = Container(render("default.yaml", "config.http\\.thraeds=2"), "server", tmp_path)
    run = subprocess.run(server.arguments, capture_output=True, text=True, timeout=30, env=server.environment)
    assert run.returncode != 0 and "thraeds" in run.stderr and "http.threads" in run.stderr, run


class Store(http.server.BaseHTTPRequestHandler):
    """A bucket with one object."""

    def do_GET(self):
        body = (MODELS / "doubleit_onnx" / "1" / "model.onnx").read_bytes()
        assert self.path.split("?")[0] == "/shop/doubleit.onnx" and "AWS4-HMAC-SHA256 Credential=id/" in self.headers["Authorization"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_models_from_a_bucket(tmp_path):
    store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    digest = hashlib.sha256((MODELS / "doubleit_onnx" / "1" / "model.onnx").read_bytes()).hexdigest()
    found = render("s3.yaml", "mode=single", "drain.delaySeconds=0", f"models.s3.places={{s3://shop/doubleit.onnx#sha256={digest}}}",
                   f"models.s3.endpoint=http://127.0.0.1:{store.server_port}")
    with Container(found, "server", tmp_path, {"store": {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}}) as server:
        server.check_probes()
        assert server.infer("doubleit", [{"name": "x", "datatype": "INT64", "shape": [5], "data": [1, 2, 3, 4, 5]}]).status == 200
    store.shutdown()
    store.server_close()


# ---- what scalers ask

def keda_query():
    (one,) = of_kind(render("keda_postgresql.yaml"), "ScaledObject")
    return one["spec"]["triggers"][0]["metadata"]["query"]


def test_the_query_of_keda_counts_what_waits(tmp_path, postgres):
    def ask(sql, url=postgres.url):
        return subprocess.run(["psql", "-At", "--dbname", url, "-c", sql], capture_output=True, text=True, timeout=30)

    def depth():
        run = ask(keda_query(), postgres.url.replace("user=slipway", "user=keda"))
        assert run.returncode == 0, run.stderr
        return int(run.stdout)

    found = render("keda_postgresql.yaml", "drain.delaySeconds=0")
    secrets = {"slipway-database": {"address": postgres.url}}
    with Container(found, "server", tmp_path, secrets) as server:
        server.wait_until(lambda: server.get("/v2/jobs").status == 200, "the database")
        page = (ROOT / "docs" / "kubernetes.md").read_text()
        for sql in re.findall(r"^    ((?:CREATE ROLE|GRANT) .*;)$", page, re.M):
            run = ask(sql)
            assert run.returncode == 0, run.stderr
        assert ask("SELECT count(*) FROM message", postgres.url.replace("user=slipway", "user=keda")).returncode != 0
        client, before = SqsClient(server.port), depth()
        for name in ("waiting", "waiting-dead", "ordered.fifo", "ordered-dead.fifo"):
            fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            client.call("CreateQueue", QueueName=name, Attributes=fifo)
            for number in range(5):
                ids = {"MessageGroupId": "g", "MessageDeduplicationId": str(number)} if fifo else {}
                client.call("SendMessage", QueueUrl=client.url(name), MessageBody="[1]", **ids)
        assert depth() - before == 10  # dead letters are nobody's work
        received = client.call("ReceiveMessage", QueueUrl=client.url("waiting"), MaxNumberOfMessages=2)["Messages"]
        assert depth() - before == 10  # what is worked on counts
        for one in received:
            client.call("DeleteMessage", QueueUrl=client.url("waiting"), ReceiptHandle=one["ReceiptHandle"])
        assert depth() - before == 10 - len(received)
        client.close()


def adapter_queries():
    """The queries of the adapter as Prometheus gets them, and what each series is selected by."""
    rules = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "prometheus-adapter.yaml").read_text())["rules"]
    for one in rules["custom"] + rules["external"]:
        for name in re.search(r'__name__=~?"([^"]+)"', one["seriesQuery"])[1].split("|"):
            yield name, one["metricsQuery"].replace("<<.Series>>", name).replace("<<.LabelMatchers>>", 'namespace="models"') \
                .replace("<<.GroupBy>>", "namespace")


def queries():
    (one,) = of_kind(render("keda_prometheus.yaml"), "ScaledObject")
    return [("keda", one["spec"]["triggers"][0]["metadata"]["query"]), *adapter_queries()]


def test_the_adapter_has_what_the_chart_asks_for():
    offered = {name for name, _ in adapter_queries()}
    asked = {one[kind]["metric"]["name"] for document in of_kind(render("hpa.yaml"), "HorizontalPodAutoscaler")
             for one in document["spec"]["metrics"] for kind in ("pods", "external") if kind in one}
    assert asked and asked <= offered <= checks.metrics()


def test_prometheus_takes_the_queries_and_counts_each_message_once(tmp_path):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed: tools/setup test")
    depth = {"visible": 7, "in_flight": 3, "delayed": 100}
    series = [{"series": f'slipway_queue_messages{{namespace="models",queue="{queue}",state="{state}",pod="{pod}"}}', "values": f"{value}"}
              for queue in ("orders", "jobs", "orders-dead", "x-dead.fifo") for state, value in depth.items() for pod in ("a", "b", "c")]
    series += [{"series": 'slipway_queue_messages{namespace="others",queue="orders",state="visible",pod="a"}', "values": "1000"}]
    series += [{"series": f'{name}{{namespace="models",pod="a",model="{model}"}}', "values": "4"}
               for name in ("slipway_queue_depth", "slipway_in_flight", "slipway_http_connections_open") for model in ("m", "n")]
    wanted = {"keda": ("{}", 20), "slipway_queue_messages": ('{namespace="models"}', 20)}
    tests = [{"expr": query, "eval_time": "0s",
              "exp_samples": [dict(zip(("labels", "value"), wanted.get(name, ('{namespace="models"}', 8))))]} for name, query in queries()]
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}]}))
    run = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
