"""A process that dies at any of its calls: its digest is absent or right, and the next apply converges."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import canonical, kinds
from reconciler.canonical import ecs
from reconciler.kinds import World, ownership
from reconciler.model import Manifest, Resource
from tests.aws import account
from tests.aws.account import Account, Crash, applied, converged, manifest, planned

RULE = {
    "rulePriority": 1,
    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9},
    "action": {"type": "expire"},
}
POLICY = {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}}
FULL: dict[str, Any] = {
    "imageTagMutability": "IMMUTABLE",
    "imageScanningConfiguration": {"scanOnPush": True},
    "lifecyclePolicy": {"rules": [RULE]},
    "repositoryPolicy": POLICY,
    "tags": {"team": "genomics"},
    "forceDelete": True,
}
OTHER: dict[str, Any] = {
    "imageTagMutability": "MUTABLE",
    "lifecyclePolicy": {"rules": [RULE | {"rulePriority": 2}]},
    "tags": {"lane": "L1"},
}
TASK: dict[str, Any] = {
    "tags": {"team": "genomics"},
    "containerDefinitions": [{"name": "a", "image": "x", "memory": 512}],
}
OTHER_TASK: dict[str, Any] = {"containerDefinitions": [{"name": "a", "image": "y", "memory": 512}]}

# what was there before, and what is wanted: None is nothing, "theirs" a thing without our tags
WAYS = {
    "a repository is created": (None, manifest("Repository", "lab/a", **FULL)),
    "a repository is changed": (
        manifest("Repository", "lab/a", **FULL),
        manifest("Repository", "lab/a", **OTHER),
    ),
    "a repository is taken over": ("theirs", manifest("Repository", "lab/a", adopt=True, **FULL)),
    "a family is created": (None, manifest("TaskDefinition", "task", **TASK)),
    "a family is revised": (
        manifest("TaskDefinition", "task", **TASK),
        manifest("TaskDefinition", "task", keepRevisions=0, **OTHER_TASK),
    ),
    "a family has other tags": (
        manifest("TaskDefinition", "task", **TASK),
        manifest("TaskDefinition", "task", **TASK | {"tags": {"lane": "L1"}}),
    ),
}


def begin(aws: Account, world: World, before: Manifest | str | None) -> None:
    if isinstance(before, Manifest):
        assert converged(world, before)
    elif before == "theirs":
        aws.call("ecr", "CreateRepository", repositoryName="lab/a", tags=[{"Key": "old", "Value": "1"}])


def live(world: World, wanted: Manifest) -> Resource | None:
    kind = kinds.by_name(wanted.kind.lower())
    return kind.live(world, [kind.desired(wanted, world.settings, {})]).get(wanted.address)


def calls(before: Manifest | str | None, wanted: Manifest) -> int:
    """How many calls the apply makes when nothing happens to it."""
    with account.account() as (aws, world):
        begin(aws, world, before)
        changes = planned(world, wanted)
        aws.made.clear()
        applied(world, changes)
        return len(aws.made)


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_at_any_call(way: str) -> None:
    before, wanted = WAYS[way]
    count = calls(before, wanted)
    assert count >= 3
    for number in range(1, count + 1):
        for when in ("before", "after"):
            with account.account() as (aws, world):
                begin(aws, world, before)
                changes = planned(world, wanted)
                aws.made.clear()
                aws.cut = (when, number)
                with pytest.raises(Crash):
                    applied(world, changes)
                aws.cut = None
                found = live(world, wanted)
                if found is not None and found.digest is not None and found.owner == "reprod":
                    assert found.digest == canonical.digest(found.spec), (when, number)
                assert converged(world, wanted), (when, number)
                settled = live(world, wanted)
                assert settled is not None
                assert settled.digest in (None, digest(world, wanted)), (when, number)


def digest(world: World, of: Manifest) -> str:
    return canonical.digest(kinds.by_name(of.kind.lower()).desired(of, world.settings, {}).spec)


def test_a_digest_is_of_the_spec_and_not_of_the_tags() -> None:
    spec = ecs.canonical(TASK)
    assert canonical.digest(spec) == canonical.digest({**spec, "tags": {ownership.DIGEST: "x"}})
