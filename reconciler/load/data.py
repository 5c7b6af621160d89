"""A file of plain data, JSON or YAML, that is no manifest: policies, what `bunnies diff` compares.

Job: read one document. Input: a path. Output: plain data. Must not: fill anything in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reconciler.load import files, tree
from reconciler.load.fill import verbatim
from reconciler.model import Source


def document(path: Path) -> Any:
    """The one document of a file: JSON where its name ends so, else YAML, else JSON. Raises UnreadableError."""
    content = files.read(path)
    if path.suffix.lower() == ".json":
        return _json(content, path)
    try:
        # JSON may be indented with tabs, YAML may not
        return _json(content, path)
    except files.UnreadableError:
        return _yaml(content, path)


def _json(content: str, path: Path) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        place = Source(str(path), error.lineno, error.colno)
        raise files.UnreadableError(place, f"this is not JSON: {error.msg}. Mend the file.") from None
    except _TwinError as error:
        raise files.UnreadableError(Source(str(path), 1, 1), str(error)) from None
    except RecursionError:
        raise files.UnreadableError(
            Source(str(path), 1, 1), "it is nested too deep. Write it flatter."
        ) from None


class _TwinError(ValueError):
    """A key stands twice in one object; JSON itself would forget the first."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwinError(f"the key {key!r} stands twice in one object. Keep one.")
        found[key] = value
    return found


def _yaml(content: str, path: Path) -> Any:
    found: list[tuple[Source, str]] = []
    nodes = tree.parse(content, str(path), lambda source, what: found.append((source, what)))
    if found:
        raise files.UnreadableError(*found[0])
    if len(nodes) != 1:
        raise files.UnreadableError(
            Source(str(path), 1, 1), f"the file holds {len(nodes)} documents. Write one."
        )
    return verbatim(nodes[0])
