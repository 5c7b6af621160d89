"""Time as a run sees it: now, sleeping, and the length of a wait before another try.

Job: be the one source of time, so that tests pass in their own. Input: none. Output: moments and waits.
Must not: be read by a stage that decides; those are handed a moment.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_FIRST: Final = 0.25  # seconds, the longest wait before the second try; doubled for each further one
_LONGEST: Final = 20.0


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` gives a moment with a time zone, `sleep` takes seconds, `chance` gives a number in [0, 1)."""

    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    chance: Callable[[], float]

    def wait(self, tried: int) -> None:
        """Sleeps before another try, `tried` having failed: full jitter below an exponential bound."""
        self.sleep(self.chance() * min(_LONGEST, _FIRST * 2**tried))

    def stamp(self) -> str:
        """Now, as the documents of the ledger write it: `2026-01-31T12:00:00.000Z`."""
        return f"{self.now().astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def moment(stamp: str) -> datetime:
    """The moment that a stamp of a document means. Raises ValueError."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00"))


def system() -> Clock:
    """The machine's own time."""
    return Clock(now=lambda: datetime.now(UTC), sleep=time.sleep, chance=random.random)
