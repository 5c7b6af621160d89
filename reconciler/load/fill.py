"""A tree of nodes + the names that templates may use → plain data.

Job: fill every value; what `!raw` or a script protects becomes Verbatim. Input: Node. Output: data; mistakes go to
`report`. Must not: look at what fields mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler import template
from reconciler.load.draft import Verbatim
from reconciler.load.tree import Node, Report

FAILED: Final = object()
"""Stands where a value could not be filled in."""


def fill(node: Node, names: Mapping[str, Any], report: Report) -> Any:
    """The node's data, `{{ }}` filled in from `names`; FAILED stands where that failed."""
    value = node.value
    if isinstance(value, str):
        return Verbatim(value) if node.raw else _text(node, names, report)
    if isinstance(value, dict):
        return {key: fill(entry.node, names, report) for key, entry in value.items()}
    if isinstance(value, list):
        return [fill(item, names, report) for item in value]
    return value


def _text(node: Node, names: Mapping[str, Any], report: Report) -> Any:
    try:
        return template.fill(node.value, names)
    except template.TemplateError as error:
        report(node.source, str(error))
        return FAILED


def verbatim(node: Node) -> Any:
    """The node's data with nothing filled in."""
    if isinstance(node.value, dict):
        return {key: verbatim(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [verbatim(item) for item in node.value]
    return Verbatim(node.value) if isinstance(node.value, str) else node.value
