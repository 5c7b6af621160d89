"""Brings objects to their places, in parts, many at a time, and digests them on the way.

Job: download. Input: targets, a store. Output: files, their SHA-256.
Must not: leave a file under its final name before it is whole and its digest is the one that was promised.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from shim.init import s3
from shim.init.errors import ShimError
from shim.init.inputs import Target

DIGEST_BYTES = 32
#: Streams of parts of large objects at once: about what S3 gives one client together. Each holds a few MiB.
_STREAMS = 8
#: Small objects at once: each costs a round trip, so there must be many.
_REQUESTS = 32
_BLOCK = 1024 * 1024


def download(store: s3.Store, found: Sequence[Target]) -> bytes:
    """Fetches all; the SHA-256 of each target, one after the other, zeros for a folder.

    ShimError (input, disk, infrastructure) on the first that fails. Lost parts are asked for again by the store;
    a full disk is not tried again.
    """
    files = {target.path: _File(target) for target in _files(found)}
    stopped = threading.Event()
    with ThreadPoolExecutor(_REQUESTS) as many, ThreadPoolExecutor(_STREAMS) as few:
        work = [
            (many if file.parts == 1 else few).submit(_part, store, file, index, stopped)
            for file in files.values()
            for index in range(file.parts)
        ]
        _first_error(work, stopped)
    return b"".join(
        files[target.path].finish() if target.path in files else bytes(DIGEST_BYTES) for target in found
    )


def _files(found: Iterable[Target]) -> Iterator[Target]:
    """The targets that are files; the folders that they need and those that are targets themselves are made."""
    made = set()
    for target in found:
        folder = os.path.dirname(target.path)
        if folder not in made:
            made.add(folder)
            os.makedirs(folder, exist_ok=True)
        if not target.path.endswith("/"):
            yield target


class _File:
    """One file on its way: parts come in any order, and are digested in theirs as soon as they are there."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.parts = max(1, -(-target.item.size // s3.PART_BYTES))
        folder, name = os.path.split(target.path)
        # Names have 255 bytes at most (NAME_MAX), and a cut inside a character would be another name.
        short = name if len(os.fsencode(name)) < 240 else hashlib.sha256(os.fsencode(name)).hexdigest()
        self._partial = os.path.join(folder, f".{short}.part")
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()
        self._arrived: set[int] = set()
        self._digested = 0
        self._digesting = False

    def range(self, index: int) -> tuple[int, int]:
        """Where part `index` begins and ends."""
        return index * s3.PART_BYTES, min((index + 1) * s3.PART_BYTES, self.target.item.size)

    def fetch(self, store: s3.Store, index: int) -> None:
        """Brings part `index`; ShimError (disk, infrastructure) where it cannot be written."""
        try:
            fd = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                store.fetch(self.target.item, *self.range(index), lambda at, data: self._take(fd, at, data))
            finally:
                os.close(fd)
        except OSError as error:
            kind = "disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "infrastructure"
            raise ShimError(kind, f"cannot write {self.target.path}: {error.strerror}.") from error
        if self.parts > 1:
            self._arrive(index)

    def finish(self) -> bytes:
        """Gives the file its name; its digest. ShimError (input) where that is not the one promised."""
        item = self.target.item
        if item.sha256 and self._digest.hexdigest() != item.sha256:
            raise ShimError(
                "input", f"{item.url} has the SHA-256 {self._digest.hexdigest()}, not {item.sha256}."
            )
        os.rename(self._partial, self.target.path)
        return self._digest.digest()

    def _take(self, fd: int, at: int, data: Any) -> None:
        rest = memoryview(data)
        if self.parts == 1:
            self._digest.update(rest)
        while rest:
            written = os.pwrite(fd, rest, at)
            rest, at = rest[written:], at + written

    def _arrive(self, index: int) -> None:
        """Digests what is there in order, unless another thread is at it: that one will see this part too."""
        with self._lock:
            self._arrived.add(index)
            if self._digesting:
                return
            self._digesting = True
        with open(self._partial, "rb", buffering=0) as file:
            while True:
                with self._lock:
                    if self._digested not in self._arrived:
                        self._digesting = False
                        return
                start, end = self.range(self._digested)
                while start < end:
                    block = os.pread(file.fileno(), min(_BLOCK, end - start), start)
                    self._digest.update(block)
                    start += len(block)
                self._digested += 1


def _part(store: s3.Store, file: _File, index: int, stopped: threading.Event) -> None:
    if not stopped.is_set():
        file.fetch(store, index)


def _first_error(work: list[Future[None]], stopped: threading.Event) -> None:
    done, waiting = wait(work, return_when=FIRST_EXCEPTION)
    stopped.set()
    for future in waiting:
        future.cancel()
    for future in done:
        future.result()
