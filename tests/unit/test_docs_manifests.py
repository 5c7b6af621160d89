"""The examples of docs/manifests.md are one valid set of manifests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler import load, schema
from reconciler.schema import own_fields

PAGE = (Path(__file__).parents[2] / "docs" / "manifests.md").read_text()
BLOCK = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_examples_load_as_one_set(tmp_path: Path) -> None:
    for number, (language, title, text) in enumerate(BLOCK.findall(PAGE)):
        (tmp_path / (title or f"{number}.{language}")).write_text(text)
    found = load.load([tmp_path])
    assert [one.address for one in found.manifests] == [
        "repository/rieseberglab/analytics",
        "image/analytics",
        "taskdefinition/align-task",
        "job/index",
        "job/align/s01.L1",
        "job/align/s01.L2",
        "job/align/s02.L1",
        "job/merge/s01",
        "job/merge/s02",
        "job/stats",
    ]


@pytest.mark.parametrize("kind", ["Settings", "Repository", "Image", "TaskDefinition", "Job"])
def test_the_page_names_each_field_that_is_ours(kind: str) -> None:
    later = {"ignoreChanges", "restart"}  # accepted, and without meaning yet
    ours = set(own_fields.JOB_FIELDS if kind == "Job" else own_fields.KINDS[kind]["properties"])
    assert ours <= schema.fields(kind)
    assert not [field for field in ours - later if not re.search(rf"\b{field}\b", PAGE)]
