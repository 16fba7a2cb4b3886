"""app.yaml keeps what checks.py asks for, in each environment; and each check is shown to fail on a broken template."""
import copy
import json

import pytest

import checks
from template import ENVIRONMENTS, example, load, transform

TEMPLATE = load("app.yaml")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_template_passes(environment):
    assert checks.findings(checks.Subject(TEMPLATE, example(environment))) == []


def properties(template, name):
    return template["Resources"][name]["Properties"]


def event(template, name):
    return properties(template, "Function")["Events"][name]["Properties"]


def statement(template, role, number=0):
    return properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"][number]


def drop(mapping, *path):
    for key in path[:-1]:
        mapping = mapping[key]
    del mapping[path[-1]]


def mutation(check, expected, environment="main"):
    """A change to the template, and what the check must then say."""
    def register(change):
        MUTATIONS.append(pytest.param(check, expected, environment, change, id=f"{check}-{change.__name__}"))
        return change
    return register


MUTATIONS = []


@mutation("visibility", "hides messages for 179 s")
def too_short(template):
    template["Mappings"]["Sizes"]["main"]["Visibility"] = 179


@mutation("visibility", "hides messages for 30 s")
def visibility_left_out(template):
    drop(properties(template, "Standard"), "VisibilityTimeout")


@mutation("visibility", "needs 360 s", "dev")
def longer_timeout(template):
    template["Mappings"]["Sizes"]["dev"]["Timeout"] = 60


@mutation("receives", "after 1 receives")
def one_receive(template):
    properties(template, "Fifo")["RedrivePolicy"]["maxReceiveCount"] = 1


@mutation("dead_letters", "not of one kind")
def dead_letters_of_the_other_kind(template):
    properties(template, "Fifo")["RedrivePolicy"]["deadLetterTargetArn"] = {"Fn::GetAtt": ["StandardDead", "Arn"]}


@mutation("dead_letters", "has no dead-letter queue")
def no_dead_letters(template):
    drop(properties(template, "Standard"), "RedrivePolicy")


@mutation("dead_letters", "no longer than the queue")
def dead_letters_too_short(template):
    drop(properties(template, "StandardDead"), "MessageRetentionPeriod")


@mutation("dead_letters", "does not belong to it alone")
def dead_letters_for_all(template):
    drop(properties(template, "FifoDead"), "RedriveAllowPolicy")


@mutation("dead_letters", "does not belong to it alone")
def dead_letters_of_another_name(template):
    properties(template, "Fifo")["QueueName"] = {"Fn::Sub": "${Service}-${Env}-other.fifo"}


@mutation("fifo_names", "do not agree")
def name_without_fifo(template):
    properties(template, "FifoDead")["QueueName"] = {"Fn::Sub": "${Service}-${Env}-dead"}


@mutation("batches", "one bad message fails ten")
def no_partial_batches(template):
    drop(event(template, "Fifo"), "FunctionResponseTypes")


@mutation("batches", "drives $LATEST")
def no_alias(template):
    drop(properties(template, "Function"), "AutoPublishAlias")
    properties(template, "Function").pop("DeploymentPreference", None)
    for name in ("CanaryErrors", "CanarySlow", "CanaryFailures"):
        properties(template, name)["Dimensions"].pop()
    drop(properties(template, "Hook"), "Environment", "Variables", "SLIPWAY_LAMBDA_HOOK_TARGET")
    drop(template["Outputs"], "FunctionVersion")
    text = json.dumps(template).replace("${ServerlessDeploymentApplication}", "none")
    template.update(json.loads(text))
    drop(template["Resources"], "WorkflowStart")


@mutation("concurrency", "reserves 50 environments for 50", "main")
def polls_too_much(template):
    template["Mappings"]["Sizes"]["main"]["PollFifo"] = 26


@mutation("concurrency", "has no MaximumConcurrency")
def polls_without_end(template):
    drop(event(template, "Standard"), "ScalingConfig")


@mutation("concurrency", "MaximumConcurrency 1 is not between")
def polls_too_little(template):
    template["Mappings"]["Sizes"]["main"]["PollFifo"] = 1


@mutation("rights", "'FunctionRole' allows dynamodb:*")
def the_seeds_rights(template):
    statement(template, "FunctionRole", 1)["Action"] = "dynamodb:*"


