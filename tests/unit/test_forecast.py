from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler import forecast
from reconciler.model import Attempt, Decision, Job, JobDecision, JobRecord

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def at(minute: int) -> str:
    return f"2026-01-31T11:{minute:02}:00.000Z"


def done(minutes: int) -> Attempt:
    return Attempt(1, result={"status": "succeeded", "started_at": at(0), "finished_at": at(minutes)})


def given(*jobs: tuple[str, Decision, Attempt | None]) -> tuple[list[JobDecision], dict[str, JobRecord]]:
    decisions, records = [], {}
    for address, decision, attempt in jobs:
        decisions.append(JobDecision(Job(address, address, {}, {}), decision, "", 1))
        if attempt:
            records[address] = JobRecord(address, (attempt,))
    return decisions, records


RUNNING = Attempt(1, started={"started_at": at(55)})
FOUR: Any = (
    ("job/align/a", Decision.CACHED, done(10)),
    ("job/align/b", Decision.CACHED, done(20)),
    ("job/align/c", Decision.RUNNING, RUNNING),
    ("job/align/d", Decision.RUN, None),
    ("job/merge", Decision.BLOCKED, None),
)


def test_a_person_who_waits_sees_counts_what_runs_and_how_long_it_may_take() -> None:
    decisions, records = given(*FOUR)
    words = "2 of 5 done, 1 running (align/c 5m00s), 1 to start, 1 blocked; about 40m00s left"
    assert forecast.line(decisions, records, NOON) == words


def test_without_history_nothing_is_promised() -> None:
    decisions, records = given(*FOUR[2:])
    assert (
        forecast.line(decisions, records, NOON)
        == "0 of 3 done, 1 running (align/c 5m00s), 1 to start, 1 blocked"
    )


@pytest.mark.parametrize("count", [1, 5])
def test_what_runs_side_by_side_is_done_side_by_side(count: int) -> None:
    running: Any = [(f"job/align/{n}", Decision.RUNNING, RUNNING) for n in range(count)]
    decisions, records = given(("job/align/a", Decision.CACHED, done(15)), *running)
    assert forecast.seconds_left(decisions, records, NOON) == 600


def test_what_takes_longer_than_ever_is_about_to_end() -> None:
    decisions, records = given(
        ("job/align/a", Decision.CACHED, done(1)), ("job/align/b", Decision.RUNNING, RUNNING)
    )
    assert forecast.seconds_left(decisions, records, NOON) == 0


def test_when_all_is_done_nothing_is_left() -> None:
    decisions, records = given(*FOUR[:2])
    assert forecast.line(decisions, records, NOON) == "2 of 2 done, 0 running"
