"""What an apply does besides its stages: the owner's lock, and going on with the last plan (`--continue`).

Input: an Actor, options. Output: a lock that is held, Progress. Must not: decide what changes or starts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.model import Decision, Outcome, Status

if TYPE_CHECKING:
    from reconciler.attempts import Actor
    from reconciler.kept import Kept
    from reconciler.lock import Lock
    from reconciler.model import JobDecision
    from reconciler.step import Progress


def lock_of(actor: Actor) -> Lock:
    """The lock of the actor's owner."""
    from reconciler.lock import Lock

    ledger = actor.ledger
    return Lock(ledger.aws, ledger.bucket, ledger.key("lock.json"), ledger.clock, ledger.nonce)


@contextmanager
def locked(actor: Actor, what: str, patience: int) -> Iterator[None]:
    """The owner's lock, renewed until the end. Raises LockedError (exit 5) where another holds it for too long."""
    from reconciler import lock

    tell = actor.world.tell
    with lock.kept(lock_of(actor).take(actor.by, what, patience), tell):
        yield


def go_on(
    actor: Actor, last: Kept, tell: Callable[[Outcome], None], *, wait: bool
) -> tuple[Progress, list[JobDecision]]:
    """Starts what has become ready among the jobs of the last apply, and publishes; changes no resource.

    The second value are the jobs that need a person.
    """
    from reconciler import apply as stage
    from reconciler import publish

    running = stage.jobs(actor, last.jobs, last.attributes, wait=wait, progress=stage.begin(last.held))
    progress = drained(running, tell)
    jobs = [job for job in last.jobs if job.address not in last.held]
    for outcome in publish.publish(actor.world.aws, publish.pending(actor.world.aws, jobs, progress.records)):
        tell(outcome)
    return progress, [one for one in progress.failed if one.address not in last.held]


def drained(stream: Generator[Outcome, None, Progress], tell: Callable[[Outcome], None]) -> Progress:
    """Tells every outcome as it comes; how it ended."""
    while True:
        try:
            tell(next(stream))
        except StopIteration as end:
            value: Progress = end.value
            return value


def settled(told: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes without launches that another of the same job followed: one that waited and then began."""
    launches = {outcome.address: outcome for outcome in told if outcome.action == "launch"}
    return [one for one in told if one.action != "launch" or launches[one.address] is one]


def cached(progress: Progress, told: Sequence[Outcome]) -> int:
    """Jobs that had succeeded before."""
    now = {one.address for one in told if one.status is Status.SUCCEEDED}
    return sum(one.decision is Decision.CACHED and one.address not in now for one in progress.decisions)
