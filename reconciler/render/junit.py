"""A plan or an apply as JUnit XML, which every CI shows as tests.

Job: a test case for each resource and job; what cannot be done or went wrong is a failure, what waits is skipped.
Input: Plan, Outcomes. Output: XML text. Must not: write files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from reconciler.model import Action, Decision, Outcome, Plan, Status

_ILLEGAL: Final = re.compile(
    "[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # https://www.w3.org/TR/xml/#charsets

_Case = tuple[str, str, Literal["failure", "skipped", ""], str]
"""Address, class, what became of it, and the words."""


def plan(found: Plan) -> str:
    """A conflict and a final failure are failures, what is blocked is skipped."""
    return _document(f"bunnies plan {found.owner}", _planned(found))


def apply(owner: str, told: Iterable[Outcome]) -> str:
    """What failed is a failure, what was not tried is skipped; of several outcomes of one address the last counts."""
    last = {outcome.address: outcome for outcome in told}
    return _document(f"bunnies apply {owner}", (_ended(outcome) for outcome in last.values()))


def _planned(found: Plan) -> Iterator[_Case]:
    for change in found.changes:
        wrong = change.action is Action.CONFLICT
        yield change.address, change.action.value, "failure" if wrong else "", change.why
    for job in found.jobs:
        kind: Literal["failure", "skipped", ""] = ""
        if job.decision in (Decision.FAILED, Decision.BLOCKED):
            kind = "failure" if job.decision is Decision.FAILED else "skipped"
        yield job.address, job.decision.value, kind, job.why


def _ended(outcome: Outcome) -> _Case:
    kind: Literal["failure", "skipped", ""] = ""
    if outcome.status in (Status.FAILED, Status.SKIPPED):
        kind = "failure" if outcome.status is Status.FAILED else "skipped"
    return outcome.address, str(outcome.action), kind, outcome.detail


def _document(name: str, cases: Iterable[_Case]) -> str:
    rows, counts = [], {"failure": 0, "skipped": 0, "": 0}
    for address, group, kind, words in cases:
        counts[kind] += 1
        inside = f"<{kind} message={_attribute(words)}/>" if kind else ""
        text = f"<system-out>{escape(_legal(words))}</system-out>" if words and not kind else ""
        rows.append(
            f"  <testcase classname={_attribute(group)} name={_attribute(address)}>{inside}{text}</testcase>"
        )
    numbers = f'tests="{len(rows)}" failures="{counts["failure"]}" skipped="{counts["skipped"]}" errors="0"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {numbers}>"]
    lines += [f"<testsuite name={_attribute(name)} {numbers}>", *rows, "</testsuite>", "</testsuites>"]
    return "\n".join(lines) + "\n"


def _attribute(words: str) -> str:
    return quoteattr(_legal(words))


def _legal(words: str) -> str:
    return _ILLEGAL.sub("?", words)
