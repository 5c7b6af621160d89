"""Several processes on one account, one call at a time, in an order that a seed gives.

Job: let each process in only when it has the baton; hand it on at random. Input: a seed, processes as functions.
Output: the order of calls, by process. Must not: look at what a call does.

A process may call from several threads; which of them goes first is theirs to race for, as in life. The baton is
handed on only when every process that has not ended stands at a call, so that the seed alone orders the processes.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

PATIENCE: Final = 60.0  # seconds of the machine's own time, after which a process is thought to hang


class Baton:
    """The gate of an account that processes share: `account.gate = Baton(seed)`."""

    def __init__(self, seed: int) -> None:
        self.order: list[str] = []
        self._random = random.Random(seed)
        # short turns, or long runs of one process with another's call in between
        self._stay = self._random.choice((0.0, 0.5, 0.9))
        self._state = threading.Condition()
        self._live: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._turn: str | None = None
        self._inside = False

    def enter(self, name: str) -> None:
        """Waits for the baton; a process that is none of `race`'s passes."""
        with self._state:
            if name not in self._live:
                return
            self._waiting[name] += 1
            self._hand_on()
            if not self._state.wait_for(lambda: self._turn == name and not self._inside, PATIENCE):
                raise AssertionError(f"{name} never got the baton; it is with {self._turn}")
            self._waiting[name] -= 1
            self._inside = True

    def leave(self, name: str) -> None:
        """The call is over."""
        with self._state:
            if name in self._live:
                self.order.append(name)
                self._inside, self._turn = False, None
                self._hand_on()

    def race(self, processes: Mapping[str, Callable[[], None]]) -> dict[str, BaseException]:
        """Runs them all, to their ends; what each one raised, if it did."""
        raised: dict[str, BaseException] = {}
        self._live = set(processes)

        def run(name: str) -> None:
            try:
                processes[name]()
            except BaseException as error:  # noqa: BLE001 - a Crash too: the test judges
                raised[name] = error
            finally:
                with self._state:
                    self._live.discard(name)
                    self._hand_on()

        threads = [threading.Thread(target=run, args=(name,), name=name) for name in processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return raised

    def _hand_on(self) -> None:
        if self._turn is not None or not self._live or not all(self._waiting[name] for name in self._live):
            return
        last = self.order[-1] if self.order else None
        stays = last in self._live and self._random.random() < self._stay
        self._turn = last if stays else self._random.choice(sorted(self._live))
        self._state.notify_all()
