"""Calls are held below documented rates, on a clock of our own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reconciler.clock import Clock
from reconciler.pacing import Pace


@dataclass
class Time:
    now: datetime = datetime(2026, 1, 31, tzinfo=UTC)
    slept: float = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep, lambda: 0.5)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += timedelta(seconds=seconds)


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    time = Time()
    pace = Pace(time.clock())
    for _ in range(40):  # four fifths of the 50 that ECS documents
        pace.wait("ecs", "DescribeTaskDefinition")
    assert time.slept == 0
    for _ in range(160):
        pace.wait("ecs", "DescribeTaskDefinition")
    assert 9.9 < time.slept < 10.1  # 16 a second


def test_tokens_come_back_with_time_and_never_more_than_the_burst() -> None:
    time = Time()
    pace = Pace(time.clock())
    for _ in range(16):
        pace.wait("ecs", "RegisterTaskDefinition")
    time.now += timedelta(hours=1)
    for _ in range(16):
        pace.wait("ecs", "DeregisterTaskDefinition")  # of the same bucket
    assert time.slept == 0
    pace.wait("ecs", "RegisterTaskDefinition")
    assert time.slept > 1


def test_a_clock_that_goes_back_takes_no_tokens() -> None:
    time = Time()
    pace = Pace(time.clock())
    pace.wait("ecs", "RunTask")
    time.now -= timedelta(hours=1)
    pace.wait("ecs", "RunTask")
    assert time.slept == 0


def test_what_has_no_documented_rate_never_waits() -> None:
    time = Time()
    pace = Pace(time.clock())
    for _ in range(10_000):
        pace.wait("s3", "GetObject")
    assert time.slept == 0
