"""Make a Plan true.

Job: carry out each change in the plan's order, go on with what does not depend on a failure, tell each outcome
as it happens; then start the jobs that are ready, and with `wait` go on until all is final.
Input: Plan, World, Ledger. Output: Outcomes. Must not: decide what to change, or print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler import kinds
from reconciler.errors import BunniesError
from reconciler.model import NOTHING, Action, Change, Outcome, Plan, Ref, Status
from reconciler.plan import fill


def resources(world: kinds.World, plan: Plan) -> Iterator[Outcome]:
    """Make the plan's resource changes, yielding each outcome as it happens; deletions come last.

    A change whose need failed or was skipped is skipped. An error that AWS, the engine or a registry raised is
    that change's outcome; anything else is a defect and goes up.
    """
    known: dict[str, Mapping[str, Any]] = {}
    lost: dict[str, str] = {}
    for change in plan.changes:
        outcome = _one(world, change, known, lost)
        if outcome.status in (Status.FAILED, Status.SKIPPED):
            lost[change.address] = outcome.status
        else:
            known[change.address] = outcome.attributes
        yield outcome


def _one(
    world: kinds.World, change: Change, known: Mapping[str, Mapping[str, Any]], lost: Mapping[str, str]
) -> Outcome:
    if change.action is Action.UNCHANGED:
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
        return Outcome(change.address, change.action, Status.FAILED, str(error))
    return Outcome(change.address, change.action, Status.CHANGED, change.why, attributes)


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
