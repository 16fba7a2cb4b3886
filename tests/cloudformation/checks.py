"""What no linter looks at. Each check takes a template for one environment and returns findings, one text each; test_app.py
breaks the template for each of them."""
import json
import re

from template import ROOT, evaluate, transform


class Subject:
    """A template and what is derived from it for one environment."""

    def __init__(self, template, given):
        self.template = template
        self.given = given
        self.resources = evaluate(template, given)
        self.transformed = transform(template, given) if "Transform" in template else template
        self.plain = evaluate({**self.transformed, "Parameters": template.get("Parameters", {})}, given)

    def of_type(self, kind, plain=False):
        return {name: resource["Properties"] for name, resource in (self.plain if plain else self.resources).items()
                if resource["Type"] == kind}


CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def findings(subject):
    return [f"{function.__name__}: {finding}" for function in CHECKS for finding in function(subject)]


def queue_of_arn(subject, arn):
    """The logical name of a queue, from <Name.Arn>."""
    return arn[1:-len(".Arn>")] if arn.startswith("<") else next(
        (name for name, queue in subject.of_type("AWS::SQS::Queue").items()
         if queue.get("QueueName") == arn.rsplit(":", 1)[1]), None)


def mappings_of(subject):
    """Pairs of a queue's mapping and its function, both as properties after the transform."""
    functions = subject.of_type("AWS::Lambda::Function", plain=True)
    aliases = subject.of_type("AWS::Lambda::Alias", plain=True)
    for name, mapping in subject.of_type("AWS::Lambda::EventSourceMapping", plain=True).items():
        target = mapping["FunctionName"].strip("<>")
        alias = aliases.get(target)
        yield name, mapping, functions.get(alias["FunctionName"].strip("<>") if alias else target), alias


@check
def visibility(subject):
    """AWS asks for six times the function's timeout, or messages come back while they are worked on."""
    queues = subject.of_type("AWS::SQS::Queue")
    for name, mapping, function, _ in mappings_of(subject):
        queue = queue_of_arn(subject, mapping["EventSourceArn"])
        hidden = int(queues[queue].get("VisibilityTimeout", 30))
        wanted = 6 * int(function.get("Timeout", 3)) + int(mapping.get("MaximumBatchingWindowInSeconds", 0))
        if hidden < wanted:
            yield f"queue '{queue}' hides messages for {hidden} s, '{name}' needs {wanted} s"


@check
def receives(subject):
    """A throttled receive counts as one; AWS asks for five at least."""
    for name, queue in subject.of_type("AWS::SQS::Queue").items():
        count = queue.get("RedrivePolicy", {}).get("maxReceiveCount")
        if count is not None and int(count) < 5:
            yield f"queue '{name}' gives a message up after {count} receives, 5 are needed"


@check
def dead_letters(subject):
    """Each consumed queue has a dead-letter queue of its own kind, kept longer, that only it may use."""
    queues = subject.of_type("AWS::SQS::Queue")
    for _, mapping, _, _ in mappings_of(subject):
        name = queue_of_arn(subject, mapping["EventSourceArn"])
        queue = queues[name]
        target = queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")
        dead = queues.get(queue_of_arn(subject, target)) if target else None
        if dead is None:
            yield f"queue '{name}' has no dead-letter queue"
            continue
        if bool(queue.get("FifoQueue")) != bool(dead.get("FifoQueue")):
            yield f"queue '{name}' and its dead-letter queue are not of one kind"
        if int(dead.get("MessageRetentionPeriod", 345600)) <= int(queue.get("MessageRetentionPeriod", 345600)):
            yield f"the dead-letter queue of '{name}' keeps messages no longer than the queue"
        allowed = dead.get("RedriveAllowPolicy", {})
        sources = [queue_of_arn(subject, arn) for arn in allowed.get("sourceQueueArns", [])]
        if allowed.get("redrivePermission") != "byQueue" or sources != [name]:
            yield f"the dead-letter queue of '{name}' does not belong to it alone (RedriveAllowPolicy)"


@check
def fifo_names(subject):
    for name, queue in subject.of_type("AWS::SQS::Queue").items():
        if queue.get("QueueName", "").endswith(".fifo") != bool(queue.get("FifoQueue")):
            yield f"queue '{name}': FifoQueue and the name's .fifo do not agree"


