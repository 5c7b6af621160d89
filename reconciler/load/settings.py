"""The Settings document, and the variables that templates use.

Job: Settings.vars < --vars < -e, then Settings itself. Input: its Document. Output: model.Settings and names.
Must not: ask AWS anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler import model, schema
from reconciler.load import files, tree
from reconciler.load.draft import Document, Problems
from reconciler.load.fill import fill, verbatim
from reconciler.load.tree import Node
from reconciler.model import Source

GUARDS = {"maxDeletePercent": 30, "maxRuns": 9000, "requireDigest": False}


def names(
    settings: Document | None, vars_files: Sequence[Path], variables: Mapping[str, Any], problems: Problems
) -> dict[str, Any]:
    """What templates may use; later sources replace top-level names of earlier ones."""
    found: dict[str, Any] = {}
    entry = settings.node.value.get("vars") if settings else None
    if entry is not None:
        found |= _vars(entry.node, problems)
    for path in vars_files:
        found |= _vars_file(path, problems)
    for name in variables:
        _check_name(name, Source("-e", 1, 1), problems)
    return found | dict(variables)


def _vars(node: Node, problems: Problems) -> dict[str, Any]:
    if not isinstance(node.value, dict):
        return {}
    for name, entry in node.value.items():
        _check_name(name, entry.source, problems)
    return dict(_plain(verbatim(node)))


def _check_name(name: str, source: Source, problems: Problems) -> None:
    if not name.isidentifier() or name == "item":
        problems.at(source, f"{name!r} cannot be a variable. Write letters, digits and _, and not `item`.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, str) else value


def _vars_file(path: Path, problems: Problems) -> dict[str, Any]:
    try:
        text = files.read(path)
    except files.UnreadableError as error:
        problems.at(error.source, str(error))
        return {}
    nodes = tree.parse(text, str(path), problems.at)
    if len(nodes) > 1 or (nodes and not isinstance(nodes[0].value, dict)):
        problems.at(nodes[-1].source, "a --vars file is one mapping. Write `name: value` lines.")
        return {}
    return _vars(nodes[0], problems) if nodes else {}


def one(documents: Sequence[Document], problems: Problems, start: Source) -> Document | None:
    """The one Settings document; none and a second one are kept as problems."""
    if not documents:
        problems.at(
            start,
            "there is no Settings in these manifests. Write one: kind: Settings, name, region, cluster, bucket.",
        )
        return None
    for other in documents[1:]:
        first = documents[0].source
        problems.add(other.source, other.address, f"there is a Settings already, at {first}. Keep one.")
    return documents[0]


def settings(document: Document, variables: Mapping[str, Any], problems: Problems) -> model.Settings | None:
    """The Settings with `{{ }}` filled in everywhere but `vars` and `defaults`; None where they are wrong."""
    before = len(problems)
    address = document.address
    data: dict[str, Any] = {}
    for name, entry in document.node.value.items():
        if name in ("vars", "defaults"):
            data[name] = verbatim(entry.node)
        else:
            data[name] = fill(entry.node, variables, lambda source, what: problems.add(source, address, what))
    if len(problems) > before:
        return None
    for violation in schema.violations("Settings", data):
        problems.add(document.at(*violation.path), address, violation.what)
    return None if len(problems) > before else _settings(data, document.source)


def _settings(data: Mapping[str, Any], source: Source) -> model.Settings:
    return model.Settings(
        name=str(data["name"]),
        region=str(data["region"]),
        cluster=str(data["cluster"]),
        bucket=str(data["bucket"]),
        prefix=str(data.get("prefix", f"bunnies/{data['name']}")).strip("/"),
        account=data.get("account"),
        network=data.get("network", {}),
        execution_role_arn=data.get("executionRoleArn"),
        task_role_arn=data.get("taskRoleArn"),
        guards=GUARDS | data.get("guards", {}),
        ignore_tags=tuple(data.get("ignoreTags", ())),
        max_parallel=data.get("maxParallel"),
        redact=tuple(data.get("redact", ())),
        source=source,
    )
