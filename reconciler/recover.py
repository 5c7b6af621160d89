"""Attempts that are open: gone on with, adopted, or closed as lost. Rules 4, 5 and 7 of docs/jobs.md.

Job: after any crash of ours, of a task or of a machine, bring every open attempt back on a way that ends.
Input: records of the ledger, tasks as ECS has them. Output: the records as they are then, and Outcomes.
Must not: claim an attempt, or decide whether another is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler import attempts, limits, retry, tasks
from reconciler import aws as aws_
from reconciler.attempts import Actor, Moved, Reason
from reconciler.clock import moment
from reconciler.ledger import Records
from reconciler.model import Attempt, Job, JobRecord, Outcome, Status

# A clientToken lives for the lower of 24 h and the task's life plus an hour: only an hour is sure.
TOKEN_LIFE: Final = timedelta(hours=1)
# DescribeTasks may answer MISSING for up to five minutes after RunTask: twice that.
UNSEEN: Final = timedelta(minutes=10)
# What a shim may take between the end of its task and its result becoming visible.
LAST_WORD: Final = timedelta(seconds=60)
# What a task may take to leave after its shim wrote the result.
LEAVING: Final = timedelta(minutes=5)
# Between two requests for a task that there is no room for: full jitter below a bound that doubles.
CROWDED: Final = (timedelta(seconds=5), timedelta(minutes=2))

# What ECS says of an image that another attempt would not find either.
_NO_IMAGE: Final = ("not found", "manifest unknown", "name unknown", "does not exist", "invalid reference")
_NEVER_BEGAN: Final = ("CannotPull", "CannotCreate", "CannotStart", "ResourceInitializationError")


@dataclass(frozen=True, slots=True)
class _Case:
    address: str
    attempt: Attempt
    task: Mapping[str, Any] | None
    record: JobRecord
    spec: Mapping[str, Any]


def recover(actor: Actor, jobs: Mapping[str, Job], records: Records) -> tuple[Records, list[Outcome]]:
    """Looks after the open attempts of `records`; `jobs` gives the job of each id: its address and its limits."""
    open_ = {
        job_id: record.last
        for job_id, record in records.items()
        if record.last is not None and record.last.claim is not None and not attempts.is_closed(record.last)
    }
    if not open_:
        return records, []
    known = _tasks(actor, open_)
    cases = {
        job_id: _Case(jobs[job_id].address, attempt, known.get(job_id), records[job_id], jobs[job_id].spec)
        for job_id, attempt in open_.items()
    }
    moved = aws_.parallel(lambda case: _look_after(actor, case), cases.values())
    fresh = dict(records)
    for job_id, (attempt, _) in zip(cases, moved, strict=True):
        fresh[job_id] = with_attempt(records[job_id], attempt)
    return fresh, [outcome for _, outcome in moved if outcome is not None]


def stop_strays(actor: Actor, records: Records) -> list[Outcome]:
    """Stops live tasks of this owner whose attempt is closed: lost or stopped, or long done."""
    settings, ledger = actor.world.settings, actor.ledger
    live = {
        spec: task
        for task in tasks.running(actor.world.aws, settings.cluster, started_by(settings.name))
        if (spec := tasks.jobspec_of(task))
    }
    places = {spec: place for spec in live if (place := ledger.place(spec))}
    others = {job_id for job_id, _ in places.values()} - records.keys()
    records = {**records, **ledger.records(others)}
    now, outcomes = ledger.clock.now(), []
    for spec, (job_id, number) in places.items():
        result = next((a.result for a in records[job_id].attempts if a.number == number), None)
        if result is None or not _is_stray(result, now):
            continue
        tasks.stop(actor.world.aws, settings.cluster, live[spec]["taskArn"], f"attempt {number} is closed")
        detail = f"attempt {number} is closed as {result['status']}, its task was still there"
        outcomes.append(Outcome(str(result.get("address", job_id)), "stop", Status.CHANGED, detail))
    return outcomes


def started_by(owner: str) -> str:
    """What RunTask's startedBy says for an owner: the only filter that lists its tasks."""
    allowed = "".join(c if c.isascii() and (c.isalnum() or c in "-_/") else "_" for c in owner)
    return f"bunnies/{allowed}"[:128]


