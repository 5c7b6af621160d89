"""JSON Schemas: where they are, and what is wrong with a document in words for people.

Job: the only module that imports jsonschema. Input: plain data. Output: Violation…. `python -m reconciler.schema`
writes schemas/manifest.schema.json anew. Must not: know files or positions of manifests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.schema import words

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that a schema does not allow: where in the document, and what to write instead."""

    path: tuple[str | int, ...]
    what: str


def folder() -> Path:
    """Where the schemas are: beside this package in a wheel, at the top of a checkout."""
    packaged = Path(__file__).parents[1] / "schemas"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "schemas"


@cache
def document(name: str) -> dict[str, Any]:
    """The schema `name` ("manifest", "jobspec", …) as it is in its file."""
    schema: dict[str, Any] = json.loads((folder() / f"{name}.schema.json").read_text("utf-8"))
    return schema


def violations(kind: str, data: Mapping[str, Any]) -> Iterator[Violation]:
    """What is wrong with a manifest, filled in, as a whole (`kind` and `name` included)."""
    for error in _validator(kind).iter_errors(data):
        for path, what in words.explain(error):
            yield Violation(path, what)


def fields(kind: str) -> frozenset[str]:
    """The top-level fields that a kind takes."""
    return frozenset(structure(kind)["properties"])


@cache
def structure(name: str) -> dict[str, Any]:
    """`$defs/NAME` of the manifest schema, references filled in, what is there for editors alone taken out."""
    strict = {key: _strict(value) for key, value in document("manifest")["$defs"].items()}
    found: dict[str, Any] = _inline(strict[name], strict)
    return found


@cache
def _validator(name: str) -> Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(structure(name))


def _strict(schema: Any) -> Any:
    """`schema` without the templates that an editor must let pass: here they are filled in."""
    if isinstance(schema, list):
        return [_strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(alternatives := schema.get("anyOf"), list) and {"$ref": "#/$defs/template"} in alternatives:
        return _strict(alternatives[0])
    return {
        key: _strict(value)
        for key, value in schema.items()
        if key != "description" or not isinstance(value, str)
    }


def _inline(schema: Any, defs: Mapping[str, Any]) -> Any:
    """`schema` with every `$ref` replaced by what it names: three times as fast to validate; none refers to itself."""
    if isinstance(schema, list):
        return [_inline(entry, defs) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(name := schema.get("$ref"), str):
        return _inline(defs[name.removeprefix("#/$defs/")], defs)
    return {key: _inline(value, defs) for key, value in schema.items()}
