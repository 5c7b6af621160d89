"""Where the inputs of a job go.

Job: check the place of each object, check the space. Input: JobSpec. Output: targets.
Must not: fetch anything (download does).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from shim.init.errors import ShimError
from shim.init.spec import JobSpec, Object, within


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
