"""What plan and apply leave behind besides their text: files for pull requests, CI and a later apply.

Input: Plan, Outcomes, the options that name files, the environment of GitHub Actions. Output: files, and annotations
on stderr. Must not: decide anything; secrets are taken out in hidden.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from reconciler.cli import hidden
from reconciler.cli.options import Common
from reconciler.errors import BunniesError, Problem
from reconciler.limit import EVERYTHING, Scope
from reconciler.model import Outcome, Plan, Resource
from reconciler.redact import looks_secret


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plan is asked with, besides the manifests."""

    prune: bool = False
    allow_deletes: int = 0
    scope: Scope = EVERYTHING


@dataclass(frozen=True, slots=True)
class Reports:
    """Files that a run writes; None for those that nobody wants."""

    out: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None

    def planned(self, made: Plan, left: Sequence[Resource], made_from: dict[str, Any]) -> None:
        """Everything about a plan."""
        from reconciler.render import data, github, junit, markdown

        redactor = hidden.redactor()
        if self.out:
            document = data.plan(made, redactor, made_from)
            _write(self.out, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        if self.markdown:
            _write(self.markdown, markdown.plan(made, left, redactor))
        if self.junit:
            _write(self.junit, junit.plan(made))
        if on_github():
            _step_summary(markdown.plan(made, left, redactor))
            _annotate(github.plan(made))

    def applied(self, made: Plan, told: Sequence[Outcome], last: str) -> None:
        """Everything about an apply; `last` is its recap."""
        from reconciler.render import github, junit, markdown

        if self.markdown:
            _write(self.markdown, markdown.apply(made, told, last, hidden.redactor()))
        if self.junit:
            _write(self.junit, junit.apply(made.owner, told))
        if on_github():
            _step_summary(markdown.apply(made, told, last, hidden.redactor()))
            _annotate(github.apply(made, told))


def made_from(common: Common, asked: Asked) -> dict[str, Any]:
    """What `apply PLAN.json` reads again; a variable that looks secret is named and not told."""
    secret = {name for name in common.variables if looks_secret(name, hidden.redactor().listed)}
    return {
        "paths": [str(path) for path in common.paths],
        "vars_files": [str(path) for path in common.vars_files],
        "variables": {name: value for name, value in common.variables.items() if name not in secret},
        "withheld": sorted(secret),
        "prune": asked.prune,
        "allow_deletes": asked.allow_deletes,
    }


def as_planned(common: Common, document: Any) -> tuple[Common, Asked]:
    """The options that a plan file was made with; -e given now gives what it withheld."""
    was = document.get("made_from") or {}
    missing = [name for name in was.get("withheld", ()) if name not in common.variables]
    if missing:
        raise BunniesError(
            f"the plan was made with -e {missing[0]}=…, whose value is not in its file. Give it again: -e {missing[0]}=VALUE."
        )
    variables = {**was.get("variables", {}), **common.variables}
    again = replace(
        common,
        paths=tuple(map(Path, was.get("paths", ()))),
        vars_files=tuple(map(Path, was.get("vars_files", ()))),
        variables=variables,
    )
    scope = Scope(tuple(document.get("limit", ())), tuple(document.get("exclude", ())))
    return again, Asked(bool(was.get("prune")), int(was.get("allow_deletes", 0)), scope)


def on_github() -> bool:
    """Whether GitHub Actions runs us."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotate_problems(problems: Iterable[Problem]) -> None:
    """Mistakes in manifests, at their lines in a pull request."""
    from reconciler.render import github

    if on_github():
        _annotate(github.problems(problems))


def _annotate(commands: Iterable[str]) -> None:
    for command in commands:
        click.echo(command, err=True)  # the runner reads both streams, and --json needs stdout for itself


def _step_summary(text: str) -> None:
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        _write(Path(place), text, append=True)


def _write(path: Path, text: str, *, append: bool = False) -> None:
    try:
        hidden.write(path, text, append=append)
    except OSError as error:
        raise BunniesError(f"{path} cannot be written: {error.strerror}. Name another file.") from None
