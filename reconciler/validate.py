"""What can be said against manifests without asking anyone.

Job: beyond their shape (load), check what ECS would refuse, and that each kind can make its Resource of them.
Input: ManifestSet. Output: nothing, or ManifestError with every mistake. Must not: touch the world.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler import kinds, redact
from reconciler.canonical import fargate, mistakes
from reconciler.errors import ManifestError, Problem
from reconciler.kinds import bases, job, taskdefinition
from reconciler.model import NOTHING, Job, Manifest, ManifestSet, Resource

_ANY_DIGEST: Final = "sha256:" + "0" * 64


def validate(manifests: ManifestSet) -> None:
    """Raise ManifestError, in the order of the manifests, where anything is wrong."""
    problems: list[Problem] = []
    resources: dict[str, Resource] = {}
    for name in kinds.KINDS:
        for manifest in (m for m in manifests.manifests if m.kind.lower() == name):
            if manifest.kind == "TaskDefinition":
                body = taskdefinition.with_roles(manifest.body, manifests.settings)
                found = mistakes.problems(manifest.name, body)
                problems += [_problem(manifest, path, what) for path, what in found]
            problems += _desired(manifests, manifest, resources)
    if not problems:  # a job's mistakes are told once what it stands on is right
        try:
            jobs = job.desired(manifests.of("Job"), manifests.settings, resources, NOTHING)
            problems += _overrides(manifests, jobs, resources)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems)


def in_clear(manifests: ManifestSet) -> Iterator[Problem]:
    """Values that look secret and stand in an environment: no mistake, but anyone who may read the task can read them."""
    listed = manifests.settings.redact
    told = set()
    for manifest in manifests.manifests:
        containers = manifest.body.get("containerDefinitions") or ()
        entries = [entry for one in containers for entry in one.get("environment") or ()]
        names = [str(entry.get("name")) for entry in entries if isinstance(entry, Mapping)]
        if manifest.kind == "Job":
            names += list(manifest.body.get("environment") or ())
        for name in names:
            if redact.looks_secret(name, listed) and (manifest.kind, manifest.name, name) not in told:
                told.add((manifest.kind, manifest.name, name))
                where = "ECS and in your bucket" if manifest.kind == "Job" else "ECS"
                what = f"{name} looks secret and stands in clear in {where}. Put it into the task definition's secrets."
                yield Problem(manifest.source, f"{manifest.kind.lower()}/{manifest.name}", what)


def _overrides(
    manifests: ManifestSet, jobs: Sequence[Job], resources: Mapping[str, Resource]
) -> Iterator[Problem]:
    """What Fargate would refuse of the jobs' own sizes; elements of an array that share a mistake tell it once."""
    by_address = {manifest.address: manifest for manifest in manifests.of("Job")}
    told = set()
    for one in jobs:
        manifest, spec = by_address[one.address], one.spec
        strategy = spec.get("capacityProviderStrategy") or ()
        providers = [str(item.get("capacityProvider")) for item in strategy]
        if spec.get("launchType") != "FARGATE" and not any(name.startswith("FARGATE") for name in providers):
            continue
        definition = resources[spec["taskDefinition"].address].spec
        version = manifest.body.get("platformVersion")
        for path, what in fargate.overrides(definition, spec["overrides"], version):
            if (manifest.name, what) not in told:
                told.add((manifest.name, what))
                yield _problem(manifest, path, what)


def _unread(manifest: Manifest) -> Mapping[str, Any]:
    """Stands for an image's facts: what is checked here is the same whatever the digests are."""
    digests = dict.fromkeys(bases.platforms(manifest.body), _ANY_DIGEST)
    return {"digest": _ANY_DIGEST, "layers": digests, "pins": NOTHING}


def _desired(
    manifests: ManifestSet, manifest: Manifest, resources: dict[str, Resource]
) -> tuple[Problem, ...]:
    kind = kinds.by_name(manifest.kind.lower())
    try:
        resources[manifest.address] = kind.desired(
            manifest, manifests.settings, {manifest.address: _unread(manifest)}
        )
    except ManifestError as error:
        return error.problems
    return ()


def _problem(manifest: Manifest, path: tuple[str | int, ...], what: str) -> Problem:
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return Problem(manifest.at(*path), manifest.address, f"{words[1:]}: {what}.")
