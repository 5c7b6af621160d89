"""Repositories against moto: every change, every crash between its calls, and nothing to do the second time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from reconciler.errors import AwsError, BunniesError, ManifestError
from reconciler.kinds import World, repository
from reconciler.model import Action, Change, Resource
from tests.aws import account
from tests.aws.account import Account, applied, converged, manifest, planned

RULE = {
    "rulePriority": 1,
    "description": "keep nine",
    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9},
    "action": {"type": "expire"},
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"},
}
FULL: dict[str, Any] = {
    "imageTagMutability": "IMMUTABLE",
    "imageScanningConfiguration": {"scanOnPush": True},
    "lifecyclePolicy": {"rules": [RULE]},
    "repositoryPolicy": POLICY,
    "tags": {"team": "genomics"},
}
NAME = "lab/analytics"
STEPS = (
    "CreateRepository",
    "PutLifecyclePolicy",
    "SetRepositoryPolicy",
    "TagResource",
    "DescribeRepositories",
)


@pytest.fixture
def here() -> Iterator[tuple[Account, World]]:
    with account.account() as pair:
        yield pair


def tags(aws: Account, name: str = NAME) -> dict[str, str]:
    arn = aws.call("ecr", "DescribeRepositories", repositoryNames=[name])["repositories"][0]["repositoryArn"]
    found = aws.call("ecr", "ListTagsForResource", resourceArn=arn)["tags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_a_second_plan_of_everything_is_empty(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, manifest("Repository", NAME, **FULL))
    found = tags(aws)
    assert found["team"] == "genomics"
    assert found["bunnies:owner"] == "reprod"
    assert found["bunnies:digest"].startswith("v1:")


def test_the_owner_tag_comes_with_the_call_that_creates(here: tuple[Account, World]) -> None:
    aws, world = here
    aws.lost["CreateRepository"] = [AwsError("CreateRepository", "ReadTimeoutError", "no answer")]
    (outcome,) = applied(world, planned(world, manifest("Repository", NAME, **FULL)))
    assert outcome.status == "failed"
    assert tags(aws) == {"team": "genomics", "bunnies:owner": "reprod"}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", ["lost", "refused"])
def test_after_a_failure_at_any_call_the_next_apply_converges(
    here: tuple[Account, World], step: str, how: str
) -> None:
    aws, world = here
    wanted = manifest("Repository", NAME, **FULL)
    changes = planned(world, wanted)
    getattr(aws, how)[step] = [AwsError(step, "ServerException", "broken", 500)]
    (outcome,) = applied(world, changes)
    assert outcome.status == "failed"
    assert converged(world, wanted)


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"imageTagMutability": "MUTABLE"}, ["imageTagMutability"]),
        ({"imageScanningConfiguration": None}, ["imageScanningConfiguration.scanOnPush"]),
        ({"repositoryPolicy": None}, ["repositoryPolicy."]),
        ({"lifecyclePolicy": None}, ["lifecyclePolicy."]),
        ({"lifecyclePolicy": json.dumps({"rules": [RULE]}, indent=4)}, []),
        ({"lifecyclePolicy": {"rules": [RULE | {"rulePriority": 2}]}}, ["lifecyclePolicy."]),
        ({"tags": {"team": "other", "more": "x"}}, ["tags[more]", "tags[team]"]),
        ({"tags": None}, ["tags[team]"]),
        ({"forceDelete": True}, ["forceDelete"]),
    ],
)
def test_each_field_is_updated_and_then_settled(
    here: tuple[Account, World], change: dict[str, Any], paths: list[str]
) -> None:
    _, world = here
    assert converged(world, manifest("Repository", NAME, **FULL))
    other = manifest("Repository", NAME, **(FULL | change))
    (found,) = planned(world, other)
    assert found.action == (Action.UPDATE if paths else Action.UNCHANGED)
    for path in paths:
        assert any(field.path.startswith(path) for field in found.fields), found.fields
    assert converged(world, other)


def test_a_change_by_hand_is_undone(here: tuple[Account, World]) -> None:
    aws, world = here
    wanted = manifest("Repository", NAME, **FULL)
    assert converged(world, wanted)
    aws.call("ecr", "DeleteLifecyclePolicy", repositoryName=NAME)
    aws.call("ecr", "PutImageTagMutability", repositoryName=NAME, imageTagMutability="MUTABLE")
    (found,) = planned(world, wanted)
    assert found.action is Action.UPDATE
    assert converged(world, wanted)


def test_what_is_not_ours_is_a_conflict_until_it_is_adopted(here: tuple[Account, World]) -> None:
    aws, world = here
    aws.call("ecr", "CreateRepository", repositoryName=NAME, tags=[{"Key": "old", "Value": "1"}])
    (found,) = planned(world, manifest("Repository", NAME, **FULL))
    assert found.action is Action.CONFLICT
    assert applied(world, [found])[0].status == "failed"
    (found,) = planned(world, manifest("Repository", NAME, adopt=True, **FULL))
    assert found.action is Action.ADOPT
    assert "tags[old]" in [field.path for field in found.fields]
    assert converged(world, manifest("Repository", NAME, adopt=True, **FULL))
    assert "old" not in tags(aws)


def test_what_another_created_since_the_plan_is_left_alone(here: tuple[Account, World]) -> None:
    aws, world = here
    changes = planned(world, manifest("Repository", NAME, **FULL))
    aws.call(
        "ecr", "CreateRepository", repositoryName=NAME, tags=[{"Key": "bunnies:owner", "Value": "others"}]
    )
    (outcome,) = applied(world, changes)
    assert outcome.status == "failed"
    assert "is owned by others" in outcome.detail
    assert tags(aws) == {"bunnies:owner": "others"}


def test_encryption_is_compared_where_it_is_wanted_and_never_changed(here: tuple[Account, World]) -> None:
    _, world = here
    assert converged(world, manifest("Repository", NAME, encryptionConfiguration={"encryptionType": "KMS"}))
    assert converged(world, manifest("Repository", NAME))
    (outcome,) = applied(
        world,
        planned(world, manifest("Repository", NAME, encryptionConfiguration={"encryptionType": "AES256"})),
    )
    assert outcome.status == "failed"
    assert "cannot be changed" in outcome.detail


@pytest.mark.parametrize("asked", ["alias/lab", "1234abcd-12ab-34cd-56ef-1234567890ab"])
def test_a_key_reads_back_as_its_arn(here: tuple[Account, World], asked: str) -> None:
    aws, world = here
    arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    encryption = {"encryptionType": "KMS", "kmsKey": arn}
    aws.call(
        "ecr",
        "CreateRepository",
        repositoryName=NAME,
        encryptionConfiguration=encryption,
        tags=[{"Key": "bunnies:owner", "Value": "reprod"}],
    )
    wanted = manifest("Repository", NAME, encryptionConfiguration=encryption | {"kmsKey": asked})
    assert [change.action for change in planned(world, wanted)] == [Action.UNCHANGED]


def test_an_external_repository_is_used_and_never_read_in_full(here: tuple[Account, World]) -> None:
    aws, world = here
    wanted = manifest("Repository", NAME, external=True)
    (found,) = planned(world, wanted)
    assert found.action is Action.CONFLICT
    aws.call("ecr", "CreateRepository", repositoryName=NAME)
    aws.calls.clear()
    (found,) = planned(world, wanted)
    assert found.action is Action.UNCHANGED
    assert found.before
    assert found.before.attributes["uri"] == f"{account.REGISTRY}/{NAME}"
    assert ("ecr", "GetRepositoryPolicy") not in aws.calls


def test_what_left_the_manifests_goes_with_prune_alone(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, manifest("Repository", NAME))
    aws.call("ecr", "CreateRepository", repositoryName="others")
    assert planned(world) == ()
    (found,) = planned(world, prune=True)
    assert (found.action, found.address) == (Action.DELETE, f"repository/{NAME}")
    assert applied(world, [found])[0].status == "changed"
    assert applied(world, [found])[0].status == "changed"  # gone already
    left = aws.call("ecr", "DescribeRepositories")["repositories"]
    assert [one["repositoryName"] for one in left] == ["others"]


def test_a_deletion_asks_the_service_whose_it_is_just_before(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, manifest("Repository", NAME))
    (found,) = planned(world, prune=True)
    arn = aws.call("ecr", "DescribeRepositories")["repositories"][0]["repositoryArn"]
    aws.call("ecr", "TagResource", resourceArn=arn, tags=[{"Key": "bunnies:owner", "Value": "others"}])
    (outcome,) = applied(world, [found])
    assert outcome.status == "failed"
    assert len(aws.call("ecr", "DescribeRepositories")["repositories"]) == 1


@pytest.mark.parametrize("force", [False, True])
def test_images_go_with_their_repository_only_where_a_manifest_had_said_so(
    here: tuple[Account, World], force: bool
) -> None:
    aws, world = here
    assert converged(world, manifest("Repository", NAME, forceDelete=force))
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    image = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": "sha256:" + "0" * 64}, "layers": []}
    aws.call("ecr", "PutImage", repositoryName=NAME, imageManifest=json.dumps(image), imageTag="1")
    (outcome,) = applied(world, planned(world, prune=True))
    assert outcome.status == ("changed" if force else "failed")
    assert force or "forceDelete: true" in outcome.detail


def test_without_the_tagging_index_only_what_is_wanted_is_seen(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, manifest("Repository", NAME))
    said: list[str] = []
    aws.refused["GetResources"] = [AwsError("GetResources", "AccessDeniedException", "no", 400)]
    found = repository.live(replace(world, tell=said.append), [])
    assert found == {}
    assert said == ["what left the manifests cannot be looked for (AccessDeniedException)"]


def test_a_new_role_as_a_principal_is_waited_for(here: tuple[Account, World]) -> None:
    aws, world = here
    (change,) = planned(world, manifest("Repository", NAME, **FULL))
    error = AwsError("SetRepositoryPolicy", "InvalidParameterException", "Principal not found", 400)
    aws.refused["SetRepositoryPolicy"] = [error, error]
    slept: list[float] = []
    repository.apply(world, change, slept.append)
    assert slept == [1.0, 2.0]


def test_a_policy_that_stays_wrong_is_an_error(here: tuple[Account, World]) -> None:
    aws, world = here
    (change,) = planned(world, manifest("Repository", NAME, **FULL))
    error = AwsError(
        "SetRepositoryPolicy", "InvalidParameterException", "Invalid repository policy provided", 400
    )
    aws.refused["SetRepositoryPolicy"] = [error] * 9
    with pytest.raises(AwsError, match="Invalid repository policy"):
        repository.apply(world, change, lambda _: None)


def test_a_repository_that_went_since_the_plan_is_told(here: tuple[Account, World]) -> None:
    _, world = here
    wanted = Resource(f"repository/{NAME}", {}, owner="reprod")
    with pytest.raises(BunniesError, match="Plan again"):
        repository.apply(world, Change(wanted.address, Action.UPDATE, wanted, wanted))


def test_a_policy_that_is_not_json_is_pointed_at(here: tuple[Account, World]) -> None:
    _, world = here
    with pytest.raises(
        ManifestError, match=f"manifests/x.yaml:1:1: repository/{NAME}: lifecyclePolicy: it is not"
    ):
        planned(world, manifest("Repository", NAME, lifecyclePolicy="{"))


def test_tags_that_are_ignored_are_left_alone(here: tuple[Account, World]) -> None:
    aws, _ = here
    world = account.world(aws, replace(account.SETTINGS, ignore_tags=("cost",)))
    assert converged(world, manifest("Repository", NAME))
    arn = aws.call("ecr", "DescribeRepositories")["repositories"][0]["repositoryArn"]
    aws.call("ecr", "TagResource", resourceArn=arn, tags=[{"Key": "cost", "Value": "9"}])
    assert [change.action for change in planned(world, manifest("Repository", NAME))] == [Action.UNCHANGED]


def test_an_external_repository_of_another_account_keeps_its_own_address(here: tuple[Account, World]) -> None:
    aws, world = here
    aws.call("ecr", "CreateRepository", repositoryName=NAME)
    (found,) = planned(world, manifest("Repository", NAME, external=True, registryId="123456789012"))
    assert found.before
    assert found.before.attributes["uri"] == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{NAME}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"external": True, "tags": {"a": "b"}}, "tags: an external repository is not managed"),
        ({"registryId": "123456789012"}, "registryId: only an external repository"),
        ({"lifecyclePolicy": {"rules": [RULE | {"description": "x" * 31_000}]}}, "longer than the 30720"),
    ],
)
def test_what_makes_no_sense_is_pointed_at(
    here: tuple[Account, World], body: dict[str, Any], words: str
) -> None:
    _, world = here
    with pytest.raises(ManifestError, match=words):
        planned(world, manifest("Repository", NAME, **body))
