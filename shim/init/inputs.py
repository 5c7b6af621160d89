"""Brings the inputs of a job to its input folder.

Job: check where each object goes, check the space, download. Input: JobSpec, a store. Output: files.
Must not: leave a file under its final name before it is whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from shim.init import s3
from shim.init.errors import ShimError
from shim.init.spec import JobSpec, Object, within

PART_BYTES = 16 * 1024 * 1024
_PARALLEL = 8


class Target(NamedTuple):
    """An object and the absolute path that it goes to; a path that ends in a slash is an empty folder."""

    item: Object
    path: str


def targets(spec: JobSpec, folder: str) -> tuple[Target, ...]:
    """Where each object goes; ShimError (input) where two meet, or one would leave `folder`."""
    taken: dict[str, str] = {}
    found = []
    for given in spec.inputs:
        for item in given.objects:
            if not within(item.path):
                raise ShimError("input", f"input {given.name}: {item.url} cannot be put at {item.path!r}.")
            path = item.path.rstrip("/")
            if path in taken:
                raise ShimError(
                    "input", f"input {given.name}: {item.url} and {taken[path]} both go to {path}."
                )
            taken[path] = item.url
            found.append(Target(item, os.path.join(folder, item.path)))
    _check_folders(taken, {target.item.path.rstrip("/") for target in found if target.path.endswith("/")})
    return tuple(found)


def _check_folders(taken: dict[str, str], folders: set[str]) -> None:
    for path, url in taken.items():
        parent = path.rpartition("/")[0]
        while parent:
            if parent in taken and parent not in folders:
                raise ShimError(
                    "input", f"{taken[parent]} goes to {parent}, which must be a folder for {url}."
                )
            parent = parent.rpartition("/")[0]


def check_space(found: Iterable[Target], folder: str) -> None:
    """ShimError (disk) where the inputs are larger than what is free below `folder`."""
    needed = sum(target.item.size for target in found)
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    if needed > free:
        raise ShimError(
            "disk",
            f"the inputs have {needed} bytes and {folder} has {free} free: give the task more ephemeralStorage.",
        )


def download(store: s3.Store, found: Iterable[Target]) -> None:
    """Fetches all, parts in parallel; ShimError (input, disk, infrastructure) on the first that fails."""
    files = []
    for target in found:
        os.makedirs(os.path.dirname(target.path.rstrip("/")), exist_ok=True)
        if target.path.endswith("/"):
            os.makedirs(target.path, exist_ok=True)
        else:
            files.append(target)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        work = [
            pool.submit(_part, store, target, start)
            for target in files
            for start in _starts(target.item.size)
        ]
        _first_error(work)
    for target in files:
        os.rename(_partial(target), target.path)


def _starts(size: int) -> range:
    return range(0, max(size, 1), PART_BYTES)


def _partial(target: Target) -> str:
    folder, name = os.path.split(target.path)
    return os.path.join(folder, f".{name[:200]}.part")


def _part(store: s3.Store, target: Target, start: int) -> None:
    end = min(start + PART_BYTES, target.item.size)
    data = store.part(target.item, start, end)
    try:
        fd = os.open(_partial(target), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                written = os.pwrite(fd, rest, start)
                rest, start = rest[written:], start + written
        finally:
            os.close(fd)
    except OSError as error:
        kind = "disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "input"
        raise ShimError(kind, f"cannot write {target.path}: {error.strerror}.") from error


def _first_error(work: list[Future[None]]) -> None:
    done, waiting = wait(work, return_when=FIRST_EXCEPTION)
    for future in waiting:
        future.cancel()
    for future in done:
        future.result()