def with_attempt(record: JobRecord | None, attempt: Attempt) -> JobRecord:
    """The record with this attempt put in its place."""
    if record is None or attempt.claim is None:
        raise AssertionError("only a claimed attempt of a job that was read has a place")
    others = [other for other in record.attempts if other.number != attempt.number]
    return replace(record, attempts=tuple(sorted([*others, attempt], key=lambda each: each.number)))


def _tasks(actor: Actor, open_: Mapping[str, Attempt]) -> dict[str, Mapping[str, Any]]:
    """The task of each open attempt that ECS knows: by its ARN, or looked for by its JOBSPEC."""
    settings, aws = actor.world.settings, actor.world.aws
    arns = {job_id: arn for job_id, attempt in open_.items() if (arn := attempts.task_arn(attempt))}
    described = tasks.describe(aws, settings.cluster, arns.values())
    found: dict[str, Mapping[str, Any]] = {
        job_id: described[arn] for job_id, arn in arns.items() if arn in described
    }
    lost_sight = {job_id: attempt for job_id, attempt in open_.items() if job_id not in found}
    if not lost_sight:
        return found
    listed = tasks.stopped(aws, settings.cluster)
    listed += tasks.running(aws, settings.cluster, started_by(settings.name))  # of two, the one that lives
    by_spec = {tasks.jobspec_of(task): task for task in listed}
    for job_id, attempt in lost_sight.items():
        if task := by_spec.get(actor.ledger.jobspec_url(job_id, attempt.number)):
            found[job_id] = task
    return found


def _look_after(actor: Actor, case: _Case) -> Moved:
    attempt, outcome = _settle(actor, case)
    if attempts.is_closed(attempt):
        return attempt, outcome
    attempt, ended = limits.keep(actor, case.address, case.record, attempt, case.spec)
    return attempt, ended or outcome


def _settle(actor: Actor, case: _Case) -> Moved:
    attempt, task = case.attempt, case.task
    if half := _half_closed(actor, case):
        return half
    if task is None:
        if attempt.started is None and attempts.task_arn(attempt) is None:
            return _unseen(actor, case)
        return _vanished(actor, case)
    outcome = None
    if (attempt.task or {}).get("task_arn") is None:
        attempt = attempts.write_task(actor, attempt, task["taskArn"])
        outcome = Outcome(
            case.address, "launch", Status.ADOPTED, f"attempt {attempt.number}: its task was found"
        )
    elif _seen(attempt, "missing_since"):
        attempt = attempts.write_task(actor, attempt, task["taskArn"])
    if task.get("lastStatus") != "STOPPED":
        return attempt, outcome
    attempt, ending = _stopped(actor, replace(case, attempt=attempt), task)
    return attempt, ending or outcome


def _half_closed(actor: Actor, case: _Case) -> Moved | None:
    """Finishes what somebody began to close and came no further with; None where nobody did."""
    attempt, fence = case.attempt, case.attempt.started or {}
    if taken := (attempt.claim or {}).get("accepted"):  # a result taken over: the claim holds it
        written = actor.ledger.close(str((attempt.claim or {})["job_id"]), attempt.number, taken)
        return replace(attempt, result=written.document), None
    if not fence.get("closed"):
        return None
    why, kind = str(fence.get("why", "it was closed before it began")), fence.get("class", "infrastructure")
    if kind == "stopped":
        return attempts.close(actor, case.address, attempt, Reason(why, "user"), "stopped")
    return attempts.close(actor, case.address, attempt, Reason(why, str(kind)))


def _stopped(actor: Actor, case: _Case, task: Mapping[str, Any]) -> Moved:
    attempt, reason = case.attempt, why_stopped(task)
    if attempt.started is None:
        # Nothing ran, or its fence came after we read: the tombstone tells, and there is no need to wait.
        attempt, outcome = attempts.give_up(actor, case.address, attempt, reason)
        if attempts.is_closed(attempt):
            return attempt, outcome
    since = task.get("stoppedAt") or _seen(attempt, "stopped_since")
    if since is None:
        more = {"stopped_since": actor.ledger.clock.stamp()}
        return attempts.write_task(actor, attempt, task["taskArn"], **more), None
    if actor.ledger.clock.now() - since < LAST_WORD:
        return attempt, None
    return attempts.close(actor, case.address, attempt, reason)