@mutation("rights", "allows dynamodb:Get*: name the actions")
def rights_by_prefix(template):
    statement(template, "FunctionRole", 1)["Action"] = ["dynamodb:Get*"]


@mutation("rights", "'FunctionRole' allows sqs:DeleteMessage on every resource")
def every_queue(template):
    statement(template, "FunctionRole")["Resource"] = "*"


@mutation("rights", "by exclusion")
def rights_by_exclusion(template):
    one = statement(template, "FunctionRole")
    one["NotAction"] = one.pop("Action")


@mutation("managed_policies", "AWSLambdaBasicExecutionRole")
def aws_policy(template):
    properties(template, "FunctionRole")["ManagedPolicyArns"] = [
        "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"]


@mutation("managed_policies", "function 'Function' has no Role")
def role_left_to_sam(template):
    drop(properties(template, "Function"), "Role")
    template["Resources"]["RoleOfNobody"] = template["Resources"].pop("FunctionRole")  # SAM takes the name


@mutation("managed_policies", "AWSLambdaSQSQueueExecutionRole")
def role_left_to_sam_reads_every_queue(template):
    drop(properties(template, "Function"), "Role")
    template["Resources"]["RoleOfNobody"] = template["Resources"].pop("FunctionRole")  # SAM takes the name


@mutation("boundaries", "'FunctionRole' has no permissions boundary")
def no_boundary(template):
    drop(properties(template, "FunctionRole"), "PermissionsBoundary")


@mutation("deletion", "'Table' needs")
def one_policy_only(template):
    drop(template["Resources"]["Table"], "UpdateReplacePolicy")


@mutation("deletion", "has the fixed TableName")
def fixed_name(template):
    properties(template, "Table")["TableName"] = "results"


@mutation("storage", "lacks time to live")
def no_ttl(template):
    drop(properties(template, "Table"), "TimeToLiveSpecification")


@mutation("storage", "lacks deletion protection")
def no_protection(template):
    drop(properties(template, "Table"), "DeletionProtectionEnabled")


@mutation("storage", "'Function' has no MemorySize")
def memory_by_default(template):
    drop(properties(template, "Function"), "MemorySize")


@mutation("storage", "'FifoDead' has no KmsMasterKeyId")
def key_of_aws(template):
    drop(properties(template, "FifoDead"), "KmsMasterKeyId")


@mutation("transport", "'Fifo' may be reached without TLS")
def one_queue_in_the_clear(template):
    properties(template, "QueuesTlsOnly")["Queues"].remove({"Ref": "Fifo"})


@mutation("nothing_private", "'511901827322'")
def account_number(template):
    properties(template, "Function")["FunctionName"] = "arn:aws:lambda:eu-west-3:511901827322:function:f"


@mutation("nothing_private", "'someone@example.org'")
def address(template):
    template["Parameters"]["AlarmEmail"]["Default"] = "someone@example.org"


@mutation("variables", "sets SLIPWAY_MODEL_REPOSITORIES, which is no option")
def a_renamed_option(template):
    variables = properties(template, "Function")["Environment"]["Variables"]
    variables["SLIPWAY_MODEL_REPOSITORIES"] = variables.pop("SLIPWAY_MODEL_REPOSITORY")


def alarm(template, name):
    return properties(template, name)


@mutation("metrics_exist", "no metric Error in AWS/Lambda")
def the_seeds_metric(template):
    alarm(template, "CanaryErrors")["MetricName"] = "Error"


@mutation("metrics_exist", "no metric Billing in AWS/Lambda")
def the_seeds_billing(template):
    alarm(template, "Throttled")["MetricName"] = "Billing"


@mutation("metrics_exist", "no metric DriftScore in Slipway")
def a_metric_nobody_writes(template):
    alarm(template, "CanaryFailures")["MetricName"] = "DriftScore"


@mutation("metrics_exist", "does not come with dimensions TableName")
def the_table_without_operations(template):
    dimensions = alarm(template, "TableErrors")["Metrics"][1]["MetricStat"]["Metric"]["Dimensions"]
    del dimensions[1]


@mutation("metrics_exist", "namespace AWS/Lamda is not known")
def another_namespace(template):
    alarm(template, "Crowded")["Namespace"] = "AWS/Lamda"


