"""What somebody has approved, held against what is there now.

Job: read a plan file, see that its digest is that of its own content, and let through what is still as it was when
the file was written. Input: a plan file (schemas/plan.schema.json), the Plan of this moment. Output: Approved, Held.
Must not: change anything; what moves after this is refused by the kinds, which read each object again.

What is already as approved stays so: a plan that was applied in part can be applied again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from reconciler import seal
from reconciler.errors import BunniesError, StalePlanError
from reconciler.model import Action, Change, Decision, JobDecision, Outcome, Plan, Status

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_AGAIN: Final = "Run plan again, and have the new one approved."
_STARTS: Final = (Decision.RUN, Decision.RETRY)


@dataclass(frozen=True, slots=True)
class Approved:
    """A plan file whose digest is right; `document` is all of it."""

    digest: str
    document: Mapping[str, Any]

    @property
    def changes(self) -> dict[str, Mapping[str, Any]]:
        """Its resource changes, by address."""
        return {change["address"]: change for change in self.document["changes"]}

    @property
    def jobs(self) -> dict[str, str]:
        """The job id of every address."""
        return {job["address"]: job["job_id"] for job in self.document["jobs"]}


@dataclass(frozen=True, slots=True)
class Held:
    """What of a plan may be carried out: `plan` without what was refused, `refused` with the words why.

    `lost` are the resources refused, `held` the jobs that may not start.
    """

    plan: Plan
    refused: tuple[Outcome, ...] = ()

    @property
    def lost(self) -> dict[str, str]:
        """Resources that were refused, for what depends on them."""
        return {one.address: "was refused" for one in self.refused if not one.address.startswith("job/")}

    @property
    def held(self) -> frozenset[str]:
        """Jobs that may not start."""
        return frozenset(one.address for one in self.refused if one.address.startswith("job/"))


def read(path: Path) -> Approved:
    """The plan in a file. Raises BunniesError where it is none, StalePlanError where its digest does not fit it."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BunniesError(
            f"{path} cannot be read as a plan: {error}. Write one with `bunnies plan --out {path}`."
        ) from None
    if not isinstance(document, dict) or "format_version" not in document:
        raise BunniesError(f"{path} is not a plan. Write one with `bunnies plan --out {path}`.")
    if document["format_version"] != "1":
        raise BunniesError(
            f"{path} is a plan of format {document['format_version']}, this bunnies reads format 1. {_AGAIN}"
        )
    digest = wanted(document.get("plan_digest") or "")
    try:
        computed = _digest(document)
    except (KeyError, TypeError, AttributeError):
        raise StalePlanError(
            f"{path} lacks what its digest is made of, so it cannot be verified. {_AGAIN}"
        ) from None
    if computed != digest:
        raise StalePlanError(
            f"{path} has been edited: its digest is {digest}, its content gives {computed}. {_AGAIN}"
        )
    return Approved(digest, document)


def wanted(digest: str) -> str:
    """The digest that somebody approved, if it is one. Raises StalePlanError where it is missing or misspelt."""
    if not digest:
        raise StalePlanError(
            "the digest of the approved plan is missing. Give the one that `bunnies plan --json` names."
        )
    if not _DIGEST.fullmatch(digest):
        raise StalePlanError(f"{digest!r} is not the digest of a plan: those are sha256: and 64 hex digits.")
    return digest


def expect(digest: str, found: Plan) -> None:
    """Raise StalePlanError where the plan of this moment is not the one with this digest."""
    if wanted(digest) != found.digest:
        raise StalePlanError(
            f"the plan now is {found.digest}, not the {digest} that was approved: the manifests or AWS have changed "
            f"since. Nothing was done. {_AGAIN}"
        )


def hold(found: Plan, approved: Approved) -> Held:
    """The plan without what was not approved, or is no longer as it was then."""
    if found.owner != approved.document.get("owner"):
        raise StalePlanError(
            f"the plan is of owner {approved.document.get('owner')}, the manifests of {found.owner}."
        )
    if found.digest == approved.digest:
        return Held(found)
    refused = [*_changes(found, approved), *_jobs(found, approved)]
    out = {outcome.address for outcome in refused}
    changes = tuple(change for change in found.changes if change.address not in out)
    copies = tuple(copy for copy in found.copies if copy.address not in out)
    jobs = tuple(decision for decision in found.jobs if decision.address not in out)
    return Held(replace(found, changes=changes, jobs=jobs, copies=copies), tuple(refused))


def _digest(document: Mapping[str, Any]) -> str:
    changes = [
        (one["address"], one["action"], one["fingerprints"]["before"], one["fingerprints"]["after"])
        for one in document["changes"]
    ]
    return seal.digest(
        document["owner"], changes, [(one["address"], one["job_id"]) for one in document["jobs"]]
    )


def _changes(found: Plan, approved: Approved) -> Iterator[Outcome]:
    now = {change.address: change for change in found.changes}
    then = approved.changes
    for address, change in now.items():
        why = _unlike(change, then.get(address))
        if why:
            yield _refused(address, change.action, why)
    for address, old in then.items():
        if address not in now and old["action"] != Action.DELETE:  # what was to go may be gone by now
            yield _refused(address, old["action"], "no manifest wants it any more")


def _unlike(change: Change, old: Mapping[str, Any] | None) -> str:
    """How a change differs from the approved one; empty where it does not, or is done."""
    if change.action is Action.UNCHANGED:
        same = old is None or old["fingerprints"]["after"] == seal.fingerprint(change.after)
        return "" if same else "the manifests want it otherwise than in the approved plan"
    if old is None:
        return (
            f"it was unchanged in the approved plan and would be changed now: {change.why or change.action}"
        )
    _, action, before, after = seal.line(change)
    if old["fingerprints"]["after"] != after:
        return "the manifests want it otherwise than in the approved plan"
    if old["fingerprints"]["before"] != before:
        return f"it changed since the plan was made: {_moved(change, old)}"
    return (
        "" if old["action"] == action else f"it was to be {old['action']}, and now is {action}: {change.why}"
    )


def _moved(change: Change, old: Mapping[str, Any]) -> str:
    """The fields whose live value is not the one that the plan file shows."""
    if change.before is None:
        return "it is gone"
    if old["fingerprints"]["before"] is None:
        return "it is there by now"
    now = {field.path for field in change.fields}
    then = {field["path"] for field in old["fields"]}
    paths = sorted(now ^ then) or sorted(now)
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _jobs(found: Plan, approved: Approved) -> Iterator[Outcome]:
    then, now = approved.jobs, {decision.address: decision for decision in found.jobs}
    for address, decision in now.items():
        if decision.job.job_id != then.get(address) and decision.decision in _STARTS:
            yield _refused(address, "launch", _other(decision, then.get(address)))
    for address in then.keys() - now.keys():
        yield _refused(address, "launch", "no manifest wants it any more")


def _other(decision: JobDecision, old: str | None) -> str:
    if old is None:
        return "it is not in the approved plan"
    return f"it would do other work than the approved plan says: {decision.why}"


def _refused(address: str, action: str, why: str) -> Outcome:
    return Outcome(address, action, Status.FAILED, f"{why}. Left alone: plan again.", stale=True)
