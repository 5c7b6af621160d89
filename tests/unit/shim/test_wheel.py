"""A wheel that somebody brings is looked at before it is taken."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from shim.layer import recipe, wheel

ARM = recipe.PLATFORMS["linux/arm64"]


@pytest.mark.parametrize(
    "name",
    [
        "obstore-0.12.1-cp311-abi3-musllinux_1_2_aarch64.whl",
        "obstore-0.12.1-cp311-abi3-manylinux_2_28_x86_64.whl",
        "boto3-1-py3-none-any.whl",
    ],
)
def test_a_wheel_for_another_libc_machine_or_library_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(recipe.RecipeError, match="is no wheel of obstore for linux/arm64 and glibc"):
        wheel.given(ARM, tmp_path / name, tmp_path)


def test_a_wheel_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(recipe.RecipeError, match="is not there"):
        wheel.given(ARM, tmp_path / "obstore-0.12.1-cp311-abi3-manylinux_2_28_aarch64.whl", tmp_path)


def test_a_wheel_that_fits_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "obstore-0.12.1-cp311-abi3-manylinux_2_28_aarch64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("obstore/__init__.py", "")
    wheel.given(ARM, path, tmp_path / "out")
    assert (tmp_path / "out/obstore/__init__.py").exists()
