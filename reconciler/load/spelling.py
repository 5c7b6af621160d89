"""`ContainerDefinitions` → `containerDefinitions`: CloudFormation's spelling of the API's fields.

Job: rename the keys of a document, guided by its schema, so that any example can be pasted in. Input: a node and a
schema. Output: a node. Must not: touch keys of maps of values (labels, options), or a key that fits no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.load.tree import Entry, Node


def camel(node: Node, schema: Mapping[str, Any]) -> Node:
    """`node` with every field that begins with a capital spelt as the schema has it."""
    if isinstance(node.value, dict) and "properties" in schema:
        return Node(_entries(node.value, schema["properties"]), node.source, node.raw, node.size)
    if isinstance(node.value, list) and isinstance(schema.get("items"), Mapping):
        return Node([camel(item, schema["items"]) for item in node.value], node.source, node.raw, node.size)
    return node


def _entries(entries: Mapping[str, Entry], fields: Mapping[str, Any]) -> dict[str, Entry]:
    # CloudFormation's own capitals differ by more than the first letter: EFSVolumeConfiguration, FilesystemId
    spelt = {field.lower(): field for field in fields}
    found: dict[str, Entry] = {}
    for key, entry in entries.items():
        name = spelt.get(key.lower(), key) if key[:1].isupper() and key not in fields else key
        if name != key and name in entries:
            name = key  # both spellings: the schema refuses the one that it does not know
        found[name] = Entry(entry.source, camel(entry.node, fields.get(name, {})))
    return found
