"""The deploy script, with a sam that writes down how it is called; and what samconfig.toml says fits the template."""
import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

import checks
from template import ACCOUNT, DIRECTORY, ENVIRONMENTS, load

IMAGE = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/slipway@sha256:" + "ab" * 32
ACCOUNT_SETTINGS = {"SLIPWAY_BOUNDARY_ARN": f"arn:aws:iam::{ACCOUNT}:policy/slipway-boundary", "SLIPWAY_TEMPLATES_BUCKET": "templates"}
FAKE = """#!{python}
import json, os, sys
with open(os.environ["SAM_CALLS"], "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(int(os.environ.get("SAM_" + sys.argv[1].upper(), "0")))
"""


@pytest.fixture
def deploy(tmp_path):
    """Runs the script; gives its status, what it said and the calls of sam."""
    sam = tmp_path / "bin" / "sam"
    sam.parent.mkdir()
    sam.write_text(FAKE.format(python=sys.executable))
    sam.chmod(0o755)
    calls = tmp_path / "calls"

    def run(*arguments, **environment):
        calls.write_text("")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "AWS_"))}
        path = f"{sam.parent}:{os.environ['PATH']}"
        done = subprocess.run([sys.executable, DIRECTORY / "deploy", *arguments], capture_output=True, text=True, check=False,
                              env={**variables, "PATH": path, "SAM_CALLS": str(calls), **ACCOUNT_SETTINGS, **environment})
        return done.returncode, done.stdout + done.stderr, [json.loads(line) for line in calls.read_text().splitlines()]
    return run


def option(call, name):
    return call[call.index(name) + 1]


def parameters(call):
    return dict(one.split("=", 1) for one in call[call.index("--parameter-overrides") + 1:])


