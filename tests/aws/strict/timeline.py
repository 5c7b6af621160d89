"""The one clock of a strict AWS: it moves when somebody sleeps or a test says so.

Job: run what is due in the order of its moment. Input: seconds. Output: calls. Must not: read the machine's time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Timeline:
    """`now`, and what will happen."""

    now: datetime = START
    _due: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    _count: itertools.count[int] = field(default_factory=itertools.count)

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """`event` happens so many seconds from now."""
        heapq.heappush(self._due, (self.now + timedelta(seconds=seconds), next(self._count), event))

    def advance(self, seconds: float) -> None:
        """Time passes, and what falls due on the way happens at its own moment."""
        end = self.now + timedelta(seconds=seconds)
        while self._due and self._due[0][0] <= end:
            self.now, _, event = heapq.heappop(self._due)
            event()
        self.now = end

    @property
    def busy(self) -> bool:
        """Whether anything is still to happen."""
        return bool(self._due)
