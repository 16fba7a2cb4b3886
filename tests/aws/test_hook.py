"""CodeDeploy's hook end to end: the new version is checked, by itself or by invoking it, and CodeDeploy is told what came of it,
signed, and again where it did not listen."""
import json
import shutil

import pytest
from calls import Calls
from runtime_api import RuntimeApi, plain_lines
from slipway import MODELS, START_TIMEOUT_S

EVENT = {"DeploymentId": "d-AB12", "LifecycleEventHookExecutionId": "eyJlbmMiOiJ+/=\u00fc\"x"}
VERSION = "arn:aws:lambda:eu-west-3:123456789012:function:slipway-main:7"


def start(api, aws, *arguments, **variables):
    return api.start(*arguments, "--results", "none", **{**aws.checking_environment, **variables})


def reported(aws):
    calls = aws.of("PutLifecycleEventHookExecutionStatus")
    for call in calls:
        assert call.target == "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus"
        assert call.headers["Content-Type"] == "application/x-amz-json-1.1"
        assert set(call.json()) == {"deploymentId", "lifecycleEventHookExecutionId", "status"}
        assert call.json()["deploymentId"] == EVENT["DeploymentId"]
        assert call.json()["lifecycleEventHookExecutionId"] == EVENT["LifecycleEventHookExecutionId"]
    return [call.json()["status"] for call in calls]


def run_hook(aws, *arguments, **variables):
    """The answer of one hook, and the log."""
    with RuntimeApi() as api:
        process = start(api, aws, *arguments, **variables)
        path, _, body = api.invoke(EVENT)
        _, err = api.stop(process)
        assert "Sanitizer" not in err
    return path.rsplit("/", 1)[1], json.loads(body), plain_lines("\n".join(err.splitlines()[:-1]))


def test_its_own_models_are_checked():
    with Calls() as aws:
        assert run_hook(aws, MODELS / "iris_onnx")[:2] == ("response", {"status": "Succeeded"})
        assert reported(aws) == ["Succeeded"] and aws.of("Invoke") == []


def test_a_model_that_fails_its_cases_stops_the_deployment(tmp_path):
    shutil.copytree(MODELS / "iris_onnx", tmp_path / "iris")
    case = next((tmp_path / "iris/cases").glob("*.json"))
    wanted = json.loads(case.read_text())
    wanted["expect"] = {"outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": [7, 7, 7]}]}
    wanted.pop("expect_error", None)
    case.write_text(json.dumps(wanted))
    with Calls() as aws:
        assert run_hook(aws, tmp_path / "iris")[:2] == ("response", {"status": "Failed"})
        assert reported(aws) == ["Failed"]


@pytest.mark.parametrize("answer, status", [
    ((200, b'{"ok":true,"report":{}}'), "Succeeded"),
    ((200, b'{"ok":false,"report":{}}'), "Failed"),
    ((200, b"{}"), "Failed"),
    ((200, b'{"ok":"true"}'), "Failed"),
    ((200, b"no json"), "Failed"),
    ((200, b'{"ok":true,"errorType":"x"}', [("X-Amz-Function-Error", "Unhandled")]), "Failed"),
    ((404, b'{"Type":"User","Message":"Function not found"}'), "Failed"),
])
def test_the_new_version_is_invoked_and_its_answer_reported(answer, status):
    with Calls() as aws:
        aws.plan("Invoke", answer)
        _, told, lines = run_hook(aws, "--hook-target", VERSION)
        assert told == {"status": status} and reported(aws) == [status]
        (call,) = aws.of("Invoke")
        assert call.path == "/2015-03-31/functions/slipway-main/invocations?Qualifier=7"
        assert call.json() == {"slipway": {"task": "check"}}
        assert bool([line for line in lines if line["level"] == "ERROR"]) == (status == "Failed")


def test_an_invocation_that_comes_to_nothing_is_a_failure():
    with Calls() as aws:
        aws.plan("Invoke", *[503] * 9)
        assert run_hook(aws, "--hook-target", VERSION)[1] == {"status": "Failed"}
        assert len(aws.of("Invoke")) == 3 and reported(aws) == ["Failed"]


@pytest.mark.parametrize("steps", [[500], ["reset"], [503, 500],
                                   [(400, b'{"__type":"com.amazonaws.codedeploy#ThrottlingException"}')]])
def test_codedeploy_is_told_again(steps):
    with Calls() as aws:
        aws.plan("PutLifecycleEventHookExecutionStatus", *steps)
        assert run_hook(aws, "--hook-target", VERSION)[1] == {"status": "Succeeded"}
        assert reported(aws) == ["Succeeded"] * (len(steps) + 1) and len(aws.of("Invoke")) == 1


def test_what_codedeploy_refuses_is_an_error_of_the_invocation():
    with Calls() as aws:
        aws.plan("PutLifecycleEventHookExecutionStatus",
                 (400, b'{"__type":"InvalidLifecycleEventHookExecutionIdException","message":"no such hook"}'))
        kind, told, _ = run_hook(aws, "--hook-target", VERSION)
        assert kind == "error" and "no such hook" in told["errorMessage"] and "CodeDeploy" in told["errorMessage"]
        aws.plan("PutLifecycleEventHookExecutionStatus", *[500] * 9)
        kind, told, _ = run_hook(aws, "--hook-target", VERSION)
        assert kind == "error" and told["errorType"] == "Function.Unavailable"
        assert reported(aws) == ["Succeeded"] * 4


@pytest.mark.parametrize("model, status", [("iris_onnx", "Succeeded"), ("wrong", "Failed")])
def test_two_functions_one_checks_the_other(tmp_path, model, status):
    """As deployed: the hook's function has no models, the version that it invokes has."""
    shutil.copytree(MODELS / "iris_onnx", tmp_path / "iris_onnx")
    shutil.copytree(MODELS / "iris_onnx", tmp_path / "wrong")
    shutil.copy(MODELS / "doubleit_batch_onnx/1/model.onnx", tmp_path / "wrong/1/model.onnx")
    with Calls() as aws, RuntimeApi() as version:
        def invoke(call):
            path, _, body = version.invoke(call.json())
            failed = path.endswith("/error")
            return 200, body, [("X-Amz-Function-Error", "Unhandled")] if failed else []

        aws.plan("Invoke", invoke)
        checked = version.start(tmp_path / model, MODELS / "doubleit_onnx", "--results", "none",
                                "--model-ready-requires-all=false")
        assert run_hook(aws, "--hook-target", VERSION)[1] == {"status": status}
        assert reported(aws) == [status]
        version.events.put(None)
        checked.communicate(timeout=START_TIMEOUT_S)
