"""A starter repository: manifests, variables of two places, workflows, and a README that says what to do first.

Job: write the files below files/ to a folder. Input: the folder. Output: what became of each file. Must not: change a
file that is there, unless it is told to, and then it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Final, Literal

Fate = Literal["written", "unchanged", "left alone", "overwritten"]

_DOTTED: Final = {"github": ".github", "gitignore": ".gitignore"}
"""Names that begin with a dot in a repository: in a package, tools would pass them over."""


def files() -> dict[PurePosixPath, bytes]:
    """The files, by their path in the repository, sorted."""
    return dict(sorted(_below(resources.files(__name__) / "files", PurePosixPath())))


def write(folder: Path, *, force: bool = False) -> Iterator[tuple[PurePosixPath, Fate]]:
    """Write every file below `folder`, which is made where it is not there; yields what became of each.

    One that is there with other content is left alone, or overwritten with `force`. Raises OSError.
    """
    for path, content in files().items():
        yield path, _write(folder.joinpath(*path.parts), content, force=force)


def _write(target: Path, content: bytes, *, force: bool) -> Fate:
    fate: Fate = "written"
    if target.exists() or target.is_symlink():
        if target.is_file() and target.read_bytes() == content:
            return "unchanged"
        if not force or target.is_dir():
            return "left alone"
        fate = "overwritten"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return fate


def _below(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, bytes]]:
    for entry in folder.iterdir():
        here = path / _DOTTED.get(entry.name, entry.name)
        if entry.is_dir():
            yield from _below(entry, here)
        else:
            yield here, entry.read_bytes()
