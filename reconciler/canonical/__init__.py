"""One canonical form per resource, made by the same code from a manifest and from what AWS describes.

Job: turn everything that means the same into the same data, so that the diff can be dumb. Input: a body as a
manifest has it, or as an API answers it. Output: plain data with our Keyed, and Ref and UNKNOWN untouched.
Must not: touch the world, or refuse anything (validation does); a field that it does not know is carried along.

Here: what the forms share. ecr and ecs have one function per resource; fargate checks a task definition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconciler.model import UNKNOWN, Ref

VERSION: Final = "v1"
"""Of the canonical forms: a form that changes takes a new one, for digests are stored in tags."""


class Keyed(dict[str, Any]):
    """A set of things by their natural key, or a map of values: a path names its items as `[KEY]`, not `.field`.

    Keys are sorted when it is made, so that equal sets are printed and hashed alike.
    """

    __slots__ = ()

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(sorted(dict(items).items()))


def digest(spec: Mapping[str, Any]) -> str:
    """`v1:` and 64 hex digits over a canonical spec without its tags, which change without a new revision."""
    content = {key: value for key, value in spec.items() if key != "tags"}
    return f"{VERSION}:{hashlib.sha256(text(content).encode()).hexdigest()}"


def text(value: Any) -> str:
    """Canonical JSON: keys sorted, no white space; a Ref as people write it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def is_leaf(value: Any) -> bool:
    """Whether `value` stands for one that is not known yet, and must be passed through."""
    return isinstance(value, Ref) or value is UNKNOWN


def keyed(entries: Iterable[tuple[str, Any]]) -> Keyed:
    """Keyed of these, whatever their order; of entries with one key the second becomes `KEY#2`, equal ones merge."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in entries:
        found.setdefault(key, {})[text(value)] = value
    return Keyed(
        (key if number == 1 else f"{key}#{number}", same[order])
        for key, same in found.items()
        for number, order in enumerate(sorted(same), 1)
    )


def string(value: Any) -> Any:
    """A scalar as the API's strings have it: booleans as `true` and `false`, numbers as JSON writes them."""
    return value if isinstance(value, str) or value is None or is_leaf(value) else text(value)


def tags(value: Any, ignored: Iterable[str] = ()) -> Keyed:
    """Tags by key, of a mapping or of `[{key, value}]` in either case; without `aws:*`, ours and `ignored`.

    `ignored` are keys, or prefixes of keys that end in `*`.
    """
    if value is None or isinstance(value, Mapping):
        pairs = dict(value or {})
    else:
        lowered = [{str(k).lower(): v for k, v in item.items()} for item in value if item]
        pairs = {item.get("key"): item.get("value") for item in lowered}
    skipped = {key for key in ignored if not key.endswith("*")}
    passed = ("aws:", "bunnies:", *(key[:-1] for key in ignored if key.endswith("*")))
    return Keyed(
        (str(key), string(item) if item is not None else "")
        for key, item in pairs.items()
        if key is not None and key not in skipped and not str(key).startswith(passed)
    )


def without_strangers(found: Mapping[str, Any], wanted: Mapping[str, Any], known: frozenset[str]) -> Any:
    """`found` without the fields that our model does not know and `wanted` does not give: they are left alone."""
    kept = {}
    for key, value in found.items():
        if isinstance(found, Keyed) or key in known or key in wanted:
            asked = wanted.get(key)
            beside = asked if isinstance(asked, Mapping) else {}
            kept[key] = without_strangers(value, beside, known) if isinstance(value, Mapping) else value
    return Keyed(kept) if isinstance(found, Keyed) else kept
