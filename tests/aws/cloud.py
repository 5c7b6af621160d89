"""A small cloud for the tests of jobs: moto, with what it leaves out of ECS added, and faults on order.

`Cloud` is Aws with a clientToken that ECS honours, stop times that follow the test's clock, and a fault at one
call. `Bench` is everything that a step needs. `Shim` does what bunny-init does to the ledger.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler import tasks
from reconciler.attempts import Actor
from reconciler.aws import Aws
from reconciler.clock import Clock
from reconciler.errors import AwsError, BunniesError
from reconciler.kinds import World
from reconciler.ledger import Ledger
from reconciler.model import NOTHING, Attempt, Job, Outcome, Ref, Settings
from reconciler.step import Progress
from reconciler.step import step as a_step

BUCKET, PREFIX, OWNER, CLUSTER = "reprod-bucket", "bunnies/reprod", "reprod", "reprod"
JOB_ID = "a1" * 32
PLAIN = Aws("us-east-1")  # one for all tests: botocore takes its time to make a client


class Crash(BaseException):
    """The process is gone: nothing of ours may catch it."""


Fault = Callable[[], None]


def crash() -> None:
    raise Crash


def timeout() -> None:
    raise AwsError("Some", "ReadTimeoutError", "no answer")


def broken() -> None:
    raise AwsError("Some", "InternalError", "We encountered an internal error", 500)


@dataclass
class Faults:
    """What happens at which call: `before` and `after` map a call's number, from 1, to what is raised there."""

    before: dict[int, Fault] = field(default_factory=dict)
    after: dict[int, Fault] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, when: str, number: int, fault: Fault) -> Faults:
        """One fault, `before` or `after` a call."""
        return cls(before={number: fault}) if when == "before" else cls(after={number: fault})


