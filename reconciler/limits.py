"""The limits on open attempts that a reconciler keeps: queueTimeout and deadline. (`timeout` is the shim's.)

Job: end an attempt that waits or lasts longer than its job allows. Input: an open attempt, its job's record and spec.
Output: the attempt as it is then, and an Outcome. Must not: look after attempts that are within their limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler import attempts, retry, tasks
from reconciler.attempts import Actor, Moved, Reason
from reconciler.model import Attempt, JobRecord


def keep(actor: Actor, address: str, record: JobRecord, attempt: Attempt, spec: Mapping[str, Any]) -> Moved:
    """Ends `attempt`, the last of `record`, where it is over a limit of the job's `spec`; else it stays as it is.

    The result comes first, as with `bunnies stop`: should we end between the two, the next apply stops the task.
    """
    now = actor.ledger.clock.now()
    deadline, queue = spec.get("deadline"), spec.get("queueTimeout")
    earlier = [one for one in retry.since_manual(record) if one.number != attempt.number]
    if deadline is not None and retry.spent([*earlier, attempt], now) >= deadline:
        reason = Reason(f"deadline of {deadline} s is over", "deadline")
        return _stop(actor, address, attempt, reason)
    if queue is not None and attempt.started is None and retry.spent([attempt], now) >= queue:
        reason = Reason(f"it had not started after queueTimeout of {queue} s", "queue")
        return _stop(actor, address, attempt, reason)
    return attempt, None


def _stop(actor: Actor, address: str, attempt: Attempt, reason: Reason) -> Moved:
    if attempt.started is None:
        attempt, outcome = attempts.give_up(actor, address, attempt, reason)
        if not attempts.is_closed(attempt) and reason.kind == "queue":
            return attempt, None  # it started after all
    else:
        outcome = None
    if not attempts.is_closed(attempt):
        attempt, outcome = attempts.close(actor, address, attempt, reason, "stopped")
    if arn := attempts.task_arn(attempt):
        tasks.stop(actor.world.aws, actor.world.settings.cluster, arn, f"bunnies: {reason.why}")
    return attempt, outcome
