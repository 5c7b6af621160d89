"""A build context: what is in it, its digest, and the tar that the engine builds.

Job: make a build repeatable: same files, same digest, on every machine. Input: a folder with a Dockerfile.
Output: Context, digest, tar. Must not: talk to an engine or a registry.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from reconciler import engine
from reconciler.errors import BunniesError

IN_MEMORY = 32 * 1024 * 1024  # a larger tar goes to a temporary file
_FROM = re.compile(r"(\s*FROM\s+(?:--\S+\s+)*)(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_COPY = re.compile(r"(\s*COPY\s+(?:--\S+\s+)*?--from=)(\S+)", re.IGNORECASE)
_ARG = re.compile(r"\s*ARG\s+(\w+)(?:=(\S*))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Context:
    """A folder to build from; `files` are the paths that .dockerignore leaves in, sorted; `text` the Dockerfile."""

    root: Path
    dockerfile: str
    files: tuple[str, ...]
    text: str
    args: Mapping[str, str]


def read(root: Path, dockerfile: str, args: Mapping[str, str]) -> Context:
    """The context at `root`; `dockerfile` is relative to it. Raises BunniesError where one is missing."""
    if not root.is_dir():
        raise BunniesError(f"there is no folder {root} to build from. Check build.context")
    place = root / dockerfile
    if not place.is_file() or not place.resolve().is_relative_to(root.resolve()):
        raise BunniesError(f"there is no {dockerfile} in {root}. Check build.dockerfile")
    ignore = root / ".dockerignore"
    lines = ignore.read_text("utf-8-sig").splitlines() if ignore.is_file() else []
    files = engine.context_files(root, lines, dockerfile)
    return Context(root, dockerfile, tuple(files), place.read_text("utf-8"), args)


def digest(context: Context, target: str | None, bases: Mapping[str, str], platform: str) -> str:
    """ "sha256:…" over everything that the build reads: files, Dockerfile, args, target and the bases' digests.

    Of a mode only the owner's execute bit counts, as in git: group and other bits come from people's umask.
    """
    total = hashlib.sha256()
    rest: dict[str, Any] = {"args": dict(context.args), "target": target, "bases": dict(bases)}
    rest |= {"platform": platform, "dockerfile": context.dockerfile}
    total.update(json.dumps(rest, sort_keys=True).encode())
    for name in context.files:
        path = context.root / name
        if path.is_symlink():
            kind, content = "link", hashlib.sha256(str(path.readlink()).encode()).hexdigest()
        elif path.is_dir():
            kind, content = "folder", ""
        elif path.is_file():
            with path.open("rb") as stream:
                kind, content = "file", hashlib.file_digest(stream, "sha256").hexdigest()
            kind += str(_mode(path))
        else:
            continue
        total.update(f"\0{name}\0{kind}\0{content}".encode())
    return f"sha256:{total.hexdigest()}"


def bases(context: Context) -> tuple[str, ...]:
    """References of the images it builds on, in order: FROM and COPY --from, args filled in; no stages, no scratch."""
    found: list[str] = []

    def note(reference: str) -> str:
        found.append(reference)
        return reference

    _rewritten(context, note)
    return tuple(dict.fromkeys(found))


def tar(context: Context, pins: Mapping[str, str]) -> IO[bytes]:
    """The context as the engine takes it, with each base in the Dockerfile replaced by its pin.

    So what was resolved is what is built, whatever the tag means by then. Names sorted, owner 0, times 0.
    """
    text = _rewritten(context, lambda reference: pins.get(reference, reference)).encode()
    stream: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  the engine reads and closes it
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in context.files:
            path = context.root / name
            entry = archive.gettarinfo(path, name)
            if not (entry.isfile() or entry.isdir() or entry.issym()):
                continue
            plain(entry, _mode(path) if entry.isfile() else 0o755)
            if name == context.dockerfile:
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text))
            elif entry.isfile():
                with path.open("rb") as content:
                    archive.addfile(entry, content)
            else:
                archive.addfile(entry)
    stream.seek(0)
    return stream


def plain(entry: tarfile.TarInfo, mode: int) -> tarfile.TarInfo:
    """`entry` without what differs between machines."""
    entry.mode, entry.mtime = mode, 0
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def _rewritten(context: Context, replace: Callable[[str], str]) -> str:
    """The Dockerfile with every reference to an image passed through `replace`."""
    known: dict[str, str] = {}
    stages: list[str] = []
    lines: list[str] = []
    for line, starts in _instructions(context.text):
        if starts and not stages and (arg := _ARG.match(line)):
            default = (arg[2] or "").strip("\"'")
            known[arg[1]] = context.args.get(arg[1], default)
        changed = line
        if starts and (match := _FROM.match(line)):
            changed = _with(line, match, known, stages, replace)
            stages.append((match[3] or "").lower())
        elif starts and (match := _COPY.match(line)):
            changed = _with(line, match, known, stages, replace)
        lines.append(changed)
    return "".join(lines)


def _with(
    line: str,
    match: re.Match[str],
    known: Mapping[str, str],
    stages: Sequence[str],
    replace: Callable[[str], str],
) -> str:
    reference = _VARIABLE.sub(lambda m: known.get(m[1] or m[2]) or m[3] or "", match[2])
    if reference.lower() in ("scratch", *filter(None, stages)) or reference.isdecimal():
        return line
    return line[: match.start(2)] + replace(reference) + line[match.end(2) :]


def _instructions(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether an instruction begins there: not on what continues another line."""
    continued = False
    for line in text.splitlines(keepends=True):
        comment = line.lstrip().startswith("#")
        yield line, not (continued or comment)
        if not comment:
            continued = line.rstrip().endswith("\\")
