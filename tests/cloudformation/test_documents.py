"""docs/aws.md says what the template has."""
import re

from template import ENVIRONMENTS, ROOT, evaluate, example, load

TEXT = (ROOT / "docs" / "aws.md").read_text()
TEMPLATE = load("app.yaml")


def alarms(environment):
    return {name: one["Properties"] for name, one in evaluate(TEMPLATE, example(environment)).items()
            if one["Type"] == "AWS::CloudWatch::Alarm"}


def test_each_alarm_has_an_entry_in_the_runbook():
    names = {alarm["AlarmName"].removeprefix("slipway-main-") for alarm in alarms("main").values()}
    headings = set(re.findall(r"^### ([a-z-]+)$", TEXT, re.MULTILINE))
    assert headings == names


def test_outputs_that_commands_read():
    used = set(re.findall(r"\$\(out (\w+)\)", TEXT))
    assert len(used) > 4 and used <= set(TEMPLATE["Outputs"])
    outputs = load("bootstrap.yaml")["Outputs"]
    for name in ("BoundaryArn", "TemplatesBucket", "ExecuteDevArn", "RepositoryUri"):
        assert name in outputs and name in TEXT


def test_parameters():
    table = TEXT.split("| parameter | |", 1)[1].split("\n\n", 1)[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named == set(TEMPLATE["Parameters"]) - {"Env", "Service", "ImageUri", "ReleaseSha", "PermissionsBoundaryArn"}


def test_the_arithmetic_of_costs():
    metrics = sum(len([one for one in alarm.get("Metrics", [{"MetricStat": 1}]) if "MetricStat" in one])
                  for alarm in alarms("main").values())
    assert f"{metrics} metrics of alarms at 0.10, one composite at 0.50 | {metrics / 10 + 0.5:.2f} |" in TEXT
    for table in re.findall(r"^\| (?:idle|a million).*?\n\n", TEXT, re.MULTILINE | re.DOTALL):
        *parts, total = [float(one) for one in re.findall(r"\| \**([0-9.]+)\** \|$", table, re.MULTILINE)]
        assert abs(sum(parts) - total) < 0.005, table
    assert TEXT.count("**together**") == 2


def test_what_is_reserved():
    for environment in ENVIRONMENTS:
        size = TEMPLATE["Mappings"]["Sizes"][environment]
        assert re.search(rf"`{environment}`\s(?:reserves\s)?{size['Reserved'] + 1}\b", TEXT), environment
