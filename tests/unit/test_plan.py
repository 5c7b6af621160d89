"""plan: what it does with each resource, in what order, and what guards refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import plan
from reconciler.errors import BunniesError, GuardError
from reconciler.model import UNKNOWN, Action, Decision, Job, JobDecision, Ref, Resource


def wanted(address: str, spec: dict[str, Any] | None = None, *needs: str, **options: Any) -> Resource:
    return Resource(address, spec or {}, needs, owner="lab", options=options)


def live(
    address: str, spec: dict[str, Any] | None = None, owner: str | None = "lab", **attributes: Any
) -> Resource:
    return Resource(address, spec or {}, attributes=attributes, owner=owner)


CASES = [
    ("nothing there is created", wanted("repository/a"), None, Action.CREATE),
    (
        "the same is left alone",
        wanted("repository/a", {"x": 1}),
        live("repository/a", {"x": 1}),
        Action.UNCHANGED,
    ),
    (
        "another value is an update",
        wanted("repository/a", {"x": 1}),
        live("repository/a", {"x": 2}),
        Action.UPDATE,
    ),
    (
        "a task definition takes a new revision",
        wanted("taskdefinition/a", {"cpu": "256"}),
        live("taskdefinition/a", {"cpu": "512"}),
        Action.REVISE,
    ),
    (
        "tags alone need no revision",
        wanted("taskdefinition/a", {"tags": {"team": "x"}}),
        live("taskdefinition/a", {"tags": {"team": "y"}}),
        Action.UPDATE,
    ),
    (
        "without our tag it is a conflict",
        wanted("repository/a"),
        live("repository/a", owner=None),
        Action.CONFLICT,
    ),
    (
        "another owner is a conflict",
        wanted("repository/a"),
        live("repository/a", owner="them"),
        Action.CONFLICT,
    ),
    (
        "adopt takes it over",
        wanted("repository/a", adopt=True),
        live("repository/a", owner=None),
        Action.ADOPT,
    ),
    (
        "external is left alone",
        wanted("repository/a", external=True),
        live("repository/a", owner=None),
        Action.UNCHANGED,
    ),
    ("external and absent is a conflict", wanted("repository/a", external=True), None, Action.CONFLICT),
]


@pytest.mark.parametrize(
    ("want", "found", "action"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_action(want: Resource, found: Resource | None, action: Action) -> None:
    (change,) = plan.plan("lab", [want], {found.address: found} if found else {})
    assert change.action is action


def test_a_value_of_something_that_is_yet_to_be_made_is_unknown() -> None:
    image, task = (
        wanted("image/i", {"tag": "t"}),
        wanted("taskdefinition/t", {"image": Ref("image/i", "uri")}, "image/i"),
    )
    found = {"taskdefinition/t": live("taskdefinition/t", {"image": "host/i@sha256:old"})}
    made, revised = plan.plan("lab", [task, image], found)
    assert (made.address, made.action) == ("image/i", Action.CREATE)
    assert [(field.path, field.after) for field in revised.fields] == [("image", UNKNOWN)]


def test_a_value_of_something_that_stays_is_known() -> None:
    image, task = (
        wanted("image/i", {"tag": "t"}),
        wanted("taskdefinition/t", {"image": Ref("image/i", "uri")}, "image/i"),
    )
    found = {
        "image/i": live("image/i", {"tag": "t"}, uri="host/i@sha256:1"),
        "taskdefinition/t": live("taskdefinition/t", {"image": "host/i@sha256:1"}),
    }
    assert [change.action for change in plan.plan("lab", [image, task], found)] == [Action.UNCHANGED] * 2


def test_only_prune_deletes_and_only_what_is_ours() -> None:
    found = {
        r.address: r for r in (live("repository/a"), live("repository/b"), live("repository/c", owner="them"))
    }
    keep = [wanted("repository/a")]
    assert [c.address for c in plan.plan("lab", keep, found)] == ["repository/a"]
    assert [(c.address, c.action) for c in plan.plan("lab", keep, found, prune=True)][1:] == [
        ("repository/b", Action.DELETE)
    ]
    assert [r.address for r in plan.unwanted("lab", keep, found)] == ["repository/b"]


def test_deletions_come_last_and_in_reverse() -> None:
    found = {r.address: r for r in (live("repository/a"), live("taskdefinition/t"))}
    changes = plan.plan("lab", [wanted("repository/new")], found, prune=True)
    assert [c.address for c in changes] == ["repository/new", "taskdefinition/t", "repository/a"]


def test_needs_in_a_circle_are_named() -> None:
    with pytest.raises(BunniesError, match=r"circle: .*image/a"):
        plan.plan("lab", [wanted("image/a", {}, "image/b"), wanted("image/b", {}, "image/a")], {})


def deletions(gone: int, kept: int) -> Any:
    found = {f"repository/{n}": live(f"repository/{n}") for n in range(gone + kept)}
    return plan.plan("lab", [wanted(f"repository/{n}") for n in range(kept)], found, prune=True)


@pytest.mark.parametrize(
    ("gone", "kept", "allowed", "refused"),
    [
        (1, 0, 0, True),
        (1, 0, 1, False),
        (3, 6, 0, False),
        (3, 7, 0, False),
        (4, 6, 0, True),
        (4, 6, 4, False),
        (4, 6, 3, True),
    ],
)
def test_guard_of_deletions(gone: int, kept: int, allowed: int, refused: bool) -> None:
    changes = deletions(gone, kept)
    if refused:
        with pytest.raises(GuardError, match=f"deletes {gone} of {gone + kept}"):
            plan.guard(changes, 0, {"maxDeletePercent": 30, "maxRuns": 9000}, allowed)
    else:
        plan.guard(changes, 0, {"maxDeletePercent": 30, "maxRuns": 9000}, allowed)


def test_guard_of_runs_and_of_digests() -> None:
    with pytest.raises(GuardError, match="starts 11 jobs"):
        plan.guard((), 11, {"maxRuns": 10})
    changes = plan.plan("lab", [wanted("image/i", {"from": "python:3.11"})], {})
    plan.guard(changes, 0, {"requireDigest": False})
    with pytest.raises(GuardError, match="NAME@sha256"):
        plan.guard(changes, 0, {"requireDigest": True})


def decision(address: str, job_id: str, made: Decision, attempt: int = 1) -> JobDecision:
    return JobDecision(Job(address, job_id, {}, {}), made, "", attempt)


def test_the_digest_covers_what_is_wanted_and_not_how_far_it_is() -> None:
    changes = plan.plan("lab", [wanted("repository/a", {"x": 1})], {})
    before = plan.assemble("lab", changes, [decision("job/j", "1" * 64, Decision.RUN)])
    later = plan.assemble("lab", changes, [decision("job/j", "1" * 64, Decision.RUNNING, 2)])
    other_job = plan.assemble("lab", changes, [decision("job/j", "2" * 64, Decision.RUN)])
    other_change = plan.assemble("lab", plan.plan("lab", [wanted("repository/a", {"x": 2})], {}), before.jobs)
    assert before.digest == later.digest
    assert len({before.digest, other_job.digest, other_change.digest}) == 3


def test_a_plan_has_changes_when_a_resource_changes_or_a_job_starts() -> None:
    assert not plan.assemble("lab", (), [decision("job/j", "1" * 64, Decision.FAILED)]).has_changes
    assert plan.assemble("lab", (), [decision("job/j", "1" * 64, Decision.RETRY)]).has_changes
    assert plan.assemble("lab", plan.plan("lab", [wanted("repository/a")], {}), ()).has_changes


@given(st.permutations(["repository/r", "image/i", "taskdefinition/t"]))
def test_whatever_the_order_of_the_files_each_comes_after_what_it_needs(order: list[str]) -> None:
    needs = {"repository/r": (), "image/i": ("repository/r",), "taskdefinition/t": ("image/i",)}
    changes = plan.plan("lab", [wanted(address, {}, *needs[address]) for address in order], {})
    assert [change.address for change in changes] == ["repository/r", "image/i", "taskdefinition/t"]


@pytest.mark.parametrize(
    ("spec", "due", "action", "why"),
    [
        ({"cpu": "256"}, {"update": "deregisters 2"}, Action.UPDATE, "deregisters 2"),
        ({"cpu": "256"}, {"revise": "deregisters at most 3"}, Action.UNCHANGED, ""),
        ({"cpu": "512"}, {"revise": "deregisters at most 3"}, Action.REVISE, "cpu; deregisters at most 3"),
        ({"cpu": "512"}, {"update": "deregisters 2"}, Action.REVISE, "cpu"),
    ],
)
def test_what_is_due_beside_the_spec_is_told_with_the_action_that_does_it(
    spec: dict[str, Any], due: dict[str, str], action: Action, why: str
) -> None:
    there = replace(live("taskdefinition/a", {"cpu": "256"}), options={"due": due})
    (change,) = plan.plan("lab", [wanted("taskdefinition/a", spec)], {there.address: there})
    assert (change.action, change.why) == (action, why)
