"""What must be true of rendered manifests. Each check returns sentences; none is what the chart owes."""
import pathlib
import re

import yaml

from chart import ROOT, of_kind, pods, servers, settings

OPTION = re.compile(r"`--([a-z0-9-]+)`<br>`(SLIPWAY_[A-Z0-9_]+)`(?:<br>`([a-z0-9_.]+)`)?")
SECRET = re.compile(r"`([a-z0-9_.]+)` \| .*\(secret\) \|$", re.M)
# What the AWS clients read besides (docs/results.md, docs/aws.md).
OF_AWS = {"AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
METRIC = re.compile(r"\b(?:slipway|nv|process)_[a-z0-9_]+\b")


def table():
    """Flags, variables and names of docs/options.md."""
    found = OPTION.findall((ROOT / "docs" / "options.md").read_text())
    assert len(found) > 80
    return {one[0] for one in found}, {one[1] for one in found}, {one[2] for one in found if one[2]}


def secret_settings():
    return set(SECRET.findall((ROOT / "docs" / "options.md").read_text()))


def metrics():
    names = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.M))
    assert len(names) > 50
    return names


def paths():
    """The paths of the server's routes, those that have no part to be filled in."""
    return set(re.findall(r'\{LITERAL\("([^"]+)"\)\}', (ROOT / "src" / "server" / "routes.c").read_text()))


def duration(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)?", str(text)).groups()
    return int(number) * {"ms": 0.001, None: 1, "s": 1, "m": 60, "h": 3600}[unit]


# ---- one check each

def unknown_options(found):
    flags, variables, names = table()
    problems = []
    for name, _, _, container in servers(found):
        given = {one[2:].split("=")[0] for one in container["args"] if one.startswith("--")}
        problems += [f"{name}: there is no option --{flag}" for flag in given - flags]
        environment = {one["name"] for one in container.get("env", [])}
        problems += [f"{name}: there is no variable {one}" for one in environment - variables - OF_AWS]
        problems += [f"{name}: there is no setting {one}" for one in settings(found, container).keys() - names]
    return problems


def told_secrets(found):
    """Secret settings come from Secrets, never from a ConfigMap or a plain value."""
    hidden = secret_settings()
    assert {"data.url", "sqs.access_keys", "jobs.callback_secret"} <= hidden, hidden
    problems = []
    for name, _, _, container in servers(found):
        problems += [f"{name}: {one} stands in a ConfigMap" for one in settings(found, container).keys() & hidden]
        variables = {"SLIPWAY_" + one.upper().replace(".", "_") for one in hidden} | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        problems += [f"{name}: {one['name']} is no reference to a Secret" for one in container.get("env", [])
                     if one["name"] in variables and "secretKeyRef" not in one.get("valueFrom", {})]
    return problems


def wrong_probes(found):
    problems = []
    wanted = {"startupProbe": "/v2/health/live", "livenessProbe": "/v2/health/live", "readinessProbe": "/v2/health/ready"}
    for name, _, _, container in servers(found):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe, path in wanted.items():
            given = container.get(probe, {}).get("httpGet", {})
            if given.get("path") != path or path not in paths():
                problems.append(f"{name}: {probe} asks for {given.get('path')}")
            if ports.get(given.get("port")) != settings(found, container)["http.port"]:
                problems.append(f"{name}: {probe} asks at a port that is not listened on")
        fetching = duration(settings(found, container).get("model.fetch_timeout", "0s"))
        startup = container.get("startupProbe", {})
        if startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3) <= fetching:
            problems.append(f"{name} is started anew while it fetches its models")
        if settings(found, container)["http.address"] not in ("0.0.0.0", "::"):
            problems.append(f"{name} listens where the kubelet does not ask")
    return problems


def drain_above_grace(found):
    """SIGKILL comes after the server has given up by itself."""
    problems = []
    for name, _, spec, container in servers(found):
        given = settings(found, container)
        needed = duration(given.get("drain.delay", "0s")) + duration(given["drain.grace"])
        if spec["terminationGracePeriodSeconds"] <= needed:
            problems.append(f"{name} is killed after {spec['terminationGracePeriodSeconds']} s, and drains for {needed} s")
        readiness = container["readinessProbe"]
        if container["args"][0] == "serve" and duration(given["drain.delay"]) < readiness["periodSeconds"] * readiness["failureThreshold"]:
            problems.append(f"{name} stops to accept before its readiness was asked")
    return problems


