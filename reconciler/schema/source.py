"""The manifest schema's source: what our own fields are, and what botocore's service models say of AWS's.

Job: build schemas/manifest.schema.json. Input: the service models of ecs and ecr (parsed `service-2`). Output: a JSON
Schema, the same every time. Must not: read or write files.

`template` alternatives exist for editors alone: `maxParallel: "{{ n }}"` is right in a file, and a number once filled in.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from reconciler.schema.own_fields import FORMS, JOB_FIELDS, KINDS, Schema

TEMPLATE: Schema = {"$ref": "#/$defs/template"}
_NOT_OURS_TO_GIVE = {
    "cluster",
    "count",
    "overrides",
    "startedBy",
    "clientToken",
    "tags",
    "taskDefinition",
    "containerOverrides",
    "inferenceAcceleratorOverrides",
}


def manifest(ecs: Mapping[str, Any], ecr: Mapping[str, Any]) -> Schema:
    """The schema of one document; `$defs/KIND` is that of a kind, filled in or not."""
    service = _Shapes({"ecs": ecs["shapes"], "ecr": ecr["shapes"]})
    kinds = {name: dict(schema, properties=dict(schema["properties"])) for name, schema in KINDS.items()}
    task = service.fields("ecs", "RegisterTaskDefinitionRequest", leave={"family", "tags"})
    kinds["TaskDefinition"]["properties"] |= {
        name: task[name] for name in task if name not in ("cpu", "memory")
    }
    repository = service.fields("ecr", "CreateRepositoryRequest", leave={"repositoryName", "tags"})
    kinds["Repository"]["properties"] |= repository
    run = service.fields("ecs", "RunTaskRequest", leave=_NOT_OURS_TO_GIVE)
    override = service.fields("ecs", "TaskOverride", leave={*_NOT_OURS_TO_GIVE, "cpu", "memory"})
    kinds["Job"]["properties"] = {**JOB_FIELDS, **run, **override, **kinds["Job"]["properties"]}
    for name, schema in kinds.items():
        schema["properties"] = {"kind": {"const": name}, **schema["properties"]}
        schema.update(type="object", additionalProperties=False)
    branches = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/{name}"},
        }
        for name in kinds
    ]
    defs = kinds | FORMS | {name: service.defs[name] for name in sorted(service.defs)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "manifest.schema.json",
        "title": "bunnies manifest",
        "description": "One YAML document: Settings, Repository, Image, TaskDefinition or Job. Made by `python -m reconciler.schema`.",
        "type": "object",
        "required": ["kind", "name"],
        "properties": {"kind": {"enum": list(kinds)}},
        "allOf": branches,
        "$defs": {name: _editable(schema) for name, schema in defs.items()},
    }


def _editable(schema: Any) -> Any:
    """`schema` with a template allowed wherever something other than free text is wanted."""
    if isinstance(schema, list):
        return [_editable(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    # the names of properties are not keywords: {"type": …} may be a field of AWS's
    made = {
        key: {name: _editable(entry) for name, entry in value.items()}
        if key in ("properties", "$defs")
        else _editable(value)
        for key, value in schema.items()
    }
    types = made.get("type")
    wanted = {types} if isinstance(types, str) else set(types or ())
    if "enum" in made or (wanted & {"integer", "boolean", "number", "array"} and "string" not in wanted):
        described = {"description": made.pop("description")} if "description" in made else {}
        return {**described, "anyOf": [made, TEMPLATE]}
    return made


class _Shapes:
    """Turns botocore's shapes into schemas; every structure becomes one of `defs`."""

    def __init__(self, services: Mapping[str, Mapping[str, Any]]) -> None:
        self.services = services
        self.defs: dict[str, Schema] = {}

    def fields(self, service: str, shape: str, leave: set[str]) -> dict[str, Schema]:
        """The members of a structure, but those to leave out."""
        members = self.services[service][shape]["members"]
        return {name: self.member(service, member) for name, member in members.items() if name not in leave}

    def member(self, service: str, member: Mapping[str, Any]) -> Schema:
        schema = self.shape(service, member["shape"])
        described = first_sentence(member.get("documentation", ""))
        return {"description": described, **schema} if described else schema

    def shape(self, service: str, name: str) -> Schema:
        shape = self.services[service][name]
        kind = shape["type"]
        if kind == "structure":
            self.structure(service, name, shape)
            return {"$ref": f"#/$defs/{service}.{name}"}
        if kind == "list":
            return {"type": "array", "items": self.shape(service, shape["member"]["shape"])}
        if kind == "map":
            return {"type": "object", "additionalProperties": self.shape(service, shape["value"]["shape"])}
        if kind == "string":
            return {"type": "string", "enum": list(shape["enum"])} if "enum" in shape else {"type": "string"}
        return {"type": {"boolean": "boolean", "integer": "integer", "long": "integer"}.get(kind, "number")}

    def structure(self, service: str, name: str, shape: Mapping[str, Any]) -> None:
        key = f"{service}.{name}"
        if key in self.defs:
            return
        schema: Schema = {"type": "object", "additionalProperties": False}
        self.defs[key] = schema
        if shape.get("required"):
            schema["required"] = list(shape["required"])
        schema["properties"] = {
            field: self.member(service, member) for field, member in shape["members"].items()
        }
        if name == "KeyValuePair":  # one rule for every environment: integers become their decimal text
            schema["properties"]["value"] = dict(schema["properties"]["value"], type=["string", "integer"])


def first_sentence(documentation: str) -> str:
    """The first sentence of a service model's HTML, as text."""
    text = html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"</p>|<br/?>|<li>", " ", documentation)))
    text = " ".join(text.split())
    sentence = re.match(r"(.+?[.:])(?=\s+[A-Z]|\s*$)", text)
    return (sentence[1] if sentence else text).rstrip(":")
