"""Anything, in any order: manifests edited, the account changed by others, crashes, time, two applies at once.

Whatever came before, two more applies make the manifests true, with no attempt run twice and nothing unowned.
"""

from __future__ import annotations

import contextlib
import functools
import os

import moto
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from reconciler.errors import BunniesError
from tests.aws.strict import Crash, Fault
from tests.aws.strict.baton import Baton
from tests.aws.strict.bench import CLUSTER, EDITS, Bench, Run, edited, manifests, unowned
from tests.aws.strict.faults import jobspec

EXAMPLES = int(os.environ.get("BUNNIES_INTERLEAVINGS", "40")) // 4
NAME = "rieseberglab/analytics"


class Machine(RuleBasedStateMachine):
    """One owner's account and repository of manifests."""

    @initialize()
    def bootstrap(self) -> None:
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(moto.mock_aws())
        self.bench = Bench(manifests(()))
        self.tools = self.bench.cloud.line("somebody")
        self.applied = 0

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        with self.stack:
            for _ in range(2):
                self._apply()
            self._check()

    @rule(names=st.frozensets(st.sampled_from(sorted(EDITS)), max_size=3))
    def edit(self, names: frozenset[str]) -> None:
        self.bench.wanted = manifests((), edited(names))

    @rule(wait=st.booleans())
    def apply(self, wait: bool) -> None:
        self._apply(wait=wait)

    @rule(number=st.integers(1, 60), fault=st.sampled_from(Fault), wait=st.booleans())
    def apply_that_meets_a_fault(self, number: int, fault: Fault, wait: bool) -> None:
        self._apply(number, fault, wait=wait)

    @rule(seed=st.integers(0, 1000))
    def two_apply_at_once(self, seed: int) -> None:
        lines = [self.bench.cloud.line(f"apply-{side}") for side in "ab"]
        self.bench.cloud.gate = baton = Baton(seed)
        raised = baton.race({line.name: functools.partial(self.bench.into, Run(), line) for line in lines})
        self.bench.cloud.gate = None
        assert raised == {}

    @rule(seconds=st.sampled_from((1, 61, 700, 3700, 90_000)))
    def time_passes(self, seconds: int) -> None:
        self.bench.cloud.advance(seconds)

    @rule()
    def somebody_deletes_the_lifecycle_policy(self) -> None:
        self._by_hand("ecr", "DeleteLifecyclePolicy", repositoryName=NAME)

    @rule()
    def somebody_makes_the_tags_mutable(self) -> None:
        self._by_hand("ecr", "PutImageTagMutability", repositoryName=NAME, imageTagMutability="MUTABLE")

    @rule()
    def somebody_tags_the_repository(self) -> None:
        arn = f"arn:aws:ecr:us-east-1:123456789012:repository/{NAME}"
        self._by_hand("ecr", "TagResource", resourceArn=arn, tags=[{"Key": "by", "Value": "hand"}])

    @rule()
    def somebody_deregisters_the_newest_revision(self) -> None:
        with contextlib.suppress(BunniesError):
            answer = self.tools.call("ecs", "DescribeTaskDefinition", taskDefinition="align-task")
            arn = answer["taskDefinition"]["taskDefinitionArn"]
            self.tools.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)

    @rule()
    def somebody_stops_every_task(self) -> None:
        for task in self.bench.cloud.tasks.live():
            self._by_hand("ecs", "StopTask", cluster=CLUSTER, task=task.arn)

    def _by_hand(self, service: str, operation: str, **params: object) -> None:
        with contextlib.suppress(BunniesError):  # it may not be there
            self.tools.call(service, operation, **params)

    def _apply(self, number: int = 0, fault: Fault | None = None, *, wait: bool = True) -> None:
        self.applied += 1
        line = self.bench.cloud.line(f"apply-{self.applied}")
        if fault is not None:
            line.points.order(number, fault)
        try:
            self.bench.apply(line, wait=wait)
        except (Crash, BunniesError):
            assert fault is not None

    def _check(self) -> None:
        plan = self.bench.plan()
        assert [change for change in plan.changes if change.action != "unchanged"] == []
        assert plan.copies == ()
        assert [job.decision for job in plan.jobs] == ["CACHED"]
        assert max(self.bench.cloud.shim.effects.values()) == 1
        specs = [jobspec(task.request) for task in self.bench.cloud.tasks.all.values()]
        assert len(set(specs)) == len(specs), "an attempt was started twice"
        assert unowned(self.bench) == []


def test_whatever_happened_the_next_applies_make_the_manifests_true() -> None:
    os.environ.update(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing")
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=10, deadline=None)
    )
