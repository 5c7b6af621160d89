"""Whole applies on a strict AWS: repository, image, task definition, and a graph of jobs, in process.

The proof of issue "Job runs", 9: a fault at every single AWS call of an apply, then apply again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import moto
import pytest

from reconciler.model import Status
from tests.aws.strict import Crash, Fault, Point
from tests.aws.strict.bench import EDITS, LANES, OLD, PLATFORM, Bench, edited, ended, manifests, unsettled

SMALL = LANES[:2]  # index → align of two lanes → merge → stats


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with moto.mock_aws():
        yield Bench(manifests())


def test_a_whole_set_is_applied_and_the_second_plan_is_empty(bench: Bench) -> None:
    run = bench.apply()
    told = Counter(outcome.status for outcome in run.outcomes)
    assert told == {Status.CHANGED: 6, Status.LAUNCHED: 8, Status.SUCCEEDED: 8}
    assert set(ended(run).values()) == {"CACHED"}
    assert unsettled(bench) == []


def test_a_second_apply_changes_nothing(bench: Bench) -> None:
    bench.apply()
    line = bench.cloud.line()
    again = bench.apply(line)
    assert {outcome.status for outcome in again.outcomes} == {Status.UNCHANGED}
    assert [str(point) for point in line.points.made if not point.reads] == []


def test_without_wait_the_next_applies_go_on(bench: Bench) -> None:
    for _ in range(4):
        bench.apply(wait=False)
        bench.cloud.advance(30)
    bench.apply(wait=False)
    assert unsettled(bench) == []


def test_a_command_that_fails_is_final_and_blocks_what_needs_it(bench: Bench) -> None:
    bench.cloud.shim.user = lambda spec: 3 if spec["address"] == "job/align/s01.L2" else 0
    run = bench.apply()
    decisions = ended(run)
    assert decisions["job/align/s01.L2"] == "FAILED"
    assert decisions["job/merge/s01"] == decisions["job/stats"] == "BLOCKED"
    assert decisions["job/merge/s02"] == "CACHED"
    assert max(bench.cloud.shim.effects.values()) == 1


@contextlib.contextmanager
def _new_set() -> Iterator[Bench]:
    """Nothing is there yet."""
    with moto.mock_aws():
        yield Bench(manifests(SMALL))


@contextlib.contextmanager
def _another_set() -> Iterator[Bench]:
    """Everything is there, in another form, and more than is wanted."""
    with moto.mock_aws():
        bench = Bench(manifests((), PLATFORM + OLD))
        bench.apply(bench.cloud.line("before"))
        bench.wanted, bench.prune = manifests((), edited(EDITS)), True
        bench.cloud.shim.effects.clear()
        bench.cloud.tasks.all.clear()
        yield bench


World = Callable[[], AbstractContextManager[Bench]]


def _points(world: World) -> list[Point]:
    with world() as bench:
        line = bench.cloud.line()
        bench.apply(line)
        assert unsettled(bench) == []
        return line.points.made


def _after(world: World, point: Point, fault: Fault) -> list[str]:
    """What is wrong after an apply with a fault at a point, and at most two more."""
    with world() as bench:
        line = bench.cloud.line("first")
        line.points.order(point, fault)
        crashed = False
        try:
            bench.apply(line)
        except Crash:
            crashed = True
        wrong = ["it was not reached"] if line.points.faults else []
        for name in ("second", "third"):
            if not crashed and not unsettled(bench):
                break
            crashed = False
            bench.apply(bench.cloud.line(name))
        return [f"{fault} {point}: {one}" for one in wrong + unsettled(bench)]


def _all(world: World, points: Iterable[Point], *faults: Fault) -> list[str]:
    return [wrong for point in points for fault in faults for wrong in _after(world, point, fault)]


WORLDS = pytest.mark.parametrize("world", [_new_set, _another_set])


@WORLDS
def test_a_crash_before_any_call_is_mended_by_the_next_apply(world: World) -> None:
    points = _points(world)
    changes = [point for point in points if not point.reads]
    # before a call that reads, nothing is otherwise than after the change before it: of those a sample
    reads = [point for point in points if point.reads and point.nth == 1][::4]
    assert _all(world, changes + reads, Fault.CRASH_BEFORE) == []


@WORLDS
@pytest.mark.parametrize("fault", [Fault.CRASH_AFTER, Fault.LOST])
def test_a_crash_or_a_lost_answer_after_any_call_that_changes_something_is_mended(
    world: World, fault: Fault
) -> None:
    assert _all(world, (point for point in _points(world) if not point.reads), fault) == []


@pytest.mark.parametrize("operation", ["RunTask", "PutObject claim.json", "RegisterTaskDefinition"])
def test_whatever_goes_wrong_with_a_call_it_is_mended(operation: str) -> None:
    name, _, subject = operation.partition(" ")
    points = _points(_new_set)
    point = next(p for p in points if p.operation == name and str(p.subject).endswith(subject))
    assert _all(_new_set, [point], *Fault) == []
