"""A whole set of manifests on a strict AWS, and processes that apply it.

Job: what a test of a whole apply needs: manifests, an account with what bootstrap makes, `bunnies apply` as a
function. Input: YAML. Output: Runs. Must not: assert (tests do).
"""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from functools import cache, reduce
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from reconciler import apply as stage
from reconciler import canonical, load, publish, registry, survey
from reconciler.attempts import Actor
from reconciler.errors import EngineError
from reconciler.kinds import World
from reconciler.layer import Layer
from reconciler.ledger import Ledger
from reconciler.model import ManifestSet, Outcome, Plan
from reconciler.step import Progress
from tests.aws.strict import Line, StrictAws
from tests.aws.strict.buckets import Buckets
from tests.aws.strict.ecs_tasks import Pace
from tests.aws.strict.faults import jobspec
from tests.aws.strict.registry import Registries, Store, sha256
from tests.aws.strict.tagging import tagged

T = TypeVar("T")

BUCKET, CLUSTER, OWNER = "reprod-bucket", "reprod", "reprod"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

PLATFORM = """
kind: Settings
name: reprod
region: us-east-1
cluster: reprod
bucket: reprod-bucket
network: {subnets: [subnet-00000001], securityGroups: [], assignPublicIp: ENABLED}
executionRoleArn: arn:aws:iam::123456789012:role/execution
taskRoleArn: arn:aws:iam::123456789012:role/task
---
kind: Repository
name: rieseberglab/analytics
imageTagMutability: IMMUTABLE
imageScanningConfiguration: {scanOnPush: true}
lifecyclePolicy:
  rules:
    - rulePriority: 1
      selection: {tagStatus: untagged, countType: sinceImagePushed, countUnit: days, countNumber: 14}
      action: {type: expire}
repositoryPolicy:
  Version: "2012-10-17"
  Statement:
    - {Sid: pull, Effect: Allow, Principal: {AWS: "210987654321"}, Action: "ecr:BatchGetImage"}
tags: {team: genomics}
---
kind: Image
name: analytics
from: rieseberglab/analytics:3
repository: rieseberglab/analytics
---
kind: TaskDefinition
name: align-task
cpu: 1 vCPU
memory: 2 GB
networkMode: awsvpc
requiresCompatibilities: [FARGATE]
containerDefinitions:
  - name: aligner
    image: ${image.analytics}
    environment: [{name: THREADS, value: "4"}, {name: A, value: ""}]
    portMappings: [{containerPort: 80}]
    healthCheck: {command: [CMD-SHELL, "true"]}
    logConfiguration:
      logDriver: awslogs
      options: {awslogs-group: /ecs/align, awslogs-region: us-east-1, awslogs-stream-prefix: ecs}
"""

OLD = """
---
kind: Repository
name: old/tools
---
kind: TaskDefinition
name: old-task
cpu: 256
memory: 512
networkMode: awsvpc
requiresCompatibilities: [FARGATE]
containerDefinitions: [{name: old, image: "busybox:1"}]
"""

EDITS = {
    "scanning": ("scanOnPush: true", "scanOnPush: false"),
    "mutability": ("imageTagMutability: IMMUTABLE", "imageTagMutability: MUTABLE"),
    "lifecycle": ("countNumber: 14", "countNumber: 7"),
    "policy": ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
    "tags": ("{team: genomics}", "{team: trees, stage: test}"),
    "environment": ('value: "4"', 'value: "8"'),  # another revision, and another job
    "size": ("memory: 2 GB", "memory: 4 GB"),  # another revision, the same job
}

INDEX = """
---
kind: Job
name: index
taskDefinition: align-task
launchType: FARGATE
command: [bwa, index, "{input.genome}", "{output.reference}"]
inputs: {genome: s3://reads/lambda.fa}
outputs: {reference: reference/}
"""

