"""What can be said against manifests without asking anyone.

Job: beyond their shape (load), check what ECS would refuse, and that each kind can make its Resource of them.
Input: ManifestSet. Output: nothing, or ManifestError with every mistake. Must not: touch the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler import kinds
from reconciler.canonical import fargate
from reconciler.errors import ManifestError, Problem
from reconciler.kinds import job
from reconciler.model import NOTHING, Manifest, ManifestSet, Resource

_ANY_DIGEST: Final = "sha256:" + "0" * 64
_UNREAD: Final[Mapping[str, Any]] = {"digest": _ANY_DIGEST, "layer": _ANY_DIGEST, "pins": NOTHING}
"""Stands for an image's facts: what is checked here is the same whatever the digests are."""


def validate(manifests: ManifestSet) -> None:
    """Raise ManifestError, in the order of the manifests, where anything is wrong."""
    problems: list[Problem] = []
    resources: dict[str, Resource] = {}
    for name in kinds.KINDS:
        for manifest in (m for m in manifests.manifests if m.kind.lower() == name):
            if manifest.kind == "TaskDefinition":
                found = fargate.problems(manifest.name, manifest.body)
                problems += [Problem(manifest.at(*path), manifest.address, what) for path, what in found]
            problems += _desired(manifests, manifest, resources)
    if not problems:  # a job's mistakes are told once what it stands on is right
        try:
            job.desired(manifests.of("Job"), manifests.settings, resources, NOTHING)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems)


def _desired(
    manifests: ManifestSet, manifest: Manifest, resources: dict[str, Resource]
) -> tuple[Problem, ...]:
    kind = kinds.by_name(manifest.kind.lower())
    try:
        resources[manifest.address] = kind.desired(manifest, manifests.settings, {manifest.address: _UNREAD})
    except ManifestError as error:
        return error.problems
    return ()