def _unseen(actor: Actor, case: _Case) -> Moved:
    """Claimed, and as far as anybody can tell never sent."""
    now, waited_at = actor.ledger.clock.now(), _seen(case.attempt, "waited_at")
    if now - _claimed(case.attempt) < TOKEN_LIFE:
        if waited_at is not None and now < waited_at + _crowded(case.attempt):
            return case.attempt, None
        return attempts.start(actor, case.address, case.attempt)
    why = "it was claimed more than an hour ago and no task of it was ever seen"
    if waited_at is None:
        return attempts.give_up(actor, case.address, case.attempt, Reason(why))
    said = (case.attempt.task or {}).get("why", "")
    return attempts.give_up(actor, case.address, case.attempt, Reason(f"{why}: {said}", "capacity"))


def _crowded(attempt: Attempt) -> timedelta:
    """How long an attempt that found no room waits before it asks again."""
    first, longest = CROWDED
    waits = int((attempt.task or {}).get("waits", 1))
    chance = retry.jitter(str((attempt.claim or {})["job_id"]), 1000 * attempt.number + waits)
    return chance * min(longest, first * 2.0 ** min(waits - 1, 20))


def _vanished(actor: Actor, case: _Case) -> Moved:
    """Sent or even started, and ECS does not know the task, not even as a stopped one."""
    attempt, now = case.attempt, actor.ledger.clock.now()
    claimed, fence = _claimed(attempt), attempt.started or {}
    fenced = moment(str(fence["started_at"])) if "started_at" in fence else claimed
    if now - max(claimed, fenced) < UNSEEN:
        return attempt, None
    since = _seen(attempt, "missing_since")
    if since is None:  # remembered in task.json: the next apply may be another process
        arn = attempts.task_arn(attempt)
        return attempts.write_task(actor, attempt, arn, missing_since=actor.ledger.clock.stamp()), None
    if now - since < LAST_WORD:
        return attempt, None
    reason = Reason("ECS does not know its task any more, and it left no result")
    if attempt.started is None:
        return attempts.give_up(actor, case.address, attempt, reason)
    return attempts.close(actor, case.address, attempt, reason)


def _claimed(attempt: Attempt) -> datetime:
    return moment(str((attempt.claim or {})["claimed_at"]))


def _seen(attempt: Attempt, name: str) -> datetime | None:
    stamp = (attempt.task or {}).get(name)
    return moment(str(stamp)) if stamp else None


def why_stopped(task: Mapping[str, Any]) -> Reason:
    """All that ECS says of a stopped task, and the class of it.

    A task that never started has no exit code: that is a failure, never 0.
    """
    words = [str(task[name]) for name in ("stopCode", "stoppedReason") if task.get(name)]
    for container in task.get("containers", ()):
        said = [f"exit code {container['exitCode']}"] if container.get("exitCode") is not None else []
        said += [str(container["reason"])] if container.get("reason") else []
        if said:
            words.append(f"container {container.get('name')}: {', '.join(said)}")
    text = "; ".join(words) or "ECS gives no reason"
    return Reason(f"the task stopped without a result: {text}", _class(task, text))


def _class(task: Mapping[str, Any], text: str) -> str:
    """memory, spot, capacity, image, start or infrastructure.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
    """
    if "OutOfMemory" in text.replace(" ", ""):
        return "memory"
    if task.get("stopCode") == "SpotInterruption" or "Spot Task was interrupted" in text:
        return "spot"
    if tasks.no_room(text):
        return "capacity"
    if "CannotPull" in text and any(words in text.lower() for words in _NO_IMAGE):
        return "image"
    never = task.get("stopCode") == "TaskFailedToStart" or any(words in text for words in _NEVER_BEGAN)
    return "start" if never else "infrastructure"


def _is_stray(result: Mapping[str, Any], now: datetime) -> bool:
    if result.get("written_by") == "reconciler":
        return True
    return now - moment(str(result["finished_at"])) > LEAVING
