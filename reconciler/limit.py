"""A part of a plan: what --limit and --exclude leave in it.

Job: choose addresses by patterns, and hold back what would need something outside. Input: patterns, Changes,
JobDecisions of the whole plan. Output: those inside. Must not: decide anything anew.

A pattern is an address, an address with the wildcards of the shell (`job/align/s01.*`, `*/tools`), or the name of an
array, which means all its elements.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.errors import BunniesError
from reconciler.model import Action, Change, Decision, JobDecision

OUTSIDE: Final = "is outside of --limit"

_NEW_VALUES: Final = frozenset({Action.CREATE, Action.REVISE, Action.CONFLICT})
"""Actions after which others must be read or made anew: an image has another digest, a family another revision."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a plan is limited to: what matches one of `limit`, or all where it is empty, but for `exclude`."""

    limit: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def holds(self, address: str) -> bool:
        """Whether it is inside."""
        chosen = not self.limit or any(_matches(address, pattern) for pattern in self.limit)
        return chosen and not any(_matches(address, pattern) for pattern in self.exclude)

    def check(self, addresses: Iterable[str]) -> None:
        """Raise BunniesError for a pattern of `limit` that no address matches: it was meant to match one."""
        known = list(addresses)
        for pattern in self.limit:
            if not any(_matches(address, pattern) for address in known):
                near = difflib.get_close_matches(pattern, known, 1)
                hint = f"Did you mean {near[0]}?" if near else "`bunnies plan` shows what there is."
                raise BunniesError(f"--limit {pattern}: nothing in these manifests is called that. {hint}")


EVERYTHING: Final = Scope()


def changes(scope: Scope, found: Sequence[Change]) -> tuple[Change, ...]:
    """Those inside. Raises BunniesError where one needs a value that only a change outside would give."""
    outside = waiting(scope, found)
    inside = tuple(change for change in found if scope.holds(change.address))
    for change in inside:
        for need in change.after.needs if change.after and change.action is not Action.UNCHANGED else ():
            if need in outside:
                raise BunniesError(
                    f"{change.address} needs {need}, which changes first and {OUTSIDE}. Say --limit {need} too."
                )
    return inside


def waiting(scope: Scope, found: Sequence[Change]) -> dict[str, str]:
    """Resources outside that would change first, with the words that say so."""
    return {
        change.address: OUTSIDE
        for change in found
        if change.action in _NEW_VALUES and not scope.holds(change.address)
    }


def decisions(scope: Scope, found: Sequence[JobDecision]) -> tuple[JobDecision, ...]:
    """Those inside; what would start after a job that is outside and has not succeeded is BLOCKED.

    `found` are all of the plan, upstream first.
    """
    starts = (Decision.RUN, Decision.RETRY)
    outside = {one.address for one in found if not scope.holds(one.address) and one.decision in starts}
    blocked: dict[str, str] = {}
    kept = []
    for one in found:
        if not scope.holds(one.address):
            continue
        why = next((why for need in one.job.needs if (why := _held_by(need, outside, blocked))), "")
        if why and one.decision in starts:
            blocked[one.address] = why
            kept.append(replace(one, decision=Decision.BLOCKED, why=why))
        else:
            kept.append(one)
    return tuple(kept)


def _held_by(need: str, outside: set[str], blocked: Mapping[str, str]) -> str:
    if need in outside:
        return f"{need} {OUTSIDE}"
    return f"{need} is blocked" if need in blocked else ""


def _matches(address: str, pattern: str) -> bool:
    plain = pattern.rstrip("/")
    return address == plain or address.startswith(f"{plain}/") or fnmatch.fnmatchcase(address, pattern)
