from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from reconciler.clock import Clock, moment


def clock(now: datetime, slept: list[float], chance: float = 1.0) -> Clock:
    return Clock(now=lambda: now, sleep=slept.append, chance=lambda: chance)


def test_a_stamp_is_utc_and_reads_back_as_the_same_moment() -> None:
    now = datetime(2026, 1, 31, 13, 0, 0, 123000, tzinfo=timezone(timedelta(hours=1)))
    stamp = clock(now, []).stamp()
    assert stamp == "2026-01-31T12:00:00.123Z"
    assert moment(stamp) == now


def test_a_stamp_without_fractions_is_read_too() -> None:
    assert moment("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_waits_double_up_to_a_bound_and_lie_anywhere_below_it() -> None:
    slept: list[float] = []
    for tried in range(9):
        clock(datetime.now(UTC), slept).wait(tried)
    assert slept == [0.25, 0.5, 1, 2, 4, 8, 16, 20, 20]
    slept.clear()
    clock(datetime.now(UTC), slept, chance=0.5).wait(2)
    assert slept == [0.5]
