"""Who made a difference: the manifest, or somebody at AWS since we applied.

Job: tell the two apart by the digest tag, which covers the spec that was applied. Input: the spec found, the spec
wanted, the digest, the fields that differ. Output: the fields with `drift` set; a spec with what is to be left alone.
Must not: compare, or guess: where nobody can tell, it says so.

No record of what was applied is kept, and none is needed: each field that differs is now either as it was applied
(then the manifest changed) or as it is wanted (then live drifted), so the one mixture of both whose digest is that of
the tag was applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, Final

from reconciler import canonical, diff
from reconciler.canonical import Keyed
from reconciler.model import FieldDiff

MOST: Final = 8
"""Fields that differ of which every mixture is tried: 256 digests."""


def told_apart(
    found: Mapping[str, Any], wanted: Mapping[str, Any], digest: str | None, fields: tuple[FieldDiff, ...]
) -> tuple[FieldDiff, ...]:
    """`fields` with `drift` said where the digest tells; tags are not in it, so of them nobody can tell."""
    content = [field for field in fields if not field.path.startswith("tags")]
    if not content or digest is None or not digest.startswith(f"{canonical.VERSION}:"):
        return fields
    drifted = _drifted(found, wanted, digest, content)
    if drifted is None:
        return fields
    paths = {field.path for field in content}
    return tuple(
        replace(field, drift=field.path in drifted) if field.path in paths else field for field in fields
    )


def changed_outside(found: Mapping[str, Any], digest: str | None) -> bool:
    """Whether live is not what was applied; False where no digest of this version says what was."""
    known = digest is not None and digest.startswith(f"{canonical.VERSION}:")
    return known and canonical.digest(found) != digest


def left_alone(wanted: Mapping[str, Any], found: Mapping[str, Any], ignored: Collection[str]) -> Any:
    """`wanted` with the fields at the paths `ignored`, and all below them, as they are in `found`."""
    return _merged("", wanted, found, ignored)


def _drifted(
    found: Mapping[str, Any], wanted: Mapping[str, Any], digest: str, content: list[FieldDiff]
) -> frozenset[str] | None:
    live = {keys: value for _, keys, value in diff.leaves(found)}
    new = {keys: value for _, keys, value in diff.leaves(wanted)}
    names = {path: keys for side in (wanted, found) for path, keys, _ in diff.leaves(side)}
    could = [field.path for field in content if not diff.is_unknown(field.after)]
    if len(could) > MOST:
        could = []  # all or nothing
    everything = [field.path for field in content]
    mixtures = [()] + [some for size in range(1, len(could) + 1) for some in combinations(could, size)]
    for some in [*mixtures, tuple(everything)]:
        applied = dict(live)
        for path in some:
            keys = names[path]
            applied.pop(keys, None)
            if keys in new:
                applied[keys] = new[keys]
        if canonical.digest(_nested(applied)) == digest:
            return frozenset(some)
    return None


def _nested(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for keys, value in leaves.items():
        holder = made
        for key in keys[:-1]:
            holder = holder.setdefault(key, {})
        holder[keys[-1]] = value
    return made


def _merged(path: str, wanted: Any, found: Any, ignored: Collection[str]) -> Any:
    if not isinstance(wanted, Mapping) or not isinstance(found, Mapping):
        return wanted
    made: dict[str, Any] = {}
    for key in [*wanted, *(key for key in found if key not in wanted)]:
        named = isinstance(wanted if key in wanted else found, Keyed)
        place = f"{path}[{key}]" if named else f"{path}.{key}" if path else str(key)
        if place in ignored:
            made |= {key: found[key]} if key in found else {}
        elif key in wanted:
            made[key] = _merged(place, wanted[key], found.get(key, _like(wanted[key])), ignored)
        elif any(one.startswith((f"{place}.", f"{place}[")) for one in ignored):
            made |= {key: kept} if (kept := _merged(place, _like(found[key]), found[key], ignored)) else {}
    return Keyed(made) if isinstance(wanted, Keyed) else made


def _like(value: Any) -> Any:
    """Nothing, of the type of `value`."""
    return type(value)() if isinstance(value, Mapping) else None


def removed(fields: tuple[FieldDiff, ...]) -> Iterator[str]:
    """The paths of what is there now and will not be."""
    return (field.path for field in fields if field.after is None)
