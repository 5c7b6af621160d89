"""Finds what the command left in its output folder, and takes it to S3.

Job: match outputs with files, upload. Input: outputs, a folder, a store. Output: entries for result.json.
Must not: follow a symbolic link out of the folder.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from shim.init import placeholders, s3, signed
from shim.init.errors import ShimError
from shim.init.spec import Output

_FILES = 4
#: Parts of 8 MiB in memory at once, over all files: they fit into the smallest task of Fargate.
_STREAMS = 8
_BLOCK = 1024 * 1024


class Found(NamedTuple):
    """A file to upload: where it lies, its place below output/, and `path` as result.json shows it."""

    local: str
    place: str
    path: str
    size: int


def make_folders(outputs: Iterable[Output], folder: str) -> None:
    """The parent of each file, and each folder itself, so that a command can write at once."""
    for output in outputs:
        place = output.path
        if output.kind != "folder":
            place = placeholders.fixed_folder(place) if output.kind == "glob" else os.path.dirname(place)
        os.makedirs(os.path.join(folder, place), exist_ok=True)


def collect(outputs: Iterable[Output], folder: str) -> Mapping[str, tuple[Found, ...]]:
    """The files of each output, sorted; ShimError (output) names every required one that is missing."""
    found = {
        output.name: _sorted(_found(folder, *place) for place in _places(output, folder))
        for output in outputs
    }
    missing = [
        f"{output.name} ({output.path})"
        for output in outputs
        if not found[output.name] and not output.optional
    ]
    if missing:
        raise ShimError("output", f"the command did not write {', '.join(missing)} below {folder}.")
    return found


def rescue(outputs: Iterable[Output], folder: str) -> Mapping[str, tuple[Found, ...]]:
    """What a command that failed left of its outputs; what may not be taken is left out, and nothing is missed."""
    found = {}
    for output in outputs:
        files = []
        with suppress(ShimError):
            for place in _places(output, folder):
                with suppress(ShimError):
                    files.append(_found(folder, *place))
        if files:
            found[output.name] = _sorted(files)
    return found


def _sorted(files: Iterable[Found]) -> tuple[Found, ...]:
    return tuple(sorted(files, key=lambda file: file.place))


def _places(output: Output, folder: str) -> Iterator[tuple[str, str]]:
    """Where each file of an output lies below `folder`, and its `path` in result.json."""
    if output.kind == "file":
        if os.path.lexists(os.path.join(folder, output.path)):
            yield output.path, os.path.basename(output.path)
    elif output.kind == "glob":
        base = placeholders.fixed_folder(output.path)
        for place in glob.glob(output.path, root_dir=folder, recursive=True):
            if not os.path.isdir(os.path.join(folder, place)):
                yield place, os.path.relpath(place, base) if base else place
    else:
        yield from _tree(output, folder)


def _tree(output: Output, folder: str) -> Iterator[tuple[str, str]]:
    top = os.path.join(folder, output.path)
    for here, folders, names in os.walk(top, onerror=_unreadable):
        for name in names + [name for name in folders if os.path.islink(os.path.join(here, name))]:
            within = os.path.relpath(os.path.join(here, name), top)
            yield os.path.join(output.path, within), within


def _unreadable(error: OSError) -> None:
    if error.errno != errno.ENOENT:  # a folder that is missing is told by its name, as missing
        raise ShimError("output", f"{error.filename} cannot be read: {error.strerror}.") from error


def _found(folder: str, place: str, path: str) -> Found:
    local = os.path.join(folder, place)
    real, root = os.path.realpath(local), os.path.realpath(folder)
    if os.path.commonpath([real, root]) != root:
        raise ShimError("output", f"{local} is a link that leaves {folder}.")
    try:
        state = os.stat(real)
    except OSError as error:
        raise ShimError("output", f"{local} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(state.st_mode):
        raise ShimError("output", f"{local} is not a regular file.")
    try:
        place.encode()
    except UnicodeEncodeError as error:
        raise ShimError(
            "output", f"the name {os.fsencode(place)!r} is not UTF-8 and cannot be a key in S3."
        ) from error
    return Found(real, place, path, state.st_size)


def upload(
    store: s3.Store, found: Mapping[str, tuple[Found, ...]], outputs_url: str, job_id: str
) -> Mapping[str, list[Mapping[str, Any]]]:
    """Uploads every file to `outputs_url` + its place, `job_id` in its metadata; the entries of result.json's outputs."""
    files = {file.place: file for many in found.values() for file in many}
    streams = _STREAMS // max(1, min(_FILES, len(files)))
    with ThreadPoolExecutor(_FILES) as pool, ThreadPoolExecutor(_FILES) as hashers:
        work = {
            place: pool.submit(_upload, store, file, outputs_url, _How(streams, job_id, hashers))
            for place, file in files.items()
        }
        entries = {place: future.result() for place, future in work.items()}
    return {
        name: [{**entries[file.place], "path": file.path} for file in many] for name, many in found.items()
    }


class _How(NamedTuple):
    """`streams` parts of a file at once; its digest is taken by `hashers` while it goes."""

    streams: int
    job_id: str
    hashers: ThreadPoolExecutor


def _upload(store: s3.Store, file: Found, outputs_url: str, how: _How) -> Mapping[str, Any]:
    url = outputs_url + file.place
    taken = how.hashers.submit(_sha256, file.local)
    first = taken.result() if not signed.plain(s3.split(url)[1]) else ""
    local = s3.Local(file.local, file.size, {"bunnies-job": how.job_id}, first)
    etag = store.upload(local, url, how.streams)
    return {"url": url, "size": file.size, "etag": etag, "sha256": taken.result()}


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise ShimError("output", f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