class Cloud(Aws):
    """Aws over moto with ECS's own idempotency; `faults` may be exchanged at any time."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        self.faults = Faults()
        self.tokens: dict[str, tuple[str, dict[str, Any]]] = {}
        self.started: list[str] = []
        self.stopped: dict[str, dict[str, Any]] = {}
        self.forgotten: set[str] = set()
        self.answers: list[dict[str, Any] | AwsError] = []  # RunTask's, before it does anything
        self._order = threading.RLock()

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        with self._order:
            faults = self.faults
            faults.made.append(operation)
            number = len(faults.made)
            if fault := faults.before.get(number):
                fault()
            answer = self._answer(service, operation, params)
            if fault := faults.after.get(number):
                fault()
            return answer

    def pages(self, service: str, operation: str, /, **params: Any) -> Any:
        yield self.call(service, operation, **params)

    def stop(self, arn: str, clock: Clock, **said: Any) -> None:
        """The task stops by itself; `said` are fields of its description."""
        self.stopped[arn] = {"lastStatus": "STOPPED", "stoppedAt": clock.now(), **said}

    def forget(self, arn: str) -> None:
        """ECS does not know the task any more."""
        self.forgotten.add(arn)

    def _answer(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        if operation == "RunTask":
            return self._run_task(params)
        if operation == "StopTask":
            self.stopped[params["task"]] = {"lastStatus": "STOPPED"}
            return {}
        if operation == "ListTasks":
            return self._list_tasks(params)
        answer = PLAIN.call(service, operation, **params)
        if operation == "DescribeTasks":
            known = [task for task in answer["tasks"] if task["taskArn"] not in self.forgotten]
            answer["tasks"] = [task | self.stopped.get(task["taskArn"], {}) for task in known]
        return answer

    def _list_tasks(self, params: dict[str, Any]) -> dict[str, Any]:
        if params["cluster"] != CLUSTER:
            raise AwsError("ListTasks", "ClusterNotFoundException", "Cluster not found.", 400)
        wants_stopped = params.get("desiredStatus") == "STOPPED"
        known = [arn for arn in self.started if arn not in self.forgotten]
        return {"taskArns": [arn for arn in known if (arn in self.stopped) == wants_stopped]}

    def _run_task(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, AwsError):
                raise answer
            return answer
        token, text = params["clientToken"], json.dumps(params, sort_keys=True)
        if token in self.tokens:
            first, answer = self.tokens[token]
            if first != text:
                arns = [task["taskArn"] for task in answer["tasks"]]
                raise AwsError("RunTask", "ConflictException", "token", 400, {"resourceIds": arns})
            return answer
        answer = PLAIN.call("ecs", "RunTask", **params)
        self.started += [task["taskArn"] for task in answer["tasks"]]
        self.tokens[token] = (text, answer)
        return answer


@dataclass
class Time:
    """A clock that moves when somebody sleeps or a test says so."""

    now: datetime = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

    def clock(self) -> Clock:
        return Clock(
            now=lambda: self.now, sleep=lambda seconds: self.pass_(seconds=seconds), chance=lambda: 0.5
        )

    def pass_(self, **how: float) -> None:
        self.now += timedelta(**how)
        assert self.now < datetime(2026, 2, 3, tzinfo=UTC), "something waits for ever"


def _absent(*_: Any) -> Any:
    raise BunniesError("not in these tests")


def a_job(address: str = "job/align/s1", job_id: str = JOB_ID, needs: Sequence[str] = (), **spec: Any) -> Job:
    jobspec = {
        "version": 1,
        "job_id": job_id,
        "address": address,
        "owner": OWNER,
        "region": "us-east-1",
        "work_root": "/",
        "command": ["align", "{output.bam}"],
        "environment": {},
        "inputs": {},
        "outputs": {"bam": {"kind": "file", "path": "s1.bam"}},
    }
    whole = {
        "taskDefinition": Ref("taskdefinition/align-task", "arn"),
        "container": "aligner",
        "launchType": "FARGATE",
        "awsvpc": True,
        "overrides": {"taskRoleArn": "arn:aws:iam::123456789012:role/reprod-task"},
        "tags": {"team": "genomics"},
        "retry": {},
        "publish": {},
        "missing": [],
        "upstream": {},
        "jobspec": jobspec,
    }
    identity = {"command": ["align"], "shim": 1}
    return Job(address, job_id, identity, whole | spec, ("taskdefinition/align-task", *needs))


class Bench:
    """A bucket, a cluster, a task definition, and Actors that work on them: each one a process of its own."""

    def __init__(self) -> None:
        self.cloud, self.time = Cloud(), Time()
        self._nonces = itertools.count()
        plain = PLAIN
        plain.call("s3", "CreateBucket", Bucket=BUCKET)
        plain.call("ecs", "CreateCluster", clusterName=CLUSTER)
        definition = plain.call(
            "ecs",
            "RegisterTaskDefinition",
            family="align-task",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "aligner", "image": "align@sha256:" + "0" * 64, "memory": 512}],
        )
        subnet = plain.call("ec2", "DescribeSubnets")["Subnets"][0]["SubnetId"]
        self.settings = Settings(
            OWNER,
            "us-east-1",
            CLUSTER,
            BUCKET,
            PREFIX,
            network={"subnets": [subnet], "assignPublicIp": "ENABLED"},
        )
        self.arn = str(definition["taskDefinition"]["taskDefinitionArn"])
        self.attributes = {"taskdefinition/align-task": {"arn": self.arn}}
        self.ledger = self.new_ledger(plain)

    def new_ledger(self, aws: Aws) -> Ledger:
        return Ledger(aws, BUCKET, PREFIX, self.time.clock(), lambda: f"nonce-{next(self._nonces):016d}")

    def actor(self, by: str = "me@here") -> Actor:
        world = World(self.settings, self.cloud, _absent, _absent, _absent, _absent, NOTHING)
        return Actor(world, self.new_ledger(self.cloud), by)

    def step(self, *jobs: Job, before: Progress | None = None) -> tuple[list[Outcome], Progress]:
        """One step of a new process (of the same one, where `before` is given)."""
        turn = a_step(self.actor(), jobs, before or Progress(), self.attributes)
        outcomes = []
        while True:
            try:
                outcomes.append(next(turn))
            except StopIteration as end:
                return outcomes, end.value

    def until_done(self, *jobs: Job) -> Progress:
        """Steps, with shims that succeed between them, until nothing is open or ready."""
        for _ in range(20):
            _, progress = self.step(*jobs)
            if not progress.active:
                return progress
            self.shims()
            self.time.pass_(minutes=2)
        raise AssertionError("it never ends")

    def shims(self, status: str = "succeeded") -> None:
        """Every task that runs does its work and leaves."""
        for arn in self.cloud.started:
            if arn not in self.cloud.stopped:
                self.shim(arn, status)
                self.cloud.stop(arn, self.time.clock())

    def jobspec(self, arn: str) -> dict[str, Any]:
        """The job spec that a task would read; fails where it is not there: RunTask came too early."""
        task = self.ledger.aws.call("ecs", "DescribeTasks", cluster=CLUSTER, tasks=[arn])["tasks"][0]
        url = tasks.jobspec_of(task)
        assert url is not None
        spec = self.ledger.documents.read(url.removeprefix(f"s3://{BUCKET}/"))
        assert spec is not None
        return spec

    def fence(self, arn: str) -> bool:
        """The shim of a task takes the fence; whether it got it."""
        spec = self.jobspec(arn)
        started = {
            "version": 1,
            "nonce": f"shim-{arn}",
            "started_at": self.time.clock().stamp(),
            "task": {"arn": arn},
        }
        key = self.ledger.attempt_key(spec["job_id"], spec["attempt"], "started.json")
        return self.ledger.documents.write_once(key, started).ours

    def shim(self, arn: str, status: str = "succeeded") -> None:
        """The shim of a task: the fence, then the result, unless the fence is another's."""
        if not self.fence(arn):
            return
        spec = self.jobspec(arn)
        key = self.ledger.attempt_key(spec["job_id"], spec["attempt"], "result.json")
        failed = status != "succeeded"
        outputs = (
            {} if failed else {"bam": [{"url": spec["outputs_url"] + "s1.bam", "path": "s1.bam", "size": 3}]}
        )
        result = {
            "version": 1,
            "nonce": f"result-{arn}",
            "written_by": "shim",
            "job_id": spec["job_id"],
            "attempt": spec["attempt"],
            "status": status,
            "exit_code": 3 if failed else 0,
            "error": {"class": "user", "message": "exit code 3"} if failed else None,
            "started_at": self.time.clock().stamp(),
            "finished_at": self.time.clock().stamp(),
            "outputs": outputs,
        }
        self.ledger.documents.write_once(key, result)

    def attempts(self, job_id: str = JOB_ID) -> tuple[Attempt, ...]:
        return self.ledger.records([job_id])[job_id].attempts

    def ends(self, job_id: str = JOB_ID) -> list[str | None]:
        """The status of each attempt's result, None while it is open."""
        return [attempt.result["status"] if attempt.result else None for attempt in self.attempts(job_id)]
