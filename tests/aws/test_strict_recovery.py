"""Crashes, and time: an apply that is taken up again a second, an hour or a day later, whatever became of the task."""

from __future__ import annotations

import os

import moto
import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from reconciler.errors import BunniesError
from tests.aws.strict import Crash, Fault
from tests.aws.strict.bench import LANES, Bench, ended, manifests, unowned, unsettled
from tests.aws.strict.buckets import Buckets
from tests.aws.strict.ecs_tasks import Pace
from tests.aws.strict.faults import jobspec

EXAMPLES = int(os.environ.get("BUNNIES_INTERLEAVINGS", "60"))
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

LAUNCH = (
    ("PutObject", "/claim.json"),
    ("PutObject", "/jobspec.json"),
    ("RunTask", ""),
    ("PutObject", "/task.json"),
    ("PutObject", "/started.json"),  # a tombstone
    ("PutObject", "/result.json"),
)
CALLS = st.one_of(st.sampled_from(LAUNCH), st.integers(1, 60))
CRASHES = st.one_of(
    st.none(), st.tuples(CALLS, st.sampled_from((Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST)))
)
# a moment, the last word of a shim, MISSING's end, a token's, the longest of all
PAUSES = st.sampled_from((0, 61, 700, 3700, 90_000))
FATES = st.sampled_from(("works", "dies", "never starts"))


@pytest.fixture(autouse=True, scope="module")
def _no_aws() -> None:
    os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(
    tries=st.lists(st.tuples(CRASHES, st.booleans(), PAUSES), min_size=1, max_size=3),
    fate=FATES,
    unseen=st.sampled_from((0, 300)),
)
def test_an_apply_is_taken_up_again_at_any_time_and_no_attempt_runs_twice(
    tries: list[tuple[tuple[int | tuple[str, str], Fault] | None, bool, int]], fate: str, unseen: int
) -> None:
    with moto.mock_aws():
        bench = Bench(manifests(()))
        tasks = bench.cloud.tasks
        tasks.pace = lambda _: Pace(unseen=unseen)
        bench.cloud.shim.seconds = lambda _: 60.0
        tasks.dies = lambda request: 30 if fate == "dies" and "/attempts/1/" in jobspec(request) else None
        tasks.doomed = lambda request: (
            "CannotStart" if fate == "never starts" and "/attempts/1/" in jobspec(request) else None
        )
        for number, (crash, wait, pause) in enumerate(tries):
            line = bench.cloud.line(f"try-{number}")
            if crash:
                line.points.order(*crash)
            try:
                bench.apply(line, wait=wait)
            except (Crash, BunniesError) as error:
                event(type(error).__name__)
            bench.cloud.advance(pause)
        bench.apply(bench.cloud.line("last"))
        effects = bench.cloud.shim.effects
        specs = [jobspec(task.request) for task in tasks.all.values()]
        assert bench.plan().jobs[0].decision == "CACHED"
        assert max(effects.values()) == 1
        assert len(set(specs)) == len(specs), "an attempt was started twice"
        assert len(effects) <= (2 if fate == "dies" else 1)
        assert unowned(bench) == []


def test_a_task_that_dies_on_its_host_is_followed_by_another_attempt() -> None:
    with moto.mock_aws():
        bench = Bench(manifests(()))
        bench.cloud.tasks.dies = lambda request: 0.2 if "/attempts/1/" in jobspec(request) else None
        assert set(ended(bench.apply()).values()) == {"CACHED"}
        assert sorted(attempt for _, attempt in bench.cloud.shim.effects) == [1, 2]


def test_tasks_that_are_not_seen_for_five_minutes_are_not_started_again() -> None:
    with moto.mock_aws():
        bench = Bench(manifests(LANES))
        bench.cloud.tasks.pace = lambda _: Pace(unseen=300)
        bench.apply()
        assert unsettled(bench) == []


@pytest.mark.parametrize("disguised", [False, True])
def test_a_whole_apply_within_the_documented_rates(disguised: bool) -> None:
    with moto.mock_aws():
        bench = Bench(manifests(LANES), buckets=Buckets(disguised=disguised))
        bench.apply()
        assert unsettled(bench) == []


def test_the_cluster_running_out_of_room_delays_and_loses_nothing() -> None:
    with moto.mock_aws():
        bench = Bench(manifests(LANES))
        until = bench.cloud.timeline.now.timestamp() + 120
        bench.cloud.tasks.full = lambda _: (
            [{"reason": "RESOURCE:MEMORY"}] if bench.cloud.timeline.now.timestamp() < until else []
        )
        bench.apply()
        assert unsettled(bench) == []
