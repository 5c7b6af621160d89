"""Whatever the manifest: applied once, there is nothing left to do; and what is there, written as a manifest, is it.

More cases: BUNNIES_EXAMPLES=1000.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from reconciler.canonical import ecr, ecs
from reconciler.errors import AwsError
from reconciler.kinds import World
from reconciler.model import Action
from tests import shapes
from tests.aws import account
from tests.aws.account import Account, applied, manifest, planned

SOME = settings(
    max_examples=shapes.EXAMPLES or 25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # each case is a cloud of its own: no time to shrink one
    suppress_health_check=[HealthCheck.too_slow],
)


def as_moto_takes_it(body: dict[str, Any]) -> dict[str, Any]:
    """What moto neither forgets nor refuses: no fault injection, awsvpc wherever Fargate may be meant, its sizes."""
    body = {key: value for key, value in body.items() if key != "enableFaultInjection"}
    if body.get("requiresCompatibilities", ["EC2"]) not in ([], ["EC2"]):
        body |= {"networkMode": "awsvpc", "cpu": "256", "memory": "512"}
        body = {key: value for key, value in body.items() if key not in ("pidMode", "ipcMode")}
    return body


def settle(world: World, *manifests: Any) -> None:
    changes = planned(world, *manifests)
    assert [change.action for change in changes] == [Action.CREATE] * len(manifests)
    outcomes = applied(world, changes)
    assert [one.status for one in outcomes] == ["changed"] * len(manifests), "\n".join(
        one.detail for one in outcomes
    )
    left = planned(world, *manifests)
    assert {change.action for change in left} == {Action.UNCHANGED}, [change.fields for change in left]


@SOME
@given(shapes.task_definitions())
def test_a_task_definition(body: dict[str, Any]) -> None:
    body = as_moto_takes_it(body)
    with account.account() as (aws, world):
        settle(world, manifest("TaskDefinition", "task", **body))
        answer = aws.call("ecs", "DescribeTaskDefinition", taskDefinition="task", include=["TAGS"])
        definition = answer["taskDefinition"]
        exported = {k: v for k, v in definition.items() if k not in (*ecs.DESCRIBED, "family")}
        tags = {tag["key"]: tag["value"] for tag in answer["tags"] if not tag["key"].startswith("bunnies:")}
        (change,) = planned(world, manifest("TaskDefinition", "task", **exported, tags=tags))
        assert change.action is Action.UNCHANGED, change.fields


@SOME
@given(shapes.repositories())
def test_a_repository(body: dict[str, Any]) -> None:
    with account.account() as (aws, world):
        settle(world, manifest("Repository", "lab/a", **body))
        (change,) = planned(world, manifest("Repository", "lab/a", **exported(aws)))
        assert change.action is Action.UNCHANGED, change.fields


def exported(aws: Account) -> dict[str, Any]:
    """The repository as a manifest would say it."""
    (described,) = aws.call("ecr", "DescribeRepositories")["repositories"]
    body = {key: value for key, value in described.items() if key not in ecr.DESCRIBED}
    for field, operation, text in (
        ("lifecyclePolicy", "GetLifecyclePolicy", "lifecyclePolicyText"),
        ("repositoryPolicy", "GetRepositoryPolicy", "policyText"),
    ):
        with contextlib.suppress(AwsError):  # it has none
            body[field] = json.loads(aws.call("ecr", operation, repositoryName="lab/a")[text])
    tags = aws.call("ecr", "ListTagsForResource", resourceArn=described["repositoryArn"])["tags"]
    known = {tag["Key"]: tag["Value"] for tag in tags}
    body["tags"] = {key: value for key, value in known.items() if not key.startswith("bunnies:")}
    body["forceDelete"] = known.get("bunnies:force-delete") == "true"
    return body


@SOME
@given(shapes.repositories(), shapes.repositories())
def test_from_any_repository_to_any_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    with account.account() as (_, world):
        settle(world, manifest("Repository", "lab/a", **before))
        assert account.converged(world, manifest("Repository", "lab/a", **after))


@SOME
@given(shapes.task_definitions(), shapes.task_definitions())
def test_from_any_task_definition_to_any_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    with account.account() as (_, world):
        settle(world, manifest("TaskDefinition", "task", **as_moto_takes_it(before)))
        assert account.converged(world, manifest("TaskDefinition", "task", **as_moto_takes_it(after)))
