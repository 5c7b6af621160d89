"""What GitHub Actions shows beside a run: annotations at lines of the manifests.

Job: the workflow commands of at most MOST notices. Input: Plan, Outcomes, Problems. Output: lines.
Must not: read the environment, or write anywhere.

The form: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from reconciler.errors import Problem
from reconciler.model import Action, Decision, Outcome, Plan, Source, Status

MOST: Final = 10
"""GitHub shows ten annotations of a kind for each step, and drops the others."""


@dataclass(frozen=True, slots=True)
class _Notice:
    level: str
    title: str
    message: str
    source: Source | None


def plan(found: Plan) -> list[str]:
    """Conflicts and final failures as errors, then deletions as warnings."""
    return _commands(_of_plan(found))


def apply(found: Plan, told: Iterable[Outcome]) -> list[str]:
    """What failed, at the line of its manifest."""
    places = {change.address: change.source for change in found.changes}
    places |= {job.address: job.job.source for job in found.jobs}
    return _commands(
        _Notice("error", outcome.address, outcome.detail, places.get(outcome.address))
        for outcome in told
        if outcome.status is Status.FAILED
    )


def problems(found: Iterable[Problem]) -> list[str]:
    """Mistakes in manifests."""
    return _commands(_Notice("error", one.address, one.what, one.source) for one in found)


def _of_plan(found: Plan) -> Iterator[_Notice]:
    for change in found.changes:
        if change.action is Action.CONFLICT:
            yield _Notice("error", f"{change.address}: conflict", change.why, change.source)
    for job in found.jobs:
        if job.decision is Decision.FAILED:
            yield _Notice("error", f"{job.address}: failed", job.why, job.job.source)
    for change in found.changes:
        if change.action is Action.DELETE:
            yield _Notice("warning", f"{change.address}: to be deleted", change.why, change.source)


def _commands(notices: Iterable[_Notice]) -> list[str]:
    return [_command(notice) for notice in islice(notices, MOST)]


def _command(notice: _Notice) -> str:
    place = notice.source
    where = {"file": place.file, "line": str(place.line), "col": str(place.column)} if place else {}
    words = ",".join(f"{name}={_property(value)}" for name, value in {**where, "title": notice.title}.items())
    return f"::{notice.level} {words}::{_data(notice.message)}"


def _data(words: str) -> str:
    return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(words: str) -> str:
    return _data(words).replace(":", "%3A").replace(",", "%2C")
