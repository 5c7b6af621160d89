"""diff: two files that may mean the same.

Input: two paths. Output: the fields that differ on stdout; exit 0 equivalent, 2 different, 1 error. Must not: touch
AWS, or know what means the same as what; `canonical` does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from reconciler.errors import BunniesError

DIFFERENT = 2


@click.command()
@click.option(
    "--kind",
    required=True,
    type=click.Choice(["task-definition", "lifecycle-policy", "repository-policy"]),
    help="What both files hold.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also what is written differently and means the same.")
@click.option("--no-color", is_flag=True, help="No colour; NO_COLOR does the same.")
@click.argument("left", type=click.Path(path_type=Path))
@click.argument("right", type=click.Path(path_type=Path))
def diff(kind: str, left: Path, right: Path, *, verbose: bool, no_color: bool) -> int:
    """Compare two JSON or YAML files as AWS would read them.

    A task definition may be what describe-task-definition prints, what register-task-definition takes, a manifest,
    or a bare list of container definitions; camelCase or PascalCase. Exit 0: equivalent, 2: different, 1: error.
    """
    from reconciler import diff as stage
    from reconciler.canonical import given, normalised
    from reconciler.render import comparison
    from reconciler.render.terminal import Terminal

    documents = [_document(path) for path in (left, right)]
    try:
        one, other = given.BY_KIND[kind](*documents)
    except ValueError as error:
        raise BunniesError(f"{left}, {right}: {error}. Is --kind {kind} right?") from None
    fields = stage.compare(one.spec, other.spec)
    terminal = Terminal(no_color=no_color)
    terminal.out(comparison.fields(fields))
    if verbose:
        terminal.out(comparison.normalised(normalised.between(one.body, other.body, fields)))
    if not fields:
        terminal.talk([("equivalent", "good")])
    return DIFFERENT if fields else 0


def _document(path: Path) -> Any:
    """What the file holds: JSON, else YAML of one document. BunniesError where it is neither."""
    from reconciler.load import files

    try:
        content = files.read(path)
        try:
            return json.loads(content)
        except ValueError:
            return _yaml(content, path)
    except files.UnreadableError as error:
        raise BunniesError(error.told) from None
    except RecursionError:
        raise BunniesError(f"{path}: it is nested too deep to be read.") from None


def _yaml(content: str, path: Path) -> Any:
    from reconciler import canonical
    from reconciler.load import files, tree
    from reconciler.load.fill import verbatim

    found: list[Any] = []
    nodes = tree.parse(content, str(path), lambda source, what: found.append((source, what)))
    if found:
        raise files.UnreadableError(*found[0])
    if len(nodes) != 1:
        raise BunniesError(f"{path}: it holds {len(nodes)} documents. Write one.")
    return json.loads(canonical.text(verbatim(nodes[0])))  # plain text again, where load marks it
