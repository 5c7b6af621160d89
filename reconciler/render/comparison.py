"""Fields that differ, and what is only written differently, as lines.

Input: FieldDiffs, Normalised. Output: Lines. Must not: know a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.canonical.normalised import Normalised
from reconciler.model import FieldDiff
from reconciler.render.data import OPEN, plain
from reconciler.render.text import Line, value


def fields(found: Iterable[FieldDiff], indent: str = "") -> Iterator[Line]:
    """`PATH: BEFORE → AFTER`, one a line."""
    for field in found:
        before, after = (value(OPEN.data(plain(side), field.path)) for side in (field.before, field.after))
        yield [(f"{indent}{field.path}: ", ""), (before, "remove"), (" → ", ""), (after, "add")]


def normalised(found: Iterable[Normalised], indent: str = "") -> Iterator[Line]:
    """`= PATH: LEFT, RIGHT  (RULE)`, one a line."""
    for one in found:
        left, right = (value(OPEN.data(plain(side), one.path)) for side in (one.left, one.right))
        words = f"{indent}= {one.path}: {left}, {right}  ({one.rule})"
        yield [(words, "dim")]
