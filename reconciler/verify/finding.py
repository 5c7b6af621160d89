"""What is asked, what was answered, what it means.

Job: name the three. Input and output: none. Must not: ask or judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.errors import AwsError, BunniesError
from reconciler.model import NOTHING
from reconciler.permissions import table

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden")


class Level(StrEnum):
    """How a finding ends: a `fail` would keep a run from working, a `warn` may."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, order=True)
class Question:
    """One read: `what` as read.py names it, of `names`."""

    what: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what it is about, what is so, and what to do where that is not well."""

    level: Level
    about: str
    what: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What was read: the answer's data, or the BunniesError that came instead."""

    given: Mapping[Question, Any] = field(default=NOTHING)

    def get(self, what: str, *names: str) -> Any:
        """The answer, or a BunniesError; None where it was not asked."""
        return self.given.get(Question(what, names))

    def names(self, what: str) -> list[str]:
        """The names that were asked after, each once, sorted."""
        return sorted({name for question in self.given if question.what == what for name in question.names})


def unread(about: str, error: BunniesError, absent: tuple[str, ...], do: str) -> Finding:
    """What an error means: absence is a failure, a refusal and all else a warning."""
    if not isinstance(error, AwsError):
        return Finding(Level.WARN, about, f"cannot be looked at: {error}")
    if error.code in absent or error.status == 404:
        return Finding(Level.FAIL, about, "is not there", do)
    if error.code in _DENIED:
        action = " or ".join(table.named(error.operation)) or error.operation
        return Finding(
            Level.WARN,
            about,
            f"cannot be looked at: {action} is denied to these credentials",
            "Allow it (`bunnies iam-policy verify` prints what is needed), or ask who may look.",
        )
    message = error.message.rstrip(".")
    return Finding(Level.WARN, about, f"cannot be looked at: {error.code}: {message}")
