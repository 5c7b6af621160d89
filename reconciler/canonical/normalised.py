"""What two sides write differently and AWS reads as the same, with the rule that says so.

Job: show what canonicalising took away, for `plan -v` and `diff -v`. Input: two bodies as they were given, and the
fields that do differ. Output: Normalised, by path. Must not: decide what is the same: it tells what was decided.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.canonical import Keyed, ecr, ecs, is_leaf, string, text
from reconciler.model import FieldDiff

KNOWN: Final = ecs.KNOWN | ecr.KNOWN
_POLICIES: Final = ("Statement", "rules")
_SORTED: Final = ecs.PLAIN_SETS | {"tagPrefixList", "tagPatternList", "Action", "NotAction", "Resource"}
_WISHES: Final = ("forceDelete", "registryId")
_SIZES: Final = ("cpu", "memory")


@dataclass(frozen=True, slots=True, order=True)
class Normalised:
    """One place where `left` and `right` are written differently (None: not at all) and mean the same by `rule`."""

    path: str
    left: Any
    right: Any
    rule: str


def between(
    left: Mapping[str, Any], right: Mapping[str, Any], fields: Collection[FieldDiff]
) -> tuple[Normalised, ...]:
    """What is written differently in `left` and `right` beside `fields`, which do differ; sorted by path.

    What only Describe says of every resource (ARN, status, dates) is passed over, and so are values that are not
    known yet.
    """
    one, other = (dict(_leaves("", _opened(side))) for side in (left, right))
    told = [field.path for field in fields]
    found = []
    for path in sorted(one.keys() | other.keys()):
        a, b = one.get(path), other.get(path)
        same = type(a) is type(b) and text(a) == text(b)
        if same or is_leaf(a) or is_leaf(b) or any(_within(path, place) for place in told):
            continue
        if any(path not in side and _continued(path, side) for side in (one, other)):
            continue  # its parts are told
        found.append(Normalised(path, a, b, _rule(path, a, b)))
    return tuple(found)


def _opened(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without wishes about managing it; the policies of a repository out of their text."""
    made = {key: value for key, value in body.items() if key not in _WISHES}
    for field in ("lifecyclePolicy", "repositoryPolicy"):
        if isinstance(made.get(field), str):
            with contextlib.suppress(ValueError):
                made[field] = ecr.document(made[field])
    return made


def _within(path: str, place: str) -> bool:
    """Whether one of two paths leads through the other."""
    short, long = sorted((path, place), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")


def _continued(path: str, side: Mapping[str, Any]) -> bool:
    return any(other.startswith((f"{path}.", f"{path}[")) for other in side)


def _rule(path: str, left: Any, right: Any) -> str:
    field = path.rpartition(".")[2].partition("[")[0]
    present = left if right is None else right
    if left is None or right is None:
        return _absent(path, field, present)
    if field in _SORTED and isinstance(left, list) and isinstance(right, list):
        return "a set: its order does not count"
    if field in _SIZES and ecs.size(left, "vcpu" if field == "cpu" else "gb") == ecs.size(
        right, "vcpu" if field == "cpu" else "gb"
    ):
        return "an amount: units of 1024, or MiB"
    if string(left) == string(right):
        return "AWS keeps it as text"
    if field == "kmsKey":
        return "ECR answers a key's ARN"
    return "an IAM document: it says the same" if field[:1].isupper() else "AWS reads it as the same"


def _absent(path: str, field: str, present: Any) -> str:
    if field not in KNOWN and "olic" not in path and "[" not in path.rpartition(".")[2]:
        return "a field that bunnies does not know: left alone where the manifest does not give it"
    if present in ("", [], {}, None):
        return "empty is absent"
    if path.endswith("].name"):
        return "a variable without a value is dropped"
    if path.startswith("tags["):
        return "a tag of AWS, of bunnies or of Settings.ignoreTags"
    return "the default, said or left out"


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Leaves by the paths that a diff names them by, nothing else changed."""
    if isinstance(value, Mapping) and (value or not path):
        maps = path.rpartition(".")[2] in ecs.MAPS
        for key, item in value.items():
            name = key if maps or _in_policy(path) else _camel(str(key))
            if not path and name in ecs.DESCRIBED | ecr.DESCRIBED:
                continue
            place = (
                f"{path}[{name}]" if maps or path == "tags" or isinstance(value, Keyed) else f"{path}.{name}"
            )
            yield from _leaves(place.removeprefix("."), item)
    elif isinstance(value, list | tuple):
        yield from _items(path, list(value))
    else:
        yield path, value


def _items(path: str, items: list[Any]) -> Iterator[tuple[str, Any]]:
    field = path.rpartition(".")[2]
    whole = [item for item in items if isinstance(item, Mapping)]
    if len(whole) < len(items) or not items:
        yield path, items
        return
    seen: dict[str, int] = {}
    for item in whole:
        fields = {_camel(str(key)): content for key, content in item.items()}
        key = _key(field, fields, len(seen))
        seen[key] = seen.get(key, 0) + 1
        place = f"{path}[{key}]" if seen[key] == 1 else f"{path}[{key}#{seen[key]}]"
        pair = ecs.PAIRS.get(field, ("key", "value") if field == "tags" else None)
        if pair and fields.keys() == set(pair):
            yield place, fields[pair[1]]
        elif field in _POLICIES:
            yield from _leaves(place, dict(item))
        else:
            yield from _leaves(place, fields)


def _key(field: str, item: Mapping[str, Any], number: int) -> str:
    if field in ecs.SETS:
        return str(ecs.SETS[field](item))
    first = ecs.PAIRS[field][0] if field in ecs.PAIRS else None
    names = (first, "key", "name", "sid", "rulePriority", "filter")
    return next(
        (str(item[name]) for name in names if name is not None and item.get(name) is not None), str(number)
    )


def _in_policy(path: str) -> bool:
    return "Statement" in path or "olicy" in path


def _camel(key: str) -> str:
    return ecs.camel(key)
