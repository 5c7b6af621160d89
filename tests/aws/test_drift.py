"""A plan on a live account: drift beside the manifest's own changes, and what -v shows as normalised away."""

from __future__ import annotations

from dataclasses import replace

from reconciler.model import Action
from reconciler.render import text
from tests.aws import account
from tests.aws.account import converged, manifest, planned
from tests.aws.test_repository import FULL, NAME
from tests.aws.test_taskdefinition import BODY


def test_a_change_by_hand_and_one_of_the_manifest_are_told_apart() -> None:
    with account.account() as (aws, world):
        assert converged(world, manifest("Repository", NAME, **FULL))
        by_hand = {"repositoryName": NAME, "imageScanningConfiguration": {"scanOnPush": False}}
        aws.call("ecr", "PutImageScanningConfiguration", **by_hand)
        (change,) = planned(world, manifest("Repository", NAME, **FULL | {"imageTagMutability": "MUTABLE"}))
        assert {field.path: field.drift for field in change.fields} == {
            "imageScanningConfiguration.scanOnPush": True,
            "imageTagMutability": False,
        }
        assert change.why == "imageTagMutability; drifted: imageScanningConfiguration.scanOnPush"


def test_verbose_shows_what_was_normalised_away_and_by_which_rule() -> None:
    with account.account() as (_, world):
        assert converged(world, manifest("TaskDefinition", "task", **BODY))
        changes = planned(world, manifest("TaskDefinition", "task", **BODY | {"memory": "4 GB"}))
        shown = ["".join(words for words, _ in line) for line in text.changes(changes, verbose=True)]
        assert '    memory: "2048" → "4096"' in shown
        assert "    = cpu  (an amount: units of 1024, or MiB)" in shown
        assert "    = containerDefinitions[aligner].essential  (the default, said or left out)" in shown


def test_ignored_fields_stay_as_they_are_through_an_apply() -> None:
    with account.account() as (aws, world):
        wanted = manifest("Repository", NAME, ignoreChanges=["imageTagMutability", "tags[team]"], **FULL)
        assert converged(world, wanted)
        aws.call("ecr", "PutImageTagMutability", repositoryName=NAME, imageTagMutability="MUTABLE")
        assert {change.action for change in planned(world, wanted)} == {Action.UNCHANGED}
        other = replace(wanted, body={**wanted.body, "imageScanningConfiguration": {"scanOnPush": False}})
        assert converged(world, other)
        (described,) = aws.call("ecr", "DescribeRepositories")["repositories"]
        assert described["imageTagMutability"] == "MUTABLE"


def test_fast_sees_what_describe_repositories_says_and_reads_what_has_another_digest() -> None:
    with account.account() as (aws, world):
        fast = replace(world, fast=True)
        assert converged(world, manifest("Repository", NAME, **FULL))
        aws.calls.clear()
        assert [change.action for change in planned(fast, manifest("Repository", NAME, **FULL))] == [
            "unchanged"
        ]
        assert ("ecr", "GetLifecyclePolicy") not in aws.calls
        (change,) = planned(fast, manifest("Repository", NAME, **FULL | {"lifecyclePolicy": None}))
        assert change.action is Action.UPDATE
        aws.call("ecr", "PutImageTagMutability", repositoryName=NAME, imageTagMutability="MUTABLE")
        (change,) = planned(fast, manifest("Repository", NAME, **FULL))
        assert [field.path for field in change.fields] == ["imageTagMutability"]
