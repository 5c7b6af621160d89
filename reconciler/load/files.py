"""PATHs → the manifest files below them, and a file's bytes → text.

Job: find and read, and say what is in the way. Input: paths as the user gave them. Output: files in order,
text. Must not: parse.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from reconciler.load.tree import Report
from reconciler.model import Source

MAX_BYTES = 10 * 1024 * 1024
ENDINGS = (".yaml", ".yml")


class UnreadableError(Exception):
    """A file cannot be used; `source` is where in it, `str()` why and what to do."""

    def __init__(self, source: Source, what: str) -> None:
        self.source = source
        super().__init__(what)

    @property
    def told(self) -> str:
        """For the manifest that names the file: `FILE: what`, with line and column where they say something."""
        whole = (self.source.line, self.source.column) == (1, 1)
        return f"{self.source.file if whole else self.source}: {self}"


def default_paths(folder: Path = Path()) -> list[Path]:
    """What PATH means where none is given: `manifests/` if it is there, else `.`."""
    manifests = folder / "manifests"
    return [manifests if manifests.is_dir() else folder]


def find(paths: Sequence[Path], report: Report) -> list[Path]:
    """The manifest files in and below `paths`, sorted within each; a file given twice counts once."""
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            report(Source(str(path), 1, 1), _missing(path))
            continue
        files = list(_below(path, (), report)) if path.is_dir() else [path]
        if not files:
            report(Source(str(path), 1, 1), "there is no *.yaml or *.yml in this folder. Name another PATH.")
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _missing(path: Path) -> str:
    if path.is_symlink():
        return "this symbolic link leads nowhere, or round in a circle. Mend or delete it."
    return "there is no such file or folder. Name another."


def _below(folder: Path, above: tuple[str, ...], report: Report) -> Iterable[Path]:
    real = os.path.realpath(folder)
    if real in above:
        report(Source(str(folder), 1, 1), "this symbolic link leads back to a folder above it. Delete it.")
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        report(
            Source(str(folder), 1, 1),
            f"this folder cannot be read: {error.strerror}. Allow it, or name another PATH.",
        )
        return
    for path in entries:
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            yield from _below(path, (*above, real), report)
        elif path.name.endswith(ENDINGS):
            if path.exists():
                yield path
            else:
                report(Source(str(path), 1, 1), _missing(path))


def read(path: Path) -> str:
    """The text of a UTF-8 file of at most 10 MB, without a byte order mark; raises UnreadableError."""
    start = Source(str(path), 1, 1)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(start, "this is not a regular file. Name a file.")
        if status.st_size > MAX_BYTES:
            megabytes = status.st_size / 1024 / 1024
            raise UnreadableError(
                start,
                f"the file has {megabytes:.0f} MB, and 10 MB are the most. Split it, or move it out of the manifests.",
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise UnreadableError(start, _missing(path)) from None
    except OSError as error:
        raise UnreadableError(
            start, f"the file cannot be read: {error.strerror}. Allow it, or name another."
        ) from None
    return decode(data, str(path))


def decode(data: bytes, file: str) -> str:
    """UTF-8 `data` as text, without a byte order mark; raises UnreadableError with line, column and offset."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnreadableError(Source(file, 1, 1), "the file is UTF-16. Save it as UTF-8.")
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        good = error.object[: error.start]
        line = good.count(b"\n") + 1
        column = len(good[good.rfind(b"\n") + 1 :].decode()) + 1
        offset = error.start + len(data) - len(error.object)
        place = Source(file, line, column)
        raise UnreadableError(
            place, f"byte 0x{data[offset]:02X} at offset {offset} is not UTF-8. Save the file as UTF-8."
        ) from None
