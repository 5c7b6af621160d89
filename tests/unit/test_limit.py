"""limit: what --limit and --exclude leave of a plan."""

from __future__ import annotations

import pytest

from reconciler import limit, plan
from reconciler.errors import BunniesError
from reconciler.model import Decision, Job, JobDecision, Ref, Resource

JOBS = ("job/index", "job/align/s01.L1", "job/align/s02.L1", "job/merge")


@pytest.mark.parametrize(
    ("scope", "inside"),
    [
        (limit.Scope(), JOBS),
        (limit.Scope(("job/align",)), JOBS[1:3]),
        (limit.Scope(("job/align/s01.*",)), JOBS[1:2]),
        (limit.Scope(("*/align/*", "job/merge")), JOBS[1:]),
        (limit.Scope((), ("job/align",)), (JOBS[0], JOBS[3])),
        (limit.Scope(("job/*",), ("*L1",)), (JOBS[0], JOBS[3])),
        (limit.Scope(("job/alig",)), ()),
    ],
)
def test_a_pattern_is_an_address_an_array_or_has_wildcards(
    scope: limit.Scope, inside: tuple[str, ...]
) -> None:
    assert tuple(address for address in JOBS if scope.holds(address)) == inside


def test_a_pattern_that_matches_nothing_is_named_with_what_was_meant() -> None:
    with pytest.raises(BunniesError, match=r"--limit job/indx: .*job/index"):
        limit.Scope(("job/indx",)).check(JOBS)


def test_a_change_that_needs_a_change_outside_is_refused() -> None:
    image = Resource("image/i", {"tag": "t"}, owner="lab")
    task = Resource("taskdefinition/t", {"image": Ref("image/i", "uri")}, ("image/i",), owner="lab")
    changes = plan.plan("lab", [image, task], {})
    with pytest.raises(BunniesError, match="Say --limit image/i too"):
        limit.changes(limit.Scope(("taskdefinition/t",)), changes)
    assert [one.address for one in limit.changes(limit.Scope(("image/*", "task*")), changes)] == [
        "image/i",
        "taskdefinition/t",
    ]
    assert limit.waiting(limit.Scope(("job/*",)), changes).keys() == {"image/i", "taskdefinition/t"}


def decision(address: str, made: Decision, *needs: str) -> JobDecision:
    return JobDecision(Job(address, "0" * 64, {}, {}, needs), made, "new", 1)


def test_a_job_behind_one_that_is_outside_and_has_not_run_is_blocked() -> None:
    run, cached = Decision.RUN, Decision.CACHED
    all_of_it = [
        decision("job/a", run),
        decision("job/b", cached),
        decision("job/c", run, "job/a"),
        decision("job/d", run, "job/c"),
        decision("job/e", run, "job/b"),
    ]
    kept = limit.decisions(limit.Scope((), ("job/a", "job/b")), all_of_it)
    assert [(one.address, one.decision, one.why) for one in kept] == [
        ("job/c", Decision.BLOCKED, "job/a is outside of --limit"),
        ("job/d", Decision.BLOCKED, "job/c is blocked"),
        ("job/e", Decision.RUN, "new"),
    ]
