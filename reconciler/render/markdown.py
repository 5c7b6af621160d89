"""A plan as Markdown for a pull request's comment: what matters first, the rest to be unfolded.

Job: one sticky comment: its first line is a marker that names owner and digest, so that the next run finds and
replaces it. Input: Plan. Output: text of at most LARGEST characters, cut by section, the summary always whole.
Must not: know GitHub's API, or let what stands in a manifest become Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.model import Action, Outcome, Plan, Resource, Status
from reconciler.redact import Redactor
from reconciler.render import text
from reconciler.render.data import OPEN

LARGEST: Final = 65_000
"""Characters; GitHub takes 65,536 in a comment: https://docs.github.com/en/rest/issues/comments"""

_TITLES: Final = (
    (Action.CONFLICT, "In conflict"),
    (Action.DELETE, "To delete"),
    (Action.ADOPT, "To take over"),
    (Action.CREATE, "To create"),
    (Action.REVISE, "To revise"),
    (Action.UPDATE, "To update"),
)


@dataclass(frozen=True, slots=True)
class _Section:
    """A part that is unfolded, and may be cut; `open` for what must not be overlooked."""

    title: str
    lines: Sequence[str]
    open: bool = False


def plan(found: Plan, unwanted: Sequence[Resource] = (), redactor: Redactor = OPEN) -> str:
    """The comment. `unwanted` as in text.plan."""
    head = [
        f"<!-- bunnies plan owner={found.owner} digest={found.digest} -->",
        f"### bunnies plan: {found.owner}",
        "",
        f"**{_plain(text.total(found))}**",
        "",
    ]
    if not found.complete:
        head += [
            "> This plan is limited: what lies outside of `--limit` or inside of `--exclude` is not in it.",
            "",
        ]
    tail = ["", f"`{found.digest}` · `bunnies apply --expect {found.digest}` does this, and nothing else."]
    room = LARGEST - len(redactor.text("\n".join([*head, *tail]))) - 2
    parts = list(_fitted(list(_sections(found, unwanted, redactor)), room))
    return redactor.text("\n".join([*head, *parts, *tail]) + "\n")


def apply(found: Plan, told: Sequence[Outcome], last: str, redactor: Redactor = OPEN) -> str:
    """What became of a plan. `last` is the recap; what failed stands open, all else is folded."""
    head = [
        f"<!-- bunnies apply owner={found.owner} digest={found.digest} -->",
        f"### bunnies apply: {found.owner}",
        "",
        f"**{_plain(last)}**",
        "",
    ]
    bad = [one for one in told if one.status in (Status.FAILED, Status.SKIPPED)]
    good = [one for one in told if one.status not in (Status.FAILED, Status.SKIPPED, Status.UNCHANGED)]
    sections = [
        _Section(f"{title}: {len(outcomes)}", _lines(map(text.outcome, outcomes)), open=outcomes is bad)
        for title, outcomes in (("Failed or skipped", bad), ("Done", good))
        if outcomes
    ]
    room = LARGEST - len(redactor.text("\n".join(head))) - 2
    return redactor.text("\n".join([*head, *_fitted(sections, room)]) + "\n")


def _sections(found: Plan, unwanted: Sequence[Resource], redactor: Redactor) -> Iterator[_Section]:
    for action, title in _TITLES:
        changes = tuple(change for change in found.changes if change.action is action)
        if changes:
            lines = _lines(text.changes(changes, redactor=redactor))
            urgent = action in (Action.CONFLICT, Action.DELETE)
            yield _Section(f"{title}: {len(changes)}", lines, open=urgent)
    started = [one for one in found.jobs if one.decision in ("RUN", "RETRY", "FAILED", "BLOCKED", "RUNNING")]
    if started:
        yield _Section(f"Jobs: {len(started)}", _lines(text.jobs(started)))
    if found.copies:
        yield _Section(
            f"To publish: {len(found.copies)}",
            [f"+ {copy.target}  of {copy.address}" for copy in found.copies],
        )
    if unwanted:
        yield _Section(f"No manifest wants them: {len(unwanted)}", [f"? {one.address}" for one in unwanted])


def _lines(lines: Iterable[text.Line]) -> list[str]:
    return ["".join(words for words, _ in line) for line in lines]


def _fitted(sections: Sequence[_Section], room: int) -> Iterator[str]:
    """Each section whole while there is room; then what fits of one, and of the others their titles."""
    frames = [len(_framed(section, [])) + 60 for section in sections]
    for number, section in enumerate(sections):
        room_here = room - sum(frames[number:])
        kept = []
        for line in section.lines:
            room_here -= len(line) + 1
            if room_here < 0:
                break
            kept.append(line)
        left = len(section.lines) - len(kept)
        block = _framed(section, [*kept, *([f"… and {left} more lines: see the job's log"] if left else [])])
        room -= len(block) + 1
        yield block


def _framed(section: _Section, lines: Sequence[str]) -> str:
    body = "\n".join(lines)
    longest = max((len(ticks) for ticks in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)  # a fence that nothing in it can close
    opened = " open" if section.open else ""
    return f"<details{opened}><summary>{_plain(section.title)}</summary>\n\n{fence}diff\n{body}\n{fence}\n\n</details>"


def _plain(words: str) -> str:
    """Words that stay words: no HTML, no Markdown."""
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~@#])", r"\\\1", words)
