"""Make a Plan true.

Job: carry out each change in the plan's order, go on with what does not depend on a failure, tell each outcome
as it happens; then start the jobs that are ready, and with `wait` go on until all is final.
Input: Plan, World, Ledger. Output: Outcomes. Must not: decide what to change, or print.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler import decide, forecast, kinds, remembered
from reconciler.attempts import Actor
from reconciler.errors import BunniesError, StalePlanError
from reconciler.ledger import Records
from reconciler.model import NOTHING, Action, Change, Job, Outcome, Plan, Ref, Status
from reconciler.plan import fill
from reconciler.step import Attributes, Progress, step

POLL: Final = (1.0, 10.0)
"""Seconds between two turns of --wait: the first, and the longest; half as much again after each quiet one."""


def resources(
    world: kinds.World, plan: Plan, outside: Attributes = NOTHING, refused: Mapping[str, str] = NOTHING
) -> Generator[Outcome, None, Attributes]:
    """Make the plan's resource changes, yielding each outcome as it happens; deletions come last.

    Returns the attributes of every resource that is there afterwards, by address. A change whose need failed or
    was skipped is skipped. An error that AWS, the engine or a registry raised is that change's outcome. `outside`
    are attributes of what is there and not in the plan; `refused` says what was taken out of it, and how to say so.
    """
    known: dict[str, Mapping[str, Any]] = dict(outside)
    lost: dict[str, str] = dict(refused)
    for change in plan.changes:
        if change.action is not Action.UNCHANGED:
            world.tell(f"{change.address}: {change.action}")
        outcome = _one(world, change, known, lost)
        if outcome.status in (Status.FAILED, Status.SKIPPED):
            lost[change.address] = outcome.status
        else:
            known[change.address] = outcome.attributes
        yield outcome
    return known


def begin(held: Collection[str] = (), known: Records = NOTHING) -> Progress:
    """Where an apply's jobs begin. `held` are addresses of those that may not start: outside of a limit, not approved;
    `known` are records read before: of what had succeeded by then nothing is read again.
    """
    done = {job_id: record for job_id, record in known.items() if decide.success(record)}
    return Progress(refused=frozenset(held), records=done)


BEGINNING: Final = begin()


def jobs(
    actor: Actor,
    wanted: Sequence[Job],
    attributes: Attributes,
    *,
    wait: bool,
    progress: Progress = BEGINNING,
) -> Generator[Outcome, None, Progress]:
    """Start what is ready; with `wait` go on until every job is final.

    Without `wait` one turn is made; the next apply goes on. `wanted` are all jobs of the manifests, since each is
    judged by its upstream; `progress` is what `begin` gives. Raises AwsError where the ledger cannot be read.
    """
    shortest, longest = POLL
    pause = shortest
    while True:
        before = progress
        progress = yield from step(actor, wanted, before, attributes)
        if not wait or not progress.active:
            remembered.write(actor.ledger, wanted, progress.records)
            return progress
        actor.world.tell(forecast.line(progress.decisions, progress.records, actor.ledger.clock.now()))
        moved = progress.records != before.records
        pause = shortest if moved else min(longest, pause * 1.5)
        actor.ledger.clock.sleep(pause)


def _one(
    world: kinds.World, change: Change, known: Mapping[str, Mapping[str, Any]], lost: Mapping[str, str]
) -> Outcome:
    if change.action is Action.UNCHANGED:
        _settle(world, change, known)
        attributes = change.before.attributes if change.before else NOTHING
        return Outcome(change.address, change.action, Status.UNCHANGED, attributes=attributes)
    if change.action is Action.CONFLICT:
        return Outcome(change.address, change.action, Status.FAILED, change.why)
    for need in change.after.needs if change.after else ():
        if need in lost:
            return Outcome(change.address, change.action, Status.SKIPPED, f"{need} {lost[need]}")
    kind = kinds.by_name(change.address.partition("/")[0])
    try:
        attributes = kind.apply(world, _resolved(change, known))
    except BunniesError as error:
        stale = isinstance(error, StalePlanError)
        return Outcome(change.address, change.action, Status.FAILED, str(error), stale=stale)
    return Outcome(change.address, change.action, Status.CHANGED, change.why, attributes)


def _settle(world: kinds.World, change: Change, known: Mapping[str, Mapping[str, Any]]) -> None:
    """Have the digest of what is unchanged put right: a convenience to later plans, so its failure is only told."""
    try:
        kinds.settle(world, _resolved(change, known))
    except BunniesError as error:
        world.tell(f"{change.address}: its digest could not be written: {error}")


def _resolved(change: Change, known: Mapping[str, Mapping[str, Any]]) -> Change:
    if change.after is None:
        return change

    def value(ref: Ref) -> Any:
        try:
            return known[ref.address][ref.attribute]
        except KeyError:
            raise BunniesError(f"{ref} has no value: {ref.address} is not there") from None

    after = change.after
    return replace(change, after=replace(after, spec=fill(after.spec, value)))
