"""The examples of docs/gitops.md, operations.md and recipes.md: manifests load, workflows are those that init writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler import launch, load, permissions, starter, validate
from reconciler.load import files, settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
RECIPES = (DOCS / "recipes.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", RECIPES, re.MULTILINE | re.DOTALL))
GROUND = RECIPES.partition("\n## ")[0]
PAGES = ("gitops.md", "operations.md", "recipes.md")


def blocks(text: str, language: str) -> list[tuple[str, str]]:
    """(title, content) of the examples in one language."""
    return [(title, content) for found, title, content in BLOCK.findall(text) if found == language]


def yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_manifests_of_a_recipe_are_valid_with_those_that_all_stand_on(
    section: str, tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    texts = [text for title, text in blocks(GROUND + SECTIONS[section], "yaml") if not title]
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    for _, text in blocks(SECTIONS[section], "dockerfile"):
        (tmp_path / "images/tools").mkdir(parents=True)
        (tmp_path / "images/tools/Dockerfile").write_text(text)
    found = load.load([folder], (), {"rebuild": "2026-11"})
    validate.validate(found)
    for who in (*permissions.COMMANDS, *permissions.ROLES):
        assert permissions.policy(who, found)["Version"]


@pytest.mark.parametrize("page", PAGES)
def test_every_json_example_is_json(page: str) -> None:
    for _, text in blocks((DOCS / page).read_text(), "json"):
        json.loads(text)


def test_the_workflows_that_are_shown_are_those_that_init_writes() -> None:
    files = {str(path): content.decode() for path, content in starter.files().items()}
    shown = dict(blocks((DOCS / "gitops.md").read_text(), "yaml"))
    assert shown == {path: text for path, text in files.items() if path.startswith(".github/workflows/")}


def test_the_rebuild_changes_the_line_that_it_looks_for() -> None:
    ((_, text),) = [one for one in blocks(RECIPES, "yaml") if one[0].endswith("rebuild.yaml")]
    (run,) = [step["run"] for step in yaml(text)["jobs"]["rebuild"]["steps"] if "run" in step]
    assert 's/^rebuild:.*/rebuild: \\"$month\\"/' in run
    assert "{{ rebuild }}" in SECTIONS["A monthly rebuild"]


def test_the_limits_that_are_told_are_those_of_the_code() -> None:
    page = (DOCS / "operations.md").read_text()
    assert f"{launch.LARGEST_OVERRIDES:,} characters" in page
    assert f"`guards.maxRuns`, {settings.GUARDS['maxRuns']:,} unless set" in page
    assert f"{settings.GUARDS['maxDeletePercent']} %, `guards.maxDeletePercent`" in page
    assert f"| one file of manifests | {files.MAX_BYTES // 1024**2} MB |" in page
