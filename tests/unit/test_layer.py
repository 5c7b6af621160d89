"""The platform layer, found or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler import errors, layer

FACTS = {
    "platform": "linux/amd64",
    "digest": "sha256:aa",
    "diff_id": "sha256:bb",
    "size": 4,
    "version": "1",
    "more": {},
}


def write(folder: Path, facts: object = FACTS, blob: bytes = b"blob") -> None:
    (folder / "linux-amd64.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))
    (folder / "linux-amd64.tar.gz").write_bytes(blob)


def test_a_layer_is_found_beside_the_package(tmp_path: Path) -> None:
    write(tmp_path)
    found = layer.find("linux/amd64", tmp_path)
    assert found == layer.Layer(
        "linux/amd64", tmp_path / "linux-amd64.tar.gz", "sha256:aa", "sha256:bb", 4, "1"
    )


def test_a_layer_that_was_not_built_names_the_command_that_builds_it(tmp_path: Path) -> None:
    with pytest.raises(errors.BunniesError, match=r"Run: bunnies shim build --platform linux/arm64"):
        layer.find("linux/arm64", tmp_path)


@pytest.mark.parametrize(
    ("facts", "blob"),
    [(FACTS, b"half"[:2]), ("{", b"blob"), ({"size": 4}, b"blob")],
    ids=["another blob", "no JSON", "fields missing"],
)
def test_a_damaged_layer_is_told(tmp_path: Path, facts: object, blob: bytes) -> None:
    write(tmp_path, facts, blob)
    with pytest.raises(errors.BunniesError, match="Run: bunnies shim build"):
        layer.find("linux/amd64", tmp_path)
