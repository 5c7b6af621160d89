"""Tasks as ECS runs them: tokens, states, what is not seen yet and what is forgotten.

Job: RunTask, DescribeTasks, ListTasks, StopTask. Input: parameters, the timeline, task definitions. Output: answers
in botocore's form, or Refusal; programs begun and ended. Must not: know what a program does.

Facts: aws-facts, Limits. AmazonECS/latest/developerguide/task-lifecycle-explanation.html for the states;
AmazonECS/latest/APIReference/ECS_Idempotency.html for the tokens.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from tests.aws.strict import limits
from tests.aws.strict.answers import Refusal, client, invalid
from tests.aws.strict.buckets import capacity
from tests.aws.strict.timeline import Timeline

REMEMBERED: Final = timedelta(hours=1)  # a stopped task
TOKEN: Final = timedelta(hours=24)
TOKEN_AFTER: Final = timedelta(hours=1)  # the task's end
_REGION: Final = "arn:aws:ecs:us-east-1:123456789012"


class Program(Protocol):
    """What runs in the one container that matters of a task."""

    def begin(self, task: Task) -> float | int:
        """Called when the container starts: an exit code as int at once, or seconds as float until `end`."""

    def end(self, task: Task) -> int:
        """Called when those seconds are over: the exit code."""

    def interrupted(self, task: Task) -> int:
        """Called at SIGTERM: the exit code."""


@dataclass(frozen=True)
class Pace:
    """Seconds: until a task is RUNNING, until it is gone after its container ended, until Describe and List see it."""

    start: float = 20
    stop: float = 5
    unseen: float = 0


@dataclass(eq=False)
class Task:
    """One task; `status` and `desired` as ECS says them."""

    arn: str
    cluster: str
    definition: Mapping[str, Any]
    request: Mapping[str, Any]
    created: datetime
    seen_from: datetime
    status: str = "PROVISIONING"
    desired: str = "RUNNING"
    started: datetime | None = None
    stopped: datetime | None = None
    exit_code: int | None = None
    said: dict[str, Any] = field(default_factory=dict)  # stopCode, stoppedReason


@dataclass
class _Token:
    params: str
    tasks: list[Task]
    made: datetime


class Tasks:
    """The tasks of an account.

    `definition` finds a registered task definition by name or ARN, `clusters` gives the names of clusters, `full`
    the failures[] of a RunTask without room, `doomed` why a task never starts, `dies` the seconds from its start to
    its end without a word.
    """

    def __init__(
        self, timeline: Timeline, definition: Callable[[str], Mapping[str, Any]], program: Program
    ) -> None:
        self.timeline = timeline
        self.program = program
        self.pace: Callable[[Mapping[str, Any]], Pace] = lambda _: Pace()
        self.full: Callable[[Mapping[str, Any]], list[dict[str, str]]] = lambda _: []
        self.doomed: Callable[[Mapping[str, Any]], str | None] = lambda _: None
        self.dies: Callable[[Mapping[str, Any]], float | None] = lambda _: None
        self.clusters: Callable[[], set[str]] = set
        self.all: dict[str, Task] = {}
        self._definition = definition
        self._tokens: dict[tuple[str, str], _Token] = {}

    # operations

    def _RunTask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        cluster = self._cluster(params)
        definition = self._definition(params["taskDefinition"])
        limits.run_task(params, definition)
        text = json.dumps(
            {key: value for key, value in params.items() if key != "clientToken"}, sort_keys=True
        )
        name = (cluster, str(params.get("clientToken", "")))
        if name[1] and (known := self._tokens.get(name)) and self._alive(known):
            if known.params != text:
                arns = [task.arn for task in known.tasks]
                raise Refusal(
                    "ConflictException", "The clientToken was used with other parameters.", resourceIds=arns
                )
            return {"tasks": [self.describe(task) for task in known.tasks], "failures": []}
        if failures := self.full(params):
            return {"tasks": [], "failures": failures}
        tasks = [self._start(cluster, definition, params) for _ in range(params.get("count", 1))]
        if name[1]:
            self._tokens[name] = _Token(text, tasks, self.timeline.now)
        return {"tasks": [self.describe(task) for task in tasks], "failures": []}

    def _DescribeTasks(self, params: Mapping[str, Any]) -> dict[str, Any]:
        cluster = self._cluster(params)
        if not 1 <= len(params["tasks"]) <= 100:
            raise invalid("Tasks must have between 1 and 100 entries.")
        found, failures = [], []
        for name in params["tasks"]:
            arn = name if name.startswith("arn:") else f"{_REGION}:task/{cluster}/{name}"
            task = self.all.get(arn)
            if task is None or task.cluster != cluster or not self._visible(task):
                failures.append({"arn": arn, "reason": "MISSING"})
            else:
                found.append(self.describe(task, tags="TAGS" in params.get("include", ())))
        return {"tasks": found, "failures": failures}

    def _ListTasks(self, params: Mapping[str, Any]) -> dict[str, Any]:
        cluster = self._cluster(params)
        filters = params.keys() & {
            "containerInstance",
            "desiredStatus",
            "family",
            "launchType",
            "serviceName",
        }
        if "startedBy" in params and filters:
            raise invalid("startedBy must be the only filter.")
        desired = params.get("desiredStatus", "RUNNING")  # PENDING is never the desired status of a task
        arns = [
            task.arn
            for task in self.all.values()
            if task.cluster == cluster
            and task.desired == desired
            and task.request.get("startedBy", "")
            == params.get("startedBy", task.request.get("startedBy", ""))
            and task.definition["family"] == params.get("family", task.definition["family"])
            and self._visible(task)
        ]
        first, most = int(params.get("nextToken", 0)), min(params.get("maxResults", 100), 100)
        page = {"taskArns": arns[first : first + most]}
        return page | ({"nextToken": str(first + most)} if first + most < len(arns) else {})

    def _StopTask(self, params: Mapping[str, Any]) -> dict[str, Any]:
        cluster = self._cluster(params)
        name = params["task"]
        task = self.all.get(name if name.startswith("arn:") else f"{_REGION}:task/{cluster}/{name}")
        if task is None or not self._remembered(task):
            raise invalid("The referenced task was not found.")
        if task.desired == "RUNNING":
            task.said = {"stopCode": "UserInitiated", "stoppedReason": params.get("reason", "")}
            self._leave(task, self.program.interrupted(task) if task.status == "RUNNING" else None)
        return {"task": self.describe(task)}

    def call(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One call of the API."""
        handler: Callable[[Mapping[str, Any]], dict[str, Any]] = getattr(self, f"_{operation}")
        return handler(params)

    # what a test looks at, and does

    def live(self) -> list[Task]:
        """The tasks that are not STOPPED."""
        return [task for task in self.all.values() if task.stopped is None]

    def kill(self, task: Task, reason: str, exit_code: int | None = 137) -> None:
        """The task goes without a word of its program: out of memory, Spot, a lost host."""
        if task.desired != "RUNNING":
            return
        task.said = {"stopCode": "EssentialContainerExited", "stoppedReason": reason}
        self._leave(task, exit_code)

    def describe(self, task: Task, *, tags: bool = False) -> dict[str, Any]:
        """As DescribeTasks says it."""
        ended = task.stopped is not None
        container: dict[str, Any] = {
            "name": task.request["overrides"]["containerOverrides"][0]["name"]
            if (task.request.get("overrides") or {}).get("containerOverrides")
            else task.definition["containerDefinitions"][0]["name"],
            "taskArn": task.arn,
            "lastStatus": "STOPPED" if ended else "RUNNING" if task.status == "RUNNING" else "PENDING",
        }
        if ended and task.exit_code is not None:  # a task that never started has none
            container["exitCode"] = task.exit_code
        whole: dict[str, Any] = {
            "taskArn": task.arn,
            "clusterArn": f"{_REGION}:cluster/{task.cluster}",
            "taskDefinitionArn": task.definition["taskDefinitionArn"],
            "overrides": {
                "containerOverrides": [],
                "inferenceAcceleratorOverrides": [],
                **copy.deepcopy(dict(task.request.get("overrides") or {})),
            },
            "lastStatus": task.status,
            "desiredStatus": task.desired,
            "group": task.request.get("group", f"family:{task.definition['family']}"),
            "createdAt": task.created,
            "containers": [container],
            "attachments": [],
            "tags": list(task.request.get("tags", ())) if tags else [],
        }
        kind = capacity(dict(task.request))
        whole |= {"launchType": "FARGATE" if kind.startswith("FARGATE") else "EC2"}
        if "startedBy" in task.request:
            whole["startedBy"] = task.request["startedBy"]
        whole |= {"startedAt": task.started} if task.started else {}
        return whole | ({"stoppedAt": task.stopped, **task.said} if ended else {})

    # how a task lives

    def _start(self, cluster: str, definition: Mapping[str, Any], params: Mapping[str, Any]) -> Task:
        now, pace = self.timeline.now, self.pace(params)
        arn = f"{_REGION}:task/{cluster}/{len(self.all) + 1:032x}"
        task = Task(
            arn, cluster, definition, copy.deepcopy(dict(params)), now, now + timedelta(seconds=pace.unseen)
        )
        self.all[arn] = task
        self.timeline.after(pace.start / 2, lambda: self._move(task, "PENDING"))
        self.timeline.after(pace.start, lambda: self._begin(task))
        return task

    def _move(self, task: Task, status: str) -> None:
        if task.desired == "RUNNING":
            task.status = status

    def _begin(self, task: Task) -> None:
        if task.desired != "RUNNING":
            return
        if why := self.doomed(task.request):
            task.said = {"stopCode": "TaskFailedToStart", "stoppedReason": why}
            self._leave(task, None)
            return
        task.status, task.started = "RUNNING", self.timeline.now
        if (seconds := self.dies(task.request)) is not None:
            self.timeline.after(seconds, lambda: self.kill(task, "Host EC2 terminated", None))
        first = self.program.begin(task)
        if isinstance(first, float):
            self.timeline.after(first, lambda: self._end(task))
        else:
            self._exit(task, first)

    def _end(self, task: Task) -> None:
        if task.desired == "RUNNING":
            self._exit(task, self.program.end(task))

    def _exit(self, task: Task, code: int) -> None:
        task.said = {
            "stopCode": "EssentialContainerExited",
            "stoppedReason": "Essential container in task exited",
        }
        self._leave(task, code)

    def _leave(self, task: Task, code: int | None) -> None:
        task.desired, task.status, task.exit_code = "STOPPED", "DEPROVISIONING", code

        def gone() -> None:
            task.status, task.stopped = "STOPPED", self.timeline.now

        self.timeline.after(self.pace(task.request).stop, gone)

    def _alive(self, token: _Token) -> bool:
        now = self.timeline.now
        ends = [task.stopped + TOKEN_AFTER for task in token.tasks if task.stopped]
        return now < min([token.made + TOKEN, *([max(ends)] if len(ends) == len(token.tasks) else [])])

    def _remembered(self, task: Task) -> bool:
        return task.stopped is None or self.timeline.now < task.stopped + REMEMBERED

    def _visible(self, task: Task) -> bool:
        return self._remembered(task) and self.timeline.now >= task.seen_from

    def _cluster(self, params: Mapping[str, Any]) -> str:
        name = str(params.get("cluster", "default")).rpartition("/")[2]
        if name not in self.clusters():
            raise Refusal("ClusterNotFoundException", "Cluster not found.")
        return name


def absent(reference: str) -> Refusal:
    """What ECS says of a task definition that it does not have."""
    return client(f"Unable to describe task definition {reference}.")
