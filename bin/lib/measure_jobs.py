"""What jobs by the ten thousand cost, on the strict AWS of the tests: no network, no engine, a simulated clock.

Job: plan an array that is new, launch it at the documented rate of Fargate, plan it again when all has succeeded.
Input: how many elements, a file for the figures. Output: JSON. Must not: judge.

Threads that sleep let the simulated time pass together: it moves to the first that is due when all of them sleep.
"""

from __future__ import annotations

import heapq
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

import moto  # noqa: E402

from reconciler import apply, load, step, survey  # noqa: E402
from reconciler.clock import Clock  # noqa: E402
from reconciler.model import Outcome, Status  # noqa: E402
from reconciler.pacing import Pace  # noqa: E402
from tests.aws.strict import Line, StrictAws  # noqa: E402
from tests.aws.strict.bench import PLATFORM, Bench  # noqa: E402
from tests.aws.strict.buckets import FARGATE, Buckets  # noqa: E402

ARRAY = """
---
kind: Job
name: align
taskDefinition: align-task
launchType: FARGATE
foreach: {file: reads.csv}
key: "{{ item.sample }}"
command: [align, "{input.reads}", "{output.bam}"]
inputs: {reads: "s3://reads/batch/{{ item.sample }}.fq"}
outputs: {bam: "{{ item.sample }}.bam"}
"""


class Together:
    """Sleeping for several threads on one timeline."""

    def __init__(self, cloud: StrictAws, threads: int) -> None:
        self._cloud, self._threads = cloud, threads
        self._turn = threading.Condition()
        self._wakes: list[float] = []

    def _now(self) -> float:
        return self._cloud.timeline.now.timestamp()

    def sleep(self, seconds: float) -> None:
        """Until the timeline has come so far."""
        with self._turn:
            wake = self._now() + seconds
            heapq.heappush(self._wakes, wake)
            while self._now() < wake - 1e-6:
                # nobody stirred for a while: fewer threads are left than there were
                if len(self._wakes) >= self._threads or not self._turn.wait(0.02):
                    self._cloud.advance(max(0.0, self._wakes[0] - self._now()) + 1e-6)
                    self._turn.notify_all()
                    if self._now() < wake - 1e-6:
                        self._turn.wait(0.001)
            self._wakes.remove(wake)
            heapq.heapify(self._wakes)


class Paced(Line):
    """A line that holds to documented rates, as the command line's Aws does."""

    def __init__(self, cloud: StrictAws, threads: int) -> None:
        super().__init__(cloud, "bench")
        self._together = Together(cloud, threads)
        self.pace = Pace(self.clock())

    def clock(self) -> Clock:
        """Shared by the threads."""
        return Clock(lambda: self.cloud.timeline.now, self._together.sleep, lambda: 0.5)

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """As Aws, within the rates."""
        self.pace.wait(service, operation)
        return super().call(service, operation, **params)


def bench_of(count: int) -> Bench:
    """An account with the reads of so many samples, and the manifests that align them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "reads.csv").write_text("sample\n" + "".join(f"s{n:05}\n" for n in range(count)), "utf-8")
        settings = PLATFORM.replace(
            "region: us-east-1\n", f"region: us-east-1\nguards: {{maxRuns: {count}}}\n", 1
        )
        (folder / "set.yaml").write_text(settings + ARRAY, "utf-8")
        wanted = load.load([folder / "set.yaml"], [], {})
    bench = Bench(wanted)
    for n in range(count):
        bench.cloud.s3.put(f"s3://reads/batch/s{n:05}.fq", b"@read\n")
    return bench


def planned(bench: Bench) -> tuple[survey.Survey, dict[str, Any]]:
    """The survey, with what it and its plan took."""
    line = bench.cloud.line("planner")
    actor = bench.actor(line)
    began = time.monotonic()
    found = survey.survey(actor.world, actor.ledger, bench.wanted)
    made = survey.plan(found)
    took = time.monotonic() - began
    calls = {f"{service}.{name}": n for (service, name), n in sorted(line.calls.items()) if service == "s3"}
    kinds = {name: n for name, n in made.summary.items() if name in ("run", "cached") and n}
    return found, {"seconds": round(took, 2), "calls_to_s3": calls, "jobs": kinds}


def launched(bench: Bench, found: survey.Survey) -> dict[str, Any]:
    """All of them started, at the documented rate."""
    cloud = bench.cloud
    line = Paced(cloud, step.AT_ONCE)
    actor = bench.actor(line)
    resources = apply.resources(bench.actor(cloud.line("setup")).world, survey.plan(found))
    attributes, _ = _drain(resources)
    cloud.buckets = Buckets()
    cloud.shim.seconds = lambda _: 1e6
    began, clock = time.monotonic(), cloud.timeline.now
    _, outcomes = _drain(apply.jobs(actor, found.jobs, attributes, wait=False))
    simulated = (max(task.created for task in cloud.tasks.all.values()) - clock).total_seconds()
    count, (burst, rate) = len(cloud.tasks.all), FARGATE
    refused = cloud.buckets.refused["RunTask"]
    allowed = max(count - burst, 0) / rate
    return {
        "launched": sum(one.status is Status.LAUNCHED for one in outcomes),
        "tasks": count,
        "duplicates": count - len({task.request["clientToken"] for task in cloud.tasks.all.values()}),
        "simulated_seconds": round(simulated, 1),
        "share_of_the_bucket": round(allowed / simulated, 4) if simulated else None,
        "throttled": refused,
        "share_throttled": round(refused / (count + refused), 4) if count else None,
        "seconds": round(time.monotonic() - began, 2),
    }


def _drain(stream: Any) -> tuple[Any, list[Outcome]]:
    told = []
    while True:
        try:
            told.append(next(stream))
        except StopIteration as end:
            return end.value, told


def main() -> int:
    """Takes the figures and writes them."""
    count, target = int(sys.argv[1]), Path(sys.argv[2])
    figures: dict[str, Any] = {"elements": count}
    with moto.mock_aws():
        began = time.monotonic()
        bench = bench_of(count)
        figures["load_seconds"] = round(time.monotonic() - began, 2)
        found, figures["plan_new"] = planned(bench)
        figures["launch"] = launched(bench, found)
        print(json.dumps(figures, indent=1), file=sys.stderr)
        bench.cloud.buckets = None
        bench.cloud.advance(2e6)
        actor = bench.actor(bench.cloud.line("later"))
        attributes, _ = _drain(apply.resources(actor.world, survey.plan(found)))
        _drain(apply.jobs(actor, found.jobs, attributes, wait=False))  # an apply that sees them done
        _, figures["plan_done"] = planned(bench)
    target.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
