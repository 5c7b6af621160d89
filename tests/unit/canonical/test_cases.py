"""The cases of tests/cases/ecs and tests/cases/ecr: what is the same, and what would be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler import diff
from reconciler.canonical import ecr, ecs, fargate, mistakes
from reconciler.model import UNKNOWN, Ref

CASES = Path(__file__).parents[2] / "cases"


def cases(name: str) -> list[Any]:
    return [
        pytest.param(case, id=case["it"]) for case in YAML(typ="safe").load((CASES / name).read_text("utf-8"))
    ]


@pytest.mark.parametrize("case", cases("ecs/same.yaml"))
def test_task_definitions(case: dict[str, Any]) -> None:
    left, right = ecs.canonical(case["left"]), ecs.canonical(case["right"])
    assert (not diff.compare(left, right)) is case["equal"], diff.compare(left, right)
    for one in (left, right):
        assert ecs.canonical(one) == one
        assert ecs.canonical(ecs.to_api(one)) == one


@pytest.mark.parametrize("case", cases("ecr/same.yaml"))
def test_repositories_and_policies(case: dict[str, Any]) -> None:
    form = getattr(ecr, case["of"])
    more = [] if case["of"] == "lifecycle_policy" else [ecr.partition_of(case["left"], case["right"])]
    left, right = form(case["left"], *more), form(case["right"], *more)
    assert (not diff.compare(left, right)) is case["equal"], diff.compare(left, right)
    for one in (left, right):
        assert form(one, *more) == one


@pytest.mark.parametrize("case", cases("ecs/mistakes.yaml"))
def test_mistakes_in_task_definitions(case: dict[str, Any]) -> None:
    found = mistakes.problems("align-task", case["body"])
    messages = {".".join(map(str, path)): what for path, what in found}
    assert messages.keys() == case["finds"].keys(), messages
    for path, words in case["finds"].items():
        assert words in messages[path]


@pytest.mark.parametrize("case", cases("ecs/overrides.yaml"))
def test_mistakes_in_overrides(case: dict[str, Any]) -> None:
    task = {"cpu": "1 vCPU", "memory": "2 GB", "requiresCompatibilities": ["FARGATE"], **case.get("task", {})}
    found = fargate.overrides(ecs.canonical(task), case["overrides"], case.get("platformVersion"))
    messages = {".".join(map(str, path)): what for path, what in found}
    assert messages.keys() == case["finds"].keys(), messages
    for path, words in case["finds"].items():
        assert words in messages[path]


def test_an_entry_point_that_would_bypass_the_shim_is_refused() -> None:
    body = {"containerDefinitions": [{"name": "a", "memory": 8, "entryPoint": ["/bin/sh"], "image": None}]}
    container: dict[str, Any] = body["containerDefinitions"][0]
    assert mistakes.problems("align-task", body) == []
    container["image"] = Ref("repository/analytics", "uri")
    assert mistakes.problems("align-task", body) == []
    container["image"] = Ref("image/analytics", "uri")
    ((path, what),) = mistakes.problems("align-task", body)
    assert path == ("containerDefinitions", 0, "entryPoint")
    assert "bunny-init" in what


def test_values_that_are_not_known_yet_are_not_judged() -> None:
    body = {
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": UNKNOWN,
        "cpu": UNKNOWN,
        "memory": UNKNOWN,
        "containerDefinitions": [{"name": "a", "image": UNKNOWN}],
    }
    assert mistakes.problems("align-task", body) == []


def test_a_family_of_a_strange_name_is_refused() -> None:
    found = mistakes.problems("align task", {"containerDefinitions": [{"name": "a", "memory": 8}]})
    assert [path for path, _ in found] == [("name",)]
