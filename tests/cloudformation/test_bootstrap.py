"""bootstrap.yaml and billing.yaml: who may do what, and that it is enough for app.yaml."""
import copy
import json
import re

import pytest

import checks
from template import ENVIRONMENTS, REGION, ROOT, example, load

BOOTSTRAP, BILLING = load("bootstrap.yaml"), load("billing.yaml")
PLAIN = [function for function in checks.CHECKS if function.__name__ in (
    "rights", "managed_policies", "deletion", "storage", "transport", "nothing_private", "notices", "metrics_exist",
    "dimensions_exist", "alarms_fire", "pages")]


def subject(template):
    return checks.Subject(template, example("main"))


@pytest.mark.parametrize("template", [BOOTSTRAP, BILLING], ids=["bootstrap", "billing"])
def test_the_template_passes(template):
    assert [finding for function in PLAIN for finding in function(subject(template))] == []


def test_the_alarm_on_charges_asks_for_what_exists():
    template = copy.deepcopy(BILLING)
    template["Resources"]["Charges"]["Properties"]["Namespace"] = "AWS/Lambda"
    assert "there is no metric EstimatedCharges in AWS/Lambda" in list(checks.metrics_exist(subject(template)))[0]


def roles(template):
    return subject(template).of_type("AWS::IAM::Role")


def trust_findings(template):
    """GitHub's token must name this repository and one environment, exactly."""
    for name, role in roles(template).items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        if statement["Action"] != "sts:AssumeRoleWithWebIdentity":
            continue
        condition = statement.get("Condition", {})
        same = condition.get("StringEquals", {})
        if set(condition) != {"StringEquals"}:
            yield f"'{name}' is trusted by pattern"
        if same.get("token.actions.githubusercontent.com:aud") != "sts.amazonaws.com":
            yield f"'{name}' takes tokens for anybody"
        wanted = {"Push": "image", "DeployDev": "dev", "DeployTest": "test", "DeployMain": "main"}[name.removesuffix("Role")]
        if same.get("token.actions.githubusercontent.com:sub") != f"repo:example/models:environment:{wanted}":
            yield f"'{name}' is not for environment {wanted} alone"


def test_whom_github_may_be():
    assert list(trust_findings(BOOTSTRAP)) == []
    assert sum(name.startswith("Deploy") for name in roles(BOOTSTRAP)) == 3


