"""The chart with several files of values: valid for Kubernetes, and as checks.py has it. Each check is tried on what it is to find."""
import copy
import re
import shutil
import subprocess

import pytest
import yaml

import checks
from chart import (CHART, ROOT, TOOLS, VALUES, documents, helm, of_kind, pods, refusal, render, rendered, servers, settings,
                   template, tool)


def validate(text):
    schemas = str(TOOLS / "schemas") + "/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
    return subprocess.run([tool("kubeconform"), "-strict", "-output", "json", "-summary", "-schema-location", schemas], input=text,
                          capture_output=True, text=True, timeout=60)


def test_lint():
    for values in [[], *(["--values", str(ROOT / "tests" / "kubernetes" / "values" / one)] for one in VALUES)]:
        run = helm("lint", "--strict", CHART, "--kube-version", "1.34.0", *values)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("values", VALUES)
def test_manifests_are_valid(values):
    run = validate(rendered(values))
    assert run.returncode == 0, run.stdout
    assert f'"valid": {len(render(values))}' in run.stdout, run.stdout


@pytest.mark.parametrize("wrong,right", [("periodSeconds", "perodSeconds"), ("kind: Service\n", "kind: Servixe\n"),
                                         ("replicas: 3", "replicas: three"), ("apps/v1\n", "apps/v1beta1\n"),
                                         ("ports:\n", "ports: null\n")])
def test_the_schemas_find_what_is_wrong(wrong, right):
    text = rendered("scaled.yaml")
    assert wrong in text
    assert validate(text.replace(wrong, right, 1)).returncode != 0


@pytest.mark.parametrize("values,wrong,right", [
    ("keda_prometheus.yaml", "pollingInterval", "polingInterval"), ("keda_postgresql.yaml", "secretTargetRef", "secretTarget"),
    ("hpa.yaml", "jobLabel", "joblabel"), ("hpa.yaml", "record: ", "recorded: ")])
def test_the_schemas_of_others_find_what_is_wrong(values, wrong, right):
    text = rendered(values)
    assert wrong in text
    assert validate(text.replace(wrong, right, 1)).returncode != 0


@pytest.mark.parametrize("values", VALUES)
def test_manifests_are_as_they_are_owed(values):
    assert checks.problems(render(values)) == []


def serve(text):
    """What an API server says of it: its own code, apiserver/main.go."""
    return subprocess.run([tool("apiserver")], input=text, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("values", VALUES)
def test_an_api_server_takes_them(values):
    run = serve(rendered(values))
    own = [one for one in render(values) if "coreos" not in one["apiVersion"] and "keda" not in one["apiVersion"]]
    assert run.returncode == 0 and f"{len(own)} objects, 0 faults" in run.stdout, run.stdout + run.stderr


@pytest.mark.parametrize("wrong,right,said", [
    ("maxSurge: 1", "maxSurge: 0", "maxSurge"), ("minReplicas: 2", "minReplicas: 50", "maxReplicas"),
    ("component: server\n  minReadySeconds", "component: sever\n  minReadySeconds", "does not match template"),
    ("minReadySeconds: 5", "minReadySeconds: 600", "progressDeadlineSeconds"), ("port: http", "port: HTTP!", "port"),
    ("containerPort: 8080", "containerPort: 80800", "containerPort"), ("capabilities: {drop: [ALL]}", "capabilities: {}", "unrestricted capabilities"),
    ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"),
    ("mountPath: /tmp", "mountPath: /etc/slipway", "must be unique")])
def test_an_api_server_refuses_what_is_wrong(wrong, right, said):
    text = rendered("hpa.yaml")
    index = text.index("kind: Deployment") if wrong not in ("minReplicas: 2", "port: http") else 0
    assert wrong in text[index:], wrong
    run = serve(text[:index] + text[index:].replace(wrong, right, 1))
    assert run.returncode == 1 and said in run.stdout, run.stdout + run.stderr
    assert serve("").returncode != 0  # nothing is no pass


def test_notes(tmp_path):
    """What `helm install` says at the end; each command in it names what is there."""
    chart = tmp_path / "slipway"
    shutil.copytree(CHART, chart)
    notes = (chart / "templates" / "NOTES.txt").read_text()
    # Helm shows notes with a cluster alone; so they are the content of a ConfigMap here.
    (chart / "templates" / "_notes.tpl").write_text('{{- define "notes" -}}\n' + notes + "\n{{- end -}}\n")
    (chart / "templates" / "notes.yaml").write_text('kind: ConfigMap\ndata: {notes: {{ include "notes" . | quote }}}\n')
    for values in VALUES:
        run = helm("template", "prod", chart, "--namespace", "models", "--values", ROOT / "tests/kubernetes/values" / values,
                   "--show-only", "templates/notes.yaml")
        assert run.returncode == 0, run.stderr
        text = documents(run.stdout)[0]["data"]["notes"]
        names = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in render(values)}
        said = set(re.findall(r"\b(?:deployment|statefulset|service)/[a-z-]+", text))
        assert len(said) == 2 and said <= names, (said, names)
        assert "<no value>" not in text and "-n models" in text


