"""YAML text → trees of Node, one per document, every node with its place.

Job: read YAML 1.2 (core schema) in one pass over ruamel's events, and refuse what would surprise: duplicate
keys, numbers with leading zeros, aliases that explode, unknown tags. Input: text. Output: Node trees; mistakes
go to `report`. Must not: know kinds, fill templates, open files.

Not ruamel's own composer: it resolves tags that we do not want (timestamps, `1_000`) and takes twice the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from reconciler.model import Source

MAX_DEPTH = 64
MAX_ALIASED = 50_000  # nodes that aliases of one file may add: "billion laughs" has 10**9

Report = Callable[[Source, str], None]


@dataclass(slots=True)
class Entry:
    """One `key: value` of a mapping; `source` is the place of the key."""

    source: Source
    node: Node


@dataclass(slots=True)
class Node:
    """A scalar (str, int, float, bool, None), a list of Node, or a dict of Entry; `size` counts the nodes below.

    `raw` is set by the tag `!raw`, for everything below too: no `{{ }}`, no `${…}`.
    """

    value: Any
    source: Source
    raw: bool = False
    size: int = 1


class _RefusedError(Exception):
    """A document cannot be read on; the rest of the file is lost."""

    def __init__(self, source: Source, what: str) -> None:
        self.source = source
        self.what = what
        super().__init__(what)


def parse(text: str, file: str, report: Report) -> list[Node]:
    """The documents of `text` that are not empty, those before a syntax error too; `file` is for places."""
    builder = _Builder(file, report)
    documents: list[Node] = []
    try:
        documents.extend(builder.documents(YAML(typ="safe", pure=True).parse(text)))
    except _RefusedError as refused:
        report(refused.source, refused.what)
    except ReaderError as error:
        line, column = _place(text, error.position)
        report(
            Source(file, line, column),
            f"the character U+{_code(error.character):04X} is not allowed in YAML. Delete it, or write it as an escape in double quotes.",
        )
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        source = Source(file, mark.line + 1, mark.column + 1) if mark else Source(file, 1, 1)
        report(source, _syntax(str(error.problem or error.context or "not YAML"), text, source))
    except (YAMLError, ValueError) as error:
        report(Source(file, 1, 1), f"this is not YAML: {str(error).splitlines()[0]}.")
    return documents


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


_SAYINGS = (
    (
        "mapping values are not allowed",
        "a `:` stands where none may. Put the value in quotes, or check the indentation.",
    ),
    (
        "could not find expected ':'",
        "a key without its `:`. Write `key: value`, or put a long text in quotes.",
    ),
    ("did not find expected '-'", "this does not fit the list it stands in. Check the indentation."),
    (
        "expected <block end>",
        "this does not fit the list or mapping it stands in. Check the indentation, and that brackets and quotes are closed.",
    ),
    ("end of stream", "a quote is never closed. Close it."),
    ("expected ',' or", "a bracket is never closed, or a comma is missing. Close it."),
)
"""What ruamel says of the mistakes that people make most, and what we say."""


def _syntax(problem: str, text: str, source: Source) -> str:
    lines = text.splitlines()
    line = lines[source.line - 1] if source.line <= len(lines) else ""
    if "\\t" in problem or line[: source.column].endswith("\t") or re.match(r"\s*\t", line):
        return "a tab cannot indent YAML. Write spaces."
    if "cannot start any token" in problem:
        return f"{problem.removeprefix('found ').split(' that ')[0]} cannot begin a value. Put the value in quotes."
    known = next((ours for theirs, ours in _SAYINGS if theirs in problem), None)
    return known or f"this is not YAML: {problem}. Check the indentation, quotes and brackets."


class _Builder:
    """Builds nodes from the events of one file."""

    def __init__(self, file: str, report: Report) -> None:
        self.file = file
        self.report = report
        self.anchors: dict[str, Node | None] = {}
        self.aliased = 0

    def documents(self, stream: Iterator[Any]) -> Iterator[Node]:
        for event in stream:
            if isinstance(event, events.DocumentStartEvent):
                self.anchors = {}
                first = next(stream)
                node = self.node(first, stream, 0, False)
                empty = (
                    isinstance(first, events.ScalarEvent) and not first.value and first.style in (None, "")
                )
                if not empty:
                    yield node

    def source(self, event: Any) -> Source:
        return Source(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def node(self, event: Any, stream: Iterator[Any], depth: int, raw: bool) -> Node:
        if isinstance(event, events.AliasEvent):
            return self.alias(event)
        if depth > MAX_DEPTH:
            raise _RefusedError(self.source(event), f"nested more than {MAX_DEPTH} deep. Write it flatter.")
        tag = str(event.ctag) if event.ctag else ""
        raw = raw or tag == "!raw"
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        if isinstance(event, events.ScalarEvent):
            node = Node(self.scalar(event, tag), self.source(event), raw)
        elif isinstance(event, events.SequenceStartEvent):
            node = self.sequence(event, stream, depth, raw)
        else:
            node = self.mapping(event, stream, depth, raw)
        if not isinstance(event, events.ScalarEvent) and tag not in ("", "!", "!raw", _SEQ, _MAP):
            self.unknown_tag(event, tag)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, event: Any) -> Node:
        if event.anchor not in self.anchors:
            raise _RefusedError(
                self.source(event),
                f"*{event.anchor} has no &{event.anchor} before it in this document. Put a text that begins with * in quotes.",
            )
        node = self.anchors[event.anchor]
        if node is None:
            raise _RefusedError(
                self.source(event), f"*{event.anchor} stands inside itself. Write the value out."
            )
        self.aliased += node.size
        if self.aliased > MAX_ALIASED:
            raise _RefusedError(
                self.source(event),
                f"the aliases of this file stand for more than {MAX_ALIASED} values. Write fewer aliases of aliases.",
            )
        return node

    def sequence(self, start: Any, stream: Iterator[Any], depth: int, raw: bool) -> Node:
        items: list[Node] = []
        size = 1
        for event in stream:
            if isinstance(event, events.SequenceEndEvent):
                break
            item = self.node(event, stream, depth + 1, raw)
            size += item.size
            items.append(item)
        return Node(items, self.source(start), raw, size)

    def mapping(self, start: Any, stream: Iterator[Any], depth: int, raw: bool) -> Node:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        size = 1
        for event in stream:
            if isinstance(event, events.MappingEndEvent):
                break
            place = self.source(event)
            key, merge = self.key(event, stream, depth)
            value = self.node(next(stream), stream, depth + 1, raw)
            size += 1 + value.size
            if merge:
                merged.extend(self.merge(value))
            elif key in entries:
                first = entries[key].source
                self.report(
                    place, f"the key {key!r} stands here twice, first in line {first.line}. Keep one."
                )
            else:
                entries[key] = Entry(place, value)
        for node in merged:
            for key, entry in node.value.items():
                if entries.setdefault(key, entry) is entry:
                    size += 1 + entry.node.size
        return Node(entries, self.source(start), raw, size)

    def key(self, event: Any, stream: Iterator[Any], depth: int) -> tuple[str, bool]:
        """The key's text as it is written (`on`, `1` and `null` are words here), and whether it is `<<`."""
        if isinstance(event, events.AliasEvent):
            node = self.alias(event)
            if isinstance(node.value, str):
                return node.value, False
        elif isinstance(event, events.ScalarEvent):
            if event.anchor is not None:
                self.anchors[event.anchor] = Node(event.value, self.source(event))
            return self.text(event), event.value == "<<" and event.style in (None, "")
        else:
            self.node(event, stream, depth + 1, False)
        raise _RefusedError(
            self.source(event),
            'a list or a mapping cannot be a key. If a template is meant, put it in quotes: "{{ … }}".',
        )

    def merge(self, value: Node) -> list[Node]:
        nodes = value.value if isinstance(value.value, list) else [value]
        for node in nodes:
            if not isinstance(node.value, dict):
                self.report(
                    value.source,
                    "`<<` takes a mapping or a list of mappings. Write `<<: *name` of a mapping.",
                )
                return []
        return nodes

    def scalar(self, event: Any, tag: str) -> Any:
        text = self.text(event)
        if tag in ("", "!raw"):
            return text if event.style not in (None, "") else self.plain(event, text)
        if tag in ("!", _STR):
            return text
        value = plain_scalar(text)
        kinds = {_INT: int, _FLOAT: (int, float), _BOOL: bool, _NULL: type(None)}
        if tag not in kinds:
            self.unknown_tag(event, tag)
        elif not isinstance(value, kinds[tag]) or (isinstance(value, bool) and tag != _BOOL):  # type: ignore[arg-type]
            self.report(self.source(event), f"{text!r} is not what its tag says. Leave the tag out.")
        return value

    def text(self, event: Any) -> str:
        """The scalar's text; JSON's pairs of surrogates (\\ud83d\\udc30) become the character that they stand for."""
        text: str = event.value
        if event.style != '"' or not _SURROGATE.search(text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.report(
                self.source(event), "half of a surrogate pair is no character. Write the character itself."
            )
            return ""

    def plain(self, event: Any, text: str) -> Any:
        value = plain_scalar(text)
        if isinstance(value, int) and not isinstance(value, bool) and _LEADING_ZERO.fullmatch(text):
            # YAML 1.2 reads 755, YAML 1.1 reads 493, and an account id loses its zero
            self.report(
                self.source(event),
                f'{text} is a number with a leading zero. Write "{text}" in quotes if text is meant.',
            )
        return value

    def unknown_tag(self, event: Any, tag: str) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        self.report(
            self.source(event),
            f"the tag {shown} is not known. Known is !raw; put a text that begins with ! in quotes.",
        )


_PREFIX = "tag:yaml.org,2002:"
_STR, _INT, _FLOAT, _BOOL, _NULL, _SEQ, _MAP = (
    _PREFIX + name for name in ("str", "int", "float", "bool", "null", "seq", "map")
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS: dict[str, Any] = {"": None, "~": None} | {
    form: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for form in (word, word.capitalize(), word.upper())
}


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar in YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        # int() refuses more than 4300 digits (CVE-2020-10735): that many are no number anyone means
        return int(text) if len(text) <= 40 else text
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _REAL.fullmatch(text):
        return float(
            text.replace(".inf", "inf")
            .replace(".Inf", "inf")
            .replace(".INF", "inf")
            .replace(".nan", "nan")
            .replace(".NaN", "nan")
            .replace(".NAN", "nan")
        )
    return text


def positions(node: Node) -> dict[tuple[str | int, ...], Source]:
    """Every path below `node` → where it stands: a field where its key does, an item of a list where it begins."""
    places: dict[tuple[str | int, ...], Source] = {}
    stack: list[tuple[tuple[str | int, ...], Node]] = [((), node)]
    while stack:
        path, current = stack.pop()
        if isinstance(current.value, dict):
            for key, entry in current.value.items():
                places[*path, key] = entry.source
                stack.append(((*path, key), entry.node))
        elif isinstance(current.value, list):
            for index, item in enumerate(current.value):
                places[*path, index] = item.source
                stack.append(((*path, index), item))
    return places
