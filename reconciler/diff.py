"""Two canonical specs in, the fields that differ out.

Job: walk both, compare leaf by leaf, name each difference by a path people understand. Input: canonical specs.
Output: FieldDiffs, sorted by path. Must not: know what means the same as what; `canonical` settles that.

Written out rather than handed to a library: a leaf is a scalar or a whole list (order matters where a list is
left in a canonical spec), an absent set is an empty one, and UNKNOWN equals nothing. An unchanged plan of
hundreds of resources then costs no import of a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.canonical import Keyed
from reconciler.model import UNKNOWN, FieldDiff


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[FieldDiff, ...]:
    """Every leaf that differs, by path: `containerDefinitions[aligner].environment[THREADS]`.

    An absent value is None. Lists are compared and shown whole. A value that is UNKNOWN differs from everything,
    from itself too. Types count: 1 is neither True nor 1.0.
    """
    old, new = dict(_leaves("", before or {})), dict(_leaves("", after))
    return tuple(
        FieldDiff(path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if path not in old or path not in new or not _same(old[path], new[path])
    )


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or (not value and path and not isinstance(value, Keyed)):
        yield path, value
        return
    for key, item in value.items():
        if isinstance(value, Keyed):
            yield from _leaves(f"{path}[{key}]", item)
        else:
            yield from _leaves(f"{path}.{key}" if path else str(key), item)


def _same(one: Any, other: Any) -> bool:
    if one is UNKNOWN or other is UNKNOWN or type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
