"""Desired and live in, Plan out.

Job: order what is wanted, resolve what is known, compare, name an action for each, and refuse what a guard
forbids. Input: Resources of both sides, JobDecisions. Output: Plan. Must not: touch the world, or know a kind
beyond the one line in REVISED.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler import diff, drift, seal
from reconciler.errors import BunniesError, GuardError
from reconciler.model import (
    NOTHING,
    UNKNOWN,
    Action,
    Change,
    Copy,
    FieldDiff,
    JobDecision,
    Plan,
    Ref,
    Resource,
)

PREVENT: Final = "bunnies:prevent"
"""The tag that says, after its manifest is gone too, what must not be done with a resource: `destroy`."""

REVISED: Final = {"taskdefinition": "tags"}
"""Kinds whose objects are immutable but for one field: any other difference makes a new revision."""

_SETTLED: Final = frozenset({Action.UNCHANGED, Action.UPDATE, Action.ADOPT})
"""Actions that leave a live resource's attributes (uri, arn) as they are."""


def plan(
    owner: str,
    desired: Sequence[Resource],
    live: Mapping[str, Resource],
    *,
    prune: bool = False,
) -> tuple[Change, ...]:
    """What to do with each resource, in an order in which it can be done; deletions last.

    Raises BunniesError where needs form a cycle. `live` may hold more than is wanted: what carries our owner
    tag and is not wanted is deleted with `prune`, and passed over without.
    """
    changes: list[Change] = []
    known: dict[str, Mapping[str, Any]] = {}
    for wanted in in_order(desired):
        found = live.get(wanted.address)
        change = _change(owner, wanted, found, lambda ref: resolve(ref, known))
        changes.append(change)
        if found is not None and change.action in _SETTLED:
            known[wanted.address] = found.attributes
    if prune:
        changes += reversed([_deletion(found) for found in unwanted(owner, desired, live)])
    return tuple(changes)


def unwanted(owner: str, desired: Iterable[Resource], live: Mapping[str, Resource]) -> list[Resource]:
    """What is ours and no manifest wants any more, by address."""
    wanted = {resource.address for resource in desired}
    return [
        live[address] for address in sorted(live) if address not in wanted and live[address].owner == owner
    ]


def assemble(
    owner: str, changes: Sequence[Change], jobs: Sequence[JobDecision], copies: Sequence[Copy] = ()
) -> Plan:
    """The Plan of these changes, decisions and copies that are due, with its digest."""
    lines = [seal.line(change) for change in changes if change.action is not Action.UNCHANGED]
    digest = seal.digest(owner, lines, [(decision.address, decision.job.job_id) for decision in jobs])
    return Plan(owner, tuple(changes), tuple(jobs), digest, tuple(copies))


def guard(changes: Sequence[Change], starts: int, limits: Mapping[str, Any], allow_deletes: int = 0) -> None:
    """Raise GuardError (exit 6) where the plan does more harm, or starts more, than Settings.guards allow.

    `starts` is the number of jobs to start. From ten owned resources up, deleting more than maxDeletePercent is
    refused; deleting all of them always is. `allow_deletes` deletions pass in any case.
    """
    deletes = sum(change.action is Action.DELETE for change in changes)
    # what stays is ours where it carries the owner that its manifest has: not what is external, or in conflict
    owned = deletes + sum(
        change.before.owner == change.after.owner for change in changes if change.before and change.after
    )
    most = limits.get("maxDeletePercent", 30)
    if deletes > allow_deletes and (deletes == owned or (owned >= 10 and deletes * 100 > owned * most)):
        raise GuardError(
            f"the plan deletes {deletes} of {owned} resources, more than guards.maxDeletePercent ({most} %) allows. "
            f"If that is meant, say --allow-deletes {deletes}."
        )
    for change in changes:
        marks = change.before.spec.get("tags") or {} if change.before else {}
        if change.action is Action.DELETE and marks.get(PREVENT):
            raise GuardError(
                f"{change.address} would be deleted, and was made with prevent: {marks[PREVENT]}. Bring its manifest "
                "back; or back without prevent, apply, and then take it away; or leave it out with --exclude."
            )
    if starts > limits.get("maxRuns", 9000):
        raise GuardError(
            f"the plan starts {starts} jobs, more than guards.maxRuns ({limits['maxRuns']}). Raise it in Settings."
        )
    if limits.get("requireDigest"):
        for change in changes:
            reference = change.after.spec.get("from") if change.after else None
            if change.address.startswith("image/") and reference and "@sha256:" not in str(reference):
                raise GuardError(
                    f"{change.address}: guards.requireDigest is set and from: {reference} has no digest. "
                    "Write it as NAME@sha256:…"
                )


