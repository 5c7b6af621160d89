"""The obstore wheel of a platform, by this machine's own pip configuration or from a file.

Job: download or take, and unpack, one pinned wheel. Input: platform, python version, perhaps a path. Output: the unpacked folder.
Must not: install it, or build it from source.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from shim.layer import recipe


def obstore(platform: recipe.Platform, python: str, cache: Path, target: Path) -> None:
    """Unpacks obstore for `python` (\"3.11\") on `platform` into `target`; RecipeError where pip cannot get it."""
    folder = cache / f"obstore-{recipe.OBSTORE_VERSION}-{python}-{platform.slug}"
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        _download(platform, python, folder)
        wheels = list(folder.glob("*.whl"))
    _unpack(wheels[0], target)


def given(platform: recipe.Platform, path: Path, target: Path) -> None:
    """Unpacks a wheel that somebody brought; RecipeError where it is not obstore's for this platform and glibc."""
    parts = path.name.removesuffix(".whl").split("-")
    fits = len(parts) == 5 and parts[0] == "obstore" and "manylinux" in parts[4]
    if not (fits and parts[4].endswith(platform.machine)):
        raise recipe.RecipeError(
            f"{path.name} is no wheel of obstore for {platform.name} and glibc: its name must be"
            f" obstore-VERSION-PYTHON-ABI-manylinux…_{platform.machine}.whl."
        )
    if not path.is_file():
        raise recipe.RecipeError(f"{path} is not there.")
    _unpack(path, target)


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)


def _download(platform: recipe.Platform, python: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tags = [part for tag in platform.wheels for part in ("--platform", tag)]
    wanted = f"obstore=={recipe.OBSTORE_VERSION}"
    options = ["--quiet", "--only-binary=:all:", "--no-deps", "--python-version", python]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, *tags, "--dest", str(folder), wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise recipe.RecipeError(
            f"pip could not download {wanted} for {platform.name}: {reason} Where this machine's package index has no"
            " such wheel, bring one: --wheel FILE."
        )
