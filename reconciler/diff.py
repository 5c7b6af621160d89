"""Two canonical specs in, the fields that differ out.

Job: compare leaf by leaf with deepdiff, and name each difference by a path people understand. Input: canonical
specs. Output: FieldDiffs, sorted by path. Must not: know what means the same as what; `canonical` settles that.

A leaf is a scalar or a whole list: where a list is left in a canonical spec its order matters, and it is shown
whole. deepdiff takes 0.25 s to import: it is when two specs differ, not when one is new or both are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.canonical import Keyed, text
from reconciler.model import UNKNOWN, FieldDiff


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[FieldDiff, ...]:
    """Every leaf that differs, by path: `containerDefinitions[aligner].environment[THREADS]`.

    An absent value is None. Lists are compared and shown whole. A value that is UNKNOWN differs from everything,
    from itself too. Types count: 1 is neither True nor 1.0.
    """
    old, new = ({path: value for path, _, value in leaves(side)} for side in (before or {}, after))
    unknown = {path for path, value in new.items() if is_unknown(value)}
    if text(old) == text(new) and not unknown:
        return ()
    return tuple(
        FieldDiff(path, old.get(path), new.get(path)) for path in sorted(_differing(old, new) | unknown)
    )


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    if not old or not new:
        return {*old, *new}  # all of it comes or goes
    from deepdiff import DeepDiff

    # A list goes in as its text: inside of lists deepdiff takes 1, 1.0 and True for one another.
    one, other = (
        {path: text(v) if isinstance(v, list) else v for path, v in side.items()} for side in (old, new)
    )
    found = DeepDiff(one, other, view="tree", threshold_to_diff_deeper=0)
    return {level.path(output_format="list")[0] for levels in found.values() for level in levels}


def is_unknown(value: Any) -> bool:
    """Whether a value, or a part of a list, is known only after apply."""
    return value is UNKNOWN or (isinstance(value, list) and any(map(is_unknown, value)))


def leaves(spec: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every leaf of a canonical spec: the path for people, the keys that lead there, the value."""
    return _leaves("", (), spec)


def _leaves(path: str, keys: tuple[str, ...], value: Any) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    if not isinstance(value, Mapping) or (not value and path and not isinstance(value, Keyed)):
        yield path, keys, value
        return
    for key, item in value.items():
        if isinstance(value, Keyed):
            yield from _leaves(f"{path}[{key}]", (*keys, str(key)), item)
        else:
            yield from _leaves(f"{path}.{key}" if path else str(key), (*keys, str(key)), item)