@check
def batches(subject):
    """One failed message fails alone."""
    for name, mapping, _, alias in mappings_of(subject):
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"'{name}' does not report failures one by one: one bad message fails ten"
        if alias is None:
            yield f"'{name}' drives $LATEST: no canary would see its messages"


@check
def concurrency(subject):
    """Throttled receives burn maxReceiveCount: what is polled must be allowed to run."""
    totals = {}
    for name, mapping, function, _ in mappings_of(subject):
        polled = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        if polled is None:
            yield f"'{name}' has no MaximumConcurrency"
            continue
        if not 2 <= int(polled) <= 1000:
            yield f"'{name}': MaximumConcurrency {polled} is not between 2 and 1000"
        key = function["FunctionName"]
        reserved, total = totals.get(key, (function.get("ReservedConcurrentExecutions", 0), 0))
        totals[key] = (reserved, total + int(polled))
    for name, (reserved, total) in totals.items():
        if int(reserved) <= total:
            yield f"'{name}' reserves {reserved} environments for {total} that queues ask for and one direct call"


# Rights whose actions know no resource. Everything else names what it is for.
WITHOUT_RESOURCE = {
    "xray:PutTraceSegments": "X-Ray has no resources for segments",
    "xray:PutTelemetryRecords": "X-Ray has no resources for segments",
    "xray:GetSamplingRules": "X-Ray has no resources for sampling",
    "xray:GetSamplingTargets": "X-Ray has no resources for sampling",
    "cloudwatch:GetMetricData": "CloudWatch has no resources for metrics",
    "logs:CreateLogDelivery": "vended log deliveries have no resources",
    "logs:GetLogDelivery": "vended log deliveries have no resources",
    "logs:UpdateLogDelivery": "vended log deliveries have no resources",
    "logs:DeleteLogDelivery": "vended log deliveries have no resources",
    "logs:ListLogDeliveries": "vended log deliveries have no resources",
    "logs:PutResourcePolicy": "vended log deliveries have no resources",
    "logs:DescribeResourcePolicies": "vended log deliveries have no resources",
    "logs:DescribeLogGroups": "lists all groups or none",
    "ecr:GetAuthorizationToken": "a token is for the account's registry",
    "cloudformation:ValidateTemplate": "a template that is only looked at has no name",
    "cloudformation:GetTemplateSummary": "a template that is only looked at has no name",
}
CHAT = "chat channels have no resources"
WITHOUT_RESOURCE.update({f"chatbot:{action}{kind}": CHAT for action in ("Create", "Update", "Delete", "Describe", "Get", "List")
                         for kind in ("SlackChannelConfiguration", "SlackChannelConfigurations",
                                      "MicrosoftTeamsChannelConfiguration", "MicrosoftTeamsChannelConfigurations")})
# What a condition on these keys narrows is not everything.
NARROWING = {"aws:RequestTag/slipway-environment", "lambda:FunctionArn"}


def as_list(value):
    return value if isinstance(value, list) else [value]


def policies_of(subject):
    """Name and document of every policy that grants something to a role."""
    for kind, properties in (("AWS::IAM::Role", "Policies"),):
        for name, resource in subject.of_type(kind, plain=True).items():
            for policy in resource.get(properties, []):
                yield name, policy["PolicyDocument"]
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for name, resource in subject.of_type(kind, plain=True).items():
            yield name, resource["PolicyDocument"]


def is_boundary(document):
    """A boundary grants nothing: it caps. It says so in its first statement's Sid."""
    return as_list(document["Statement"])[0].get("Sid", "").startswith("Boundary")


@check
def rights(subject):
    """No role may do everything with a service, or something with everything."""
    for name, document in policies_of(subject):
        for statement in as_list(document["Statement"]):
            if statement["Effect"] != "Allow" or is_boundary(document):
                continue
            if "NotAction" in statement or "NotResource" in statement:
                yield f"'{name}' allows by exclusion (NotAction, NotResource)"
                continue
            actions = as_list(statement["Action"])
            for action in actions:
                if action == "*" or action.endswith(":*"):
                    yield f"'{name}' allows {action}"
                elif "*" in action:
                    yield f"'{name}' allows {action}: name the actions"
            keys = {key for test in statement.get("Condition", {}).values() for key in test}
            if "*" in as_list(statement["Resource"]) and not keys & NARROWING:
                for action in sorted(set(actions) - set(WITHOUT_RESOURCE)):
                    yield f"'{name}' allows {action} on every resource"


