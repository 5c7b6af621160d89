"""Grants put together as a policy document.

Job: one statement for each set of resources and condition, in a stable order. Input: Grants, Ground. Output: JSON's
data. Must not: know which call needs what.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model import NOTHING
from reconciler.permissions.ground import Ground

Condition = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Where:
    """Resources, as ARNs with wildcards, and the condition under which."""

    resources: tuple[str, ...]
    condition: Condition = NOTHING


Scope = Callable[[Ground], Iterable[Where]]
"""Which resources a grant is about; its name is the statement's Sid."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on all that a scope yields."""

    actions: tuple[str, ...]
    scope: Scope


def document(grants: Iterable[Grant], ground: Ground) -> dict[str, Any]:
    """The policy document; grants on nothing are left out."""
    actions: dict[str, set[str]] = {}
    bodies: dict[str, tuple[str, Where]] = {}
    for grant in grants:
        for where in grant.scope(ground):
            if not where.resources:
                continue
            key = json.dumps([where.resources, dict(where.condition)], sort_keys=True)
            actions.setdefault(key, set()).update(grant.actions)
            bodies.setdefault(key, (grant.scope.__name__, where))
    found = [_statement(*bodies[key], actions[key]) for key in actions]
    found.sort(key=lambda one: (one["Sid"], one["Action"]))
    counts: dict[str, int] = {}
    for statement in found:  # a Sid may stand once
        sid = statement["Sid"]
        counts[sid] = counts.get(sid, 0) + 1
        statement["Sid"] = sid if counts[sid] == 1 else f"{sid}{counts[sid]}"
    return {"Version": "2012-10-17", "Statement": found}


def _statement(scope: str, where: Where, actions: set[str]) -> dict[str, Any]:
    resources = sorted(set(where.resources))
    statement: dict[str, Any] = {
        "Sid": "".join(word.capitalize() for word in scope.split("_")),
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": resources[0] if len(resources) == 1 else resources,
    }
    if where.condition:
        statement["Condition"] = {operator: dict(keys) for operator, keys in where.condition.items()}
    return statement