@mutation("dimensions_exist", "FunctionName 'inferencceFunction-dev'")
def the_seeds_typo(template):
    alarm(template, "Throttled")["Dimensions"][0]["Value"] = "inferencceFunction-dev"


@mutation("dimensions_exist", "QueueName '<Fifo.Arn>'")
def arn_for_a_name(template):
    alarm(template, "FifoOld")["Dimensions"][0]["Value"] = {"Fn::GetAtt": ["Fifo", "Arn"]}


@mutation("dimensions_exist", "Resource 'slipway-main:current'")
def another_alias(template):
    alarm(template, "CanarySlow")["Dimensions"][1]["Value"] = {"Fn::Sub": "${Service}-${Env}:current"}


@mutation("alarms_fire", "does not fire when there is no data")
def silence_is_no_alarm(template):
    traffic = alarm(template, "NoTraffic")
    traffic["Metrics"][0]["Expression"] = "calls"
    traffic["TreatMissingData"] = "missing"


@mutation("alarms_fire", "looks every 86400 s")
def once_a_day(template):
    alarm(template, "StandardOld")["Period"] = 86400


@mutation("pages", "nobody is told of alarm 'Throttled'")
def one_left_out(template):
    rule = properties(template, "Page")["AlarmRule"]["Fn::Sub"]
    rule[0] = rule[0].replace('OR ALARM("${Throttled}")', "")


@mutation("pages", "told twice")
def one_told_twice(template):
    alarm(template, "Crowded")["AlarmActions"] = [{"Ref": "Topic"}]


@mutation("pages", "which there is none of in this environment", "dev")
def one_of_another_environment(template):
    rule = properties(template, "Page")["AlarmRule"]["Fn::Sub"]
    rule[0] += ' OR ALARM("${NoTraffic}")'


@mutation("pages", "tells nobody")
def a_page_to_nobody(template):
    drop(properties(template, "Page"), "AlarmActions")


@mutation("guarded", "no alarm looks at throttles")
def no_alarm_on_throttles(template):
    drop(template["Resources"], "Throttled")
    rule = properties(template, "Page")["AlarmRule"]["Fn::Sub"]
    rule[0] = rule[0].replace('OR ALARM("${Throttled}")', "")


@mutation("guarded", "ApproximateNumberOfMessagesVisible of 'FifoDead'")
def no_alarm_on_dead_letters(template):
    alarm(template, "FifoDeadLetters")["MetricName"] = "NumberOfMessagesSent"


@mutation("canary", "publishes no version when a parameter changes")
def no_digest(template):
    drop(properties(template, "Function"), "AutoPublishCodeSha256")


@mutation("canary", "without alarms")
def no_canary(template):
    drop(properties(template, "Function"), "DeploymentPreference")


@mutation("canary", "shifts AllAtOnce in main")
def all_at_once(template):
    template["Mappings"]["Shift"]["main"]["Type"] = "AllAtOnce"


@mutation("canary", "does not stop on failures of the new version")
def a_canary_without_own_metrics(template):
    properties(template, "Function")["DeploymentPreference"]["Alarms"].remove({"Ref": "CanaryFailures"})


@mutation("canary", "leaves CodeDeploy's role to SAM")
def role_of_codedeploy_left_to_sam(template):
    drop(properties(template, "Function"), "DeploymentPreference", "Role")


@mutation("canary", "does not begin with CodeDeployHook_")
def a_hook_of_another_name(template):
    properties(template, "Hook")["FunctionName"] = {"Fn::Sub": "${Service}-${Env}-hook"}


@mutation("sizes", "never comes before it is used up", "dev")
def an_alarm_too_late(template):
    template["Mappings"]["Sizes"]["dev"]["ReservedAlarm"] = 5


@mutation("sizes", "has timed out before it is slow")
def slow_too_late(template):
    template["Mappings"]["Sizes"]["test"]["SlowMs"] = 30000


def board(template):
    return properties(template, "Board")


@mutation("dashboards", "is no JSON")
def a_broken_board(template):
    board(template)["DashboardBody"]["Fn::Sub"] += "]"


@mutation("dashboards", "not at the stack's region")
def the_seeds_region(template):
    board(template)["DashboardBody"]["Fn::Sub"] = board(template)["DashboardBody"]["Fn::Sub"].replace(
        "${AWS::Region}", "eu-west-3", 1)


