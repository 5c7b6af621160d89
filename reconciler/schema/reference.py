"""The manifest schema as a page to read: docs/reference.md.

Job: a table for each kind and for each shape that its fields are made of. Input: the manifest schema. Output: Markdown.
Must not: say what the schema does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_HEAD = """\
# Reference of manifests

Every field that a manifest may have, made from [schemas/manifest.schema.json](../schemas/manifest.schema.json) by `python -m reconciler.schema`;
[manifests.md](manifests.md) tells how they go together. Fields of the AWS API carry the first sentence of its own documentation. Anything
may be written as a template `{{ … }}`. A field in bold must be there.
"""


def page(schema: Schema) -> str:
    """The whole page."""
    definitions = schema["$defs"]
    kinds = [name for name in definitions if name[0].isupper()]
    shapes = sorted(name for name in definitions if "." in name)
    parts = [_HEAD]
    for name in (*kinds, *shapes):
        found = _section(name, definitions[name], definitions)
        if found:
            parts.append(found)
    return "\n".join(parts)


def _section(name: str, schema: Schema, definitions: Mapping[str, Schema]) -> str:
    rows = list(_rows(schema, definitions))
    if not rows:
        return ""
    about = f"{_text(str(schema['description']))}\n\n" if schema.get("description") else ""
    head = f"## {name}\n\n{about}| field | takes | |\n|---|---|---|\n"
    return head + "".join(f"| {field} | {takes} | {what} |\n" for field, takes, what in rows)


def _rows(schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[tuple[str, str, str]]:
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if name == "kind":
            continue
        shown = f"**`{name}`**" if name in needed else f"`{name}`"
        yield shown, _takes(field, definitions), _text(_described(field))


def _described(field: Schema) -> str:
    here = field.get("description")
    inner: Schema = next((one for one in field.get("anyOf", ()) if one.get("description")), {})
    return str(here or inner.get("description") or "")


def _takes(field: Schema, definitions: Mapping[str, Schema]) -> str:
    """What may be written, in a word or two."""
    if "anyOf" in field:
        words = [_takes(one, definitions) for one in field["anyOf"] if one.get("$ref") != "#/$defs/template"]
        return " or ".join(dict.fromkeys(word for word in words if word))
    if reference := field.get("$ref"):
        name = reference.removeprefix("#/$defs/")
        if "." in name and definitions[name].get("properties"):
            return f"[{name.partition('.')[2]}](#{name.lower().replace('.', '')})"
        return _takes(definitions[name], definitions)
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    types = field.get("type", "")
    words = [
        _one(word, field, definitions) for word in ([types] if isinstance(types, str) else types) if word
    ]
    return " or ".join(dict.fromkeys(words))


def _one(word: str, field: Schema, definitions: Mapping[str, Schema]) -> str:
    plain = {
        "string": "text",
        "integer": "integer",
        "boolean": "true or false",
        "object": "mapping",
        "array": "list",
    }
    if (
        word == "array"
        and isinstance(items := field.get("items"), Mapping)
        and (inner := _takes(items, definitions))
    ):
        return f"list of {inner}"
    if word == "object" and (names := field.get("properties")):
        return "mapping of " + ", ".join(f"`{name}`" for name in names)
    return plain.get(word, word)


def _text(words: str) -> str:
    """Words in a cell: no pipe ends it, no brace or bracket begins anything."""
    return re.sub(r"([|<\[\]])", r"\\\1", " ".join(words.split()))
