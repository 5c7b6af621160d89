"""IAM policies: what each role must be allowed, and nothing else.

The way: `ground` says what the manifests name, as ARNs; `table` holds every call that the code makes against the
actions of IAM that it takes (a test holds it to the code); `roles` says what a task and its launch need; `statements`
puts grants together as a policy document.

Job: all of that, offline. Input: ManifestSet. Output: policy documents as plain data. Must not: ask AWS anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from reconciler.model import ManifestSet
from reconciler.permissions import roles, statements, table
from reconciler.permissions.ground import Ground, ground

COMMANDS: Final = ("plan", "apply", "verify", "bootstrap")
"""Policies of whoever runs bunnies; `plan` also serves status, outputs, get, logs, `apply` also stop and retry."""
ROLES: Final = ("task", "execution")
"""Policies of the two roles of a task."""


def policy(name: str, manifests: ManifestSet, role: str | None = None) -> dict[str, Any]:
    """The policy document of one of COMMANDS or ROLES; of the latter, `role` is the one ARN that it is for.

    Raises BunniesError where the manifests do not say which account they are for, or name no such role.
    """
    made = ground(manifests)
    return statements.document(_grants(name, made, role), made)


def role_arns(name: str, manifests: ManifestSet) -> tuple[str, ...]:
    """The ARNs of the roles that the manifests name as `task` or `execution`, sorted."""
    return roles.arns(name, ground(manifests))


def _grants(name: str, made: Ground, role: str | None) -> Iterable[statements.Grant]:
    if name in ROLES:
        return roles.grants(name, made, role)
    uses = {"apply": ("plan", "apply")}.get(name, (name,))
    return table.grants(uses)
