"""One attempt of a job that is claimed already: started, given up, closed.

Job: the steps that launch, recover and stop share, each safe to repeat after a crash at any point of it.
Input: an attempt as the ledger has it. Output: the attempt as it is afterwards, and an Outcome.
Must not: claim, or judge the state of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler import decide, tasks
from reconciler.kinds import World
from reconciler.ledger import Ledger
from reconciler.model import Attempt, JobRecord, Outcome, Status

Moved = tuple[Attempt, Outcome | None]
"""An attempt after a step, and what there is to tell about it."""


@dataclass(frozen=True, slots=True)
class Actor:
    """What every step on jobs needs: the outside, the ledger, and who acts (`user@host`, or a CI run's name).

    `source` tells what commit the manifests are at, as revision.of does.
    """

    world: World
    ledger: Ledger
    by: str
    source: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a reconciler ends an attempt: a sentence, and the error's class as schemas/result.schema.json has it."""

    why: str
    kind: str = "infrastructure"


def start(actor: Actor, address: str, attempt: Attempt) -> tuple[Attempt, Outcome]:
    """Sends the request of the claim, for the first time or again, and writes down the task.

    The claim holds the exact request and job spec, so that anyone can go on where its writer stopped.
    """
    claim = _claim(attempt)
    ledger, job_id, number = actor.ledger, claim["job_id"], attempt.number
    ledger.jobspec(job_id, number, claim["jobspec"])  # before RunTask: the shim reads it at once
    sent = tasks.send(actor.world.aws, ledger.clock, claim["request"])
    if isinstance(sent, tasks.Started):
        written = write_task(actor, attempt, sent.arn)
        arn_id = sent.arn.rpartition("/")[2]
        return written, Outcome(address, "launch", Status.LAUNCHED, f"attempt {number}, task {arn_id}")
    if isinstance(sent, tasks.Later):
        attempt = _waits(actor, attempt, sent)
        detail = f"attempt {number} waits: {sent.why}; the next apply asks again"
        return attempt, Outcome(address, "launch", Status.SKIPPED, detail)
    # An earlier try may have started a task all the same: the fence decides.
    attempt, outcome = give_up(actor, address, attempt, Reason(f"RunTask was refused: {sent.why}", "start"))
    runs = Outcome(address, "launch", Status.ADOPTED, f"attempt {number} runs already")
    return attempt, outcome or runs


def _waits(actor: Actor, attempt: Attempt, sent: tasks.Later) -> Attempt:
    """Writes down that there was no room, and when: the next try keeps its distance, whoever makes it."""
    if not sent.no_room:
        return attempt
    waits = int((attempt.task or {}).get("waits", 0)) + 1
    return write_task(actor, attempt, None, waits=waits, waited_at=actor.ledger.clock.stamp(), why=sent.why)


def write_task(actor: Actor, attempt: Attempt, arn: str | None, **more: Any) -> Attempt:
    """Writes down the task of an attempt, None where nobody knows it; `more` is what was seen of it."""
    document = {"task_arn": arn, "cluster": actor.world.settings.cluster, **more}
    document["started_at"] = (attempt.task or {}).get("started_at", actor.ledger.clock.stamp())
    return replace(attempt, task=actor.ledger.task(_claim(attempt)["job_id"], attempt.number, document))


def give_up(actor: Actor, address: str, attempt: Attempt, reason: Reason) -> Moved:
    """Closes an attempt as lost that no shim began; nothing but the fence is learned where one did."""
    fence = actor.ledger.tombstone(_claim(attempt)["job_id"], attempt.number, reason.why, reason.kind)
    attempt = replace(attempt, started=fence.document)
    if not fence.document.get("closed"):
        return attempt, None
    return close(actor, address, attempt, reason)


def close(actor: Actor, address: str, attempt: Attempt, reason: Reason, status: str = "lost") -> Moved:
    """Ends the attempt as `lost` or `stopped`, unless its shim ended it first."""
    error = {"class": reason.kind, "message": reason.why}
    document: dict[str, Any] = {"address": address, "status": status, "error": error}
    if reason.kind == "memory":
        document["oom_killed"] = True
    written = actor.ledger.close(_claim(attempt)["job_id"], attempt.number, document)
    return replace(attempt, result=written.document), ended(address, attempt.number, written.document)


def ended(address: str, number: int, result: Mapping[str, Any]) -> Outcome:
    """What there is to tell of an attempt that has its result; a failed attempt may still be followed by another."""
    if result["status"] == "succeeded":
        return Outcome(address, "finish", Status.SUCCEEDED, f"attempt {number}")
    error = result.get("error") or {}
    code = result.get("exit_code")
    words = [f"attempt {number} {result['status']}"]
    if code is not None:
        words.append(f"exit code {code}")
    if error.get("message"):
        words.append(str(error["message"]))
    return Outcome(address, "finish", Status.FAILED, ": ".join(words))


def is_closed(attempt: Attempt) -> bool:
    """Whether the attempt ended: only its result.json says so."""
    return attempt.result is not None


def succeeded(record: JobRecord | None) -> Mapping[str, Any] | None:
    """The result of the newest attempt that succeeded, None where none did."""
    best = decide.success(record)
    return best.result if best else None


def task_arn(attempt: Attempt) -> str | None:
    """The task that runs the attempt: the one that took the fence where the shim wrote it down, else task.json's.

    Where a service does not honour clientToken two tasks may have been started; the fence let one of them run.
    """
    fence = (attempt.started or {}).get("task") or {}
    arn = fence.get("arn") or (attempt.task or {}).get("task_arn")
    return str(arn) if arn else None


def _claim(attempt: Attempt) -> Mapping[str, Any]:
    if attempt.claim is None:
        raise AssertionError("an attempt without a claim cannot be started or closed")
    return attempt.claim