@pytest.mark.parametrize("change, expected", [
    ({"StringLike": {"token.actions.githubusercontent.com:sub": "repo:example/*"}}, "'DeployMain' is trusted by pattern"),
    ({"StringEquals": {"token.actions.githubusercontent.com:sub": "repo:example/models:environment:main"}},
     "'DeployMain' takes tokens for anybody"),
    ({"StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                       "token.actions.githubusercontent.com:sub": "repo:example/models:environment:dev"}},
     "'DeployMain' is not for environment main alone"),
])
def test_a_wider_trust_is_found(change, expected):
    template = copy.deepcopy(BOOTSTRAP)
    template["Resources"]["DeployMain"]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Condition"] = change
    assert expected in list(trust_findings(template))


def statements(template, name):
    return subject(template).resources[name]["Properties"]["PolicyDocument"]["Statement"]


def granted(document):
    for statement in checks.as_list(document["Statement"]):
        if statement["Effect"] == "Allow":
            yield from checks.as_list(statement["Action"])


def boundary_findings(application, bootstrap):
    """What the boundary lacks is refused in silence, whatever the role says."""
    capped = {action for statement in statements(bootstrap, "Boundary") for action in checks.as_list(statement["Action"])}
    for environment in ENVIRONMENTS:
        for name, document in checks.policies_of(checks.Subject(application, example(environment))):
            for action in sorted(set(granted(document)) - capped):
                yield f"'{name}' needs {action}, which the boundary has not"


def test_the_boundary_has_all_that_roles_need():
    assert list(boundary_findings(load("app.yaml"), BOOTSTRAP)) == []


def test_a_boundary_that_lacks_something_is_found():
    bootstrap = copy.deepcopy(BOOTSTRAP)
    bootstrap["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"][0]["Action"].remove("sqs:DeleteMessage")
    assert "'FunctionRole' needs sqs:DeleteMessage, which the boundary has not" in boundary_findings(load("app.yaml"), bootstrap)


def test_the_boundary_gives_no_power_over_roles():
    services = {action.split(":")[0] for action in granted({"Statement": statements(BOOTSTRAP, "Boundary")})}
    assert not services & {"iam", "sts", "organizations", "account", "cloudformation", "ecr"}


def role_findings(template):
    """Roles are made with the boundary only, never lose it, and are passed to named services only."""
    for name in ("ExecutePolicy", "ExecuteMorePolicy"):
        for statement in statements(template, name):
            keys = {key for test in statement.get("Condition", {}).values() for key in test}
            for action in checks.as_list(statement["Action"]):
                if action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary") \
                        and "iam:PermissionsBoundary" not in keys:
                    yield f"{action} without the boundary"
                if action == "iam:PassRole" and "iam:PassedToService" not in keys:
                    yield "roles may be passed to any service"
                if action in ("iam:DeleteRolePermissionsBoundary", "iam:CreateUser", "iam:CreateAccessKey"):
                    yield f"{action} is allowed"
            for resource in checks.as_list(statement["Resource"]):
                if ":iam:" in resource and "${aws:PrincipalTag/slipway-environment}-" not in resource:
                    yield f"{resource} is not of one environment"


def test_how_roles_are_made():
    assert list(role_findings(BOOTSTRAP)) == []


@pytest.mark.parametrize("sid, expected", [("RolesWithTheBoundary", "iam:CreateRole without the boundary"),
                                           ("PassRoles", "roles may be passed to any service")])
def test_a_lost_condition_is_found(sid, expected):
    template = copy.deepcopy(BOOTSTRAP)
    for statement in template["Resources"]["ExecuteMorePolicy"]["Properties"]["PolicyDocument"]["Statement"]:
        if statement["Sid"] == sid:
            del statement["Condition"]
    assert expected in list(role_findings(template))


# IAM's limits, in characters without spaces.
def test_policies_fit():
    for name, policy in subject(BOOTSTRAP).of_type("AWS::IAM::ManagedPolicy").items():
        text = re.sub(r"\s", "", json.dumps(policy["PolicyDocument"])).replace("<Repository.Arn>", "x" * 60)
        assert len(text) <= 6144, f"{name}: {len(text)}"
    for environment in ENVIRONMENTS:
        for name, role in checks.Subject(load("app.yaml"), example(environment)).of_type("AWS::IAM::Role").items():
            text = re.sub(r"\s", "", json.dumps(role.get("Policies", [])))
            assert len(text) <= 8000, f"{name}: {len(text)}"


# Types of app.yaml and what creates one of them.
CREATES = {
    "AWS::KMS::Key": "kms:CreateKey", "AWS::KMS::Alias": "kms:CreateAlias", "AWS::SQS::Queue": "sqs:CreateQueue",
    "AWS::SQS::QueuePolicy": "sqs:SetQueueAttributes", "AWS::DynamoDB::Table": "dynamodb:CreateTable",
    "AWS::Logs::LogGroup": "logs:CreateLogGroup", "AWS::IAM::Role": "iam:CreateRole", "AWS::IAM::ManagedPolicy": "iam:CreatePolicy",
    "AWS::Lambda::Function": "lambda:CreateFunction", "AWS::Lambda::Version": "lambda:PublishVersion",
    "AWS::Lambda::Alias": "lambda:CreateAlias", "AWS::Lambda::EventSourceMapping": "lambda:CreateEventSourceMapping",
    "AWS::CodeDeploy::Application": "codedeploy:CreateApplication",
    "AWS::CodeDeploy::DeploymentGroup": "codedeploy:CreateDeploymentGroup",
    "AWS::StepFunctions::StateMachine": "states:CreateStateMachine", "AWS::Events::Rule": "events:PutRule",
    "AWS::SNS::Topic": "sns:CreateTopic", "AWS::SNS::TopicPolicy": "sns:SetTopicAttributes",
    "AWS::SNS::Subscription": "sns:Subscribe", "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::CompositeAlarm": "cloudwatch:PutCompositeAlarm", "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::S3::Bucket": "s3:CreateBucket", "AWS::S3::BucketPolicy": "s3:PutBucketPolicy",
    "AWS::Budgets::Budget": "budgets:ModifyBudget",
    "AWS::Chatbot::SlackChannelConfiguration": "chatbot:CreateSlackChannelConfiguration",
    "AWS::Chatbot::MicrosoftTeamsChannelConfiguration": "chatbot:CreateMicrosoftTeamsChannelConfiguration",
}


def test_cloudformation_may_make_each_resource():
    allowed = {action for name in ("ExecutePolicy", "ExecuteMorePolicy")
               for action in granted({"Statement": statements(BOOTSTRAP, name)})}
    for name, resource in checks.Subject(load("app.yaml"), example("dev")).plain.items():
        assert CREATES[resource["Type"]] in allowed, name


def test_names_are_of_the_environment():
    """Each right of CloudFormation's role is for names of its environment, for a tag of it, or knows no names."""
    for name in ("ExecutePolicy", "ExecuteMorePolicy"):
        for statement in statements(BOOTSTRAP, name):
            text = json.dumps([statement["Resource"], statement.get("Condition", {})])
            assert "${aws:PrincipalTag/slipway-environment}" in text or statement["Sid"] in (
                "MappingsRead", "Images", "Shifts", "AlarmsRead", "WithoutResources"), statement["Sid"]


def test_images_stay_as_they_are():
    repository = BOOTSTRAP["Resources"]["Repository"]["Properties"]
    assert repository["ImageTagMutability"] == "IMMUTABLE" and repository["ImageScanningConfiguration"]["ScanOnPush"] is True
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    # A rule for all tags would delete images that are deployed.
    assert all(rule["selection"]["tagStatus"] == "untagged" or rule["selection"]["tagPrefixList"] == ["pr-"] for rule in rules)
    (statement,) = repository["RepositoryPolicyText"]["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"} and REGION not in json.dumps(statement)


def test_checks_read_the_source():
    """The tables that the checks compare with are there."""
    assert {"SLIPWAY_MODEL_REPOSITORY", "SLIPWAY_LOG_FORMAT"} <= checks.settings()
    assert (ROOT / "src" / "lambda").is_dir()
