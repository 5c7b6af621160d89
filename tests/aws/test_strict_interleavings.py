"""Several applies of one set at once, and crashes among them, in orders that seeds give. No lock is held."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

import moto
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reconciler.errors import BunniesError
from tests.aws.strict import Crash, Fault
from tests.aws.strict.baton import Baton
from tests.aws.strict.bench import LANES, Bench, Run, manifests, unsettled

EXAMPLES = int(os.environ.get("BUNNIES_INTERLEAVINGS", "40"))  # more in CI's long run
FEW = LANES[:2]
# no shrinking: a seed orders the processes, the threads of each race
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@pytest.fixture(autouse=True, scope="module")
def _no_aws() -> None:
    os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")


@dataclass(frozen=True)
class Race:
    """How many apply at once, in which order, and which calls of which process meet a fault."""

    seed: int
    processes: int
    faults: tuple[tuple[int, int, Fault], ...] = ()

    def wrong(self, bench: Bench) -> list[str]:
        """What is wrong when all have ended, and after a crash at most two more applies."""
        lines = {f"apply-{number}": bench.cloud.line(f"apply-{number}") for number in range(self.processes)}
        for process, number, fault in self.faults:
            lines[f"apply-{process % self.processes}"].points.numbered[number] = fault
        bench.cloud.gate = baton = Baton(self.seed)
        raised = baton.race(
            {name: functools.partial(bench.into, Run(), line) for name, line in lines.items()}
        )
        bench.cloud.gate = None
        # a read that fails ends a run with a sentence: as good as a crash
        clean = (Crash, BunniesError) if self.faults else ()
        wrong = [f"{name}: {error!r}" for name, error in raised.items() if not isinstance(error, clean)]
        for name in ("second", "third"):
            if not (found := unsettled(bench)):
                return wrong
            if not self.faults:  # nothing but the others was in the way: it must have ended well
                wrong += found
            bench.apply(bench.cloud.line(name))
        return wrong + unsettled(bench)


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 2**32))
def test_two_applies_at_once_start_each_attempt_once_and_both_converge(seed: int) -> None:
    with moto.mock_aws():
        assert Race(seed, 2).wrong(Bench(manifests(FEW[:1]))) == []


@settings(max_examples=max(3, EXAMPLES // 10), deadline=None, phases=PHASES)
@given(seed=st.integers(0, 2**32), processes=st.integers(3, 8))
def test_up_to_eight_applies_at_once_start_each_attempt_once(seed: int, processes: int) -> None:
    with moto.mock_aws():
        assert Race(seed, processes).wrong(Bench(manifests(FEW))) == []


FAULTS = st.tuples(st.integers(0, 1), st.integers(1, 80), st.sampled_from(Fault))


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(seed=st.integers(0, 2**32), faults=st.lists(FAULTS, min_size=1, max_size=3))
def test_whatever_goes_wrong_while_two_apply_at_once_the_next_apply_mends(
    seed: int, faults: list[tuple[int, int, Fault]]
) -> None:
    with moto.mock_aws():
        assert Race(seed, 2, tuple(faults)).wrong(Bench(manifests(FEW[:1]))) == []
