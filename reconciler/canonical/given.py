"""Documents that people have at hand, as canonical specs that can be compared.

Job: know the wrappings: what `describe-task-definition` prints, `register-task-definition --cli-input-json` takes,
CloudFormation and our manifests write; a bare list of container definitions; a policy, or the answer with its text.
Input: two parsed documents. Output: each unwrapped, and its canonical spec. Must not: open files. ValueError says what a document is not.

Where one side cannot say a thing, it is not compared: a bare list of containers has no volumes, a description
without `tags` was not asked for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler.canonical import ecr, ecs


@dataclass(frozen=True, slots=True)
class Given:
    """A document out of its wrapping, and the canonical spec of it."""

    body: Mapping[str, Any]
    spec: Mapping[str, Any]


_NOT_OURS: Final = ("kind", "adopt", "external", "forceDelete", "ignoreChanges", "keepRevisions", "prevent")
"""Fields of a manifest that are about managing a task definition, not part of it."""


def task_definitions(left: Any, right: Any) -> tuple[Given, Given]:
    """The canonical specs of two task definitions, less what one of them cannot say."""
    sides = [_definition(document) for document in (left, right)]
    bare = [side.keys() == {"containerDefinitions"} for side in sides]
    for side, other, alone in ((sides[0], sides[1], bare[0]), (sides[1], sides[0], bare[1])):
        if alone:  # what a port's default is depends on the network
            side |= {key: other[key] for key in other if key not in ("containerDefinitions", "tags")}
            side["tags"] = other.get("tags") if "tags" in other else []
    for field in ("family", "tags"):
        if any(field not in side for side in sides):
            for side in sides:
                side.pop(field, None)
    return _pair(sides, ecs.canonical)


def lifecycle_policies(left: Any, right: Any) -> tuple[Given, Given]:
    """The canonical forms of two lifecycle policies."""
    sides = [_policy(side, "lifecyclePolicyText", "rules") for side in (left, right)]
    return _pair(sides, ecr.lifecycle_policy)


def repository_policies(left: Any, right: Any) -> tuple[Given, Given]:
    """The canonical forms of two repository policies; a bare account id is of the partition that the ARNs name."""
    sides = [_policy(side, "policyText", "Statement") for side in (left, right)]
    partition = ecr.partition_of(*sides)
    return _pair(sides, lambda side: ecr.repository_policy(side, partition))


BY_KIND: Final = {
    "task-definition": task_definitions,
    "lifecycle-policy": lifecycle_policies,
    "repository-policy": repository_policies,
}


def _pair(
    sides: Sequence[dict[str, Any]], canonical: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> tuple[Given, Given]:
    one, other = (Given(side, canonical(side)) for side in sides)
    return one, other


def _definition(document: Any) -> dict[str, Any]:
    if isinstance(document, list):
        return {"containerDefinitions": _containers(document)}
    body = _mapping(document, "a task definition is a mapping, or a list of container definitions")
    fields = {str(key)[:1].lower() + str(key)[1:]: value for key, value in body.items()}
    if isinstance(inner := fields.get("taskDefinition"), Mapping):
        more = {"tags": fields["tags"]} if "tags" in fields else {}
        return {**_definition(inner), **more}
    if isinstance(inner := fields.get("properties"), Mapping):  # a resource of CloudFormation
        return _definition(inner)
    if fields.get("kind") == "TaskDefinition":
        fields = {key: value for key, value in fields.items() if key not in _NOT_OURS}
        fields.setdefault("tags", [])
        fields.setdefault("family", fields.pop("name", None))
    if "containerDefinitions" not in fields:
        raise ValueError("it has no containerDefinitions: it is not a task definition")
    fields["containerDefinitions"] = _containers(fields["containerDefinitions"])
    return fields


def _containers(given: Any) -> Any:
    if not isinstance(given, list) or not all(item is None or isinstance(item, Mapping) for item in given):
        raise ValueError("containerDefinitions is a list of mappings")
    return given


def _policy(document: Any, wrapped: str, holds: str) -> dict[str, Any]:
    """The document of a policy, out of the answer that carries it as text, if need be."""
    if isinstance(document, Mapping) and isinstance(document.get(wrapped), str | Mapping):
        document = document[wrapped]
    policy = ecr.document(document)
    items = policy.get(holds) or []
    items = [items] if isinstance(items, Mapping) and holds == "Statement" else items
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise ValueError(f"{holds} is a list of mappings")
    if policy and holds not in policy:
        raise ValueError(f"it has no {holds}: it is not a policy of this kind")
    return policy


def _mapping(document: Any, otherwise: str) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise ValueError(otherwise)
    return document
