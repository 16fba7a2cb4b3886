"""A strict reader of metrics pages: Prometheus' text format 0.0.4 and OpenMetrics 1.0. Any deviation is an assertion.

    families = parse(text, open_metrics=False)
    families["slipway_in_flight"].samples[("slipway_in_flight", (("model", "iris"), ("version", "1")))] == 0.0
"""
import dataclasses
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
# What may follow the family's name in a sample's.
SUFFIXES = {
    False: {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]},
    True: {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"],
           "unknown": [""]},
}


@dataclasses.dataclass
class Family:
    name: str
    help: str = ""
    type: str = ""
    samples: dict = dataclasses.field(default_factory=dict)


def read_labels(text):
    labels, at = [], 0
    while text and at <= len(text):
        found = LABEL.match(text, at)
        assert found, f"bad labels {text!r}"
        labels.append((found[1], found[2]))
        at = found.end()
        if at == len(text):
            break
        assert text[at] == ",", f"bad labels {text!r}"
        at += 1
    names = [name for name, _ in labels]
    assert len(set(names)) == len(names), f"a repeated label in {text!r}"
    return tuple(labels)


def read_value(text):
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text.replace("Inf", "inf"))
    assert re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", text), f"bad value {text!r}"
    return float(text)


def check_histogram(family):
    """In each series: ascending bounds, cumulative counts, the last bound +Inf and equal to _count, and a _sum."""
    series = {}
    for (name, labels), value in family.samples.items():
        rest = tuple(label for label in labels if label[0] != "le")
        one = series.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            one["buckets"].append((read_value(dict(labels)["le"]), value))
        else:
            one[name.removeprefix(family.name)] = value
    for labels, one in series.items():
        bounds, counts = zip(*one["buckets"])
        assert list(bounds) == sorted(set(bounds)) and math.isinf(bounds[-1]), (family.name, labels, bounds)
        assert list(counts) == sorted(counts) and counts[-1] == one["_count"], (family.name, labels, counts)
        assert one["_sum"] >= 0


def read_sample(line, family, open_metrics):
    found = SAMPLE.fullmatch(line)
    assert found, f"not a sample: {line!r}"
    name, labels, value = found[1], read_labels(found[2] or ""), read_value(found[3])
    assert name.startswith(family.name) and name[len(family.name):] in SUFFIXES[open_metrics][family.type], line
    assert (name, labels) not in family.samples, f"a repeated sample: {line}"
    assert family.type == "gauge" or value >= 0, line
    assert family.type != "info" or value == 1, line
    family.samples[name, labels] = value


def parse(text, open_metrics):
    assert text.endswith("\n") and "\r" not in text
    lines = text[:-1].split("\n")
    if open_metrics:
        assert lines.pop() == "# EOF" and "" not in lines
    families, family = {}, None
    for line in lines:
        if line.startswith("# "):
            _, kind, name, rest = line.split(" ", 3)
            assert kind in ("HELP", "TYPE", "UNIT") and re.fullmatch(NAME, name), line
            if family is None or family.name != name:
                assert name not in families, f"the lines of {name} are not together"
                family = families[name] = Family(name)
            assert not family.samples, f"{line!r} after its samples"
            if kind == "HELP":
                assert not family.help and rest
                family.help = rest
            elif kind == "TYPE":
                assert not family.type and rest in SUFFIXES[open_metrics], line
                family.type = rest
            else:
                assert open_metrics and name.endswith("_" + rest), line
        elif line:
            assert family and family.type and family.help, f"{line!r} has no family"
            read_sample(line, family, open_metrics)
    for family in families.values():
        if family.type == "histogram":
            check_histogram(family)
    return families
