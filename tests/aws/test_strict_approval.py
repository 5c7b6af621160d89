"""Limits and approved plans over whole applies on a strict AWS: jobs too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import moto
import pytest

from reconciler import approval, survey
from reconciler.cli import reconcile
from reconciler.limit import EVERYTHING, Scope
from reconciler.model import Decision, Outcome, Plan, Status
from reconciler.render import data
from tests.aws.strict.bench import Bench, manifests

RESOURCES = ("repository/*", "image/*", "taskdefinition/*")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        yield Bench(manifests())


def planned(bench: Bench, scope: Scope = EVERYTHING) -> Plan:
    actor = bench.actor(bench.cloud.line("planner"))
    return survey.plan(survey.survey(actor.world, actor.ledger, bench.wanted), scope=scope)


def applied(
    bench: Bench,
    scope: Scope = EVERYTHING,
    approved: approval.Approved | None = None,
) -> tuple[list[Outcome], int]:
    """`bunnies apply --yes --wait`, limited or of a plan file: its outcomes and its exit code."""
    actor = bench.actor(bench.cloud.line())
    found = survey.survey(actor.world, actor.ledger, bench.wanted)
    made = survey.plan(found, scope=scope)
    held = approval.hold(made, approved) if approved else approval.Held(made)
    told = list(held.refused)
    progress = reconcile._carry_out(actor, found, held, wait=True, tell=told.append)
    inside = {one.address for one in made.jobs}
    failed = [one for one in progress.failed if one.address in inside]
    return told, reconcile.exit_code(told, failed, wait=True)


def launched(told: list[Outcome]) -> set[str]:
    return {one.address for one in told if one.status is Status.LAUNCHED}


def test_a_limited_apply_starts_what_is_inside_and_nothing_else(bench: Bench) -> None:
    told, code = applied(bench, Scope((*RESOURCES, "job/index")))
    assert (launched(told), code) == ({"job/index"}, 0)
    (decision,) = planned(bench, Scope(("job/merge/s01",))).jobs
    assert decision.decision is Decision.BLOCKED
    assert "is outside of --limit" in decision.why
    told, code = applied(bench, Scope(("job/align",), ("*.L2",)))
    assert (launched(told), code) == ({"job/align/s01.L1", "job/align/s02.L1"}, 0)
    told, code = applied(bench)
    assert (len(launched(told)), code) == (5, 0)


def test_a_job_behind_a_resource_that_changes_outside_does_not_start(bench: Bench) -> None:
    made = planned(bench, Scope(("job/*",)))
    assert {one.decision for one in made.jobs} == {Decision.BLOCKED}
    told, _ = applied(bench, Scope(("job/*",)))
    assert launched(told) == set()


def test_jobs_are_started_as_approved_and_others_are_not(bench: Bench, tmp_path: Path) -> None:
    document = data.plan(planned(bench))
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    approved = approval.read(path)
    bench.cloud.s3.put("s3://reads/s01.L1.fq", b"other reads")
    told, code = applied(bench, approved=approved)
    refused = {one.address for one in told if one.stale}
    assert refused == {"job/align/s01.L1", "job/merge/s01", "job/stats"}
    assert launched(told) == {
        "job/index",
        "job/align/s01.L2",
        "job/align/s02.L1",
        "job/align/s02.L2",
        "job/merge/s02",
    }
    assert code == 4
    again, code = applied(bench, approved=approved)
    assert (launched(again), code) == (set(), 4)


def test_an_approved_plan_can_be_applied_again(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(data.plan(planned(bench))))
    approved = approval.read(path)
    assert applied(bench, approved=approved)[1] == 0
    told, code = applied(bench, approved=approved)
    assert ({one.status for one in told}, code) == ({Status.UNCHANGED}, 0)