@check
def managed_policies(subject):
    """SAM attaches policies of AWS's that read every queue, unless a function brings its role."""
    for name, role in subject.of_type("AWS::IAM::Role", plain=True).items():
        for arn in role.get("ManagedPolicyArns", []):
            if ":iam::aws:policy/" in str(arn):
                yield f"'{name}' has AWS's policy {str(arn).rsplit('/', 1)[1]}"
    for name, function in subject.of_type("AWS::Serverless::Function").items():
        if "Role" not in function:
            yield f"function '{name}' has no Role of its own"


@check
def boundaries(subject):
    """A deploy role that enforces the boundary could not create a role without it."""
    if "PermissionsBoundaryArn" not in subject.template.get("Parameters", {}):
        return
    for name, role in subject.of_type("AWS::IAM::Role", plain=True).items():
        if role.get("PermissionsBoundary") != subject.given["PermissionsBoundaryArn"]:
            yield f"role '{name}' has no permissions boundary"


RETAINED = ("Retain", "RetainExceptOnCreate")
STATEFUL = ("AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::SQS::Queue",
            "AWS::ECR::Repository")
NAMES = ("TableName", "LogGroupName", "BucketName", "QueueName", "RepositoryName")


@check
def deletion(subject):
    """Both policies wherever something is stored; and nothing that stays behind has a fixed name, or the next stack of
    that name fails with "already exists"."""
    for name, resource in subject.resources.items():
        both = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
        if (resource["Type"] in STATEFUL or any(both)) and not all(both):
            yield f"'{name}' needs DeletionPolicy and UpdateReplacePolicy"
        fixed = [key for key in NAMES if key in resource["Properties"]]
        if both[0] in RETAINED and fixed and resource["Type"] != "AWS::ECR::Repository":
            yield f"'{name}' stays after its stack and has the fixed {fixed[0]}: the next stack fails on it"


