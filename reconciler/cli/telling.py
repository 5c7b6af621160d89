"""What an apply says while it goes: as text for people, or as JSON, one event a line, for machines.

Input: Plan, Outcomes, words about what is going on. Output: lines on stdout, the recap the last of them; beside JSON it goes to stderr. Must not: decide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.cli import hidden
from reconciler.model import Decision, JobDecision, Outcome, Plan, Status

if TYPE_CHECKING:
    from reconciler.render.terminal import Terminal


@dataclass(slots=True)
class Telling:
    """Says what happens in an apply: as text, or as JSON, one event a line."""

    terminal: Terminal
    as_json: bool
    told: list[Outcome] = field(default_factory=list)
    planned: dict[str, tuple[str, str]] = field(default_factory=dict)
    cached: int = 0
    begun: bool = False

    def begin(self, made: Plan) -> None:
        """What is about to be done."""
        from reconciler.render import data

        # apply tells of each change before it makes it, in these words
        self.planned = {f"{one.address}: {one.action}": (one.address, one.action) for one in made.changes}
        self.cached = sum(decision.decision is Decision.CACHED for decision in made.jobs)
        self.begun = True
        self._event(data.version())
        self._event(data.planned(made))

    def progress(self, words: str) -> None:
        """What is going on now."""
        from reconciler.render import data

        self.terminal.tell(words)
        started = self.planned.get(words)
        self._event(data.start(*started) if started else data.progress(words))

    def outcome(self, outcome: Outcome) -> None:
        """What became of something."""
        from reconciler.render import data, text

        self.told.append(outcome)
        self._event(data.outcome(outcome, hidden.redactor()))
        if not self.as_json and outcome.status is not Status.UNCHANGED:
            self.terminal.out([text.outcome(outcome)])

    def end(self, made: Plan, failed: Sequence[JobDecision], code: int) -> str:
        """The jobs that need a person, then the recap, which is also returned."""
        from reconciler.render import data, text

        for decision in failed:
            self.terminal.talk(text.failure(decision))
        stale = sum(outcome.stale for outcome in self.told)
        if stale:
            words = (
                f"{stale} refused: no longer what was planned. Run plan again, and have the new one approved."
            )
            self.terminal.talk([(words, "bad")])
        counts = text.counts(self.told, self.cached)
        self._event(data.summary(counts, code))
        recap = text.recap(counts)
        if self.as_json:
            self.terminal.talk(recap)  # stdout has nothing but events
        else:
            self.terminal.out([recap])
        return "".join(words for words, _ in recap)

    def _event(self, event: dict[str, Any]) -> None:
        if self.as_json and self.begun:
            self.terminal.raw(json.dumps(hidden.redactor().data(event), ensure_ascii=False) + "\n")