ALIGN = """
---
kind: Job
name: align
taskDefinition: align-task
launchType: FARGATE
foreach: {items: [%s]}
key: "{{ item.sample }}.{{ item.lane }}"
command: [align, "{input.r1}", "{input.reference}", "{output.bam}"]
inputs:
  r1: "s3://reads/{{ item.sample }}.{{ item.lane }}.fq"
  reference: ${job.index.outputs.reference}
outputs: {bam: "{{ item.sample }}.{{ item.lane }}.bam"}
"""

MERGE = """
---
kind: Job
name: merge
taskDefinition: align-task
launchType: FARGATE
foreach: {items: [%s], distinct: [sample]}
key: "{{ item.sample }}"
command: [samtools, merge, "{output.bam}", "{input.lanes}"]
inputs: {lanes: "${job.align[sample={{ item.sample }}].outputs.bam}"}
outputs: {bam: {path: "{{ item.sample }}.bam", publish: "s3://results/{{ item.sample }}.bam"}}
---
kind: Job
name: stats
taskDefinition: align-task
launchType: FARGATE
command: [flagstat, "{input.samples}", "{output.text}"]
inputs: {samples: "${job.merge[*].outputs.bam}"}
outputs: {text: {path: flagstat.txt, publish: "s3://results/flagstat.txt"}}
"""

LANES = (("s01", "L1"), ("s01", "L2"), ("s02", "L1"), ("s02", "L2"))


def edited(names: Iterable[str]) -> str:
    """PLATFORM with these EDITS made."""
    return reduce(lambda text, name: text.replace(*EDITS[name]), sorted(names), PLATFORM)


@cache
def manifests(lanes: tuple[tuple[str, str], ...] = LANES, platform: str = PLATFORM) -> ManifestSet:
    """Repository, image, task definition; index → align for each lane → merge for each sample → stats."""
    items = ", ".join(f"{{sample: {sample}, lane: {lane}}}" for sample, lane in lanes)
    graph = INDEX + ALIGN % items + MERGE % items if lanes else INDEX
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.yaml"
        path.write_text(platform + graph, "utf-8")
        return load.load([path], [], {})


@cache
def _layer() -> Layer:
    path = Path(tempfile.mkdtemp()) / "layer.tar.gz"
    body = b"the platform layer"
    path.write_bytes(body)
    return Layer("linux/amd64", path, sha256(body), sha256(b"the platform, unpacked"), len(body), "1")


def _no_engine() -> NoReturn:
    raise EngineError("there is no engine here")


@dataclass
class Run:
    """What one apply did: its first plan, every outcome, and where its jobs stood at the end."""

    plan: Plan | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    progress: Progress | None = None


class Bench:
    """An account after bootstrap, with reads in a bucket and the user's image in a registry."""

    def __init__(self, wanted: ManifestSet, *, buckets: Buckets | None = None) -> None:
        self.cloud = StrictAws(buckets=buckets)
        self.cloud.tasks.pace = lambda _: Pace(start=0.4, stop=0.4)  # few polls: each is a call to crash at
        self.cloud.shim.seconds = lambda _: 0.4
        self.wanted = wanted
        self.prune = False
        self.store = Store()
        self.store.image("docker.io/rieseberglab/analytics", "3")
        self._nonces = itertools.count()
        setup = self.cloud.line("bootstrap")
        for bucket in (BUCKET, "reads", "results"):
            setup.call("s3", "CreateBucket", Bucket=bucket)
        setup.call("ecs", "CreateCluster", clusterName=CLUSTER)
        for name in ("lambda.fa", *(f"{sample}.{lane}.fq" for sample, lane in LANES)):
            self.cloud.s3.put(f"s3://reads/{name}", name.encode())

    def actor(self, line: Line) -> Actor:
        """A process: nothing of an earlier one is left."""
        settings = self.wanted.settings
        registries = Registries(line, self.store, REGISTRY)
        world = World(
            settings=settings,
            aws=line,
            engine=_no_engine,
            registry=lambda: REGISTRY,
            layer=lambda _: _layer(),
            tell=lambda _: None,
            environment={},
            registries=lambda: cast("registry.Registries", registries),
        )
        nonce = f"{line.name}-{next(self._nonces):016d}"
        count = itertools.count()
        ledger = Ledger(
            line, settings.bucket, settings.prefix, line.clock(), lambda: f"{nonce}-{next(count):016d}"
        )
        return Actor(world, ledger, line.name)

    def plan(self, line: Line | None = None) -> Plan:
        """`bunnies plan`."""
        actor = self.actor(line or self.cloud.line("planner"))
        found = survey.survey(actor.world, actor.ledger, self.wanted)
        return survey.plan(found, prune=self.prune, allow_deletes=9)

    def apply(self, line: Line | None = None, *, wait: bool = True) -> Run:
        """`bunnies apply --yes`, as cli/reconcile.py has its stages; a Crash passes through."""
        run = Run()
        self.into(run, line or self.cloud.line(), wait=wait)
        return run

    def into(self, run: Run, line: Line, *, wait: bool = True) -> None:
        """`apply`, what it did being kept in `run` also where it crashes."""
        actor = self.actor(line)
        found = survey.survey(actor.world, actor.ledger, self.wanted)
        run.plan = survey.plan(found, prune=self.prune, allow_deletes=9)
        attributes = _drain(stage.resources(actor.world, run.plan), run.outcomes)
        run.progress = _drain(stage.jobs(actor, found.jobs, attributes, wait=wait), run.outcomes)
        due = publish.pending(actor.world.aws, found.jobs, run.progress.records)
        run.outcomes += publish.publish(actor.world.aws, due)


