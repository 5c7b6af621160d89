"""What the checks of a task definition share.

Input: parts of a body as it is written. Output: their items with places, problems, words. Must not: know a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.canonical import ecs

Path = tuple[str | int, ...]
Problems = Iterator[tuple[Path, str]]


def items(holder: Mapping[str, Any], field: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The structures in a list, with their places; whatever else is there is the schema's business."""
    for index, item in enumerate(holder.get(field) or ()):
        if isinstance(item, Mapping):
            yield index, item


def twice(holder: Mapping[str, Any], field: str, key: str, what: str) -> Problems:
    """Where two items have one key."""
    seen = set()
    for index, item in items(holder, field):
        name = item.get(key)
        if name is not None and name in seen:
            yield (field, index, key), f"there is another {what} {name}. Give it another {key}"
        seen.add(name)


def within(holder: Mapping[str, Any], at: Path, field: str, least: int, most: int) -> Problems:
    """Where a number is not in its bounds, both included."""
    value = holder.get(field)
    if isinstance(value, int) and not least <= value <= most:
        yield (*at, field), f"{value} is out of range. Write {least} to {most}"


def units(body: Mapping[str, Any], field: str) -> int | None:
    """CPU units or MiB of the task; None where that cannot be read."""
    amount = ecs.size(body.get(field), "vcpu" if field == "cpu" else "gb")
    return int(amount) if isinstance(amount, str) and amount.isdecimal() else None


def reserved(container: Mapping[str, Any], field: str) -> int:
    """What a container takes of the task's: its reservation, else its limit."""
    amount = container.get("memoryReservation") if field == "memory" else None
    amount = amount or container.get(field) or 0
    return amount if isinstance(amount, int) else 0


def unknown(what: str, name: Any, known: Any) -> str:
    """What is said of a name that nothing has."""
    names = ", ".join(sorted(map(str, known))) or "none"
    return f"there is no {what} {name} in this task definition. It has {names}"
