"""What no linter looks at. Each check takes a template for one environment and returns findings, one text each; test_app.py
breaks the template for each of them."""
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
}


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
            if "*" in as_list(statement["Resource"]):
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