def _drain(stream: Generator[Outcome, None, T], told: list[Outcome]) -> T:
    while True:
        try:
            told.append(next(stream))
        except StopIteration as end:
            value: T = end.value
            return value


def ended(run: Run) -> dict[str, Any]:
    """Decision of each job at the end of an apply."""
    return {d.address: str(d.decision) for d in run.progress.decisions} if run.progress else {}


def unsettled(bench: Bench) -> list[str]:
    """What is wrong after applies have ended; empty where all converged, each job done once, nothing unowned."""
    plan = bench.plan()
    wrong = [
        f"plan: {change.address} {change.action}" for change in plan.changes if change.action != "unchanged"
    ]
    wrong += [
        f"plan: {job.address} {job.decision} ({job.why})" for job in plan.jobs if job.decision != "CACHED"
    ]
    wrong += [  # after a crash it may be absent for ever, but never wrong: docs/canonical.md
        f"{change.address} has digest {change.before.digest}"
        for change in plan.changes
        if change.before and change.before.digest not in (None, canonical.digest(change.before.spec))
    ]
    wrong += [f"plan: {copy.target} is to be copied" for copy in plan.copies]
    effects = bench.cloud.shim.effects
    wrong += [
        f"attempt {attempt} of {job} ran {count} times"
        for (job, attempt), count in effects.items()
        if count > 1
    ]
    if len(effects) != len(plan.jobs):
        wrong.append(f"{len(effects)} attempts ran for {len(plan.jobs)} jobs")
    specs = Counter(jobspec(task.request) for task in bench.cloud.tasks.all.values())
    wrong += [f"{count} tasks for {spec}" for spec, count in specs.items() if count > 1]
    wrong += [f"task {task.arn} still runs" for task in bench.cloud.tasks.live() if task.desired == "RUNNING"]
    return wrong + unowned(bench)


def unowned(bench: Bench) -> list[str]:
    """Whatever is there and does not say whose it is."""
    found = []
    for kind in ("ecr:repository", "ecs:task-definition"):
        for arn, tags in tagged(kind):
            if tags.get("bunnies:owner") != OWNER:
                found.append(f"{arn} has tags {tags}")
    for task in bench.cloud.tasks.all.values():
        tags = {tag["key"]: tag["value"] for tag in task.request.get("tags", ())}
        claim = jobspec(task.request).replace("jobspec.json", "claim.json")
        if tags.get("bunnies:owner") != OWNER or bench.cloud.s3.get(claim) is None:
            found.append(f"task {task.arn}: no claim, or tags {tags}")
    return found