@check
def storage(subject):
    for name, table in subject.of_type("AWS::DynamoDB::Table").items():
        for what, has in (("time to live", table.get("TimeToLiveSpecification", {}).get("Enabled")),
                          ("recovery to a point in time",
                           table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled")),
                          ("a key of ours", table.get("SSESpecification", {}).get("KMSMasterKeyId")),
                          ("deletion protection", table.get("DeletionProtectionEnabled")),
                          ("a ceiling of its throughput", table.get("OnDemandThroughput"))):
            if not has:
                yield f"table '{name}' lacks {what}"
    for kind, key in (("AWS::SQS::Queue", "KmsMasterKeyId"), ("AWS::SNS::Topic", "KmsMasterKeyId"),
                      ("AWS::Logs::LogGroup", "KmsKeyId"), ("AWS::Logs::LogGroup", "RetentionInDays"),
                      ("AWS::Lambda::Function", "KmsKeyArn"), ("AWS::Lambda::Function", "ReservedConcurrentExecutions"),
                      ("AWS::Lambda::Function", "MemorySize"), ("AWS::Lambda::Function", "Timeout"),
                      ("AWS::Lambda::Function", "EphemeralStorage"), ("AWS::Lambda::Function", "LoggingConfig"),
                      ("AWS::Lambda::Function", "TracingConfig")):
        for name, resource in subject.of_type(kind, plain=True).items():
            if key not in resource:
                yield f"'{name}' has no {key}"


@check
def transport(subject):
    """Every queue, topic and bucket refuses what does not come over TLS."""
    guarded = set()
    for kind, key in (("AWS::SQS::QueuePolicy", "Queues"), ("AWS::SNS::TopicPolicy", "Topics"),
                      ("AWS::S3::BucketPolicy", "Bucket")):
        for policy in subject.of_type(kind).values():
            for statement in as_list(policy["PolicyDocument"]["Statement"]):
                if statement["Effect"] == "Deny" and statement.get("Principal") == "*" and \
                        statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
                    guarded |= {item.strip("<>") for item in as_list(policy[key])}
    for kind in ("AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::S3::Bucket"):
        for name in subject.of_type(kind):
            if name not in guarded:
                yield f"'{name}' may be reached without TLS"


PRIVATE = re.compile(r"(?<![0-9a-f])[0-9]{12}(?![0-9a-f])|[\w.+-]+@(?!sha256)[\w-]+\.[\w.]+")


@check
def nothing_private(subject):
    """Account numbers and addresses are parameters."""
    def texts(value):
        if isinstance(value, dict):
            for key, part in value.items():
                yield from texts(key)
                yield from texts(part)
        elif isinstance(value, list):
            for part in value:
                yield from texts(part)
        else:
            yield str(value)
    for text in texts(subject.template):
        match = PRIVATE.search(text)
        if match:
            yield f"'{match.group()}' belongs to an account or a person"


def settings():
    """Variables that the binary knows, from the table of its options."""
    rows = re.findall(r"^OPTION\(\w+, (\w+), (\w+),", (ROOT / "src/config/options.def").read_text(), re.MULTILINE)
    return {f"SLIPWAY_{category}_{name}".upper() for category, name in rows}


@check
def variables(subject):
    """A variable that no option reads is a setting that has no effect."""
    known = settings()
    for name, function in subject.of_type("AWS::Lambda::Function", plain=True).items():
        for variable, value in function.get("Environment", {}).get("Variables", {}).items():
            if variable.startswith("SLIPWAY_") and variable not in known:
                yield f"'{name}' sets {variable}, which is no option"
            if value == "":
                yield f"'{name}' sets {variable} to nothing"


# ---- Metrics: what exists, by namespace, with the sets of dimensions it comes in. An alarm on anything else is silent for
# ever, and nobody but the incident says so.

LAMBDA_SETS = (("FunctionName",), ("FunctionName", "Resource"), ("FunctionName", "Resource", "ExecutedVersion"))
AWS_METRICS = {
    "AWS/Lambda": {name: LAMBDA_SETS for name in ("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions")},
    "AWS/SQS": {name: (("QueueName",),) for name in (
        "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed", "NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfMessagesDeleted")},
    "AWS/DynamoDB": {"ThrottledRequests": (("TableName", "Operation"),), "SystemErrors": (("TableName", "Operation"),)},
    "AWS/States": {name: (("StateMachineArn",),) for name in (
        "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionsStarted", "ExecutionsSucceeded")},
    "AWS/SNS": {"NumberOfNotificationsFailed": (("TopicName",),), "NumberOfNotificationsDelivered": (("TopicName",),)},
    "AWS/Logs": {"EMFValidationErrors": (("LogGroupName",),), "EMFParsingErrors": (("LogGroupName",),)},
    "AWS/Billing": {"EstimatedCharges": (("Currency",), ("Currency", "ServiceName"), ("Currency", "LinkedAccount"))},
}
OWN_SETS = (("Service", "Env"), ("Service", "Env", "FunctionVersion"), ("Service", "Env", "Variant"))


def own_metrics():
    """What `slipway lambda` writes, from its table."""
    table = ROOT / "src/lambda/metrics.def"
    return set(re.findall(r"^METRIC\((\w+),", table.read_text(), re.MULTILINE))


def metric_problem(namespace, metric, dimensions):
    if namespace == "Slipway":
        known = {name: OWN_SETS for name in own_metrics()}
    elif namespace in AWS_METRICS:
        known = AWS_METRICS[namespace]
    else:
        return f"namespace {namespace} is not known"
    if metric not in known:
        return f"there is no metric {metric} in {namespace}"
    if tuple(sorted(dimensions)) not in {tuple(sorted(names)) for names in known[metric]}:
        return f"{namespace} {metric} does not come with dimensions {', '.join(dimensions)}"
    return None


def stats_of(alarm):
    """Namespace, name and dimensions (as pairs) of each metric of an alarm."""
    for part in [alarm] + [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]:
        if "MetricName" in part:
            yield part["Namespace"], part["MetricName"], [(one["Name"], one["Value"]) for one in part.get("Dimensions", [])]


@check
def metrics_exist(subject):
    for name, alarm in subject.of_type("AWS::CloudWatch::Alarm").items():
        for namespace, metric, dimensions in stats_of(alarm):
            problem = metric_problem(namespace, metric, [key for key, _ in dimensions])
            if problem:
                yield f"alarm '{name}': {problem}"


# What a dimension's value must be: a resource of this kind (and this attribute of it), or a text that is known.
DIMENSIONS = {
    "FunctionName": ("AWS::Lambda::Function", ""), "QueueName": ("AWS::SQS::Queue", ".QueueName"),
    "TableName": ("AWS::DynamoDB::Table", ""), "StateMachineArn": ("AWS::StepFunctions::StateMachine", ""),
    "TopicName": ("AWS::SNS::Topic", ".TopicName"), "LogGroupName": ("AWS::Logs::LogGroup", ""),
}
OPERATIONS = {"PutItem", "UpdateItem", "GetItem", "Query", "TransactWriteItems", "BatchGetItem", "DeleteItem"}


def names_something(subject, key, value):
    if key in DIMENSIONS:
        kind, attribute = DIMENSIONS[key]
        return any(value == f"<{name}{attribute}>" for name in subject.of_type(kind, plain=True))
    functions = subject.of_type("AWS::Lambda::Function", plain=True)
    if key == "Resource":
        return any(value == f"{one['FunctionName']}:{alias['Name']}" for one in functions.values()
                   for alias in subject.of_type("AWS::Lambda::Alias", plain=True).values())
    if key in ("ExecutedVersion", "FunctionVersion"):
        return value in ("<Function.Version.Version>",)
    if key in ("Service", "Env"):
        return value == {"Service": "slipway", "Env": subject.given["Env"]}[key]
    return value in OPERATIONS if key == "Operation" else value in ("USD", "champion", "control")


@check
def dimensions_exist(subject):
    for name, alarm in subject.of_type("AWS::CloudWatch::Alarm").items():
        for _, metric, dimensions in stats_of(alarm):
            for key, value in dimensions:
                if not names_something(subject, key, value):
                    yield f"alarm '{name}': {metric} of {key} '{value}', which is nothing of this template"


@check
def alarms_fire(subject):
    """An alarm on too little of something must see the hours without data, and none may look at a day at once."""
    for name, alarm in subject.of_type("AWS::CloudWatch::Alarm").items():
        if alarm["ComparisonOperator"].startswith("Less"):
            texts = " ".join(query.get("Expression", "") for query in alarm.get("Metrics", []))
            if alarm.get("TreatMissingData") != "breaching" and "FILL(" not in texts:
                yield f"alarm '{name}' does not fire when there is no data at all"
        periods = [alarm["Period"]] if "Period" in alarm else [
            query["MetricStat"]["Period"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
        if max(periods) > 3600 and not name.startswith("Charges"):
            yield f"alarm '{name}' looks every {max(periods)} s: an outage is seen that much later"
        if "TreatMissingData" not in alarm:
            yield f"alarm '{name}' leaves missing data to the default"


@check
def pages(subject):
    """Each alarm is told: by itself or by the composite one, and only once."""
    composites = list(subject.of_type("AWS::CloudWatch::CompositeAlarm").values())
    rules = " ".join(one["AlarmRule"] for one in composites)
    for one in composites:
        if not one.get("AlarmActions"):
            yield "the composite alarm tells nobody"
    for name, alarm in subject.of_type("AWS::CloudWatch::Alarm").items():
        listed, told = f'ALARM("<{name}>")' in rules, bool(alarm.get("AlarmActions"))
        if not listed and not told:
            yield f"nobody is told of alarm '{name}'"
        if listed and told:
            yield f"alarm '{name}' is told twice"
    for mentioned in re.findall(r'ALARM\("<(\w+)>"\)', rules):
        if mentioned not in subject.of_type("AWS::CloudWatch::Alarm"):
            yield f"the composite alarm asks for '{mentioned}', which there is none of in this environment"


WATCHED = {
    "errors of the new version": ("AWS/Lambda", "Errors", "ExecutedVersion"),
    "failures of the new version": ("Slipway", "InferenceFailed", "FunctionVersion"),
    "duration of the new version": ("AWS/Lambda", "Duration", "ExecutedVersion"),
}
GUARDED = {
    "errors": ("AWS/Lambda", "Errors"), "failed inferences": ("Slipway", "InferenceFailed"),
    "throttles": ("AWS/Lambda", "Throttles"), "concurrency": ("AWS/Lambda", "ConcurrentExecutions"),
    "traffic": ("AWS/Lambda", "Invocations"), "throttled requests of the table": ("AWS/DynamoDB", "ThrottledRequests"),
    "errors of the table": ("AWS/DynamoDB", "SystemErrors"), "failed workflows": ("AWS/States", "ExecutionsFailed"),
    "failed notices": ("AWS/SNS", "NumberOfNotificationsFailed"), "refused metrics": ("AWS/Logs", "EMFValidationErrors"),
}


@check
def guarded(subject):
    """What must not go wrong unseen."""
    alarms = subject.of_type("AWS::CloudWatch::Alarm")
    seen = {(space, metric) for alarm in alarms.values() for space, metric, _ in stats_of(alarm)}
    for what, key in GUARDED.items():
        if key not in seen:
            yield f"no alarm looks at {what}"
    values = {(metric, value) for alarm in alarms.values() for _, metric, pairs in stats_of(alarm) for _, value in pairs}
    queues = subject.of_type("AWS::SQS::Queue")
    for name, queue in queues.items():
        metric = "ApproximateAgeOfOldestMessage" if "RedrivePolicy" in queue else "ApproximateNumberOfMessagesVisible"
        if (metric, f"<{name}.QueueName>") not in values:
            yield f"no alarm looks at {metric} of '{name}'"


@check
def canary(subject):
    """CodeDeploy shifts, stops on alarms of the new version, and tries it first."""
    for name, function in subject.of_type("AWS::Serverless::Function").items():
        preference = function.get("DeploymentPreference", {})
        if "AutoPublishAlias" not in function:
            continue
        if not function.get("AutoPublishCodeSha256"):
            yield f"'{name}' publishes no version when a parameter changes"
        if not preference:
            yield f"'{name}' shifts all at once, without alarms"
            continue
        if subject.given["Env"] == "main" and not preference["Type"].startswith(("Canary", "Linear")):
            yield f"'{name}' shifts {preference['Type']} in main"
        if "Role" not in preference:
            yield f"'{name}' leaves CodeDeploy's role to SAM, which gives it no boundary"
        alarms = [alarm.strip("<>") for alarm in preference.get("Alarms", [])]
        if len(alarms) > 10:
            yield f"'{name}' stops on {len(alarms)} alarms, CodeDeploy takes ten"
        seen = {(space, metric, pairs[-1][0]) for alarm in alarms
                for space, metric, pairs in stats_of(subject.of_type("AWS::CloudWatch::Alarm")[alarm])}
        for what, key in WATCHED.items():
            if key not in seen:
                yield f"the canary of '{name}' does not stop on {what}"
        hook = preference.get("Hooks", {}).get("PreTraffic", "").strip("<>")
        hooks = subject.of_type("AWS::Lambda::Function", plain=True)
        if hook not in hooks:
            yield f"'{name}' has no hook before traffic"
        elif not hooks[hook]["FunctionName"].startswith("CodeDeployHook_"):
            yield f"the hook's name '{hooks[hook]['FunctionName']}' does not begin with CodeDeployHook_"


@check
def sizes(subject):
    """Rows that belong together."""
    table = subject.template.get("Mappings", {}).get("Sizes", {})
    for row, size in table.items():
        if size["ReservedAlarm"] >= size["Reserved"]:
            yield f"{row}: the alarm on concurrency ({size['ReservedAlarm']}) never comes before it is used up"
        if size["SlowMs"] >= 1000 * size["Timeout"]:
            yield f"{row}: a call of {size['SlowMs']} ms has timed out before it is slow"


def dashboard_metrics(body):
    """Arrays of a dashboard's metrics, "..." and "." filled in as CloudWatch does."""
    for widget in body["widgets"]:
        before = []
        for entry in widget["properties"].get("metrics", []):
            fields = [part for part in entry if not isinstance(part, dict)]
            if not fields:
                continue
            if fields[0] == "...":
                fields = before[:len(before) - len(fields) + 1] + fields[1:]
            fields = [before[index] if part == "." else part for index, part in enumerate(fields)]
            before = fields
            yield fields


@check
def dashboards(subject):
    for name, board in subject.of_type("AWS::CloudWatch::Dashboard").items():
        try:
            body = json.loads(board["DashboardBody"])
        except ValueError as error:
            yield f"dashboard '{name}' is no JSON: {error}"
            continue
        for namespace, metric, *pairs in dashboard_metrics(body):
            problem = metric_problem(namespace, metric, pairs[0::2])
            if problem:
                yield f"dashboard '{name}': {problem}"
            for key, value in zip(pairs[0::2], pairs[1::2]):
                if not names_something(subject, key, value):
                    yield f"dashboard '{name}': {key} '{value}' is nothing of this template"
        for text in re.findall(r'MetricName=\\*"(\w+)', board["DashboardBody"]):
            if text not in own_metrics():
                yield f"dashboard '{name}' searches {text}, which nobody writes"
        levels = set(re.findall(r'"(\w+)"', re.search(r"level_names\[\] = \{(.*?)\}", (ROOT / "src/base/log.c").read_text()).group(1)))
        for text in re.findall(r"level = '(\w+)'", board["DashboardBody"]):
            if text not in levels:
                yield f"dashboard '{name}' looks for level {text}, which no record has"
        regions = {widget["properties"]["region"] for widget in body["widgets"]}
        if regions != {"eu-west-1"}:
            yield f"dashboard '{name}' looks at {', '.join(sorted(regions))}, not at the stack's region"


@check
def chat(subject):
    """A channel without guardrails may do what an administrator may."""
    for kind in ("AWS::Chatbot::SlackChannelConfiguration", "AWS::Chatbot::MicrosoftTeamsChannelConfiguration"):
        for name, channel in subject.of_type(kind).items():
            if not channel.get("GuardrailPolicies"):
                yield f"chat channel '{name}' has no guardrail: its default is AdministratorAccess"
            if not channel.get("SnsTopicArns"):
                yield f"chat channel '{name}' hears no topic"


@check
def notices(subject):
    """Who publishes to an encrypted topic needs its key, and says nothing when he may not use it."""
    needed = {"cloudwatch.amazonaws.com"} | ({"budgets.amazonaws.com"} if subject.of_type("AWS::Budgets::Budget") else set())
    for name, topic in subject.of_type("AWS::SNS::Topic").items():
        key = str(topic.get("KmsMasterKeyId", ""))
        if key.startswith("alias/aws/"):
            yield f"topic '{name}' has AWS's key, which no alarm may use"
            continue
        policies = [(f"the topic '{name}'", policy["PolicyDocument"], "sns:Publish")
                    for policy in subject.of_type("AWS::SNS::TopicPolicy").values() if f"<{name}>" in policy["Topics"]]
        policies += [(f"the key of topic '{name}'", one["KeyPolicy"], "kms:GenerateDataKey")
                     for key_name, one in subject.of_type("AWS::KMS::Key").items() if key.startswith(f"<{key_name}")]
        for what, document, action in policies:
            services = {service for statement in document["Statement"] if statement["Effect"] == "Allow" and
                        action in as_list(statement["Action"]) and isinstance(statement["Principal"], dict)
                        for service in as_list(statement["Principal"].get("Service", []))}
            for service in sorted(needed - services):
                yield f"{service} may not use {what}"


@check
def main_is_closed(subject):
    """Developers change nothing in main, and outside dev they only read."""
    changing = re.compile(r"(Send|Start|Put|Update|Delete|Receive|Purge|Create|Invoke)\w*$")
    for name, role in subject.of_type("AWS::IAM::Role").items():
        if not name.startswith("Developer"):
            continue
        if subject.given["Env"] == "main":
            yield "developers have a role in main"
        if subject.given["Env"] == "dev":
            continue
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                for action in as_list(statement["Action"]):
                    if changing.search(action.split(":")[1]) and action != "logs:StartQuery":
                        yield f"developers may {action} in {subject.given['Env']}"


@check
def table_fits(subject):
    """The keys and the index that the binary asks for; it refuses a table without them."""
    source = (ROOT / "src/store/store_dynamodb_table.c").read_text()
    names = re.search(r"store_dynamodb_index\[\] = \{(.*?)NULL\}", source, re.DOTALL).group(1)
    wanted = set(re.findall(r'"(\w+)"', names))
    for name, table in subject.of_type("AWS::DynamoDB::Table").items():
        if table["KeySchema"] != [{"AttributeName": "pk", "KeyType": "HASH"}]:
            yield f"table '{name}' has other keys"
        index = {one["IndexName"]: one for one in table.get("GlobalSecondaryIndexes", [])}.get("by_time", {})
        if [one["AttributeName"] for one in index.get("KeySchema", [])] != ["shard", "id"]:
            yield f"table '{name}' has no index by_time of shard and id"
        lost = wanted - set(index.get("Projection", {}).get("NonKeyAttributes", []))
        if lost:
            yield f"the index of table '{name}' does not project {', '.join(sorted(lost))}"
        if table.get("TimeToLiveSpecification", {}).get("AttributeName") != "expires_at":
            yield f"table '{name}' expires by another attribute"
