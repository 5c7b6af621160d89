"""The obstore wheel of a platform, by this machine's own pip configuration.

Job: download and unpack one pinned wheel. Input: platform, python version. Output: the unpacked folder.
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
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(target)


def _download(platform: recipe.Platform, python: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tags = [part for tag in platform.wheels for part in ("--platform", tag)]
    wanted = f"obstore=={recipe.OBSTORE_VERSION}"
    command = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        "--no-deps",
        "--python-version",
        python,
    ]
    done = subprocess.run(
        [sys.executable, *command, *tags, "--dest", str(folder), wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise recipe.RecipeError(f"pip could not download {wanted} for {platform.name}: {reason}")
