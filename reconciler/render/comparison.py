"""Fields that differ, and what is only written differently, as lines.

Input: FieldDiffs, Normalised. Output: Lines. Must not: know a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.canonical.normalised import Normalised
from reconciler.model import FieldDiff
from reconciler.render.text import Line, value


def fields(found: Iterable[FieldDiff], indent: str = "") -> Iterator[Line]:
    """`PATH: BEFORE → AFTER`, one a line."""
    for field in found:
        before, after = (value(side) for side in (field.before, field.after))
        yield [(f"{indent}{field.path}: ", ""), (before, "remove"), (" → ", ""), (after, "add")]


def normalised(found: Iterable[Normalised], indent: str = "") -> Iterator[Line]:
    """`= PATH: LEFT, RIGHT  (RULE)`, one a line."""
    for one in found:
        words = f"{indent}= {one.path}: {value(one.left)}, {value(one.right)}  ({one.rule})"
        yield [(words, "dim")]
