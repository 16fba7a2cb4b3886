"""Single calls of AWS by the binary: who asks (STS), tasks that a workflow waits for (Step Functions), notices (SNS)."""
import json
import os
import shutil
import subprocess

import pytest
from calls import ACCOUNT, Calls
from runtime_api import RuntimeApi, plain_lines
from slipway import BINARY, MODELS

TOKEN = "AAAAKgAAAAIAAAAA+/=\u00e4" * 20
TOPIC = f"arn:aws:sns:us-east-2:{ACCOUNT}:notices"


# --- doctor -----------------------------------------------------------------------------------------------------------


def doctor(environment, *arguments):
    """Exit code, and the row of the identity; None: there is none."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run([BINARY, "doctor", "--json", "--http-port", "0", *arguments], env=dict(plain, **environment),
                          capture_output=True, text=True, timeout=90, check=False)
    text = json.dumps(json.loads(done.stdout))
    assert done.returncode in (0, 69), done.stderr
    return done.returncode, text


def test_doctor_says_who_asks():
    with Calls() as aws:
        code, text = doctor(aws.environment, "--aws")
        assert code == 0 and f"arn:aws:iam::{ACCOUNT}:user/tester, account {ACCOUNT}, region eu-west-3" in text
        assert [(call.operation, call.form["Version"]) for call in aws.seen] == [("GetCallerIdentity", "2011-06-15")]


def test_doctor_asks_nobody_unasked():
    with Calls() as aws:
        assert "identity" not in doctor(aws.environment)[1]
        assert aws.seen == []


@pytest.mark.parametrize("steps, word", [
    ([500, "reset"], "user/tester"),
    ([500] * 9, "sts"),
    ([(403, b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>The security token is invalid.</Message>"
      b"</Error></ErrorResponse>")], "InvalidClientTokenId"),
    ([(200, b"<html>hello</html>")], "names nobody"),
])
def test_doctor_and_answers_that_are_none(steps, word):
    with Calls() as aws:
        aws.plan("GetCallerIdentity", *steps)
        code, text = doctor(aws.environment, "--aws")
        assert word in text and code == (0 if word == "user/tester" else 69)


def test_doctor_without_keys_or_region():
    keyless = {"AWS_REGION": "eu-west-3", "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}
    code, text = doctor(keyless, "--aws")
    assert code == 69 and "AWS_ACCESS_KEY_ID" in text
    code, text = doctor({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "HOME": "/nonexistent"}, "--aws")
    assert code == 69 and "AWS_REGION" in text


# --- Step Functions ---------------------------------------------------------------------------------------------------


def run_task(aws, task, *arguments, api_options=None, **variables):
    """The answer of one task with a token, and the log."""
    with RuntimeApi(**(api_options or {})) as api:
        process = api.start(*arguments, "--results", "none", **{"SLIPWAY_LAMBDA_TASK_TOKENS": "true", **aws.checking_environment,
                                                                **variables})
        path, _, body = api.invoke({"slipway": {**task, "token": TOKEN}})
        _, err = api.stop(process)
        assert "Sanitizer" not in err
    return path.rsplit("/", 1)[1], json.loads(body), plain_lines("\n".join(err.splitlines()[:-1]))


def broken(tmp_path):
    """A model that does not pass its cases."""
    shutil.copytree(MODELS / "iris_onnx", tmp_path / "iris")
    case = sorted((tmp_path / "iris/cases").glob("*.json"))[0]
    wanted = json.loads(case.read_text())
    wanted["expect"] = {"outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": [7, 7, 7]}]}
    wanted.pop("expect_error", None)
    case.write_text(json.dumps(wanted))
    return tmp_path / "iris"


def test_a_workflow_is_told_of_success():
    with Calls() as aws:
        kind, answer, _ = run_task(aws, {"task": "check"}, MODELS / "iris_onnx")
        assert kind == "response" and answer["ok"] is True
        (call,) = aws.seen
        assert call.target == "AWSStepFunctions.SendTaskSuccess"
        assert call.headers["Content-Type"] == "application/x-amz-json-1.0"
        assert call.json()["taskToken"] == TOKEN and json.loads(call.json()["output"]) == answer
        assert set(call.json()) == {"taskToken", "output"}


def test_a_workflow_is_told_of_a_check_that_failed(tmp_path):
    with Calls() as aws:
        kind, answer, _ = run_task(aws, {"task": "check"}, broken(tmp_path))
        assert kind == "response" and answer["ok"] is False
        (call,) = aws.seen
        assert call.operation == "SendTaskFailure" and set(call.json()) == {"taskToken", "error", "cause"}
        assert call.json()["taskToken"] == TOKEN and call.json()["error"] == "Slipway.CheckFailed"
        assert json.loads(call.json()["cause"]) == answer


def test_a_workflow_is_told_of_a_task_that_cannot_be():
    with Calls() as aws:
        kind, answer, _ = run_task(aws, {"task": "fly"}, MODELS / "iris_onnx")
        assert kind == "response" and answer["ok"] is False and "'fly' is unknown" in answer["error"]
        (call,) = aws.seen
        assert call.operation == "SendTaskFailure" and call.json()["error"] == "Slipway.TaskFailed"
        assert call.json()["cause"] == answer["error"]


@pytest.mark.parametrize("steps", [[500], ["reset"], [503, 500]])
def test_a_workflow_is_told_again(steps):
    with Calls() as aws:
        aws.plan("SendTaskSuccess", *steps)
        assert run_task(aws, {"task": "ping"}, MODELS / "iris_onnx")[:2] == ("response", {"ok": True, "models": 1})
        assert [call.operation for call in aws.seen] == ["SendTaskSuccess"] * (len(steps) + 1)


def test_a_workflow_that_does_not_listen():
    with Calls() as aws:
        aws.plan("SendTaskSuccess", (400, b'{"__type":"TaskTimedOut","message":"Task Timed Out"}'))
        kind, answer, _ = run_task(aws, {"task": "ping"}, MODELS / "iris_onnx")
        assert kind == "error" and "TaskTimedOut" in answer["errorMessage"] and "Step Functions" in answer["errorMessage"]
        aws.plan("SendTaskSuccess", *[500] * 9)
        kind, answer, _ = run_task(aws, {"task": "ping"}, MODELS / "iris_onnx")
        assert kind == "error" and answer["errorType"] == "Function.Unavailable"


def test_a_token_is_refused_where_nobody_is_told():
    with Calls() as aws:
        kind, answer, _ = run_task(aws, {"task": "ping"}, MODELS / "iris_onnx", SLIPWAY_LAMBDA_TASK_TOKENS="false")
        assert kind == "error" and "lambda.task_tokens" in answer["errorMessage"] and aws.seen == []


def slow(tmp_path):
    """A check of a second: its latency is measured over many runs."""
    shutil.copytree(MODELS / "iris_onnx", tmp_path / "slow")
    return tmp_path / "slow"


def test_heartbeats_while_a_check_takes_long(tmp_path):
    """They come meanwhile, and none after the end."""
    with Calls() as aws:
        kind, answer, lines = run_task(aws, {"task": "check"}, slow(tmp_path), SLIPWAY_LAMBDA_HEARTBEAT="100ms",
                                       SLIPWAY_CHECK_RUNS="40000")
        assert kind == "response" and answer["ok"] is True
        operations = [call.operation for call in aws.seen]
        assert operations.count("SendTaskHeartbeat") >= 2 and operations[-1] == "SendTaskSuccess"
        for call in aws.of("SendTaskHeartbeat"):
            assert call.json() == {"taskToken": TOKEN}
        assert not [line for line in lines if "heartbeat" in line["message"]]


def test_heartbeats_that_are_refused_end(tmp_path):
    with Calls() as aws:
        aws.plan("SendTaskHeartbeat", (400, b'{"__type":"TaskTimedOut","message":"Task Timed Out"}'))
        _, _, lines = run_task(aws, {"task": "check"}, slow(tmp_path), SLIPWAY_LAMBDA_HEARTBEAT="100ms",
                               SLIPWAY_CHECK_RUNS="40000")
        assert len(aws.of("SendTaskHeartbeat")) == 1
        assert [line["message"] for line in lines if "heartbeat" in line["message"]] == ["a heartbeat was not taken"]


# --- SNS --------------------------------------------------------------------------------------------------------------


def check(aws, model, **variables):
    with RuntimeApi() as api:
        process = api.start(model, "--results", "none", "--service", "Größe\n7", "--environment", "main",
                            **{**aws.checking_environment, "SLIPWAY_LAMBDA_NOTIFY_TOPIC": TOPIC, **variables})
        answer = json.loads(api.invoke({"slipway": {"task": "check"}}, "r-5")[2])
        _, err = api.stop(process)
    return answer, err


def test_a_failed_check_is_told(tmp_path):
    with Calls() as aws:
        answer, _ = check(aws, broken(tmp_path), AWS_LAMBDA_FUNCTION_NAME="slipway-main", AWS_LAMBDA_FUNCTION_VERSION="7")
        assert answer["ok"] is False
        (call,) = aws.seen
        assert set(call.form) == {"Action", "Version", "TopicArn", "Message", "Subject"}
        assert (call.form["TopicArn"], call.form["Version"]) == (TOPIC, "2010-03-31")
        assert "/us-east-2/sns/" in call.headers["Authorization"]  # the topic's region, not the function's
        assert call.form["Subject"] == "Gr????e?7 in main: a check failed"
        message = json.loads(call.form["Message"])
        assert (message["version"], message["source"]) == ("1.0", "custom")
        assert message["content"]["title"] == "Größe\n7 in main: a check failed"
        for word in ("slipway-main version 7", "r-5"):
            assert word in message["content"]["description"]


def test_a_check_that_passes_is_told_to_nobody():
    with Calls() as aws:
        assert check(aws, MODELS / "iris_onnx")[0]["ok"] is True
        assert aws.seen == []


def test_a_hook_tells_the_topic_too():
    with Calls() as aws, RuntimeApi() as api:
        aws.plan("Invoke", (200, b'{"ok":false}'))
        process = api.start("--results", "none", "--hook-target", "f:7", "--notify-topic", TOPIC, **aws.environment)
        assert json.loads(api.invoke({"DeploymentId": "d", "LifecycleEventHookExecutionId": "e"})[2]) == {"status": "Failed"}
        api.stop(process)
        assert [call.operation for call in aws.seen] == ["Invoke", "Publish", "PutLifecycleEventHookExecutionStatus"]


@pytest.mark.parametrize("steps, sent", [([500, "reset"], True), ([500] * 9, False), ([(403, b"<Code>AuthorizationError</Code>")], False)])
def test_a_notice_that_is_not_taken_changes_nothing(tmp_path, steps, sent):
    with Calls() as aws:
        aws.plan("Publish", *steps)
        answer, err = check(aws, broken(tmp_path))
        assert answer["ok"] is False and "report" in answer
        assert ("a notice was not sent" in err) != sent


def test_a_topic_that_is_none(tmp_path):
    with Calls() as aws:
        answer, err = check(aws, broken(tmp_path), SLIPWAY_LAMBDA_NOTIFY_TOPIC="notices")
        assert answer["ok"] is False and "is no ARN of a topic" in err and aws.seen == []
