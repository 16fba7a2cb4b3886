"""The roll-out's state machine, run by moto's interpreter. AWS's answers are given by the test; what is asked is checked against
AWS's own descriptions of its services, as botocore has them."""
import json
import time
from unittest import mock

import boto3
import botocore.exceptions
import pytest
from moto import mock_aws

from template import ACCOUNT, REGION, evaluate, example, load

PATCHED = ("service.state_task_service_aws_sdk", "service.state_task_service_sns", "lambda_eval_utils")
SERVICES = "moto.stepfunctions.parser.asl.component.state.exec.state_task."


def definition():
    properties = evaluate(load("app.yaml"), example("main"))["Workflow"]["Properties"]
    text = json.dumps(properties["Definition"])
    given = {**properties["DefinitionSubstitutions"], "Function": "slipway-main",
             "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:slipway-main",
             "Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:slipway-main-alarms"}
    for name, value in given.items():
        text = text.replace("${" + name + "}", value)
    assert "${" not in text
    return json.loads(text)


MACHINE = definition()


def successors(state):
    yield from (state[key] for key in ("Next", "Default") if key in state)
    for choice in state.get("Choices", []) + state.get("Catch", []):
        yield choice["Next"]


def test_every_state_is_there_and_reached():
    reached, ahead = set(), [MACHINE["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += successors(MACHINE["States"][name])
    assert reached == set(MACHINE["States"])


def test_what_may_fail_is_tried_again_and_ends_in_a_notice():
    for name, state in MACHINE["States"].items():
        if state["Type"] == "Task":
            assert state["Retry"][0]["JitterStrategy"] == "FULL", name
            if not name.startswith("Tell"):
                assert state["Catch"][0]["ErrorEquals"] == ["States.ALL"], name


class Cloud:
    """Answers by action; a list is used up, its last entry stays. An exception is raised."""

    def __init__(self, **answers):
        self.answers = {
            "GetDeployment": [deployment("InProgress"), deployment("Succeeded")],
            "ListDeploymentTargets": [{"targetIds": ["t"]}],
            "GetDeploymentTarget": [{"deploymentTarget": {"lambdaTarget": {"lambdaFunctionInfo": {
                "functionName": "slipway-main", "currentVersion": "7", "targetVersion": "8"}}}}],
            "Invoke": [{"ok": True, "report": {}}],
            "GetMetricData": [verdict(0)],
            "StopDeployment": [{"status": "Pending"}],
            "GetAlias": [{"FunctionVersion": "8", "Name": "live"}],
            "Publish": [{"MessageId": "m"}],
            **answers}
        self.asked = []

    def client(self, service, region, state_credentials=None):
        client = boto3.client(service, region_name=region)
        client.meta.events.register("provide-client-params", from_pascal_case)
        client.meta.events.register("before-call", self.answer)
        return client

    def answer(self, model, params, **_):
        self.asked.append((model.name, params))
        answers = self.answers[model.name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if model.name == "Invoke":
            answer = {"StatusCode": 200, "Payload": Body(answer), **(
                {"FunctionError": "Unhandled"} if "errorType" in answer else {})}
        return mock.Mock(status_code=200), {**pascal_case(answer), "ResponseMetadata": {"HTTPStatusCode": 200}}

    def names(self):
        return [name for name, _ in self.asked]


def from_pascal_case(params, model, **_):
    """Step Functions takes and gives members in Pascal case, however the service writes them; moto leaves that out."""
    assert all(name[0].isupper() for name in params), params
    return {next((member for member in model.input_shape.members if member.lower() == name.lower()), name): value
            for name, value in params.items()}


def pascal_case(value):
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: pascal_case(part) for name, part in value.items()}
    return [pascal_case(part) for part in value] if isinstance(value, list) else value


class Body:
    def __init__(self, value):
        self.value = value

    def read(self):
        return json.dumps(self.value).encode()


def deployment(status, creator="CloudFormation"):
    return {"deploymentInfo": {"status": status, "creator": creator}}


def verdict(*values):
    """As CloudWatch gives it: the same value for each minute."""
    return {"MetricDataResults": [{"Id": "verdict", "Values": [float(value) for value in values] * 3}]}


def denied(action="Any"):
    return botocore.exceptions.ClientError(
        {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "r"}}, action)


def quick(machine):
    """The same machine without its pauses."""
    machine = json.loads(json.dumps(machine))
    for state in machine["States"].values():
        if state["Type"] == "Wait":
            state["Seconds"] = 0
        for retry in state.get("Retry", []):
            retry.update(IntervalSeconds=1, MaxAttempts=1, BackoffRate=1, MaxDelaySeconds=1)
            retry.pop("MaxDelaySeconds")
    return machine


def run(cloud):
    patches = [mock.patch(f"{SERVICES}{name}.boto_client_for", cloud.client) for name in PATCHED]
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        for patch in patches:
            patch.start()
        try:
            client = boto3.client("stepfunctions", region_name=REGION)
            machine = client.create_state_machine(name="m", definition=json.dumps(quick(MACHINE)),
                                                  roleArn=f"arn:aws:iam::{ACCOUNT}:role/r")["stateMachineArn"]
            execution = client.start_execution(stateMachineArn=machine, input='{"deploymentId": "d-1"}')["executionArn"]
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                done = client.describe_execution(executionArn=execution)
                if done["status"] != "RUNNING":
                    return done["status"], told(cloud)
                time.sleep(0.02)
            client.stop_execution(executionArn=execution)
            raise AssertionError(f"still running; asked {cloud.names()[:20]}")
        finally:
            for patch in patches:
                patch.stop()


def told(cloud):
    """The titles of what was published; each is what the chat's client takes."""
    titles = []
    for name, params in cloud.asked:
        if name == "Publish":
            message = json.loads(params["body"]["Message"])
            assert (message["version"], message["source"], message["content"]["textType"]) == \
                ("1.0", "custom", "client-markdown")
            assert message["content"]["description"]
            titles.append(message["content"]["title"])
    return titles


def test_a_good_version_is_promoted():
    cloud = Cloud(GetDeployment=[deployment("Created"), deployment("InProgress"), deployment("InProgress"),
                                 deployment("Succeeded")])
    assert run(cloud) == ("SUCCEEDED", ["slipway main: version 8 is live"])
    assert cloud.names().count("GetMetricData") == 2 and "StopDeployment" not in cloud.names()


def test_the_new_version_is_checked_itself():
    cloud = Cloud()
    run(cloud)
    params = dict(cloud.asked)["Invoke"]
    assert params["url_path"].endswith("/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A000000000000%3Afunction%3Aslipway-main%3A8/invocations")
    assert json.loads(params["body"]) == {"slipway": {"task": "check"}}


@pytest.mark.parametrize("answers", [
    {"GetMetricData": [verdict(1)]},
    {"GetMetricData": [verdict(2)]},
    {"GetMetricData": [verdict(-1), verdict(1)]},
    {"Invoke": [{"ok": False, "report": {}}]},
    {"Invoke": [{"errorType": "Function.UnknownEvent", "errorMessage": "x"}]},
    {"Invoke": [denied("Invoke")]},
], ids=["worse", "slower", "worse once there is enough", "check failed", "check broke", "check not allowed"])
def test_a_bad_version_is_rolled_back(answers):
    cloud = Cloud(GetDeployment=[deployment("InProgress")], **answers)
    assert run(cloud) == ("SUCCEEDED", ["slipway main: version 8 was rolled back"])
    assert dict(cloud.asked)["StopDeployment"]["body"] == json.dumps(
        {"deploymentId": "d-1", "autoRollbackEnabled": True}).encode() or \
        json.loads(dict(cloud.asked)["StopDeployment"]["body"]) == {"deploymentId": "d-1", "autoRollbackEnabled": True}


def test_little_traffic_decides_nothing():
    cloud = Cloud(GetDeployment=[deployment("InProgress")] * 3 + [deployment("Succeeded")],
                  GetMetricData=[verdict(-1)])
    assert run(cloud) == ("SUCCEEDED", ["slipway main: version 8 is live"])


def test_no_data_decides_nothing():
    cloud = Cloud(GetDeployment=[deployment("InProgress")] * 2 + [deployment("Succeeded")],
                  GetMetricData=[verdict()])
    assert run(cloud) == ("SUCCEEDED", ["slipway main: version 8 is live"])


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_what_an_alarm_stopped_is_told(status):
    cloud = Cloud(GetDeployment=[deployment("InProgress"), deployment(status)])
    assert run(cloud) == ("SUCCEEDED", ["slipway main: version 8 was rolled back"])
    assert "StopDeployment" not in cloud.names()


@pytest.mark.parametrize("creator", ["codeDeployRollback", "CloudFormationRollback"])
def test_a_roll_back_is_not_watched(creator):
    cloud = Cloud(GetDeployment=[deployment("InProgress", creator)])
    assert run(cloud) == ("SUCCEEDED", [])
    assert cloud.names() == ["GetDeployment"]


def test_targets_come_late():
    cloud = Cloud(ListDeploymentTargets=[{"targetIds": []}, {"targetIds": ["t"]}])
    assert run(cloud) == ("SUCCEEDED", ["slipway main: version 8 is live"])


def test_another_version_is_live():
    cloud = Cloud(GetAlias=[{"FunctionVersion": "7", "Name": "live"}])
    assert run(cloud) == ("FAILED", ["slipway main: deployment d-1 could not be watched"])


@pytest.mark.parametrize("action", ["GetDeployment", "ListDeploymentTargets", "GetDeploymentTarget", "GetMetricData", "GetAlias"])
def test_what_cannot_be_read_is_told(action):
    answers = {"GetDeployment": [deployment("InProgress")] * 2 + [deployment("Succeeded")], action: [denied(action)]}
    assert run(Cloud(**answers)) == ("FAILED", ["slipway main: deployment d-1 could not be watched"])


def test_one_failure_is_tried_again():
    cloud = Cloud(GetMetricData=[denied("GetMetricData"), verdict(0)])
    assert run(cloud) == ("SUCCEEDED", ["slipway main: version 8 is live"])


# ---- The formula, over numbers


def judged(**series):
    queries = MACHINE["States"]["Evaluate"]["Parameters"]["MetricDataQueries"]
    (expression,) = [query["Expression"] for query in queries if query.get("ReturnData", True)]
    names = {query["Id"]: series.pop(query["Id"], []) for query in queries if "MetricStat" in query}
    assert not series, "no such metric"
    functions = {"TIME_SERIES": lambda value: value, "SUM": sum, "FILL": lambda values, filling: values or [filling],
                 "IF": lambda condition, yes, no: yes if condition else no}
    assert len(expression) < 1024
    return eval(expression, {"__builtins__": {}}, {**names, **functions})  # noqa: S307


NOT_ENOUGH, FINE, WORSE, SLOWER = -1, 0, 1, 2


@pytest.mark.parametrize("expected, series", [
    (NOT_ENOUGH, {}),
    (NOT_ENOUGH, {"done_new": [10, 4], "failed_new": [3], "errors_new": [2]}),
    (FINE, {"done_new": [20]}),
    (FINE, {"done_new": [100], "failed_new": [1], "done_old": [900], "failed_old": [9]}),
    (FINE, {"done_new": [100], "failed_new": [2], "done_old": [80], "failed_old": [20]}),
    (WORSE, {"done_new": [95], "failed_new": [5], "done_old": [990], "failed_old": [10]}),
    (WORSE, {"done_new": [50], "errors_new": [25, 25], "done_old": [900]}),
    (WORSE, {"failed_new": [20]}),
    (SLOWER, {"done_new": [90], "done_old": [900], "time_new": [1600], "timed_new": [100], "time_old": [9000], "timed_old": [900]}),
    (FINE, {"done_new": [90], "done_old": [900], "time_new": [1500], "timed_new": [100], "time_old": [9000], "timed_old": [900]}),
    (FINE, {"done_new": [90], "time_new": [1600], "timed_new": [100]}),
])
def test_the_verdict(expected, series):
    assert judged(**series) == expected


def test_the_versions_compared_are_the_deployments():
    queries = MACHINE["States"]["Evaluate"]["Parameters"]["MetricDataQueries"]
    for query in queries:
        if "MetricStat" in query:
            *_, last = query["MetricStat"]["Metric"]["Dimensions"]
            assert last["Value.$"] == "$.version." + query["Id"].rsplit("_", 1)[1]


