"""Drift is told from the manifest's changes by the digest of what was applied, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import canonical, diff, drift, plan
from reconciler.canonical import Keyed, ecs
from reconciler.model import UNKNOWN, Action, Resource


def task(**change: Any) -> dict[str, Any]:
    container = {"name": "a", "image": "x", "environment": [{"name": "T", "value": "4"}], "command": ["run"]}
    body = {"family": "f", "cpu": "256", "memory": "512", "containerDefinitions": [container | change]}
    return ecs.canonical(body)


def told(applied: dict[str, Any], live: dict[str, Any], wanted: dict[str, Any]) -> dict[str, bool | None]:
    fields = drift.told_apart(live, wanted, canonical.digest(applied), diff.compare(live, wanted))
    return {field.path.rpartition(".")[2]: field.drift for field in fields}


T4, T8 = ([{"name": "T", "value": value}] for value in "48")


def test_what_the_manifest_changes_is_no_drift() -> None:
    assert told(task(), task(), task(environment=T8)) == {"environment[T]": False}


def test_what_changed_since_we_applied_is_drift() -> None:
    assert told(task(), task(environment=T8), task()) == {"environment[T]": True}


def test_both_at_once_are_told_apart() -> None:
    assert told(task(), task(environment=T8), task(command=["go"])) == {
        "environment[T]": True,
        "command": False,
    }


def test_an_item_that_came_and_one_that_went_are_drift_too() -> None:
    both = [{"name": "T", "value": "4"}, {"name": "U", "value": "1"}]
    assert told(task(), task(environment=both), task(image="y")) == {"environment[U]": True, "image": False}
    assert told(task(), task(environment=[]), task(image="y")) == {"environment[T]": True, "image": False}


def test_one_field_that_both_changed_is_nobodys_to_tell() -> None:
    three = [{"name": "T", "value": "3"}]
    assert told(task(), task(environment=T8), task(environment=three)) == {"environment[T]": None}
    assert drift.changed_outside(task(environment=T8), canonical.digest(task()))
    assert not drift.changed_outside(task(), canonical.digest(task()))


@pytest.mark.parametrize("digest", [None, "v0:abc", ""])
def test_without_a_digest_of_this_version_nobody_can_tell(digest: str | None) -> None:
    fields = drift.told_apart(task(), task(image="y"), digest, diff.compare(task(), task(image="y")))
    assert [field.drift for field in fields] == [None]
    assert not drift.changed_outside(task(), digest)


def test_tags_are_nobodys_to_tell() -> None:
    one, other = {"cpu": "1", "tags": Keyed({"a": "b"})}, {"cpu": "2"}
    fields = drift.told_apart(one, other, canonical.digest(one), diff.compare(one, other))
    assert [(field.path, field.drift) for field in fields] == [("cpu", False), ("tags[a]", None)]


def test_what_is_not_known_yet_is_the_manifests() -> None:
    live = task(environment=T8)
    wanted = task()
    wanted["containerDefinitions"]["a"]["image"] = UNKNOWN
    assert told(task(), live, wanted) == {"environment[T]": True, "image": False}


keys = st.sampled_from("abcdefgh")
specs = st.dictionaries(keys, st.integers(0, 3), min_size=1, max_size=8)


@given(specs, st.dictionaries(keys, st.integers(4, 6)), st.dictionaries(keys, st.integers(7, 9)))
def test_any_two_changes_of_different_fields_are_told_apart(
    applied: dict[str, int], by_hand: dict[str, int], by_manifest: dict[str, int]
) -> None:
    by_manifest = {key: value for key, value in by_manifest.items() if key not in by_hand}
    live, wanted = applied | by_hand, applied | by_manifest
    assert told(applied, live, wanted) == dict.fromkeys(by_hand, True) | dict.fromkeys(by_manifest, False)


def change(live: dict[str, Any], wanted: dict[str, Any], **options: Any) -> Any:
    digest = canonical.digest({"x": 1, "y": 1})
    found = Resource("repository/r", live, owner="lab", digest=digest)
    (made,) = plan.plan(
        "lab", [Resource("repository/r", wanted, owner="lab", options=options)], {"repository/r": found}
    )
    return made


def test_a_plan_says_why_by_manifest_and_by_drift() -> None:
    assert change({"x": 1, "y": 1}, {"x": 2, "y": 1}).why == "x"
    assert change({"x": 1, "y": 2}, {"x": 1, "y": 1}).why == "drifted: y"
    assert change({"x": 1, "y": 2}, {"x": 2, "y": 1}).why == "x; drifted: y"
    assert change({"x": 3, "y": 1}, {"x": 2, "y": 1}).why == "x; changed by others since the last apply"


def test_what_is_ignored_is_left_as_it_is() -> None:
    made = change({"x": 3, "y": 2}, {"x": 2, "y": 1}, ignoreChanges=["x"])
    assert [field.path for field in made.fields] == ["y"]
    assert made.after.spec == {"x": 3, "y": 1}
    assert change({"x": 3, "y": 1}, {"x": 2, "y": 1}, ignoreChanges=["x"]).action is Action.UNCHANGED


@pytest.mark.parametrize(
    ("ignored", "kept"),
    [
        (["containerDefinitions[a].image"], {"image": "live"}),
        (["containerDefinitions[a].environment[T]"], {"environment": [{"name": "T", "value": "8"}]}),
        (
            ["containerDefinitions[a].environment"],
            {"environment": [{"name": "T", "value": "8"}, {"name": "U", "value": "1"}]},
        ),
        (
            ["containerDefinitions[a].environment[U]"],
            {"environment": [{"name": "T", "value": "4"}, {"name": "U", "value": "1"}]},
        ),
        (["containerDefinitions[b].image", "nothing"], {}),
    ],
)
def test_ignored_paths_are_those_of_a_plan(ignored: list[str], kept: dict[str, Any]) -> None:
    live = task(image="live", environment=[{"name": "T", "value": "8"}, {"name": "U", "value": "1"}])
    assert drift.left_alone(task(), live, ignored) == task(**kept)


def test_an_ignored_item_comes_back_where_the_manifest_has_no_set_at_all() -> None:
    live = task(environment=[{"name": "T", "value": "8"}])
    kept = drift.left_alone(task(environment=[]), live, ["containerDefinitions[a].environment[T]"])
    assert kept == live
    assert diff.compare(kept, live) == ()


def test_taking_over_names_what_it_removes() -> None:
    found = Resource("repository/r", {"x": 1, "tags": Keyed({"old": "1"})})
    wanted = Resource("repository/r", {"x": 2}, owner="lab", options={"adopt": True})
    (made,) = plan.plan("lab", [wanted], {"repository/r": found})
    assert made.why == "taken over: it has no tag bunnies:owner; this removes tags[old]"
