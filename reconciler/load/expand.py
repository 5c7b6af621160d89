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
from reconciler.load.draft import Document, Draft, Places, Problems, Verbatim
from reconciler.load.fill import fill, verbatim
from reconciler.load.tree import Node
from reconciler.model import Source

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,99}")
_HOW_KEY = "a letter or digit, then letters, digits and . _ + = -, 100 at most"
_NORMAL: Mapping[str, Callable[[Draft, Problems], None]] = {
    "Repository": normal.repository,
    "Image": normal.image,
    "TaskDefinition": normal.task_definition,
    "Job": job.normalise,
}


def drafts(document: Document, names: Mapping[str, Any], problems: Problems) -> Iterator[Draft]:
    """What a document stands for; a broken Draft is given too, so that references to it are not called unknown."""
    name = _filled(document, "name", names, problems)
    if not isinstance(name, str):
        if "name" not in document.node.value:
            problems.add(document.source, document.address, "name is missing. Write `name: …`.")
        elif name is not None:
            source = document.node.value["name"].node.source
            problems.add(
                source, document.address, f'{name!r} is not text. Write the name in quotes: "{name}".'
            )
        return
    if document.kind != "Job" or "foreach" not in document.node.value:
        yield _draft(document, name, foreach.Item(None), names, problems)
        return
    seen: dict[str, str] = {}
    for item in _items(document, names, problems):
        draft = _draft(document, name, item, {**names, "item": item.value}, problems)
        key = draft.key or ""
        where = item.note or f"element {len(seen) + 1}"
        if key in seen and not draft.broken:
            draft.wrong(
                problems,
                f"the key {key} stands for {seen[key]} and for {where}. Write a key that tells them apart.",
                "key",
            )
        seen.setdefault(key, where)
        yield draft


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
    if len(problems) == before:
        for violation in schema.violations("foreach", data):
            report(document.at("foreach", *violation.path), violation.what)
    if len(problems) > before:
        return []
    folder = Path(document.at("foreach", "file").file).parent
    try:
        return foreach.items(data, where.node if where else None, folder, names, report)
    except foreach.ForeachError as error:
        report(document.at("foreach", *error.field), str(error))
        return []


def _draft(
    document: Document,
    name: str,
    item: foreach.Item,
    names: Mapping[str, Any],
    problems: Problems,
) -> Draft:
    source = Source(document.source.file, document.source.line, document.source.column, item.note)
    draft = Draft(document.kind, name, None, {}, source, Places(document.places, item.note), item.value)
    is_array = "foreach" in document.node.value and document.kind == "Job"
    _key(draft, document, names, problems, is_array)
    for field, entry in document.node.value.items():
        if field in ("kind", "name") or (field in ("foreach", "key") and document.kind == "Job"):
            continue
        if document.kind == "Job" and field == "script" and isinstance(entry.node.value, str):
            draft.body[field] = Verbatim(entry.node.value)
        else:
            draft.body[field] = fill(entry.node, names, _reporter(draft, problems))
    if not draft.broken:
        _check(draft, problems)
    return draft


def _reporter(draft: Draft, problems: Problems) -> tree.Report:
    def report(source: Source, what: str) -> None:
        draft.broken = True
        note = draft.source.note
        problems.add(Source(source.file, source.line, source.column, note), draft.address, what)

    return report


def _key(
    draft: Draft, document: Document, names: Mapping[str, Any], problems: Problems, is_array: bool
) -> None:
    entry = document.node.value.get("key")
    if entry is None or document.kind != "Job":
        return
    if not is_array:
        draft.wrong(problems, "key belongs to a foreach. Write foreach too, or delete key.", "key")
        return
    key = verbatim(entry.node) if entry.node.raw else fill(entry.node, names, _reporter(draft, problems))
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if isinstance(key, str) and KEY.fullmatch(key):
        draft.key = key
    elif not draft.broken:
        draft.wrong(problems, f"{key!r} cannot be a key. Write {_HOW_KEY}.", "key")


def _check(draft: Draft, problems: Problems) -> None:
    if draft.kind == "TaskDefinition":
        draft.body = _without_nulls(draft.body)
    for violation in schema.violations(draft.kind, {"kind": draft.kind, "name": draft.name, **draft.body}):
        draft.wrong(problems, violation.what, *violation.path)
    if not draft.broken:
        _NORMAL[draft.kind](draft, problems)


def _without_nulls(value: Any) -> Any:
    """`value` without the null items of lists, which ECS drops and other tools write."""
    if isinstance(value, dict):
        return {key: _without_nulls(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value if entry is not None]
    return value
