"""Manifests: YAML files → a ManifestSet, or every mistake in them at once.

The way: `files` finds and reads; `tree` parses YAML with places; `documents` tells kinds and adds defaults, `spelling`
takes CloudFormation's capitals; `settings` makes the one Settings and the variables; `expand` fills in `{{ }}` (`fill`),
makes an array's elements (`foreach`, `sheet`) and checks them against the schema; `normal` and `job` (`placeholders`)
bring bodies into the form that later stages rely on; `links` and `references` (`arrays`) check names and turn `${…}`
into Ref, and `graph` finds cycles. What they hand on is in `draft`; `data` reads other files.

Job: all of that, offline. Input: paths, variables. Output: model.ManifestSet, or ManifestError. Must not: reach AWS,
a registry or an engine. The only package that imports ruamel.yaml (in `tree`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.load import documents, expand, files, links, references
from reconciler.load import settings as settings_
from reconciler.load.draft import KINDS, Document, Draft, Problems
from reconciler.model import NOTHING, Manifest, ManifestSet, Settings, Source


def default_paths(paths: Sequence[Path] = ()) -> list[Path]:
    """The PATHs given, else `manifests/` if it is there, else `.`."""
    return list(paths) or files.default_paths()


def load(
    paths: Sequence[Path], vars_files: Sequence[Path] = (), variables: Mapping[str, Any] = NOTHING
) -> ManifestSet:
    """The manifests below `paths`, valid and in normal form; raises ManifestError with every mistake.

    `vars_files` are YAML mappings, `variables` what `-e K=V` gave (text); later ones win over Settings.vars.
    """
    problems = Problems()
    found = documents.read(paths, problems)
    start = Source(str(paths[0]) if paths else ".", 1, 1)
    one = None
    if found or not len(problems):
        one = settings_.one([document for document in found if document.kind == "Settings"], problems, start)
    names = settings_.names(one, vars_files, variables, problems)
    settings = settings_.settings(one, names, problems) if one else None
    defaults = documents.defaults(one, problems)
    drafts: list[Draft] = []
    for document in _distinct([one for one in found if one.kind != "Settings"], problems):
        drafts.extend(
            expand.drafts(documents.with_defaults(document, defaults.get(document.kind, {})), names, problems)
        )
    manifests = _linked(found, drafts, problems)
    problems.raise_any()
    assert settings is not None  # noqa: S101 - without Settings there is a problem
    return ManifestSet(settings, manifests)


def _distinct(found: list[Document], problems: Problems) -> list[Document]:
    """The documents, without those whose kind and name stand for another already."""
    seen: dict[str, Document] = {}
    for document in found:
        first = seen.setdefault(document.address if document.name else str(document.source), document)
        if first is not document:
            source = document.node.value["name"].source
            problems.add(
                source,
                document.address,
                f"there is a {document.kind} of this name already, at {first.source}. Rename or delete one.",
            )
    return list(seen.values())


def _linked(found: list[Document], drafts: list[Draft], problems: Problems) -> tuple[Manifest, ...]:
    """The drafts as Manifests, every name and reference in them checked."""
    known: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for document in found:
        if document.name:
            known[document.kind].add(document.name)
    for draft in drafts:
        known[draft.kind].add(draft.name)
    links.check(drafts, known, problems)
    references.resolve(drafts, known, problems)
    return tuple(
        Manifest(draft.kind, draft.name, draft.body, draft.source, draft.positions, draft.key)
        for draft in drafts
    )


__all__ = ["Settings", "default_paths", "load"]
