"""Task definitions against moto with ECS's defaults added: revisions, tags, crashes, and nothing to do twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from reconciler import apply, clock, survey
from reconciler.errors import AwsError, BunniesError
from reconciler.kinds import World, taskdefinition
from reconciler.ledger import Ledger
from reconciler.model import UNKNOWN, Action, ManifestSet, Ref, Status
from reconciler.render import text
from tests.aws import account
from tests.aws.account import Account, applied, converged, manifest, planned

FAMILY = "align-task"
BODY: dict[str, Any] = {
    "cpu": "1 vCPU",
    "memory": "2 GB",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "tags": {"team": "genomics"},
    "volumes": [{"name": "scratch"}],
    "containerDefinitions": [
        {
            "name": "aligner",
            "image": "bwa@sha256:0",
            "environment": [{"name": "THREADS", "value": 4}, {"name": "A", "value": ""}],
            "portMappings": [{"containerPort": 80}],
            "healthCheck": {"command": ["CMD", "true"]},
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
            "linuxParameters": {"capabilities": {"add": []}},
        }
    ],
}


@pytest.fixture
def here() -> Iterator[tuple[Account, World]]:
    with account.account() as pair:
        yield pair


def wanted(**change: Any) -> Any:
    return manifest("TaskDefinition", FAMILY, **(BODY | change))


def container(**change: Any) -> dict[str, Any]:
    return {"containerDefinitions": [BODY["containerDefinitions"][0] | change]}


def revisions(aws: Account) -> list[int]:
    arns = aws.call("ecs", "ListTaskDefinitions")["taskDefinitionArns"]
    return sorted(int(arn.rpartition(":")[2]) for arn in arns)


def tags(aws: Account) -> dict[str, str]:
    answer = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=FAMILY, include=["TAGS"])
    return {tag["key"]: tag["value"] for tag in answer["tags"]}


def test_a_second_plan_is_empty_whatever_ecs_filled_in(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    assert revisions(aws) == [1]
    assert tags(aws)["team"] == "genomics"
    assert tags(aws)["bunnies:owner"] == "reprod"
    assert tags(aws)["bunnies:digest"].startswith("v1:")


def test_another_environment_is_another_revision(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    other = wanted(**container(environment=[{"name": "THREADS", "value": "8"}, {"name": "A", "value": ""}]))
    (change,) = planned(world, other)
    assert change.action is Action.REVISE
    assert [(field.path, field.before, field.after) for field in change.fields] == [
        ("containerDefinitions[aligner].environment[THREADS]", "4", "8")
    ]
    (outcome,) = applied(world, [change])
    assert outcome.attributes["revision"] == 2
    assert outcome.attributes["arn"].endswith(f"task-definition/{FAMILY}:2")
    assert converged(world, other)
    assert revisions(aws) == [1, 2]


def test_another_spelling_is_no_revision(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    assert converged(world, wanted(cpu="1024", memory=2048, placementConstraints=[]))
    assert revisions(aws) == [1]


def test_other_tags_are_no_revision(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    (change,) = planned(world, wanted(tags={"lane": "L1"}))
    assert change.action is Action.UPDATE
    assert converged(world, wanted(tags={"lane": "L1"}))
    assert revisions(aws) == [1]
    assert {key: value for key, value in tags(aws).items() if not key.startswith("bunnies:")} == {
        "lane": "L1"
    }


@pytest.mark.parametrize("step", ["RegisterTaskDefinition", "TagResource", "DescribeTaskDefinition"])
@pytest.mark.parametrize("how", ["lost", "refused"])
def test_after_a_failure_at_any_call_there_is_still_one_revision(
    here: tuple[Account, World], step: str, how: str
) -> None:
    aws, world = here
    changes = planned(world, wanted())
    getattr(aws, how)[step] = [AwsError(step, "ServerException", "broken", 500)]
    applied(world, changes)
    assert converged(world, wanted())
    assert revisions(aws) == [1]


def test_a_lost_answer_of_a_registration_is_found_again_at_once(here: tuple[Account, World]) -> None:
    aws, world = here
    changes = planned(world, wanted())
    aws.lost["RegisterTaskDefinition"] = [AwsError("RegisterTaskDefinition", "ReadTimeoutError", "no answer")]
    (outcome,) = applied(world, changes)
    assert (outcome.status, outcome.attributes["revision"]) == ("changed", 1)
    assert revisions(aws) == [1]


def test_two_registrations_at_once_are_tried_again(here: tuple[Account, World]) -> None:
    aws, world = here
    (change,) = planned(world, wanted())
    words = "Too many concurrent attempts to create a new revision of the specified family."
    aws.refused["RegisterTaskDefinition"] = [
        AwsError("RegisterTaskDefinition", "ClientException", words, 400)
    ] * 2
    slept: list[float] = []
    assert taskdefinition.apply(world, change, slept.append)["revision"] == 1
    assert slept == [1.0, 2.0]


def test_a_registration_that_is_refused_is_the_change_s_outcome(here: tuple[Account, World]) -> None:
    aws, world = here
    changes = planned(world, wanted())
    error = AwsError("RegisterTaskDefinition", "ClientException", "Invalid setting", 400)
    aws.refused["RegisterTaskDefinition"] = [error]
    (outcome,) = applied(world, changes)
    assert (outcome.status, outcome.detail) == ("failed", str(error))


def test_a_plan_applied_by_two_makes_one_revision(here: tuple[Account, World]) -> None:
    aws, world = here
    changes = planned(world, wanted())
    assert [one.status for _ in range(2) for one in applied(world, changes)] == ["changed", "changed"]
    assert revisions(aws) == [1]


def test_the_image_is_resolved_from_what_came_before(here: tuple[Account, World]) -> None:
    _, world = here
    manifests = (
        manifest("Repository", "lab/analytics"),
        wanted(**container(image=Ref("repository/lab/analytics", "uri"))),
    )
    changes = planned(world, *manifests)
    image = next(field for field in changes[1].fields if field.path.endswith(".image"))
    assert image.after is UNKNOWN
    assert changes[1].after
    assert changes[1].after.needs == ("repository/lab/analytics",)
    assert converged(world, *manifests)
    live = taskdefinition.live(world, [change.after for change in changes[1:] if change.after])
    spec = live[f"taskdefinition/{FAMILY}"].spec
    assert spec["containerDefinitions"]["aligner"]["image"] == f"{account.REGISTRY}/lab/analytics"


def test_roles_of_settings_are_used_where_the_manifest_has_none(here: tuple[Account, World]) -> None:
    aws, _ = here
    settings = replace(
        account.SETTINGS, execution_role_arn="arn:aws:iam::123456789012:role/e", task_role_arn="t"
    )
    world = account.world(aws, settings)
    assert converged(world, wanted(taskRoleArn="arn:aws:iam::123456789012:role/own"))
    definition = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=FAMILY)["taskDefinition"]
    assert definition["executionRoleArn"].endswith("role/e")
    assert definition["taskRoleArn"].endswith("role/own")


def test_a_family_of_another_is_a_conflict_until_it_is_adopted(here: tuple[Account, World]) -> None:
    aws, world = here
    aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family=FAMILY,
        containerDefinitions=[{"name": "x", "image": "y", "memory": 8}],
    )
    (change,) = planned(world, wanted())
    assert change.action is Action.CONFLICT
    assert converged(world, wanted(adopt=True))
    assert revisions(aws) == [1, 2]


def test_a_family_that_another_registered_since_the_plan_is_left_alone(here: tuple[Account, World]) -> None:
    aws, world = here
    (change,) = planned(world, wanted())
    aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family=FAMILY,
        containerDefinitions=[{"name": "x", "image": "y", "memory": 8}],
    )
    with pytest.raises(BunniesError, match="has no tag bunnies:owner"):
        taskdefinition.apply(world, change)
    assert revisions(aws) == [1]


def test_a_family_whose_name_only_begins_alike_is_another(here: tuple[Account, World]) -> None:
    aws, world = here
    other = manifest("TaskDefinition", f"{FAMILY}-2", **BODY)
    assert converged(world, wanted(), other)
    (change,) = [one for one in planned(world, wanted(), prune=True) if one.action is Action.DELETE]
    assert change.address == f"taskdefinition/{FAMILY}-2"
    assert applied(world, [change])[0].status == "changed"
    (left,) = aws.call("ecs", "ListTaskDefinitions")["taskDefinitionArns"]
    assert left.endswith(f"/{FAMILY}:1")


def test_pruning_takes_every_revision_of_ours_and_no_other(here: tuple[Account, World]) -> None:
    aws, world = here
    aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family=FAMILY,
        containerDefinitions=[{"name": "x", "image": "y", "memory": 8}],
    )
    assert converged(world, wanted(adopt=True))
    assert converged(world, wanted(adopt=True, cpu="2 vCPU", memory="4 GB"))
    assert planned(world) == ()
    (outcome,) = applied(world, planned(world, prune=True))
    assert outcome.status == "changed"
    assert revisions(aws) == [1]
    assert planned(world, prune=True) == ()


def test_inactive_is_absent(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=f"{FAMILY}:1")
    (change,) = planned(world, wanted())
    assert change.action is Action.CREATE
    assert converged(world, wanted())


def test_the_newest_active_revision_counts(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    assert converged(world, wanted(cpu="2 vCPU", memory="4 GB"))
    aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=f"{FAMILY}:2")
    (change,) = planned(world, wanted())
    assert change.action is Action.UNCHANGED
    assert change.before
    assert change.before.attributes["revision"] == 1


def test_another_error_is_not_taken_for_absence(here: tuple[Account, World]) -> None:
    aws, world = here
    aws.refused["DescribeTaskDefinition"] = [AwsError("D", "ClientException", "Rate exceeded", 400)]
    with pytest.raises(AwsError, match="Rate exceeded"):
        planned(world, wanted())


def test_what_its_digest_calls_unchanged_is_not_described(here: tuple[Account, World]) -> None:
    aws, world = here
    manifests = [manifest("TaskDefinition", f"family-{number}", **BODY) for number in range(5)]
    assert converged(world, *manifests)
    aws.calls.clear()
    assert {change.action for change in planned(world, *manifests)} == {Action.UNCHANGED}
    assert aws.calls["ecs", "DescribeTaskDefinition"] == 0
    assert aws.calls["ecs", "ListTaskDefinitions"] == 1


def test_only_the_family_that_changes_is_described(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted(), manifest("TaskDefinition", "other", **BODY))
    aws.calls.clear()
    changes = planned(world, wanted(cpu="2 vCPU", memory="4 GB"), manifest("TaskDefinition", "other", **BODY))
    assert [change.action for change in changes] == [Action.REVISE, Action.UNCHANGED]
    assert aws.calls["ecs", "DescribeTaskDefinition"] == 1


def test_a_revision_that_another_registered_since_is_seen(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family=FAMILY,
        containerDefinitions=[{"name": "x", "image": "y", "memory": 8}],
    )
    (change,) = planned(world, wanted())
    assert change.action is Action.CONFLICT


def test_tags_changed_by_hand_are_seen_though_the_digest_is_right(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    arn = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=FAMILY)["taskDefinition"][
        "taskDefinitionArn"
    ]
    aws.call("ecs", "TagResource", resourceArn=arn, tags=[{"key": "team", "value": "others"}])
    (change,) = planned(world, wanted())
    assert [field.path for field in change.fields] == ["tags[team]"]


def sizes(*mib: int) -> list[Any]:
    return [wanted(memory=str(size), keepRevisions=1, **container(memory=512)) for size in mib]


def test_older_revisions_are_deregistered_but_those_that_are_kept(here: tuple[Account, World]) -> None:
    aws, world = here
    for one in sizes(2048, 3072, 4096, 5120):
        assert converged(world, one)
    assert revisions(aws) == [3, 4]


def test_a_plan_says_how_many_revisions_go_though_nothing_else_changes(here: tuple[Account, World]) -> None:
    aws, world = here
    for size in (2048, 3072, 4096, 5120):
        assert converged(world, wanted(memory=str(size)))
    last = wanted(memory="5120", keepRevisions=1)
    (change,) = planned(world, last)
    assert (change.action, change.fields, change.why) == (
        Action.UPDATE,
        (),
        "keeps 1 older revision, deregisters 2",
    )
    assert "    keeps 1 older revision, deregisters 2" in [
        "".join(w for w, _ in x) for x in text.changes([change])
    ]
    (revised,) = planned(world, wanted(memory="6144", keepRevisions=2))
    assert (revised.action, revised.why) == (
        Action.REVISE,
        "memory; keeps 2 older revisions, deregisters at most 2",
    )
    assert converged(world, last)
    assert revisions(aws) == [3, 4]
    aws.calls.clear()
    assert [change.action for change in planned(world, last)] == [Action.UNCHANGED]
    assert aws.calls["ecs", "ListTaskDefinitions"] == 2
    assert aws.calls["ecs", "ListClusters"] == 0


def test_a_revision_that_a_task_or_a_service_uses_stays(here: tuple[Account, World]) -> None:
    aws, world = here
    aws.call("ecs", "CreateCluster", clusterName="reprod")
    subnet = aws.call("ec2", "DescribeSubnets")["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": []}}
    more = {"cluster": "reprod", "launchType": "FARGATE", "networkConfiguration": network}
    first, second, third, fourth, fifth = sizes(2048, 3072, 4096, 5120, 6144)
    assert converged(world, first)
    aws.call("ecs", "RunTask", taskDefinition=f"{FAMILY}:1", **more)
    assert converged(world, second)
    aws.call("ecs", "CreateService", taskDefinition=f"{FAMILY}:2", serviceName="s", desiredCount=0, **more)
    for one in (third, fourth, fifth):
        assert converged(world, one)
    assert [change.action for change in planned(world, fifth)] == [Action.UNCHANGED]
    assert revisions(aws) == [1, 2, 4, 5]


def test_a_revision_of_another_stays(here: tuple[Account, World]) -> None:
    aws, world = here
    container = {"name": "x", "image": "y", "memory": 8}
    aws.call("ecs", "RegisterTaskDefinition", family=FAMILY, containerDefinitions=[container])
    for memory in ("2048", "3072", "4096"):
        assert converged(world, wanted(memory=memory, keepRevisions=0, adopt=True))
    assert revisions(aws) == [1, 4]


def test_where_it_cannot_be_known_what_is_used_everything_stays(here: tuple[Account, World]) -> None:
    aws, world = here
    assert converged(world, wanted())
    said: list[str] = []
    aws.refused["ListClusters"] = [AwsError("ListClusters", "AccessDeniedException", "no", 400)]
    (change,) = planned(world, wanted(memory="3072", keepRevisions=0))
    taskdefinition.apply(replace(world, tell=said.append), change)
    assert revisions(aws) == [1, 2]
    assert "cannot be read (AccessDeniedException)" in said[-1]


def test_a_family_that_was_pruned_and_is_wanted_again_is_made_again_under_fast(
    here: tuple[Account, World],
) -> None:
    aws, world = here
    assert converged(world, wanted())
    applied(world, planned(world, prune=True))
    assert revisions(aws) == []
    fast = replace(world, fast=True)
    (change,) = planned(fast, wanted())
    assert change.action is Action.CREATE
    assert converged(fast, wanted())


def test_a_family_that_points_to_others_is_not_described_either_when_its_digest_calls_it_unchanged(
    here: tuple[Account, World],
) -> None:
    aws, world = here
    image = container(image=Ref("repository/lab/analytics", "uri")) | {
        "executionRoleArn": "arn:aws:iam::123456789012:role/e"
    }
    everything = ManifestSet(world.settings, (manifest("Repository", "lab/analytics"), wanted(**image)))
    aws.call("s3", "CreateBucket", Bucket=world.settings.bucket)
    ledger = Ledger(aws, world.settings.bucket, world.settings.prefix, clock.system(), lambda: "nonce")
    first = survey.plan(survey.survey(world, ledger, everything))
    assert {one.status for one in apply.resources(world, first)} == {Status.CHANGED}
    aws.calls.clear()
    assert not survey.plan(survey.survey(world, ledger, everything)).has_changes
    assert aws.calls["ecs", "DescribeTaskDefinition"] == 0
