"""A Document → its Drafts: filled in, one for each element of an array, checked against the schema.

Job: `{{ }}` and foreach. Input: Document, names. Output: Draft…, in normal form; mistakes kept. Must not: resolve `${…}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler import schema
from reconciler.load import foreach, job, normal, tree
from reconciler.load.draft import Document, Draft, Places, Problems, Verbatim, columns
from reconciler.load.fill import FAILED, fill
from reconciler.load.tree import Node
from reconciler.model import Source
from reconciler.schema import words

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,99}")
_HOW_KEY = "a letter or digit, then letters, digits and . _ + = -, 100 at most"
_NORMAL: Mapping[str, Callable[[Draft, Problems], None]] = {
    "Repository": normal.repository,
    "Image": normal.image,
    "TaskDefinition": normal.task_definition,
    "Job": job.normalise,
}


def drafts(document: Document, names: Mapping[str, Any], problems: Problems) -> Iterator[Draft]:
    """What a document stands for; what is wrong is left out of it, so that references to it are not called unknown."""
    name = _filled(document, "name", names, problems)
    if not isinstance(name, str):
        if "name" not in document.node.value:
            problems.add(document.source, document.address, "name is missing. Write `name: …`.")
        elif name is not FAILED:
            source = document.node.value["name"].node.source
            problems.add(
                source,
                document.address,
                f"{words.shown(name)} is not text. Write a name, in quotes where it looks like a number.",
            )
        return
    if document.kind != "Job" or "foreach" not in document.node.value:
        yield _draft(
            document, Draft(document.kind, name, None, {}, document.source, document.places), names, problems
        )
        return
    seen: dict[str, str] = {}
    made_of = columns(document.node)
    checked: set[Any] = set()
    for item in _items(document, names, problems):
        draft = Draft(
            document.kind,
            name,
            None,
            {},
            _with(document.source, item.note),
            Places(document.places, made_of, item.note),
            item.value,
        )
        _draft(document, draft, {**names, "item": item.value}, problems, checked)
        where = item.note or f"element {len(seen) + 1}"
        if draft.key in seen:
            draft.wrong(
                problems,
                f"the key {draft.key} stands for {seen[draft.key]} and for {where}. Write a key that tells them apart.",
                "key",
            )
        if draft.key is not None:
            seen.setdefault(draft.key, where)
        yield draft


def _with(source: Source, note: str) -> Source:
    return Source(source.file, source.line, source.column, note) if note else source


def _filled(document: Document, field: str, names: Mapping[str, Any], problems: Problems) -> Any:
    entry = document.node.value.get(field)
    if entry is None:
        return None
    return fill(entry.node, names, lambda source, what: problems.add(source, document.address, what))


def _items(document: Document, names: Mapping[str, Any], problems: Problems) -> list[foreach.Item]:
    """The elements of a foreach; none where it is wrong."""
    entry = document.node.value["foreach"]
    before = len(problems)

    def report(source: Source, what: str) -> None:
        problems.add(source, document.address, what)

    if "key" not in document.node.value:
        report(
            entry.source, 'foreach needs a key that tells its elements apart. Write key: "{{ item.NAME }}".'
        )
    if not isinstance(entry.node.value, dict):
        report(entry.source, "foreach must be a mapping. Write foreach: {items: [...]} or {file: sheet.csv}.")
        return []
    where = entry.node.value.get("where")
    # `where` is about the item, so it is filled in for each of them
    rest = {name: one for name, one in entry.node.value.items() if name != "where"}
    data = fill(Node(rest, entry.node.source), names, report)
    if data is not FAILED and len(problems) == before:
        for violation in schema.violations("foreach", data):
            report(document.at("foreach", *violation.path), violation.what)
    if len(problems) > before:
        return []
    folder = Path(document.at("foreach", "file").file).parent
    try:
        return foreach.items(data, where.node if where else None, folder, names, report)
    except foreach.ForeachError as error:
        report(error.source or document.at("foreach", *error.field), str(error))
        return []


def _draft(
    document: Document,
    draft: Draft,
    names: Mapping[str, Any],
    problems: Problems,
    checked: set[Any] | None = None,
) -> Draft:
    """Fills `draft` in from its document, checks it and brings it into its normal form.

    `checked` has the shapes of elements that the schema allowed; it is added to.
    """

    def report(source: Source, what: str) -> None:
        problems.add(_with(source, draft.source.note), draft.address, what)

    found = _key(document, draft, names, report)
    for field, entry in document.node.value.items():
        if field in ("kind", "name") or (field in ("foreach", "key") and document.kind == "Job"):
            continue
        if document.kind == "Job" and field == "script" and isinstance(entry.node.value, str):
            draft.body[field] = Verbatim(entry.node.value)
        else:
            draft.body[field] = fill(entry.node, names, report)
    for path in list(_failed(draft.body, ())):
        draft.leave_out(*path)
    shape = _shape(draft) if checked is not None else None
    if checked is None or shape not in checked:
        clean = _check(draft, problems)
        if checked is not None and clean:
            checked.add(shape)
    _NORMAL[draft.kind](draft, problems)
    draft.ready = found
    return draft


def _failed(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where filling in failed."""
    if value is FAILED:
        yield path
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _failed(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _failed(entry, (*path, index))


def _key(document: Document, draft: Draft, names: Mapping[str, Any], report: tree.Report) -> bool:
    """Sets the key of an element; whether all is well with it."""
    entry = document.node.value.get("key")
    if document.kind != "Job" or (entry is None and "foreach" not in document.node.value):
        return True
    if entry is None:
        return False  # said once, with the foreach
    if "foreach" not in document.node.value:
        report(entry.source, "key belongs to a foreach. Write foreach too, or delete key.")
        return True
    key = fill(entry.node, names, report)
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if isinstance(key, str) and KEY.fullmatch(key):
        draft.key = str(key)
    elif key is not FAILED:
        report(entry.source, f"{key!r} cannot be a key. Write {_HOW_KEY}.")
    return draft.key is not None


_FREE = frozenset({"command", "entrypoint", "environment", "inputs", "outputs", "script", "tags"})
"""Fields of a Job whose texts the schema does not look into, or job.py does again."""


def _shape(draft: Draft) -> Any:
    """What the schema can tell one element of an array from another by.

    A schema takes a millisecond, and the thousands of elements of an array differ in a few texts.
    """
    return tuple(
        (name, _outline(value) if name in _FREE else repr(value)) for name, value in draft.body.items()
    )


def _outline(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((key, _outline(entry)) for key, entry in value.items())
    if isinstance(value, list):
        return (list, *map(_outline, value))
    return (str, bool(value)) if isinstance(value, str) else (type(value), value)


def _check(draft: Draft, problems: Problems) -> bool:
    """Keeps what the schema does not allow, and takes it out of the body; whether there was nothing."""
    if draft.kind == "TaskDefinition":
        draft.body = _without_nulls(draft.body)
    found = list(schema.violations(draft.kind, {"kind": draft.kind, "name": draft.name, **draft.body}))
    for violation in found:
        if not draft.left_out & {violation.path[:1], violation.path[:2]}:
            draft.wrong(problems, violation.what, *violation.path)
    for violation in found:
        draft.leave_out(*violation.path)
    return not found


def _without_nulls(value: Any) -> Any:
    """`value` without the null items of lists, which ECS drops and other tools write."""
    if isinstance(value, dict):
        return {key: _without_nulls(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value if entry is not None]
    return value
