"""Manifests out of botocore's own shapes: every field that the API has, in every mixture.

Job: Hypothesis strategies for the bodies of task definitions and repositories. Input: the service models. Output:
bodies as a manifest has them. Must not: know what is canonical. More cases: BUNNIES_EXAMPLES=5000.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from hypothesis import strategies as st

from reconciler.aws import Aws
from reconciler.canonical import ecs

EXAMPLES = int(os.environ.get("BUNNIES_EXAMPLES", "0"))
"""How many cases a property takes; 0 leaves it to each."""

words = st.text(st.sampled_from("abcXYZ019._-"), min_size=1, max_size=6)
values = st.one_of(words, st.just(""), st.sampled_from(["1.10", "0755", "yes", "2E01", "ü ☂", "a b"]))
ROLE = "arn:aws:iam::123456789012:role/lab"

_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "containerPort": st.integers(1, 4),
    "hostPort": st.integers(0, 4),
    "value": values,
    "valueFrom": words,
    "name": words,
    "healthCheck": st.fixed_dictionaries(
        {"command": st.lists(words, min_size=1, max_size=2)},
        optional={name: st.integers(1, 30) for name in ("interval", "timeout", "retries", "startPeriod")},
    ),
}
_TOP: dict[str, st.SearchStrategy[Any]] = {
    "cpu": st.sampled_from(["256", "1 vCPU", ".25 vcpu", "1024"]),
    "memory": st.sampled_from(["512", "2GB", "2 gb", "1024"]),
    "networkMode": st.sampled_from(["awsvpc", "bridge", "host", "none"]),
    "taskRoleArn": st.just(ROLE),
    "executionRoleArn": st.just(ROLE),
    "tags": st.dictionaries(words, values, max_size=3),
}
_REQUIRED = {"containerDefinitions": ("name", "image", "memory")}


@functools.cache
def _shapes(service: str) -> dict[str, Any]:
    shapes: dict[str, Any] = Aws("us-east-1").service_model(service)["shapes"]
    return shapes


@functools.cache
def _of(service: str, shape: str, field: str) -> st.SearchStrategy[Any]:
    described = _shapes(service)[shape]
    match described["type"]:
        case "structure":
            fields = {
                name: _member(service, name, one["shape"]) for name, one in described["members"].items()
            }
            needed = (*_REQUIRED.get(field, ()), *_keys(field), *described.get("required", ()))
            must = {name: one for name, one in fields.items() if name in needed}
            may = {name: one for name, one in fields.items() if name not in needed}
            return st.fixed_dictionaries(must, optional=may)
        case "list":
            return _list(service, described["member"]["shape"], field)
        case "map":
            return st.dictionaries(words, values, max_size=2)
        case "boolean":
            return st.booleans()
        case "string":
            return st.sampled_from(described["enum"]) if "enum" in described else words
    return st.integers(0, 9)


def _member(service: str, name: str, shape: str) -> st.SearchStrategy[Any]:
    return _FIELDS[name] if name in _FIELDS else _of(service, shape, name)


def _list(service: str, shape: str, field: str) -> st.SearchStrategy[Any]:
    if not _keys(field):
        return st.lists(_of(service, shape, field), max_size=2, unique=field in ecs.PLAIN_SETS)
    return st.lists(_of(service, shape, field), max_size=2, unique_by=lambda item: _name(field, item))


def _keys(field: str) -> tuple[str, ...]:
    """The fields that an item of a set is known by: AWS takes none without them, and none twice."""
    if field in ecs.PAIRS:
        return ecs.PAIRS[field]
    natural = {
        "portMappings": ("containerPort",),
        "mountPoints": ("containerPath",),
        "volumesFrom": ("sourceContainer",),
        "resourceRequirements": ("type", "value"),
        "dependsOn": ("containerName",),
        "placementConstraints": ("expression", "type"),
        "devices": ("hostPath", "containerPath"),
        "tmpfs": ("containerPath",),
    }
    return natural.get(field, ("name",) if field in ecs.SETS else ())


def _name(field: str, item: dict[str, Any]) -> str:
    return str(item[ecs.PAIRS[field][0]]) if field in ecs.PAIRS else str(ecs.SETS[field](item))


@functools.cache
def task_definitions() -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of TaskDefinition manifests, with one container or two."""
    members = _shapes("ecs")["RegisterTaskDefinitionRequest"]["members"]
    fields = {
        name: _TOP[name] if name in _TOP else _member("ecs", name, one["shape"])
        for name, one in members.items()
    }
    del fields["family"]
    del fields["containerDefinitions"]
    containers = st.lists(
        _of("ecs", "ContainerDefinition", "containerDefinitions"),
        min_size=1,
        max_size=2,
        unique_by=lambda one: one["name"],
    )
    return st.fixed_dictionaries({"containerDefinitions": containers}, optional=fields)


_rules = st.lists(
    st.fixed_dictionaries(
        {
            "rulePriority": st.integers(1, 5),
            "selection": st.one_of(
                st.fixed_dictionaries(
                    {
                        "tagStatus": st.just("untagged"),
                        "countType": st.just("imageCountMoreThan"),
                        "countNumber": st.integers(1, 9),
                    }
                ),
                st.fixed_dictionaries(
                    {
                        "tagStatus": st.just("tagged"),
                        "tagPrefixList": st.lists(words, min_size=1, max_size=3, unique=True),
                        "countType": st.just("sinceImagePushed"),
                        "countUnit": st.just("days"),
                        "countNumber": st.integers(1, 9),
                    }
                ),
            ),
            "action": st.just({"type": "expire"}),
        },
        optional={"description": st.text(st.sampled_from("abc "), max_size=9)},
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda rule: rule["rulePriority"],
)
_principals = st.one_of(
    st.just("*"),
    st.just({"AWS": "123456789012"}),
    st.just({"AWS": ["arn:aws:iam::123456789012:root", "arn:aws:iam::000000000000:role/x"]}),
    st.just({"Service": "codebuild.amazonaws.com"}),
)
_actions = st.sampled_from(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:PutImage", "ECR:*"])
_statements = st.fixed_dictionaries(
    {
        "Sid": words,
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Principal": _principals,
        "Action": st.one_of(_actions, st.lists(_actions, min_size=1, max_size=3, unique=True)),
    },
    optional={
        "Condition": st.just({"Bool": {"aws:SecureTransport": "true"}}),
    },
)


@functools.cache
def repositories() -> st.SearchStrategy[dict[str, Any]]:
    """Bodies of Repository manifests that ECR takes."""
    return st.fixed_dictionaries(
        {},
        optional={
            "imageTagMutability": st.sampled_from(["MUTABLE", "IMMUTABLE"]),
            "imageScanningConfiguration": st.fixed_dictionaries({}, optional={"scanOnPush": st.booleans()}),
            "lifecyclePolicy": st.builds(lambda rules: {"rules": rules}, _rules),
            "repositoryPolicy": st.builds(
                lambda some: {"Version": "2012-10-17", "Statement": some[0] if len(some) == 1 else some},
                st.lists(_statements, min_size=1, max_size=2, unique_by=lambda one: one["Sid"]),
            ),
            "tags": st.dictionaries(words, values, max_size=3),
            "forceDelete": st.booleans(),
        },
    )
