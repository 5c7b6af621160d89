from __future__ import annotations

from typing import Any

import pytest

from reconciler import tasks


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ({}, None),
        ({"containerOverrides": [{"name": "a"}]}, None),
        ({"containerOverrides": [{"name": "a", "environment": [{"name": "X", "value": "1"}]}]}, None),
        (
            {
                "containerOverrides": [
                    {"name": "sidecar"},
                    {"name": "a", "environment": [{"name": "JOBSPEC", "value": "s3://b/k"}]},
                ]
            },
            "s3://b/k",
        ),
    ],
)
def test_a_task_is_recognised_by_its_jobspec_alone(overrides: dict[str, Any], found: str | None) -> None:
    assert tasks.jobspec_of({"overrides": overrides}) == found
    assert tasks.jobspec_of({}) is None
