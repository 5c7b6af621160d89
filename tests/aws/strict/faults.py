"""What can go wrong at a call: a crash, a lost answer, a throttle, a failure of the service.

Job: name every call of a run, so that a test can ask for a fault at each. Input: calls. Output: Points, and the
fault that a point has. Must not: know what a call does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Crash(BaseException):
    """The process is gone: nothing of ours may catch it."""


class Fault(StrEnum):
    """What happens at a point."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    UNSENT = "never arrived"  # a connection error, nothing done
    LOST = "answer lost"  # done, and then a connection error
    THROTTLED = "throttled"
    DISGUISED = "throttled in disguise"
    BROKEN_BEFORE = "500, not done"
    BROKEN_AFTER = "500, done"


BEFORE = (Fault.CRASH_BEFORE, Fault.UNSENT, Fault.THROTTLED, Fault.DISGUISED, Fault.BROKEN_BEFORE)

READS = ("Get", "List", "Describe", "Head", "BatchGet")


@dataclass(frozen=True, order=True)
class Point:
    """A call of a run: the `nth` of its operation on its subject, from 1.

    A name that survives the order in which the threads of a run come; `subject` None counts over all subjects.
    """

    operation: str
    subject: str | None
    nth: int

    @property
    def reads(self) -> bool:
        """Whether the call changes nothing."""
        return self.operation.startswith(READS)

    def __str__(self) -> str:
        """As a test's id."""
        return f"{self.operation} {self.subject or ''} {self.nth}".replace("  ", " ")


class Points:
    """The calls of one process, in the order in which they came."""

    def __init__(self) -> None:
        self.made: list[Point] = []
        self.faults: dict[Point, Fault] = {}
        self.numbered: dict[int, Fault] = {}  # by the number of the call, from 1
        self.endings: dict[
            tuple[str, str], Fault
        ] = {}  # the next call of an operation on a subject that ends so
        self._counts: Counter[tuple[str, str | None]] = Counter()

    def order(self, call: Point | int | tuple[str, str], fault: Fault) -> None:
        """Asks for a fault: at a point, at a call's number, or at an operation's next call on a subject that ends so."""
        if isinstance(call, Point):
            self.faults[call] = fault
        elif isinstance(call, int):
            self.numbered[call] = fault
        else:
            self.endings[call] = fault

    def next(self, operation: str, params: Mapping[str, Any]) -> Fault | None:
        """Counts a call; the fault that it is to have."""
        names = (subject(operation, params), None)
        for name in names:
            self._counts[operation, name] += 1
        points = [Point(operation, name, self._counts[operation, name]) for name in names]
        self.made.append(points[0])
        if fault := self.numbered.pop(len(self.made), None):
            return fault
        for (wanted, ending), fault in list(self.endings.items()):
            if wanted == operation and str(names[0]).endswith(ending):
                del self.endings[wanted, ending]
                return fault
        return next((self.faults.pop(point) for point in points if point in self.faults), None)


def subject(operation: str, params: Mapping[str, Any]) -> str:
    """What a call is about, by names that are the same in every run."""
    if operation == "RunTask":
        return jobspec(params)
    if operation in ("DescribeTasks", "StopTask"):
        return ""  # ARNs are not
    for name in (
        "Key",
        "Prefix",
        "repositoryName",
        "family",
        "familyPrefix",
        "resourceArn",
        "ResourceTypeFilters",
    ):
        if name in params:
            return str(params[name])
    if "taskDefinition" in params:
        return str(params["taskDefinition"]).rpartition("/")[2]
    return json.dumps(params.get("repositoryNames", ""))


def jobspec(params: Mapping[str, Any]) -> str:
    """The JOBSPEC of RunTask's parameters, or of a task."""
    for one in (params.get("overrides") or {}).get("containerOverrides", ()):
        for variable in one.get("environment", ()):
            if variable["name"] == "JOBSPEC":
                return str(variable["value"])
    return ""
