"""`foreach` → the items of an array, in order: (items | file) → distinct → matrix → where.

Job: make the elements of a Job. Input: the filled foreach mapping (`where` still a node). Output: Item….
Must not: know what a Job is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.load import files, sheet
from reconciler.load.fill import fill
from reconciler.load.tree import Node, Report
from reconciler.model import Source

MAX_ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Item:
    """One element: what `item` is, and a note that names the row of its sheet."""

    value: Any
    note: str = ""


class ForeachError(ValueError):
    """A foreach that gives no elements; `field` is where in it, `source` where in its sheet."""

    def __init__(self, what: str, *field: str | int, source: Source | None = None) -> None:
        self.field = field
        self.source = source
        super().__init__(what)


def items(
    foreach: Mapping[str, Any], where: Node | None, folder: Path, names: Mapping[str, Any], report: Report
) -> list[Item]:
    """The elements of a valid, filled foreach; a file is relative to `folder`. Raises ForeachError."""
    found = _start(foreach, folder)
    if "distinct" in foreach:
        found = _distinct(found, foreach["distinct"])
    if "matrix" in foreach:
        found = _cross(found, foreach["matrix"])
    if where is not None:
        found = [item for item in found if _kept(item, where, names, report)]
    return found


def _start(foreach: Mapping[str, Any], folder: Path) -> list[Item]:
    if ("items" in foreach) == ("file" in foreach) and not ("matrix" in foreach and "items" not in foreach):
        raise ForeachError(
            "foreach takes its elements from one of items, file or matrix alone. Write `items: [...]` or `file: sheet.csv`.",
        )
    if "file" in foreach:
        return _rows(folder / foreach["file"])
    return [Item(value) for value in foreach.get("items", [{}])]


def _rows(path: Path) -> list[Item]:
    try:
        return [
            Item(row.cells, f"{path.name} row {row.number}")
            for row in sheet.rows(files.read(path), str(path))
        ]
    except files.UnreadableError as error:
        raise ForeachError(error.told, "file") from None
    except sheet.SheetError as error:
        raise ForeachError(str(error), "file", source=Source(str(path), error.row, error.column)) from None


def _distinct(found: list[Item], columns: list[str]) -> list[Item]:
    kept: dict[str, Item] = {}
    for item in found:
        _need_mapping(item, "distinct")
        for index, column in enumerate(columns):
            if column not in item.value:
                raise ForeachError(
                    f"there is no column {column!r}. There are {', '.join(item.value)}.", "distinct", index
                )
        value = {column: item.value[column] for column in columns}
        kept.setdefault(repr(value), Item(value, item.note))
    return list(kept.values())


def _cross(found: list[Item], matrix: Mapping[str, list[Any]]) -> list[Item]:
    count = len(found)
    for choices in matrix.values():
        count *= len(choices)
    if count > MAX_ITEMS:
        raise ForeachError(
            f"this gives {count} elements, and {MAX_ITEMS} are the most. Write a smaller matrix.", "matrix"
        )
    crossed = []
    for item in found:
        _need_mapping(item, "matrix")
        for name in matrix:
            if name in item.value:
                raise ForeachError(
                    f"{name!r} is a column already. Give the values of the matrix another name.", "matrix"
                )
        for values in itertools.product(*matrix.values()):
            crossed.append(Item(item.value | dict(zip(matrix, values, strict=True)), item.note))
    return crossed


def _need_mapping(item: Item, field: str) -> None:
    if not isinstance(item.value, Mapping):
        raise ForeachError(
            f"{field} needs items that are mappings, and {item.value!r} is none. Write items: [{{name: value}}].",
            "items",
        )


def _kept(item: Item, where: Node, names: Mapping[str, Any], report: Report) -> bool:
    told: list[str] = []

    def tell(source: Source, what: str) -> None:
        told.append(what)
        report(Source(source.file, source.line, source.column, item.note), what)

    answer = fill(where, {**names, "item": item.value}, tell)
    if not told and not isinstance(answer, bool):
        tell(
            where.source,
            f"where gives {answer!r}, and must give true or false. Write a comparison: where: \"{{{{ item.lane == 'L1' }}}}\".",
        )
    return answer is True