def release(result):
    assert result[0] == 0, result[1]
    return parameters(result[2][-1])["ReleaseSha"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_sam_is_told_everything(deploy, environment):
    status, said, (validate, call) = deploy(environment, "--image", IMAGE)
    assert status == 0, said
    assert validate[:2] == ["validate", "--lint"]
    assert call[0] == "deploy" and option(call, "--config-env") == environment
    assert option(call, "--s3-bucket") == "templates" and option(call, "--image-repository") == IMAGE.split("@")[0]
    given = parameters(call)
    assert given["Env"] == environment and given["ImageUri"] == IMAGE and re.fullmatch("[0-9a-f]{64}", given["ReleaseSha"])
    assert given["Service"] == "slipway", "what samconfig.toml has is not lost"
    assert "--no-execute-changeset" not in call and "--role-arn" not in call


def test_the_role_of_cloudformation(deploy):
    arn = f"arn:aws:iam::{ACCOUNT}:role/slipway-execute-main"
    assert option(deploy("main", "--image", IMAGE, SLIPWAY_EXECUTE_ROLE_ARN=arn)[2][1], "--role-arn") == arn


def test_the_stack_is_named_as_the_roles_want_it(deploy):
    call = deploy("test", "--image", IMAGE, "Service=other")[2][1]
    assert option(call, "--stack-name") == option(call, "--s3-prefix") == "other-test"


def test_a_plan_executes_nothing(deploy):
    assert "--no-execute-changeset" in deploy("main", "--image", IMAGE, "--plan")[2][1]


def test_the_region(deploy):
    assert option(deploy("dev", "--image", IMAGE)[2][1], "--region") == "eu-west-1"
    assert option(deploy("dev", "--image", IMAGE, AWS_REGION="us-east-2")[2][1], "--region") == "us-east-2"


def test_the_same_release_has_the_same_digest(deploy):
    assert release(deploy("dev", "--image", IMAGE)) == release(deploy("dev", "--image", IMAGE))
    assert release(deploy("dev", "--image", IMAGE, "--plan")) == release(deploy("dev", "--image", IMAGE))


VALUES = {"Service": "other", "ModelVersion": "2", "ModelFolder": "slipway-models/iris/7",
          "ModelFile": "model.onnx", "ModelSha256": "2f" * 32, "Variant": "control", "Architecture": "arm64", "AlarmEmail": "a@example.com",
          "SlackWorkspaceId": "T1", "SlackChannelId": "C1", "TeamsTenantId": "0" * 36, "TeamsTeamId": "1" * 36,
          "TeamsChannelId": "19:x", "BudgetUsd": "7", "DeveloperPrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/d"}


def test_every_parameter_is_tried():
    assert set(VALUES) | {"Env", "ImageUri", "ReleaseSha", "PermissionsBoundaryArn"} == set(load("app.yaml")["Parameters"])


@pytest.mark.parametrize("name", VALUES)
def test_each_parameter_makes_another_release(deploy, name):
    """Which publishes another version: test_app.py."""
    result = deploy("dev", "--image", IMAGE, f"{name}={VALUES[name]}")
    assert parameters(result[2][-1])[name] == VALUES[name]
    assert release(result) != release(deploy("dev", "--image", IMAGE))


def test_another_image_boundary_or_environment_makes_another_release(deploy):
    digests = {release(deploy("dev", "--image", IMAGE)), release(deploy("dev", "--image", IMAGE[:-2] + "cd")),
               release(deploy("test", "--image", IMAGE)),
               release(deploy("dev", "--image", IMAGE, SLIPWAY_BOUNDARY_ARN=f"arn:aws:iam::{ACCOUNT}:policy/b"))}
    assert len(digests) == 4


def test_parameters_do_not_run_into_each_other(deploy):
    one = release(deploy("dev", "--image", IMAGE, "SlackWorkspaceId=T1", "SlackChannelId=C2"))
    assert one != release(deploy("dev", "--image", IMAGE, "SlackWorkspaceId=T1SlackChannelIdC2", "SlackChannelId="))


@pytest.mark.parametrize("arguments, environment, expected", [
    (("dev", "--image", "slipway:latest"), {}, "a tag may move"),
    (("dev", "--image", IMAGE.replace("@sha256:", ":")), {}, "a tag may move"),
    (("dev", "--image", IMAGE + "\n"), {}, "a tag may move"),
    (("refs/heads/main", "--image", IMAGE), {}, "invalid choice"),
    (("dev", "--image", IMAGE, "Env=main"), {}, "Env is not to be given"),
    (("dev", "--image", IMAGE, "ReleaseSha=" + "0" * 64), {}, "ReleaseSha is not to be given"),
    (("dev", "--image", IMAGE, "Modelversion=2"), {}, "no parameter 'Modelversion'"),
    (("dev", "--image", IMAGE, "nonsense"), {}, "is no NAME=VALUE"),
    (("dev", "--image", IMAGE), {"SLIPWAY_BOUNDARY_ARN": ""}, "SLIPWAY_BOUNDARY_ARN is not set"),
    (("dev", "--image", IMAGE), {"SLIPWAY_TEMPLATES_BUCKET": ""}, "SLIPWAY_TEMPLATES_BUCKET is not set"),
])
def test_what_is_wrong_is_refused_before_anything_is_deployed(deploy, arguments, environment, expected):
    status, said, calls = deploy(*arguments, **environment)
    assert status != 0 and expected in said and "Traceback" not in said
    assert not [call for call in calls if call[0] == "deploy"]


def test_an_invalid_template_is_not_deployed(deploy):
    status, said, calls = deploy("dev", "--image", IMAGE, SAM_VALIDATE="1")
    assert status != 0 and "not valid" in said and [call[0] for call in calls] == ["validate"]


def test_a_failed_deployment_is_a_failure(deploy):
    assert deploy("dev", "--image", IMAGE, SAM_DEPLOY="1")[0] == 1


def test_without_sam(deploy):
    status, said, _ = deploy("dev", "--image", IMAGE, PATH="/nonexistent")
    assert status != 0 and "install aws-sam-cli" in said


# ---- --try: the live function checks its models, else what was there before comes back

OLDER = IMAGE[:-2] + "cd"
AWS = """#!{python}
import json, os, sys
service, operation = sys.argv[1:3]
with open(os.environ["SAM_CALLS"], "a") as calls:
    calls.write(json.dumps(["aws", *sys.argv[1:]]) + "\\n")
if operation == "describe-stacks":
    if os.environ["STACK"].startswith("{{"): print(os.environ["STACK"])
    else: sys.exit(os.environ["STACK"])
else:
    assert operation == "invoke"
    open(sys.argv[-3], "w").write(os.environ["ANSWER"])
    if os.environ["ANSWER"] == "denied": sys.exit("AccessDeniedException")
    print(os.environ.get("INVOKED", '{{"StatusCode": 200}}'))
"""


@pytest.fixture
def deploy_and_try(deploy, tmp_path):
    fake = tmp_path / "bin" / "aws"
    fake.write_text(AWS.format(python=sys.executable))
    fake.chmod(0o755)
    stack = json.dumps({"Stacks": [{"Parameters": [{"ParameterKey": "Env", "ParameterValue": "dev"},
                                                   {"ParameterKey": "ImageUri", "ParameterValue": OLDER}]}]})
    return lambda **environment: deploy("dev", "--image", IMAGE, "--try", **{"STACK": stack, "ANSWER": '{"ok":true}', **environment})


def images(calls):
    return [parameters(call)["ImageUri"] for call in calls if call[0] == "deploy"]


def test_what_checks_its_models_stays(deploy_and_try):
    status, said, calls = deploy_and_try()
    assert status == 0 and "checked its models" in said, said
    assert images(calls) == [IMAGE]
    invoke = calls[-1]
    assert option(invoke, "--function-name") == "slipway-dev:live"
    assert json.loads(option(invoke, "--payload")) == {"slipway": {"task": "check"}}


@pytest.mark.parametrize("trouble", [{"ANSWER": '{"ok":false,"report":{"failures":1}}'}, {"ANSWER": "denied"}, {"ANSWER": "[]"}, {"ANSWER": ""},
                                     {"INVOKED": '{"StatusCode": 200, "FunctionError": "Unhandled"}'}])
def test_what_does_not_is_taken_back(deploy_and_try, trouble):
    status, said, calls = deploy_and_try(**trouble)
    assert status == 1 and "is not fit" in said and f"went back to {OLDER}" in said, said
    assert images(calls) == [IMAGE, OLDER] and "Traceback" not in said


def test_a_first_deployment_has_nothing_to_go_back_to(deploy_and_try):
    status, said, calls = deploy_and_try(STACK="Stack with id slipway-dev does not exist", ANSWER="{}")
    assert status == 1 and "no other image" in said and images(calls) == [IMAGE]


def test_the_same_image_again_is_not_gone_back_to(deploy_and_try):
    stack = {"Stacks": [{"Parameters": [{"ParameterKey": "ImageUri", "ParameterValue": IMAGE}]}]}
    status, said, calls = deploy_and_try(STACK=json.dumps(stack), ANSWER="{}")
    assert status == 1 and "no other image" in said and images(calls) == [IMAGE]


def test_without_a_way_back_nothing_is_deployed(deploy_and_try):
    status, said, calls = deploy_and_try(STACK="AccessDenied")
    assert status != 0 and "no way back: AccessDenied" in said and images(calls) == []


def test_what_sam_did_not_deploy_is_not_tried(deploy_and_try):
    status, _, calls = deploy_and_try(SAM_DEPLOY="1")
    assert status == 1 and images(calls) == [IMAGE] and not [call for call in calls if "invoke" in call]


# ---- samconfig.toml


def config():
    with open(DIRECTORY / "samconfig.toml", "rb") as file:
        return tomllib.load(file)


def config_findings(settings, template):
    for environment in ENVIRONMENTS:
        if environment not in settings:
            yield f"{environment} is missing"
            continue
        own = settings[environment]["deploy"]["parameters"]
        given = dict(one.split("=", 1) for one in own["parameter_overrides"])
        for name in set(given) - set(template["Parameters"]):
            yield f"{environment}: app.yaml has no parameter {name}"
        if given.get("Env") != environment:
            yield f"{environment}: Env is {given.get('Env')}"
        if own["stack_name"] != f"{given.get('Service', 'slipway')}-{environment}":
            yield f"{environment}: the stack is called {own['stack_name']}, which the roles do not reach"
        if own.get("disable_rollback") is not False:
            yield f"{environment}: a failed deployment would stay as it is"
        if f"slipway-environment={environment}" not in own["tags"]:
            yield f"{environment}: without the tag the key cannot be made"
    found = checks.PRIVATE.search(json.dumps(settings))
    if found:
        yield f"'{found.group()}' belongs to an account or a person"


def test_samconfig_fits_the_template():
    assert list(config_findings(config(), load("app.yaml"))) == []


def test_a_wrong_samconfig_is_found():
    wrong = config()
    wrong["main"]["deploy"]["parameters"].update(disable_rollback=True, stack_name="production", tags=[],
                                                 parameter_overrides=["Env=dev", "Image=511901827322"])
    del wrong["dev"]
    found = " ".join(config_findings(wrong, load("app.yaml")))
    for expected in ("dev is missing", "no parameter Image", "Env is dev", "called production", "would stay as it is",
                     "without the tag", "'511901827322'"):
        assert expected in found
