"""What a plan is known by: a fingerprint of each object before and after, and one digest over all.

Job: bind an apply to a plan that somebody saw. Input: Resources; addresses and fingerprints as data, so that a plan
file can be checked by itself. Output: texts `sha256:…`. Must not: know how far anything is: attempts, times, progress.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from reconciler import canonical
from reconciler.model import Change, Resource


def fingerprint(resource: Resource | None) -> str | None:
    """Of whose it is and its canonical spec, Refs as they are written; None of nothing."""
    return None if resource is None else _digest([resource.owner, resource.spec])


def line(change: Change) -> tuple[str, str, str | None, str | None]:
    """Address, action, and the fingerprints of before and after: what the digest holds of a change."""
    return change.address, change.action.value, fingerprint(change.before), fingerprint(change.after)


def digest(
    owner: str, changes: Iterable[tuple[str, str, str | None, str | None]], jobs: Iterable[tuple[str, str]]
) -> str:
    """Of a plan: whose it is, a `line` for each resource that changes, (address, job_id) of each job that is wanted."""
    return _digest([owner, [list(one) for one in changes], sorted(list(one) for one in jobs)])


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(canonical.text(value).encode()).hexdigest()}"
