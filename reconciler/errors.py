"""Errors that users see, each with the exit code that the command ends with.

Job: name every way in which a run can end early. Input: words for people. Output: exceptions.
Must not: format for a terminal (render does), nor carry secrets in a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.model import Source


class BunniesError(Exception):
    """A run cannot go on; `str()` is one clear sentence or two, the second saying what to do.

    `exit_code` is the process's exit code (docs/operations.md), 1 unless a subclass says otherwise.
    """

    exit_code = 1


class Problem:
    """One mistake in the manifests: where it is, whose it is, what is wrong and what to write instead."""

    __slots__ = ("address", "source", "what")

    def __init__(self, source: Source | None, address: str, what: str) -> None:
        self.source = source
        self.address = address
        self.what = what

    def __str__(self) -> str:
        """`FILE:LINE:COL: address: what is wrong. What to write instead.`"""
        return ": ".join(str(part) for part in (self.source, self.address, self.what) if part)

    __repr__ = __str__


class ManifestError(BunniesError):
    """The manifests are not valid; `problems` holds every mistake found in one run, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class AwsError(BunniesError):
    """AWS refused a call or could not be reached.

    `code` is the service's error code ("RepositoryNotFoundException"), or botocore's class name where no answer
    came ("EndpointConnectionError"); `status` the HTTP status, 0 without an answer; `details` the error's
    further fields, as a ConflictException's resourceIds.
    """

    def __init__(
        self,
        operation: str,
        code: str,
        message: str,
        status: int = 0,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.operation = operation
        self.code = code
        self.message = message
        self.status = status
        self.details = details or {}
        super().__init__(f"{operation}: {code}: {message}")


class EngineError(BunniesError):
    """The Docker engine, or a registry that it talked to for us, failed."""


class RegistryError(BunniesError):
    """A container registry refused, failed or cannot be reached; `status` is its HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class StalePlanError(BunniesError):
    """What was planned is no longer what is there, or its digest differs."""

    exit_code = 4


class LockedError(BunniesError):
    """Another apply of the same owner holds the lock."""

    exit_code = 5


class GuardError(BunniesError):
    """A guard refused the plan: too many deletions, too many runs."""

    exit_code = 6
