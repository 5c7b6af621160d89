"""The manifests that people copy from: what stands in manifests/ is valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import cli

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted({file.parent for file in (ROOT / "manifests").rglob("*.yaml")})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_folder_of_example_manifests_is_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["validate", str(folder)])
    assert code == 0, capsys.readouterr().err


def test_validate_without_a_path_reads_manifests_and_finds_one_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PATH defaults to manifests/: a fresh checkout's must be one valid set."""
    code = cli.run(["validate", str(ROOT / "manifests")])
    assert code == 0, capsys.readouterr().err
