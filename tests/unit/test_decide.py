from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler import decide
from reconciler.model import Attempt, Decision, Job, JobRecord

CASES = YAML(typ="safe").load(Path(__file__).parents[1] / "cases" / "jobs" / "decide.yaml")


def job_of(address: str, given: Mapping[str, Any]) -> Job:
    job_id = hashlib.sha256(str(given.get("same", address)).encode()).hexdigest()
    limits = {
        name: given[name]
        for name in ("size", "deadline", "queueTimeout", "capacityProviderStrategy")
        if name in given
    }
    spec = (
        limits
        | {name: given.get(name, {}) for name in ("retry", "jobspec")}
        | {
            "missing": given.get("missing", []),
            "maxParallel": given.get("maxParallel"),
            "upstream": {
                part["output"]: {
                    "from": [{**part, "job_id": hashlib.sha256(part["address"].encode()).hexdigest()}]
                }
                for part in given.get("takes", ())
            },
        }
    )
    return Job(address, job_id, given.get("identity", {}), spec, tuple(given.get("needs", ())))


def record_of(job: Job, attempts: list[Any]) -> JobRecord:
    return JobRecord(
        job.job_id,
        tuple(
            Attempt(
                number,
                claim={
                    "manual": bool((result or {}).get("manual")),
                    "jobspec": (result or {}).get("claimed", {}),
                    "request": (result or {}).get("request", {}),
                    "claimed_at": "2026-01-31T12:00:00.000Z",
                },
                result=result,
            )
            for number, result in enumerate(attempts, 1)
        ),
    )


def world_of(given: Mapping[str, Any]) -> tuple[list[Job], dict[str, JobRecord], dict[str, Any]]:
    jobs = [job_of(address, wish or {}) for address, wish in given.items()]
    records: dict[str, JobRecord] = {}
    for job in jobs:
        if attempts := given[job.address].get("attempts"):
            records[job.job_id] = record_of(job, attempts)
    return jobs, records, {job.address: given[job.address].get("before") for job in jobs}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_a_job_is_decided_by_its_attempts_and_its_upstream(case: dict[str, Any]) -> None:
    jobs, records, history = world_of(case["jobs"])
    ids = {job.address: job.job_id for job in jobs}
    ground = decide.Ground(
        set(case.get("changing", ())),
        dict.fromkeys(case.get("conflicts", ()), "is not ours"),
        {ids[address]: number for address, number in case.get("gone", {}).items()},
    )
    decisions = decide.decide(jobs, records, history, ground)
    assert {d.address: [d.decision.value, d.why, d.attempt] for d in decisions} == case["expect"]


def started(given: Mapping[str, Any], max_parallel: int | None = None) -> list[str]:
    jobs, records, history = world_of(given)
    decisions = decide.decide(jobs, records, history)
    return [decision.address for decision in decide.ready(decisions, records, max_parallel)]


OK = {"status": "succeeded"}


def test_only_what_has_all_its_upstream_done_is_ready() -> None:
    assert started(
        {
            "job/a": {"attempts": [OK]},
            "job/b": {},
            "job/c": {"needs": ["taskdefinition/t", "job/a"]},
            "job/d": {"needs": ["job/a", "job/b"]},
        }
    ) == ["job/b", "job/c"]


def test_of_two_jobs_that_do_the_same_work_one_is_ready() -> None:
    assert started({"job/a": {"same": "x"}, "job/b": {"same": "x"}}) == ["job/a"]


def test_no_more_elements_run_at_once_than_max_parallel_allows() -> None:
    given: dict[str, Any] = {f"job/a/{key}": {"maxParallel": 2} for key in "wxyz"} | {"job/b": {}}
    given["job/a/w"]["attempts"] = [None]
    assert started(given) == ["job/a/x", "job/b"]
    assert started(given, max_parallel=2) == ["job/a/x"]
    assert started(given, max_parallel=1) == []


def test_what_was_claimed_since_the_plan_is_not_ready() -> None:
    jobs, _, _ = world_of({"job/a": {}, "job/b": {}, "job/c": {}})
    decisions = decide.decide(jobs, {}, {})
    newer = {
        jobs[0].job_id: record_of(jobs[0], [None]),
        jobs[1].job_id: record_of(jobs[1], [OK]),
    }
    assert [decision.address for decision in decide.ready(decisions, newer)] == ["job/c"]


def test_a_plan_is_followed_to_its_end_with_newer_records() -> None:
    jobs, _, _ = world_of({"job/a": {}, "job/b": {"needs": ["job/a"]}})
    decisions = decide.decide(jobs, {}, {})
    assert [one.address for one in decide.ready(decisions, {})] == ["job/a"]
    done = {jobs[0].job_id: record_of(jobs[0], [OK])}
    assert [one.address for one in decide.ready(decisions, done)] == ["job/b"]


def test_when_all_has_succeeded_there_is_nothing_to_start() -> None:
    jobs, records, history = world_of(
        {"job/a": {"attempts": [OK]}, "job/b": {"needs": ["job/a"], "attempts": [OK]}}
    )
    decisions = decide.decide(jobs, records, history)
    assert {decision.decision for decision in decisions} == {Decision.CACHED}
    assert decide.ready(decisions, records) == ()


STATUSES = ["succeeded", "failed", "lost", "interrupted", "stopped"]


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    """Up to six jobs, each behind some of those before it; two may do the same work."""
    given: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 6))):
        needs = draw(st.lists(st.sampled_from(sorted(given)), unique=True)) if given else []
        same = draw(st.sampled_from([f"work {number}", "common work"]))
        retry = {"attempts": draw(st.integers(1, 3))}
        given[f"job/{number}"] = {"needs": needs, "same": same, "retry": retry}
    return given


@drawn(graphs(), st.data())
def test_deciding_again_and_again_comes_to_an_end_whatever_happens(
    given: dict[str, Any], data: st.DataObject
) -> None:
    jobs, _, history = world_of(given)
    attempts: dict[str, list[Any]] = {job.job_id: [] for job in jobs}
    of_id = {job.job_id: job for job in reversed(jobs)}

    def records() -> dict[str, JobRecord]:
        return {job_id: record_of(of_id[job_id], results) for job_id, results in attempts.items()}

    for _ in range(6 * len(jobs) + 1):
        decisions = decide.decide(jobs, records(), history)
        chosen = decide.ready(decisions, records())
        assert len({one.job.job_id for one in chosen}) == len(chosen)
        for one in chosen:
            results = attempts[one.job.job_id]
            assert one.attempt == len(results) + 1
            assert None not in results
            results.append(None)
        still = [job_id for job_id, results in attempts.items() if None in results]
        if not still:
            break
        ended = data.draw(st.sampled_from(sorted(still)))
        attempts[ended][-1] = {"status": data.draw(st.sampled_from(STATUSES)), "exit_code": 1}
    final = {decision.decision for decision in decide.decide(jobs, records(), history)}
    assert final <= {Decision.CACHED, Decision.FAILED, Decision.BLOCKED}
    for results in attempts.values():
        assert len(results) <= 6
        assert [one["status"] for one in results[:-1]].count("succeeded") == 0
