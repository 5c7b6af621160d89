"""Every object is read again just before it is changed: what moved since the plan is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconciler import plan
from reconciler.errors import GuardError
from reconciler.kinds import World
from reconciler.model import Manifest
from tests.aws import account
from tests.aws.account import Account, applied, converged, manifest, planned

CONTAINER: dict[str, Any] = {"name": "main", "image": "busybox@sha256:0", "memory": 8}


@pytest.fixture
def here() -> Iterator[tuple[Account, World]]:
    with account.account() as pair:
        yield pair


def repository(**body: Any) -> Manifest:
    return manifest("Repository", "tools", **body)


def family(**body: Any) -> Manifest:
    return manifest("TaskDefinition", "task", **{"containerDefinitions": [CONTAINER], **body})


def mutable(aws: Account) -> None:
    aws.call("ecr", "PutImageTagMutability", repositoryName="tools", imageTagMutability="IMMUTABLE")


def tag(aws: Account) -> None:
    arn = aws.call("ecr", "DescribeRepositories", repositoryNames=["tools"])["repositories"][0][
        "repositoryArn"
    ]
    aws.call("ecr", "TagResource", resourceArn=arn, tags=[{"Key": "bunnies:owner", "Value": "others"}])


def gone(aws: Account) -> None:
    aws.call("ecr", "DeleteRepository", repositoryName="tools")


def register(aws: Account) -> None:
    containers = [{**CONTAINER, "image": "theirs@sha256:1"}]
    aws.call("ecs", "RegisterTaskDefinition", family="task", containerDefinitions=containers)


MOVES = [
    (repository(), repository(tags={"team": "x"}), mutable, 'imageTagMutability "MUTABLE" → "IMMUTABLE"'),
    (repository(), repository(tags={"team": "x"}), tag, "owned by others"),
    (repository(), repository(tags={"team": "x"}), gone, "gone"),
    (
        None,
        repository(),
        lambda aws: aws.call("ecr", "CreateRepository", repositoryName="tools"),
        "there by now",
    ),
    (family(), family(cpu="512"), register, "no tag bunnies:owner; containerDefinitions[main].image"),
    (None, family(), register, "there by now"),
]


@pytest.mark.parametrize(("first", "then", "move", "words"), MOVES)
def test_what_moved_between_plan_and_change_is_refused(
    here: tuple[Account, World],
    first: Manifest | None,
    then: Manifest,
    move: Callable[[Account], object],
    words: str,
) -> None:
    aws, world = here
    if first:
        assert converged(world, first)
    changes = planned(world, then)
    move(aws)
    aws.made.clear()
    (outcome,) = applied(world, changes)
    assert outcome.status == "failed"
    assert words in outcome.detail
    assert outcome.stale
    changed = [name for name in aws.made if not name.startswith(("Describe", "List", "Get"))]
    assert changed == []


@pytest.mark.parametrize(("wanted", "move"), [(repository(), mutable), (family(), register)])
def test_what_moved_since_the_plan_is_not_deleted(
    here: tuple[Account, World], wanted: Manifest, move: Callable[[Account], object]
) -> None:
    aws, world = here
    assert converged(world, wanted)
    changes = planned(world, prune=True)
    move(aws)
    (outcome,) = applied(world, changes)
    assert (outcome.status, outcome.stale) == ("failed", True)


@pytest.mark.parametrize("wanted", [repository(prevent="destroy"), family(prevent="destroy")])
def test_what_must_not_be_destroyed_is_not_though_its_manifest_is_gone(
    here: tuple[Account, World], wanted: Manifest
) -> None:
    _, world = here
    assert converged(world, wanted)
    changes = planned(world, prune=True)
    assert [change.action for change in changes] == ["delete"]
    with pytest.raises(GuardError, match="prevent: destroy"):
        plan.guard(changes, 0, {}, allow_deletes=1)


@pytest.mark.parametrize("wanted", [repository, family])
def test_a_wish_that_is_taken_back_lets_it_be_deleted(
    here: tuple[Account, World], wanted: Callable[..., Manifest]
) -> None:
    _, world = here
    assert converged(world, wanted(prevent="destroy"))
    assert converged(world, wanted())
    plan.guard(planned(world, prune=True), 0, {}, allow_deletes=1)
