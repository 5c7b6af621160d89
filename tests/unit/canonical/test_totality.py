"""Every field of botocore's shapes survives and is compared, and so does one that nobody has heard of."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler import diff
from reconciler.aws import Aws
from reconciler.canonical import ecr, ecs

Path = tuple[str | int, ...]


@functools.cache
def model(service: str) -> dict[str, Any]:
    return Aws("us-east-1").service_model(service)


def sample(service: str, shape: str, field: str = "") -> Any:
    """A value of that shape with every field in it, none at its default."""
    described = model(service)["shapes"][shape]
    match described["type"]:
        case "structure":
            return {
                name: sample(service, member["shape"], name) for name, member in described["members"].items()
            }
        case "list":
            return [sample(service, described["member"]["shape"])]
        case "map":
            return {"key": "value"}
        case "boolean":
            return field != "essential"  # which is true by default
        case "string":
            return described["enum"][-1] if "enum" in described else f"some-{field}"
    return 7


def task_definition() -> dict[str, Any]:
    body: dict[str, Any] = sample("ecs", "RegisterTaskDefinitionRequest")
    body |= {"cpu": "1024", "memory": "2048", "requiresCompatibilities": ["EXTERNAL"]}
    body["containerDefinitions"][0]["versionConsistency"] = "disabled"
    body["volumes"][0]["efsVolumeConfiguration"]["authorizationConfig"]["iam"] = "ENABLED"
    body["volumes"][0]["efsVolumeConfiguration"]["transitEncryption"] = "ENABLED"
    body["proxyConfiguration"]["type"] = "NEXT"  # there is one type so far, the default
    return body


def repository() -> dict[str, Any]:
    body: dict[str, Any] = sample("ecr", "Repository")
    more = {
        "tags": [{"Key": "team", "Value": "x"}],
        "lifecyclePolicy": {"rules": [{"rulePriority": 1, "selection": {"countNumber": 1}}]},
        "repositoryPolicy": {"Statement": [{"Sid": "a", "Effect": "Allow", "Action": "ecr:a"}]},
    }
    return {key: value for key, value in body.items() if key not in ecr.DESCRIBED} | more


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def structures(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        if path[-1:] and path[-1] in ecs.MAPS:
            return
        yield path
        for key, item in value.items():
            yield from structures(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from structures(item, (*path, index))


def changed(body: dict[str, Any], path: Path, change: Any) -> dict[str, Any]:
    """A copy of `body` with `change(value)` at `path`."""
    made = copy.deepcopy(body)
    holder: Any = made
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = change(holder[path[-1]])
    return made


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}9"


def name(path: Path) -> str:
    return ".".join(map(str, path))


TASK, REPOSITORY = task_definition(), repository()
BOTH = [(ecs.canonical, TASK, path) for path in leaves(TASK)] + [
    (ecr.repository, REPOSITORY, path) for path in leaves(REPOSITORY)
]
HOLDERS = [(ecs.canonical, TASK, path) for path in structures(TASK)] + [
    (ecr.repository, REPOSITORY, path) for path in structures(REPOSITORY)
]


@pytest.mark.parametrize(("form", "body", "path"), BOTH, ids=[name(path) for _, _, path in BOTH])
def test_another_value_of_any_field_is_a_difference(form: Any, body: dict[str, Any], path: Path) -> None:
    found = diff.compare(form(body), form(changed(body, path, another)))
    assert found
    last = next(part for part in reversed(path) if isinstance(part, str))
    assert any(last in field.path or last in KEYS for field in found), found


KEYS = (
    # fields that name the item that they are in: another is another item
    *(
        "name",
        "value",
        "containerPath",
        "containerPort",
        "protocol",
        "sourceContainer",
        "containerName",
        "type",
    ),
    *("hostname", "ipAddress", "namespace", "deviceName", "deviceType", "expression", "valueFrom", "filter"),
    *("key", "Key", "Value", "Sid", "rulePriority", "containerPortRange"),
)


@pytest.mark.parametrize(("form", "body", "path"), BOTH, ids=[name(path) for _, _, path in BOTH])
def test_a_field_that_is_left_out_is_a_difference(form: Any, body: dict[str, Any], path: Path) -> None:
    if isinstance(path[-1], int):
        path = path[:-1]
    assert diff.compare(form(body), form(changed(body, path, lambda _: None)))


@pytest.mark.parametrize(("form", "body", "path"), HOLDERS, ids=[name(path) or "." for _, _, path in HOLDERS])
def test_a_field_that_nobody_has_heard_of_is_carried_and_compared_anywhere(
    form: Any, body: dict[str, Any], path: Path
) -> None:
    def with_novelty(value: Any) -> dict[str, Any]:
        more = copy.deepcopy(body)
        holder: Any = more
        for part in path:
            holder = holder[part]
        holder["novelty"] = value
        return more

    found = diff.compare(form(with_novelty({"depth": [1]})), form(with_novelty({"depth": [2]})))
    assert found or path[:1] == ("tags",), path
    assert diff.compare(form(body), form(with_novelty("x"))) or path[:1] == ("tags",)


def test_what_is_registered_is_what_was_given() -> None:
    assert ecs.to_api(ecs.canonical(TASK)) == TASK