def test_components_of_each_mode():
    def names(*values):
        return {name for name, *_ in pods(render(*values))}

    assert names("default.yaml") == {"StatefulSet prod-slipway", "Pod prod-slipway-test"}
    assert names("scaled.yaml") == {"Deployment prod-slipway", "Deployment prod-slipway-worker", "Pod prod-slipway-test"}
    assert names("servers_only.yaml") == {"Deployment prod-slipway", "Pod prod-slipway-test"}
    assert names("keda_prometheus.yaml") == names("scaled.yaml")  # no replica now is no reason to have no Deployment


def test_another_setting_is_another_pod():
    def sums(*values):
        return [metadata["annotations"]["checksum/config"] for _, metadata, *_ in servers(render("scaled.yaml", *values))]

    assert sums() == sums("service.port=81")
    assert all(one != other for one, other in zip(sums(), sums("drain.graceSeconds=31")))


def test_settings_arrive():
    found = render("everything.yaml")
    server, worker = [settings(found, container) for *_, container in servers(found)]
    assert server["log.level"] == "debug" and server["queue.reply_allow"] == ["answers"]
    assert server["drain.delay"] == "15s" and server["drain.grace"] == "120s" and server["worker.enabled"] is False
    assert "drain.delay" not in worker and "worker.enabled" not in worker
    assert {spec["terminationGracePeriodSeconds"] for _, _, spec, _ in servers(found)} == {165}


def test_version_is_that_of_the_program():
    project = re.search(r"project\(slipway VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project and chart["version"] == project


def test_rules_and_dashboard_have_one_source():
    found = render("hpa.yaml")
    assert len(of_kind(found, "PrometheusRule")) == 1
    (board,) = [one for one in of_kind(found, "ConfigMap") if "slipway.json" in one["data"]]
    assert board["data"]["slipway.json"] == (ROOT / "deploy" / "grafana" / "slipway.json").read_text()


def test_the_package_is_whole(tmp_path):
    """What is a link in the source is a file in the package."""
    run = helm("package", CHART, "--destination", tmp_path)
    assert run.returncode == 0, run.stderr
    (package,) = tmp_path.iterdir()
    run = helm("template", "prod", package, "--kube-version", "1.34.0", "--set", "monitoring.rules.enabled=true")
    assert run.returncode == 0 and checks.other_rules(documents(run.stdout)) == [], run.stderr
    assert of_kind(documents(run.stdout), "PrometheusRule")


def test_keda_has_an_address_of_its_own_if_it_needs_one():
    def source(values):
        (one,) = of_kind(render(values), "TriggerAuthentication")
        return {part["parameter"]: (part["name"], part["key"]) for part in one["spec"]["secretTargetRef"]}

    assert source("keda_postgresql.yaml") == {"connection": ("slipway-database", "address")}
    assert source("everything.yaml") == {"connection": ("keda", "address")}


def test_the_image_overrules_nothing():
    """A variable beats the file: what the image sets, the chart sets to the same, and lets nobody set otherwise."""
    dockerfile = ROOT / "deploy" / "docker" / "Dockerfile"
    if not dockerfile.exists():
        pytest.skip("there is no deploy/docker")
    variables = dict(re.findall(r"\b(SLIPWAY_[A-Z_]+)=(\S+)", "\n".join(re.findall(r"^ENV (.*)", dockerfile.read_text(), re.M))))
    refused = yaml.safe_load((CHART / "values.schema.json").read_text())["properties"]["config"]["propertyNames"]["not"]["enum"]
    names = {"SLIPWAY_" + name.upper().replace(".", "_"): name for name in checks.table()[2]}
    for values in ("default.yaml", "scaled.yaml"):
        for *_, container in servers(render(values)):
            given = settings(render(values), container)
            for variable, value in variables.items():
                assert names[variable] in refused, variable
                assert str(given.get(names[variable], value)) == value, variable


# ---- values that are refused

@pytest.mark.parametrize("value,word", [
    ("mode=both", "mode"), ("replicas=3", "replicas"), ("server.replica=3", "replica"), ("server.replicas=0", "minimum"),
    ("worker.autoscaling.kind=vpa", "kind"), ("image.digest=abc", "digest"), ("drain.marginSeconds=0", "marginSeconds"),
    ("networkPolicy.form=1", "form"), ("models.source=git", "source"), ("models.s3.places={s3://models/iris}", "places"), ("config.Log\\.level=info", "Log.level"),
    ("config.data\\.url=postgres://a", "data.url"), ("config.jobs\\.callback_secret=a", "jobs.callback_secret"),
    ("config.sqs\\.access_keys=a", "sqs.access_keys"), ("config.http\\.port=1", "http.port"), ("config.drain\\.grace=1s", "drain.grace"),
    ("persistence.accessModes={ReadWriteMany}", "accessModes"), ("service.port=0", "port"), ("worker.replicas=-1", "replicas"),
    ("server.autoscaling.metric=slipway_nothing", "metric"), ("monitoring.rules.enabled=yes please", "enabled"),
])
def test_wrong_values_are_refused(value, word):
    said = refusal("scaled.yaml", value)
    assert "values don't meet the specifications of the schema" in said and word in said, said


@pytest.mark.parametrize("values,word", [
    (["mode=scaled"], "database.existingSecret"), (["models.source=pvc"], "models.pvc.claimName"),
    (["models.source=s3"], "models.s3.places"), (["models.source=init"], "models.init.image")])
def test_what_is_missing_is_named(values, word):
    assert word in refusal(*values)


def test_every_object_of_the_schema_is_closed():
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())

    def walk(part, where):
        if isinstance(part, dict):
            if part.get("type") == "object" and "properties" in part:
                assert part.get("additionalProperties") is False, where
            for key, value in part.items():
                walk(value, f"{where}/{key}")
        elif isinstance(part, list):
            for index, one in enumerate(part):
                walk(one, f"{where}/{index}")

    walk(schema, "")


