"""Templates as data: read, evaluated for one environment, and put through the SAM transform, all without an account."""
import copy
import os
import pathlib
import re

import yaml

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIRECTORY = ROOT / "deploy" / "cloudformation"
ENVIRONMENTS = ("dev", "test", "main")
ACCOUNT = "000000000000"
REGION = "eu-west-1"
PSEUDO = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
          "AWS::StackName": "slipway-main", "AWS::NoValue": None}
NOTHING = object()


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which become their long ones. Aliases are refused, as CloudFormation does."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.events.AliasEvent):
            raise ValueError("CloudFormation knows no aliases of YAML")
        return super().compose_node(parent, index)


def short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        resource, _, attribute = value.rpartition(".")
        if attribute == "Version" and resource.endswith(".Version"):
            resource = resource[:-len(".Version")]
            return {"Fn::GetAtt": [resource, "Version.Version"]}
        value = value.split(".", 1)
    return {"Fn::" + suffix: value}


Loader.add_multi_constructor("!", short_form)
# A date of a policy's version is a text.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def load(name):
    with open(DIRECTORY / name, encoding="utf-8") as file:
        return yaml.load(file, Loader)


def parameters_of(template, given):
    """Defaults, under what is given. A parameter that has neither is an error."""
    values = {}
    for name, declared in template.get("Parameters", {}).items():
        value = given.get(name, declared.get("Default", NOTHING))
        if value is NOTHING:
            raise ValueError(f"parameter '{name}' has no value")
        values[name] = str(value)
    return values


EXAMPLE = {
    "ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/slipway@sha256:" + "ab" * 32,
    "ReleaseSha": "cd" * 32,
    "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/slipway-boundary",
    "AlarmEmail": "team@example.com",
    "SlackWorkspaceId": "T0000", "SlackChannelId": "C0000",
    "TeamsTenantId": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "TeamsTeamId": "0" * 8 + "-0000-0000-0000-" + "1" * 12,
    "TeamsChannelId": "19%3aexample",
    "DeveloperPrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/developers",
    "GithubRepository": "example/models",
    "VersionWithoutCanary": "",
}


def example(environment, **changes):
    return {**EXAMPLE, "Env": environment, **changes}


class Evaluator:
    """Functions of CloudFormation over given parameters. What only exists once it is deployed stays a text that names it:
    <Queue>, <Queue.Arn>."""

    def __init__(self, template, given):
        self.template = template
        self.values = {**PSEUDO, **parameters_of(template, given)}
        self.values["AWS::StackName"] = f"{self.values.get('Service', 'slipway')}-{self.values.get('Env', 'main')}"

    def holds(self, name):
        return self.condition(self.template["Conditions"][name])

    def condition(self, expression):
        (function, argument), = expression.items()
        if function == "Condition":
            return self.holds(argument)
        if function == "Fn::Equals":
            return self.evaluate(argument[0]) == self.evaluate(argument[1])
        if function == "Fn::Not":
            return not self.condition(argument[0])
        if function in ("Fn::And", "Fn::Or"):
            return (all if function == "Fn::And" else any)(self.condition(part) for part in argument)
        raise ValueError(f"{function} is no condition")

    def substitute(self, argument):
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])

        def one(match):
            name = match.group(1)
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in own:
                return str(self.evaluate(own[name]))
            if name in self.values:
                return str(self.values[name])
            if name.split(".")[0] not in self.template["Resources"] and not self.generated(name):
                raise ValueError(f"'{name}' in a Sub is neither parameter nor resource")
            return f"<{name}>"
        return re.sub(r"\$\{([^}]+)\}", one, text)

    def generated(self, name):
        """Names of resources that SAM adds."""
        return name.split(".")[0] in ("ServerlessDeploymentApplication", "FunctionDeploymentGroup")

    def evaluate(self, value):
        if isinstance(value, list):
            return [item for item in (self.evaluate(part) for part in value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), = value.items()
            if function == "Ref":
                return self.values.get(argument, f"<{argument}>")
            if function == "Fn::Sub":
                return self.substitute(argument)
            if function == "Fn::GetAtt":
                return "<" + ".".join(argument if isinstance(argument, list) else [argument]) + ">"
            if function == "Fn::FindInMap":
                table, row, column = (self.evaluate(part) for part in argument)
                return self.evaluate(self.template["Mappings"][table][row][column])
            if function == "Fn::If":
                return self.evaluate(argument[1] if self.holds(argument[0]) else argument[2])
            if function == "Fn::Join":
                return str(argument[0]).join(str(part) for part in self.evaluate(argument[1]))
            if function == "Fn::Select":
                return self.evaluate(argument[1])[int(argument[0])]
            if function == "Fn::Split":
                return self.evaluate(argument[1]).split(argument[0])
            if function.startswith("Fn::"):
                raise ValueError(f"{function} is not known here")
        evaluated = {key: self.evaluate(part) for key, part in value.items()}
        return {key: part for key, part in evaluated.items() if part is not None}


def evaluate(template, given):
    """The resources that exist for these parameters, as plain data."""
    evaluator = Evaluator(template, given)
    resources = {}
    for name, resource in template["Resources"].items():
        if "Condition" not in resource or evaluator.holds(resource["Condition"]):
            resources[name] = {**resource, "Properties": evaluator.evaluate(resource.get("Properties", {}))}
    return resources


def transform(template, given):
    """What SAM makes of the template for these parameters."""
    values = {**PSEUDO, **parameters_of(template, given)}
    return Translator({}, Parser()).translate(copy.deepcopy(template), values)
