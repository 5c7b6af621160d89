"""ECS tasks: sent, recognised, described, stopped.

Job: say what each answer of ECS means for a launch. Input: RunTask parameters, ARNs. Output: Started, Later or
Refused; tasks as ECS describes them. Must not: know the ledger, or build a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler import aws as aws_
from reconciler import errors
from reconciler.clock import Clock
from reconciler.documents import slow_down, unheard

JOBSPEC: Final = "JOBSPEC"  # the variable that a task is recognised by

TRIES: Final = 8
_DESCRIBED: Final = 100  # ARNs that DescribeTasks takes at most
_NO_ROOM = ("RESOURCE:", "AGENT", "Capacity is unavailable at this time")


@dataclass(frozen=True, slots=True)
class Started:
    """There is a task for the request: this call's or an earlier one's with the same token."""

    arn: str


@dataclass(frozen=True, slots=True)
class Later:
    """No task yet, and the same request may bring one: no room, no answer, or too many calls."""

    why: str
    no_room: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """ECS will not run this request, now or later."""

    why: str


def send(aws: aws_.Aws, clock: Clock, request: Mapping[str, Any]) -> Started | Later | Refused:
    """RunTask, the identical request again where the answer is lost or asks for patience.

    The request carries a clientToken: ECS gives the first answer again to the same parameters.
    """
    why = "ECS did not answer"
    for tried in range(TRIES):
        if tried:
            clock.wait(tried)
        try:
            answer = aws.call("ecs", "RunTask", **request)
        except errors.AwsError as error:
            why = f"{error.code}: {error.message}"
            if unheard(error) or slow_down(error):
                continue
            if error.code == "ConflictException":
                return _adopt(aws, clock, request, error)
            return Later(why, no_room=True) if no_room(error.message) else Refused(why)
        if answer.get("tasks"):
            return Started(answer["tasks"][0]["taskArn"])
        if failures := answer.get("failures"):
            # An answer of 200 with failures and no task is not a launch.
            why = "; ".join(
                " ".join(str(f[k]) for k in ("reason", "detail", "arn") if f.get(k)) for f in failures
            )
            full = all(no_room(str(f.get("reason"))) for f in failures)
            return Later(why, no_room=True) if full else Refused(why)
        why = "ECS answered with neither a task nor a failure"
    return Later(why)


def describe(aws: aws_.Aws, cluster: str, arns: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The tasks that ECS knows, by ARN; one that is missing from the answer is MISSING."""
    wanted = sorted(set(arns))
    chunks = [wanted[start : start + _DESCRIBED] for start in range(0, len(wanted), _DESCRIBED)]
    answers = aws_.parallel(
        lambda arns: aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=arns), chunks
    )
    return {task["taskArn"]: task for answer in answers for task in answer.get("tasks", ())}


def running(aws: aws_.Aws, cluster: str, started_by: str) -> list[dict[str, Any]]:
    """The tasks of one `startedBy` that ECS means to run, those not up yet too; no other filter goes with it."""
    return _listed(aws, cluster, startedBy=started_by)


def stopped(aws: aws_.Aws, cluster: str) -> list[dict[str, Any]]:
    """The cluster's tasks that stopped, whoever started them, as long as ECS remembers: about an hour."""
    return _listed(aws, cluster, desiredStatus="STOPPED")


def stop(aws: aws_.Aws, cluster: str, arn: str, reason: str) -> None:
    """StopTask; a task that ECS does not know any more is stopped already."""
    try:
        aws.call("ecs", "StopTask", cluster=cluster, task=arn, reason=reason[:255])
    except errors.AwsError as error:
        if "not found" not in error.message:
            raise


def jobspec_of(task: Mapping[str, Any]) -> str | None:
    """The JOBSPEC that the task was started with (RunTask's parameters have the same shape); None for others."""
    for container in task.get("overrides", {}).get("containerOverrides", ()):
        for variable in container.get("environment", ()):
            if variable.get("name") == JOBSPEC:
                return str(variable.get("value"))
    return None


def _listed(aws: aws_.Aws, cluster: str, **filters: str) -> list[dict[str, Any]]:
    try:
        pages = aws.pages("ecs", "ListTasks", cluster=cluster, **filters)
        arns = [arn for page in pages for arn in page.get("taskArns", ())]
    except errors.AwsError as error:
        if error.code != "ClusterNotFoundException":
            raise
        what = (
            f"there is no cluster {cluster}. Run `bunnies bootstrap`, or write another cluster in Settings."
        )
        raise errors.BunniesError(what) from error
    return list(describe(aws, cluster, arns).values())


def _adopt(
    aws: aws_.Aws, clock: Clock, request: Mapping[str, Any], error: errors.AwsError
) -> Started | Later | Refused:
    """The task that our token started with other parameters, provided that it is this attempt's."""
    arns = [str(arn) for arn in error.details.get("resourceIds", ())]
    for tried in range(TRIES):
        found = describe(aws, request["cluster"], arns)
        for arn, task in found.items():
            if jobspec_of(task) == jobspec_of(request):
                return Started(arn)
        if found or not arns:
            return Refused(f"{error.code}: {error.message}")
        clock.wait(tried)  # DescribeTasks may not know a new task for a while
    return Later(f"{error.code}: {error.message}")


def no_room(reason: str) -> bool:
    """Whether words of ECS mean that there is no capacity now."""
    return any(word in reason for word in _NO_ROOM)
