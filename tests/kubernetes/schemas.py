#!/usr/bin/env python3
"""JSON schemas for kubeconform, from what the projects publish: Kubernetes' OpenAPI document and the definitions of resources.

    schemas.py OUT KUBERNETES CRD...      # KUBERNETES: api/openapi-spec/swagger.json of k8s.io/kubernetes; CRD: a YAML file

Writes OUT/GROUP/KIND_VERSION.json, kind in lower case, for the kinds below and all kinds of the definitions. They are strict: an unknown
field is an error, and so is null, which Kubernetes would drop without a word.
"""
import json
import pathlib
import sys

import yaml

KINDS = {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "PodDisruptionBudget",
         "Secret", "Service", "ServiceAccount", "StatefulSet"}
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
NUMBER_OR_TEXT = {"anyOf": [{"type": "string"}, {"type": "number"}]}
KEPT = ("type", "enum", "required", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "format",
        "uniqueItems", "minProperties", "maxProperties")
COMBINED = ("anyOf", "oneOf", "allOf")


def strict(schema, definitions):
    """The schema with its references resolved, and closed."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return NUMBER_OR_TEXT if name == QUANTITY else strict(definitions[name], definitions)
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    out = {key: schema[key] for key in KEPT if key in schema}
    out |= {key: [strict(one, definitions) for one in schema[key]] for key in COMBINED if key in schema}
    if "not" in schema:
        out["not"] = strict(schema["not"], definitions)
    if isinstance(schema.get("items"), dict):
        out["items"] = strict(schema["items"], definitions)
    if isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = strict(schema["additionalProperties"], definitions)
    if "properties" in schema:
        out["properties"] = {key: strict(one, definitions) for key, one in schema["properties"].items()}
        # A part of anyOf says what must be there, not all that may be.
        if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
            out.setdefault("additionalProperties", False)
    return out


def write(out, group, version, kind, schema):
    schema["properties"] |= {"apiVersion": {"const": f"{group}/{version}" if group else version}, "kind": {"const": kind}}
    schema["required"] = sorted({*schema.get("required", []), "apiVersion", "kind", "metadata"})
    path = out / (group or version) / f"{kind.lower()}_{version}.json"  # kubeconform calls the core group by its version
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, sort_keys=True))


def main(out, kubernetes, *crds):
    out = pathlib.Path(out)
    definitions = json.loads(pathlib.Path(kubernetes).read_text())["definitions"]
    for definition in definitions.values():
        for one in definition.get("x-kubernetes-group-version-kind", []):
            if one["kind"] in KINDS and one["version"].startswith("v") and one["version"][1:].isdigit():
                write(out, one["group"], one["version"], one["kind"], strict(definition, definitions))
    for crd in crds:
        spec = yaml.safe_load(pathlib.Path(crd).read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"], definitions)
            schema["properties"]["metadata"] = strict(definitions[METADATA], definitions)
            write(out, spec["group"], version["name"], spec["names"]["kind"], schema)


if __name__ == "__main__":
    main(*sys.argv[1:])
