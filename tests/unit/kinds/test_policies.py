"""The cases of tests/cases/ecr/mistakes.yaml: what is wrong with a repository's policies, before any call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.canonical import ecr
from reconciler.kinds import policies

CASES = Path(__file__).parents[2] / "cases/ecr/mistakes.yaml"


def length(policy: Any) -> int:
    return len(ecr.lifecycle_text(ecr.lifecycle_policy(policy)))


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case["it"]) for case in YAML(typ="safe").load(CASES.read_text("utf-8"))],
)
def test_mistakes_in_policies(case: dict[str, Any]) -> None:
    body = case["body"]
    if padded := case.get("padded"):
        rule = body["lifecyclePolicy"]["rules"][0]
        rule["description"] = "-"
        rule["description"] = "-" * (padded - length(body["lifecyclePolicy"]) + 1)
        assert length(body["lifecyclePolicy"]) == padded
    found = dict(policies.problems(body))
    assert found.keys() == case["finds"].keys(), found
    for field, words in case["finds"].items():
        assert words in found[field]