def test_every_value_is_in_the_schema_and_every_default_is_allowed():
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def same(given, part, where):
        properties = part.get("properties")
        if properties is None:
            return
        assert properties.keys() - {"global"} == given.keys(), where
        for key, one in given.items():
            same(one, properties[key], f"{where}.{key}")

    same(values, schema, "")
    names = checks.table()[2]
    refused = schema["properties"]["config"]["propertyNames"]["not"]["enum"]
    assert set(refused) <= names and checks.secret_settings() <= set(refused)


def test_metrics_to_scale_by_are_ours():
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    offered = schema["properties"]["server"]["properties"]["autoscaling"]["properties"]["metric"]["enum"]
    assert set(offered) - {""} <= checks.metrics()


# ---- the checks find what they are to find

def container_of(found, index=0):
    return list(servers(found))[index][3]


def spec_of(found, index=0):
    return list(servers(found))[index][2]


def config_of(found):
    return next(one for one in of_kind(found, "ConfigMap") if "server.yaml" in one["data"])["data"]


def first(found, kind):
    return of_kind(found, kind)[0]["spec"]


def set_setting(found, name, value, file="server.yaml"):
    content = yaml.safe_load(config_of(found)[file])
    config_of(found)[file] = yaml.safe_dump({**content, name: value})


