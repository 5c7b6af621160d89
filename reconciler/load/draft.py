"""What the stages of loading hand on: mistakes collected, documents as read, drafts of manifests.

Job: name the nouns of this package. Must not: read, fill or check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.errors import ManifestError, Problem
from reconciler.load.tree import Node, positions
from reconciler.model import Source

Path = tuple[str | int, ...]
KINDS = ("Settings", "Repository", "Image", "TaskDefinition", "Job")


_MAPPINGS = ("inputs", "outputs", "environment", "tags")


class Verbatim(str):
    """Text of `!raw` or of a script: no `${…}` in it is a reference, no `$${` an escape."""

    __slots__ = ()


class Problems:
    """Every mistake of a run. One that all elements of an array share is kept once."""

    def __init__(self) -> None:
        self._problems: dict[tuple[str, int, int, str], Problem] = {}
        self._files: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._problems)

    def order(self, files: Iterator[str]) -> None:
        """Tell the order of the files, which is the order of the problems."""
        for file in files:
            self._files.setdefault(file, len(self._files))

    def add(self, source: Source, address: str, what: str) -> None:
        """Keep a mistake; `what` says what is wrong and what to write instead."""
        key = (source.file, source.line, source.column, what)
        self._problems.setdefault(key, Problem(source, address, what))

    def at(self, source: Source, what: str) -> None:
        """Keep a mistake that stands before any address is known."""
        self.add(source, "", what)

    def raise_any(self) -> None:
        """Raise ManifestError with all of them, in file order, where there is one."""
        if self._problems:
            raise ManifestError(sorted(self._problems.values(), key=self._place))

    def _place(self, problem: Problem) -> tuple[int, str, int, int]:
        source = problem.source
        if source is None:  # pragma: no cover - add() always has one
            return (-1, "", 0, 0)
        return (self._files.get(source.file, len(self._files)), source.file, source.line, source.column)


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping with a known `kind`, nothing filled in; `source` is its first line."""

    kind: str
    node: Node
    source: Source
    name: str | None
    places: Mapping[Path, Source]

    @classmethod
    def of(cls, kind: str, node: Node) -> Document:
        """The document that a mapping is."""
        entry = node.value.get("name")
        name = entry.node.value if entry is not None and isinstance(entry.node.value, str) else None
        return cls(kind, node, node.source, name, positions(node))

    @property
    def address(self) -> str:
        """`kind/NAME` as far as it can be told before filling in; for messages."""
        return f"{self.kind.lower()}/{self.name}" if self.name else self.kind.lower()

    def at(self, *path: str | int) -> Source:
        """Where `path` stands, or the nearest part of it that has a place."""
        return _nearest(self.places, path, self.source)


def _nearest(places: Mapping[Path, Source], path: Path, start: Source) -> Source:
    return next((places[path[:end]] for end in range(len(path), 0, -1) if path[:end] in places), start)


class Places(Mapping[Path, Source]):
    """The places of a document's fields, seen from one element of its array.

    `note` names the element's row in its sheet; it is added, with the columns, where the field was made of cells.
    """

    __slots__ = ("_base", "_columns", "_note")

    def __init__(self, base: Mapping[Path, Source], columns: Mapping[Path, str], note: str) -> None:
        self._base = base
        self._columns = columns
        self._note = note

    def __getitem__(self, path: Path) -> Source:
        source = self._base[path]
        if not self._note or path not in self._columns:
            return source
        return Source(source.file, source.line, source.column, f"{self._note}, column {self._columns[path]}")

    def __iter__(self) -> Iterator[Path]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)


_COLUMN = re.compile(r"""\bitem(?:\.([A-Za-z_]\w*)|\[\s*["']([^"']+)["']\s*\])""")


def columns(node: Node) -> dict[Path, str]:
    """Every path below `node` whose text speaks of `item` → the names of the columns, as `r1` or `sample, lane`."""
    found: dict[Path, dict[str, None]] = {}
    stack: list[tuple[Path, Node]] = [((), node)]
    while stack:
        path, current = stack.pop()
        if isinstance(current.value, dict):
            stack.extend(((*path, key), entry.node) for key, entry in current.value.items())
        elif isinstance(current.value, list):
            stack.extend(((*path, index), item) for index, item in enumerate(current.value))
        elif isinstance(current.value, str):
            for match in _COLUMN.finditer(current.value):
                for end in range(1, len(path) + 1):
                    found.setdefault(path[:end], {})[match[1] or match[2]] = None
    return {path: ", ".join(names) for path, names in found.items()}


@dataclass(slots=True)
class Draft:
    """A manifest on its way: filled in, but `${…}` still text. `body` is brought into its normal form in place.

    `item` is what `item` was for this element. `left_out` are the fields, or entries of fields that are mappings, that
    were wrong and taken out, so that the rest can be checked and nobody complains twice. `ready` says that what is
    left is in its normal form.
    """

    kind: str
    name: str
    key: str | None
    body: dict[str, Any]
    source: Source
    positions: Mapping[Path, Source]
    item: Any = None
    left_out: set[Path] = field(default_factory=set)
    ready: bool = False

    @property
    def address(self) -> str:
        """`kind/NAME` or `kind/NAME/KEY`."""
        base = f"{self.kind.lower()}/{self.name}"
        return base if self.key is None else f"{base}/{self.key}"

    def at(self, *path: str | int) -> Source:
        """Where `path` stands, or the nearest part of it that has a place."""
        return _nearest(self.positions, path, self.source)

    def wrong(self, problems: Problems, what: str, *path: str | int) -> None:
        """Keep a mistake at `path`."""
        problems.add(self.at(*path), self.address, what)

    def leave_out(self, *path: str | int) -> None:
        """Take the field out that `path` leads into, or only its entry where the field is a mapping of ours."""
        field_, *rest = path
        entries = self.body.get(str(field_))
        if rest and field_ in _MAPPINGS and isinstance(entries, dict):
            entries.pop(rest[0], None)
            self.left_out.add((field_, rest[0]))
        else:
            self.body.pop(str(field_), None)
            self.left_out.add((field_,))