@mutation("dashboards", "no metric ApproximateAge in AWS/SQS")
def a_board_of_nothing(template):
    board(template)["DashboardBody"]["Fn::Sub"] = board(template)["DashboardBody"]["Fn::Sub"].replace(
        "ApproximateAgeOfOldestMessage", "ApproximateAge")


@mutation("dashboards", "searches InferenceFailures, which nobody writes")
def a_board_that_searches_nothing(template):
    text = board(template)["DashboardBody"]["Fn::Sub"]
    assert 'MetricName=\\"InferenceFailed' in text
    board(template)["DashboardBody"]["Fn::Sub"] = text.replace('MetricName=\\"InferenceFailed', 'MetricName=\\"InferenceFailures')


@mutation("dashboards", "looks for level error, which no record has")
def a_level_nobody_writes(template):
    board(template)["DashboardBody"]["Fn::Sub"] = board(template)["DashboardBody"]["Fn::Sub"].replace("'ERROR'", "'error'")


@mutation("chat", "its default is AdministratorAccess")
def no_guardrail(template):
    drop(properties(template, "Teams"), "GuardrailPolicies")


@mutation("notices", "budgets.amazonaws.com may not use the key")
def no_key_for_budgets(template):
    for one in properties(template, "Key")["KeyPolicy"]["Statement"]:
        if one["Sid"] == "Notices":
            one["Principal"]["Service"] = ["cloudwatch.amazonaws.com"]


@mutation("notices", "AWS's key, which no alarm may use")
def the_key_of_aws(template):
    properties(template, "Topic")["KmsMasterKeyId"] = "alias/aws/sns"


@mutation("main_is_closed", "developers have a role in main")
def developers_in_main(template):
    drop(template["Resources"]["DeveloperRole"], "Condition")


@mutation("main_is_closed", "developers may sqs:SendMessage in test", "test")
def developers_send_in_test(template):
    template["Conditions"]["IsDev"] = {"Fn::Not": [{"Fn::Equals": [{"Ref": "Env"}, "main"]}]}


@mutation("table_fits", "does not project lent")
def an_index_that_lacks_something(template):
    properties(template, "Table")["GlobalSecondaryIndexes"][0]["Projection"]["NonKeyAttributes"].remove("lent")


@mutation("table_fits", "has other keys")
def a_range_key(template):
    properties(template, "Table")["KeySchema"].append({"AttributeName": "id", "KeyType": "RANGE"})


@mutation("transport", "'Payloads' may be reached without TLS")
def a_bucket_in_the_clear(template):
    drop(template["Resources"], "PayloadsTlsOnly")


@pytest.mark.parametrize("check, expected, environment, change", MUTATIONS)
def test_each_check_can_fail(check, expected, environment, change):
    template = copy.deepcopy(TEMPLATE)
    change(template)
    assert template != TEMPLATE, "the change changed nothing"
    found = checks.findings(checks.Subject(template, example(environment)))
    assert any(finding.startswith(check + ":") and expected in finding for finding in found), found


def test_no_check_is_without_a_mutation():
    assert {function.__name__ for function in checks.CHECKS} == {parameter.values[0] for parameter in MUTATIONS}


def version_of(template, **changes):
    names = [name for name, resource in transform(template, example("main", **changes))["Resources"].items()
             if resource["Type"] == "AWS::Lambda::Version" and name.startswith("Function")]
    assert len(names) == 1
    return names[0]


def test_a_release_publishes_a_version():
    """SAM names the version by the digest: the same one publishes nothing, another one does."""
    assert version_of(TEMPLATE) == version_of(TEMPLATE)
    assert version_of(TEMPLATE) != version_of(TEMPLATE, ReleaseSha="ef" * 32)


def test_the_digest_alone_decides():
    """Which is why the deploy script puts every parameter into it (test_deploy.py)."""
    assert version_of(TEMPLATE) == version_of(TEMPLATE, ModelVersion="2")


def test_without_the_digest_a_parameter_would_publish_nothing():
    template = copy.deepcopy(TEMPLATE)
    drop(properties(template, "Function"), "AutoPublishCodeSha256")
    properties(template, "Function")["Environment"]["Variables"]["PROBE"] = {"Ref": "ModelVersion"}
    assert version_of(template) == version_of(template, ModelVersion="2")