MUTATIONS = {
    checks.unknown_options: [lambda f: container_of(f)["args"].append("--http-prot=1"),
                             lambda f: container_of(f)["env"].append({"name": "SLIPWAY_DATA_URI", "value": "a"}),
                             lambda f: set_setting(f, "log.levle", "info")],
    checks.told_secrets: [lambda f: set_setting(f, "data.url", "postgres://a"),
                          lambda f: container_of(f)["env"].append({"name": "SLIPWAY_SQS_ACCESS_KEYS", "value": "a:b"})],
    checks.wrong_probes: [lambda f: container_of(f)["readinessProbe"]["httpGet"].update(path="/v2/health/live"),
                          lambda f: container_of(f)["livenessProbe"]["httpGet"].update(path="/healthz"),
                          lambda f: container_of(f).pop("startupProbe"),
                          lambda f: container_of(f)["livenessProbe"]["httpGet"].update(port="metrics"),
                          lambda f: set_setting(f, "http.port", 8081),
                          lambda f: set_setting(f, "http.address", "127.0.0.1")],
    checks.drain_above_grace: [lambda f: spec_of(f).update(terminationGracePeriodSeconds=30),
                               lambda f: set_setting(f, "drain.grace", "2m"),
                               lambda f: set_setting(f, "drain.delay", "1s"),
                               lambda f: set_setting(f, "drain.grace", "50s", "worker.yaml")],
    checks.not_restricted: [lambda f: spec_of(f)["securityContext"].update(runAsUser=0),
                            lambda f: spec_of(f)["securityContext"].pop("runAsNonRoot"),
                            lambda f: spec_of(f)["securityContext"].pop("seccompProfile"),
                            lambda f: spec_of(f, 1).update(automountServiceAccountToken=True),
                            lambda f: spec_of(f).update(hostNetwork=True),
                            lambda f: spec_of(f)["volumes"].append({"name": "a", "hostPath": {"path": "/"}}),
                            lambda f: container_of(f)["securityContext"].update(readOnlyRootFilesystem=False),
                            lambda f: container_of(f)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
                            lambda f: container_of(f)["securityContext"].pop("allowPrivilegeEscalation"),
                            lambda f: container_of(f)["ports"][0].update(hostPort=8080),
                            lambda f: container_of(f)["resources"]["limits"].pop("memory"),
                            lambda f: first(f, "Pod").pop("securityContext")],
    checks.written_outside: [lambda f: container_of(f).update(volumeMounts=container_of(f)["volumeMounts"][:1]),
                             lambda f: container_of(f)["volumeMounts"][0].pop("readOnly"),
                             lambda f: spec_of(f)["volumes"].pop()],
    checks.without_store: [lambda f: container_of(f).pop("env"),
                           lambda f: set_setting(f, "data.directory", "/var/lib/slipway"),
                           lambda f: set_setting(f, "worker.enabled", False, "worker.yaml")],
    checks.idle_selectors: [lambda f: first(f, "Service")["selector"].update({"app.kubernetes.io/component": "sever"}),
                            lambda f: first(f, "Service")["selector"].pop("app.kubernetes.io/component"),
                            lambda f: first(f, "PodDisruptionBudget")["selector"]["matchLabels"].update(a="b"),
                            lambda f: first(f, "NetworkPolicy")["podSelector"]["matchLabels"].pop("app.kubernetes.io/component"),
                            lambda f: first(f, "Service")["ports"][0].update(targetPort="web"),
                            lambda f: first(f, "HorizontalPodAutoscaler")["scaleTargetRef"].update(name="server"),
                            lambda f: first(f, "ScaledObject")["scaleTargetRef"].update(name="server"),
                            lambda f: first(f, "Deployment").update(replicas=3),
                            lambda f: first(f, "ServiceMonitor")["endpoints"][0].update(port="metrics"),
                            lambda f: first(f, "ServiceMonitor")["selector"]["matchLabels"].update(a="b")],
    checks.unknown_metrics: [lambda f: first(f, "HorizontalPodAutoscaler")["metrics"][1]["pods"]["metric"].update(name="slipway_depth"),
                             lambda f: first(f, "ScaledObject")["triggers"][0]["metadata"].update(query="sum(slipway_messages)")],
    checks.other_rules: [lambda f: first(f, "PrometheusRule")["groups"][0]["rules"].pop(),
                         lambda f: first(f, "PrometheusRule")["groups"][1]["rules"][1].update({"for": "5m"})],
    checks.open_egress: [lambda f: first(f, "NetworkPolicy").update(policyTypes=["Ingress"]),
                         lambda f: first(f, "NetworkPolicy")["egress"].append({}),
                         lambda f: first(f, "NetworkPolicy")["egress"].append({"ports": [{"port": 22}]}),
                         lambda f: first(f, "NetworkPolicy").update(egress=first(f, "NetworkPolicy")["egress"][:1]),
                         lambda f: first(f, "NetworkPolicy")["ingress"].append({})],
    checks.unspread: [lambda f: spec_of(f).pop("topologySpreadConstraints"),
                      lambda f: spec_of(f)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update(a="b")],
    checks.stale_config: [lambda f: list(servers(f))[0][1].pop("annotations")],
}


# Those that need other values than the rest.
OF_S3 = [lambda f: first(f, "NetworkPolicy")["egress"][2]["to"][0]["ipBlock"].pop("except"),
         lambda f: set_setting(f, "model.fetch_timeout", "2h"),
         lambda f: set_setting(f, "model.fetch_directory", "/var/models"),
         lambda f: container_of(f)["env"].append({"name": "AWS_SECRET_ACCESS_KEY", "value": "a"})]
OF_INIT = [lambda f: spec_of(f)["initContainers"][0].pop("securityContext")]
for one, check in zip(OF_S3 + OF_INIT, [checks.open_egress, checks.wrong_probes, checks.written_outside, checks.told_secrets,
                                        checks.not_restricted]):
    MUTATIONS[check].append(one)


def test_every_check_is_tried():
    assert set(MUTATIONS) == set(checks.ALL)


@pytest.mark.parametrize("check,mutate", [pytest.param(check, mutate, id=f"{check.__name__}-{index}")
                                          for check, mutates in MUTATIONS.items() for index, mutate in enumerate(mutates)])
def test_a_check_finds(check, mutate):
    values = "s3.yaml" if mutate in OF_S3 else "init.yaml" if mutate in OF_INIT else "keda_prometheus.yaml"
    more = ["mode=scaled", "database.existingSecret=a", "worker.autoscaling.kind=keda", "monitoring.serviceMonitor.enabled=true",
            "monitoring.rules.enabled=true", "server.autoscaling.enabled=true"]
    found = copy.deepcopy(render(values, *more))
    assert check(found) == []
    mutate(found)
    assert check(found), "the check does not see it"