def not_restricted(found):
    """Kubernetes' pod security standard "restricted", and a read-only root."""
    problems = []
    for name, _, spec in pods(found):
        whole = spec.get("securityContext", {})
        if whole.get("runAsNonRoot") is not True or whole.get("runAsUser") != 65532:
            problems.append(f"{name} may run as root")
        if whole.get("seccompProfile") != {"type": "RuntimeDefault"}:
            problems.append(f"{name} has no seccomp profile")
        if spec.get("automountServiceAccountToken") is not False:
            problems.append(f"{name} gets a token of its service account")
        problems += [f"{name}: {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "projected", "csi", "downwardAPI", "ephemeral"}
        problems += [f"{name}: volume {one['name']} is {sorted(one.keys() - {'name'} - allowed)}"
                     for one in spec.get("volumes", []) if one.keys() - {"name"} - allowed]
        for container in spec["containers"] + spec.get("initContainers", []):
            problems += [f"{name}/{container['name']}: {one}" for one in loose(container)]
    return problems


def loose(container):
    given = container.get("securityContext", {})
    if given.get("allowPrivilegeEscalation") is not False:
        yield "may escalate its privileges"
    if given.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if given.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root"
    if given.get("privileged") or given.get("runAsUser") == 0 or given.get("runAsNonRoot") is False:
        yield "is privileged"
    if given.get("seccompProfile", {"type": "RuntimeDefault"})["type"] != "RuntimeDefault":
        yield "has another seccomp profile"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "takes a port of its host"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "has no limit of memory"


def written_outside(found):
    """With a read-only root each directory that is written to is a volume: /tmp, and the data of a single server."""
    problems = []
    for name, _, spec, container in servers(found):
        mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
        volumes = {one["name"] for one in spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for one in of_kind(found, "StatefulSet")
                    for claim in one["spec"]["volumeClaimTemplates"]}
        problems += [f"{name}: nothing is mounted as {one['name']}" for one in mounts.values() if one["name"] not in volumes]
        given = settings(found, container)
        wanted = ["/tmp", *([given["data.directory"]] if "data.directory" in given else []),
                  *([str(pathlib.Path(given["model.fetch_directory"]).parent)] if "model.fetch_directory" in given else [])]
        problems += [f"{name}: {one} cannot be written to" for one in wanted if one not in mounts or mounts[one].get("readOnly")]
        problems += [f"{name}: {path} can be written to" for path, one in mounts.items()
                     if path not in wanted and not one.get("readOnly")]
    return problems


def without_store(found):
    """Each process has one data store, and all of a release the same."""
    problems = []
    for name, _, _, container in servers(found):
        has_url = any(one["name"] == "SLIPWAY_DATA_URL" for one in container.get("env", []))
        if has_url == ("data.directory" in settings(found, container)):
            problems.append(f"{name} has no data store, or two")
    works = [settings(found, container).get("worker.enabled", True) for *_, container in servers(found)]
    if works and not any(works):
        problems.append("nobody works on jobs")
    return problems


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def idle_selectors(found):
    """Whatever selects pods selects those of one component, and only those; what it is to scale is there."""
    problems = []
    labels = {name: metadata["labels"] for name, metadata, _ in pods(found)}
    for document in of_kind(found, "Deployment", "StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy"):
        spec = document["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        selector = selector.get("matchLabels", selector)
        hit = [name for name, given in labels.items() if matches(selector, given)]
        if len(hit) != 1:
            problems.append(f"{document['kind']} {document['metadata']['name']} selects {hit}")
        ports = [one["targetPort"] for one in spec.get("ports", [])]
        named = {port["name"] for *_, container in servers(found) for port in container["ports"]}
        problems += [f"{document['metadata']['name']}: no port is named {one}" for one in ports if one not in named]
    names = {(one["kind"], one["metadata"]["name"]) for one in found}
    for document in of_kind(found, "HorizontalPodAutoscaler", "ScaledObject"):
        target = document["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in names:
            problems.append(f"{document['metadata']['name']} scales {target['name']}, which is not there")
        scaled = [one for one in of_kind(found, "Deployment") if one["metadata"]["name"] == target["name"]]
        problems += [f"{target['name']} sets replicas, which its scaler sets too" for one in scaled if "replicas" in one["spec"]]
    for document in of_kind(found, "ServiceMonitor"):
        hit = [one for one in of_kind(found, "Service") if matches(document["spec"]["selector"]["matchLabels"], one["metadata"]["labels"])]
        ends = {port["name"] for one in hit for port in one["spec"]["ports"]}
        components = {one["metadata"]["labels"]["app.kubernetes.io/component"] for one in hit}
        if components != {metadata["labels"]["app.kubernetes.io/component"] for _, metadata, *_ in servers(found)}:
            problems.append(f"metrics are read of {sorted(components)}")
        problems += [f"no service has the port {one['port']}" for one in document["spec"]["endpoints"] if one["port"] not in ends]
    return problems


def unknown_metrics(found):
    known, problems = metrics(), []
    for document in of_kind(found, "HorizontalPodAutoscaler", "ScaledObject"):
        names = set()
        for one in document["spec"].get("metrics", []):
            names |= {one[kind]["metric"]["name"] for kind in ("pods", "external") if kind in one}
        for one in document["spec"].get("triggers", []):
            if one["type"] == "prometheus":
                names |= set(METRIC.findall(one["metadata"]["query"]))
        problems += [f"{document['metadata']['name']}: there is no metric {name}" for name in names - known]
    return problems


def other_rules(found):
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "slipway.rules.yaml").read_text())
    return [f"{one['metadata']['name']} has other rules than deploy/prometheus" for one in of_kind(found, "PrometheusRule")
            if one["spec"] != rules]


def open_egress(found):
    """Out goes what is named: DNS, the database, the object store."""
    problems = []
    for document in of_kind(found, "NetworkPolicy"):
        spec, name = document["spec"], document["metadata"]["name"]
        if set(spec["policyTypes"]) != {"Ingress", "Egress"}:
            problems.append(f"{name} leaves a direction open")
        problems += [f"{name}: a rule for every port" for one in spec.get("egress", []) + spec.get("ingress", []) if not one.get("ports")]
        went = {port["port"] for one in spec["egress"] for port in one.get("ports", [])}
        if not went <= {53, 5432, 443}:
            problems.append(f"{name} lets out to {sorted(went)}")
        scaled = any(one["name"] == "SLIPWAY_DATA_URL" for *_, container in servers(found) for one in container.get("env", []))
        if (5432 in went) != scaled:
            problems.append(f"{name}: the database {'cannot' if scaled else 'need not'} be reached")
        copies = any(one.startswith("s3://") for *_, container in servers(found) for one in container["args"])
        if (443 in went) != copies:
            problems.append(f"{name}: the object store {'cannot' if copies else 'need not'} be reached")
        peers = [block["ipBlock"] for one in spec["egress"] for block in one.get("to", []) if "ipBlock" in block]
        problems += [f"{name}: the metadata service can be reached" for one in peers
                     if one["cidr"] == "0.0.0.0/0" and "169.254.0.0/16" not in one.get("except", [])]
    return problems


def unspread(found):
    problems = []
    for name, metadata, spec, _ in servers(found):
        if not name.startswith("Deployment"):
            continue
        keys = {one["topologyKey"] for one in spec.get("topologySpreadConstraints", [])
                if matches(one["labelSelector"]["matchLabels"], metadata["labels"])}
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            problems.append(f"{name} is spread over {sorted(keys)}")
    return problems


def stale_config(found):
    """Another setting is another pod."""
    return [f"{name} does not restart with its settings" for name, metadata, *_ in servers(found)
            if not re.fullmatch("[0-9a-f]{64}", metadata.get("annotations", {}).get("checksum/config", ""))]


ALL = [unknown_options, told_secrets, wrong_probes, drain_above_grace, not_restricted, written_outside, without_store, idle_selectors,
       unknown_metrics, other_rules, open_egress, unspread, stale_config]


def problems(found):
    return [sentence for check in ALL for sentence in check(found)]