def in_order(resources: Sequence[Resource]) -> list[Resource]:
    """Each after what it needs, else in the order given. Needs that are not among them are passed over."""
    by_address = {resource.address: resource for resource in resources}
    graph = {address: [need for need in r.needs if need in by_address] for address, r in by_address.items()}
    try:
        return [by_address[address] for address in graphlib.TopologicalSorter(graph).static_order()]
    except graphlib.CycleError as error:
        raise BunniesError(f"these need each other in a circle: {' → '.join(error.args[1])}") from None


def resolve(ref: Ref, known: Mapping[str, Mapping[str, Any]]) -> Any:
    """The value behind a Ref among `known` attributes by address; UNKNOWN where it is not there yet."""
    return known.get(ref.address, NOTHING).get(ref.attribute, UNKNOWN)


def fill(value: Any, of: Callable[[Ref], Any]) -> Any:
    """`value` with every Ref in it replaced; containers keep their types."""
    if isinstance(value, Ref):
        return of(value)
    if isinstance(value, dict):
        return type(value)((key, fill(item, of)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(fill(item, of) for item in value)
    return value


def _change(owner: str, wanted: Resource, found: Resource | None, of: Callable[[Ref], Any]) -> Change:
    if wanted.options.get("external"):
        return _external(wanted, found)
    if found is not None and (ignored := wanted.options.get("ignoreChanges")):
        wanted = replace(wanted, spec=drift.left_alone(wanted.spec, found.spec, ignored))
    spec = fill(wanted.spec, of)
    fields = diff.compare(found.spec if found else None, spec)
    if found is None:
        why = str(wanted.options.get("why", "not there"))
        return Change(wanted.address, Action.CREATE, None, wanted, fields, why, wanted.source)
    fields = drift.told_apart(found.spec, spec, found.digest, fields)
    action, why = _action(owner, wanted, found, fields)
    return Change(wanted.address, action, found, wanted, fields, why, wanted.source)


def _action(
    owner: str, wanted: Resource, found: Resource, fields: tuple[FieldDiff, ...]
) -> tuple[Action, str]:
    if found.owner != owner:
        theirs = f"is owned by {found.owner}" if found.owner else "has no tag bunnies:owner"
        if wanted.options.get("adopt"):
            gone = ", ".join(drift.removed(fields))
            return Action.ADOPT, f"taken over: it {theirs}" + (f"; this removes {gone}" if gone else "")
        return Action.CONFLICT, (
            f"it is there and {theirs}. Choose another name, or write adopt: true to take it over "
            "or external: true to use it as it is."
        )
    due = found.options.get("due", NOTHING)
    if not fields:
        words = due.get(Action.UPDATE, "")
        return Action.UPDATE if words else Action.UNCHANGED, words
    mutable = REVISED.get(wanted.address.partition("/")[0])
    tags_only = all(field.path.split(".")[0].split("[")[0] == mutable for field in fields)
    action = Action.UPDATE if mutable is None or tags_only else Action.REVISE
    return action, "; ".join(filter(None, [_why(found, fields), due.get(action)]))


def _external(wanted: Resource, found: Resource | None) -> Change:
    if found is None:
        why = "external, and not there. Ask its owner to create it, or leave out external: true."
        return Change(wanted.address, Action.CONFLICT, None, wanted, (), why, wanted.source)
    return Change(wanted.address, Action.UNCHANGED, found, wanted, (), "external", wanted.source)


def _deletion(found: Resource) -> Change:
    return Change(
        found.address, Action.DELETE, found, None, diff.compare(found.spec, {}), "no manifest wants it"
    )


def _why(found: Resource, fields: tuple[FieldDiff, ...]) -> str:
    """What the manifest changes, then what changed since we applied; where nobody can tell, all of it."""
    drifted = tuple(field for field in fields if field.drift)
    others = tuple(field for field in fields if not field.drift)
    words = [_moved(others)] if others else []
    words += [f"drifted: {_moved(drifted)}"] if drifted else []
    if any(field.drift is None for field in fields) and drift.changed_outside(found.spec, found.digest):
        words.append("changed by others since the last apply")
    return "; ".join(words)


def _moved(fields: tuple[FieldDiff, ...]) -> str:
    paths = [field.path for field in fields]
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
