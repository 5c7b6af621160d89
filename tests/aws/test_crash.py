"""A process that dies at any of its calls: its digest is absent or right, and the next apply converges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler import canonical, kinds
from reconciler.canonical import ecs
from reconciler.errors import AwsError
from reconciler.kinds import World, ownership
from reconciler.model import Action, Manifest, Resource, Status
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

BOTH = [manifest("Repository", "lab/a", **FULL), manifest("TaskDefinition", "task", **TASK)]


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
                assert settled.digest == canonical_digest(world, wanted), (when, number)


def canonical_digest(world: World, of: Manifest) -> str:
    return canonical.digest(kinds.by_name(of.kind.lower()).desired(of, world.settings, {}).spec)


def test_a_digest_is_of_the_spec_and_not_of_the_tags() -> None:
    spec = ecs.canonical(TASK)
    assert canonical.digest(spec) == canonical.digest({**spec, "tags": {ownership.DIGEST: "x"}})


@pytest.mark.parametrize("digest", [None, "v1:of-another-day", "v0:of-another-form"])
@pytest.mark.parametrize("wanted", BOTH)
def test_a_digest_that_is_not_there_is_written_by_an_apply_with_nothing_to_do(
    wanted: Manifest, digest: str | None
) -> None:
    with account.account() as (aws, world):
        assert converged(world, wanted)
        tag(aws, wanted, digest)
        (change,) = planned(world, wanted)
        assert (change.action, tagged(world, wanted)) == (Action.UNCHANGED, digest)
        (outcome,) = applied(world, [change])
        assert outcome.status is Status.UNCHANGED
        assert tagged(world, wanted) == canonical_digest(world, wanted)
        aws.made.clear()
        applied(world, planned(world, wanted))
        assert "TagResource" not in aws.made


@pytest.mark.parametrize("wanted", BOTH)
def test_a_digest_that_may_not_be_written_fails_nothing(wanted: Manifest) -> None:
    with account.account() as (aws, world):
        assert converged(world, wanted)
        tag(aws, wanted, None)
        changes = planned(world, wanted)
        aws.refused["TagResource"] = [AwsError("TagResource", "AccessDeniedException", "no", 403)]
        said: list[str] = []
        (outcome,) = applied(replace(world, tell=said.append), changes)
        assert outcome.status is Status.UNCHANGED
        assert "its digest could not be written" in said[-1]


@pytest.mark.parametrize("wanted", BOTH)
def test_what_moved_since_the_plan_gets_no_digest(wanted: Manifest) -> None:
    with account.account() as (aws, world):
        assert converged(world, wanted)
        tag(aws, wanted, None)
        changes = planned(world, wanted)
        tag(aws, wanted, None, {"team": "others"})
        applied(world, changes)
        assert tagged(world, wanted) is None


def test_an_external_repository_is_never_tagged() -> None:
    with account.account() as (aws, world):
        aws.call("ecr", "CreateRepository", repositoryName="lab/a")
        assert converged(world, manifest("Repository", "lab/a", external=True))
        assert tags(aws, "lab/a") == {}


def tags(aws: Account, name: str) -> dict[str, str]:
    (found,) = aws.call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"]
    answer = aws.call("ecr", "ListTagsForResource", resourceArn=found["repositoryArn"])
    return ownership.by_key(answer["tags"])


def tagged(world: World, wanted: Manifest) -> str | None:
    found = live(world, wanted)
    assert found is not None
    return found.digest


def tag(aws: Account, of: Manifest, digest: str | None, more: dict[str, str] | None = None) -> None:
    """Somebody's hand on the tags: the digest becomes `digest`, or goes."""
    service, key, value = ("ecr", "Key", "Value") if of.kind == "Repository" else ("ecs", "key", "value")
    if service == "ecr":
        arn = aws.call("ecr", "DescribeRepositories")["repositories"][0]["repositoryArn"]
    else:
        (arn,) = aws.call("ecs", "ListTaskDefinitions")["taskDefinitionArns"]
    if digest is None:
        aws.call(service, "UntagResource", resourceArn=arn, tagKeys=[ownership.DIGEST])
    given = (more or {}) | ({ownership.DIGEST: digest} if digest else {})
    if given:
        aws.call(service, "TagResource", resourceArn=arn, tags=ownership.listed(given, key, value))
