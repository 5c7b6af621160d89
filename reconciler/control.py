"""What a person says about a running or failed job: stop it, or try it once more.

Job: carry out `bunnies stop` and `bunnies retry`, from the ledger alone. Input: addresses. Output: Outcomes.
Must not: ask whether an automatic attempt is due; a person decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler import attempts, launch, tasks
from reconciler.attempts import Actor, Reason
from reconciler.model import JobRecord, Outcome, Status


def stop(actor: Actor, addresses: Iterable[str]) -> Iterator[Outcome]:
    """Closes the open attempt of each address (`job/NAME`: of all its elements) as stopped, then stops its task.

    The result comes first: should we end between the two, the next apply stops the task of a closed attempt.
    """
    for address, record in _records(actor, addresses):
        attempt = record.last
        if attempt is None or attempts.is_closed(attempt):
            yield Outcome(address, "stop", Status.UNCHANGED, "nothing of it runs")
            continue
        reason = Reason(f"stopped by {actor.by}", "user")
        # The fence first: a task that is being started at this moment then finds that it is not wanted.
        actor.ledger.tombstone(str((attempt.claim or {})["job_id"]), attempt.number, reason.why, "stopped")
        closed, _ = attempts.close(actor, address, attempt, reason, "stopped")
        arn = attempts.task_arn(attempt)
        if arn is not None:
            tasks.stop(actor.world.aws, actor.world.settings.cluster, arn, f"bunnies stop by {actor.by}")
        status = (closed.result or {})["status"]
        yield Outcome(address, "stop", Status.CHANGED, f"attempt {attempt.number} {status}")


def retry(actor: Actor, addresses: Iterable[str]) -> Iterator[Outcome]:
    """Starts another attempt of each address's newest job, as the last one was started.

    An attempt claimed by a person starts the automatic budgets anew. What succeeded or runs is left alone.
    """
    for address, record in _records(actor, addresses):
        attempt = record.last
        if attempt is None:
            yield Outcome(
                address, "retry", Status.UNCHANGED, "it has no attempt yet; `bunnies apply` starts it"
            )
        elif not attempts.is_closed(attempt):
            yield Outcome(address, "retry", Status.UNCHANGED, f"attempt {attempt.number} is open")
        elif attempts.succeeded(record):
            detail = "it succeeded. To run it again, write another `generation:` in its manifest"
            yield Outcome(address, "retry", Status.UNCHANGED, detail)
        else:
            yield launch.relaunch(actor, address, attempt)[1]


def _records(actor: Actor, addresses: Iterable[str]) -> Iterator[tuple[str, JobRecord]]:
    newest = actor.ledger.newest(addresses)
    records = actor.ledger.records(newest.values())
    for address, job_id in newest.items():
        yield address, records[job_id]
