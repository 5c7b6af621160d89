"""Manifest files → documents of a known kind.

Job: read files, tell kinds, apply Settings.defaults. Input: paths. Output: Document… in order. Must not: fill in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reconciler import schema
from reconciler.load import files, spelling, tree
from reconciler.load.draft import KINDS, Document, Problems
from reconciler.load.tree import Entry, Node
from reconciler.model import Source
from reconciler.schema import words

ALTERNATIVES = (("launchType", "capacityProviderStrategy"), ("command", "script"), ("from", "build"))
"""Fields of which a manifest has one: a default for the one gives way to the other."""


def read(paths: Sequence[Path], problems: Problems) -> list[Document]:
    """Every document below `paths`, Settings too, in the order of files and documents."""
    found: list[Document] = []
    manifests = files.find(paths, problems.at)
    problems.order(str(path) for path in manifests)
    for path in manifests:
        try:
            text = files.read(path)
        except files.UnreadableError as error:
            problems.at(error.source, str(error))
            continue
        before = len(problems)
        nodes = tree.parse(text, str(path), problems.at)
        if not nodes and len(problems) == before and "#" not in text:
            # a file of comments alone is a file that somebody switched off
            problems.at(
                Source(str(path), 1, 1), "the file is empty. Write a manifest, a comment, or delete the file."
            )
        found.extend(document for node in nodes if (document := _document(node, problems)))
    return found


def _document(node: Node, problems: Problems) -> Document | None:
    if not isinstance(node.value, dict):
        problems.at(node.source, "a document must be a mapping. Write `kind: …` and `name: …`.")
        return None
    entry = node.value.get("kind")
    if entry is None:
        near = next((key for key in node.value if key.lower() == "kind"), None)
        known = (
            f"Write `kind:` instead of `{near}:`."
            if near
            else f"Write `kind:` and one of {', '.join(KINDS)}."
        )
        problems.at(node.source, f"kind is missing. {known}")
        return None
    kind = entry.node.value
    if kind not in KINDS:
        what = (
            words.unknown(kind, KINDS, "kind")
            if isinstance(kind, str) and kind.strip()
            else f"kind must be one of {', '.join(KINDS)}. Write one."
        )
        problems.at(entry.node.source, what)
        return None
    if kind in ("Repository", "TaskDefinition"):
        node = spelling.camel(node, schema.structure(kind))
    return Document.of(kind, node)


def defaults(settings: Document | None, problems: Problems) -> dict[str, dict[str, Entry]]:
    """Settings.defaults, not filled in, by kind; unknown kinds and fields are kept as problems."""
    entry = settings.node.value.get("defaults") if settings else None
    if settings is None or entry is None or not isinstance(entry.node.value, dict):
        return {}
    found: dict[str, dict[str, Entry]] = {}
    for kind, fields in entry.node.value.items():
        if kind not in KINDS[1:] or not isinstance(fields.node.value, dict):
            continue  # the schema of Settings says so
        known = schema.fields(kind) - {"kind", "name", "foreach", "key"}
        found[kind] = {}
        for name, field in fields.node.value.items():
            if name in known:
                found[kind][name] = field
            else:
                problems.add(
                    field.source,
                    settings.address,
                    words.unknown(name, known, f"field that {kind} can have a default for"),
                )
    return found


def with_defaults(document: Document, fields: dict[str, Entry]) -> Document:
    """The document with the fields that it does not have itself."""
    own = document.node.value
    taken = {name for pair in ALTERNATIVES if own.keys() & set(pair) for name in pair}
    added = {name: field for name, field in fields.items() if name not in own and name not in taken}
    if not added:
        return document
    return Document.of(document.kind, Node({**own, **added}, document.node.source, document.node.raw))
